"""Sums and means of values, one for each sample, and metrics made of a function of (y_true, y_pred)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from minigrad import ops
from minigrad.backend import asarray, dtype_of
from minigrad.config import argument, function_of
from minigrad.losses.loss import as_tensor, check_count, fitted, match_ranks
from minigrad.losses.loss import functions as loss_functions
from minigrad.metrics.metric import SUMS, Metric
from minigrad.tensor import Tensor


def samplewise(values: Tensor, weights: Tensor | None, reduce: Callable[..., Tensor]) -> tuple[Tensor, Tensor | None]:
    """One value for each sample, weighted, and its weight: other axes are reduced, by `ops.mean` or `ops.sum`.

    Raises:
        ValueError: weights that do not broadcast to the values.
    """
    if not values.size:
        reduce = ops.sum  # a mean over no steps is 0
    if weights is not None:
        values, weights = match_ranks(values, weights)
        if values.ndim > weights.ndim:
            values = reduce(values, axis=tuple(range(weights.ndim, values.ndim)))
        if weights.shape != values.shape:
            weights = fitted("metric", weights, values).broadcast_to(values.shape)
        values = values * weights
        if weights.ndim > 1:
            weights = reduce(weights, axis=tuple(range(1, weights.ndim)))
    if values.ndim > 1:
        values = reduce(values, axis=tuple(range(1, values.ndim)))
    return values, weights


class Sum(Metric):
    """The sum of all values, each times the weight of its sample.

    >>> total = Sum()
    >>> total.update_state([1.0, 3.0], sample_weight=[1.0, 2.0])
    >>> total.result().item()
    7.0
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.total = self.add_variable(name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values = as_tensor(values, self.dtype).detach()
        weights = None if sample_weight is None else as_tensor(sample_weight, self.dtype, values).detach()
        values, _ = samplewise(values, weights, ops.sum)
        self.to(values.device)
        self.total.replace(self.total.data + asarray(values.data.sum(dtype=SUMS)))

    def result(self) -> Tensor:
        return self.total.value


class Mean(Metric):
    """The mean of all values, weighted by the weights of the samples; 0 before there are any.

    Values with more than one axis count as their mean over all axes but the first, as in Keras.

    >>> mean = Mean()
    >>> mean.update_state([1.0, 2.0, 3.0]); mean.update_state([10.0])
    >>> mean.result().item()
    4.0
    >>> mean.update_state(0.0, sample_weight=4)  # a number that stands for four samples
    >>> mean.result().item()
    2.0
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._added = dtype_of(self.dtype)
        self.total = self.add_variable(name="total")
        self.count = self.add_variable(name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        array = values.data if isinstance(values, Tensor) else asarray(values)
        if array.dtype != self._added:
            array = array.astype(self._added)
        if sample_weight is None:
            self.add(array, array.shape[0] if array.ndim else 1)
        elif array.ndim == 0 and isinstance(sample_weight, int):
            self.add(array, sample_weight)
        else:
            values = Tensor._output(array, None)
            values, weights = samplewise(values, as_tensor(sample_weight, self.dtype, values).detach(), ops.mean)
            self._add(values.data.sum(dtype=SUMS), weights.data.sum(dtype=SUMS))  # type: ignore[union-attr]

    def add(self, array: Any, count: int) -> None:
        """Add the mean of an array, ``count`` times: what most steps do, in as few operations as it takes."""
        total = array.sum(dtype=SUMS)
        self._add(total if count == array.size else total * (count / max(array.size, 1)), count)

    def _add(self, total: Any, count: Any) -> None:
        total = asarray(total)
        if self.total.data.__class__ is not total.__class__:
            self.to(Tensor._output(total, None).device)
        self.total.replace(asarray(self.total.data + total))
        self.count.replace(asarray(self.count.data + count))

    def result(self) -> Tensor:
        total, count = self.total.value, self.count.value
        return ops.where(count == 0, 0.0, total / ops.where(count == 0, 1.0, count))


class MeanMetricWrapper(Mean):
    """The mean of any function of (y_true, y_pred) that gives one value for each sample, or each part of a sample.

    A function that gives one number for the whole batch counts as often as the batch has samples, so that a ragged
    last batch counts as much as it should (Keras counts it once).

    Args:
        fn: the function, a `Loss`, or the name of a loss.

    Raises:
        ValueError: no function and no name of one.

    >>> most = MeanMetricWrapper(lambda t, p: (t - p).abs().max(-1), name="most")
    >>> most(Tensor([[0.0, 0.0]]), Tensor([[1.0, 3.0]])).item()
    3.0
    """

    fn: Callable[..., Any] = argument(lambda name, value: _callable(name, value))
    name: str
    dtype: str

    _own: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, function: Callable[..., Any] | None = None, **kwargs: Any) -> None:
        if function is not None:
            declared = dict(list(inspect.signature(function).parameters.items())[2:])
            body = vars(cls).get("__annotations__", {})
            free = [own for own in declared if own not in vars(cls)]  # the body says how to check it, or fixes it
            cls.__annotations__ = body if "name" in body else {"name": str, "dtype": str, **dict.fromkeys(free)} | body
            for own in free:
                setattr(cls, own, argument(default=declared[own].default))
            cls.fn = staticmethod(function)
            cls._own = tuple(declared)
        super().__init_subclass__(**kwargs)

    def __post_init__(self) -> None:
        if self.name is None and "fn" in self._arguments:
            self.name = getattr(self.fn, "name", None) or getattr(self.fn, "__name__", None)
        if loss_functions.get(getattr(self.fn, "__name__", "")) is self.fn or hasattr(self.fn, "reduction"):
            self.direction = "down"
        self._house = (getattr(self.fn, "__module__", None) or "").startswith("minigrad.")  # it looks at shapes itself
        super().__post_init__()

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        if not self._house:
            y_true, y_pred = _of_one_rank(y_true, y_pred)
        values = self.fn(y_true, y_pred, **{name: getattr(self, name) for name in self._own})
        if not self._house and values.shape:
            check_count(self.name, values, y_true, y_pred)
        if sample_weight is None and not values.shape:
            sample_weight = len(y_pred)
        super().update_state(values, sample_weight)


def _of_one_rank(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both as they are, or as Tensors of one rank where one of them lacks a last axis of length 1."""
    if len(getattr(y_true, "shape", ())) == len(getattr(y_pred, "shape", ())):
        return y_true, y_pred
    return match_ranks(*(v if isinstance(v, Tensor) else Tensor._output(asarray(v), None) for v in (y_true, y_pred)))


def _callable(name: str, value: Any) -> Callable[..., Any]:
    function = loss_functions.get(value) if isinstance(value, str) else function_of("metric", value)
    if not callable(function):
        raise ValueError(f"MeanMetricWrapper: {name} must be a function or the name of a loss. Received: {value!r}")
    return function
