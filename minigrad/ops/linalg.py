"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

from minigrad.backend import Array
from minigrad.tape import op


@op(broadcasts=True)
def matmul(a: Array, b: Array) -> Array:
    r"""Matrix product over the last two axes, y_ij = sum_k a_ik b_kj; leading axes broadcast.

    A 1-D operand is a row on the left and a column on the right, and its axis is gone from the result.

    Args:
        a: shape (..., I, K) or (K,).
        b: shape (..., K, J) or (K,).

    Returns:
        Shape (..., I, J), without I or J where an operand is 1-D.

    Raises:
        ValueError: the inner lengths differ, or an operand is 0-D.

    >>> from minigrad import Tensor
    >>> (Tensor([[1.0, 2.0]]) @ Tensor([[3.0], [4.0]])).tolist()
    [[11.0]]
    """
    if b.ndim == 2 and a.ndim > 2:  # one product of all rows, where @ would make one for each leading index
        return (a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) @ b).reshape(*a.shape[:-1], b.shape[-1])
    return a @ b


def _left(g: Any, a_shape: tuple[int, ...], b: Any) -> Any:
    """dL/da = g b^T, with the axes that a 1-D operand lacks put back."""
    if b.ndim == 1:
        return g[..., None] * b
    if len(a_shape) == 1:
        return (g[..., None, :] @ b.swapaxes(-1, -2)).reshape(*b.shape[:-2], -1)
    return g @ b.swapaxes(-1, -2)


def _right(g: Any, b_shape: tuple[int, ...], a: Any) -> Any:
    """dL/db = a^T g, likewise; leading axes that only a has are summed inside one product."""
    if a.ndim == 1:
        return a[:, None] * g[..., None, :] if len(b_shape) > 1 else a * g
    if len(b_shape) == 1:
        g = g[..., None]
        return (a.swapaxes(-1, -2) @ g).reshape(*a.shape[:-2], -1)
    if len(b_shape) == 2 and a.ndim > 2:
        count = math.prod(a.shape[:-1])
        return a.reshape(count, a.shape[-1]).swapaxes(-1, -2) @ g.reshape(count, g.shape[-1])
    return a.swapaxes(-1, -2) @ g


matmul.backward(
    a=_left,
    b=_right,
)
