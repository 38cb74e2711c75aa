"""Matrix products."""

from __future__ import annotations

import functools
import math
from typing import Any

from minigrad.backend import Array, describe
from minigrad.kernels import product
from minigrad.ops.op import op
from minigrad.ops.reduction import sum


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
    if a.ndim > 2 and b.ndim == 2:  # one product of all rows, where @ would make one for each leading index
        return product.matmul(a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[-1])
    return product.matmul(a, b)


def _left(g: Any, b: Any) -> Any:
    """dL/da = g b^T, with the axes that a 1-D operand lacks put back."""
    if g.ndim == b.ndim == 2:
        return product.matmul(g, b.T)
    if b.ndim == 1:
        return g[..., None] * b
    if g.ndim < b.ndim:  # a is a row
        return product.matmul(g[..., None, :], b.swapaxes(-1, -2)).reshape(*b.shape[:-1])
    b = b.swapaxes(-1, -2)
    return matmul(g, b) if g.ndim > 2 and b.ndim == 2 else product.matmul(g, b)


def _right(g: Any, b_shape: tuple[int, ...], a: Any) -> Any:
    """dL/db = a^T g, likewise; leading axes that only a has are summed inside one product."""
    if a.ndim == g.ndim == 2:
        return product.matmul(a.T, g)
    if a.ndim == 1:
        return a[:, None] * g[..., None, :] if len(b_shape) > 1 else a * g
    if len(b_shape) == 1:
        g = g[..., None]
        return product.matmul(a.swapaxes(-1, -2), g).reshape(*a.shape[:-2], a.shape[-1])
    if len(b_shape) == 2 and a.ndim > 2:
        count = math.prod(a.shape[:-1])
        return product.matmul(a.reshape(count, a.shape[-1]).swapaxes(-1, -2), g.reshape(count, g.shape[-1]))
    return product.matmul(a.swapaxes(-1, -2), g)


matmul.backward(
    a=_left,
    b=_right,
)


@op
def linear(x: Array, w: Array, b: Array | None, *, axis: int = -1) -> Array:
    """y[..., f] = sum_c x[..., c] w[c, f] + b[f]: one product, the bias added on the way.

    Args:
        x: (..., C); with ``axis=1`` (N, C, L).
        w: (C, F), or (1, C, F) like the kernel of a convolution.
        b: (F,), or None for no bias.
        axis: where the channels stand, -1 or 1.

    Returns:
        (..., F); with ``axis=1`` (N, F, L).

    Raises:
        ValueError: shapes that do not fit, another axis.

    >>> from minigrad import Tensor, ops
    >>> ops.linear(Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]]), Tensor([0.5])).tolist()
    [[11.5]]
    """
    if axis not in (-1, 1) or (axis == 1 and x.ndim != 3):
        raise ValueError(f"linear: axis must be -1, or 1 for 3 axes. Received: x={describe(x)}, axis={axis!r}")
    kernel = w[0] if w.ndim == 3 and len(w) == 1 else w
    fits = kernel.ndim == 2 and x.ndim and x.shape[axis] == len(kernel) and (b is None or b.shape == kernel.shape[1:])
    if not fits:
        raise ValueError(
            "linear: x must have C channels and b F elements for w (C, F) or (1, C, F). "
            f"Received: x={describe(x)}, w={describe(w)}, b={describe(b)}, axis={axis}"
        )
    return product.linear(x, kernel, b, axis)


@op
def linear_kernel_grad(x: Array, g: Array, *, axis: int = -1) -> Array:
    """dw[c, f] = sum over all but ``axis`` of x[..., c] g[..., f]: the adjoint of `linear` in w.

    Args:
        x: (..., C), or (N, C, L) with ``axis=1``.
        g: (..., F), or (N, F, L), of the same lengths elsewhere.

    Returns:
        (C, F).
    """
    i = axis % max(x.ndim, 1)
    if x.ndim != g.ndim or not x.ndim or x.shape[:i] != g.shape[:i] or x.shape[i + 1 :] != g.shape[i + 1 :]:
        raise ValueError(
            "linear_kernel_grad: x and g must differ in the length of axis alone. "
            f"Received: x={describe(x)}, g={describe(g)}, axis={axis}"
        )
    return product.linear_kernel_grad(x, g, axis)


@functools.lru_cache(maxsize=64)
def _all_but(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(i for i in range(ndim) if i != axis % ndim)


linear.backward(
    x=lambda g, w, axis: linear(g, w.swapaxes(-1, -2), None, axis=axis),
    w=lambda g, x, w_shape, axis: linear_kernel_grad(x, g, axis=axis).reshape(w_shape),
    b=lambda g, axis: sum(g, axis=_all_but(axis, g.ndim)),
)

linear_kernel_grad.backward(
    x=lambda h, g, axis: linear(g, h.T, None, axis=axis),
    g=lambda h, x, axis: linear(x, h, None, axis=axis),
)
