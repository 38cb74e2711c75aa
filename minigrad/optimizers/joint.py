"""Arrays of many variables joined into one, so that an elementwise rule costs one call an operation for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from sys import getrefcount
from typing import NamedTuple

from minigrad.backend import Array, array_module
from minigrad.variable import Variable


def _holders(arrays: list[Array]) -> list[int]:
    """How often each array is held."""
    return [getrefcount(array) for array in arrays]


_ONE = _holders([object()])[0]  # the list alone


def joined(arrays: Sequence[Array]) -> Array:
    """The numbers of the arrays in one row; an only array as it is."""
    if len(arrays) == 1:
        return arrays[0]
    return array_module(arrays[0]).concatenate([array.reshape(-1) for array in arrays])


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
        return bool(self._views) and all(v.data is a for v, a in zip(self.variables, self._views, strict=True))

    def data(self) -> Array:
        """The array, for reading."""
        return self._row[0] if self._current() else joined([variable.data for variable in self.variables])

    def writable(self) -> Array:
        """The array for an update in place, to be handed back to `assign`."""
        if len(self.variables) == 1:
            return self.variables[0].writable()
        if self._current():  # the row is held here and by each view, a view here and by its variable
            count = len(self._views)
            if _holders(self._row) == [_ONE + count] and _holders(self._views) == [_ONE + 1] * count:
                return self._row[0]
        return joined([variable.data for variable in self.variables])

    def assign(self, array: Array) -> None:
        """Let each variable have its part of the array."""
        if len(self.variables) == 1:
            self.variables[0].assign(array)
            return
        if not self._row or array is not self._row[0]:
            self._row, self._views = [array], self.parts(array)
        for variable, view in zip(self.variables, self._views, strict=True):
            variable.hold(view)

    def parts(self, array: Array) -> list[Array]:
        """The part of each variable, in its shape."""
        if len(self.variables) == 1:
            return [array]
        ends = accumulate((variable.size for variable in self.variables), initial=0)
        return [array[a:b].reshape(v.shape) for (a, b), v in zip(pairwise(ends), self.variables, strict=True)]


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
        return joined([gradients[i] for i in self.members])
