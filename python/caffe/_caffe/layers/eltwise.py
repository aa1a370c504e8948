"""Eltwise: product, weighted sum or maximum of bottoms, elementwise. Source: BVLC eltwise_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Eltwise")
class EltwiseLayer(Layer):
    """PROD, SUM (with a coefficient per bottom, default 1) or MAX of bottoms of one shape."""

    is_pure = True
    hides_nan = True  # MAX ignores NaN
    forward_any_strides = True
    pointwise = True
    min_num_bottom = 2
    exact_num_top = 1
    any_strides = True

    def setup(self, bottom, top):
        """Read operation and coefficients."""
        param = self.layer_param.eltwise_param
        given = list(param.coeff)
        if given and len(given) != len(bottom):
            self.fail(f"Eltwise Layer takes one coefficient per bottom blob; got {len(given)} for {len(bottom)}")
        if given and param.operation == param.PROD:
            self.fail("Eltwise layer only takes coefficients for summation; operation is PROD")
        self.coeff = given or [1.0] * len(bottom)
        word = {param.PROD: "product", param.SUM: "sum", param.MAX: "max"}[param.operation]
        self._run = getattr(self, f"_forward_{word}")
        self._run_back = getattr(self, f"_backward_{word}")
        self.stable_prod_grad = param.stable_prod_grad
        self._winner = None  # MAX: which bottom each value came from

    def reshape(self, bottom, top):
        """Shape the top as the bottoms, which must have one shape."""
        shape = bottom[0].shape
        for i, blob in enumerate(bottom):
            if blob.shape != shape:
                self.fail(f"bottoms must have one shape; bottom[0]: {shape}, bottom[{i}]: {blob.shape}")
        top[0].reshape(*shape)

    def plan_step(self, bottom, top):
        """Return `sum` for a sum."""
        return "sum" if self._run == self._forward_sum else "layer"

    def forward(self, bottom, top):
        """Combine the bottoms' data."""
        xs, out = [blob.read_data() for blob in bottom], top[0].write_data()
        for i, x in enumerate(xs[1:], 1):  # in place, a later bottom may share the memory that is written
            if x.data_ptr() == out.data_ptr():
                xs[i] = x.clone()
        self._run(xs, out)

    def backward(self, top, propagate_down, bottom):
        """Pass each bottom its share of the gradient."""
        dy = top[0].read_diff()
        for i in reversed(range(len(bottom))):  # an in-place bottom[0] holds the top's diff until the end
            if propagate_down[i]:
                self._run_back(i, top, bottom, dy, bottom[i].write_diff())

    def _forward_product(self, xs, out):
        torch.mul(xs[0], xs[1], out=out)
        for x in xs[2:]:
            out.mul_(x)

    def _backward_product(self, i, top, bottom, dy, out):
        if not self.stable_prod_grad:
            torch.div(top[0].read_data(), bottom[i].read_data(), out=out).mul_(dy)
            return
        others = [blob.read_data() for j, blob in enumerate(bottom) if j != i]
        torch.mul(others[0], dy, out=out)
        for x in others[1:]:
            out.mul_(x)

    def _forward_sum(self, xs, out):
        # DEVIATION D19: Caffe zeroes the top first, which in place is the first bottom.
        if self.coeff[0] == 1:
            torch.add(xs[0], xs[1], alpha=self.coeff[1], out=out)
        else:
            torch.mul(xs[0], self.coeff[0], out=out).add_(xs[1], alpha=self.coeff[1])
        for x, coeff in zip(xs[2:], self.coeff[2:], strict=True):
            out.add_(x, alpha=coeff)

    def _backward_sum(self, i, top, bottom, dy, out):
        if self.coeff[i] == 1:
            out.copy_(dy)
        else:
            torch.mul(dy, self.coeff[i], out=out)

    def _forward_max(self, xs, out):
        # Caffe: among the first two a tie goes to the second; later ones must be greater.
        first = xs[0] > xs[1]
        winner = torch.where(first, 0, 1)
        out.copy_(torch.where(first, xs[0], xs[1]))
        for i, x in enumerate(xs[2:], 2):
            greater = x > out
            winner.masked_fill_(greater, i)
            out.copy_(torch.where(greater, x, out))
        self._winner = winner

    def _backward_max(self, i, top, bottom, dy, out):
        torch.mul(dy, self._winner == i, out=out)
