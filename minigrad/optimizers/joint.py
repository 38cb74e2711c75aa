"""Arrays of many variables joined into one, so that an elementwise rule costs one call an operation for all of them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import accumulate, pairwise
from sys import getrefcount
from typing import NamedTuple

from minigrad.backend import Array, array_module, capturing, on_gpu
from minigrad.tensor import Tensor
from minigrad.variable import Variable


def _holders(arrays: list[Array]) -> list[int]:
    """How often each array is held."""
    return [getrefcount(array) for array in arrays]


_ONE = _holders([object()])[0]  # the list alone


_ACCESS = 16  # bytes that a kernel on a GPU reads at once, if they begin at a multiple of 16


def _gaps(sizes: Sequence[int], array: Array) -> list[int]:
    """How many elements of a row like ``array`` are left out behind each part, so that the next begins where kernels on
    a GPU may read several at once.
    """
    unit = _ACCESS // array.dtype.itemsize if on_gpu(array) else 1
    return [-size % unit for size in sizes[:-1]] + [0]


def joined(arrays: Sequence[Array], zeros: bool = False) -> Array:
    """The numbers of the arrays in one row; an only array as it is.

    On a GPU there may be gaps between them. With ``zeros`` these hold zeros, as gradients must, whose norm is taken;
    otherwise a number of the array before, with which any rule can compute.
    """
    if len(arrays) == 1:
        return arrays[0]
    xp, pieces = array_module(arrays[0]), []
    gaps = _gaps([array.size for array in arrays], arrays[0])
    zero = xp.zeros((1,), arrays[0].dtype) if zeros and any(gaps) else None
    for array, gap in zip(arrays, gaps, strict=True):
        row = array.reshape(-1)
        pieces.append(row)
        if gap:
            pieces.append(xp.broadcast_to(row[:1] if zero is None else zero, (gap,)))
    if capturing.get() is None:
        return xp.concatenate(pieces)
    ends = list(accumulate((len(piece) for piece in pieces), initial=0))  # CuPy joins more than 8 by a host's list
    whole = xp.empty((ends[-1],), arrays[0].dtype)
    for (a, b), piece in zip(pairwise(ends), pieces, strict=True):
        whole[a:b] = piece
    return whole


class Joint:
    """One array of several variables of one dtype and device: their weights, or one slot of all of them.

    The variables hold views of it from step to step. It is written in place only while nobody else holds it or one of
    the views, as `Variable.writable` has it for one variable; otherwise, or where a variable was assigned since, it is
    joined anew, and the former array is left to whom it belongs.
    """

    def __init__(self, variables: list[Variable]) -> None:
        self.variables = variables
        self._row: list[Array] = []  # one array, or none yet
        self._views: list[Array] = []

    def _current(self) -> bool:
        """Whether the variables still hold the views."""
        return bool(self._views) and all(map(operator.is_, [variable.data for variable in self.variables], self._views))

    def holds(self, array: Array) -> bool:
        """Whether this very array has the present values."""
        if len(self.variables) == 1:
            return self.variables[0].data is array
        return self._current() and self._row[0] is array

    def unshared(self, kept: list[Array]) -> bool:
        """Whether nobody holds the array in the list ``kept`` but this list, the variables, and, if it is theirs, the
        row here with its views.
        """
        if len(self.variables) == 1:
            return _holders(kept) == [_ONE + (self.variables[0].data is kept[0])]
        if not self._row or self._row[0] is not kept[0]:
            return _holders(kept) == [_ONE]
        count = len(self._views)  # the row is held here and by each view, a view here and by its variable
        views = [_ONE + held for held in map(operator.is_, [variable.data for variable in self.variables], self._views)]
        return _holders(kept) == [_ONE + count + (kept is not self._row)] and _holders(self._views) == views

    def copy_to(self, array: Array) -> None:
        """Let ``array``, as long as the row, have the present values."""
        if self.holds(array):
            return
        if len(self.variables) > 1 and self._current():
            array[...] = self._row[0]
            return
        own = self._views if self._row and self._row[0] is array else self.parts(array)
        for part, variable in zip(own, self.variables, strict=True):
            if variable.data is not part:
                part[...] = variable.data

    def data(self) -> Array:
        """The array, for reading."""
        if (recording := capturing.get()) is not None:
            for variable in self.variables:
                recording.reads(variable)
        return self._row[0] if self._current() else joined([variable.data for variable in self.variables])

    def writable(self) -> Array:
        """The array for an update in place, to be handed back to `assign`."""
        if len(self.variables) == 1:
            return self.variables[0].writable()
        recording = capturing.get()
        kept = self._row if recording is None else recording.changes_row(self) or self._row
        if self._current() and self.unshared(kept):
            return self._row[0]
        return joined([variable.data for variable in self.variables])

    def assign(self, array: Array) -> None:
        """Let each variable have its part of the array."""
        if len(self.variables) == 1:
            self.variables[0].assign(array)
            return
        if not self._row or array is not self._row[0]:
            self._row, self._views = [array], self.parts(array)
        if (recording := capturing.get()) is not None:
            recording.changes_row(self)
        for variable, view in zip(self.variables, self._views, strict=True):
            if variable.data is not view or variable.leaf is not None:  # the tape must know of each change
                variable.take(view)

    def project(self, owners: Sequence[Variable]) -> None:
        """Let the constraints of the owners, the variables themselves or those they belong to, bring them to where they
        should be.
        """
        if [owner.constraint for owner in owners].count(None) == len(owners):
            return
        array = self.writable()
        for part, variable, owner in zip(self.parts(array), self.variables, owners, strict=True):
            if owner.constraint is not None:
                part[...] = variable.fitting(owner.constraint(Tensor._output(part, None)))
        self.assign(array)

    def parts(self, array: Array) -> list[Array]:
        """The part of each variable, in its shape."""
        if len(self.variables) == 1:
            return [array]
        sizes = [variable.size for variable in self.variables]
        starts = accumulate(map(operator.add, sizes, _gaps(sizes, array)), initial=0)
        return [array[a : a + v.size].reshape(v.shape) for a, v in zip(starts, self.variables, strict=False)]


class Group(NamedTuple):
    """Variables that take each step together, and what is kept for them."""

    members: list[int]  # which of the variables of the step
    weights: Joint
    slots: dict[str, Joint]
    averages: Joint
    sums: Joint
    decays: bool

    def joined(self, gradients: Sequence[Array]) -> Array:
        """Their gradients in one."""
        return joined([gradients[i] for i in self.members], zeros=True)
