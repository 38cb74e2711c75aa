"""Files that are there whole or not at all: the one way in which minigrad writes them, and opens those of others."""

from __future__ import annotations

import io
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_AS_EFFECTIVE = os.access in os.supports_effective_ids
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


@contextmanager
def replaced(path: str | Path, what: str) -> Iterator[IO[bytes]]:
    """A context that writes a file anew: whoever looks, also after a crash, finds the former one or the new one, whole.

    It is written beside its place, brought to the disk and then renamed; several may do so at once. A link stays, and
    what it points to is written; the mode and the owner of a file stay too. After a failure all is as it was.

    Args:
        what: what the path is, for the message: "save_checkpoint: the path".

    Raises:
        OSError: the path cannot be written, and why.
        TypeError: the path is none.
    """
    with _told(path, what):
        target = Path(os.path.realpath(path))
        former = _status(target)
        if former is not None and not os.access(target, os.W_OK, effective_ids=_AS_EFFECTIVE):
            raise PermissionError("it is there, and may only be read")
        clear(target)
        with _created_beside(target, 0o666 if former is None else 0o600) as file:
            try:
                if former is not None:
                    _inherit(file.name, former)
                yield file
                file.flush()
                os.fsync(file.fileno())
                if fcntl is None:
                    file.close()  # Windows renames no open file
                os.replace(file.name, target)
            finally:
                with suppress(OSError):
                    os.unlink(file.name)  # unless it has its new name
        _sync_folder(target.parent)


@contextmanager
def appended(path: str | Path, what: str) -> Iterator[IO[bytes]]:
    """A context that writes at the end of a file, which is made if there is none; arguments as for `replaced`."""
    with _told(path, what):
        _status(path)
        with open(path, "ab", opener=_opener) as file:
            _require_file(os.fstat(file.fileno()))
            yield file


@contextmanager
def opened(path: str | Path) -> Iterator[io.FileIO]:
    """A context that reads a file of somebody else: never a device, nor a pipe, which would wait for a writer.

    Raises:
        OSError: there is none, or it cannot be read, and why.
    """
    _require_file(os.stat(path))
    with open(path, "rb", buffering=0, opener=_opener) as file:
        _require_file(os.fstat(file.fileno()))
        yield file


def checked_path(path: Any, what: str) -> Path:
    """A path as a Path.

    Raises:
        TypeError: it is none.
    """
    name = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(name, str) or "\0" in name:
        raise TypeError(f"{what} must be a string without zero bytes, or a Path. Received: {path!r}")
    return Path(name)


def make_folder(path: str | Path, what: str) -> None:
    """Make a folder, and those it lies in, unless it is there; errors as for `replaced`."""
    with _told(path, what):
        Path(path).mkdir(parents=True, exist_ok=True)


def clear(path: str | Path) -> None:
    """Remove what writers of this file left beside it that were killed. Those who live hold theirs locked."""
    path = Path(os.path.realpath(path))
    name = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{16}\.tmp")
    with suppress(OSError):
        for left in [entry.path for entry in os.scandir(path.parent) if name.fullmatch(entry.name)]:
            with suppress(OSError), opened(left) as file:
                if _locked(file):
                    os.unlink(left)


def _created_beside(target: Path, mode: int) -> IO[bytes]:
    """A new file of a name that nobody can guess, in the folder of the target; locked until it is closed."""
    while True:
        name = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        file = open(name, "xb", opener=partial(os.open, mode=mode))  # noqa: SIM115
        if _locked(file, otherwise=True) and os.path.lexists(name):
            return file
        file.close()  # somebody cleared it in the moment before it was locked


def _inherit(path: str, former: os.stat_result) -> None:
    """Take the owner and the mode of the former file, before anything is written that only its owner may read."""
    if hasattr(os, "chown"):
        with suppress(OSError):  # only the administrator can give a file away
            os.chown(path, former.st_uid, former.st_gid)
    os.chmod(path, former.st_mode & 0o777)


def _locked(file: IO[bytes], otherwise: bool = False) -> bool:
    """Lock a file until it is closed, also by the end of its process: whether nobody else holds it.

    ``otherwise`` is the answer where the system has no locks; there, what a killed writer left stays.
    """
    if fcntl is None:
        return otherwise
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return otherwise
    return True


@contextmanager
def _told(path: Any, what: str) -> Iterator[None]:
    """Give what the system says about a path a sentence around it."""
    checked_path(path, what)
    try:
        yield
    except OSError as error:
        told = type(error)(f"{what} must be one that can be written. Received: {path} ({error})")
        told.errno = error.errno
        raise told from error


def _status(path: str | Path) -> os.stat_result | None:
    """What the system knows of a file; None when there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    _require_file(status)
    return status


def _require_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a device")
        raise (IsADirectoryError if stat.S_ISDIR(status.st_mode) else OSError)(f"it is {kind}, no file")


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)


def _sync_folder(folder: Path) -> None:
    """Bring the new name itself to the disk, where folders can be opened."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
