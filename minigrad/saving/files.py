"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def temporary(path: Path) -> Path:
    """The name under which a file is written before it takes its place, in the same folder."""
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def replaced(path: str | Path, who: str) -> Iterator[IO[bytes]]:
    """A context that writes a file anew: whoever looks, also after a crash, finds the former one or the new one, whole.

    It is written beside its place, brought to the disk and then renamed. After a failure the former one is untouched.

    Raises:
        OSError: the path cannot be written, and why.
    """
    path = Path(path)
    beside = temporary(path)
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove(beside)
        raise type(error)(f"{who}: the path must be one that can be written. Received: {path} ({error})") from error
    except BaseException:
        _remove(beside)
        raise


def _remove(path: Path) -> None:
    with suppress(OSError):  # it may never have come to be
        path.unlink()


def _sync_folder(folder: Path) -> None:
    """Bring the new name itself to the disk, where folders can be opened."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
