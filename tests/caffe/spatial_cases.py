"""The cases in which layers with weights or windows, and the softmax loss, are held against genuine Caffe.

In:   Case of layer_case.py.
Out:  CASES.
Not here: running them (layer_case.py), genuine Caffe's answers (tests/reference/record_layers.py).
"""

from __future__ import annotations

from tests.caffe.layer_case import Case

_IMAGE = [(2, 4, 6, 5)]
_VOLUME = [(1, 2, 4, 5, 3)]
_SMALL = [(2, 3, 3, 4)]


def _layer(kind, field, name, text, shapes, **more):
    return Case(f"{kind.lower()}_{name}", f'type: "{kind}" {field} {{ {text} }}', shapes, **more)


def _conv(name, text, shapes=_IMAGE, **more):
    return _layer("Convolution", "convolution_param", name, text, shapes, **more)


def _deconv(name, text, shapes=_SMALL, **more):
    return _layer("Deconvolution", "convolution_param", name, text, shapes, **more)


def _pool(name, text, shapes=((2, 3, 7, 6),), **more):
    return _layer("Pooling", "pooling_param", name, text, list(shapes), **more)


def _loss(name, text, shapes=((2, 5, 3, 4), (2, 1, 3, 4)), labels=5):
    return Case(f"softmaxwithloss_{name}", f'type: "SoftmaxWithLoss" {text}', list(shapes), labels=labels)


