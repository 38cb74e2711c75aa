"""Loss: one value per sample, weighted and reduced. A loss class is made of its function and says nothing twice."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar

from minigrad import ops
from minigrad.backend import array_module, asarray, device_of, dtype_of, is_array, is_inexact, move
from minigrad.config import Configurable, argument, boolean, function_of, number, snake_case
from minigrad.settings import floatx
from minigrad.tensor import Tensor

LossFunction = Callable[..., Tensor]
REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)
NO_CLASS = -(2**63)

functions: dict[str, LossFunction] = {}


def loss_function(*aliases: str, labels: bool = False) -> Callable[[LossFunction], LossFunction]:
    """Make a loss function of its formula, and let `get` find it by its name and ``aliases``.

    The function takes numbers, arrays or Tensors. The formula is given Tensors of the dtype and device of y_pred and
    of one shape, unless y_true is a single number; with ``labels`` the first of them holds integers, whatever its
    rank, still on the host if it was given as numbers.
    """

    def decorate(formula: LossFunction) -> LossFunction:
        @wraps(formula)
        def function(y_true: Any, y_pred: Any, *args: Any, **kwargs: Any) -> Tensor:
            y_pred = _floating(y_pred)
            if labels:
                return formula(_integers(y_true, y_pred), y_pred, *args, **kwargs)
            y_true, y_pred = match_ranks(as_tensor(y_true, y_pred.dtype, y_pred), y_pred)
            if y_true.shape != y_pred.shape and y_true.shape:
                raise ValueError(
                    f"{formula.__name__}: Arguments `target` and `output` must have the same shape. "
                    f"Received: target.shape={y_true.shape}, output.shape={y_pred.shape}"
                )
            return formula(y_true, y_pred, *args, **kwargs)

        function.labels = labels  # type: ignore[attr-defined]
        functions.update(dict.fromkeys((formula.__name__, *aliases), function))
        return function

    return decorate


def as_tensor(value: Any, dtype: Any, like: Tensor | None = None) -> Tensor:
    """``value`` as a Tensor of ``dtype``, with its history if it has one; numbers and copies of arrays of the host go
    to the device of ``like``.
    """
    if not isinstance(value, Tensor):
        array = asarray(value)
        if like is not None and device_of(array) == "cpu":
            array = move(array, like.device)
        value = Tensor(array, dtype)
    return value if value.dtype == dtype else value.astype(dtype)


def match_ranks(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Bring (N, ..., 1) and (N, ...) to one rank: the last axis goes, or a vector gets it."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b.expand_dims(-1)) if b.ndim == 1 else (a.squeeze(-1), b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (a.expand_dims(-1), b) if a.ndim == 1 else (a, b.squeeze(-1))
    return a, b


def fitted(who: str, weights: Tensor, values: Tensor) -> Tensor:
    """Weights in a shape that broadcasts to that of the values: those of shape (N,) are for samples.

    Raises:
        ValueError: there are no such weights.
    """
    shape, given = values.shape, weights.shape
    if given == shape or not given:
        return weights
    if len(given) <= len(shape) and all(a in (1, b) for a, b in zip(given, shape, strict=False)):
        return weights if len(given) == len(shape) else weights.reshape((*given, *(1,) * (len(shape) - len(given))))
    raise ValueError(
        f"{who}: sample_weight must have a weight for each sample, of shape (N,), or for each loss. "
        f"Received: sample_weight.shape={given}, losses of shape {shape}"
    )


def _floating(value: Any) -> Tensor:
    value = value if isinstance(value, Tensor) or is_array(value) else Tensor(value)
    return as_tensor(value, value.dtype if is_inexact(value.dtype) else floatx())


def _integers(labels: Any, like: Tensor) -> Tensor:
    """Labels as integers; floats must be whole. On a device, where asking would wait for it, others become no class."""
    given = labels.data if isinstance(labels, Tensor) else asarray(labels)
    if isinstance(labels, Tensor) and labels.device != like.device:
        raise TypeError(
            "labels: must be on the device of y_pred, or no Tensor; move them with .to(device). "
            f"Received: labels on {labels.device!r}, y_pred on {like.device!r}"
        )
    whole = asarray(given, "int64")
    if is_inexact(given.dtype):
        fits = whole == given
        if device_of(given) != "cpu":
            whole = array_module(given).where(fits, whole, NO_CLASS)
        elif not fits.all():
            raise ValueError(f"labels: must be integers. Received: {given.dtype} with fractions")
    return Tensor._output(whole if whole is not given or isinstance(labels, Tensor) else whole.copy(), None)


# ---------------------------------------------------------------------- the class


def _reduction(name: str, value: Any) -> str | None:
    if value == "auto":  # tf.keras 2's word for the default
        return "sum_over_batch_size"
    if not (value is None or isinstance(value, str)) or value not in REDUCTIONS:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected one of {set(REDUCTIONS)}. Received: {name}={value!r}"
        )
    return value


def _dtype(name: str, value: Any) -> str | None:
    if value is not None and dtype_of(value).kind != "f":
        raise ValueError(f"Argument `{name}` must name a floating dtype. Received: {name}={value!r}")
    return None if value is None else str(dtype_of(value))


def integer(name: str, value: Any) -> int:
    """An integer, such as an axis."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(f"`{name}` must be of type `int`. Received: {name}={value!r} of type {type(value)}")
    return value.__index__()


