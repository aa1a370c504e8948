"""The coordinate map of the engine: BVLC's answers and errors."""

from __future__ import annotations

import numpy as np
import pytest
from bvlc import run_bvlc

from caffe import coord_map as cm
from caffe import layers as L

# Read by both Caffes: each line an expression of L and cm, evaluated by ours and by genuine Caffe.
DATA = "L.Input(input_param=dict(shape=dict(dim=[1, 3, 5, 5])))"
CASES = """
cm.conv_params(L.Convolution(x, kernel_size=3, stride=[1, 2], dilation=2, pad=1).fn)
cm.conv_params(L.Convolution(x, convolution_param=dict(kernel_size=3, axis=2)).fn)
cm.conv_params(L.Convolution(x, kernel_size=3, stride_h=2).fn)
cm.conv_params(L.Convolution(x, kernel_h=3, kernel_w=2).fn)
cm.conv_params(L.Pooling(x, pooling_param=dict(kernel_size=3)).fn)
cm.crop_params(L.Crop(x, x, crop_param=dict(axis=1, offset=[1, 2, 3])).fn)
cm.crop_params(L.Crop(x, x).fn)
cm.coord_map(L.Concat(x).fn)
cm.coord_map(x.fn)
cm.coord_map(L.ReLU(x).fn)
cm.coord_map(L.Softmax(x).fn)
cm.coord_map(L.Crop(x, x, offset=3).fn)
cm.coord_map(L.Pooling(x, kernel_size=2, stride=2).fn)
cm.coord_map(L.Im2col(x, convolution_param=dict(kernel_size=5, pad=2)).fn)
cm.coord_map(L.Deconvolution(x, convolution_param=dict(kernel_size=4, stride=2)).fn)
cm.compose((1, 2, 3), (2, 3, 4))
cm.compose((None, 2, 3), (2, 3, 4))
cm.compose((1, 2, 3), (None, 3, 4))
cm.inverse((1, 2., 3))
cm.crop(x, L.Input())
cm.crop(x, L.Pooling(x, kernel_size=2, stride=2))
cm.crop(x, L.Convolution(x, kernel_size=3, pad=2))
cm.crop(x, L.Convolution(x, kernel_size=2, pad=0))
cm.crop(x, L.Convolution(x, kernel_size=[3, 5], pad=0)).fn.params
cm.crop(x, L.Convolution(x, kernel_size=7, pad=0)).fn.params
cm.coord_map_from_to(x, L.Convolution(x, kernel_size=[3, 5], pad=0))
cm.coord_map_from_to(L.Pooling(x, kernel_size=2, stride=2), L.Convolution(x, kernel_size=[3, 5]))
cm.coord_map_from_to(L.Pooling(L.Concat(x), kernel_size=2, stride=2), x)
cm.coord_map_from_to(L.Crop(L.ReLU(x), L.Convolution(x, kernel_size=3), offset=2), x)
cm.coord_map_from_to(L.Eltwise(L.Convolution(x, kernel_size=3), L.Convolution(x, kernel_size=3)), x)
cm.coord_map_from_to(x, L.InnerProduct(x))
cm.coord_map_from_to(L.Convolution(x, kernel_size=3, axis=2), L.Convolution(x, kernel_size=3))
""".strip().splitlines()

ANSWER = '''
def answer(case, L, cm):
    """An expression's value or error as text; numbers as %g, lists and arrays alike."""
    def text(value):
        if isinstance(value, (tuple, list, np.ndarray)):
            return "(" + ", ".join(text(v) for v in value) + ")"
        if isinstance(value, dict):
            return "{" + ", ".join(k + ": " + text(v) for k, v in sorted(value.items())) + "}"
        return "None" if value is None else "%g" % value
    try:
        return text(eval(case, {"L": L, "cm": cm, "x": eval(DATA, {"L": L})}))
    except Exception as error:
        message = str(error) if isinstance(error, (AssertionError, RuntimeError, KeyError)) else ""
        return type(error).__name__ + " " + message
'''


def test_oracle_values_and_errors():
    theirs = run_bvlc("from caffe import coord_map as cm, layers as L\nDATA = str(inp['data'])\n"
                      + ANSWER + "out['answers'] = np.array([answer(str(c), L, cm) for c in inp['cases']])",
                      data=np.array(DATA), cases=np.array(CASES))["answers"]
    space = {"np": np, "DATA": DATA}
    exec(ANSWER, space)  # the same text that genuine Caffe runs
    ours = [space["answer"](case, L, cm) for case in CASES]
    assert dict(zip(CASES, ours, strict=True)) == dict(zip(CASES, theirs.tolist(), strict=True))


def test_pass_through_layers_are_bvlcs():
    theirs = run_bvlc("from caffe import coord_map\nout['names'] = np.array(coord_map.PASS_THROUGH_LAYERS)")
    assert set(cm.PASS_THROUGH_LAYERS) == set(theirs["names"].tolist())


def test_literal_crop_of_an_upsampled_score():
    data = L.Input(input_param=dict(shape=dict(dim=[1, 3, 8, 8])))
    score = L.Deconvolution(L.Convolution(data, kernel_size=3, stride=2, pad=4),
                            convolution_param=dict(kernel_size=3, stride=2))
    # Down: x / 2 + (4 - 1) / 2; up: 2 x + 1; together x + 4.
    crop = cm.crop(score, data)
    assert crop.fn.type_name == "Crop" and crop.fn.params == {"crop_param": {"axis": 2, "offset": [4]}}


@pytest.mark.parametrize("bottom, reference, words", [
    (lambda x: x, lambda x: L.Convolution(x, kernel_size=3, pad=2), "cannot crop negative offset"),
    (lambda x: x, lambda x: L.Convolution(x, kernel_size=2), "cannot crop noninteger offset"),
    (lambda x: x, lambda x: L.Pooling(x, kernel_size=2, stride=2), "scale mismatch on crop"),
    (lambda x: x, lambda x: L.ReLU(x), "nothing to crop")])
def test_crop_refuses(bottom, reference, words):
    x = L.Input()
    with pytest.raises(AssertionError, match=words):
        cm.crop(bottom(x), reference(x))
