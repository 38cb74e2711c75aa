"""Sums that stay exact over many numbers.

Added up one after the other, a million numbers in float32 lose two or three of their seven digits, and in float16 a
count stops at 2048. Here no more than `_RUN` numbers are added in a row. What these runs give is added up the same way,
and at the end, where few are left, in the next wider dtype. float16 is computed in float32 all the way.

Most of it is products with ones: BLAS adds several times as fast as a sum does. NumPy's own sum is left what it does
well, the last axis (in pairs, of pairs, of pairs) and few numbers.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from minigrad.backend import Array, HostArray, array_module, module_for
from minigrad.kernels import parallel

_RUN = 64  # numbers added in a row
_FEW = 16  # so few may be added in a row by NumPy itself
_SMALL = 4096  # elements that are summed faster in the wider dtype at once
_ROW = 4096  # elements of a last axis, at most, of which BLAS adds exactly enough
_SHORT = 512  # likewise of which einsum does, which adds in fewer parts
_SPEED = 12000  # additions a microsecond, about, on one core
_BLAS_AWAKE = 1 << 18  # elements, at most, that are left to BLAS's own threads, which products keep awake

_WIDER = {"f": "d", "F": "D"}


def total(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The sum over axes, as NumPy's ``x.sum(axis=axis, keepdims=keepdims)``; ``axis`` is an int, a tuple or None.

    Other libraries' arrays are summed by these, and Tensors, which rules may hold, by their own ``sum``.
    """
    if type(x) is not HostArray or (char := x.dtype.char) not in "efdFD":
        return x.sum(axis=axis, keepdims=keepdims)
    if x.size <= _SMALL and char in "dD":  # of which few need no care
        return array_module(x).add.reduce(x, axis=axis, keepdims=keepdims)
    if char == "e":
        return total(x.astype("float32"), axis, keepdims).astype("float16")
    steps, shape = _plan(x.shape, axis, keepdims)
    if not x.flags.c_contiguous and (gone := _named(axis, x.ndim)) is not None:
        order = sorted(range(x.ndim), key=lambda i: -x.strides[i])
        if x.size > _SMALL and order != list(range(x.ndim)):  # as it lies in memory, which decides what is in a row
            y = total(x.transpose(order), tuple(i for i, a in enumerate(order) if a in gone), True)
            return y.transpose(sorted(range(x.ndim), key=order.__getitem__)).reshape(shape)
        if not steps:
            x = array_module(x).ascontiguousarray(x)
    if not steps:
        return array_module(x).add.reduce(x, axis=axis, keepdims=keepdims)  # as x.sum, with less around it
    for before, count, after in steps:
        x = _middle(x.reshape(before, count, after))
    return x.reshape(shape)


def products(a: Array, b: Array, axis: tuple[int, ...]) -> Array:
    """The sum of a b, two arrays of one shape, over axes, which are kept with length 1; without an array for the
    product where NumPy computes.
    """
    if type(a) is type(b) is HostArray and a.dtype == b.dtype and a.dtype.char in ("fdFD" if a.size > _SMALL else "fF"):
        steps, shape = _plan(a.shape, axis, True)
        if len(steps) == 1 and steps[0][0] == 1:
            return _of_rows(a.reshape(steps[0][1:]), b.reshape(steps[0][1:])).reshape(shape)
        if not steps and _at_the_end(a.shape, axis):
            each = math.prod(shape)
            return array_module(a).einsum("pr,pr->p", a.reshape(each, -1), b.reshape(each, -1)).reshape(shape)
    return total(a * b, axis, keepdims=True)


def rows(x: Array) -> Array:
    """The sum over the first axis; of a bias of few units, which meets few rows, with no time lost."""
    if type(x) is HostArray and x.ndim == 2 and (count := len(x)) <= _FEW and (char := x.dtype.char) in "fd":
        return _ones(count, char).dot(x)
    return total(x, 0)


def _few(x: Array) -> Array:
    """The sum of few rows, in the wider dtype."""
    char = x.dtype.char
    wide = _WIDER.get(char, char)
    return _ones(len(x), wide).dot(x.astype(wide, copy=False)).astype(char, copy=False)


