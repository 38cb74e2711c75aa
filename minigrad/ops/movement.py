"""Movement: ops that only move, repeat or select elements. Adjoint pairs stand side by side.

reshape / reshape, transpose / transpose, broadcast_to / sum, pad / getitem, getitem / scatter,
concatenate / getitem, stack / getitem.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, SupportsIndex

from minigrad.backend import Array, array_module, asarray
from minigrad.ops.axes import axis_within, integer
from minigrad.ops.op import op, sum_to
from minigrad.tape import Value


@op
def reshape(x: Array, *, shape: tuple[int, ...]) -> Array:
    """The same elements in another shape; one length may be -1.

    >>> from minigrad import Tensor
    >>> Tensor.arange(6).reshape(2, 3).shape
    (2, 3)
    """
    return x.reshape(shape)


reshape.backward(x=lambda g, x_shape: reshape(g, shape=x_shape))


@op
def transpose(x: Array, *, axes: tuple[int, ...] | None = None) -> Array:
    """Axis i of the output is axis axes[i] of x; None reverses all axes.

    >>> from minigrad import Tensor
    >>> Tensor.zeros(2, 3, 4).transpose(0, 2, 1).shape
    (2, 4, 3)
    """
    return x.transpose(axes)


def _inverse(axes: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The permutation that undoes ``axes``."""
    return axes and tuple(sorted(range(len(axes)), key=lambda i: axes[i] % len(axes)))


transpose.backward(x=lambda g, axes: transpose(g, axes=_inverse(axes)))


@op
def broadcast_to(x: Array, *, shape: tuple[int, ...]) -> Array:
    """X repeated to ``shape``, as a view.

    >>> from minigrad import Tensor
    >>> Tensor([1.0, 2.0]).broadcast_to(2, 2).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """
    return array_module(x).broadcast_to(x, shape)


broadcast_to.backward(x=lambda g, x_shape: g if g.shape == x_shape else sum_to(g, x_shape))


@op
def getitem(x: Array, *, index: Any) -> Array:
    """x[index], for every index that NumPy knows: integers, slices, None, ..., arrays, masks.

    >>> from minigrad import Tensor
    >>> Tensor([1.0, 2.0, 3.0])[1:].tolist()
    [2.0, 3.0]
    """
    return x[plain(index)]


@op
def scatter(g: Array, *, index: Any, shape: tuple[int, ...]) -> Array:
    """The adjoint of `getitem`: zeros of ``shape`` with g added at ``index``; an element named twice gets both.

    >>> from minigrad import Tensor, ops
    >>> ops.scatter(Tensor([1.0, 2.0]), index=[0, 0], shape=(3,)).tolist()
    [3.0, 0.0, 0.0]
    """
    xp = array_module(g)
    index = plain(index)
    if _is_basic(index):
        x = xp.zeros(shape, g.dtype)
        x[index] = g
        return x
    half = g.dtype.char == "e"  # in which a sum stops at 2048 ones
    x = xp.zeros(shape, "float32" if half else g.dtype)
    xp.add.at(x, index, g.astype("float32") if half else g)
    return x.astype(g.dtype) if half else x


def plain(index: Any) -> Any:
    """An index with the arrays of Tensors in place of the Tensors, which a tape keeps without a copy."""
    if isinstance(index, tuple):
        return tuple([plain(part) for part in index])
    return index.data if isinstance(index, Value) else index


def _is_basic(index: Any) -> bool:
    """Whether an index is basic (slices and integers), which never names an element twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or isinstance(part, slice) or (type(part) is not bool and _is_integer(part))
        for part in parts
    )


def _is_integer(part: Any) -> bool:
    """Whether a part of an index is an integer of Python or NumPy, and no array."""
    return not isinstance(part, bool) and isinstance(part, SupportsIndex) and not hasattr(part, "__len__")


getitem.backward(x=lambda g, x_shape, index: scatter(g, index=index, shape=x_shape))
scatter.backward(g=lambda h, index: getitem(h, index=index))


@op
def pad(x: Array, *, widths: Any, value: float = 0.0) -> Array:
    """X with ``widths[i]`` = (before, after) elements of ``value`` added to axis i; as in NumPy, one width or one pair
    stands for all axes.

    Raises:
        ValueError, TypeError: widths that are no such integers.

    >>> from minigrad import Tensor
    >>> Tensor([1.0, 2.0]).pad(((1, 0),)).tolist()
    [0.0, 1.0, 2.0]
    """
    pairs = _pairs(widths, x.ndim)
    return array_module(x).pad(x, pairs, mode="constant", constant_values=value) if pairs else x


def _pairs(widths: Any, ndim: int) -> tuple[tuple[int, int], ...]:
    """A pair (before, after) for each axis."""
    try:
        given = asarray(widths)
        if given.size == 0 == ndim:
            return ()
        if given.dtype.kind in "iu" and not (given < 0).any():
            each = array_module(given).broadcast_to(given, (ndim, 2)).tolist()
            return tuple((before, after) for before, after in each)
    except (TypeError, ValueError):  # of ragged lists, and of shapes that do not broadcast
        pass
    raise ValueError(
        f"pad: widths must be one width, one pair (before, after), or a pair for each of {ndim} axes, of integers "
        f"from 0 on. Received: widths={widths!r}"
    )


def _inside(widths: Any, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The slices that cut the padding off again."""
    return tuple(slice(before, before + n) for (before, _), n in zip(_pairs(widths, len(shape)), shape, strict=True))


pad.backward(x=lambda g, x_shape, widths: getitem(g, index=_inside(widths, x_shape)))


@op
def concatenate(*arrays: Array, axis: int | None = 0) -> Array:
    """Arrays joined along an axis that they have; with None, all their elements along one.

    >>> from minigrad import Tensor, ops
    >>> ops.concatenate(Tensor([1.0]), Tensor([2.0, 3.0])).tolist()
    [1.0, 2.0, 3.0]
    """
    axis = None if axis is None else integer("concatenate", "axis", axis)
    return array_module(*arrays).concatenate([asarray(a) for a in arrays], axis=axis)


def _section(g: Any, shapes: Sequence[tuple[int, ...]], index: int, axis: Any) -> Any:
    """The part of g where the array at ``index`` stands."""
    if axis is None:
        start = sum(math.prod(shape) for shape in shapes[:index])
        return reshape(getitem(g, index=slice(start, start + math.prod(shapes[index]))), shape=shapes[index])
    axis = axis_within("concatenate", axis, len(shapes[0]))
    start = sum(shape[axis] for shape in shapes[:index])
    return getitem(g, index=(slice(None),) * axis + (slice(start, start + shapes[index][axis]),))


concatenate.backward(arrays=lambda g, index, arrays_shape, axis: _section(g, arrays_shape, index, axis))


@op
def stack(*arrays: Array, axis: int = 0) -> Array:
    """Arrays of one shape joined along a new axis.

    >>> from minigrad import Tensor, ops
    >>> ops.stack(Tensor([1.0, 2.0]), Tensor([3.0, 4.0])).shape
    (2, 2)
    """
    return array_module(*arrays).stack([asarray(a) for a in arrays], axis=integer("stack", "axis", axis))


def _layer(index: int, axis: Any, ndim: int) -> tuple[Any, ...]:
    return (slice(None),) * axis_within("stack", axis, ndim) + (index,)


stack.backward(arrays=lambda g, index, axis: getitem(g, index=_layer(index, axis, g.ndim)))
