"""Vectors brought to length 1."""

from __future__ import annotations

from typing import Any

from minigrad.ops.arithmetic import maximum
from minigrad.ops.elementwise import sqrt
from minigrad.ops.reduction import sum


def normalize(x: Any, *, axis: int = -1, smallest: float = 1e-7) -> Any:
    """x / max(||x||, smallest) along an axis, of an array or a Tensor: 0 stays 0, with a finite gradient.

    >>> from minigrad import Tensor
    >>> normalize(Tensor([[3.0, 4.0], [0.0, 0.0]])).numpy().round(4).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    return x / sqrt(maximum(sum(x * x, axis=axis, keepdims=True), smallest**2))
