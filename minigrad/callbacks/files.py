"""Callbacks that write files: a table of the logs, the model, the whole training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from minigrad.callbacks import table
from minigrad.callbacks.callback import Callback, Logs
from minigrad.callbacks.monitor import MonitorCallback, number_or_none
from minigrad.files import appended, checked_path, clear, make_folder, replaced
from minigrad.saving.archive import conforms
from minigrad.saving.checkpoint import save_checkpoint

_CSV = "CSVLogger: filename"


def save_frequency(value: Any) -> Any:
    """Either "epoch", or a positive number of batches.

    Raises:
        ValueError: something else.
    """
    if value != "epoch" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"Unrecognized save_freq: {value}. Expected save_freq are 'epoch' or integer values")
    return value


class CSVLogger(Callback):
    """The logs of each epoch as a row of a file of comma-separated values.

    A row follows the header, also that of a file which is appended to. Where a log is new, a column is: the rows before
    have "NA" there, as each row has where it lacks a log.

    Args:
        filename: of the file.
        separator: between the values, one character.
        append: whether to go on with a file that is there; else it is written anew.

    Raises:
        OSError: the file cannot be written, and why: before the first step.
        ValueError: another separator; before the first step, a file to append to that has no header.
    """

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            raise ValueError(f"CSVLogger: separator must be one character. Received: separator={separator!r}")
        self.filename = checked_path(filename, _CSV)
        self.sep = separator
        self.append = append
        self.keys: list[str] | None = None
        self._begun = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.keys = None
        self._begun = self.append
        with self._appended():
            pass
        if self.append:
            self.keys = table.columns(self._text(), self.sep)

    def _text(self) -> str:
        with self.filename.open(newline="") as file:
            return file.read()

    def _set_columns(self, names: list[str]) -> None:
        """Rewrite the table with these columns."""
        text = table.with_columns(self._text(), self.sep, names)
        with replaced(self.filename, _CSV) as file:
            file.write(text.encode())
        self.keys = names

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):  # a validation may come in a later epoch
                self.keys += [f"val_{key}" for key in self.keys]
        elif new := sorted(logs.keys() - {*self.keys}):
            self._set_columns([*self.keys, *new])
        with self._appended() if self._begun else replaced(self.filename, _CSV) as file:
            rows = [[epoch, *(logs.get(key, table.MISSING) for key in self.keys)]]
            if file.tell() == 0:
                rows.insert(0, ["epoch", *self.keys])
            file.write("".join(table.row(row, self.sep) for row in rows).encode())  # at once: nobody sees half a row
        self._begun = True

    def _appended(self) -> AbstractContextManager[IO[bytes]]:
        return appended(self.filename, _CSV)

    def get_state(self) -> dict[str, Any]:
        size = 0
        if self._begun:
            with self._appended() as file:
                size = file.tell()
        return {"keys": self.keys, "begun": self._begun, "size": size}

    def check_state(self, state: Mapping[str, Any]) -> None:
        if not conforms(state, {"keys": ([str], None), "begun": bool, "size": int}) or state["size"] < 0:
            raise ValueError(f"checkpoint: the state of a CSVLogger must be keys, begun and size. Received: {state}")

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take away the rows that were written after the state."""
        self.keys, self._begun = state["keys"], state["begun"]
        if self._begun:
            if self.keys is not None and len(table.columns(self._text(), self.sep) or ()) > len(self.keys):
                self._set_columns(self.keys)  # a column came later
            with self._appended() as file:
                file.truncate(min(state["size"], file.tell()))


