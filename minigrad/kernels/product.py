"""The product of a linear layer, x w + b along one axis, and its kernel gradient, split over the cores.

Each core works through its rows in tiles, so that the bias is added while the product is still in its cache.
``axis`` is -1 for channels last (any number of axes before it), or 1 for x (N, C, L).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from minigrad.backend import Array, array_module, device_of
from minigrad.kernels import parallel

_TILE = 1 << 20  # bytes of output that one tile takes
_SPEED = 30000  # multiply-adds a microsecond, about, on one core
_SUM_SPEED = 2000  # likewise additions of a sum
_TINY = 30.0  # microseconds of work for which BLAS uses one thread anyway


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
    xp = array_module(x)
    channels, filters = x.shape[axis], g.shape[axis]
    sums: list[Array] = []
    if axis == -1:
        count = math.prod(x.shape[:-1])
        rows, others = x.reshape(count, channels), g.reshape(count, filters)

        def part(n: slice) -> None:
            sums.append(rows[n].T @ others[n])
    else:
        rows, others = x, g.swapaxes(1, 2)

        def part(n: slice) -> None:
            sums.append(sum(rows[i] @ others[i] for i in range(n.start, n.stop)))

    _split(part, rows, x.size * filters / _SPEED)
    total = sums[0] if sums else 0
    for more in sums[1:]:
        total = total + more
    return total if len(rows) else xp.zeros((channels, filters), xp.result_type(x, g))


def sum_rows(x: Array) -> Array:
    """The sum over all axes but the last."""
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    sums: list[Array] = []
    _split(lambda n: sums.append(rows[n].sum(axis=0)), rows, x.size / _SUM_SPEED)
    return sum(sums[1:], sums[0])


def _split(part: Callable[[slice], None], rows: Array, work: float) -> None:
    """Over the cores, where NumPy computes; else at once."""
    if device_of(rows) != "cpu" or work < _TINY:
        part(slice(0, len(rows)))
    else:
        with parallel.blas_held():
            parallel.for_slices(part, len(rows), work)
