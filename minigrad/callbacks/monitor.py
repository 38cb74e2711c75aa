"""Callbacks that watch a number, and stop when it stays as it is or is no number any more."""

from __future__ import annotations

import math
import warnings
from operator import index
from typing import Any

from minigrad.callbacks.callback import Callback, Logs
from minigrad.config import number


def count(name: str, value: Any) -> int:
    """An integer from 0 on: of epochs.

    Raises:
        ValueError: something else.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or index(value) < 0:
        raise ValueError(f"{name}: must be an integer >= 0. Received: {name}={value!r}")
    return index(value)


def number_or_none(name: str, value: Any) -> float | None:
    """A number, or None.

    Raises:
        ValueError: something else.
    """
    return None if value is None else number(name, value)


class MonitorCallback(Callback):
    """A callback that compares one of the logs from epoch to epoch.

    Args:
        monitor: the name of the log.
        mode: "min" when less is better, "max" when more is; "auto" knows that of losses and of minigrad's metrics.
        min_delta: a change that is not greater than this is none.

    A log that is NaN is never better than another, and any number is better than NaN.

    Raises:
        ValueError: a monitor that is no name, a min_delta that is no number.
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0) -> None:
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode.", stacklevel=3
            )
            mode = "auto"
        if not isinstance(monitor, str):
            raise ValueError(f"monitor: must be the name of a log. Received: monitor={monitor!r}")
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(number("min_delta", min_delta))
        self.best: float | None = None

    def value(self, logs: Logs | None, purpose: str) -> float | None:
        """The number that is watched; None, with a warning, when it is not among the logs.

        Raises:
            TypeError: it is no number.
        """
        found = (logs or {}).get(self.monitor)
        if found is None:
            warnings.warn(
                f"{purpose} conditioned on metric `{self.monitor}` which is not available. "
                f"Available metrics are: {','.join(logs or {})}",
                stacklevel=4,
            )
        elif not is_number(found):
            raise TypeError(f"{type(self).__name__}: the log {self.monitor!r} must be a number. Received: {found!r}")
        return found

    def improves(self, value: float, reference: float | None) -> bool:
        """Whether ``value`` is better than ``reference`` by more than ``min_delta``.

        Raises:
            ValueError: it is not known whether more or less is better.
        """
        if math.isnan(value):
            return False
        if reference is None or math.isnan(reference):
            return True
        if self._direction() == "down":
            return value + self.min_delta < reference
        return value - self.min_delta > reference

    def _direction(self) -> str:
        if self.mode != "auto":
            return "down" if self.mode == "min" else "up"
        name = self.monitor.removeprefix("val_")
        metrics = getattr(self.model, "metrics", ())
        directions = [m.direction for m in metrics if m.name == name and m.direction] or ["down"] * (name == "loss")
        if not directions:
            raise ValueError(
                f"{type(self).__name__} callback received monitor={self.monitor}, but it is not known whether that "
                "metric should be maximized or minimized. Pass `mode='max'` in order to monitor based on the highest "
                "metric value, or pass `mode='min'` in order to use the lowest value."
            )
        return directions[-1]


def is_number(value: Any) -> bool:
    """Whether a log is a number, of Python or of no axes."""
    return isinstance(value, (int, float)) or getattr(value, "shape", None) == ()


class EarlyStopping(MonitorCallback):
    """Stop when a number has not become better for ``patience`` epochs.

    Args:
        monitor, mode, min_delta: as for `MonitorCallback`.
        patience: how many epochs without an improvement end the training.
        verbose: 1 for a message at the end.
        baseline: epochs count as improvements only when they are better than this too.
        restore_best_weights: whether the model gets the weights of the best epoch at the end.
        start_from_epoch: earlier epochs are not looked at.

    Raises:
        ValueError: patience or start_from_epoch that is no integer from 0 on, a baseline that is no number.

    >>> stopping = EarlyStopping(monitor="loss", patience=2)
    >>> stopping.patience, stopping.best
    (2, None)
    """

    state_names = ("wait", "stopped_epoch", "best", "best_weights", "best_epoch")

    def __init__(
        self, monitor: str = "val_loss", min_delta: float = 0, patience: int = 0, verbose: int = 0,
        mode: str = "auto", baseline: float | None = None, restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = count("patience", patience)
        self.verbose = verbose
        self.baseline = number_or_none("baseline", baseline)
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = count("start_from_epoch", start_from_epoch)
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self._stopped = False
        self.best = None
        self.best_weights: list[Any] | None = None
        self.best_epoch = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = self.value(logs, "Early stopping")
        if value is None or epoch < self.start_from_epoch:
            return
        better = self.improves(value, self.best)
        if better:
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
        if better and (self.baseline is None or self.improves(value, self.baseline)):
            self.wait = 0
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_epoch, self._stopped = epoch, True
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._stopped and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class TerminateOnNaN(Callback):
    """Stop when the loss is no finite number any more. It reads the loss after every step.

    Args:
        raise_error: whether to raise a RuntimeError.

    >>> TerminateOnNaN(raise_error=True).on_batch_end(3, {"loss": float("nan")})
    Traceback (most recent call last):
    RuntimeError: NaN or Inf loss encountered at batch 3. Loss value: nan. Terminating training immediately.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"NaN or Inf loss encountered at batch {batch}. Loss value: {loss}. Terminating training immediately."
            )
        print(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True