class ModelCheckpoint(MonitorCallback):
    """Save the model after epochs, or after so many batches; `minigrad.saving.load_checkpoint` reads it.

    Args:
        filepath: of the file; "{epoch:02d}" in it becomes the number of the epoch from 1, "{val_loss:.3f}" that log.
        monitor, mode: as for `MonitorCallback`.
        verbose: 1 for messages.
        save_best_only: save only when the number that is watched is better than ever; without the number, never.
        save_weights_only: leave out the optimizer and the random streams.
        save_freq: "epoch", or after how many batches.
        initial_value_threshold: what the first epoch must surpass to be the best.

    Raises:
        ValueError: another save_freq.
        KeyError: a log in ``filepath`` that is none.
        OSError: the file cannot be written, and why.
    """

    state_names = ("best", "_since", "_epoch")

    def __init__(
        self, filepath: str | Path, monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
        save_weights_only: bool = False, mode: str = "auto", save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = str(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_frequency(save_freq)
        self.best = number_or_none("initial_value_threshold", initial_value_threshold)
        self._since = 0
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq != "epoch":
            self._since += 1
            if self._since >= self.save_freq:
                self._since = 0
                self._save(self._epoch, {"batch": batch + 1} | dict(logs or {}))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, logs or {})

    def _save(self, epoch: int, logs: dict[str, Any]) -> None:
        try:
            path = Path(self.filepath.format(**{"epoch": epoch + 1} | logs))
        except KeyError as error:
            raise KeyError(
                f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}'
            ) from error
        if self.save_best_only and not self._is_best(epoch, logs, path):
            return
        if self.verbose > 0 and not self.save_best_only:
            print(f"\nEpoch {epoch + 1}: saving model to {path}")
        make_folder(path.parent, "ModelCheckpoint: the folder of filepath")
        whole = not self.save_weights_only
        save_checkpoint(path, self.model, self.model.optimizer if whole else None, random=whole, epoch=epoch + 1)

    def _is_best(self, epoch: int, logs: Logs, path: Path) -> bool:
        value = logs.get(self.monitor)
        if value is None:
            warnings.warn(
                f"Can save best model only with {self.monitor} available. Nothing is saved without it. "
                f"Available metrics are: {','.join(logs)}",
                stacklevel=5,
            )
            return False
        before, better = self.best, self.improves(value, self.best)
        if self.verbose > 0:
            best = "None" if before is None else f"{before:.5f}"
            told = f"improved from {best} to {value:.5f}, saving model to {path}" if better else (
                f"did not improve from {best}")
            print(f"\nEpoch {epoch + 1}: {self.monitor} {told}")
        if better:
            self.best = value
        return better


class BackupAndRestore(Callback):
    """Go on with a training that was cut off, at the very batch, to the last bit as if nothing had happened.

    At the begin of `fit` the training is taken up from the file if there is one; else it is written. Then it is
    written again after epochs or batches, and when Ctrl-C is pressed; at the end it is deleted. So a program that
    calls `fit` with this callback is simply started again. It must give the same model, data and callbacks.

    Args:
        filepath: of the one file (Keras takes a folder).
        save_freq: "epoch", or after how many batches to write.
        delete_checkpoint: whether to delete the file when the training is complete.

    Raises:
        ValueError: another save_freq; a file that is no checkpoint of this training (a `CheckpointError`): nothing has
            changed.
        OSError: the file cannot be written, and why: before the first step.
    """

    runs_last = True
    state_names = ("_since",)

    def __init__(self, filepath: str | Path, save_freq: Any = "epoch", delete_checkpoint: bool = True) -> None:
        if not str(filepath):
            raise ValueError("BackupAndRestore: filepath must not be empty. Received: filepath=''")
        self.filepath = checked_path(filepath, "BackupAndRestore: filepath")
        self.save_freq = save_frequency(save_freq)
        self.delete_checkpoint = delete_checkpoint
        self._since = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._since = 0
        if self.filepath.exists():
            self.model.training_run.restore(self.filepath)
            clear(self.filepath)
        else:
            self._save()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq != "epoch":
            self._since += 1
            if self._since >= self.save_freq:
                self._save()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq == "epoch":
            self._save()

    def on_interrupt(self, logs: Logs | None = None) -> None:
        self._save(since=self._since)
        print(f"checkpoint: {self.filepath}; the same call of fit goes on from there")

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint:
            self.filepath.resolve().unlink(missing_ok=True)  # a link stays

    def _save(self, since: int = 0) -> None:
        self._since = since
        self.model.training_run.save(self.filepath)
