"""The cases in which the layers that FCN does not need are held against genuine Caffe.

In:   Case of layer_case.py.
Out:  CASES, at least three settings a layer type: defaults, unusual ones, an edge.
Not here: running them (layer_case.py), genuine Caffe's answers (tests/reference/record_layers.py); what
      genuine Caffe cannot judge: Clip, BatchNorm in TRAIN, STOCHASTIC pooling (test_layer_formulas.py).
"""

from __future__ import annotations

from tests.caffe.layer_case import Case

_X = [(2, 3, 2, 4)]
_POSITIVE = ("positive",)


def _neuron(kind, text="", field="", **more):
    """Return a case out of place and one in place."""
    name = kind.lower() + (f"_{text.replace(': ', '').replace(' ', '_')}" if text else "")
    body = f'type: "{kind}"' + (f" {field or kind.lower()}_param {{ {text} }}" if text else "")
    return [Case(name, body, _X, **more), Case(f"{name}_in_place", body, _X, in_place=True, **more)]


_NEURONS = [
    *_neuron("BNLL"), Case("bnll_row", 'type: "BNLL"', [(5,)]),
    *_neuron("ELU"), *_neuron("ELU", "alpha: 0.3"), *_neuron("ELU", "alpha: -2"),
    *_neuron("Exp"), *_neuron("Exp", "base: 2 scale: -0.5 shift: 1"), *_neuron("Exp", "scale: 0 shift: 2"),
    *_neuron("Log", kinds=_POSITIVE), *_neuron("Log", "base: 10 scale: 2 shift: 0.5", kinds=_POSITIVE),
    *_neuron("Log", "base: 0.5 scale: -1 shift: 4"),
    *_neuron("PReLU"), *_neuron("PReLU", "channel_shared: true"),
    *_neuron("PReLU", 'filler { type: "uniform" min: -1 max: 1 }'), Case("prelu_vector", 'type: "PReLU"', [(3, 4)]),
    *(Case(f"{kind.lower()}_{name}", f'type: "{kind}"', [shape])
      for kind in ("Sigmoid", "TanH") for name, shape in (("vector", (5,)), ("scalar", ()))),
    *_neuron("Swish"), *_neuron("Swish", "beta: 2.5"), *_neuron("Swish", "beta: 0"),
    Case("absval", 'type: "AbsVal"', _X, kinds=("ties",)), Case("absval_vector", 'type: "AbsVal"', [(5,)]),
    Case("absval_scalar", 'type: "AbsVal"', [()]),
    Case("threshold", 'type: "Threshold"', _X, kinds=("ties",), backward=False),
    Case("threshold_1", 'type: "Threshold" threshold_param { threshold: 1 }', _X, kinds=("ties",), backward=False),
    Case("threshold_in_place", 'type: "Threshold" threshold_param { threshold: -1 }', _X, in_place=True,
         backward=False),
]


def _argmax(name, text, shape=(2, 3, 2, 4), **more):
    return Case(f"argmax_{name}", f'type: "ArgMax" argmax_param {{ {text} }}', [shape], kinds=("ties",),
                backward=False, **more)


def _reduction(name, text, shape=(2, 3, 4)):
    return Case(f"reduction_{name}", f'type: "Reduction" reduction_param {{ {text} }}', [shape])


def _tile(name, text, shape=(2, 3, 4)):
    return Case(f"tile_{name}", f'type: "Tile" tile_param {{ {text} }}', [shape])


_SHAPES = [
    _argmax("all", ""), _argmax("top3", "top_k: 3 out_max_val: true"), _argmax("axis", "axis: 1"),
    _argmax("axis_values", "axis: -1 top_k: 2 out_max_val: true"), _argmax("vector", "top_k: 2", (3, 5)),
    _argmax("five_axes", "top_k: 2 out_max_val: true", (2, 2, 1, 3, 2)),
    *(_reduction(f"{op.lower()}_{axis}", f"operation: {op} axis: {axis} coeff: {coeff}")
      for op in ("SUM", "ASUM", "SUMSQ", "MEAN") for axis, coeff in ((0, 1), (1, -2.5), (-1, 0.5))),
    _tile("rows", "axis: 0 tiles: 3"), _tile("channels", "tiles: 2"), _tile("last", "axis: -1 tiles: 4"),
    _tile("once", "tiles: 1"),
]


def _embed(name, text, shape=(4, 3), **more):
    return Case(f"embed_{name}", f'type: "Embed" embed_param {{ input_dim: 5 {text} }}', [shape], kinds=("index:5",),
                learn=(), **more)


def _mvn(name, text="", shape=(2, 3, 2, 4), **more):
    return Case(f"mvn_{name}", f'type: "MVN" mvn_param {{ {text} }}', [shape], **more)


