"""LSTM, RNN and LSTMUnit said once more in plain torch operations (see formulas.py).

Out:  FORMULAS. A case runs forward twice; the second pass goes on from the first one's state, without a gradient.
Source: Hochreiter and Schmidhuber 1997; Donahue et al. 2015.
"""

from __future__ import annotations

import torch


def _unit(c, gates, cont):
    i, f, o, g = gates.chunk(4, -1)
    c = cont * torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return c, torch.sigmoid(o) * torch.tanh(c)


def _lstm_pass(sequence, cont, w, state):
    h, c = state
    outputs = []
    for t in range(len(sequence)):
        c, h = _unit(c, sequence[t] + (cont[t] * h) @ w[-1].T, cont[t])
        outputs.append(h)
    return torch.stack(outputs), (h, c)


def _rnn_pass(sequence, cont, w, state):
    weight_h, weight_o, bias_o = w[-3:]
    h, outputs = state[0], []
    for t in range(len(sequence)):
        h = torch.tanh(sequence[t] + (cont[t] * h) @ weight_h.T)
        outputs.append(torch.tanh(h @ weight_o.T + bias_o))
    return torch.stack(outputs), (h,)


def _recurrent(one_pass, states):
    def formula(p, tops, x, w):
        param = p.recurrent_param
        exposed = states if param.expose_hidden else 0
        sequence = x[0].flatten(2) @ w[0].T + w[1]
        if len(x) - exposed == 3:
            sequence = sequence + x[2].flatten(1) @ w[2].T
        cont = x[1].unsqueeze(-1)
        # Caffe: exposed states pass values, no gradients
        state = [one[0].detach() for one in x[-exposed:]] if exposed else \
            [sequence.new_zeros(sequence.shape[1], param.num_output)] * states
        out, after = one_pass(sequence, cont, w, state)
        if exposed:
            return [out, *(one.detach().unsqueeze(0) for one in after)]
        return [one_pass(sequence, cont, w, [one.detach() for one in after])[0]]
    return formula


FORMULAS = {
    "LSTM": _recurrent(_lstm_pass, 2),
    "RNN": _recurrent(_rnn_pass, 1),
    "LSTMUnit": lambda p, tops, x, w: list(_unit(x[0], x[1], x[2].unsqueeze(-1))),
}
