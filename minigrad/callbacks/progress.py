"""Progress: a bar where somebody looks on, one line an epoch elsewhere."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from minigrad.callbacks.callback import Callback, Logs

REFRESH = 0.1  # seconds


def shown(logs: Mapping[str, Any]) -> str:
    """Logs as a line of text."""
    return " - ".join(f"{name}: {_number(value)}" for name, value in logs.items())


def _number(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


class EpochLines(Callback):
    """One line an epoch: its number, its time, its logs. No carriage returns: right for a file too."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        epochs = (self.params or {}).get("epochs", "?")
        seconds = time.perf_counter() - self._start
        print(f"Epoch {epoch + 1}/{epochs} - {seconds:.1f}s - {shown(logs or {})}", flush=True)


class ProgressBar(Callback):
    """tqdm's bar over all steps of all epochs: the time left is that of the training."""

    runs_last = True

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bar: Any = None
        self._steps: int | None = None
        self._drawn = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        params = self.params or {}
        epochs, steps = params["epochs"], params["steps"]
        if self._bar is None:
            total = epochs * steps if steps else None
            self._bar = self._tqdm(total=total, unit="batch", dynamic_ncols=True, initial=epoch * (steps or 0))
        self._first = self._bar.n if not steps else epoch * steps
        self._bar.set_description(f"epoch {epoch + 1}/{epochs}", refresh=False)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        now = time.monotonic()
        if now - self._drawn >= REFRESH:  # only then are the logs read
            self._drawn = now
            self._bar.set_postfix_str(shown(logs or {}), refresh=False)
            self._bar.update(self._first + batch + 1 - self._bar.n)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        steps = (self.params or {})["steps"]
        self._bar.set_postfix_str(shown(logs or {}), refresh=False)
        if steps:
            self._bar.update((epoch + 1) * steps - self._bar.n)
        self._bar.refresh()

    def close(self) -> None:
        """Leave the last state of the bar on the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _looked_at() -> bool:
    """Whether a person sees the output as it comes: in a terminal or a notebook."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()


def _tqdm() -> Any:
    """The bar that is right where this runs, a terminal or a notebook."""
    return importlib.import_module("tqdm.auto").tqdm


def level(verbose: Any) -> int:
    """0, 1 for a bar or 2 for lines, from what a user may write.

    Raises:
        ValueError: something else than "auto", 0, 1, 2, True and False.
    """
    if verbose == "auto":
        verbose = 1
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose: must be 'auto', 0, 1 or 2. Received: verbose={verbose!r}")
    has_bar = _looked_at() and importlib.util.find_spec("tqdm") is not None
    return 2 if verbose == 1 and not has_bar else int(verbose)


def progress(verbose: Any) -> list[Callback]:
    """The callbacks that show the progress of `fit`.

    Args:
        verbose: 0 for silence; 2 for one line an epoch; "auto" or 1 for tqdm's bar if tqdm is installed and the output
            is a terminal or a notebook, else one line an epoch.
    """
    if level(verbose) == 1:
        return [ProgressBar(_tqdm())]
    return [EpochLines()] if level(verbose) == 2 else []


def with_bar(batches: Iterable[Any], total: int | None, label: str, verbose: Any) -> Iterable[Any]:
    """The batches themselves, behind a bar where one is wanted and looked at."""
    if level(verbose) != 1:
        return batches
    return _tqdm()(batches, desc=label, total=total, unit="batch", dynamic_ncols=True, leave=False)