_checks: dict[type, Callable[[str, Any], Any]] = {bool: boolean, int: integer, float: number}


class Loss(Configurable, family="loss", module="keras.losses"):
    """One number (or, without reduction, one per sample) that says how far y_pred is from y_true.

    A subclass writes ``call(y_true, y_pred)``, which gives one value per sample, or is made of a loss function:
    ``class Huber(Loss, function=huber)`` has the arguments of the function, and `call` calls it. When y_true and y_pred
    are (N,) and (N, 1), in either order, `call` is given both as (N, 1); when (N, T) and (N, T, 1), both as (N, T).

    ``sample_weight`` of shape (N,) weighs samples, also where a sample has several values; of the shape of the values
    it weighs each of them.

    Args:
        reduction: "sum_over_batch_size" or "mean", the sum divided by the number of values (not by the sum of the
            weights); "mean_with_sample_weight", divided by the sum of the weights, 0 where that is 0; "sum"; "none"
            or None.
        name: the name of the function by default.
        dtype: in which to compute, `floatx()` by default.

    Raises:
        ValueError: another reduction; a dtype that is not floating; weights that do not fit; a `call` that gives
            more values than there are targets and outputs.

    >>> class Square(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return ((y_true - y_pred) ** 2).mean(-1)
    >>> Square()([[0.0, 0.0]], [[1.0, 3.0]]).item()
    5.0
    """

    reduction: str | None = argument(_reduction, "sum_over_batch_size")
    name: str = argument(default=None)
    dtype: str | None = argument(_dtype, None)

    _function: ClassVar[LossFunction | None] = None
    _own: ClassVar[tuple[str, ...]] = ()
    _default_name: ClassVar[str] = ""

    def __init_subclass__(cls, function: LossFunction | None = None, name: str = "", **kwargs: Any) -> None:
        if function is not None:
            declared = dict(list(inspect.signature(function).parameters.items())[2:])
            body = vars(cls).get("__annotations__", {})
            cls.__annotations__ = {own: Any for own in declared if own not in body} | body
            for own, parameter in declared.items():
                if own not in vars(cls):  # the body may say how to check it
                    setattr(cls, own, argument(_checks.get(type(parameter.default)), parameter.default))
            cls._function = staticmethod(function)
            cls._own = tuple(declared)
            cls.__doc__ = cls.__doc__ or function.__doc__
        cls._default_name = name or (function.__name__ if function is not None else snake_case(cls.__name__))
        super().__init_subclass__(**kwargs)

    def __post_init__(self) -> None:
        if self.name is None:
            self.name = self._default_name

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value per sample."""
        if self._function is None:
            raise NotImplementedError(f"{type(self).__name__}.call: must be written. Received: no call()")
        return self._function(y_true, y_pred, **{name: getattr(self, name) for name in self._own})

    def mask(self, y_true: Any, values: Tensor) -> Tensor | None:
        """Which of the values count; None for all."""
        return None

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        dtype = dtype_of(self.dtype or floatx())
        y_pred = as_tensor(y_pred, dtype)
        function = self._function or getattr(self, "fn", None)
        if not getattr(function, "labels", False):
            y_true, y_pred = match_ranks(as_tensor(y_true, dtype, y_pred), y_pred)
        values = self.call(y_true, y_pred)
        if self._function is None and values.shape != y_pred.shape:
            check_count(self.name, values, y_true, y_pred)
        mask = self.mask(y_true, values)
        weights = None if sample_weight is None else as_tensor(sample_weight, dtype, values)
        if mask is not None:
            valid = mask.astype(dtype)
            if self.reduction in ("sum_over_batch_size", "mean"):  # then a mean over those that count
                valid = valid * _ratio(mask.size, valid.sum())
            weights = valid if weights is None else self._product(*match_ranks(valid, weights))
        if weights is not None:
            values, weights = match_ranks(values, weights)
            values = self._product(values, weights)
        return self._reduced(values, weights)

    def _product(self, values: Tensor, weights: Tensor) -> Tensor:
        return values * (fitted(type(self).__name__, weights, values) if values.shape else weights)

    def _reduced(self, values: Tensor, weights: Tensor | None) -> Tensor:
        if self.reduction in (None, "none") or values.shape in ((), (0,)):
            return values
        total = values.sum()
        if self.reduction == "sum":
            return total
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            return _ratio(total, weights.sum())
        return total / max(math.prod(values.shape), 1)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self.dtype is None:
            del config["dtype"]  # as in Keras, whose configs of losses have no dtype
        return config

    @classmethod
    def get(cls, identifier: Any) -> Any:
        identifier = function_of(cls._family, identifier)
        if isinstance(identifier, Mapping) and isinstance(identifier.get("config"), str):
            identifier = identifier["config"]  # a function, as Keras 3 describes it
        if isinstance(identifier, str) and identifier in functions:
            return functions[identifier]
        return super().get(identifier)


def check_count(who: str, values: Any, y_true: Any, y_pred: Any) -> None:
    """Refuse a function's values if there are more than targets and outputs: shapes that do not fit were broadcast."""
    if values.size > max(math.prod(getattr(given, "shape", ())) for given in (y_true, y_pred)):
        raise ValueError(
            f"{who}: a loss or metric must give one value per sample or per output; shapes that do not fit, such as "
            f"(N,) and (N, 1), make (N, N) of it. Received: values of shape {values.shape}, "
            f"y_true.shape={getattr(y_true, 'shape', ())}, y_pred.shape={getattr(y_pred, 'shape', ())}"
        )


def _ratio(a: Any, b: Tensor) -> Tensor:
    """The quotient, 0 where the divisor is 0."""
    return ops.where(b == 0, 0.0, a / ops.where(b == 0, 1.0, b))


class LossFunctionWrapper(Loss):
    """A loss of any function of (y_true, y_pred) that gives one value per sample.

    Args:
        fn: the function, or its name.

    Raises:
        ValueError: no function and no name of one.

    >>> LossFunctionWrapper("mse")([[0.0, 0.0]], [[1.0, 3.0]]).item()
    5.0
    """

    fn: LossFunction = argument(lambda name, value: _callable(name, value))

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self.fn(y_true, y_pred)


def _callable(name: str, value: Any) -> LossFunction:
    if value is None:
        raise ValueError(f"LossFunctionWrapper: {name} must be a function or its name. Received: {name}=None")
    return Loss.get(value)
