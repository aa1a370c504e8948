"""RNN: the plain recurrent net. Source: BVLC rnn_layer.cpp."""

from __future__ import annotations

import torch

from ..layer_factory import register_layer
from .base.recurrent import RecurrentLayer


@register_layer("RNN")
class RNNLayer(RecurrentLayer):
    """h_t = tanh(W_hh cont_t h_(t-1) + W_xh x_t + b_h), o_t = tanh(W_ho h_t + b_o).

    Parameters: W_xh (D, I), b_h, [W_xh_static], W_hh (D, D), W_ho (D, D), b_o.
    """

    states = ("h",)
    params_of_a_step = 3  # W_hh, W_ho, b_o

    def parameter_shapes(self):
        """Return W_xh, b_h, [W_xh_static], W_hh, W_ho, b_o."""
        d = self.num_output
        static = [(d, self.static_inputs)] if self.has_static else []
        return [(d, self.inputs), (d,), *static, (d, d), (d, d), (d,)]

    def unroll(self, x, static, cont, before, out):
        """Step forward; the hidden values are kept for the backward pass."""
        weight_x, bias, *_, weight_h, weight_o, bias_o = self.params()
        inputs = torch.nn.functional.linear(x, weight_x, bias)  # (T, N, D)
        if static is not None:
            inputs = inputs + static @ self.read_param(2).T
        h, self.conted, self.hidden = before[0], [], []
        for t in range(self.timesteps):
            self.conted.append(cont[t] * h)
            h = torch.tanh(inputs[t] + self.conted[t] @ weight_h.T)
            self.hidden.append(h)
        hidden = torch.stack(self.hidden)
        torch.tanh(torch.nn.functional.linear(hidden, weight_o, bias_o), out=out)
        self.output = out.clone()
        return [h]

    def unroll_backward(self, x, static, cont, dy):
        """Step back."""
        weight_h, weight_o = self.read_param(-3), self.read_param(-2)
        doutput = dy * (1 - self.output.square())  # (T, N, D), before tanh
        hidden, dh = torch.stack(self.hidden), torch.zeros_like(dy[0])
        dhidden = torch.empty_like(hidden)  # before tanh
        for t in reversed(range(self.timesteps)):
            dhidden[t] = (dh + doutput[t] @ weight_o) * (1 - hidden[t].square())
            dh = cont[t] * (dhidden[t] @ weight_h)
        flat, flat_output = dhidden.flatten(0, 1), doutput.flatten(0, 1)
        self.add_to(0, flat.T @ x.reshape(-1, self.inputs))
        self.add_to(1, flat.sum(0))
        dstatic = None
        if static is not None:
            total = dhidden.sum(0)
            self.add_to(2, total.T @ static)
            dstatic = total @ self.read_param(2)
        count = len(self.param_shapes)
        self.add_to(count - 3, flat.T @ torch.cat(self.conted))
        self.add_to(count - 2, flat_output.T @ hidden.flatten(0, 1))
        self.add_to(count - 1, flat_output.sum(0))
        return dhidden @ self.read_param(0), dstatic
