"""Layer: the base of every layer, built in or a user's own in Python.

In:   a LayerParameter; bottoms and tops are lists of Blob.
Out:  the four verbs setup, reshape, forward, backward, and what the net asks of a layer.
Not here: any one layer's maths (layers/), which class serves a type (layer_factory).
Source: BVLC layer.hpp, loss_layer.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch

from . import common
from .blob import Blob, BlobVec
from .errors import LayerError, NetError


class Layer:
    """Base of all layers; subclass it for `type: "Python"` too.

    A subclass overrides setup (once), reshape (at construction and before every forward), forward
    (overwrites tops) and backward (overwrites bottom diffs, accumulates parameter diffs).
    """

    type = "Layer"
    exact_num_bottom: int | None = None
    min_num_bottom: int | None = None
    max_num_bottom: int | None = None
    exact_num_top: int | None = None
    min_num_top: int | None = None
    max_num_top: int | None = None
    equal_num_bottom_top = False
    auto_top_blobs = False
    may_run_in_place = True  # False: it still reads its bottom when its top is written
    any_strides: bool = False  # takes 4-D tensors whatever their strides: they may be channels last
    forward_any_strides: bool = False  # only forward does
    # In phase TEST the tops depend on bottoms and parameters only, their shapes on the bottoms' shapes, and
    # nothing else changes: a plan may run such a layer.
    is_pure: bool = False
    hides_nan: bool = False  # a top may be finite where a bottom is not
    pointwise: bool = False  # a top's value at a row and column follows from the bottoms' values there, of any channel
    need_backward = True  # whether its net runs its backward; set when that is built
    param_str = param_str_ = ""  # of a Python layer

    def __init__(self, layer_param: Any) -> None:
        self.layer_param = layer_param
        self.name: str = layer_param.name
        self.phase: int = layer_param.phase
        self._blobs = BlobVec()
        self.loss_weights: list[float] = []
        self.param_propagate_down: list[bool] = []
        self.param_shapes: Sequence[tuple[int, ...]] = ()  # of its parameters as it reads them, set by setup

    @property
    def blobs(self) -> BlobVec:
        """The parameters."""
        return self._blobs

    @blobs.setter
    def blobs(self, given: Any) -> None:
        raise AttributeError(f"layer '{self.name}': blobs cannot be set; write layer.blobs[0].data[...] = array, or in "
                             "setup self.blobs.add_blob(*shape)")

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Prepare once, after construction; shapes of bottoms are known."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Shape the tops (and inner buffers) for the bottoms' current shapes."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Compute the tops' data from the bottoms' data."""
        self.fail("has no forward")

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """Compute the bottoms' diff, where propagate_down says so, from the tops' diff."""
        self.fail("has no backward")

    def allow_force_backward(self, bottom_index: int) -> bool:
        """Return whether force_backward may ask for the gradient of this bottom."""
        return True

    # Caffe: layers take parameters by pointer, so a script may give the blobs other shapes; only their memory matters.

    def read_param(self, i: int) -> torch.Tensor:
        """Return a parameter's values, to read, in the shape that the layer knows."""
        blob = self._blobs[i]
        return blob.read_data() if blob.shape == self.param_shapes[i] else self._own(Blob.read_data_as, i)

    def edit_param(self, i: int) -> torch.Tensor:
        """Return a parameter's values, to read and write, in the shape that the layer knows."""
        return self._own(Blob.edit_data_as, i)

    def edit_param_diff(self, i: int) -> torch.Tensor:
        """Return a parameter's gradient, to add to, in the shape that the layer knows."""
        return self._own(Blob.edit_diff_as, i)

    def _own(self, view: Callable[[Blob, tuple[int, ...]], torch.Tensor], i: int) -> torch.Tensor:
        try:
            return view(self.blobs[i], self.param_shapes[i])
        except NetError as problem:
            self.fail(f"parameter {i}: {problem}")

    def plan_step(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> str:
        """Return which kind of step of a plan computes this layer in phase TEST, for bottoms of these shapes.

        `layer` runs this layer's own forward; `same` passes on its bottom's values; `none` has nothing to compute, as
        the tops share the bottom's memory, or there are no tops. The other kinds: plan/kinds.py.
        """
        return "layer"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise LayerError(f"layer '{self.name}' cannot be pickled or copied: it is part of a net; save the net, "
                         "net.save(path), or copy the values you want, layer.blobs[0].data.copy()")

    def fail(self, message: str) -> NoReturn:
        """Raise LayerError in this layer's name."""
        raise LayerError(f"layer '{self.name}' ({self.type}): {message}")

    def check_blobs(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Refuse a wrong number of bottoms or tops, and a top that is a bottom where that is not allowed.

        Raises:
            LayerError: naming the layer, the number given and the number wanted.
        """
        if not self.may_run_in_place and any(one is other for one in top for other in bottom):
            # DEVIATION D5: Caffe overwrites or reshapes the bottom it still reads.
            self.fail(f"{self.type} Layer does not allow in-place computation; give its top a name of its own "
                      f"(got '{', '.join(self.layer_param.top)}')")
        self._check_number("bottom", len(bottom), self.exact_num_bottom, self.min_num_bottom, self.max_num_bottom)
        self._check_number("top", len(top), self.exact_num_top, self.min_num_top, self.max_num_top)
        if self.equal_num_bottom_top and len(bottom) != len(top):
            self.fail(f"takes as many tops as bottoms, got {len(bottom)} bottom(s) and {len(top)} top(s)")

    def _check_number(self, word: str, given: int, exact: int | None, least: int | None, most: int | None) -> None:
        if exact is not None and given != exact:
            self.fail(f"takes {exact} {word} blob(s), got {given}")
        if least is not None and given < least:
            self.fail(f"takes at least {least} {word} blob(s), got {given}")
        if most is not None and given > most:
            self.fail(f"takes at most {most} {word} blob(s), got {given}")

    def set_loss_weights(self, top: Sequence[Blob]) -> None:
        """Store each top's loss weight in its diff, where forward and backward read it.

        Caffe: the weight lives in the top's diff, so that a user may change it there. layer.hpp, SetLossWeights.
        """
        given = list(self.layer_param.loss_weight)
        if given and len(given) != len(top):
            self.fail(f"loss_weight must be unspecified or given once per top; got {len(given)} for {len(top)} top(s)")
        self.loss_weights = given or [0.0] * len(top)
        for weight, blob in zip(given, top, strict=False):
            if weight != 0:
                blob.diff[...] = weight

    @property
    def solver_rank(self) -> int:
        """This process's number among solvers that train together."""
        return common.solver_rank()


class LossLayer(Layer):
    """A layer whose first top is a loss, with weight 1 by default; its second bottom takes no gradient."""

    exact_num_bottom: int | None = 2
    auto_top_blobs = True
    may_run_in_place = False
    exact_num_top: int | None = 1

    def __init__(self, layer_param: Any) -> None:
        # Caffe: the default weight is written into the layer's own parameter, and so is saved. loss_layer.cpp
        if not layer_param.loss_weight:
            layer_param.loss_weight.extend([1.0] + [0.0] * (len(layer_param.top) - 1))
        super().__init__(layer_param)

    def allow_force_backward(self, bottom_index: int) -> bool:
        """Allow all gradients but that of the labels."""
        return bottom_index != 1

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that both bottoms hold equally many items; shape the loss as a scalar."""
        if bottom[0].shape[:1] != bottom[1].shape[:1]:
            self.fail(f"The data and label should have the same first dimension; got {bottom[0].shape} "
                      f"and {bottom[1].shape}")
        top[0].reshape()
