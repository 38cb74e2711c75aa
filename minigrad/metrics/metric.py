"""Metric: a number that grows batch by batch, with its sums where the data is."""

from __future__ import annotations

from typing import Any, ClassVar

from minigrad.backend import dtype_of, filled_like, move
from minigrad.config import Configurable, argument, snake_case
from minigrad.initializers import Initializer
from minigrad.settings import floatx
from minigrad.tensor import Tensor
from minigrad.variable import Variable

SUMS = "float64"  # exact for counts up to 2^53, and the same sum for any order of a few thousand batches


def _dtype(name: str, value: Any) -> str:
    dtype = dtype_of(value or floatx())
    if dtype.kind != "f":
        raise ValueError(f"Argument `{name}` must name a floating dtype. Received: {name}={value!r}")
    return str(dtype)


class Metric(Configurable, family="metric", module="keras.metrics"):
    """A number about many samples, from sums that are added up batch by batch.

    A subclass makes its sums with `add_variable`, and writes `update_state` and `result`:

    >>> class Largest(Metric):
    ...     def __post_init__(self):
    ...         super().__post_init__()
    ...         self.largest = self.add_variable(name="largest")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.largest.assign(max(self.largest.item(), y_pred.max().item()))
    ...     def result(self):
    ...         return self.largest.value
    >>> largest = Largest()
    >>> largest.update_state(None, Tensor([1.0, 3.0])); largest.update_state(None, Tensor([2.0]))
    >>> largest.name, largest.result().item()
    ('largest', 3.0)

    Args:
        name: made from the class name by default.
        dtype: of the values that are added up, `floatx()` by default; the sums themselves are kept in float64.

    Raises:
        ValueError: an unknown argument or a bad value, named.
    """

    name: str = argument(default=None)
    dtype: str = argument(_dtype, None)

    direction: str | None = None  # "up" when more is better, "down" when less is; callbacks ask
    _default_name: ClassVar[str] = ""

    def __init_subclass__(cls, name: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._default_name = name or snake_case(cls.__name__)

    def __post_init__(self) -> None:
        if self.name is None:
            self.name = self._default_name

    # ------------------------------------------------------------------ what a subclass writes

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Add a batch, given as (y_true, y_pred, sample_weight)."""
        raise NotImplementedError(f"{type(self).__name__}.update_state: must be written. Received: no update_state()")

    def result(self) -> Tensor:
        """The metric of all that was added."""
        raise NotImplementedError(f"{type(self).__name__}.result: must be written. Received: no result()")

    # ------------------------------------------------------------------ the sums

    def add_variable(
        self, shape: Any = (), initializer: Any = "zeros", dtype: Any = None, name: str = "variable"
    ) -> Variable:
        """Make a sum, in float64 unless told otherwise; keep it as an attribute, and it is found."""
        dtype = dtype_of(dtype or SUMS)
        first = Initializer.get(initializer)(tuple(shape), dtype)
        return Variable(first, dtype, trainable=False, name=name, path=f"{self.name}/{name}")

    @property
    def variables(self) -> list[Variable]:
        """The sums, in order of assignment."""
        return [value for value in vars(self).values() if isinstance(value, Variable)]

    def reset_state(self) -> None:
        """Forget all that was added."""
        for variable in self.variables:
            variable.replace(filled_like(variable.data, 0))

    def to(self, device: str) -> None:
        """Move the sums to ``device``; nothing happens when they are there."""
        for variable in self.variables:
            if variable.device != device:
                variable.replace(move(variable.data, device))

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """`update_state`, then `result`."""
        self.update_state(*args, **kwargs)
        return self.result()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"
