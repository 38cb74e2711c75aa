"""Dropout: numbers that are left out at random while a network trains, so that no unit relies on one other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad.config import argument, as_integer
from minigrad.layers.input_spec import InputSpec
from minigrad.layers.layer import SameShape
from minigrad.random import bernoulli, drawn, generator
from minigrad.tensor import Tensor


def _rate(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(
            f"Invalid value received for argument `{name}`. Expected a float value between 0 and 1. "
            f"Received: {name}={value!r}"
        )
    return value


def _noise_shape(name: str, value: Any) -> tuple[int | None, ...] | None:
    if value is None:
        return None
    lengths = [n if n is None else as_integer(n) or 0 for n in value] if isinstance(value, Sequence) else [0]
    if not all(n is None or n > 0 for n in lengths):
        raise ValueError(
            f"Invalid value received for argument `{name}`. Expected a tuple or list of positive integers and None. "
            f"Received: {name}={value!r}"
        )
    return tuple(lengths)


class Dropout(SameShape):
    """While training, each number is 0 with probability ``rate``, and divided by 1 - rate otherwise.

    Args:
        noise_shape: the shape in which zeros are drawn, an axis of length 1 for zeros shared along it; None stands
            for the input's length.
        seed: an integer for a stream of its own; None for the stream of `set_random_seed`.

    Raises:
        ValueError: a rate outside [0, 1], a bad noise_shape or seed.

    Source: Srivastava et al. 2014.

    >>> Dropout(0.5, seed=3)(Tensor.ones(1, 8), training=True).tolist()
    [[0.0, 0.0, 2.0, 2.0, 0.0, 2.0, 0.0, 2.0]]
    """

    rate: float = argument(_rate)
    noise_shape: tuple[int | None, ...] | None = argument(_noise_shape, None)
    seed: Any = argument(default=None)

    accepts_integers = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._stream = None if self.seed is None else generator(self.seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return inputs * 0
        shape = self.drawn_shape(inputs.shape)
        kept = drawn(lambda stream: bernoulli(stream, 1 - self.rate, shape), self._stream, inputs.device)
        mask = kept.astype(inputs.dtype)
        mask *= mask.dtype.type(1 / (1 - self.rate)).item()
        return inputs * Tensor._output(mask, None)

    def drawn_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in which zeros are drawn."""
        if self.noise_shape is None:
            return shape
        return tuple(n if m is None else m for n, m in zip(shape, self.noise_shape, strict=True))


class SpatialDropout1D(Dropout):
    """`Dropout` of whole channels: inputs (N, L, C), one draw for each (n, c), the same at all steps.

    Source: Tompson et al. 2015.
    """

    rate: float
    seed: Any
    noise_shape = None

    input_spec = InputSpec(ndim=3)

    def drawn_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[0], 1, shape[2]

    def _config_names(self) -> list[str]:
        return [name for name in super()._config_names() if name != "trainable"]  # which Keras's layer does not take
