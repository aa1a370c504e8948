"""Small nets in which construction and passes are held against genuine Caffe.

In:   nothing.
Out:  CASES: name -> (text of the net, phase, level, stages).
Not here: what is run in them (tests/reference/record_net.py), the comparison (test_net_init.py).
"""

from __future__ import annotations

TRAIN, TEST = 0, 1
FILL = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" max: 0.5 }'


def dummy(top, *dims, more=""):
    shape = " ".join(f"dim: {d}" for d in dims)
    return (f'layer {{ name: "{top}" type: "DummyData" top: "{top}" {more} dummy_data_param {{ shape {{ {shape} }} '
            'data_filler { type: "gaussian" std: 1 } } }\n')


def full(name, bottom, top=None, n=3, more=""):
    return (f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top or name}" {more} '
            f"inner_product_param {{ num_output: {n} {FILL} }} }}\n")


def layer(name, kind, bottoms, tops=(), more=""):
    ends = " ".join([*(f'bottom: "{b}"' for b in bottoms), *(f'top: "{t}"' for t in tops)])
    return f'layer {{ name: "{name}" type: "{kind}" {ends} {more} }}\n'


DATA = dummy("data", 2, 3) + dummy("target", 2, 3)
LABEL = ('layer { name: "label" type: "DummyData" top: "label" dummy_data_param { shape { dim: 2 } '
         'data_filler { value: 1 } } }\n')
LOSS = layer("loss", "EuclideanLoss", ["b", "target"], ["loss"])
FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 }"
CHAIN = full("a", "data") + full("b", "a")
TWO = full("a", "data", more='param { name: "w" %s } param { name: "c" }') + \
    full("b", "data", more='param { name: "w" %s } param { name: "c" }') + \
    layer("loss", "EuclideanLoss", ["a", "b"], ["loss"])
# one file for training, validation and deployment, told apart by phase, stage and level
ALL_IN_ONE = (
    dummy("data", 2, 3, more='include { phase: TRAIN } include { phase: TEST stage: "val" }') +
    'layer { name: "input" type: "Input" top: "data" include { stage: "deploy" } '
    "input_param { shape { dim: 1 dim: 3 } } }\n" +
    'layer { name: "label" type: "DummyData" top: "label" exclude { stage: "deploy" } '
    "dummy_data_param { shape { dim: 2 } } }\n" +
    full("a", "data") +
    layer("loss", "SoftmaxWithLoss", ["a", "label"], ["loss"], 'include { not_stage: "deploy" }') +
    layer("acc", "Accuracy", ["a", "label"], ["acc"],
          'include { phase: TEST stage: "val" min_level: 1 max_level: 3 }') +
    layer("prob", "Softmax", ["a"], ["prob"], 'include { stage: "deploy" }'))

