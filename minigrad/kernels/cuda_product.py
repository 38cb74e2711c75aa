"""Matrix products of our own on a GPU, by ``matmul.cu``: which tile, how many blocks, and where the factors lie.

Steps that are being captured need them, since CuPy calls no cuBLAS while a stream is captured: `own_products` of
`minigrad.backend` tells when. Factors of float32 are multiplied in float32, whatever `set_tf32` allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from minigrad.backend import Array, address, array_module, at_device_of, describe
from minigrad.kernels.cuda import INT, TYPES, Launch, addition, common_dtype, start, summed_bytes

SOURCE = Path(__file__).with_name("matmul.cu")


class Tile(NamedTuple):
    """What a block makes, rows x columns results, ``deep`` terms at a time; and a thread of it, r x c.

    ``speed`` is the part of its time in which a multiprocessor multiplies, if it reads shared memory in the rest.
    """

    rows: int
    columns: int
    deep: int
    r: int
    c: int
    speed: float


_TILES = (
    Tile(128, 64, 8, 8, 4, 0.67), Tile(64, 64, 16, 4, 4, 0.57), Tile(128, 16, 16, 4, 2, 0.5),
    Tile(16, 128, 16, 4, 2, 0.4), Tile(32, 32, 16, 2, 2, 0.33),
)  # fmt: skip
_BLOCKS = 264  # that run at once on a large GPU: two on each of 132 multiprocessors
_LEAST = 8  # slabs of a share of a sum, at least: a share must also be written, read and added
_GRID = (1 << 31) - 1  # blocks along the first axis of a grid, at most


class Sizes(NamedTuple):
    """The sum that `multiply` makes, in the words of the source."""

    outer: int
    inner: int
    pieces: int
    rows: int
    columns: int
    terms: int

    @property
    def results(self) -> int:
        """The elements of y."""
        return self.outer * self.inner * self.rows * self.columns


class Steps(NamedTuple):
    """How many elements lie between neighbors along an axis of a factor."""

    outer: int
    inner: int
    piece: int
    across: int
    along: int


Axis = tuple[int, int, int]  # an axis of both factors: its length, and the bytes from one element to the next in each


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """The matrix product as NumPy's ``matmul``, of arrays on one GPU with any steps between their elements.

    ``out`` is an array without gaps, of the shape of the result; it is computed in the dtype of that.

    Raises:
        TypeError: arrays on several devices, or of another dtype than float16, float32, float64.
        ValueError: shapes that do not fit.
    """
    arrays, xp = {"a": a, "b": b} if out is None else {"a": a, "b": b, "out": out}, array_module(a, b)
    common = common_dtype("matmul", "while a step is captured", **arrays)
    dtype = common if out is None else out.dtype
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise ValueError(f"matmul: columns of a must equal rows of b. Received: a={describe(a)}, b={describe(b)}")
    pairs = list(zip_longest(a.shape[-3::-1], b.shape[-3::-1], fillvalue=1))
    if any(i != j and 1 not in (i, j) for i, j in pairs):
        raise ValueError(f"matmul: leading axes must broadcast. Received: a={describe(a)}, b={describe(b)}")
    batch = [j if i == 1 else i for i, j in reversed(pairs)]
    with at_device_of(a):
        left = a.astype(dtype, copy=False)[None] if a.ndim == 1 else a.astype(dtype, copy=False)
        right = b.astype(dtype, copy=False)[:, None] if b.ndim == 1 else b.astype(dtype, copy=False)
        left, right = (xp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (left, right))
        rows, columns = left.shape[-2], right.shape[-1]
        y = xp.empty((*batch, *[rows] * (a.ndim > 1), *[columns] * (b.ndim > 1)), dtype) if out is None else out
        _multiply(left, right, y.reshape(*batch, rows, columns))
    return y


def matmul_sum(a: Array, b: Array) -> Array:
    """The sum of a[m] b[m] over m, for a (M, I, K) and b (M, K, J); raises what `matmul` does."""
    dtype = common_dtype("matmul_sum", "while a step is captured", a=a, b=b)
    if a.ndim != 3 or b.ndim != 3 or len(a) != len(b) or a.shape[2] != b.shape[1]:
        raise ValueError(
            f"matmul_sum: a (M, I, K) and b (M, K, J) must be given. Received: a={describe(a)}, b={describe(b)}"
        )
    with at_device_of(a):
        left, right = a.astype(dtype, copy=False), b.astype(dtype, copy=False)
        y = array_module(a, b).empty((a.shape[1], b.shape[2]), dtype)
        _start(left, right, y, [], (len(a), left.strides[0], right.strides[0]))
    return y


def _multiply(a: Array, b: Array, y: Array) -> None:
    """Y = a b for equal leading axes, of which the kernel takes two; more, as far as they do not merge, one by one."""
    axes = _merged(y.shape[:-2], a.strides[:-2], b.strides[:-2])
    if len(axes) > 2:
        for i in range(len(y)):
            _multiply(a[i], b[i], y[i])
    else:
        _start(a, b, y, axes)


def _merged(lengths: Sequence[int], a: Sequence[int], b: Sequence[int]) -> list[Axis]:
    """The leading axes: those that lie in each other as one, without those of length 1."""
    axes: list[Axis] = []
    for length, i, j in zip(lengths, a, b, strict=True):
        if axes and axes[-1][1:] == (length * i, length * j):
            axes[-1] = (axes[-1][0] * length, i, j)
        elif length != 1:
            axes.append((length, i, j))
    return axes


def _start(a: Array, b: Array, y: Array, axes: list[Axis], piece: Axis = (1, 0, 0)) -> None:
    """Start the kernels that make y."""
    leading = [*[(1, 0, 0)] * (2 - len(axes)), *axes, piece]
    z = Sizes._make([*(axis[0] for axis in leading), a.shape[-2], b.shape[-1], a.shape[-1]])
    if not y.size:
        return
    if not z.pieces * z.terms:
        y.fill(0)
        return
    dtype, size = str(y.dtype), y.itemsize
    a_steps = Steps._make([step // size for step in (*(axis[1] for axis in leading), *a.strides[-2:])])
    b_steps = Steps._make([step // size for step in (*(axis[2] for axis in leading), *b.strides[:-3:-1])])
    launch = product(z, a_steps, b_steps, dtype, address(y) % 16 == 0)
    shares = launch.grid[1]
    sums = "float64" if dtype == "float64" else "float32"
    partial = array_module(y).empty((shares if shares > 1 else 0, y.size), sums)
    start(launch, a, b, y, partial)
    if shares > 1:
        start(addition(y.size, shares, dtype), partial, y)


def product(z: Sizes, a: Steps, b: Steps, dtype: str, aligned: bool) -> Launch:
    """How to compute the sum, from sizes alone: with the tile that keeps the busiest multiprocessor busy for the
    shortest time. Where the grid has several rows, each writes a part for `addition`.
    """
    tile = min(_TILES, key=lambda tile: _time(z, tile))
    blocks, shares = _grid(z, tile)
    lengths = (z.outer, z.inner, z.pieces, z.rows, z.terms), (z.outer, z.inner, z.pieces, z.columns, z.terms)
    reaches = [sum(n * abs(step) for n, step in zip(*pair, strict=True)) for pair in zip(lengths, (a, b), strict=True)]
    counted = max(*reaches, z.pieces * (z.terms + tile.deep), z.results * shares, blocks, *z)
    index = "int" if counted < INT else "long long"
    name = f"multiply<{TYPES[dtype]}, {index}, {tile.rows}, {tile.columns}, {tile.deep}, {tile.r}, {tile.c}>"
    threads = tile.rows // tile.r * (tile.columns // tile.c)
    size = summed_bytes(dtype)
    shared = tile.deep * (tile.rows + tile.columns + 2 * (16 // size)) * size
    return Launch(name, (min(blocks, _GRID), shares), (threads, 1), shared, (*z, *a, *b, int(aligned)), SOURCE)


def _grid(z: Sizes, tile: Tile) -> tuple[int, int]:
    """The blocks that make all results, and among how many each of their sums is split."""
    blocks = z.outer * z.inner * -(-z.rows // tile.rows) * -(-z.columns // tile.columns)
    slabs = z.pieces * -(-z.terms // tile.deep)
    share = -(-slabs // max(1, min(_BLOCKS // blocks, slabs // _LEAST)))
    return blocks, -(-slabs // share)


def _time(z: Sizes, tile: Tile) -> float:
    """The multiplications of the busiest multiprocessor, one after the other, over their speed."""
    blocks, shares = _grid(z, tile)
    slabs = z.pieces * -(-z.terms // tile.deep)
    return -(-blocks * shares // _BLOCKS) * -(-slabs // shares) * tile.deep * tile.rows * tile.columns / tile.speed
