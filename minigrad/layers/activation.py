"""Activations as layers."""

from __future__ import annotations

from typing import Any

from minigrad import activations, ops
from minigrad.config import argument, as_integer, number
from minigrad.layers.arguments import constraint, initializer, regularizer
from minigrad.layers.input_spec import InputSpec
from minigrad.layers.layer import SameShape, Shape
from minigrad.regularizers import L1L2
from minigrad.tensor import Tensor
from minigrad.variable import Variable


class Activation(SameShape):
    """An activation, given by name or as a function.

    >>> Activation("relu")(Tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    activation: Any = argument(lambda name, value: activations.get(value))

    def call(self, inputs: Tensor) -> Tensor:
        return self.activation(inputs)


def _not_negative(name: str, value: Any) -> float:
    if value is None or number(name, value) < 0:
        raise ValueError(f"{name} cannot be None or a negative value. Received: {name}={value}")
    return value


def _limit(name: str, value: Any) -> float | None:
    return None if value is None else _not_negative(name, value)


class ReLU(SameShape):
    """y = max_value from there on, x above the threshold, negative_slope (x - threshold) below.

    Raises:
        ValueError: a negative argument.
    """

    max_value: float | None = argument(_limit, None)
    negative_slope: float = argument(_not_negative, 0.0)
    threshold: float = argument(_not_negative, 0.0)

    def call(self, inputs: Tensor) -> Tensor:
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(SameShape):
    """y = x above 0, negative_slope x below; tf.keras 2 called the slope ``alpha``.

    Raises:
        ValueError: a negative slope.

    >>> LeakyReLU()(Tensor([-10.0, 1.0])).tolist()
    [-3.0, 1.0]
    """

    _former_names = {"alpha": "negative_slope"}
    negative_slope: float = argument(_not_negative, 0.3)

    def call(self, inputs: Tensor) -> Tensor:
        return activations.leaky_relu(inputs, self.negative_slope)


class ELU(SameShape):
    """y = x above 0, alpha (e^x - 1) below."""

    alpha: float = argument(number, 1.0)

    def call(self, inputs: Tensor) -> Tensor:
        return activations.elu(inputs, self.alpha)


def _shared_axes(name: str, value: Any) -> list[int] | None:
    if value is None:
        return None
    axes = [as_integer(axis) for axis in (value if isinstance(value, (list, tuple)) else [value])]
    if any(axis is None or axis < 1 for axis in axes):
        raise ValueError(f"The `{name}` argument must hold axes behind the batch's. Received: {name}={value!r}")
    return axes  # type: ignore[return-value]


class PReLU(SameShape):
    """y = x above 0, alpha x below, where ``alpha`` is learned.

    Weights: ``alpha``, of the shape of one example; of length 1 along ``shared_axes``.

    Raises:
        ValueError: an axis that is not shared and whose length is not known.

    Source: He et al. 2015.
    """

    alpha_initializer: Any = initializer("zeros")
    alpha_regularizer: Any = regularizer()
    alpha_constraint: Any = constraint()
    shared_axes: list[int] | None = argument(_shared_axes, None)

    alpha: Variable

    def build(self, input_shape: Shape) -> None:
        shared = self.shared_axes or []
        if shared and max(shared) >= len(input_shape):
            raise ValueError(
                f"{self.name}: shared_axes must be axes of the input. "
                f"Received: shared_axes={shared}, input_shape={input_shape}"
            )
        lengths = {i: self.known_length(input_shape, i) for i in range(1, len(input_shape)) if i not in shared}
        shape = [lengths.get(i, 1) for i in range(1, len(input_shape))]
        self.alpha = self.declared_weight("alpha", shape)
        self.input_spec = InputSpec(ndim=len(input_shape), axes=lengths)

    def call(self, inputs: Tensor) -> Tensor:
        return ops.relu(inputs) - self.cast(self.alpha) * ops.relu(-inputs)


def _softmax_axis(name: str, value: Any) -> int | list[int]:
    axes = [as_integer(axis) for axis in (value if isinstance(value, (list, tuple)) else [value])]
    if not axes or None in axes:
        raise ValueError(f"The `{name}` argument must be an integer or a list of integers. Received: {name}={value!r}")
    return axes if isinstance(value, (list, tuple)) else axes[0]  # type: ignore[return-value]


class Softmax(SameShape):
    """exp(x) / sum(exp(x)) along an axis, or several together; where a mask is False, 0.

    >>> Softmax()(Tensor([[1.0, 1.0]]), mask=Tensor([[True, False]])).tolist()
    [[1.0, 0.0]]
    """

    axis: int | list[int] = argument(_softmax_axis, -1)

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        if mask is None:
            return self._softmax(inputs)
        mask = (mask if isinstance(mask, Tensor) else Tensor(mask)) > 0.5
        hidden = -3e4 if inputs.dtype == "float16" else -1e9
        return ops.where(mask, self._softmax(ops.where(mask, inputs, hidden)), 0.0)

    def _softmax(self, x: Tensor) -> Tensor:
        if isinstance(self.axis, int):
            return x.softmax(self.axis)
        return (x - x.logsumexp(self.axis, keepdims=True)).exp()


class ActivityRegularization(SameShape):
    """The inputs as they are; l1 sum |x| + l2 sum x^2, divided by N, is among `losses`.

    >>> layer = ActivityRegularization(l2=0.5)
    >>> y = layer(Tensor([[1.0], [3.0]]))
    >>> layer.losses[0].item()
    2.5
    """

    l1: float = argument(_not_negative, 0.0)
    l2: float = argument(_not_negative, 0.0)
    activity_regularizer = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.activity_regularizer = L1L2(self.l1, self.l2)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs
