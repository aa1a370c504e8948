"""Random small nets, and one script that runs any of them in genuine Caffe and in ours.

In:   a seed.
Out:  Case: the text of a net with losses, the same without them, sizes its input may take; run(caffe, case, seed).
Not here: the comparison (test_random_nets.py).
A layer that cannot follow (wrong axes, a window too large) is refused by our engine and left out of the net.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import caffe
from tests.caffe.net_cases import layer

FILL = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.3 max: 0.3 }'
PARAMS = ["", "", "", "param { lr_mult: 0 }", "param { lr_mult: 1 } param { lr_mult: 0 }",
          "param { lr_mult: 0.5 decay_mult: 2 } param { lr_mult: 2 decay_mult: 0 }"]
IN_PLACE = ("ReLU", "Dropout", "Sigmoid", "TanH", "Softmax", "Scale", "Bias")
FIXED = {"ReLU": ["", "", "relu_param { negative_slope: 0.1 }"], "Sigmoid": [""], "TanH": [""], "Softmax": [""],
         "Dropout": ["", "dropout_param { dropout_ratio: 0.3 }", "phase: TEST"],
         "Power": ["power_param { scale: 0.5 shift: 0.3 }", "power_param { power: 2 }", "power_param { scale: 0 }"],
         "LRN": ["lrn_param { local_size: 3 alpha: 0.1 }",
                 "lrn_param { local_size: 3 alpha: 0.1 norm_region: WITHIN_CHANNEL }"],
         "Flatten": ["", "flatten_param { end_axis: -2 }"],
         "Reshape": ["reshape_param { shape { dim: 0 dim: 1 dim: -1 dim: 1 } }",
                     "reshape_param { shape { dim: 0 dim: -1 } }"]}
KINDS = [*["Convolution"] * 7, *["Pooling"] * 4, *["ReLU"] * 3, *["Deconvolution"] * 2, *["Eltwise", "Concat"] * 2,
         "Slice", "Crop", "Scale", "Bias", "InnerProduct", *FIXED]


@dataclass
class Case:
    """A net with losses, the same without, and the shapes that the latter's input takes one after the other."""

    text: str
    body: str
    sizes: list[tuple[int, ...]]