_ITEMS = [
    Case("silence_one", 'type: "Silence"', [(2, 3, 4, 5)], tops=0),
    Case("silence_scalar", 'type: "Silence"', [()], tops=0),
    *(Case(f"input_{name}", f'type: "Input" input_param {{ shape {{ {dims} }} }}', backward=False)
      for name, dims in (("five_axes", "dim: 2 dim: 1 dim: 3 dim: 1 dim: 2"), ("scalar", ""))),
    _embed("plain", "num_output: 4"), _embed("no_bias", "num_output: 2 bias_term: false", (6,)),
    _embed("filled", 'num_output: 3 weight_filler { type: "xavier" } bias_filler { value: 2 }', (2, 2, 1)),
    Case("filter", 'type: "Filter"', [(6, 3), (6, 1)], kinds=("values", "flags"), learn=(0,)),
    Case("filter_two", 'type: "Filter"', [(7, 2, 2), (7, 4), (7, 1, 1)], tops=2,
         kinds=("values", "values", "flags"), learn=(0, 1)),
    Case("filter_some", 'type: "Filter"', [(5, 2), (5, 3), (5,)], tops=2, kinds=("values", "values", "ties"),
         learn=(1,)),
    Case("batchreindex", 'type: "BatchReindex"', [(4, 3), (6,)], kinds=("values", "index:4"), learn=(0,)),
    Case("batchreindex_one", 'type: "BatchReindex"', [(3, 2, 2), (1,)], kinds=("values", "index:3"), learn=(0,)),
    Case("batchreindex_vector", 'type: "BatchReindex"', [(5,), (4,)], kinds=("values", "index:5"), learn=(0,)),
    _mvn("plain"), _mvn("across", "across_channels: true"), _mvn("mean", "normalize_variance: false"),
    _mvn("mean_across", "normalize_variance: false across_channels: true eps: 0.1"),
    _mvn("vector", "across_channels: true eps: 0.5", (3, 5)), _mvn("in_place", in_place=True, backward=False),
    *(Case(f"batchnorm_{name}", f'type: "BatchNorm" {text}', [shape], learn=(0,), positive_params=True, in_place=place)
      for name, text, shape, place in (
          ("test", "phase: TEST", (3, 2, 2, 2), False),
          ("global", "batch_norm_param { use_global_stats: true eps: 0.1 }", (2, 3, 4), False),
          ("fraction", "phase: TEST batch_norm_param { moving_average_fraction: 0.5 }", (4, 1, 2), False),
          ("two_axes", "batch_norm_param { use_global_stats: true }", (4, 3), False))),
    *(Case(f"parameter_{name}", f'type: "Parameter" parameter_param {{ shape {{ {dims} }} }}', learn=())
      for name, dims in (("matrix", "dim: 2 dim: 3"), ("scalar", ""), ("map", "dim: 1 dim: 2 dim: 2 dim: 1"))),
]


def _im2col(name, text, shapes=((2, 3, 5, 6),)):
    return Case(f"im2col_{name}", f'type: "Im2col" convolution_param {{ {text} }}', list(shapes))


def _spp(name, text, shape=(2, 3, 7, 9)):
    return Case(f"spp_{name}", f'type: "SPP" spp_param {{ {text} }}', [shape])


_HIGH = (2, 2, 3, 3, 2, 3)  # four spatial axes
_WINDOWS = [
    _im2col("plain", "kernel_size: 3"), _im2col("all", "kernel_size: 2 stride: 2 pad: 1 dilation: 2"),
    _im2col("sides", "kernel_h: 3 kernel_w: 1 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 0"),
    _im2col("1d", "kernel_size: 3 pad: 1", ((2, 3, 5),)), _im2col("3d", "kernel_size: 2", ((1, 2, 3, 4, 3),)),
    _im2col("axis", "axis: 2 kernel_size: 2", ((2, 2, 3, 3, 4),)),
    _im2col("force_nd", "kernel_size: 2 force_nd_im2col: true"),
    _spp("two", "pyramid_height: 2"), _spp("one", "pyramid_height: 1"), _spp("ave", "pyramid_height: 3 pool: AVE"),
    _spp("square", "pyramid_height: 3", (1, 2, 8, 8)),
    *(Case(f"{kind.lower()}_4d{name}", f'type: "{kind}" convolution_param {{ {text} }}', [_HIGH])
      for kind in ("Convolution", "Deconvolution")
      for name, text in (("", "num_output: 3 kernel_size: 2"),
                         ("_all", "num_output: 4 group: 2 kernel_size: 2 pad: 1 stride: 2 dilation: 2 "
                                  'bias_filler { value: 1 }'),
                         ("_no_bias", "num_output: 2 kernel_size: 1 kernel_size: 2 kernel_size: 1 kernel_size: 2 "
                                      "bias_term: false"))),
]


def _loss(kind, name, text, shapes, kinds=(), learn=None, labels=0):
    return Case(f"{kind.lower()}_{name}", f'type: "{kind}" {text}', list(shapes), kinds=kinds, learn=learn,
                labels=labels)


