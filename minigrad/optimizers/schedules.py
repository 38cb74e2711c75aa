"""Learning rates that change with the step: called with the count of the calls before the present one, from 0."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from minigrad.config import Configurable, argument, boolean, number, serialize


def _positive(name: str, value: Any) -> float:
    if number(name, value) <= 0:
        raise ValueError(f"Argument `{name}` must be > 0. Received: {name}={value!r}")
    return value


def _not_negative(name: str, value: Any) -> float:
    if number(name, value) < 0:
        raise ValueError(f"Argument `{name}` must be >= 0. Received: {name}={value!r}")
    return value


def _numbers(name: str, value: Any) -> list[float]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(f"Argument `{name}` must be a list of numbers. Received: {name}={value!r}")
    return [number(name, part) for part in value]


def _rates(name: str, value: Any) -> list[float]:
    return [_not_negative(name, part) for part in _numbers(name, value)]


class LearningRateSchedule(Configurable, family="schedule", module="keras.optimizers.schedules"):
    """A learning rate as a function of the step. A subclass writes ``__call__(step)``, which gives a number."""

    name: str | None = argument(default=None)

    def __post_init__(self) -> None:
        if self.name is None:
            self.name = type(self).__name__

    def __call__(self, step: float) -> float:
        raise NotImplementedError(
            f"Learning rate schedule '{type(self).__name__}' must override `__call__(self, step)`."
        )


class ExponentialDecay(LearningRateSchedule):
    """lr * rate^p with p = step / steps, rounded down to an integer in a staircase.

    >>> [ExponentialDecay(1.0, 10, 0.25)(step) for step in (0, 5, 10)]
    [1.0, 0.5, 0.25]
    """

    initial_learning_rate: float = argument(_not_negative)
    decay_steps: float = argument(_positive)
    decay_rate: float = argument(_not_negative)
    staircase: bool = argument(boolean, False)

    def __call__(self, step: float) -> float:
        p = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (math.floor(p) if self.staircase else p)


class InverseTimeDecay(ExponentialDecay):
    """lr / (1 + rate * p) with p = step / steps, rounded down to an integer in a staircase.

    >>> [InverseTimeDecay(1.0, 10, 1.0)(step) for step in (0, 10, 30)]
    [1.0, 0.5, 0.25]
    """

    def __call__(self, step: float) -> float:
        p = step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * (math.floor(p) if self.staircase else p))


class PiecewiseConstantDecay(LearningRateSchedule):
    """The value of the piece that the step lies in; a boundary belongs to the piece before it.

    Raises:
        ValueError: not one value more than boundaries, or boundaries that do not rise.

    >>> [PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1])(step) for step in (0, 10, 11, 20, 21)]
    [1.0, 1.0, 0.5, 0.5, 0.1]
    """

    boundaries: list[float] = argument(_numbers)
    values: list[float] = argument(_rates)
    name: str = argument(default="PiecewiseConstant")

    def __post_init__(self) -> None:
        if len(self.boundaries) != len(self.values) - 1:
            raise ValueError(
                "The length of boundaries should be 1 less than the length of values. Received: "
                f"boundaries={self.boundaries} of length {len(self.boundaries)}, and values={self.values} of length "
                f"{len(self.values)}."
            )
        if any(a >= b for a, b in pairwise(self.boundaries)):
            raise ValueError(f"Argument `boundaries` must rise. Received: boundaries={self.boundaries}")

    def __call__(self, step: float) -> float:
        return self.values[bisect_left(self.boundaries, step)]


class PolynomialDecay(LearningRateSchedule):
    """(lr - end) * (1 - p)^power + end with p = step / steps, which stays at 1 from there on; or, in cycles, steps is
    its first multiple that the step does not exceed.

    >>> [PolynomialDecay(1.0, 10, 0.0, power=2.0)(step) for step in (0, 5, 10, 11)]
    [1.0, 0.25, 0.0, 0.0]
    """

    initial_learning_rate: float = argument(_not_negative)
    decay_steps: float = argument(_positive)
    end_learning_rate: float = argument(_not_negative, 0.0001)
    power: float = argument(_not_negative, 1.0)
    cycle: bool = argument(boolean, False)

    def __call__(self, step: float) -> float:
        p = step / self.decay_steps
        p = p / max(math.ceil(p), 1) if self.cycle else min(p, 1)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * (1 - p) ** self.power + self.end_learning_rate


def _cosine(p: float, alpha: float, height: float = 1.0) -> float:
    """Half a wave from ``height`` at p = 0 down to 0 at p = 1, lifted so that 1 stays and 0 becomes ``alpha``."""
    return (1 - alpha) * height * 0.5 * (1 + math.cos(math.pi * p)) + alpha


class CosineDecay(LearningRateSchedule):
    """Half a cosine wave from lr down to alpha * lr over the steps (Loshchilov and Hutter 2017).

    With a warm-up, first a line from lr to the target over the warm-up steps, and then the wave from the target.

    Raises:
        ValueError: warm-up steps without a target.

    >>> [round(CosineDecay(1.0, 10)(step), 6) for step in (0, 5, 10, 20)]
    [1.0, 0.5, 0.0, 0.0]
    """

    initial_learning_rate: float = argument(_not_negative)
    decay_steps: float = argument(_positive)
    alpha: float = argument(_not_negative, 0.0)
    name: str | None
    warmup_target: float | None = argument(
        lambda name, value: None if value is None else _not_negative(name, value), None
    )
    warmup_steps: float = argument(_not_negative, 0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup_steps and self.warmup_target is None:
            raise ValueError(
                "Argument `warmup_target` must be given with `warmup_steps`: it is where the warm-up ends. "
                f"Received: warmup_steps={self.warmup_steps}, warmup_target=None"
            )

    def __call__(self, step: float) -> float:
        start, top = self.initial_learning_rate, self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return start + (self.warmup_target - start) * step / self.warmup_steps
            step, top = step - self.warmup_steps, self.warmup_target
        return top * _cosine(min(step / self.decay_steps, 1), self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine waves one after another, each t_mul times as long and m_mul times as high as the one before (SGDR:
    Loshchilov and Hutter 2017).

    Raises:
        ValueError: a step behind all waves, when each is shorter than the one before.

    >>> [round(CosineDecayRestarts(1.0, 10)(step), 6) for step in (0, 5, 10, 20, 30)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """

    initial_learning_rate: float = argument(_not_negative)
    first_decay_steps: float = argument(_positive)
    t_mul: float = argument(_positive, 2.0)
    m_mul: float = argument(_not_negative, 1.0)
    alpha: float = argument(_not_negative, 0.0)
    name: str = argument(default="SGDRDecay")

    def __call__(self, step: float) -> float:
        p, t = step / self.first_decay_steps, self.t_mul
        if p * (1 - t) >= 1:
            raise ValueError(
                f"CosineDecayRestarts: step must be < first_decay_steps / (1 - t_mul), where the waves end. "
                f"Received: step={step}, first_decay_steps={self.first_decay_steps}, t_mul={t}"
            )

        def begin(wave: int) -> float:
            return wave if t == 1 else (1 - t**wave) / (1 - t)  # 1 + t + ... + t^(wave - 1)

        wave = math.floor(p if t == 1 else math.log(1 - p * (1 - t)) / math.log(t))
        wave += p >= begin(wave + 1) * (1 - 1e-12)  # the quotient of logarithms can fall short of an integer
        return self.initial_learning_rate * _cosine((p - begin(wave)) / t**wave, self.alpha, self.m_mul**wave)


get = LearningRateSchedule.get
deserialize = LearningRateSchedule.deserialize

__all__ = [
    "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "LearningRateSchedule",
    "PiecewiseConstantDecay", "PolynomialDecay", "deserialize", "get", "serialize",
]
