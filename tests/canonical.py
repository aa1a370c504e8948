"""What two net definitions must share to be called equal: two digests, and the number of parameters.

In:   a NetParameter.
Out:  `canonical_digest` (every effective setting, folders left out), `message_digest` (every field, folders
      included, dict order not), `learned_parameters`.
Not here: the digests of the release (reference/digests.json).
"""

from __future__ import annotations

import ast
import hashlib

from caffe.proto import caffe_pb2


def message_digest(net) -> str:
    """SHA-256 of the serialized net, each param_str replaced by its sorted items."""
    net = caffe_pb2.NetParameter.FromString(net.SerializeToString())
    for layer in net.layer:
        if layer.type == "Python":
            settings = ast.literal_eval(layer.python_param.param_str)
            layer.python_param.param_str = repr(sorted(settings.items()))
    return hashlib.sha256(net.SerializeToString()).hexdigest()


def canonical_digest(net) -> str:
    """First 16 digits of the SHA-256 of one line a layer."""
    return hashlib.sha256("\n".join(map(canonical_line, net.layer)).encode()).hexdigest()[:16]


def canonical_line(layer) -> str:
    """name|type|bottoms|tops|lr:decay of each blob|settings with defaults filled in."""
    settings, num_blobs = _settings(layer)
    specs = [*layer.param, *[caffe_pb2.ParamSpec()] * num_blobs][:num_blobs]
    rates = ",".join(f"{spec.lr_mult:g}:{spec.decay_mult:g}" for spec in specs)
    return "|".join([layer.name, layer.type, ",".join(layer.bottom), ",".join(layer.top), rates,
                     ";".join(f"{key}={value}" for key, value in settings.items())])


def _settings(layer):
    """Give a layer's settings and how many blobs it learns."""
    if layer.type in ("Convolution", "Deconvolution"):
        p = layer.convolution_param
        return dict(out=p.num_output, k=_numbers(p.kernel_size, 0), s=_numbers(p.stride, 1),
                    p=_numbers(p.pad, 0), g=p.group, bias=int(p.bias_term)), 1 + p.bias_term
    if layer.type == "Scale":
        p = layer.scale_param
        return dict(fill=p.filler.type, value=f"{p.filler.value:g}", axis=p.axis,
                    bias=int(p.bias_term)), 1 + p.bias_term
    return _SETTINGS.get(layer.type, lambda layer: {})(layer), 0


def _loss(layer):
    p = layer.loss_param
    mode = caffe_pb2.LossParameter.NormalizationMode.Name(p.normalization)
    if p.HasField("normalize") and not p.HasField("normalization"):
        mode = "VALID" if p.normalize else "BATCH_SIZE"
    return dict(ignore=p.ignore_label if p.HasField("ignore_label") else "", norm=mode,
                weight=_numbers(layer.loss_weight, 1))


_SETTINGS = {
    "Pooling": lambda layer: dict(
        pool=caffe_pb2.PoolingParameter.PoolMethod.Name(layer.pooling_param.pool),
        k=layer.pooling_param.kernel_size, s=layer.pooling_param.stride, p=layer.pooling_param.pad),
    "LRN": lambda layer: dict(n=layer.lrn_param.local_size, a=f"{layer.lrn_param.alpha:g}",
                              b=f"{layer.lrn_param.beta:g}"),
    "Dropout": lambda layer: dict(ratio=f"{layer.dropout_param.dropout_ratio:g}"),
    "Eltwise": lambda layer: dict(
        op=caffe_pb2.EltwiseParameter.EltwiseOp.Name(layer.eltwise_param.operation),
        coeff=",".join(f"{c:g}" for c in layer.eltwise_param.coeff)),
    "Crop": lambda layer: dict(axis=layer.crop_param.axis, offset=_numbers(layer.crop_param.offset, 0)),
    "SoftmaxWithLoss": _loss,
    "Python": lambda layer: dict(module=layer.python_param.module, layer=layer.python_param.layer),
    "Input": lambda layer: dict(shape=",".join(str(d) for d in layer.input_param.shape[0].dim)),
}


def _numbers(values, default):
    return ",".join(f"{value:g}" for value in values) or f"{default:g}"


def learned_parameters(net, channels=3) -> int:
    """Count weights and biases of convolutions and inner products of a 224 x 224 classifier or an FCN."""
    width, total = {"data": channels}, 0
    for layer in net.layer:
        bottoms = [width.get(name, 0) for name in layer.bottom]
        if layer.type in ("Convolution", "Deconvolution"):
            p = layer.convolution_param
            if layer.type == "Convolution":
                kernel = p.kernel_size[0] ** 2
                total += p.num_output * (bottoms[0] // p.group * kernel + p.bias_term)
            outs = [p.num_output]
        elif layer.type == "InnerProduct":
            places = 49 if layer.bottom[0] == "pool5" else 1
            outs = [layer.inner_product_param.num_output]
            total += outs[0] * (bottoms[0] * places + 1)
        elif layer.type == "Concat":
            outs = [sum(bottoms)]
        else:
            outs = bottoms[:1] or [channels]
        width.update(zip(layer.top, outs, strict=False))
    return total
