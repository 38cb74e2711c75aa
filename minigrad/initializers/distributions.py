"""Initializers drawn from a distribution that does not ask for the shape, and orthogonal matrices."""

from __future__ import annotations

import math
from typing import Any

from minigrad.backend import Array, Generator, array_module, asarray
from minigrad.config import argument, number
from minigrad.initializers.initializer import Initializer, Shape
from minigrad.random import generator, new_seed


def _seed(name: str, value: Any) -> Any:
    if isinstance(value, bool) or not (value is None or isinstance(value, (int, Generator))):
        raise ValueError(f"Argument `{name}` must be an integer, a Generator or None. Received: {name}={value!r}")
    return value


class RandomInitializer(Initializer):
    """Drawn from a random distribution. As in Keras 3, one object gives the same values at every call of a shape.

    Args:
        seed: an integer; a `numpy.random.Generator` to get other values at every call; None for a seed drawn now
            from the stream of `set_random_seed`.

    Raises:
        ValueError: another seed; called for a dtype that is not floating.
    """

    _kinds = "f"
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
    seed: int | Generator | None

    def draw(self, random: Generator, shape: Shape) -> Array:
        return random.uniform(self.minval, self.maxval, shape)


class RandomNormal(RandomInitializer):
    """Normal with a mean and a standard deviation."""

    aliases = ("normal",)
    mean: float = argument(number, 0.0)
    stddev: float = argument(number, 0.05)
    seed: int | Generator | None

    def draw(self, random: Generator, shape: Shape) -> Array:
        return random.normal(self.mean, self.stddev, shape)


class TruncatedNormal(RandomNormal):
    """Normal, numbers beyond two standard deviations drawn again; what is left has 0.88 of the deviation."""

    mean: float
    stddev: float
    seed: int | Generator | None

    def draw(self, random: Generator, shape: Shape) -> Array:
        return truncated_normal(random, shape, self.mean, self.stddev)


def truncated_normal(random: Generator, shape: Shape, mean: float, stddev: float) -> Array:
    """Normal numbers, those beyond two standard deviations drawn again."""
    values = asarray(random.standard_normal(shape))
    while (far := abs(values) > 2).any():
        values[far] = random.standard_normal(int(far.sum()))
    return mean + stddev * values


class Orthogonal(RandomInitializer):
    """A random matrix with orthonormal columns (or rows, if there are fewer of them), times ``gain``.

    Its axes but the last are taken together. Saxe et al. 2013: the Q of a normal matrix, each column with the sign
    that makes it uniform over all such matrices (Mezzadri 2007).

    Raises:
        ValueError: called for fewer than two axes.
    """

    aliases = ("OrthogonalInitializer",)
    gain: float = argument(number, 1.0)
    seed: int | Generator | None

    def draw(self, random: Generator, shape: Shape) -> Array:
        if len(shape) < 2:
            raise ValueError(
                "The tensor to initialize must be at least two-dimensional. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        normal = random.standard_normal((max(rows, columns), min(rows, columns)))
        xp = array_module(normal)
        q, r = xp.linalg.qr(normal)
        q = q * xp.sign(xp.diag(r))
        return self.gain * (q if rows >= columns else q.T).reshape(shape)
