r"""Depthwise convolution by products with band matrices: the way of many short sequences.

As in `toeplitz`, a block of B outputs is a product of the J inputs that it sees with a matrix that holds the taps along
its diagonals, here a single one (p padding, d dilation, stride 1):

    Y[a : a+B] = X[a-p : a-p+J] W        W[d*k + t, t] = w[k], J = B + d*(K-1)

Where time lies side by side, the same steps of one channel of all sequences *are* a matrix that BLAS takes as it lies;
otherwise tiles are copied, once. Beyond the ends of the sequences is nothing to multiply with, so rows of W are left
out there. That is J multiplications an output in place of K, and it pays where the batch fills the products.

An infinity or NaN in x reaches the whole blocks of outputs that see it: zero times infinity is NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.kernels import parallel
from minigrad.kernels.geometry import Geometry
from minigrad.kernels.scratch import scratch, strided

_GRAD_STEPS = 32  # B of the kernel gradient: products that sum over sequences alone are slow where they are small
_CACHED = 1 << 20  # bytes of matrices that one tile takes, and of copies: each block of outputs needs them again
_LARGE = 1 << 20  # outputs that no cache holds
_LONG = 512  # steps of which a copy takes twice as long as of few: its rows then lie in pages of their own
_RUN = 64  # neighboring channels, at least, that a tile copies: fewer would be read in pieces too short
_APART = 8  # elements between rows of a copy: rows a power of two apart would fall into the same lines of the cache
_FEW = 32  # sequences, at least, of a tile that copies: they make an efficient product

# Nanoseconds on one core: a multiply-add, a product of sequences by steps, an output, one beyond the cache more, one
# that is copied, an entry of a matrix that is added up.
_MULTIPLY, _PRODUCT, _OUTPUT, _FAR, _COPY, _ADD = 0.023, 100, 0.1, 0.7, 0.4, 0.15


@functools.lru_cache(maxsize=1024)  # training sees the same few shapes at every step
def cost(geometry: Geometry, batch: int, size: int, copies: int, of_kernel: bool = False) -> float:
    """About how many nanoseconds one of ``size`` outputs takes on one core, if so many of the two arrays (N, C, L) must
    be copied; ``of_kernel`` for the gradient of the kernel.
    """
    block, steps = _GRAD_STEPS if of_kernel else _steps(geometry), max(geometry.out_length, 1)
    blocks = _blocks(geometry.out_length, geometry.length, geometry.padding[0], geometry.span, block)
    seen = sum(inputs.stop - inputs.start for _, inputs, _ in blocks) / max(len(blocks), 1)
    each = seen * _MULTIPLY + _PRODUCT / (batch * min(block, steps)) + _OUTPUT + _FAR * (size >= _LARGE)
    if of_kernel:  # the matrices are filled with zeros, added to by each block, and summed at the end
        each += (len(blocks) + 2) * (block + geometry.span - 1) * block * _ADD / (batch * steps)
    return each + copies * _COPY * (1 + geometry.length / _LONG)


def _steps(geometry: Geometry) -> int:
    """B, the outputs of a block: few for short kernels, for which most of a band matrix is zeros."""
    return 16 if geometry.span <= 32 else 32


def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Write the convolution of x (N, C, L) with w (K, C, M) into y (N, C*M, T); any of them may be a view."""
    xp = array_module(y)
    block = _steps(geometry)
    matrices = _matrices(w, geometry, block, y.dtype)
    inputs, outputs = _by_channel(x, 1), _by_channel(y, w.shape[2])

    def tile(c: slice, n: slice) -> None:
        given, out = _rows(inputs[c, :, n], "inputs", y.dtype), outputs[c, :, n]
        made = _room(out)
        for at, seen, rows in _blocks(geometry.out_length, geometry.length, geometry.padding[0], geometry.span, block):
            xp.matmul(given[..., seen], matrices[c, :, rows, : at.stop - at.start], out=made[..., at])
        if made is not out:
            out[...] = made

    _over_tiles(tile, matrices, inputs, outputs, geometry)


def input_grad(g: Array, w: Array, dx: Array, geometry: Geometry) -> None:
    """Write dPhi/dx into dx (N, C, L), for g (N, C*M, T) and w (K, C, M): the convolution with the flipped kernels."""
    xp = array_module(dx)
    block, before = _steps(geometry), geometry.span - 1 - geometry.padding[0]
    matrices = _matrices(w[::-1], geometry, block, dx.dtype)
    inputs, outputs = _by_channel(dx, 1), _by_channel(g, w.shape[2])

    def tile(c: slice, n: slice) -> None:
        given, out = _rows(outputs[c, :, n], "inputs", dx.dtype), inputs[c, :, n]
        made = _room(out)
        for at, seen, rows in _blocks(geometry.length, geometry.out_length, before, geometry.span, block):
            left, right = given[..., seen], matrices[c, :, rows, : at.stop - at.start]
            xp.matmul(left[:, :1], right[:, :1], out=made[..., at])
            for m in range(1, w.shape[2]):
                made[:, 0, :, at] += xp.matmul(left[:, m], right[:, m])
        if made is not out:
            out[...] = made

    _over_tiles(tile, matrices, inputs, outputs, geometry)


