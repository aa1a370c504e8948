"""Where splits go and what they are called; test_caffemodel.py holds whole nets against genuine Caffe's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe._caffe.errors import NetError
from caffe._caffe.files.proto_text import parse_text
from caffe._caffe.net.insert_splits import insert_splits
from caffe.proto import caffe_pb2


def layer(name, bottoms="", tops="", more=""):
    bottoms = "".join(f' bottom: "{b}"' for b in bottoms.split())
    return f'layer {{ name: "{name}"{bottoms}' + "".join(f' top: "{t}"' for t in tops.split()) + f" {more} }}\n"


def split(name, bottom, count, more=""):
    return layer(name, bottom, " ".join(f"{name}_{k}" for k in range(count)), 'type: "Split" ' + more)


def check(before, after):
    given_net = parse_text(before, caffe_pb2.NetParameter())
    copy = given_net.SerializeToString()
    assert str(insert_splits(given_net)) == str(parse_text(after, caffe_pb2.NetParameter()))
    assert given_net.SerializeToString() == copy, "the message given must stay as it was"
    check_again = parse_text(after, caffe_pb2.NetParameter())
    assert insert_splits(check_again) == check_again, "a net that has its splits needs no more"


def test_single_use_needs_none():
    text = layer("d", "", "x y") + layer("a", "x", "x") + layer("b", "x", "z") + layer("l", "z y")
    check(text, text)


def test_two_users():
    check(layer("d", "", "x y") + layer("a", "x y", "a") + layer("b", "y x x", "b"),
          layer("d", "", "x y") + split("x_d_0_split", "x", 3) + split("y_d_1_split", "y", 2)
          + layer("a", "x_d_0_split_0 y_d_1_split_0", "a")
          + layer("b", "y_d_1_split_1 x_d_0_split_1 x_d_0_split_2", "b"))


def test_last_writer_in_place_is_the_producer():
    check(layer("d", "", "x") + layer("conv", "x", "c") + layer("relu", "c", "c") + layer("a", "c") + layer("b", "c"),
          layer("d", "", "x") + layer("conv", "x", "c") + layer("relu", "c", "c") + split("c_relu_0_split", "c", 2)
          + layer("a", "c_relu_0_split_0") + layer("b", "c_relu_0_split_1"))


def test_use_before_an_in_place_layer_splits_its_producer_too():
    check(layer("d", "", "x") + layer("a", "x") + layer("relu", "x", "x") + layer("b", "x") + layer("c", "x"),
          layer("d", "", "x") + split("x_d_0_split", "x", 2) + layer("a", "x_d_0_split_0")
          + layer("relu", "x_d_0_split_1", "x") + split("x_relu_0_split", "x", 2)
          + layer("b", "x_relu_0_split_0") + layer("c", "x_relu_0_split_1"))


def test_loss_weight_is_a_use_and_moves_to_the_split():
    check(layer("d", "", "x") + layer("p", "x", "p", "loss_weight: 0.5") + layer("a", "p", "a") + layer("b", "p", "b"),
          layer("d", "", "x") + layer("p", "x", "p")
          + split("p_p_0_split", "p", 3, "loss_weight: [0.5, 0, 0]")
          + layer("a", "p_p_0_split_1", "a") + layer("b", "p_p_0_split_2", "b"))


def test_loss_weight_of_an_output_or_of_zero_is_no_use():
    text = layer("d", "", "x") + layer("p", "x", "p", "loss_weight: 0") + layer("l", "p", "l", "loss_weight: 2")
    check(text, text)


def test_unknown_bottom():
    text = layer("d", "", "x") + layer("a", "x nothing", "a")
    with pytest.raises(NetError, match=r"^Unknown bottom blob 'nothing' \(layer 'a', bottom index 1\)"):
        insert_splits(parse_text(text, caffe_pb2.NetParameter()))


names = st.sampled_from("abcd")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(names, max_size=3), st.lists(names, max_size=2, unique=True)), max_size=8))
def test_every_top_ends_with_at_most_one_user(layers):
    net = caffe_pb2.NetParameter()
    net.layer.add(name="data", top="abcd")
    for i, (bottoms, tops) in enumerate(layers):
        net.layer.add(name=f"l{i}", bottom=bottoms, top=tops)
    available = set()
    done = insert_splits(net)
    for made in done.layer:
        assert len(set(made.bottom)) == len(made.bottom) and available.issuperset(made.bottom)
        available = (available - set(made.bottom)) | set(made.top)
    kept = [made for made in done.layer if made.type != "Split"]
    assert [(made.name, list(made.top)) for made in kept] == [(old.name, list(old.top)) for old in net.layer]
    for made, old in zip(kept, net.layer, strict=True):
        assert [name.split("_")[0] for name in made.bottom] == list(old.bottom)