CASES = {
    "deploy": (DATA + CHAIN, TEST, 0, []),
    "deploy_forced": ("force_backward: true\n" + DATA + CHAIN, TEST, 0, []),
    "loss": (DATA + CHAIN + LOSS, TRAIN, 0, []),
    "loss_forced": ("force_backward: true\n" + DATA + CHAIN + LOSS, TRAIN, 0, []),
    "labels_are_not_forced": ("force_backward: true\n" + DATA + LABEL + CHAIN + layer(
        "loss", "SoftmaxWithLoss", ["b", "label"], ["loss"]), TRAIN, 0, []),
    "frozen_below": (DATA + full("a", "data", more=FROZEN) + full("b", "a") + LOSS, TRAIN, 0, []),
    "frozen_above": (DATA + full("a", "data") + full("b", "a", more=FROZEN) + LOSS, TRAIN, 0, []),
    "frozen_weight_only": (DATA + full("a", "data") + full("b", "a", more="param { lr_mult: 0 }") + LOSS, TRAIN, 0, []),
    "all_frozen": (DATA + full("a", "data", more=FROZEN) + full("b", "a", more=FROZEN) + LOSS, TRAIN, 0, []),
    "frozen_forced": ("force_backward: true\n" + DATA + full("a", "data", more=FROZEN) + full("b", "a") + LOSS,
                      TRAIN, 0, []),
    "weight_of_a_loss": (DATA + CHAIN + layer("loss", "EuclideanLoss", ["b", "target"], ["loss"], "loss_weight: 2.5"),
                         TRAIN, 0, []),
    "loss_weighed_zero": (DATA + CHAIN + layer("loss", "EuclideanLoss", ["b", "target"], ["loss"], "loss_weight: 0"),
                          TRAIN, 0, []),
    "weight_in_the_middle": (DATA + full("a", "data", more="loss_weight: 3") + full("b", "a") + LOSS, TRAIN, 0, []),
    "weight_in_the_middle_only": (DATA + full("a", "data", more="loss_weight: -0.5") + full("b", "a"), TRAIN, 0, []),
    "two_losses_on_one_blob": (DATA + CHAIN + LOSS + layer(
        "again", "EuclideanLoss", ["b", "target"], ["again"], "loss_weight: 0.1"), TRAIN, 0, []),
    "loss_without_a_top": (DATA + CHAIN + layer("loss", "EuclideanLoss", ["b", "target"]), TRAIN, 0, []),
    "branch_without_a_loss": (DATA + CHAIN + full("c", "a") + layer("s", "Silence", ["c"]) + LOSS, TRAIN, 0, []),
    "accuracy_beside_a_loss": (DATA + LABEL + CHAIN + layer("acc", "Accuracy", ["b", "label"], ["acc"]) + layer(
        "loss", "SoftmaxWithLoss", ["b", "label"], ["loss"]), TRAIN, 0, []),
    "no_way_down": (DATA + full("a", "data") + full("b", "a", more="propagate_down: false") + LOSS, TRAIN, 0, []),
    "way_down_to_data": (DATA + full("a", "data", more="propagate_down: true") + full("b", "a") + LOSS, TRAIN, 0, []),
    "one_way_of_two": (DATA + full("a", "data") + full("c", "data") + layer(
        "b", "Eltwise", ["a", "c"], ["b"], "propagate_down: false propagate_down: true") + LOSS, TRAIN, 0, []),
    "skipped_all_the_way": (DATA + CHAIN + layer(
        "loss", "EuclideanLoss", ["b", "target"], ["loss"], "propagate_down: false propagate_down: false"),
        TRAIN, 0, []),
    "forced_over_no_way_down": ("force_backward: true\n" + DATA + full("a", "data") + full(
        "b", "a", more="propagate_down: false") + LOSS, TRAIN, 0, []),
    "in_place_then_split": (DATA + full("a", "data") + layer("r", "ReLU", ["a"], ["a"]) + full("c", "a") + layer(
        "b", "Eltwise", ["a", "c"], ["b"]) + LOSS, TRAIN, 0, []),
    "shared": (DATA + TWO % ("", ""), TRAIN, 0, []),
    "shared_one_after_the_other": (DATA + full("a", "data", more='param { name: "w" }') + full(
        "b", "a", more='param { name: "w" }') + LOSS, TRAIN, 0, []),
    "shared_lr_mult_of_the_second": (DATA + TWO % ("", "lr_mult: 0"), TRAIN, 0, []),
    "shared_permissively": (DATA + full("a", "data", more='param { name: "w" }', n=4) +
                            'layer { name: "b" type: "InnerProduct" bottom: "data" top: "b" param { name: "w" '
                            "share_mode: PERMISSIVE } inner_product_param { num_output: 4 transpose: true } }\n" +
                            layer("loss", "EuclideanLoss", ["a", "b"], ["loss"]), TRAIN, 0, []),
    "reshapes": (DATA + CHAIN + layer("f", "Flatten", ["b"], ["f"], "flatten_param { axis: 0 }") + layer(
        "q", "Reshape", ["f"], ["q"], "reshape_param { shape { dim: 2 dim: -1 } }") + layer(
        "loss", "EuclideanLoss", ["q", "target"], ["loss"]), TRAIN, 0, []),
    "slices": (DATA + full("a", "data", n=4) + layer("s", "Slice", ["a"], ["s0", "s1"]) + layer(
        "cat", "Concat", ["s1", "s0"], ["cat"]) + full("b", "cat") + LOSS, TRAIN, 0, []),
    "input_fields": ('input: "data" input: "more" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1 input_dim: 2 '
                     "input_dim: 3 input_dim: 1 input_dim: 1\n" + full("b", "data"), TEST, 0, []),
    "layers_of_one_name": (DATA + full("a", "data") + full("a", "a", "b") + LOSS, TRAIN, 0, []),
    "outputs_in_order": (DATA + full("z", "data") + full("c", "data") + full("m", "target"), TEST, 0, []),
    "all_in_one_train": (ALL_IN_ONE, TRAIN, 0, []),
    "all_in_one_val": (ALL_IN_ONE, TEST, 0, ["val"]),
    "all_in_one_val_level": (ALL_IN_ONE, TEST, 2, ["val", "more"]),
    "all_in_one_level_too_high": (ALL_IN_ONE, TEST, 4, ["val"]),
    "all_in_one_deploy": (ALL_IN_ONE, TEST, 0, ["deploy"]),
    "state_of_the_file": ('state { phase: TRAIN level: 2 stage: "val" }\n' + ALL_IN_ONE, TEST, 1, []),
}
