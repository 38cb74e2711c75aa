"""Initializers whose variance follows from the number of inputs and outputs, the fans."""

from __future__ import annotations

import math
from typing import Any

from minigrad.backend import Array, Generator
from minigrad.config import argument, number, one_of
from minigrad.initializers.distributions import RandomInitializer, truncated_normal
from minigrad.initializers.initializer import Shape

Axes = tuple[int, ...] | list[int] | None


def fans(shape: Shape, input_axes: Axes = None, output_axes: Axes = None) -> tuple[int, int]:
    """fan_in and fan_out: how many inputs make an output, how many outputs an input goes to.

    By Keras's rule the last two axes, each times the receptive field (all axes before them); or the product of the
    axes named.

    >>> fans((3, 8, 16)), fans((3, 8, 2), input_axes=(0,), output_axes=(0, 2))
    ((24, 48), (3, 6))
    """
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[axis] for axis in input_axes), math.prod(shape[axis] for axis in output_axes)
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


_known_distribution = one_of("normal", "truncated_normal", "untruncated_normal", "uniform")


def _distribution(name: str, value: Any) -> str:
    word = _known_distribution(name, value)
    return "truncated_normal" if word == "normal" else word


class VarianceScaling(RandomInitializer):
    """Variance scale / n, where n is fan_in, fan_out or their mean, as `fans` counts them.

    "truncated_normal" draws from a normal distribution cut at two of its standard deviations and widened so that
    the variance is right after the cut; "uniform" from +-sqrt(3 scale / n).

    Raises:
        ValueError: a scale that is not positive, another mode or distribution, one list of axes without the other.
    """

    scale: float = argument(_scale, 1.0)
    mode: str = argument(one_of("fan_in", "fan_out", "fan_avg"), "fan_in")
    distribution: str = argument(_distribution, "truncated_normal")
    seed: int | Generator | None
    input_axes: Axes = argument(default=None)
    output_axes: Axes = argument(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.input_axes is None) != (self.output_axes is None):
            raise ValueError(
                f"{type(self).__name__}: input_axes and output_axes must be given together. "
                f"Received: input_axes={self.input_axes}, output_axes={self.output_axes}"
            )

    def draw(self, random: Generator, shape: Shape) -> Array:
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return random.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return random.normal(0.0, math.sqrt(variance), shape)
        # 0.8796... is the standard deviation of a unit normal cut at two standard deviations.
        return truncated_normal(random, shape, 0.0, math.sqrt(variance) / 0.87962566103423978)


class GlorotUniform(VarianceScaling):
    """Glorot and Bengio 2010, uniform: variance 2 / (fan_in + fan_out)."""

    scale, mode, distribution = 1.0, "fan_avg", "uniform"


class GlorotNormal(VarianceScaling):
    """Glorot and Bengio 2010, truncated normal: variance 2 / (fan_in + fan_out)."""

    scale, mode, distribution = 1.0, "fan_avg", "truncated_normal"


class HeUniform(VarianceScaling):
    """He et al. 2015, uniform: variance 2 / fan_in."""

    scale, mode, distribution = 2.0, "fan_in", "uniform"


class HeNormal(VarianceScaling):
    """He et al. 2015, truncated normal: variance 2 / fan_in."""

    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


class LecunUniform(VarianceScaling):
    """LeCun et al. 1998, uniform: variance 1 / fan_in."""

    scale, mode, distribution = 1.0, "fan_in", "uniform"


class LecunNormal(VarianceScaling):
    """LeCun et al. 1998, truncated normal: variance 1 / fan_in."""

    scale, mode, distribution = 1.0, "fan_in", "truncated_normal"


class DepthwiseVarianceScaling(VarianceScaling):
    """`VarianceScaling` for a depthwise kernel (K, C, M): an output sees one channel, so fan_in = K and fan_out = K M.

    Keras's rule counts fan_in = K C, as if all channels were summed; the signal then shrinks by the root of C in every
    layer. The default here, uniform in +-sqrt(3 / K), keeps its variance. With "he_uniform" or "he_normal" for the
    pointwise kernel and no batch normalization between, networks of separable convolutions train better.

    Raises:
        ValueError: called for a shape that has not three axes.

    >>> float(abs(DepthwiseVarianceScaling(seed=0)((12, 100, 1)).numpy()).max().round(2))
    0.5
    """

    scale: float
    mode: str
    distribution: str = argument(_distribution, "uniform")
    seed: int | Generator | None
    input_axes, output_axes = (0,), (0, 2)

    def draw(self, random: Generator, shape: Shape) -> Array:
        if len(shape) != 3:
            raise ValueError(f"DepthwiseVarianceScaling: shape must be (K, C, M). Received: shape={shape}")
        return super().draw(random, shape)
