"""Callbacks that change the learning rate from epoch to epoch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from minigrad.backend import is_array, is_inexact
from minigrad.callbacks.callback import Callback, Logs
from minigrad.callbacks.monitor import MonitorCallback, count
from minigrad.config import number
from minigrad.optimizers.schedules import LearningRateSchedule


def _check_settable(callback: Callback) -> None:
    """Refuse, before the first step, an optimizer whose learning rate follows a schedule."""
    if isinstance(getattr(callback.model.optimizer, "_learning_rate", None), LearningRateSchedule):
        raise TypeError(
            f"{type(callback).__name__}: it changes the learning rate, but that of an optimizer made with a schedule "
            "is not settable; make the optimizer with a float. Received: an optimizer with a LearningRateSchedule"
        )


class LearningRateScheduler(Callback):
    """Before each epoch the learning rate becomes what a function says; the logs get it as "learning_rate".

    Args:
        schedule: a function of the epoch, from 0, and of the present learning rate, or of the epoch alone.
        verbose: 1 for a message at each epoch.

    Raises:
        TypeError: a schedule that is no function; before the first step, an optimizer with a schedule of its own.
        ValueError: the function gives something else than a float, or no learning rate.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise TypeError(f"LearningRateScheduler: schedule must be a function. Received: schedule={schedule!r}")
        self.schedule = schedule
        self.verbose = verbose
        try:
            inspect.signature(schedule).bind(0, 0.0)
            self._takes_rate = True
        except (TypeError, ValueError):
            self._takes_rate = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        _check_settable(self)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        rate = self.schedule(epoch, optimizer.learning_rate) if self._takes_rate else self.schedule(epoch)
        if not (isinstance(rate, float) or (is_array(rate) and is_inexact(rate.dtype))):
            raise ValueError(f"The output of the `schedule` function should be a float. Got: {rate}")
        optimizer.learning_rate = rate
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate


class ReduceLROnPlateau(MonitorCallback):
    """The learning rate is multiplied by a factor when a number has not become better for ``patience`` epochs.

    Args:
        monitor, mode, min_delta: as for `MonitorCallback`.
        factor: below 1.
        patience: how many epochs without an improvement let the learning rate fall.
        verbose: 1 for a message then.
        cooldown: how many epochs after that are not looked at.
        min_lr: it falls no further.

    Raises:
        ValueError: a factor that is not between 0 and 1; patience, cooldown or min_lr below 0 or no number.
        TypeError: before the first step, an optimizer with a schedule.
    """

    state_names = ("best", "cooldown_counter", "wait")

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0,
        mode: str = "auto", min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if number("factor", factor) >= 1:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. Received factor={factor}")
        if factor <= 0:
            raise ValueError(f"ReduceLROnPlateau: factor must be above 0. Received: factor={factor}")
        if number("min_lr", min_lr) < 0:
            raise ValueError(f"ReduceLROnPlateau: min_lr must not be negative. Received: min_lr={min_lr}")
        self.factor = factor
        self.patience = count("patience", patience)
        self.verbose = verbose
        self.cooldown = count("cooldown", cooldown)
        self.min_lr = min_lr
        self._begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        _check_settable(self)
        self._begin()

    def _begin(self) -> None:
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def in_cooldown(self) -> bool:
        """Whether the learning rate fell a short while ago."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate
        value = self.value(logs, "Learning rate reduction is")
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(value, self.best):
            self.best, self.wait = value, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self.model.optimizer.learning_rate > self.min_lr:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
        self.cooldown_counter, self.wait = self.cooldown, 0
        if self.verbose > 0:
            rate = optimizer.learning_rate
            print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}.")