CASES = [
    _conv("plain", "num_output: 3 kernel_size: 3"),
    _conv("filled", 'num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } '
          'bias_filler { type: "constant" value: 0.2 }'),
    _conv("pad_stride", "num_output: 3 kernel_size: 3 pad: 2 stride: 2"),
    _conv("sides", "num_output: 2 kernel_h: 3 kernel_w: 2 pad_h: 1 pad_w: 2 stride_h: 1 stride_w: 3"),
    _conv("once_per_axis", "num_output: 2 kernel_size: 3 kernel_size: 2 pad: 1 pad: 0 stride: 2 stride: 1"),
    _conv("group", "num_output: 6 kernel_size: 3 pad: 1 group: 2"),
    _conv("dilation", "num_output: 2 kernel_size: 2 dilation: 3 pad: 1"),
    _conv("no_bias", "num_output: 2 kernel_size: 3 bias_term: false"),
    _conv("one_by_one", "num_output: 3 kernel_size: 1"),
    _conv("1d", "num_output: 3 kernel_size: 3 pad: 1 stride: 2", [(2, 4, 7)]),
    _conv("3d", "num_output: 2 kernel_size: 2 pad: 1 stride: 2", _VOLUME),
    _conv("nd_im2col", "num_output: 2 kernel_size: 3 force_nd_im2col: true engine: CAFFE"),
    _conv("axis2", "num_output: 3 axis: 2 kernel_size: 2", [(2, 2, 3, 3, 4)]),
    _conv("negative_axis", "num_output: 3 axis: -3 kernel_size: 2"),
    _conv("two_bottoms", "num_output: 3 kernel_size: 3", [*_IMAGE, *_IMAGE], tops=2),
    _deconv("plain", "num_output: 2 kernel_size: 3"),
    _deconv("upsample", "num_output: 3 kernel_size: 4 stride: 2 bias_term: false"),
    _deconv("bilinear", 'num_output: 3 group: 3 kernel_size: 4 stride: 2 pad: 1 bias_term: false '
            'weight_filler { type: "bilinear" }'),
    _deconv("odd", "num_output: 3 group: 3 kernel_size: 3 stride: 2 pad: 1"),
    _deconv("sides", "num_output: 3 group: 3 kernel_h: 5 kernel_w: 4 stride_h: 3 stride_w: 2 pad_h: 2 pad_w: 0"),
    _deconv("group", "num_output: 4 group: 2 kernel_size: 3 stride: 2", [(1, 2, 3, 4)]),
    _deconv("dilation", "num_output: 2 kernel_size: 2 dilation: 2 stride: 2 pad: 1"),
    _deconv("3d", "num_output: 3 kernel_size: 2 stride: 2", _VOLUME),
    _layer("InnerProduct", "inner_product_param", "plain", "num_output: 5", _SMALL),
    _layer("InnerProduct", "inner_product_param", "axis", "num_output: 5 axis: 2 bias_term: false", _SMALL),
    _layer("InnerProduct", "inner_product_param", "transpose", "num_output: 5 axis: -1 transpose: true", _SMALL),
    _layer("InnerProduct", "inner_product_param", "filled",
           'num_output: 5 weight_filler { type: "xavier" } bias_filler { type: "uniform" }', _SMALL),
    _pool("max2", "kernel_size: 2 stride: 2"),
    _pool("max2_odd", "kernel_size: 2 stride: 2", [(2, 9, 5, 7)]),
    _pool("max3", "kernel_size: 3 stride: 2"),
    _pool("max_pad", "kernel_size: 3 stride: 2 pad: 1"),
    _pool("max_large_pad", "kernel_size: 3 stride: 2 pad: 2"),
    _pool("max_sides", "kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 0"),
    _pool("max_floor", "kernel_size: 2 stride: 2 round_mode: FLOOR"),
    _pool("max_global", "global_pooling: true"),
    _pool("max_places", "kernel_size: 3 stride: 2 pad: 1", tops=2),
    _pool("max_places_large_pad", "kernel_size: 3 stride: 3 pad: 2", tops=2),
    _pool("ave2", "pool: AVE kernel_size: 2 stride: 2"),
    _pool("ave_pad", "pool: AVE kernel_size: 3 stride: 2 pad: 1"),
    _pool("ave_large_pad", "pool: AVE kernel_size: 3 stride: 2 pad: 2"),
    _pool("ave_sides", "pool: AVE kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 2 pad_w: 0"),
    _pool("ave_floor", "pool: AVE kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR"),
    _pool("ave_global", "pool: AVE global_pooling: true"),
    _layer("LRN", "lrn_param", "across", "", [(2, 7, 2, 3)]),
    _layer("LRN", "lrn_param", "across_k", "local_size: 3 alpha: 2 beta: 0.5 k: 2", [(2, 7, 2, 3)]),
    _layer("LRN", "lrn_param", "across_wide", "local_size: 9 alpha: 2", [(2, 4, 2, 3)]),
    _layer("LRN", "lrn_param", "within", "norm_region: WITHIN_CHANNEL local_size: 3 alpha: 2", _SMALL),
    _layer("LRN", "lrn_param", "within_ignores_k", "norm_region: WITHIN_CHANNEL k: 3", _SMALL),
    Case("softmax_plain", 'type: "Softmax"', _SMALL),
    Case("softmax_axis", 'type: "Softmax" softmax_param { axis: -1 }', _SMALL),
    Case("softmax_in_place", 'type: "Softmax"', _SMALL, in_place=True),
    _loss("plain", ""),
    _loss("vector", "", [(4, 5), (4,)]),
    _loss("ignore", "loss_param { ignore_label: 255 }"),
    _loss("axis", "softmax_param { axis: 2 }", [(2, 3, 5, 2), (2, 3, 2)]),
    _loss("weight", "loss_weight: 0.25"),
    *(_loss(mode.lower(), f"loss_param {{ ignore_label: 255 normalization: {mode} }}")
      for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE")),
    *(_loss(f"normalize_{flag}", f"loss_param {{ ignore_label: 255 normalize: {flag} }}")
      for flag in ("true", "false")),
    _loss("both", "loss_param { ignore_label: 255 normalize: true normalization: NONE }"),
    Case("crop_none", 'type: "Crop"', [(2, 3, 6, 5), (2, 3, 4, 5)]),
    Case("crop_one", 'type: "Crop" crop_param { offset: 1 }', [(2, 3, 6, 5), (1, 7, 4, 3)]),
    Case("crop_many", 'type: "Crop" crop_param { axis: 1 offset: 1 offset: 2 offset: 0 }',
         [(2, 3, 6, 5), (2, 2, 4, 3)]),
    Case("crop_negative_axis", 'type: "Crop" crop_param { axis: -1 offset: 2 }', [(2, 3, 5), (1, 1, 3)]),
    *(Case(f"eltwise_{name}", f'type: "Eltwise" eltwise_param {{ {text} }}', _SMALL * bottoms)
      for name, text, bottoms in (
          ("default", "", 2), ("sum3", "operation: SUM", 3), ("coeff", "coeff: 1 coeff: -0.5", 2),
          ("coeff3", "coeff: 2 coeff: 1 coeff: -0.5", 3), ("prod", "operation: PROD", 2),
          ("prod3", "operation: PROD", 3),
          ("prod_unstable", "operation: PROD stable_prod_grad: false", 3), ("max", "operation: MAX", 2),
          ("max3", "operation: MAX", 3))),
    Case("dropout_train", 'type: "Dropout"', _SMALL),
    Case("dropout_ratio", 'type: "Dropout" dropout_param { dropout_ratio: 0.3 }', _SMALL),
    Case("dropout_in_place", 'type: "Dropout" dropout_param { dropout_ratio: 0.8 }', _SMALL, in_place=True),
]
