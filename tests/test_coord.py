"""The toolkit's coordinate map: closed forms, Concat, Caffe's own map as oracle, errors that help."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from bvlc import run_bvlc

import caffe
from caffe import layers as L
from nets import NetError
from nets.coord import Map, crop, crop_offset, layer_map, map_between


def image():
    return L.Input(input_param=dict(shape=[dict(dim=[1, 3, 8, 8])]))


def conv(bottom, kernel_size, stride=1, pad=0, **more):
    return L.Convolution(bottom, kernel_size=kernel_size, stride=stride, pad=pad, num_output=1, **more)


def deconv(bottom, kernel_size, stride, pad=0):
    return L.Deconvolution(bottom, convolution_param=dict(
        kernel_size=kernel_size, stride=stride, pad=pad, num_output=1))


def pool(bottom, kernel_size=2, stride=2):
    return L.Pooling(bottom, kernel_size=kernel_size, stride=stride)


def vgg_places(bottom, pad, pools=5):
    """The layers of VGG16 that move places."""
    top = conv(bottom, 3, pad=pad)
    for _ in range(pools):
        top = pool(L.ReLU(top, in_place=True))
    return top


@pytest.mark.parametrize("pools, kernel_size, stride, less", [
    (5, 64, 32, -15), (4, 32, 16, -7), (3, 16, 8, -3), (2, 8, 4, -1), (1, 4, 2, 0)])
def test_truncated_nets_offsets(pools, kernel_size, stride, less):
    # Scored straight on pool5 ... pool1: 115, 107, 103, 101, 100 with pad 100.
    data = image()
    for pad in (81, 100):
        assert crop_offset(deconv(vgg_places(data, pad, pools), kernel_size, stride), data) == pad - less


@pytest.mark.parametrize("pad", [81, 97, 100, 107])
def test_fcn32s_offset_is_pad_less_81(pad):
    data = image()
    fc6 = conv(vgg_places(data, pad), 7)
    assert crop_offset(deconv(fc6, 64, 32), data) == pad - 81


def test_concat_lets_the_map_through():
    data = image()
    trunk = pool(conv(data, 7, 2, 10), 3)
    both = L.Concat(conv(trunk, 1), conv(trunk, 3, pad=1))
    assert crop_offset(deconv(both, 7, 4), data) == crop_offset(deconv(trunk, 7, 4), data) == 8
    with pytest.raises(NetError, match="Concat has axis 2, want 1"):
        layer_map(L.Concat(trunk, trunk, axis=2).fn)


def test_half_pixel_names_the_kernel_that_serves():
    data = image()
    score = deconv(pool(pool(conv(data, 11, 4, 100), 3), 3), 32, 16)
    with pytest.raises(NetError, match=r"offset is .*\.5, between pixels; .*kernel_size 31 instead of 32"):
        crop(score, data)
    assert crop_offset(deconv(pool(pool(conv(data, 11, 4, 100), 3), 3), 31, 16), data) >= 0


def test_negative_offset_names_the_pad_that_serves():
    data = image()
    with pytest.raises(NetError, match=r"offset is -17, .*at least 17 pixels"):
        crop(deconv(conv(vgg_places(data, 64), 7), 64, 32), data)
    assert crop_offset(deconv(conv(vgg_places(data, 64 + 17), 7), 64, 32), data) == 0


def test_half_pixel_of_a_skip_names_the_kernel_of_its_reference():
    fine = conv(image(), 3, pad=10)
    for kernel_size, offset in ((4, None), (3, 0)):
        finer = deconv(pool(fine, 3), kernel_size, 2)
        if offset is None:
            with pytest.raises(NetError, match=r"between pixels; .*kernel_size 3 instead of 4"):
                crop(fine, finer)
        else:
            assert crop_offset(fine, finer) == offset


def test_negative_offset_of_a_skip_says_to_swap():
    coarse = image()
    fine = conv(coarse, 3, pad=4)  # places move by + 3
    with pytest.raises(NetError, match=r"offset is -3, .*crop the reference to this blob .* then 3"):
        crop(L.ReLU(coarse), fine)
    assert crop_offset(fine, coarse) == 3


@pytest.mark.parametrize("call, words", [
    (lambda: crop(pool(image()), image()), "no common blob"),
    (lambda: (lambda data: crop(pool(data), data))(image()), "one step in the reference is 0.5 steps"),
    (lambda: layer_map(L.InnerProduct(image()).fn), "InnerProduct layer has no coordinate map"),
    (lambda: layer_map(L.Pooling(image(), global_pooling=True).fn), "global_pooling"),
    (lambda: layer_map(L.Convolution(image(), kernel_h=3, kernel_w=5).fn), "kernel_h or kernel_w"),
    (lambda: layer_map(conv(image(), [3, 5]).fn), r"kernel_size [3, 5], want one number"),
    (lambda: layer_map(L.Convolution(image(), num_output=1).fn), "kernel_size None")])
def test_errors_say_what_was_wrong(call, words):
    with pytest.raises(NetError) as error:
        call()
    assert words in str(error.value)


def test_maps_compose_and_invert_exactly():
    third = Map(Fraction(1, 3), Fraction(-1, 3))
    assert third.after(third.inverse()) == third.inverse().after(third) == Map()
    assert map_between(*[image()] * 2) == Map()


def chain(rng: random.Random):
    """A random trunk and upsampling of equal stride; gives the cropped and the reference Top."""
    data = top = image()
    factor = 1
    for _ in range(rng.randint(1, 5)):
        stride = rng.choice([1, 2, 2])
        kind = rng.choice(["conv", "pool", "relu", "dilated"])
        if kind == "conv":
            top, factor = conv(top, rng.randint(1, 7), stride, rng.randint(0, 40)), factor * stride
        elif kind == "pool":
            top, factor = pool(top, rng.choice([2, 3]), stride), factor * stride
        elif kind == "dilated":
            top = conv(top, 3, pad=rng.randint(0, 40), dilation=rng.randint(1, 3))
        else:
            top = L.Eltwise(L.ReLU(top, in_place=True), top)
    return deconv(top, rng.randint(1, 2 * factor + 1), factor), data


def test_oracle_equal_to_caffes_map_on_random_chains():
    outcomes = set()
    for seed in range(300):
        top, data = chain(random.Random(seed))
        _, scale, shift = caffe.coord_map.coord_map_from_to(data, top)
        assert map_between(data, top) == (float(scale[0]), float(shift[0]))
        try:
            theirs = int(caffe.coord_map.crop(top, data).fn.params["crop_param"]["offset"][0])
        except AssertionError:
            theirs = None
        try:
            ours = crop(top, data).fn.params["crop_param"]["offset"][0]
        except NetError:
            ours = None
        assert ours == theirs
        outcomes.add(ours is None)
    assert outcomes == {True, False}


def test_oracle_toolkit_emits_the_same_nets_on_genuine_caffe():
    from pathlib import Path

    import numpy as np

    from nets.zoo import ZOO, emit, phases

    root = str(Path(__file__).resolve().parent.parent)
    theirs = run_bvlc("""
        import sys
        sys.path.insert(0, str(inp["root"]))
        from nets.zoo import ZOO, emit, phases
        for name in ZOO:
            for phase in phases(name):
                out[name + "." + phase] = np.frombuffer(emit(name, phase).SerializeToString(), np.uint8)
        """, root=np.array(root))
    assert len(theirs) == sum(len(phases(name)) for name in ZOO)
    for key, wire in theirs.items():
        assert emit(*key.split(".")).SerializeToString() == wire.tobytes()
