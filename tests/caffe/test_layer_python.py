"""Python layers: whose instance it is, what is set when, and which errors are whose."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe._caffe.errors import LayerError
from caffe._caffe.layer import Layer
from caffe._caffe.layer_factory import create_layer, layer_type_list
from caffe.proto import caffe_pb2
from tests.caffe.gradient_checker import backward, check_gradient, forward, make_layer

SOURCE = '''
from caffe._caffe.layer import Layer

class Times(Layer):
    """x * factor, the factor learned; notes what it was told."""

    def setup(self, bottom, top):
        self.told = self.param_str, self.param_str_, self.phase
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = float(self.param_str or 1)
        self.reshapes = 0

    def reshape(self, bottom, top):
        self.reshapes += 1
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.blobs[0].data[0]

    def backward(self, top, propagate_down, bottom):
        self.propagate_down = propagate_down
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * self.blobs[0].data[0]
        self.blobs[0].diff[0] += (top[0].diff * bottom[0].data).sum()

class Hasty(Layer):
    def setup(self, bottom, top):
        raise RuntimeError("give me a param_str")

class Broken(Layer):
    def __init__(self, layer_param):
        raise KeyError("mine")

class Silent(Layer):
    def __init__(self, layer_param):
        pass

class NoLayer:
    pass

number = 3
'''


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "user_layers.py").write_text(SOURCE)
    (tmp_path / "needs_more.py").write_text("import module_that_is_not_there\n")
    (tmp_path / "wrong_text.py").write_text("class Odd(:\n")
    (tmp_path / "fails.py").write_text("raise ValueError('at import')\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def text(layer, module="user_layers", more=""):
    return (
        f'name: "mine" type: "Python" python_param {{ module: "{module}" layer: "{layer}" {more} }}'
    )


def create(*args):
    return create_layer(text_format.Parse(text(*args), caffe_pb2.LayerParameter()))


@pytest.mark.usefixtures("user_module")
class TestUserLayer:
    def test_instance_is_the_users_own(self):
        import user_layers

        layer = create("Times")
        assert type(layer) is user_layers.Times
        assert isinstance(layer, Layer)
        assert layer.type == "Python"
        assert layer.name == "mine"

    @pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST])
    def test_told_before_setup(self, phase):
        layer, _, _ = make_layer(text("Times", more='param_str: "2.5"'), [[1]], phase)
        assert layer.told == ("2.5", "2.5", phase)
        assert type(layer.phase) is int
        assert make_layer(text("Times"), [[1]])[0].param_str == ""

    def test_reshape_runs_before_every_forward(self):
        layer, bottom, top = make_layer(text("Times", more='param_str: "3"'), [[1, 2]])
        assert layer.reshapes == 1
        assert forward(layer, bottom, top)[0].tolist() == [3, 6]
        bottom[0].reshape(1, 4)
        bottom[0].data[...] = 1
        assert forward(layer, bottom, top)[0].tolist() == [[3, 3, 3, 3]]
        assert layer.reshapes == 3

    def test_backward_and_learned_blob(self):
        layer, bottom, top = make_layer(text("Times", more='param_str: "3"'), [[1, 2]])
        forward(layer, bottom, top)
        for times in (1, 2):
            diffs, params = backward(layer, top, [True], bottom, [np.ones(2)])
            assert diffs[0].tolist() == [3, 3]
            assert params[0].tolist() == [3 * times]
        assert layer.propagate_down == [True]

    def test_gradient(self):
        check_gradient(text("Times", more='param_str: "3"'), [np.float32([[1, -2], [0.5, 0]])])

    def test_no_loss_weight_by_default(self):
        assert make_layer(text("Times"), [[1]])[0].loss_weights == [0.0]

    @pytest.mark.parametrize(
        ("layer", "module", "error", "words"),
        [
            ("Times", "no_such_module", LayerError, "'no_such_module'.*PYTHONPATH"),
            (
                "Times",
                "user_layers.inner",
                LayerError,
                "python_param.module: 'user_layers.inner'.*PYTHONPATH",
            ),
            (
                "Times",
                "no_such_package.inner",
                LayerError,
                "No module named 'no_such_package'.*PYTHONPATH",
            ),
            (
                "Tims",
                "user_layers",
                LayerError,
                "has no class 'Tims'; its layers: Broken, Hasty, Silent, Times",
            ),
            ("NoLayer", "user_layers", LayerError, "is not a subclass of caffe.Layer"),
            ("number", "user_layers", LayerError, "is not a subclass of caffe.Layer"),
            ("", "user_layers", LayerError, "needs module and layer"),
            ("Times", "", LayerError, "needs module and layer"),
            ("Silent", "user_layers", LayerError, r"must call super\(\).__init__"),
            ("Broken", "user_layers", KeyError, "mine"),
            ("Times", "needs_more", ModuleNotFoundError, "module_that_is_not_there"),
            ("Odd", "wrong_text", SyntaxError, "invalid syntax"),
            ("Odd", "fails", ValueError, "at import"),
        ],
    )
    def test_errors(self, layer, module, error, words):
        with pytest.raises(error, match=words) as caught:
            create(layer, module)
        assert type(caught.value) is error
        if error is LayerError:
            assert "layer 'mine' (Python)" in str(caught.value)

    def test_setup_error_passes_through(self):
        with pytest.raises(RuntimeError, match="give me a param_str") as caught:
            make_layer(text("Hasty"), [])
        assert type(caught.value) is RuntimeError


def test_listed():
    assert "Python" in layer_type_list()
    assert Layer.type == "Layer"  # an instance's type leaves the base alone


@pytest.mark.usefixtures("user_module")
def test_in_a_net(tmp_path):
    import user_layers

    source = tmp_path / "net.prototxt"
    source.write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
        'layer { name: "mine" type: "Python" bottom: "x" top: "y" loss_weight: 1'
        '  python_param { module: "user_layers" layer: "Times" param_str: "3" } }'
    )
    net = caffe.Net(str(source), caffe.TRAIN)
    layer = net.layers[1]
    assert type(layer) is user_layers.Times
    assert issubclass(user_layers.Times, caffe.Layer)
    net.blobs["x"].data[...] = [1, 2]
    assert net.forward()["y"].tolist() == [3, 6]
    net.backward()
    assert net.params["mine"][0].diff.tolist() == [3]
    assert layer.propagate_down == [False]
    assert layer.reshapes == 2