def _gain(name, text, shapes, labels):
    return _loss("InfogainLoss", name, text, shapes, ("values", f"index:{labels}", "unit"), learn=(0,))


_PAIRS = ((6, 4), (6, 4), (6,))
_LOSSES = [
    _loss("HingeLoss", "l1", "", ((5, 4), (5,)), labels=4),
    _loss("HingeLoss", "l2", "hinge_loss_param { norm: L2 }", ((5, 4), (5, 1)), labels=4),
    _loss("HingeLoss", "map", "hinge_loss_param { norm: L2 } loss_weight: 3", ((3, 2, 2, 2), (3,)), labels=8),
    _loss("MultinomialLogisticLoss", "plain", "", ((5, 4), (5,)), ("unit", "index:4")),
    _loss("MultinomialLogisticLoss", "column", "loss_weight: 0.5", ((5, 4, 1, 1), (5, 1, 1, 1)), ("unit", "index:4")),
    _loss("MultinomialLogisticLoss", "negative", "", ((4, 3), (4,)), ("values", "index:3")),
    _loss("ContrastiveLoss", "plain", "", _PAIRS, ("values", "values", "flags")),
    _loss("ContrastiveLoss", "margin", "contrastive_loss_param { margin: 4 }", _PAIRS, ("values", "values", "flags")),
    _loss("ContrastiveLoss", "legacy", "contrastive_loss_param { margin: 20 legacy_version: true }",
          ((6, 4, 1, 1), (6, 4, 1, 1), (6, 1, 1, 1)), ("values", "values", "index:2")),
    _loss("SigmoidCrossEntropyLoss", "plain", "", ((3, 4), (3, 4)), ("values", "unit")),
    _loss("SigmoidCrossEntropyLoss", "map", "loss_weight: 2", ((2, 3, 2, 2), (2, 12)), ("values", "flags")),
    *(_loss("SigmoidCrossEntropyLoss", f"ignore_{mode.lower()}",
            f"loss_param {{ ignore_label: 1 normalization: {mode} }}", ((3, 2, 2), (3, 2, 2)), ("values", "index:3"))
      for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE")),
    _loss("SigmoidCrossEntropyLoss", "normalize", "loss_param { ignore_label: 0 normalize: true }",
          ((3, 2), (3, 2)), ("values", "index:2")),
    _gain("plain", "", ((4, 3), (4,), (1, 1, 3, 3)), 3),
    _gain("map", "loss_weight: 2", ((2, 5, 2, 3), (2, 1, 2, 3), (5, 5)), 5),
    _gain("axis", "infogain_loss_param { axis: -1 } loss_param { normalization: FULL }", ((2, 3, 4), (2, 3), (16,)), 4),
    _gain("ignore", "loss_param { ignore_label: 1 normalization: NONE }", ((6, 3), (6,), (9,)), 3),
    _loss("EuclideanLoss", "vector", "", ((5,), (5,))),
    _loss("EuclideanLoss", "weight", "loss_weight: -0.5", ((2, 1, 3), (2, 3))),
]


def _recurrent(kind, name, text, shapes, **more):
    count = len(shapes)
    learn = more.pop("learn", tuple(i for i in range(count) if i != 1))
    return Case(f"{kind.lower()}_{name}", f'type: "{kind}" recurrent_param {{ num_output: 3 {text} }}', list(shapes),
                kinds=("values", "flags"), learn=learn, **more)


_STATE = (1, 2, 3)
_SEQUENCES = [
    *(_recurrent(kind, name, text, shapes, tops=tops)
      for kind, states in (("LSTM", 2), ("RNN", 1))
      for name, text, shapes, tops in (
          ("plain", "", ((4, 2, 5), (4, 2)), 1),
          ("filled", 'weight_filler { type: "uniform" min: -0.1 max: 0.1 } bias_filler { value: 0.5 }',
           ((3, 2, 2, 2), (3, 2)), 1),
          ("static", "", ((3, 2, 4), (3, 2), (2, 3)), 1),
          ("one_step", "", ((1, 3, 2), (1, 3)), 1),
          ("exposed", "expose_hidden: true", ((3, 2, 4), (3, 2), *[_STATE] * states), 1 + states),
          ("exposed_static", "expose_hidden: true", ((2, 2, 4), (2, 2), (2, 2, 2), *[_STATE] * states), 1 + states))),
    *(Case(f"lstmunit_{name}", 'type: "LSTMUnit"', [(1, n, d), (1, n, 4 * d), (1, n)], tops=2,
           kinds=("values", "values", kind), learn=(0, 1))
      for name, n, d, kind in (("plain", 3, 2, "flags"), ("single", 1, 1, "flags"), ("part", 4, 3, "values"))),
]

CASES = [*_NEURONS, *_SHAPES, *_ITEMS, *_WINDOWS, *_LOSSES, *_SEQUENCES]
