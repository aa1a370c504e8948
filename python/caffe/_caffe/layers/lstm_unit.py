"""LSTMUnit: one step of an LSTM from its gates' inputs. Source: BVLC lstm_unit_layer.cpp.

In:   bottoms c_prev (1, N, D), gates (1, N, 4 D) in the order i, f, o, g before their functions, cont (1, N).
Out:  tops c and h (1, N, D); `step` and `step_backward`, which the LSTM layer unrolls.
"""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


def step(c_prev: torch.Tensor, gates: torch.Tensor, cont: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return c, h and the gates' values i, f, o, g; f is 0 where cont is.

    Args:
        c_prev: (..., N, D).
        gates: (..., N, 4 D).
        cont: (..., N, 1); 0 where a sequence begins.
    """
    i, f, o, g = gates.chunk(4, -1)
    # Caffe: cont times the gate, but 0 where cont is 0, whatever the gate.
    f = torch.where(cont == 0, 0.0, cont * f.sigmoid())
    i, o, g = i.sigmoid(), o.sigmoid(), g.tanh()
    c = f * c_prev + i * g
    return c, o * c.tanh(), i, f, o, g


def step_backward(dc: torch.Tensor, dh: torch.Tensor, c_prev: torch.Tensor, c: torch.Tensor, i: torch.Tensor,
                  f: torch.Tensor, o: torch.Tensor, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of c_prev and of the gates' inputs."""
    tanh_c = c.tanh()
    term = dc + dh * o * (1 - tanh_c.square())
    # Caffe: the forget gate's slope is f (1 - f) with cont in f.
    dgates = torch.cat((term * g * i * (1 - i), term * c_prev * f * (1 - f), dh * tanh_c * o * (1 - o),
                        term * i * (1 - g.square())), -1)
    return term * f, dgates


@register_layer("LSTMUnit")
class LSTMUnitLayer(Layer):
    """c = f c_prev + i g, h = o tanh(c)."""

    exact_num_bottom = 3
    exact_num_top = 2
    may_run_in_place = False

    def allow_force_backward(self, bottom_index):
        """Refuse the gradient of cont."""
        return bottom_index != 2

    def reshape(self, bottom, top):
        """Check the three bottoms; both tops are shaped as c_prev."""
        shape = bottom[0].shape
        want = [shape, (*shape[:2], 4 * shape[-1] if shape else 0), shape[:2]]
        if len(shape) != 3 or shape[0] != 1 or [blob.shape for blob in bottom] != want:
            self.fail("want c_prev (1, N, D), gates (1, N, 4 D), cont (1, N); got "
                      + ", ".join(str(blob.shape) for blob in bottom))
        for blob in top:
            blob.reshape(*shape)

    def forward(self, bottom, top):
        """Compute c and h."""
        c_prev, gates, cont = (blob.read_data() for blob in bottom)
        c, h, *self.gates = step(c_prev, gates, cont.unsqueeze(-1))
        top[0].write_data().copy_(c)
        top[1].write_data().copy_(h)

    def backward(self, top, propagate_down, bottom):
        """Compute the gradients of c_prev and the gates' inputs."""
        if propagate_down[2]:
            self.fail("Cannot backpropagate to sequence indicators.")
        if not (propagate_down[0] or propagate_down[1]):
            return
        dc_prev, dgates = step_backward(top[0].read_diff(), top[1].read_diff(), bottom[0].read_data(),
                                        top[0].read_data(), *self.gates)
        bottom[0].write_diff().copy_(dc_prev)
        bottom[1].write_diff().copy_(dgates)
