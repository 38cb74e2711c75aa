"""Normalization: numbers brought to mean 0 and variance 1, over the batch or within each example."""

from __future__ import annotations

from typing import Any

from minigrad import ops
from minigrad.backend import Array
from minigrad.config import argument, as_integer, boolean, number
from minigrad.layers.arguments import constraint, initializer, regularizer
from minigrad.layers.input_spec import InputSpec
from minigrad.layers.layer import SameShape, Shape
from minigrad.ops.standardization import moments
from minigrad.settings import epsilon
from minigrad.tensor import Tensor
from minigrad.variable import Variable


class Normalization(SameShape):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta; whose mean and variance is up to the subclass.

    Half precision is computed in float32.
    """

    epsilon: float = argument(number, 1e-3)
    center: bool = argument(boolean, True)
    scale: bool = argument(boolean, True)
    beta_initializer: Any = initializer("zeros")
    gamma_initializer: Any = initializer("ones")
    beta_regularizer: Any = regularizer()
    gamma_regularizer: Any = regularizer()
    beta_constraint: Any = constraint()
    gamma_constraint: Any = constraint()

    gamma: Variable | None = None
    beta: Variable | None = None
    _aligned: tuple[int, ...] = ()  # the shape in which weights stand beside the inputs

    def build_scale(self, input_shape: Shape, axes: list[int]) -> tuple[int, ...]:
        """Create gamma and beta for these axes, and return their shape."""
        lengths = {a: self.known_length(input_shape, a) for a in axes}
        if self.scale:
            self.gamma = self.declared_weight("gamma", tuple(lengths.values()))
        if self.center:
            self.beta = self.declared_weight("beta", tuple(lengths.values()))
        self._aligned = tuple(lengths.get(i, 1) for i in range(len(input_shape)))
        self.input_spec = InputSpec(ndim=len(input_shape), axes=lengths)
        return tuple(lengths.values())

    def positive_axis(self, input_shape: Shape, axis: int) -> int:
        """``axis`` counted from the front.

        Raises:
            ValueError: the input has no such axis.
        """
        if not -len(input_shape) <= axis < len(input_shape):
            raise ValueError(
                f"Axis {axis} is out of bounds for input shape {input_shape}. Received: axis={self.axis}"  # type: ignore[attr-defined]
            )
        return axis % len(input_shape)

    def widened(self, x: Tensor) -> Tensor:
        """The inputs in at least float32."""
        return x.astype("float32") if x.dtype == "float16" else x

    def aligned(self, weight: Tensor, x: Tensor) -> Tensor:
        """A weight beside the inputs, in their dtype."""
        weight = weight if weight.dtype == x.dtype else weight.astype(x.dtype)
        return weight.reshape(self._aligned)

    def scaled(self, y: Tensor, factor: Tensor | None = None) -> Tensor:
        """Y times the factor, if there is one, and gamma, plus beta."""
        if self.gamma is not None:
            gamma = self.aligned(self.gamma, y)
            factor = gamma if factor is None else gamma * factor
        if factor is not None:
            y = y * factor
        if self.beta is not None:
            y = y + self.aligned(self.beta, y)
        return self.cast(y)


class BatchNormalization(Normalization):
    """`Normalization` by the mean and variance of each channel over the batch; running means of them in inference.

    Weights: ``gamma``, ``beta``, and, not trained, ``moving_mean`` and ``moving_variance``, each (C,). In training,
    both moving weights become momentum * old + (1 - momentum) * new, where the variance is the biased one; a batch
    without any step, or without one that a mask leaves, changes nothing. They are kept in at least float32. With
    ``trainable=False`` the moving weights are used in training too, and stay as they are.

    Args:
        axis: that of the channels.
        momentum: of the moving weights.
        epsilon: added to the variance.
        center, scale: whether there is a beta, a gamma.

    Raises:
        ValueError: a bad argument; an axis that the input does not have, or whose length is not known.

    Source: Ioffe and Szegedy 2015.

    >>> layer = BatchNormalization(epsilon=0.0)
    >>> layer(Tensor([[1.0], [3.0]]), training=True).tolist()
    [[-1.0], [1.0]]
    """

    axis: int = argument(lambda name, value: _axis(name, value), -1)
    momentum: float = argument(number, 0.99)
    epsilon: float
    center: bool
    scale: bool
    beta_initializer: Any
    gamma_initializer: Any
    moving_mean_initializer: Any = initializer("zeros")
    moving_variance_initializer: Any = initializer("ones")

    _foreign = {"renorm": False, "renorm_clipping": None, "renorm_momentum": ..., "synchronized": False}
    moving_mean: Variable
    moving_variance: Variable

    def build(self, input_shape: Shape) -> None:
        axis = self.positive_axis(input_shape, self.axis)
        shape = self.build_scale(input_shape, [axis])
        dtype = "float32" if self.variable_dtype == "float16" else None  # float16 ends at 65504, a variance may not
        self.moving_mean, self.moving_variance = (
            self.add_weight(shape, getattr(self, f"{name}_initializer"), dtype, trainable=False, name=name)
            for name in ("moving_mean", "moving_variance")
        )
        self._others = tuple(i for i in range(len(input_shape)) if i != axis)

    def call(self, inputs: Tensor, training: bool = False, mask: Any = None) -> Tensor:
        x = self.widened(inputs)
        if not training or not self.trainable:
            centered = x - self.aligned(self.moving_mean, x)
            return self.scaled(centered, (self.aligned(self.moving_variance, x) + self.epsilon) ** -0.5)
        if mask is None:
            known = moments(x.data, self._others)
            if x.size:
                self.learn(*known)
            return self.scaled(ops.standardize(x, axes=self._others, epsilon=self.epsilon, known=known))
        weights = self.steps(x, mask)
        count = weights.sum(self._others, keepdims=True)
        mean = self.mean(x, weights, count)
        centered = x - mean
        variance = self.mean(centered * centered, weights, count)
        self.learn(mean.data, variance.data, (count.data > 0).reshape(-1))
        return self.scaled(centered, (variance + self.epsilon) ** -0.5)

    def learn(self, mean: Array, variance: Array, seen: Array | None = None) -> None:
        """Take a step towards the mean and the variance of a batch, of the channels that were ``seen`` in it."""
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            new = self.momentum * moving.value + (1 - self.momentum) * now.reshape(-1)
            moving.assign(new if seen is None else ops.where(seen, new, moving.value))

    def mean(self, x: Tensor, weights: Tensor, count: Tensor) -> Tensor:
        """The mean of each channel over the positions that count."""
        return (x * weights).sum(self._others, keepdims=True) / (count + epsilon())

    def steps(self, x: Tensor, mask: Any) -> Tensor:
        """1 where the mask (the shape of x without its last axis) holds, else 0, in the shape of x."""
        if len(mask.shape) != x.ndim - 1:
            raise ValueError(
                "The mask provided should be one dimension less than the inputs. Received: "
                f"mask.shape={mask.shape}, inputs.shape={x.shape}"
            )
        return self._converted(mask).astype(x.dtype).expand_dims(-1).broadcast_to(x.shape)


class LayerNormalization(Normalization):
    """`Normalization` by the mean and variance of each example over some axes, in training and inference alike.

    Weights: ``gamma`` and ``beta``, of the lengths of the axes.

    Args:
        axis: one or several; when built, a sorted list counted from the front.

    Raises:
        ValueError: an axis that the input does not have, or has twice, or whose length is not known.
        TypeError: axes that are not integers.

    Source: Ba et al. 2016.

    >>> LayerNormalization(epsilon=0.0)(Tensor([[1.0, 3.0]])).tolist()
    [[-1.0, 1.0]]
    """

    axis: Any = argument(lambda name, value: _axes(name, value), -1)
    epsilon: float
    center: bool
    scale: bool

    _foreign = {"rms_scaling": False}

    def build(self, input_shape: Shape) -> None:
        given = [self.axis] if isinstance(self.axis, int) else self.axis
        axes = sorted(self.positive_axis(input_shape, a) for a in given)
        if len(set(axes)) < len(axes):
            raise ValueError(f"{self.name}: an axis must be given once. Received: axis={self.axis}")
        self.axis = axes
        self.build_scale(input_shape, axes)

    def call(self, inputs: Tensor) -> Tensor:
        x = self.widened(inputs)
        return self.scaled(ops.standardize(x, axes=tuple(self.axis), epsilon=self.epsilon))


def _axis(name: str, value: Any) -> int:
    """One axis, also in a list, as tf.keras 2 wrote it."""
    axes = _axes(name, value)
    if isinstance(axes, list) and len(axes) != 1:
        raise ValueError(f"The `{name}` argument must be one integer. Received: {name}={value!r}")
    return axes if isinstance(axes, int) else axes[0]


def _axes(name: str, value: Any) -> int | list[int]:
    """One axis, or a list of them."""
    axes = [as_integer(axis) for axis in (value if isinstance(value, (list, tuple)) else [value])]
    if not axes or None in axes:
        raise TypeError(f"The `{name}` argument must be an integer or a list of integers. Received: {name}={value!r}")
    return axes if isinstance(value, (list, tuple)) else axes[0]  # type: ignore[return-value]
