"""Initializers: the first values of weights. Numbers are drawn on the host, so every device starts from the same."""

from __future__ import annotations

import math
from typing import Any

from minigrad.backend import Array, Generator, asarray, dtype_of, is_array
from minigrad.config import Configurable, argument, number, one_of, serialize
from minigrad.random import generator, new_seed
from minigrad.settings import floatx
from minigrad.tensor import Tensor

Shape = tuple[int, ...]


class Initializer(Configurable, family="initializer", module="keras.initializers"):
    """A recipe for the first values of a weight: ``initializer(shape, dtype)`` gives a Tensor.

    A subclass writes `values`.
    """

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        dtype = dtype_of(dtype or floatx())
        if dtype.kind not in "fiu":
            raise ValueError(f"{type(self).__name__}: dtype must be a number type. Received: dtype={dtype}")
        return Tensor(self.values(tuple(shape)), dtype)

    def values(self, shape: Shape) -> Array:
        """The values, on the host."""
        raise NotImplementedError(f"{type(self).__name__}: values() must be written. Received: no values()")

    @classmethod
    def get(cls, identifier: Any) -> Any:
        if isinstance(identifier, Tensor):
            identifier = identifier.numpy()
        if is_array(identifier):
            return Given(asarray(identifier))
        return super().get(identifier)


get = Initializer.get
deserialize = Initializer.deserialize


class Given(Initializer):
    """An array as it is; the weight must have its shape.

    Raises:
        ValueError: called for another shape.
    """

    value: Any = argument()

    def values(self, shape: Shape) -> Array:
        value = asarray(self.value)
        if value.shape != shape:
            raise ValueError(
                f"Expected `shape` to be {value.shape} for direct tensor as initializer. Received shape={shape}"
            )
        return value


class Constant(Initializer):
    """One value everywhere."""

    value: float = argument(number, 0.0)

    def values(self, shape: Shape) -> Array:
        return Tensor.full(shape, float(self.value), "float64").data


class Zeros(Initializer):
    """0 everywhere."""

    aliases = ("zero",)

    def values(self, shape: Shape) -> Array:
        return Tensor.zeros(shape, dtype="float64").data


class Ones(Initializer):
    """1 everywhere."""

    aliases = ("one",)

    def values(self, shape: Shape) -> Array:
        return Tensor.ones(shape, dtype="float64").data


def _seed(name: str, value: Any) -> Any:
    if isinstance(value, bool) or not (value is None or isinstance(value, (int, Generator))):
        raise ValueError(f"Argument `{name}` must be an integer, a Generator or None. Received: {name}={value!r}")
    return value


class RandomInitializer(Initializer):
    """Drawn from a random distribution. As in Keras 3, one object gives the same values at every call of a shape.

    Args:
        seed: an integer; a `numpy.random.Generator` to get other values at every call; None for a seed drawn now
            from the stream of `set_random_seed`.
    """

    seed: int | Generator | None = argument(_seed, None)

    def __post_init__(self) -> None:
        self._drawn_seed = new_seed() if self.seed is None else self.seed

    def values(self, shape: Shape) -> Array:
        return self.draw(generator(self._drawn_seed), shape)

    def draw(self, random: Generator, shape: Shape) -> Array:
        """The values, from this generator; what a subclass writes."""
        raise NotImplementedError(f"{type(self).__name__}: draw() must be written. Received: no draw()")


class RandomUniform(RandomInitializer):
    """Even over [minval, maxval)."""

    aliases = ("uniform",)
    minval: float = argument(number, -0.05)
    maxval: float = argument(number, 0.05)
    seed: int | Generator | None = argument(_seed, None)

    def draw(self, random: Generator, shape: Shape) -> Array:
        return random.uniform(self.minval, self.maxval, shape)


def truncated_normal(random: Generator, shape: Shape, mean: float, stddev: float) -> Array:
    """Normal numbers, those beyond two standard deviations drawn again."""
    values = random.standard_normal(shape)
    while (far := abs(values) > 2).any():
        values[far] = random.standard_normal(int(far.sum()))
    return mean + stddev * values


def fans(shape: Shape) -> tuple[int, int]:
    """fan_in and fan_out by Keras's rule: the last two axes, times the receptive field (all axes before them).

    >>> fans((3, 8, 16))
    (24, 48)
    """
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def _scale(name: str, value: Any) -> float:
    if number(name, value) <= 0:
        raise ValueError(f"Argument `{name}` must be positive float. Received: {name}={value!r}")
    return value


class VarianceScaling(RandomInitializer):
    """Variance scale / n, where n is fan_in, fan_out or their mean.

    "truncated_normal" draws from a normal distribution cut at two of its standard deviations and widened so that
    the variance is right after the cut; "uniform" from +-sqrt(3 scale / n).
    """

    scale: float = argument(_scale, 1.0)
    mode: str = argument(one_of("fan_in", "fan_out", "fan_avg"), "fan_in")
    distribution: str = argument(
        one_of("normal", "truncated_normal", "untruncated_normal", "uniform"), "truncated_normal"
    )
    seed: int | Generator | None = argument(_seed, None)

    def draw(self, random: Generator, shape: Shape) -> Array:
        fan_in, fan_out = fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return random.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return math.sqrt(variance) * random.standard_normal(shape)
        # 0.8796... is the standard deviation of a unit normal cut at two standard deviations.
        return truncated_normal(random, shape, 0.0, math.sqrt(variance) / 0.87962566103423978)


class GlorotUniform(VarianceScaling):
    """Glorot and Bengio 2010, uniform: variance 2 / (fan_in + fan_out)."""

    scale, mode, distribution = 1.0, "fan_avg", "uniform"


class HeUniform(VarianceScaling):
    """He et al. 2015, uniform: variance 2 / fan_in."""

    scale, mode, distribution = 2.0, "fan_in", "uniform"


__all__ = [
    "Constant", "Given", "GlorotUniform", "HeUniform", "Initializer", "Ones", "RandomInitializer", "RandomUniform",
    "VarianceScaling", "Zeros", "deserialize", "fans", "get", "serialize", "truncated_normal",
]