def _middle(x: Array) -> Array:
    """The sum of x (before, count, after) over its middle axis."""
    before, count, after = x.shape
    if after == 1:
        if not _FEW < count <= _ROW:
            return x.sum(1)
        run, split = _of_last, before
    elif before == 1:
        if x.size <= _SMALL:
            return _few(x[0])
        run, split, x = _of_first, count, x[0]
    else:
        run, split = _in_runs, before
    if x.size <= _BLAS_AWAKE:
        return run(x)
    with parallel.blas_held():  # BLAS's threads, once awake, would take the cores from the kernels that follow
        parts = parallel.over(lambda n: run(x[n]), split, x.size / _SPEED)
    if len(parts) == 1:
        return parts[0]
    together = array_module(x).concatenate(parts)
    return _few(together) if before == 1 and after > 1 else together


def _of_last(x: Array) -> Array:
    return x[:, :, 0] @ _ones(x.shape[1], x.dtype.char)


def _of_first(x: Array) -> Array:
    return _in_runs(x[None])


def _in_runs(x: Array) -> Array:
    """As `_middle`: runs of numbers that lie far apart are added up by one product, a long row at each step."""
    xp = array_module(x)
    before, count, after = x.shape
    char = x.dtype.char
    wide = _WIDER.get(char, char)
    sums = xp.zeros((before, after), wide)
    while count > _RUN:
        width = count // _RUN
        inside = x[:, : width * _RUN].reshape(before, _RUN, width * after)
        if width * _RUN < count:
            sums += _widely(x[:, width * _RUN :], wide)
        x, count = xp.matmul(_ones(_RUN, char), inside).reshape(before, width, after), width
    sums += _widely(x, wide)
    return sums.astype(char)


def _widely(x: Array, wide: str) -> Array:
    return array_module(x).matmul(_ones(x.shape[1], wide), x.astype(wide))


def _of_rows(a: Array, b: Array) -> Array:
    """The sum of a b over the first axis, for a and b (count, after)."""
    count, after = a.shape
    runs = min(_RUN, count)
    width = count // runs
    inside, rest = slice(0, runs * width), slice(runs * width, count)
    flat = runs, width * after
    einsum = array_module(a).einsum
    sums = rows(einsum("bw,bw->w", a[inside].reshape(flat), b[inside].reshape(flat)).reshape(width, after))
    return sums + einsum("bw,bw->w", a[rest], b[rest]) if rest.start < count else sums


@functools.lru_cache(maxsize=64)
def _ones(count: int, char: str) -> Array:
    return module_for("cpu").ones(count, char)


@functools.lru_cache(maxsize=1024)  # training sees the same few shapes at every step
def _plan(shape: tuple[int, ...], axis: Any, keepdims: bool) -> tuple[list[tuple[int, int, int]], tuple[int, ...]]:
    """The sums over the middle of (before, count, after) that make one over the axes, the last axes first, and its
    shape. No sums where NumPy's own is exact enough, or refuses the axes.
    """
    gone = _named(axis, len(shape))
    if gone is None or 0 in shape:
        return [], ()
    runs: list[list[Any]] = []  # neighboring axes of one kind as one
    for i, n in enumerate(shape):
        if runs and runs[-1][1] == (i in gone):
            runs[-1][0] *= n
        elif n > 1:
            runs.append([n, i in gone])
    steps = []
    after = 1
    while runs:
        count, summed = runs.pop()
        if summed:
            steps.append((math.prod(n for n, _ in runs), count, after))
        else:
            after *= count
    reduced = tuple(1 if i in gone else n for i, n in enumerate(shape) if keepdims or i not in gone)
    return steps if any(after > 1 and count > _FEW for _, count, after in steps) else [], reduced


def _named(axis: Any, ndim: int) -> set[int] | None:
    """The axes from 0 on; None if one is not there, or is named twice."""
    if axis is None:
        return set(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    try:
        gone = {range(ndim)[a] for a in axes}
    except IndexError:
        return None
    return gone if len(gone) == len(axes) else None


def _at_the_end(shape: tuple[int, ...], axis: tuple[int, ...]) -> bool:
    """Whether the axes are the last, and few enough elements along them to be added up in a row."""
    gone = _named(axis, len(shape)) or set()
    return bool(gone) and min(gone) == len(shape) - len(gone) and 0 < math.prod(shape[min(gone) :]) <= _SHORT
