"""Whole architectures at full size: values and gradients beside genuine Caffe's, float64's and recorded ones.

Oracles: genuine Caffe live, where it is installed, and its recorded figures; float64 by torch autograd.
Not here: VGG-16, training of large nets, batches of 4: `make architectures` has every net in every form.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bench.architectures import ARCHITECTURES, draft
from tests.bvlc import BVLC_PYTHON
from tests.caffe.architectures import Case, Comparison, compare, prepare
from tests.reference.record_architectures import faults, load

# ten seconds and more; SegNet's trunk and CaffeNet's head are all that it is made of
LEFT_OUT = {"vgg16_bn"}
# seconds each; what they are made of is trained in smaller nets
TEST_ALONE = {"caffenet", "segnet_encoder", "inception_v3", "resnet_50", "se_resnet_50",
              "densenet_121"}
LEARNED = {"resnet_20", "se_resnet_20", "densenet_40", "mobilenet_v2"}


def forms_of(name):
    return ("test",) + (() if name in TEST_ALONE else ("train",)) + (("learned",) if name in LEARNED else ())


@pytest.fixture(scope="module")
def recorded():
    return load()


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in LEFT_OUT])
def test_values_and_gradients(name, recorded):
    found = compare(name, 1, forms_of(name), genuine=BVLC_PYTHON.exists())
    lines = found.lines
    for form, (ours, _, values) in found.figures.items():
        if form != "learned":
            lines += faults(f"{name} {form}", ours, recorded[f"{name}/{form}"], values)
    assert not lines, "\n".join(lines)


# -- the comparison finds faults: one value or gradient is made wrong, by little


class Wrong(Case):
    """A net one of whose arrays comes out wrong: `wrong` maps its key to what is done to its values."""

    wrong: dict = {}

    def ours(self, form, plans=True):
        found = super().ours(form, plans)
        for key, change in self.wrong.items():
            if key in found:
                change(found[key].reshape(-1))
        return found


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return prepare("resnet_20", tmp_path_factory.mktemp("resnet_20"))


def lines_of(net, form, **wrong):
    case = Wrong(**{field.name: getattr(net, field.name) for field in dataclasses.fields(net)})
    object.__setattr__(case, "wrong", wrong)
    found = Comparison(case, (form,), genuine=False)
    found.compare(form, (False,))
    return found.lines


def add(share):
    def change(values):
        values[np.abs(values).argmin()] += share * np.abs(values).max()

    return change


def rectify_the_largest(values):
    values[values.argmax()] = 0


@pytest.mark.parametrize(("form", "key", "change"), [
    ("test", "data/res2b_branch2a", add(2e-5)), ("train", "data/res2b_branch2a", rectify_the_largest),
    ("train", "diff/res2b", add(2e-4)), ("train", "param_diff/conv1/0", add(2e-4)),
    ("learned", "statistics/conv1/bn/1", add(2e-5))])
def test_a_wrong_array_is_named(net, form, key, change):
    kind, name = key.split("/", 1)
    assert any(line.startswith(f"resnet_20 {form} layer by layer {kind} {name}: ")
               for line in lines_of(net, form, **{key: change}))


def test_what_is_right_has_no_faults(net):
    assert lines_of(net, "learned") == []


def test_recorded_figures_find_faults(recorded):
    rows = recorded["lenet/train"]
    assert faults("lenet", rows, rows, 9) == []
    wrong = rows.copy()
    wrong[3, 0] *= 1.002
    wrong[12, 0] *= 1.03
    assert [line.partition(":")[0] for line in faults("lenet", wrong, rows, 9)] == ["lenet, array 3", "lenet, array 12"]
    assert "record anew" in faults("lenet", rows[1:], rows, 9)[0]


# -- the generators: published numbers of parameters, in millions


@pytest.mark.parametrize(("name", "millions"), [
    ("lenet", 0.431), ("caffenet", 60.97), ("squeezenet", 1.235), ("googlenet", 6.999), ("resnet_50", 25.5),
    ("resnet_18", 11.7), ("densenet_121", 7.98), ("mobilenet_v1", 4.23), ("mobilenet_v2", 3.50), ("vgg16_bn", 138.4),
    ("inception_v3", 23.8), ("nin", 7.6)])
def test_parameters(name, millions, tmp_path):
    import caffe

    path = tmp_path / "net.prototxt"
    path.write_text(draft(name, fillers=False).text())
    net = caffe.Net(str(path), caffe.TEST)
    count = sum(blob.count for layer, blobs in net.params.items() for blob in blobs
                if net.layer_dict[layer].type != "BatchNorm")
    assert count / 1e6 == pytest.approx(millions, rel=5e-3)


def test_an_unknown_net_is_named():
    with pytest.raises(KeyError, match="net 'alex': want one of lenet, "):
        draft("alex")
