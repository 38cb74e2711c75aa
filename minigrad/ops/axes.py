"""Axes and lengths as they are given: integers of Python or of NumPy, one or several."""

from __future__ import annotations

from operator import index
from typing import Any

Axis = int | tuple[int, ...] | None


def integer(who: str, name: str, value: Any) -> int:
    """``value`` as a Python integer.

    Raises:
        TypeError: it is none.
    """
    try:
        return index(value)
    except TypeError:
        one = "one" if isinstance(value, (tuple, list)) else "an"
        raise TypeError(f"{who}: {name} must be {one} integer. Received: {name}={value!r}") from None


def axes_of(who: str, axis: Any) -> Axis:
    """``axis`` of Python integers: one, a tuple of several, or None for all.

    Raises:
        TypeError: something else.
    """
    if axis is None or type(axis) is int:
        return axis
    try:
        return tuple([index(a) for a in axis]) if isinstance(axis, tuple) else index(axis)
    except TypeError:
        must = "axis must be an integer, a tuple of integers or None"
        raise TypeError(f"{who}: {must}. Received: axis={axis!r}") from None


def axes_within(who: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """One axis or several, each counted from the front of ``ndim`` axes.

    Raises:
        TypeError: no integers.  ValueError: an axis that is not there, or is named twice.
    """
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple([axis_within(who, a, ndim) for a in given])
    if len(set(axes)) < len(axes):
        raise ValueError(f"{who}: every axis must be named once. Received: axis={axis!r}")
    return axes


def axis_within(who: str, axis: Any, ndim: int) -> int:
    """``axis`` counted from the front of ``ndim`` axes.

    Raises:
        TypeError: it is no integer.  ValueError: there is no such axis.
    """
    i = integer(who, "axis", axis)
    if not -ndim <= i < ndim:
        there = f"from {-ndim} to {ndim - 1}" if ndim else "left out, for there are none"
        raise ValueError(f"{who}: axis must be {there}. Received: axis={axis!r}")
    return i % ndim
