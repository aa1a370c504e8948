"""Python 2's `/`: two integers give the integer below, all else the quotient.

In:   the divisor of a `/` or `/=`. Out: what divides as Python 2 did.
Not here: files with `from __future__ import division`; their `/` is left as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def divisor(value: Any) -> Any:
    """Return `value`; for an integer or an array of integers an object that floors other integers divided by it."""
    return _Integral(value) if _is_integral(value) else value


def _is_integral(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) or isinstance(value, np.ndarray) and value.dtype.kind in "iub"


class _Integral:
    """The right side of a `/`; the left side defers to it, NumPy's through `__array_ufunc__`."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __rtruediv__(self, left: Any) -> Any:
        return left // self.value if _is_integral(left) else left / self.value

    def __array_ufunc__(self, ufunc: Any, method: str, left: Any, right: Any, **how: Any) -> Any:
        chosen = np.floor_divide if _is_integral(left) else ufunc
        return getattr(chosen, method)(left, self.value, **how)
