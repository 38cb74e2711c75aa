"""History: what fit returns."""

from __future__ import annotations

from html import escape
from typing import Any

from minigrad.callbacks.callback import Callback, Logs


class History(Callback):
    """The logs of all epochs: ``history`` holds a list for each name, ``epoch`` the numbers of the epochs.

    ``interrupted`` tells whether Ctrl-C ended the training.

    >>> history = History(); history.on_train_begin()
    >>> history.on_epoch_end(0, {"loss": 0.5}); history.on_epoch_end(1, {"loss": 0.25})
    >>> history.history, history.epoch
    ({'loss': [0.5, 0.25]}, [0, 1])
    >>> history
    <History epochs=2, loss=0.25>
    """

    state_names = ("history", "epoch")

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []
        self.interrupted = False

    def set_model(self, model: Any) -> None:
        """It needs none: a history that is kept does not keep the model."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []
        self.interrupted = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def on_interrupt(self, logs: Logs | None = None) -> None:
        self.interrupted = True

    def __repr__(self) -> str:
        last = "".join(f", {name}={_short(values[-1])}" for name, values in self.history.items() if values)
        return f"<History epochs={len(self.epoch)}{last}{', interrupted' if self.interrupted else ''}>"

    def _repr_html_(self) -> str:
        """A table of what every epoch logged; of many epochs the middle ones are left out."""
        names = [name for name, values in self.history.items() if len(values) == len(self.epoch)]
        rows = [[str(e + 1), *(_short(self.history[name][i]) for name in names)] for i, e in enumerate(self.epoch)]
        if len(rows) > 12:
            rows = [*rows[:5], ["…"] * (len(names) + 1), *rows[-5:]]
        head = "".join(f"<th>{escape(name)}</th>" for name in ("epoch", *names))
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
