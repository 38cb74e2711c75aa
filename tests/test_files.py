"""Files are written whole or not at all, whatever stands at the path and whatever goes wrong."""

from __future__ import annotations

import errno
import os
import resource
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Sequential, Tensor, callbacks, draw, layers, optimizers
from minigrad.files import appended, clear, opened, replaced
from minigrad.saving import CheckpointError, load_checkpoint, save_checkpoint


def network() -> Sequential:
    return Sequential([layers.InputLayer((20,)), layers.Dense(30)])


def write_text(path: Path) -> None:
    with replaced(path, "test: the path") as file:
        file.write(b"new" * 50_000)


def log(path: Path) -> None:
    logger = callbacks.CSVLogger(path)
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": 1.0})


def picture(path: Path) -> None:
    draw(Tensor([1.0], requires_grad=True) * 2).save(path)


WRITERS: list[Callable[[Path], Any]] = [
    write_text, log, picture, lambda path: save_checkpoint(path, network()),
]  # fmt: skip
writers = pytest.mark.parametrize("write", WRITERS, ids=["text", "log", "drawing", "checkpoint"])


@writers
def test_a_link_stays_and_its_target_is_written(tmp_path: Path, write: Any) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "real.dot", tmp_path / "link.dot"
    target.write_text("old")
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert b"old" not in target.read_bytes()
    dangling = tmp_path / "dangling.dot"
    dangling.symlink_to(tmp_path / "far" / "none.dot")
    write(dangling)
    assert (tmp_path / "far" / "none.dot").is_file()
    assert len(list(tmp_path.iterdir())) == 3


@writers
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_the_mode_stays(tmp_path: Path, write: Any, mode: int) -> None:
    path = tmp_path / "a.dot"
    path.write_text("old")
    path.chmod(mode)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    former = os.umask(0o027)
    try:
        write(tmp_path / "new.dot")
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "new.dot").stat().st_mode) == 0o640


@writers
def test_what_is_no_file_is_refused(tmp_path: Path, write: Any) -> None:
    os.mkfifo(tmp_path / "pipe.dot")
    (tmp_path / "folder.dot").mkdir()
    (tmp_path / "loop.dot").symlink_to(tmp_path / "loop.dot")
    for name, kind in (("pipe", "a pipe"), ("folder", "a folder"), ("loop", "symbolic links")):
        with pytest.raises(OSError, match=rf"must be one that can be written\. Received: .*{name}.*{kind}"):
            write(tmp_path / f"{name}.dot")
    assert stat.S_ISFIFO((tmp_path / "pipe.dot").stat().st_mode)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_device_is_refused_before_it_is_touched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test names a device; a file is made to look like one."""
    path, asked = tmp_path / "a", os.stat
    path.write_text("here")

    def device(where: Any, **kwargs: Any) -> Any:
        status = asked(where, **kwargs)
        if str(where) != str(path):
            return status
        return os.stat_result([stat.S_IFCHR | 0o666, *status[1:]])

    monkeypatch.setattr(os, "stat", device)
    for act in (write_text, log, lambda path: save_checkpoint(path, network())):
        with pytest.raises(OSError, match="it is a device, no file"):
            act(path)
    with pytest.raises(CheckpointError, match="it is a device, no file"):
        load_checkpoint(path, network())
    assert path.read_text() == "here"


def test_reading_never_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match=r"Received: .*pipe \(it is a pipe, no file"):
        load_checkpoint(tmp_path / "pipe", network())
    with pytest.raises(CheckpointError, match="it is a folder, no file"):
        load_checkpoint(tmp_path, network())
    with pytest.raises(OSError, match="a pipe"), opened(tmp_path / "pipe"):
        pass


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, model = tmp_path / "a.ckpt", network()
    save_checkpoint(path, model, epoch=1)
    with full_disk(100_000), pytest.raises(OSError, match=r"the path must be one .*\.ckpt \(.*too large") as caught:
        save_checkpoint(path, model, epoch=2, much=np.zeros(200_000))
    assert caught.value.errno == errno.EFBIG

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)  # where some systems first say it
        with pytest.raises(OSError, match="No space left on device") as caught:
            save_checkpoint(path, model, epoch=3)
    assert caught.value.errno == errno.ENOSPC
    assert load_checkpoint(path, model) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.ckpt"]


@contextmanager
def nobody() -> Iterator[None]:
    """Without the rights of an administrator, whom no mode binds."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_folders_and_files_that_are_only_read() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_checkpoint(folder / "a.ckpt", network(), epoch=1)
        folder.chmod(0o555)
        with nobody(), pytest.raises(PermissionError, match=r"save_checkpoint: the path must .*Permission denied"):
            save_checkpoint(folder / "b.ckpt", network())
        folder.chmod(0o777)
        (folder / "a.ckpt").chmod(0o444)
        with nobody(), pytest.raises(PermissionError, match="it is there, and may only be read"):
            save_checkpoint(folder / "a.ckpt", network(), epoch=2)
        assert load_checkpoint(folder / "a.ckpt", network()) == {"epoch": 1}
        assert [file.name for file in folder.iterdir()] == ["a.ckpt"]


