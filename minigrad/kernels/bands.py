r"""Depthwise convolution by products with band matrices: the way of many short sequences, channels first.

As in `toeplitz`, a block of B outputs is a product of the J inputs that it sees with a matrix that holds the taps along
its diagonals, here a single one (p padding, d dilation, stride 1):

    Y[a : a+B] = X[a-p : a-p+J] W        W[d*k + t, t] = w[k], J = B + d*(K-1)

But nothing is copied: where time lies side by side, the same steps of one channel of all sequences *are* a matrix that
BLAS takes as it lies. Beyond the ends of the sequences is nothing to multiply with, so rows of W are left out there.
That is J multiplications an output in place of K, and it pays where the batch fills the products.

An infinity or NaN in x reaches the whole blocks of outputs that see it: zero times infinity is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.kernels import parallel
from minigrad.kernels.geometry import Geometry

_CACHED = 1 << 20  # bytes of matrices that one tile takes: each block of outputs needs them again
_LARGE = 1 << 20  # outputs that no cache holds

# Nanoseconds on one core: a multiply-add, a product of sequences by steps, an output, and one beyond the cache more.
_MULTIPLY, _PRODUCT, _OUTPUT, _FAR = 0.023, 100, 0.1, 0.8


def steps(geometry: Geometry) -> int:
    """B, the outputs of a block: few for short kernels, for which most of a band matrix is zeros."""
    return 16 if geometry.span <= 32 else 32


def cost(geometry: Geometry, y: Array) -> float:
    """About how many nanoseconds one output of y (N, C*M, T) takes on one core."""
    block = min(steps(geometry), y.shape[2])
    seen = min(block + geometry.span - 1, geometry.length)
    return seen * _MULTIPLY + _PRODUCT / (len(y) * block) + _OUTPUT + _FAR * (y.size > _LARGE)


def possible(geometry: Geometry, *arrays: Array) -> bool:
    """Whether the arrays (N, C, L) lie so that BLAS takes them, and the stride is 1."""
    return geometry.stride == 1 and all(array.flags.c_contiguous for array in arrays)


def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Write the convolution of x (N, C, L) with w (K, C, M) into y (N, C*M, T)."""
    xp = array_module(y)
    block = steps(geometry)
    matrices = _matrices(w, geometry, block, y.dtype)
    inputs, outputs = _by_channel(x, 1), _by_channel(y, w.shape[2])

    def tile(c: slice) -> None:
        for at, seen, rows in _blocks(geometry.out_length, geometry.length, geometry.padding[0], geometry.span, block):
            xp.matmul(inputs[c, :, :, seen], matrices[c, :, rows, : at.stop - at.start], out=outputs[c, :, :, at])

    _over_channels(tile, matrices, y, geometry)


def input_grad(g: Array, w: Array, dx: Array, geometry: Geometry) -> None:
    """Write dPhi/dx into dx (N, C, L), for g (N, C*M, T) and w (K, C, M): the convolution with the flipped kernels."""
    xp = array_module(dx)
    block, before = steps(geometry), geometry.span - 1 - geometry.padding[0]
    matrices = _matrices(w[::-1], geometry, block, dx.dtype)
    inputs, outputs = _by_channel(dx, 1), _by_channel(g, w.shape[2])

    def tile(c: slice) -> None:
        for at, seen, rows in _blocks(geometry.length, geometry.out_length, before, geometry.span, block):
            left, right = outputs[c, :, :, seen], matrices[c, :, rows, : at.stop - at.start]
            xp.matmul(left[:, :1], right[:, :1], out=inputs[c, :, :, at])
            for m in range(1, w.shape[2]):
                inputs[c, 0, :, at] += xp.matmul(left[:, m], right[:, m])

    _over_channels(tile, matrices, dx, geometry)


def kernel_grad(x: Array, g: Array, geometry: Geometry) -> Array:
    """dPhi/dw (K, C, M), for x (N, C, L) and g (N, C*M, T)."""
    xp = array_module(x)
    block, channels = 32, x.shape[1]  # products that sum over sequences alone are slow where they are small
    inputs, outputs = _by_channel(x, 1), _by_channel(g, g.shape[1] // channels)
    shape = (channels, outputs.shape[1], block + geometry.span - 1, block)
    matrices = xp.zeros(shape, xp.result_type(x, g))

    def tile(c: slice) -> None:
        for at, seen, rows in _blocks(geometry.out_length, geometry.length, geometry.padding[0], geometry.span, block):
            left = inputs[c, :, :, seen].swapaxes(2, 3)
            matrices[c, :, rows, : at.stop - at.start] += xp.matmul(left, outputs[c, :, :, at])

    _over_channels(tile, matrices, g, geometry)
    return xp.einsum("cmkb->kcm", _diagonals(matrices, geometry))


def _by_channel(x: Array, multiplier: int) -> Array:
    """The view (C, M, N, L) of x (N, C*M, L)."""
    count, channels, length = x.shape
    return x.reshape(count, channels // multiplier, multiplier, length).transpose(1, 2, 0, 3)


def _blocks(outputs: int, inputs: int, before: int, span: int, block: int) -> Iterator[tuple[slice, slice, slice]]:
    """For each block of outputs: where it stands, the inputs that it sees, and the rows of W that they meet."""
    for a in range(0, outputs, block):
        b = min(a + block, outputs)
        start = max(a - before, 0)
        stop = max(min(b - before + span - 1, inputs), start)
        yield slice(a, b), slice(start, stop), slice(start - a + before, stop - a + before)


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
    return array_module(matrices).lib.stride_tricks.as_strided(matrices, shape, strides)


def _over_channels(tile: Callable[[slice], None], matrices: Array, y: Array, geometry: Geometry) -> None:
    """``tile`` for all channels, so many at a time that their matrices (C, M, J, B) stay in the cache, split over the
    cores.
    """
    channels = len(matrices)
    some = max(1, _CACHED * channels // matrices.nbytes)

    def run(share: slice) -> None:
        for start in range(share.start, share.stop, some):
            tile(slice(start, min(start + some, share.stop)))

    parallel.over(run, channels, y.size * cost(geometry, y) / 1e3)
