"""LSTM: long short-term memory over a sequence. Source: BVLC lstm_layer.cpp; Donahue et al. 2015."""

from __future__ import annotations

import torch

from ..layer_factory import register_layer
from .base.recurrent import RecurrentLayer
from .lstm_unit import step, step_backward


@register_layer("LSTM")
class LSTMLayer(RecurrentLayer):
    """Gates i, f, o, g from x_t and cont_t h_(t-1); parameters W_xc (4 D, I), b_c, [W_xc_static], W_hc (4 D, D)."""

    states = ("h", "c")
    params_of_a_step = 1  # W_hc

    def parameter_shapes(self):
        """Return W_xc, b_c, [W_xc_static], W_hc."""
        d = self.num_output
        static = [(4 * d, self.static_inputs)] if self.has_static else []
        return [(4 * d, self.inputs), (4 * d,), *static, (4 * d, d)]

    def unroll(self, x, static, cont, before, out):
        """Step forward; the values of each step are kept for the backward pass."""
        weight_x, bias, *_, weight_h = self.params()
        inputs = torch.nn.functional.linear(x, weight_x, bias)  # (T, N, 4 D)
        if static is not None:
            inputs = inputs + static @ self.read_param(2).T
        h, c = before
        self.steps = []
        for t in range(self.timesteps):
            h_conted, c_prev = cont[t] * h, c
            c, h, *gates = step(c_prev, inputs[t] + h_conted @ weight_h.T, cont[t])
            self.steps.append((h_conted, c_prev, c, *gates))
            out[t] = h
        return [h, c]

    def unroll_backward(self, x, static, cont, dy):
        """Step back."""
        weight_h = self.read_param(-1)
        dh = dc = torch.zeros_like(dy[0])
        gradients = torch.empty(self.timesteps, self.streams, 4 * self.num_output, device=dy.device)
        for t in reversed(range(self.timesteps)):
            _, c_prev, c, *gates = self.steps[t]
            dc, gradients[t] = step_backward(dc, dh + dy[t], c_prev, c, *gates)
            dh = cont[t] * (gradients[t] @ weight_h)
        flat = gradients.view(-1, gradients.shape[-1])
        self.add_to(0, flat.T @ x.reshape(-1, self.inputs))
        self.add_to(1, flat.sum(0))
        dstatic = None
        if static is not None:
            total = gradients.sum(0)
            self.add_to(2, total.T @ static)
            dstatic = total @ self.read_param(2)
        self.add_to(len(self.param_shapes) - 1, flat.T @ torch.cat([step[0] for step in self.steps]))
        return gradients @ self.read_param(0), dstatic
