"""A counter of the process tells whether any blob took another shape or another memory."""

from __future__ import annotations

import numpy as np
import pytest

from caffe._caffe.blob import Blob, shape_version

CHANGES = {
    "another shape": lambda blob, other: blob.reshape(3, 2),
    "fewer values": lambda blob, other: blob.reshape(1),
    "more values": lambda blob, other: blob.reshape(7, 2),
    "the shape of another": lambda blob, other: blob.reshape_like(Blob(4)),
    "shared values": lambda blob, other: blob.share_data(other),
    "shared gradients": lambda blob, other: blob.share_diff(other),
    "a new blob": lambda blob, other: Blob(2, 3),
}

NO_CHANGES = {
    "the same shape": lambda blob, other: blob.reshape(2, 3),
    "the same shape in NumPy's integers": lambda blob, other: blob.reshape(np.int64(2), np.int32(3)),
    "the same shape of another": lambda blob, other: blob.reshape_like(other),
    "its own memory": lambda blob, other: (blob.share_data(blob), blob.share_diff(blob)),
    "values": lambda blob, other: (blob.data.fill(1), blob.diff.fill(2), blob.write_data().fill_(3)),
    "a look": lambda blob, other: (blob.shape, blob.count, blob.tensor, blob.read_diff()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_blob_changes_the_version(change):
    blob, other = Blob(2, 3), Blob(2, 3)
    before = shape_version()
    CHANGES[change](blob, other)
    assert shape_version() > before


@pytest.mark.parametrize("step", NO_CHANGES)
def test_steps_that_change_neither_shape_nor_memory_keep_the_version(step):
    blob, other = Blob(2, 3), Blob(2, 3)
    before = shape_version()
    NO_CHANGES[step](blob, other)
    assert shape_version() == before


def test_sharing_the_memory_shared_already_keeps_the_version():
    blob, other = Blob(2, 3), Blob(6)
    blob.share_data(other)
    blob.share_diff(other)
    before = shape_version()
    blob.share_data(other)
    blob.share_diff(other)
    assert shape_version() == before
    blob.share_data(Blob(6))
    assert shape_version() > before


def test_a_shape_refused_keeps_the_version():
    blob = Blob(2, 3)
    before = shape_version()
    with pytest.raises(RuntimeError, match="want lengths >= 0"):
        blob.reshape(2, -3)
    assert shape_version() == before


@pytest.mark.parametrize("value", [0.0, -0.0, 2.5, float("nan"), float("-inf")])
@pytest.mark.parametrize("touched", [False, True])
def test_fill_data_sets_all_values_to_the_bit(value, touched):
    blob = Blob(2, 3)
    if touched:
        blob.data[...] = 7
    view = blob.data if touched else None
    blob.fill_data(value)
    assert blob.data.tobytes() == np.full((2, 3), value, np.float32).tobytes()
    assert view is None or view.tobytes() == blob.data.tobytes()


def test_fill_data_of_shared_memory_and_of_a_part():
    one, other = Blob(6), Blob(2, 3)
    other.share_data(one)
    other.fill_data(3)
    assert (one.data == 3).all()
    one.reshape(4)
    one.fill_data(0)
    assert other.data.ravel().tolist() == [0, 0, 0, 0, 3, 3]