def test_a_failure_in_the_middle_leaves_the_former_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def interrupted() -> None:
        with replaced(path, "test: the path") as file:
            file.write(b"half")
            assert len(list(tmp_path.iterdir())) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_only_what_dead_writers_left_is_cleared(tmp_path: Path) -> None:
    path = tmp_path / "a"
    theirs = [".a.tmp", ".a.0123.tmp", ".ab.0123456789abcdef.tmp", "a.0123456789abcdef.tmp", ".a.0123456789abcdeF.tmp"]
    for name in theirs:
        (tmp_path / name).write_text("of somebody else")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".a.ffffffffffffffff.tmp").symlink_to(victim)
    (tmp_path / ".a.0123456789abcdef.tmp").write_text("of a writer that was killed")
    with replaced(path, "test: the path") as first, replaced(path, "test: the path") as second:
        first.write(b"1")
        second.write(b"2")
        clear(path)
        assert len(list(tmp_path.iterdir())) == len(theirs) + 3  # the victim and the two that are being written
    assert path.read_bytes() == b"1"  # who was last done
    assert victim.read_text() == "precious"
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*theirs, "a", "victim"])


def test_temporary_names_cannot_be_guessed(tmp_path: Path) -> None:
    names = set()
    for _ in range(20):
        with replaced(tmp_path / "a", "test: the path"):
            names |= {file.name for file in tmp_path.iterdir()}
    assert len(names - {"a"}) == 20


def test_a_temporary_file_is_created_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should two savers ever draw one name, the second refuses, and the first loses nothing."""
    monkeypatch.setattr("minigrad.files.secrets.token_hex", lambda count: "0" * 2 * count)
    with replaced(tmp_path / "a", "test: the path") as first:
        first.write(b"first")
        first.flush()
        with pytest.raises(OSError, match="test: the path"), replaced(tmp_path / "a", "test: the path") as second:
            second.write(b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("path", [None, 3, b"a", "a\0b", ["a"]])
def test_paths_that_are_none(path: Any) -> None:
    for act in (lambda: save_checkpoint(path, network()), lambda: load_checkpoint(path, network()),
                lambda: callbacks.CSVLogger(path), lambda: callbacks.BackupAndRestore(path)):  # fmt: skip
        with pytest.raises(TypeError, match="must be a string without zero bytes, or a Path"):
            act()
    with pytest.raises(TypeError, match="save_checkpoint: model must be a model or a layer"):
        save_checkpoint("a", None)
    with pytest.raises(TypeError, match="load_checkpoint: optimizer must be an optimizer or None"):
        load_checkpoint("a", network(), "adam")


def test_a_table_goes_on_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "log.csv").symlink_to(tmp_path / "real.csv")
    logger = callbacks.CSVLogger(tmp_path / "log.csv")
    logger.on_train_begin()
    for epoch in range(2):
        logger.on_epoch_end(epoch, {"loss": 0.5})
    state = logger.get_state()
    logger.on_epoch_end(2, {"loss": 0.25})
    again = callbacks.CSVLogger(tmp_path / "log.csv")
    again.on_train_begin()
    again.check_state(state)
    again.set_state(state)
    again.on_epoch_end(2, {"loss": 0.125})
    assert (tmp_path / "real.csv").read_text().split() == ["epoch,loss,val_loss", "0,0.5,NA", "1,0.5,NA", "2,0.125,NA"]
    assert (tmp_path / "log.csv").is_symlink()
    for bad in ({**state, "size": -1}, {**state, "keys": 3}, {}):
        with pytest.raises(ValueError, match="the state of a CSVLogger must be keys, begun and size"):
            again.check_state(bad)
    with pytest.raises(ValueError, match="the state of EarlyStopping must have the names"):
        callbacks.EarlyStopping().check_state({"wait": 1, "model": None})


def test_a_row_that_does_not_fit_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("the former table")
    logger = callbacks.CSVLogger(path)
    logger.on_train_begin()
    with full_disk(10_000), pytest.raises(OSError, match="CSVLogger: filename must be one that can be written"):
        logger.on_epoch_end(0, {"loss": "x" * 20_000})
    assert path.read_text() == "the former table"
    assert [file.name for file in tmp_path.iterdir()] == ["log.csv"]


def test_appending_makes_a_file(tmp_path: Path) -> None:
    for part in (b"a", b"b"):
        with appended(tmp_path / "a", "test: the path") as file:
            file.write(part)
    assert (tmp_path / "a").read_bytes() == b"ab"


def test_all_weights_or_none() -> None:
    model, optimizer = network(), optimizers.Adam()
    optimizer.build(model.trainable_weights)
    for owner in (model, optimizer):
        before = [v.numpy() for v in owner.variables]
        for bad in (np.array("text"), np.array(1j), np.array("2020-01-01", "M8[D]"), np.array(None)):
            given = [np.ones(v.shape) for v in owner.variables]
            given[-1] = np.broadcast_to(bad, given[-1].shape)
            with pytest.raises(TypeError, match=r"assign: the value must be of numbers that fit the variable"):
                owner.set_weights(given)
            for variable, kept in zip(owner.variables, before, strict=True):
                np.testing.assert_array_equal(variable.numpy(), kept)
                with pytest.raises(TypeError, match="numbers that fit"):
                    variable.assign(np.broadcast_to(bad, variable.shape))
        owner.set_weights([np.full(v.shape, 3, "int8") for v in owner.variables])
        assert all((v.numpy() == 3).all() for v in owner.variables)
    with pytest.raises(ValueError, match=r"the count of calls must not be negative\. Received: -1"):
        optimizer.set_weights([-np.ones(v.shape) for v in optimizer.variables])
    assert optimizer.iterations == 3
