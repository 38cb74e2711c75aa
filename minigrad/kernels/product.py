"""Matrix products: all that may meet a GPU go through `matmul` and `matmul_sum`, which know who multiplies.

The product of a linear layer, x w + b along one axis, and its kernel gradient are split over the cores where they are
large. Each core works through its rows in tiles, so that the bias is added while the product is still in its cache.
``axis`` is -1 for channels last (any number of axes before it), or 1 for x (N, C, L).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minigrad.backend import Array, HostArray, array_module, on_gpu, own_products
from minigrad.kernels import cuda_product, parallel
from minigrad.kernels.scratch import scratch

_TILE = 1 << 20  # bytes of output that one tile takes
_SPEED = 30000  # multiply-adds a microsecond, about, on one core
_SMALL = 600.0  # microseconds of one product that is left to BLAS's own threads
_LONG = 256  # steps of sequences that are multiplied alone; shorter ones together,
_COLUMNS = 4096  # of about so many steps


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """The matrix product as NumPy's, by BLAS (on a GPU cuBLAS), or by our own kernel while a step is captured.

    Tensors, which rules may hold, come back here as arrays by their own ``@``.
    """
    if type(a) is type(b) is HostArray:
        if a.ndim == b.ndim == 2 and out is None:
            return a.dot(b)  # the same product; of small matrices in less than half the time
    elif own_products(a, b):
        return cuda_product.matmul(a, b, out)
    return a @ b if out is None else array_module(a).matmul(a, b, out=out)


def matmul_sum(a: Array, b: Array) -> Array:
    """The sum of a[m] b[m] over m, for a (M, I, K) and b (M, K, J), by whom `matmul` is."""
    if own_products(a, b):
        return cuda_product.matmul_sum(a, b)
    return array_module(a).tensordot(a, b, ((0, 2), (0, 1)))


def linear(x: Array, w: Array, b: Array | None, axis: int) -> Array:
    """y[..., f] = sum_c x[..., c] w[c, f] + b[f], with channels along ``axis``."""
    channels, filters = w.shape
    work = x.size * filters / _SPEED
    if axis == -1:
        rows = x.reshape(math.prod(x.shape[:-1]), channels)
        if _at_once(x, work):
            y = matmul(rows, w)
            if b is not None and b.dtype == y.dtype:
                y += b
            elif b is not None:
                y = y + b
        else:
            y = _product(rows, w, b, (len(rows), filters), rows, work)
        return y.reshape(*x.shape[:-1], filters)
    return _product(w.T, x, None if b is None else b[:, None], (len(x), filters, x.shape[2]), x, work)


def _product(a: Array, b: Array, added: Array | None, shape: tuple[int, ...], split: Array, work: float) -> Array:
    """The product of ``a`` and ``b``, and ``added`` added, of which the factor ``split`` is split over the cores along
    its first axis, and worked through in tiles.
    """
    xp = array_module(a)
    out = xp.empty(shape, xp.result_type(a, b) if added is None else xp.result_type(a, b, added))
    step = max(1, _TILE * len(out) // max(out.nbytes, 1)) if type(a) is HostArray else max(1, len(out))

    def part(n: slice) -> None:
        for start in range(n.start, n.stop, step):
            tile = slice(start, min(start + step, n.stop))
            y = out[tile]
            matmul(a[tile] if split is a else a, b[tile] if split is b else b, y)
            if added is not None:
                y += added

    _split(part, split, work)
    return out


def linear_kernel_grad(x: Array, g: Array, axis: int) -> Array:
    """dw[c, f] = sum over all but ``axis`` of x[..., c] g[..., f]."""
    if x.dtype.char == "e" and type(x) is HostArray:  # the sums of the parts, too, are to be made in float32
        dw = linear_kernel_grad(x.astype("float32"), g.astype("float32"), axis)
        return dw.astype(array_module(x).result_type(x, g))
    channels, filters = x.shape[axis], g.shape[axis]
    work = x.size * filters / _SPEED
    if axis == -1:
        count = math.prod(x.shape[:-1])
        rows, others = x.reshape(count, channels), g.reshape(count, filters)
        if _at_once(x, work):
            return matmul(rows.T, others)

        def part(n: slice) -> Array:
            return matmul(rows[n].T, others[n])
    else:
        if on_gpu(x):
            return matmul_sum(x, g.swapaxes(1, 2))
        rows = x
        some = max(len(x), 1)  # sequences in one product
        if type(x) is HostArray:
            some = 1 if x.shape[2] >= _LONG else _COLUMNS // max(x.shape[2], 1)

        def part(n: slice) -> Array:
            starts = range(n.start, max(n.stop, 1), some)  # one tile where there is nothing to sum
            tiles = [slice(start, min(start + some, n.stop)) for start in starts]
            return sum(_in_rows(x[tile], 1, "inputs") @ _in_rows(g[tile], 2, "outputs") for tile in tiles)

    sums = _split(part, rows, work)
    return sum(sums[1:], sums[0])


def _at_once(x: Array, work: float) -> bool:
    """Whether it is one product: on a GPU, and where BLAS's own threads, still awake, are faster than ours."""
    return work < _SMALL or type(x) is not HostArray


def _in_rows(x: Array, axis: int, name: str) -> Array:
    """x (N, C, L) with a row for each channel, (C, N*L), or for each step, (N*L, C); for more than one sequence a copy
    in the scratch ``name``. As they are copied anyhow, one operand of each kind makes the fastest product.
    """
    if len(x) == 1:
        return x[0] if axis == 1 else x[0].T
    count, channels, steps = x.shape
    view = x.transpose(1, 0, 2) if axis == 1 else x.transpose(0, 2, 1)
    rows = scratch(x, name, view.shape)
    rows[...] = view
    return rows.reshape(channels, count * steps) if axis == 1 else rows.reshape(count * steps, channels)


def _split(part: Callable[[slice], Any], rows: Array, work: float) -> list[Any]:
    """The results of ``part`` for slices of the rows, over the cores where NumPy computes."""
    if type(rows) is not HostArray:
        return [part(slice(0, len(rows)))]
    return parallel.over(part, len(rows), work)
