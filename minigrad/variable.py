"""Variable: a tensor that a layer or a user owns, and may assign."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

from minigrad.backend import Array, asarray, capturing, device_of, move
from minigrad.tensor import Tensor


class Variable(Tensor):
    """A tensor with a name, that can be assigned: a weight.

    Args:
        data: the initial value, as for `Tensor`.
        trainable: whether gradients reach it; only floating variables can.
        name, path: what it is called, alone and within its layer ("conv/bias").
        regularizer: a function of the weight whose value is added to the loss, or None.
        constraint: a projection applied after every update, or None.

    Raises:
        TypeError: a trainable variable of integers.

    >>> w = Variable([1.0, 2.0], name="w")
    >>> w.assign([3.0, 4.0]).tolist()
    [3.0, 4.0]
    """

    __slots__ = ("can_train", "constraint", "name", "path", "regularizer")

    def __init__(
        self,
        data: Any,
        dtype: Any = None,
        device: str | None = None,
        *,
        trainable: bool = True,
        name: str = "variable",
        path: str | None = None,
        regularizer: Callable[[Any], Any] | None = None,
        constraint: Callable[[Any], Any] | None = None,
    ) -> None:
        self._frozen: Any = None
        self.name = name
        self.path = path or name  # known before the leaf is made, which takes it
        super().__init__(data, dtype, device, requires_grad=trainable)
        self.can_train = trainable  # a layer that is frozen and thawed asks which of its weights may train
        self.regularizer = regularizer
        self.constraint = constraint

    @property
    def trainable(self) -> bool:
        """Whether gradients reach this variable."""
        return self.requires_grad

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        self.requires_grad = trainable

    @property
    def leaf(self) -> Any:
        """What tapes know the variable by, also while it is frozen; None if no gradient ever reached it."""
        return self.node or self._frozen

    def _facts(self) -> str:
        return f"path={self.path!r}, {super()._facts()}"

    def __bool__(self) -> bool:
        raise TypeError(f"bool: a variable must not stand for true or false; ask .item(). Received: {self.path!r}")

    @property
    def value(self) -> Tensor:
        """The present value, without a history."""
        return self.detach()

    def detach(self) -> Tensor:
        """The same values without a history."""
        if (recording := capturing.get()) is not None:
            recording.reads(self)
        return super().detach()

    def assign(self, value: Any) -> Variable:
        """Take the values of ``value``; tapes that used the former ones will refuse to go backward.

        Raises:
            ValueError: another shape.
            TypeError: another device; no numbers, or complex ones for a real variable.
        """
        data = self.fitting(value)
        self.hold(data if data is self.data else data.astype(self.dtype))  # astype copies
        return self

    def fitting(self, value: Any) -> Array:
        """The array of ``value``, once it is known to fit; its dtype may be another."""
        data = value.data if isinstance(value, Tensor) else asarray(value, like=self.data)
        if (recording := capturing.get()) is not None:
            recording.keeps(data)
        if data.shape != self.shape:
            raise ValueError(
                f"assign: the value must have the shape of the variable {self.path!r}. "
                f"Received: value shape={data.shape}, variable shape={self.shape}"
            )
        if device_of(data) != self.device:
            raise TypeError(
                f"assign: the value must be on the device of the variable {self.path!r}; move it with .to(device). "
                f"Received: value on {device_of(data)!r}, variable on {self.device!r}"
            )
        if data is self.data:
            return data
        if data.dtype != self.dtype and data.dtype.kind not in ("biufc" if self.dtype.kind == "c" else "biuf"):
            raise TypeError(
                f"assign: the value must be of numbers that fit the variable {self.path!r}. "
                f"Received: value dtype={data.dtype}, variable dtype={self.dtype}"
            )
        return data

    def hold(self, data: Array) -> None:
        """Take ``data`` itself, of the shape, dtype and device of the variable; nobody else may write to it."""
        if (recording := capturing.get()) is not None:
            recording.changes(self)
        self.take(data)

    def take(self, data: Array) -> None:
        """`hold`, where a captured step knows already."""
        self.data = data
        if (leaf := self.leaf) is not None:
            leaf.born_again()

    def writable(self) -> Array:
        """The array of the variable for an update in place, to be handed back to `assign`.

        Somebody else may hold it too: a detached tensor, a view, an older tape. Then it is a copy, so that nothing
        recorded before ever sees other numbers. So it is where the variable itself is a view: who else views that
        memory is not seen here.
        """
        own = 0 if (recording := capturing.get()) is None else recording.changes(self)  # a captured step holds it too
        return self.data if getrefcount(self.data) <= 2 + own and self.data.base is None else self.data.copy()

    def assign_add(self, value: Any) -> Variable:
        """Add ``value`` to the variable."""
        return self.assign(self.detach() + value)

    def assign_sub(self, value: Any) -> Variable:
        """Subtract ``value`` from the variable."""
        return self.assign(self.detach() - value)

    def replace(self, data: Array) -> None:
        """Hold another array of the same shape and dtype, perhaps on another device; the gradient is dropped."""
        if (recording := capturing.get()) is not None:
            recording.moves(self, data)
        self.take(data)
        if (leaf := self.leaf) is not None:
            leaf.gradient = None


def assign_all(variables: Sequence[Variable], values: Sequence[Any]) -> None:
    """Assign each variable its value, which may be on another device; none of them, if one does not fit.

    Raises:
        ValueError, TypeError: as `Variable.assign`.
    """
    arrays = []
    for variable, value in zip(variables, values, strict=True):
        array = value.data if isinstance(value, Tensor) else asarray(value)
        there = move(array, variable.device)
        arrays.append(variable.fitting(there).astype(variable.dtype, copy=there is array))
    for variable, array in zip(variables, arrays, strict=True):
        variable.hold(array)
