"""The fast reader of plain prototxt reads nothing that text_format refuses or reads in another way."""

from __future__ import annotations

import random

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor

from caffe._caffe.files import proto_text
from caffe._caffe.files.plain_text import read_plain
from caffe._caffe.files.proto_pool import MESSAGES

NET = MESSAGES["NetParameter"]
STRINGS = ["", "a", "conv1/7x7_s2", "two words", "#", "{"]
ODD_STRINGS = ["é", "tab\there", "it's", 'say "x"', "back\\slash", "new\nline"]
INTS = [0, 1, 7, 2**31 - 1]
FLOATS = [0.0, 1.0, -1.5, 0.1, 1e-8, 3e38, 1e-45]
ODD_FLOATS = [float("inf"), float("-inf"), float("nan")]
BITS = ["{", "}", ":", ";", ",", '"', "'", "\\", "#", "\n", " ", "-", ".", "0", "1", "e5", "_", "x", "<", ">", "[",
        "]", "true", "1.5", "010", "0x1F", "1e3", "nan", "inf", "MAX", "TRAIN", "name", "layer", "layer {", "dim: 3",
        "\t", "\r", '"a" "b"', "\x00", "\u00a0", "é", "1_0", "9999999999", "-1", "1e999", "+1", "f", "1.", "00",
        "-0", "0.5.1", "1-2"]


def value_of(field, rng, odd):
    """Return a value of the kind of a scalar field; odd: also one that plain text does not hold."""
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice(FLOATS + ODD_FLOATS * odd)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return rng.choice([value.number for value in field.enum_type.values])
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        text = rng.choice(STRINGS + ODD_STRINGS * odd)
        return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
    signed = field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
    return rng.choice(INTS) * (rng.choice([1, -1]) if signed else 1)


def fill(message, rng, odd, depth=0):
    """Set some fields of a message, and of those in it, at random; return it."""
    fields = list(message.DESCRIPTOR.fields)
    for field in rng.sample(fields, min(len(fields), rng.randrange(6))):
        now = getattr(message, field.name)
        if field.message_type is None and hasattr(now, "append"):
            now.extend(value_of(field, rng, odd) for _ in range(rng.randrange(4)))
        elif field.message_type is None:
            setattr(message, field.name, value_of(field, rng, odd))
        elif depth < 4:
            for inner in [now.add() for _ in range(rng.randrange(4))] if hasattr(now, "add") else [now]:
                inner.SetInParent()
                fill(inner, rng, odd, depth + 1)
    return message


def check(text, kind=NET):
    """Hold the fast reader against text_format; return whether it read the text."""
    plain = read_plain(text, kind)
    if plain is None:
        return False
    want = text_format.Parse(text, kind())  # an error here is the failure
    assert plain.SerializePartialToString(deterministic=True) == want.SerializePartialToString(deterministic=True), text
    return True


def test_random_messages_as_text():
    rng = random.Random(1)
    read = 0
    for _ in range(300):
        message = fill(NET(), rng, odd=True)
        text = text_format.MessageToString(message, as_one_line=rng.random() < 0.2, as_utf8=rng.random() < 0.5,
                                           use_index_order=True)
        read += check(text)
    assert read > 100  # not those with escapes, inf or nan


def test_mutated_texts():
    rng = random.Random(2)
    read = 0
    for _ in range(150):
        text = text_format.MessageToString(fill(NET(), rng, odd=False))
        for _ in range(20):
            at = rng.randrange(len(text) + 1)
            changed = text[:at] + rng.choice([*BITS, text[at:at + 20]]) + text[at + rng.choice([0, 0, 1, 2, 5]):]
            read += check(changed)
    assert read > 200


@pytest.mark.parametrize("text", [
    "name: 'n' layer { name: \"a\" type: 'ReLU' }", "name: 'n'; layer: { name: 'a' }, force_backward: true;",
    "# one\nname: 'a' # two\n# three", "layer{name:'a'top:'b'}",
    "layer { convolution_param { kernel_size: 3 kernel_size: 5 } }",
    "layer { relu_param {} }", "input_dim: 1 input_dim: -2",
    "layer { phase: TRAIN dropout_param { dropout_ratio: 1e-1 } }",
    "layer { power_param { power: -0.5 scale: 2. shift: 3E+2 } }", "name: 'é # no comment {'",
    "\r\n\tname:\n'a'\r\n", ""])
def test_texts_that_are_plain(text):
    assert check(text)


@pytest.mark.parametrize("text", [
    "input_dim: [1, 2]", "layer < name: 'a' >", "name: 'a' 'b'", r"name: 'a\n'", "input_dim: 010", "input_dim: 0x10",
    "input_dim: 1_0", "force_backward: 1", "layer { phase: 0 }", "layer { power_param { power: 1f } }",
    "layer { power_param { power: -inf } }"])
def test_texts_left_to_the_whole_language(text):
    assert read_plain(text, NET) is None
    assert proto_text.parse_text(text, NET()) == text_format.Parse(text, NET())


@pytest.mark.parametrize("text", [
    "name", "name 'a'", "name: a", "name: 1", "name: 'a' name: 'b'", "layer: 3", "layer {", "layer { } }",
    "input_dim: 1.5", "input_dim: 9999999999", "input_dim: 1-2", "force_backward: maybe", "layer { phase: Test }",
    "zzz: 1", "name: { }", "state { } state { }", "// name: 'a'", "name: 'a", "name: 'a\n'", "input_dim: '1'",
    "layer { relu_param: 1 }"])
def test_wrong_texts_are_not_read(text):
    assert read_plain(text, NET) is None
    with pytest.raises(text_format.ParseError):
        text_format.Parse(text, NET())