class Generator:
    """Grows one net, a random layer at a time."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = np.random.RandomState(seed)
        self.path = str(folder / "grown.prototxt")
        dims = [self.any([1, 2, 3]), self.any([1, 3, 9]), *self.rng.randint(6, 13, 2)]
        self.text = layer("data", "Input", [], ["data"], f"input_param {{ {_shape(dims)} }}")
        self.build(self.text)

    def any(self, choices):
        return choices[self.rng.randint(len(choices))]

    def often(self, share: float) -> bool:
        return self.rng.rand() < share

    def build(self, text: str) -> caffe.Net:
        Path(self.path).write_text("force_backward: true\n" + text)
        net = caffe.Net(self.path, caffe.TRAIN)
        self.shapes = {name: blob.shape for name, blob in net.blobs.items() if "_split_" not in name}
        self.ends = [name for name in net.outputs if self.shapes.get(name)]
        return net

    def append(self, text: str) -> None:
        try:
            self.build(self.text + text)
            self.text += text
        except caffe.CaffeError:
            pass

    def case(self, depth: int) -> Case:
        for i in range(depth):
            self.append(self.random_layer(f"l{i}"))
        body, sizes = self.text, []
        for shape in self.other_sizes():
            try:
                net = self.build(body)
                net.blobs["data"].reshape(*shape)
                net.forward()
                sizes.append(shape)
            except caffe.CaffeError:
                pass
        self.build(body)
        for i in range(self.any([1, 2, 3])):
            self.append(self.random_loss(i))
        return Case(("force_backward: true\n" if self.often(0.3) else "") + self.text, "force_backward: true\n" + body,
                    sizes)

    def other_sizes(self):
        n, c, h, w = self.shapes["data"]
        return [(n + 1, c, h, w), (1, c, h + 5, w + 2), (n, c, h - 1, w), (n, c, h, w)]

    def random_layer(self, name: str) -> str:
        kind = self.any(KINDS)
        bottom = self.any(self.ends if self.ends and self.often(0.7) else list(self.shapes))
        bottoms, tops, more = [bottom], [name], ""
        if kind in FIXED:
            more = self.any(FIXED[kind])
        else:
            found = getattr(self, f"_{kind.lower()}")(self.shapes[bottom])
            bottoms, tops = bottoms + found[0], found[1] or tops
            more = found[2]
        if kind in IN_PLACE and self.often(0.6):
            tops = [bottom]
        if len(tops) == 1 and self.often(0.06):
            more += f" loss_weight: {self.any([0.5, 2, -1])}"
        if self.often(0.05):
            more += f" propagate_down: {self.any(['true', 'false'])}" * len(bottoms)
        return layer(name, kind, bottoms, [f"{name}{t}" if t.isdigit() else t for t in tops], more)

    def random_loss(self, i: int) -> str:
        bottom = self.any(self.ends or ["data"])
        shape = self.shapes[bottom]
        weight = self.any(["", "", "loss_weight: 0.5"])
        if len(shape) < 2 or self.often(0.4):
            target = _dummy(f"target{i}", shape, 'type: "gaussian"')
            return target + layer(f"loss{i}", "EuclideanLoss", [bottom, f"target{i}"], [f"loss{i}"], weight)
        label = _dummy(f"label{i}", (shape[0], *((1, *shape[2:]) if len(shape) > 2 else ())),
                       f'type: "uniform" min: 0 max: {shape[1] - 0.001}')
        how = self.any(["", "loss_param { normalize: false ignore_label: 0 }", "loss_param { normalization: FULL }"])
        text = layer(f"loss{i}", "SoftmaxWithLoss", [bottom, f"label{i}"], [f"loss{i}"], f"{weight} {how}")
        return label + text

    # -- (further bottoms, tops unless there is one of the layer's name, the rest) of a layer ------------------------

    def _convolution(self, shape):
        kernel, channels = self.any([1, 2, 3, 3, 4]), shape[1] if len(shape) > 1 else 1
        group, out = self.any([(1, 4), (1, 9), (1, 9), (1, channels), (channels, channels)])
        param = self.any(PARAMS)
        if self.often(0.25):
            param = f'param {{ name: "w{group}_{out}_{kernel}_{channels}" }} param {{ lr_mult: 2 }}'
        return [], [], (f"{param} convolution_param {{ num_output: {out} kernel_size: {kernel} {FILL} group: {group} "
                        f"stride: {self.any([1, 1, 2])} pad: {self.rng.randint(kernel)} "
                        f"dilation: {self.any([1, 1, 1, 2])} }}")

    def _deconvolution(self, shape):
        if len(shape) == 4 and self.often(0.5):
            return [], [], (f"convolution_param {{ num_output: {shape[1]} kernel_size: 4 stride: 2 group: "
                            f'{self.any([1, shape[1]])} weight_filler {{ type: "bilinear" }} }}')
        return self._convolution(shape)

    def _pooling(self, shape):
        kernel = self.any([2, 2, 3, 4])
        return [], [], (f"pooling_param {{ pool: {self.any(['MAX', 'MAX', 'AVE'])} kernel_size: {kernel} "
                        f"stride: {self.rng.randint(1, kernel + 1)} pad: {self.any([0, kernel - 1])} }}")

    def _innerproduct(self, shape):
        return [], [], (f"{self.any(PARAMS)} inner_product_param {{ num_output: {self.rng.randint(1, 6)} "
                        f"axis: {self.any([1, 1, 0, 2])} transpose: {self.any(['true', 'false'])} {FILL} }}")

    def _eltwise(self, shape):
        alike = [name for name, other in self.shapes.items() if other == shape]
        return [self.any(alike) for _ in range(self.any([1, 1, 2]))], [], self.any(
            ["", "eltwise_param { operation: MAX }", "eltwise_param { operation: PROD }"])

    def _concat(self, shape):
        alike = [name for name, other in self.shapes.items() if other[:1] + other[2:] == shape[:1] + shape[2:]]
        return [self.any(alike) for _ in range(self.any([0, 1, 2]))] if alike else [], [], ""

    def _slice(self, shape):
        return [], ["0", "1", "2"][:self.any([1, 2, 3])], f"slice_param {{ axis: {self.any([0, 1, 2])} }}"

    def _crop(self, shape):
        smaller = [name for name, other in self.shapes.items() if len(other) == len(shape) == 4
                   and other[2] < shape[2] and other[3] < shape[3]]
        return [self.any(smaller)] if smaller else [], [], "crop_param { offset: 1 }"

    def _scale(self, shape):
        return [], [], (f"scale_param {{ axis: {self.any([0, 1, 1])} num_axes: {self.any([1, 1, -1, 0])} "
                        f'filler {{ type: "uniform" min: 0.5 }} bias_term: {self.any(["true", "false"])} }}')

    def _bias(self, shape):
        return [], [], (f"bias_param {{ axis: {self.any([0, 1])} num_axes: {self.any([1, -1])} "
                        f"filler {{ value: 0.2 }} }}")


def _shape(dims) -> str:
    return f"shape {{ {' '.join(f'dim: {d}' for d in dims)} }}"


def _dummy(name: str, shape, filler: str) -> str:
    return layer(name, "DummyData", [], [name],
                 f"dummy_data_param {{ {_shape(shape)} data_filler {{ {filler} }} }}")


def make_case(seed: int, folder: Path, depth: int = 8) -> dict:
    """Return a Case as a dict that JSON takes."""
    return asdict(Generator(seed, folder).case(depth))


# The same text runs in genuine Caffe. Nobody looks at blobs before `grab`, so that they may stand with channels last.
SCRIPT = '''
def fill(net, seed):
    blob = net.blobs["data"]
    blob.data[...] = np.random.RandomState(seed).randn(*blob.shape)

def grab(out, key, net):
    for name, blob in net.blobs.items():
        out[key + ".data." + name], out[key + ".diff." + name] = np.array(blob.data), np.array(blob.diff)
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            out["%s.param.%s.%d" % (key, name, i)] = np.array(blob.data)
            out["%s.gradient.%s.%d" % (key, name, i)] = np.array(blob.diff)

def run(caffe, case, seed):
    out, draw = {}, np.random.RandomState(seed)
    for name in ("text", "body"):
        with open(name + ".prototxt", "w") as file:
            file.write(case[name])
    caffe.set_random_seed(seed)
    net = caffe.Net("text.prototxt", caffe.TRAIN)
    net.save("new.caffemodel")
    with open("new.caffemodel", "rb") as file:
        out["bytes"] = np.frombuffer(file.read(), np.uint8)
    last = len(net.layers) - 1
    for i in range(2):  # parameter diffs add up
        fill(net, i)
        out["loss.%d" % i] = np.array(net._forward(0, last))
        net._backward(last, 0)
    grab(out, "passes", net)
    # an edit, and passes over a range
    names, net_range = list(net.blobs), sorted(int(i) for i in draw.randint(0, last + 1, 2))
    net.clear_param_diffs()
    net.blobs[names[draw.randint(len(names))]].data[...] *= 0.5
    net._forward(*net_range)
    net.blobs[names[draw.randint(len(names))]].diff[...] = 0.25
    net._backward(*net_range[::-1])
    grab(out, "range", net)
    # training, and going on from a snapshot
    with open("solver.prototxt", "w") as file:
        file.write('net: "text.prototxt" base_lr: 0.001 lr_policy: "step" gamma: 0.5 stepsize: 1 momentum: 0.9 '
                   'weight_decay: 0.005 snapshot_prefix: "s" test_iter: 1 test_interval: 2 random_seed: %d '
                   'iter_size: %d clip_gradients: %d' % (seed, draw.randint(1, 3), draw.choice([-1, 1])))
    for start in (None, "s_iter_2.solverstate"):
        solver = caffe.SGDSolver("solver.prototxt")
        fill(solver.net, seed)
        fill(solver.test_nets[0], seed)
        if start:
            solver.restore(start)
        solver.step(2)
        if not start:
            solver.snapshot()
        grab(out, "solver%d" % solver.iter, solver.net)
    grab(out, "tested", solver.test_nets[0])
    # other sizes on the fly
    caffe.set_random_seed(seed)
    net = caffe.Net("body.prototxt", caffe.TRAIN)
    for i, size in enumerate(case["sizes"]):
        net.blobs["data"].reshape(*size)
        fill(net, i)
        net.forward()
        for name in net.outputs:
            net.blobs[name].diff[...] = 0.1
        net.backward()
        for name in net.outputs:
            out["size%d.%s" % (i, name)] = np.array(net.blobs[name].data)
    grab(out, "sizes", net)
    return out
'''
