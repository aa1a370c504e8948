"""What LSTM and RNN share: bottoms, tops, the state that goes from pass to pass.

In:   bottoms x (T, N, ...), cont (T, N) with 0 where a sequence begins, [x_static (N, ...)], and with
      expose_hidden one state (1, N, D) for each of the subclass's `states`.
Out:  tops o (T, N, D), and with expose_hidden the last states (1, N, D).
Not here: the step (layers/lstm.py, layers/rnn.py). Source: BVLC recurrent_layer.cpp.
The layer keeps its last states: the next pass continues from them, unless expose_hidden hands them out.
Gradients do not flow from pass to pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from ...blob import Blob
from ...filler import fill
from ...layer import Layer

# DEVIATION D43: Caffe fills once for each step, however many; it would build a net of as many layers first.
MOST_STEPS = 10_000


class RecurrentLayer(Layer):
    """The shared base; a subclass names its states and parameters and steps forward and backward."""

    min_num_bottom = 2
    max_num_bottom = 3
    exact_num_top = 1
    may_run_in_place = False
    states: tuple[str, ...] = ()
    params_of_a_step = 0  # how many of the last parameters belong to the time step

    # -- setup ---------------------------------------------------------------------------------

    def __init__(self, layer_param) -> None:
        super().__init__(layer_param)
        self.expose_hidden = layer_param.recurrent_param.expose_hidden
        exposed = len(self.states) if self.expose_hidden else 0
        self.min_num_bottom, self.max_num_bottom = 2 + exposed, 3 + exposed
        self.exact_num_top = 1 + exposed

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check the bottoms; make and fill the parameters."""
        if len(bottom[0].shape) < 2:
            self.fail("bottom[0] must have at least 2 axes -- (#timesteps, #streams, ...); "
                      f"got shape {bottom[0].shape}")
        self.timesteps = bottom[0].shape[0]
        self.num_output = self.layer_param.recurrent_param.num_output
        if self.num_output < 1:
            self.fail("num_output must be positive")
        self.has_static = len(bottom) == self.max_num_bottom
        self.inputs = prod(bottom[0].shape[2:])
        self.static_inputs = prod(bottom[2].shape[1:]) if self.has_static else 0
        self.param_shapes = self.parameter_shapes()
        del self.blobs[:]  # Caffe: blobs given in the prototxt are ignored. recurrent_layer.cpp
        self.blobs.extend(Blob(*shape) for shape in self.param_shapes)
        self._fill(self.blobs)
        # Caffe: each step of the unrolled net fills its parameters before it shares those of the first. net.cpp, Init
        of_a_step = [Blob(*shape) for shape in self.param_shapes[-self.params_of_a_step:]]
        for _ in range(min(self.timesteps, MOST_STEPS) - 1):
            self._fill(of_a_step)
        self.kept = [Blob() for _ in self.states]

    def _fill(self, blobs: Sequence[Blob]) -> None:
        """Fill parameters: weights have two axes, biases one."""
        param = self.layer_param.recurrent_param
        for blob in blobs:
            fill(blob, param.weight_filler if len(blob.shape) == 2 else param.bias_filler)

    def parameter_shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of the parameters, weights of two axes and biases of one, in Caffe's order."""
        raise NotImplementedError

    def allow_force_backward(self, bottom_index: int) -> bool:
        """Refuse the gradient of cont."""
        return bottom_index != 1

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check shapes; shape the tops and the kept states for the number of streams."""
        shape = bottom[0].shape
        if shape[:1] != (self.timesteps,) or prod(shape[2:]) != self.inputs:
            self.fail(f"timesteps and inputs may not change; got shape {shape}, want {self.timesteps} timesteps of "
                      f"{self.inputs} values")
        self.streams = shape[1]
        if bottom[1].shape != shape[:2]:
            self.fail(f"bottom[1] must have exactly 2 axes -- (#timesteps, #streams); got {bottom[1].shape}, "
                      f"want {shape[:2]}")
        if self.has_static and bottom[2].shape[:1] != (self.streams,):
            self.fail(f"bottom[2] must have one item per stream ({self.streams}); got {bottom[2].shape}")
        state = (1, self.streams, self.num_output)
        for blob in self._exposed(bottom):
            if blob.shape != state:
                self.fail(f"an exposed state must have shape {state}; got {blob.shape}")
        top[0].reshape(self.timesteps, self.streams, self.num_output)
        for blob in (*self.kept, *top[1:]):
            blob.reshape(*state)

    def _exposed(self, bottom: Sequence[Blob]) -> Sequence[Blob]:
        return bottom[-len(self.states):] if self.expose_hidden else ()

    # -- the two passes ------------------------------------------------------------------------

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Step through time from the kept (or given) states."""
        before = [blob.read_data()[0].clone() for blob in self._exposed(bottom) or self.kept]
        x = bottom[0].read_data().view(self.timesteps, self.streams, self.inputs)
        static = bottom[2].read_data().view(self.streams, -1) if self.has_static else None
        cont = bottom[1].read_data().unsqueeze(-1)
        after = self.unroll(x, static, cont, before, top[0].write_data())
        for blob, state in zip(top[1:] if self.expose_hidden else self.kept, after, strict=True):
            blob.write_data().copy_(state.view(blob.shape))

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """Step back through time."""
        if propagate_down[1]:
            self.fail("Cannot backpropagate to sequence indicators.")
        # Caffe: exposed states pass data only; their tops' diffs are not read, their bottoms' not written.
        x = bottom[0].read_data().view(self.timesteps, self.streams, self.inputs)
        static = bottom[2].read_data().view(self.streams, -1) if self.has_static else None
        cont = bottom[1].read_data().unsqueeze(-1)
        dx, dstatic = self.unroll_backward(x, static, cont, top[0].read_diff())
        # Caffe: gradients of inputs are written whatever propagate_down says.
        bottom[0].write_diff().view_as(dx).copy_(dx)
        if dstatic is not None and propagate_down[2]:
            bottom[2].write_diff().view_as(dstatic).copy_(dstatic)

    def unroll(self, x, static, cont, before, out) -> list[torch.Tensor]:
        """Write the outputs (T, N, D); return the last states (subclass)."""
        raise NotImplementedError

    def unroll_backward(self, x, static, cont, dy) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Add to the parameters' diffs; return the gradients of x and x_static (subclass)."""
        raise NotImplementedError

    def params(self) -> list[torch.Tensor]:
        """Return all parameters, to read."""
        return [self.read_param(i) for i in range(len(self.param_shapes))]

    def add_to(self, index: int, gradient: torch.Tensor) -> None:
        """Add to a parameter's diff, where it is wanted."""
        if self.param_propagate_down[index]:
            self.edit_param_diff(index).add_(gradient)