def kernel_grad(x: Array, g: Array, geometry: Geometry) -> Array:
    """dPhi/dw (K, C, M), for x (N, C, L) and g (N, C*M, T)."""
    xp = array_module(x)
    dtype = xp.result_type(x, g)
    inputs, outputs = _by_channel(x, 1), _by_channel(g, g.shape[1] // x.shape[1])
    width, before = _GRAD_STEPS + geometry.span - 1, geometry.padding[0]
    matrices = xp.zeros((*outputs.shape[:2], width, _GRAD_STEPS), dtype)

    def tile(c: slice, n: slice) -> None:
        given, others = _rows(inputs[c, :, n], "inputs", dtype), _rows(outputs[c, :, n], "outputs", dtype)
        for at, seen, rows in _blocks(geometry.out_length, geometry.length, before, geometry.span, _GRAD_STEPS):
            products = xp.matmul(given[..., seen].swapaxes(2, 3), others[..., at])
            matrices[c, :, rows, : at.stop - at.start] += products

    _over_tiles(tile, matrices, inputs, outputs, geometry)
    return xp.einsum("cmkb->kcm", _diagonals(matrices, geometry))


def are_rows(x: Array, sequences: int = -2, time: int = -1) -> bool:
    """Whether BLAS takes the matrix of these two axes as it lies: the steps of a row side by side, rows apart."""
    return bool(x.strides[time] == x.itemsize and x.strides[sequences] >= x.shape[time] * x.itemsize)


def _by_channel(x: Array, multiplier: int) -> Array:
    """The view (C, M, N, L) of x (N, C*M, L)."""
    count, channels, length = x.shape
    return x.reshape(count, channels // multiplier, multiplier, length).transpose(1, 2, 0, 3)


def _rows(x: Array, name: str, dtype: Any) -> Array:
    """x (C, M, N, L) as BLAS takes it, itself or a copy."""
    if are_rows(x) and x.dtype == dtype:
        return x
    copy = _scratch(x, name, dtype)
    copy[...] = x
    return copy


def _room(x: Array) -> Array:
    """Where BLAS can write what is to be x (C, M, N, L): x itself, or scratch to copy it from."""
    return x if are_rows(x) else _scratch(x, "made", x.dtype)


def _scratch(x: Array, name: str, dtype: Any) -> Array:
    """Room for x (C, M, N, L), its steps side by side."""
    channels, multiplier, count, length = x.shape
    return scratch(x, name, (count, channels, multiplier, length + _APART), dtype)[..., :length].transpose(1, 2, 0, 3)


@functools.lru_cache(maxsize=1024)
def _blocks(outputs: int, inputs: int, before: int, span: int, block: int) -> list[tuple[slice, slice, slice]]:
    """For each block of outputs: where it stands, the inputs that it sees, and the rows of W that they meet."""
    blocks = []
    for a in range(0, outputs, block):
        b = min(a + block, outputs)
        start = max(a - before, 0)
        stop = max(min(b - before + span - 1, inputs), start)
        blocks.append((slice(a, b), slice(start, stop), slice(start - a + before, stop - a + before)))
    return blocks


def _matrices(w: Array, geometry: Geometry, block: int, dtype: Any) -> Array:
    """W (C, M, J, B) of the taps w (K, C, M)."""
    xp = array_module(w)
    _, channels, multiplier = w.shape
    matrices = xp.zeros((channels, multiplier, block + geometry.span - 1, block), dtype)
    _diagonals(matrices, geometry)[...] = w.transpose(1, 2, 0)[..., None]
    return matrices


def _diagonals(matrices: Array, geometry: Geometry) -> Array:
    """A view (C, M, K, B) of all entries of W (C, M, J, B) that hold each tap."""
    per_channel, per_copy, row, item = matrices.strides
    shape = (*matrices.shape[:2], geometry.taps, matrices.shape[3])
    strides = (per_channel, per_copy, geometry.dilation * row, row + item)
    return strided(matrices, shape, strides)


def _over_tiles(
    tile: Callable[[slice, slice], None], matrices: Array, inputs: Array, outputs: Array, geometry: Geometry
) -> None:
    """``tile`` for all channels and sequences, split over the cores: so many at a time that their matrices (C, M, J, B)
    stay in the cache, and what is copied of the inputs (C, 1, N, L) or the outputs (C, M, N, T).
    """
    channels, _, batch, _ = inputs.shape
    some, few = max(1, _CACHED * channels // matrices.nbytes), batch
    copied = [x for x in (inputs, outputs) if not are_rows(x)]
    if copied:
        each = max(1, max(x.nbytes for x in copied) // (channels * batch))  # bytes of one channel of one sequence
        some = min(some, max(_RUN, _CACHED // (each * batch)))
        few = max(_FEW, _CACHED // (each * some))
    work = outputs.size * cost(geometry, batch, outputs.size, len(copied)) / 1e3

    def run(share: slice) -> None:
        for start in range(share.start, share.stop, some):
            c = slice(start, min(start + some, share.stop))
            for first in range(0, batch, few):
                tile(c, slice(first, min(first + few, batch)))

    parallel.over(run, channels, work)
