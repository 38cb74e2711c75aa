"""Learning rates that change with the step: called with the count of steps before the present one, from 0."""

from __future__ import annotations

from typing import Any

from minigrad.config import Configurable, argument, serialize


class LearningRateSchedule(Configurable, family="schedule", module="keras.optimizers.schedules"):
    """A learning rate as a function of the step. A subclass writes ``__call__(step)``, which gives a number."""

    name: str | None = argument(default=None)

    def __post_init__(self) -> None:
        if self.name is None:
            self.name = type(self).__name__

    def __call__(self, step: Any) -> float:
        raise NotImplementedError(
            f"Learning rate schedule '{type(self).__name__}' must override `__call__(self, step)`."
        )


get = LearningRateSchedule.get
deserialize = LearningRateSchedule.deserialize

__all__ = ["LearningRateSchedule", "deserialize", "get", "serialize"]
