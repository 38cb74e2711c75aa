"""Programs to be killed: a training that is taken up again, and writers of checkpoints.

    python tests/killed.py train FOLDER [--die-after STEPS --delay SECONDS]
    python tests/killed.py write FOLDER --times 200
    python tests/killed.py share FOLDER --seconds 10

``train`` ends with a hash of all that it has learned; with --die-after it kills itself with SIGKILL that many steps
after it was started, from a thread, wherever the step is then. ``write`` lets children write one file over and over,
kills each at a random moment, and reads the file after each. ``share`` lets two processes and two threads write one
file at the same time, and reads it all the while.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import Sequential, callbacks, layers, losses, optimizers, set_random_seed
from minigrad.saving import load_checkpoint, save_checkpoint

STEPS, EPOCHS = 5, 10


def network() -> Sequential:
    """Everything with a state: batch statistics, dropout of the global stream and of its own."""
    return Sequential([
        layers.SeparableConv1D(6, 3, activation="relu", depthwise_constraint="max_norm"), layers.Dropout(0.3),
        layers.BatchNormalization(), layers.Dropout(0.2, seed=5), layers.GlobalAveragePooling1D(), layers.Dense(3),
    ])  # fmt: skip


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8 * STEPS - 3, 7, 4)).astype("float32")  # with a ragged last batch
    return x, (x.mean((1, 2)) > 0).astype(int) + (x[:, 0, 0] > 1)


class Killer(callbacks.Callback):
    """Kill the process, a number of steps and some seconds after its start."""

    def __init__(self, steps: int, delay: float) -> None:
        self.steps, self.delay = steps, delay

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.steps -= 1
        if self.steps == 0:
            threading.Timer(self.delay, os.kill, (os.getpid(), signal.SIGKILL)).start()


def training(folder: Path, extra: list[callbacks.Callback], save_freq: Any = 3) -> str:
    """Train, from the checkpoint if there is one; returns the hash of the weights, the optimizer, the logs."""
    set_random_seed(3)
    model = network()
    optimizer = optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9, weight_decay=0.001)
    model.compile(optimizer, losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    x, y = data()
    history = model.fit(
        x, y, batch_size=8, epochs=EPOCHS, verbose=0, validation_data=(x[::2], y[::2]),
        callbacks=[
            callbacks.ReduceLROnPlateau(patience=1, min_delta=0.05),
            callbacks.EarlyStopping("loss", patience=20, restore_best_weights=True),
            callbacks.CSVLogger(folder / "log.csv"),
            callbacks.BackupAndRestore(folder / "run.ckpt", save_freq),
            *extra,
        ],
    )
    digest = hashlib.sha256(repr((history.history, history.epoch)).encode())
    for variable in [*model.weights, *optimizer.variables]:
        digest.update(variable.numpy().tobytes())
    digest.update((folder / "log.csv").read_bytes())
    return digest.hexdigest()


class Writer:
    """One checkpoint in versions, each of which is recognized: all its numbers are that of the version."""

    def __init__(self, path: Path) -> None:
        self.path, self.model = path, network()
        self.model.build((None, 7, 4))

    def write(self, version: int) -> None:
        self.model.set_weights([np.full(w.shape, version, "float32") for w in self.model.weights])
        save_checkpoint(self.path, self.model, random=False, version=version, much=np.full(100_000, version))

    def read(self) -> int:
        """The version of the file, which must be whole."""
        state = load_checkpoint(self.path, self.model)
        assert (state["much"] == state["version"]).all()
        assert all((w == state["version"]).all() for w in self.model.get_weights())
        return state["version"]

    def forked(self, versions: Iterable[int]) -> int:
        """A process that writes these; returns its number."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for version in versions:
                    self.write(version)
                status = 0
            finally:
                os._exit(status)
        return child


def written(folder: Path, times: int) -> str:
    """Kill writers of one file; each time it must be whole, the former one or the new one, and be alone later."""
    writer, last, left, versions = Writer(folder / "one.ckpt"), 0, 0, set()
    writer.write(0)
    for _ in range(times):
        child = writer.forked(range(last + 1, last + 10_000))
        time.sleep(random.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        version = writer.read()
        assert version >= last
        versions.add(version)
        left += len(list(folder.iterdir())) - 1
        last = version + 1
        writer.write(last)
        assert [file.name for file in folder.iterdir()] == ["one.ckpt"]
    return f"{times} writers killed, {len(versions)} versions read, {left} unfinished files cleared"


def shared(folder: Path, seconds: float) -> str:
    """Let four write one file at the same time; whoever reads must always find a whole one."""
    path, end = folder / "one.ckpt", time.monotonic() + seconds
    writers = [Writer(path) for _ in range(4)]
    written, errors = [0, 0], []

    def versions(first: int) -> Iterator[int]:
        while time.monotonic() < end:
            yield (first := first + 4)

    def thread(i: int) -> None:
        try:
            for version in versions(i):
                writers[i].write(version)
                written[i] += 1
        except BaseException as error:
            errors.append(error)

    writers[0].write(0)
    children = [writers[i].forked(versions(i)) for i in (2, 3)]
    threads = [threading.Thread(target=thread, args=(i,)) for i in (0, 1)]
    for started in threads:
        started.start()
    reader, found = Writer(path), []
    while time.monotonic() < end:
        found.append(reader.read())
    for started in threads:
        started.join()
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert not errors, errors
    assert [file.name for file in folder.iterdir()] == ["one.ckpt"]
    by = [len({version for version in found if version % 4 == i}) for i in range(4)]
    return f"{len(found)} whole files read, of {by} versions of the four writers; {sum(written)} by the threads"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "write", "share"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--die-after", type=int)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    if options.what == "write":
        print(written(options.folder, options.times))
    elif options.what == "share":
        print(shared(options.folder, options.seconds))
    else:
        print(training(options.folder, [Killer(options.die_after, options.delay)] if options.die_after else []))


if __name__ == "__main__":
    main()
