"""The product of a linear layer, x w + b along one axis, and its kernel gradient, split over the cores.

Each core works through its rows in tiles, so that the bias is added while the product is still in its cache.
``axis`` is -1 for channels last (any number of axes before it), or 1 for x (N, C, L).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minigrad.backend import Array, array_module, device_of
from minigrad.kernels import parallel

_TILE = 1 << 20  # bytes of output that one tile takes
_SPEED = 30000  # multiply-adds a microsecond, about, on one core
_SUM_SPEED = 12000  # likewise additions of a sum
_SMALL = 1000.0  # microseconds of work below which BLAS's own threads, still awake, are faster than ours


def linear(x: Array, w: Array, b: Array | None, axis: int) -> Array:
    """y[..., f] = sum_c x[..., c] w[c, f] + b[f], with channels along ``axis``."""
    xp = array_module(x)
    channels, filters = w.shape
    dtype = xp.result_type(x, w) if b is None else xp.result_type(x, w, b)
    if axis == -1:
        rows = x.reshape(math.prod(x.shape[:-1]), channels)
        out = xp.empty((len(rows), filters), dtype)
        added = b
        left, right = rows, w
    else:
        rows, added = x, None if b is None else b[:, None]
        out = xp.empty((len(x), filters, x.shape[2]), dtype)
        left, right = w.T, x
    step = max(1, _TILE * len(out) // max(out.nbytes, 1))

    def part(n: slice) -> None:
        for start in range(n.start, n.stop, step):
            tile = slice(start, min(start + step, n.stop))
            y = out[tile]
            xp.matmul(left[tile] if axis == -1 else left, right if axis == -1 else right[tile], out=y)
            if added is not None:
                y += added

    _split(part, rows, x.size * filters / _SPEED)
    return out.reshape(*x.shape[:-1], filters) if axis == -1 else out


def linear_kernel_grad(x: Array, g: Array, axis: int) -> Array:
    """dw[c, f] = sum over all but ``axis`` of x[..., c] g[..., f]."""
    channels, filters = x.shape[axis], g.shape[axis]
    if axis == -1:
        count = math.prod(x.shape[:-1])
        rows, others = x.reshape(count, channels), g.reshape(count, filters)

        def part(n: slice) -> Array:
            return rows[n].T @ others[n]
    else:
        rows, others = x, g.swapaxes(1, 2)
        zeros = array_module(x).zeros((channels, filters), array_module(x).result_type(x, g))

        def part(n: slice) -> Array:
            return sum((rows[i] @ others[i] for i in range(n.start, n.stop)), zeros)

    sums = _split(part, rows, x.size * filters / _SPEED)
    return sum(sums[1:], sums[0])


def sum_rows(x: Array) -> Array:
    """The sum over all axes but the last."""
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    if x.dtype.char not in "fdFD" or device_of(x) != "cpu":
        return rows.sum(axis=0)
    ones = array_module(x).ones(len(rows), x.dtype)  # a product is several times as fast as a sum, and more exact
    with parallel.blas_held():  # BLAS's threads, once awake, would take the cores from the kernels that follow
        sums = parallel.over(lambda n: ones[n] @ rows[n], len(rows), x.size / _SUM_SPEED)
    return sum(sums[1:], sums[0])


def _split(part: Callable[[slice], Any], rows: Array, work: float) -> list[Any]:
    """The results of ``part`` for slices of the rows, over the cores where NumPy computes and it is worth it."""
    if device_of(rows) != "cpu" or work < _SMALL:
        return [part(slice(0, len(rows)))]
    return parallel.over(part, len(rows), work)
