"""Squares and norms of numbers whose squares are too large for their dtype.

NumPy notices an overflow while it computes, for nothing, so on the CPU the plain formula is tried first. A GPU notices
none: there the careful one is used at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.backend import Array, HostArray, array_module, array_types, wide


def with_square(array: Array) -> tuple[Array, Array]:
    """The array and its square; numbers too large to have one are first cut to the largest that have.

    >>> import numpy
    >>> numbers, squares = with_square(numpy.array([3.0, -1e30], "float32"))
    >>> f"{numbers[1]:.2g}", f"{squares[1]:.2g}"
    ('-1.8e+19', '3.4e+38')
    """
    xp = array_module(array)
    if type(array) is HostArray:
        try:
            with xp.errstate(over="raise"):
                return array, array * array
        except FloatingPointError:
            pass
    facts = xp.finfo(array.dtype)
    largest = 2.0 ** (facts.maxexp // 2) * (1 - float(facts.eps))
    array = array.clip(-largest, largest)
    return array, array * array


def add_square(total: Array, array: Array) -> Array:
    """Add the square of the array to ``total``, in place; a sum too large becomes the largest number. Returns the array
    as `with_square` does.
    """
    xp, (array, square) = array_module(array), with_square(array)
    if type(array) is HostArray:
        try:
            with xp.errstate(over="raise"):
                total += square
                return array
        except FloatingPointError:  # the sums are there
            pass
    else:
        total += square
    xp.minimum(total, float(xp.finfo(total.dtype).max), out=total)
    return array


def mean(array: Array, axis: int, keepdims: bool = False) -> Array:
    """The mean over an axis, also where the sum is too large."""
    xp = array_module(array)
    if type(array) is HostArray:
        try:
            with xp.errstate(over="raise"):
                return array.mean(axis, keepdims=keepdims)
        except FloatingPointError:
            pass
    return (array / array.shape[axis]).sum(axis, keepdims=keepdims)


def norm(arrays: Sequence[Array], axis: Any = None) -> Array:
    """The Euclidean norm of all numbers in ``arrays``, of no axes; or, with ``axis``, that of an only array over these
    axes, which are kept. It may be of a wider dtype.

    >>> import numpy
    >>> f"{norm([numpy.array([3e30, 4e30], 'float32')]):.4g}", norm([numpy.float16([300, 400])]).item()
    ('5e+30', 500.0)
    """
    xp, arrays, kept = array_module(*arrays), [wide(array) for array in arrays], axis is not None
    if xp is array_types[HostArray]:
        try:
            with xp.errstate(over="raise"):
                first, *others = [(a * a).sum(axis=axis, keepdims=kept) for a in arrays]
                return xp.sqrt(sum(others, first) if others else first)
        except FloatingPointError:
            pass
    if any(array.dtype.itemsize == 8 for array in arrays):
        return _scaled_norm([array for array in arrays if array.size] or [xp.zeros((1,))], axis, xp)
    squares = (xp.multiply(a, a, dtype="float64") for a in arrays)
    return xp.sqrt(sum(square.sum(axis=axis, keepdims=kept) for square in squares))


def _scaled_norm(arrays: Sequence[Array], axis: Any, xp: Any) -> Array:
    """`norm` where no dtype is wide enough for the squares: of numbers divided by the greatest of them."""
    kept = axis is not None
    sizes = [abs(a).max(axis=axis, keepdims=kept) for a in arrays]
    top = sizes[0] if len(sizes) == 1 else xp.stack(sizes).max()
    most = float(xp.finfo("float64").max)
    top = xp.where(xp.isfinite(top), xp.where(top > 0, top, 1.0), most)
    arrays = [a / top for a in arrays]
    length = xp.sqrt(sum((a * a).sum(axis=axis, keepdims=kept) for a in arrays))
    room = most / xp.maximum(top, 1.0)
    return xp.where(xp.isfinite(length), xp.minimum(length, room), length) * top


def scaled(array: Array, factor: Array) -> Array:
    """``array * factor`` in the dtype of the array, where that of the factor, as of a norm, may be a wider one."""
    if type(array) is HostArray:
        return (array * factor).astype(array.dtype, copy=False)
    return array * factor.astype(array.dtype)
