"""A training that is cut off and taken up again ends as if nothing had happened; and files that are refused."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Model, Sequential, Tensor, callbacks, layers, losses, metrics, optimizers, set_random_seed
from minigrad.data import batches
from minigrad.optimizers import Optimizer
from minigrad.random import generator
from minigrad.saving import CheckpointError, load_checkpoint, save_checkpoint
from minigrad.saving.archive import CHARACTERS, MEMBERS
from minigrad.training.interrupts import interruptible
from minigrad.variable import Variable
from tests import hostile
from tests.golden import checkpoint as golden
from tests.killed import data, network, training

SCRIPT = Path(__file__).parent / "killed.py"


class Crash(callbacks.Callback):
    """Fail in one of the steps, counted over all epochs, or in one of the validations."""

    def __init__(self, step: int, hook: str = "train_batch_end") -> None:
        self.left = step
        setattr(self, f"on_{hook}", self.count)

    def count(self, *_: Any) -> None:
        self.left -= 1
        if self.left < 0:
            self.act()

    def act(self) -> None:
        raise ZeroDivisionError


class PressCtrlC(Crash):
    def act(self) -> None:
        if self.left == -1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def python_handles_ctrl_c() -> Iterator[None]:
    """Also where the tests run in the background of a shell, which ignores it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of the training that nobody disturbs."""
    return training(tmp_path_factory.mktemp("whole"), [])


# ---------------------------------------------------------------------- fit


def test_the_training_is_reproducible(tmp_path: Path, whole: str) -> None:
    assert training(tmp_path, []) == whole
    assert [file.name for file in tmp_path.iterdir()] == ["log.csv"]  # the checkpoint is not needed any more


@pytest.mark.parametrize("save_freq", ["epoch", 1, 3])
@pytest.mark.parametrize("step", [0, 4, 5, 13, 29, 48])
def test_taken_up_after_any_step(tmp_path: Path, whole: str, step: int, save_freq: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        training(tmp_path, [Crash(step)], save_freq)
    with pytest.raises(ZeroDivisionError):
        training(tmp_path, [Crash(0)], save_freq)
    assert training(tmp_path, [], save_freq) == whole


@pytest.mark.parametrize("hook", ["train_batch_begin", "epoch_begin", "epoch_end", "test_batch_end", "train_end"])
def test_taken_up_after_any_hook(tmp_path: Path, whole: str, hook: str) -> None:
    with pytest.raises(ZeroDivisionError):
        training(tmp_path, [Crash(0 if hook == "train_end" else 7, hook)], 2)
    assert training(tmp_path, []) == whole


def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parent.parent), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)


def kill_and_resume(folder: Path, whole: str, kills: int, most: int, seed: int = 0) -> None:
    rng = random.Random(seed)
    for _ in range(kills):
        result = run("train", folder, "--die-after", rng.randint(1, most), "--delay", rng.uniform(0, 0.004))
        assert result.returncode == -signal.SIGKILL, result.stderr
    result = run("train", folder)
    assert result.stdout.strip() == whole, result.stderr


def test_killed_three_times(tmp_path: Path, whole: str) -> None:
    kill_and_resume(tmp_path, whole, 3, 12)


@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path, whole: str) -> None:
    for i in range(20):  # runs, each killed once, anywhere
        folder = tmp_path / str(i)
        folder.mkdir()
        kill_and_resume(folder, whole, 1, 49, seed=i)
    (tmp_path / "one").mkdir()
    kill_and_resume(tmp_path / "one", whole, 20, 4)  # and one run, killed again and again


@pytest.mark.parametrize("times", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_writers_killed(tmp_path: Path, times: int) -> None:
    result = run("write", tmp_path, "--times", times)
    assert result.stdout.startswith(f"{times} writers killed"), result.stderr


@pytest.mark.parametrize("seconds", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_several_writers_at_once(tmp_path: Path, seconds: int) -> None:
    result = run("share", tmp_path, "--seconds", seconds)
    assert "whole files read" in result.stdout, result.stderr


# ---------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("hook", ["train_batch_begin", "train_batch_end", "test_batch_end"])
def test_ctrl_c_leaves_a_checkpoint_and_no_traceback(
    tmp_path: Path, whole: str, capsys: pytest.CaptureFixture[str], hook: str
) -> None:
    training(tmp_path, [PressCtrlC(8, hook)])
    told = capsys.readouterr().out
    assert "fit: stopped by Ctrl-C in epoch " in told
    assert f"checkpoint: {tmp_path / 'run.ckpt'}; the same call of fit goes on from there" in told
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert training(tmp_path, []) == whole


def test_the_running_step_is_finished(capsys: pytest.CaptureFixture[str]) -> None:
    model = compiled()
    x, y = data()
    history = model.fit(x, y, batch_size=8, epochs=5, verbose=0, callbacks=[PressCtrlC(2, "train_batch_begin")])
    assert history.interrupted
    assert model.optimizer.iterations == 3
    assert history.epoch == []
    assert "after 3 batches" in capsys.readouterr().out
    assert not model.fit(x, y, batch_size=8, verbose=0).interrupted


def test_a_second_ctrl_c_ends_at_once() -> None:
    class Twice(callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        compiled().fit(*data(), verbose=0, callbacks=[Twice()])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_somebody_else_stays() -> None:
    def own(*_: Any) -> None:
        pass

    signal.signal(signal.SIGINT, own)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# ---------------------------------------------------------------------- a loop by hand


def compiled(optimizer: Any = "adam", **kwargs: Any) -> Sequential:
    set_random_seed(0)
    model = network()
    model.compile(optimizer, losses.SparseCategoricalCrossentropy(from_logits=True), **kwargs)
    return model


def loop(path: Path, stop: int, optimizer: Any, device: str = "cpu") -> list[Any]:
    """Train by hand until a step, from the checkpoint if there is one."""
    set_random_seed(1)
    model, loss_of, first = network(), losses.SparseCategoricalCrossentropy(from_logits=True), 0
    x, y = (Tensor(part, device=device) for part in data())
    if path.exists():
        first = load_checkpoint(path, model.to(device), optimizer)["step"]
    for step in range(first, stop):
        rows, labels = list(batches(x, y, 8, seed=0, epoch=step // 5))[step % 5]
        loss = loss_of(labels, model(rows, training=True))
        loss.backward()
        optimizer.step(model.trainable_weights)
    save_checkpoint(path, model, optimizer, step=stop)
    return [w.numpy() for w in [*model.weights, *optimizer.variables]] + [generator().random()]


FAMILY = sorted(
    {cls.__name__ for cls in vars(optimizers).values() if isinstance(cls, type) and issubclass(cls, Optimizer)}
    - {"Optimizer"}
)


@pytest.mark.parametrize("name", FAMILY)
def test_every_optimizer_goes_on(tmp_path: Path, name: str) -> None:
    def optimizer() -> Any:
        return getattr(optimizers, name)(0.01, gradient_accumulation_steps=2, use_ema=True)

    expected = loop(tmp_path / "whole", 9, optimizer())
    loop(tmp_path / "cut", 5, optimizer())
    for ours, theirs in zip(loop(tmp_path / "cut", 9, optimizer()), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_on_another_array_module(tmp_path: Path) -> None:
    expected = loop(tmp_path / "whole", 7, optimizers.Adam(), "standin")
    loop(tmp_path / "cut", 3, optimizers.Adam(), "standin")
    for ours, theirs in zip(loop(tmp_path / "cut", 7, optimizers.Adam(), "standin"), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_model_that_is_built_by_its_checkpoint(tmp_path: Path) -> None:
    model = network()
    model.build((None, 7, 4))
    save_checkpoint(tmp_path / "a", model)
    twin = network()
    load_checkpoint(tmp_path / "a", twin)
    for ours, theirs in zip(twin.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_state_of_every_kind(tmp_path: Path) -> None:
    model = network()
    stream = np.random.Generator(np.random.MT19937(3))
    state = {
        "epoch": 3, "rate": 0.1 + 0.2, "bad": float("inf"), "none": None, "yes": True, "name": "né", "big": 2**100,
        "tuple": (1, (2.5,)), "list": [[], {"a": np.arange(3.0), "b": [np.float32(1.5)]}],
        "array": np.arange(6, dtype="int16").reshape(2, 3), "tensor": Tensor([1.0, 2.0]),
        "standin": Tensor([7], device="standin"),
    }  # fmt: skip
    save_checkpoint(tmp_path / "a", model, stream=stream, dropout=np.random.default_rng(4), **state)
    found = load_checkpoint(tmp_path / "a", model)
    assert found.pop("stream").random() == stream.random()
    assert found.pop("dropout").random() == np.random.default_rng(4).random()
    for name in ("array", "tensor", "standin"):
        expected = state.pop(name)
        array = expected.numpy() if isinstance(expected, Tensor) else expected
        np.testing.assert_array_equal(found[name], array)
        assert found.pop(name).dtype == array.dtype
    (empty, parts), (_, expected) = found.pop("list"), state.pop("list")
    assert empty == []
    np.testing.assert_array_equal(parts["a"], expected["a"])
    assert parts["b"][0] == 1.5
    assert found == state


def test_no_pickle(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a", network(), optimizers.Adam(), epoch=1)
    with np.load(tmp_path / "a", allow_pickle=False) as file:
        header = json.loads(str(file["header"]))
        assert all(file[name].dtype.kind in "fiu" for name in file.files if name != "header")
    assert header["format"] == "minigrad checkpoint 1"


def test_random_streams_can_be_left_alone(tmp_path: Path) -> None:
    model = network()
    save_checkpoint(tmp_path / "with", model)
    save_checkpoint(tmp_path / "without", model, random=False)
    before = generator().bit_generator.state
    load_checkpoint(tmp_path / "with", model)
    assert generator().bit_generator.state == before
    generator().random(5)
    moved = generator().bit_generator.state
    load_checkpoint(tmp_path / "with", model, random=False)
    load_checkpoint(tmp_path / "without", model)
    assert generator().bit_generator.state == moved


# ---------------------------------------------------------------------- what is refused


def built(units: int = 3, first: Any = layers.Dense) -> Sequential:
    return Sequential([layers.InputLayer((4,)), first(5), layers.Dense(units)])


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint", b"PK\x03\x04", None], ids=["empty", "text", "zip", "npz"]
)
def test_foreign_files(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a"
    if content is None:
        with path.open("wb") as file:
            np.savez(file, x=np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"the file must be a whole one written by save_checkpoint\. Received"):
        load_checkpoint(path, built())
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(ValueError, match="written by save_checkpoint"):
        load_checkpoint(tmp_path / "b.npy", built())


def test_damaged_files(tmp_path: Path) -> None:
    """Cut off anywhere, or with one byte changed: found before anything is assigned."""
    path, model = tmp_path / "a", built()
    save_checkpoint(path, model, optimizers.Adam(), much=np.arange(50.0))
    content = path.read_bytes()
    before = model.get_weights()
    model.set_weights([w + 1 for w in before])
    rng = np.random.default_rng(0)
    refused = 0
    for cut in rng.integers(0, len(content), 40):
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match="checkpoint: the file must be a whole one"):
            load_checkpoint(path, model)
    for place in rng.integers(0, len(content), 60):
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        try:
            load_checkpoint(path, model, random=False)  # a date in the archive may be any
        except ValueError:
            refused += 1
            for ours, theirs in zip(model.get_weights(), before, strict=True):
                np.testing.assert_array_equal(ours, theirs + 1)
        else:
            for ours, theirs in zip(model.get_weights(), before, strict=True):
                np.testing.assert_array_equal(ours, theirs)
            model.set_weights([w + 1 for w in before])
    assert refused > 30


# ---------------------------------------------------------------------- what somebody has tampered with


@pytest.mark.parametrize(
    ("files", "seed"), [(120, 0), *(pytest.param(2500, seed, marks=pytest.mark.slow) for seed in range(4))]
)
def test_hostile_files(tmp_path: Path, files: int, seed: int) -> None:
    counts = re.match(rf"{files} files, (\d+) refused, (\d+) read", hostile.campaign(files, seed, tmp_path))
    assert counts
    assert int(counts[1]) > files / 2
    assert int(counts[2]) > 0


def rewritten(path: Path, **changes: Any) -> None:
    """Change a checkpoint, with right checksums: the header by a function, arrays to others."""
    members = dict(hostile.opened(path.read_bytes()))
    _, header = hostile.header_of(list(members.items()))
    change_header = changes.pop("header", None)
    if change_header is not None:
        change_header(header)
        members["header.npy"] = hostile.npy(np.array(json.dumps(header)))
    members |= {f"{name}.npy": hostile.npy(array) for name, array in changes.items()}
    path.write_bytes(hostile.closed(list(members.items())))


def test_no_function_that_a_file_names_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name in ("seed", "bytes", "BitGenerator"):
        monkeypatch.setattr(np.random, name, lambda *_, name=name: called.append(name))
        save_checkpoint(tmp_path / "a", built(), stream=np.random.default_rng(0))
        rewritten(tmp_path / "a", header=lambda h, name=name: h["state"]["dict"]["stream"]["generator"]["dict"].update(
            bit_generator=name))  # fmt: skip
        with pytest.raises(CheckpointError, match=r"Received: .*a \(a state of kind 'generator'\)"):
            load_checkpoint(tmp_path / "a", built())
    assert called == []


@pytest.mark.parametrize(("kind", "place"), [("MT19937", "pos"), ("Philox", "buffer_pos")])
@pytest.mark.parametrize("position", [-1, 625, 10**6])
def test_streams_that_would_read_foreign_memory(tmp_path: Path, kind: str, place: str, position: int) -> None:
    """NumPy takes any position within its buffer, and draws from whatever lies there."""
    stream = np.random.Generator(getattr(np.random, kind)(1))
    model = Sequential([layers.InputLayer((3,)), layers.Dropout(0.5, seed=stream)])
    save_checkpoint(tmp_path / "a", model)
    before = repr(stream.bit_generator.state)

    def moved(header: Any) -> None:
        state = header["random"][1]["dict"]
        (state["state"]["dict"] if kind == "MT19937" else state)[place] = position

    rewritten(tmp_path / "a", header=moved)
    with pytest.raises(CheckpointError, match="a position beyond the end"):
        load_checkpoint(tmp_path / "a", model)
    assert repr(stream.bit_generator.state) == before


def test_arrays_that_are_not_as_described(tmp_path: Path) -> None:
    model, optimizer = built(), optimizers.Adam()
    optimizer.build(model.trainable_weights)
    for bad in (np.zeros((4, 5)), np.zeros((5, 4), "f4"), np.zeros((4, 5), "i4"), np.zeros((4, 5), "M8[s]"),
                np.array([["a"] * 5] * 4), np.array([[None] * 5] * 4)):  # fmt: skip
        for name in ("weight_0", "optimizer_2"):
            save_checkpoint(tmp_path / "a", model, optimizer)
            rewritten(tmp_path / "a", **{name: bad})
            before = [v.numpy() for v in [*model.weights, *optimizer.variables]]
            with pytest.raises(CheckpointError, match=f"{name} of "):
                load_checkpoint(tmp_path / "a", model, optimizer)
            for variable, kept in zip([*model.weights, *optimizer.variables], before, strict=True):
                np.testing.assert_array_equal(variable.numpy(), kept)
    save_checkpoint(tmp_path / "a", model, optimizer)
    rewritten(tmp_path / "a", optimizer_0=np.array(-5))
    with pytest.raises(CheckpointError, match=r"count of calls must not be negative\. Received: -5 in"):
        load_checkpoint(tmp_path / "a", model, optimizer)
    save_checkpoint(tmp_path / "a", model)
    rewritten(tmp_path / "a", weight_0=model.get_weights()[0].astype(">f4"), other=np.zeros(3))
    with pytest.raises(CheckpointError, match="state_0 is missing"):
        load_checkpoint(tmp_path / "a", model)


def test_numbers_of_another_byte_order(tmp_path: Path) -> None:
    model = built()
    save_checkpoint(tmp_path / "a", model)
    kernel = model.get_weights()[0]
    rewritten(tmp_path / "a", weight_0=kernel.astype(">f4"))
    model.set_weights([w + 1 for w in model.get_weights()])
    load_checkpoint(tmp_path / "a", model)
    np.testing.assert_array_equal(model.get_weights()[0], kernel)
    assert model.weights[0].data.dtype.isnative


class Asking(Model):
    """Its sublayer builds itself when the model is tried on zeros of the shape that a file says."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


@pytest.mark.parametrize("make", [lambda: Sequential([layers.Dense(2)]), Asking])
@pytest.mark.parametrize("shape", [[None, 10**9], [10**9, 4], [10**5, 10**5, 4], 7, [None], ["a"]])
def test_a_file_cannot_ask_for_more_weights_than_it_brings(tmp_path: Path, make: Any, shape: Any) -> None:
    model = make()
    model.build((None, 4))
    save_checkpoint(tmp_path / "a", model)
    rewritten(tmp_path / "a", header=lambda header: header.update(input_shape=shape))
    other, drawn = make(), generator().bit_generator.state
    if make is not Asking and shape in ([10**9, 4], [10**5, 10**5, 4]):  # nothing of that size is made
        load_checkpoint(tmp_path / "a", other)
        return
    with pytest.raises(CheckpointError, match="the model must be one that can be built as the file says"):
        load_checkpoint(tmp_path / "a", other)
    assert not other.built
    assert other.weights == []
    assert generator().bit_generator.state == drawn


def test_what_would_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    model, path = built(), tmp_path / "a"
    save_checkpoint(path, model, epoch=1)
    cycle: list[Any] = []
    cycle.append(cycle)
    fields = np.zeros(1, [("☃", "f4")])
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    for state in (np.array(["x", None], object), np.zeros(2, [("a", "O")]), masked, cycle, 10**5000, fields):
        with pytest.raises(TypeError, match="save_checkpoint: state must be numbers, strings, arrays without objects"):
            save_checkpoint(path, model, epoch=2, bad=state)
    for many in ({"text": "x" * CHARACTERS}, {"arrays": [np.zeros(1)] * MEMBERS}):
        with pytest.raises(ValueError, match=r"must have less than 8192 arrays.*make long lists of numbers arrays"):
            save_checkpoint(path, model, epoch=2, **many)
    assert load_checkpoint(path, model) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_refused_file_leaves_an_optimizer_unbuilt(tmp_path: Path) -> None:
    model, optimizer = built(), optimizers.Adam()
    optimizer.build(model.trainable_weights)
    save_checkpoint(tmp_path / "a", model, optimizer)
    rewritten(tmp_path / "a", header=lambda h: h["optimizer"]["variables"][3].__setitem__(0, "other"))
    other = optimizers.Adam()
    with pytest.raises(CheckpointError, match="it must be of this optimizer"):
        load_checkpoint(tmp_path / "a", built(), other)
    assert not other.built
    assert len(other.variables) == 2


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there must be a file\. Received: .*nothing, which does not exist"):
        load_checkpoint(tmp_path / "nothing", built())


def test_of_another_model_or_optimizer(tmp_path: Path) -> None:
    path, model, optimizer = tmp_path / "a", built(), optimizers.Adam()
    optimizer.build(model.trainable_weights)
    save_checkpoint(path, model, optimizer)
    short = Sequential([layers.InputLayer((4,)), layers.Dense(5)])
    double = built(first=lambda units: layers.Dense(units, dtype="float64"))
    scheduled = optimizers.Adam(optimizers.schedules.CosineDecay(0.1, 5))
    cases = [
        (built(4), None, r"this model, a Sequential with 4 arrays\. Received: .*a, of 4 arrays; \['kernel', \[5, 3\]"),
        (short, None, r"with 2 arrays\. Received: .*a, of 4 arrays; the first of them are the same"),
        (double, None, r"'float32'\] in the place of .*'float64'"),
        (built(), optimizers.SGD(), r"the state of the optimizer, SGD\. Received: Adam in "),
        (built(), optimizers.Adam(amsgrad=True), r"of this optimizer, Adam with 14 arrays"),
        (built(), scheduled, r"of this optimizer, Adam with 9 arrays\. .*; \['learning_rate', .*'momentum'"),
    ]
    for other, other_optimizer, message in cases:
        before = other.get_weights()
        with pytest.raises(ValueError, match=f"checkpoint: it must .*{message}"):
            load_checkpoint(path, other, other_optimizer)
        for ours, theirs in zip(other.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    save_checkpoint(path, model)
    with pytest.raises(ValueError, match=r"it must hold the state of the optimizer, Adam\. Received: no optimizer in"):
        load_checkpoint(path, model, optimizer)
    save_checkpoint(path, Sequential([layers.InputLayer((4,)), layers.Dropout(0.5, seed=1)]))
    with pytest.raises(ValueError, match=r"as many random streams.*with 2; the model has 1"):
        load_checkpoint(path, Sequential([layers.InputLayer((4,)), layers.Dropout(0.5)]))


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "none" / "a", tmp_path / "file" / "a", tmp_path / "folder"):
        message = r"save_checkpoint: the path must be one that can be written\. Received: "
        with pytest.raises(OSError, match=message):
            save_checkpoint(path, built())
        model = compiled()
        with pytest.raises((OSError, ValueError), match=f"{message}|checkpoint: the file must be a whole one"):
            model.fit(*data(), verbose=0, callbacks=[callbacks.BackupAndRestore(path)])
        assert model.optimizer.iterations == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_state_that_cannot_be_written(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a", built(), epoch=1)
    for state in (object(), {1: 2}, [{"a": {3}}]):
        with pytest.raises(TypeError, match=r"save_checkpoint: state must be numbers, .*Received: state\['bad'\]"):
            save_checkpoint(tmp_path / "a", built(), bad=state)
    assert load_checkpoint(tmp_path / "a", built()) == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def cut_off(folder: Path) -> Path:
    path = folder / "run.ckpt"
    hooks = [callbacks.EarlyStopping("loss"), Crash(7), callbacks.BackupAndRestore(path, 1)]
    model = compiled(metrics=["accuracy"])
    with pytest.raises(ZeroDivisionError):
        model.fit(*data(), batch_size=8, epochs=3, verbose=0, callbacks=hooks)
    return path


def test_fits_that_do_not_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    path = cut_off(tmp_path)
    x, y = data()

    def fit(model: Sequential, x: Any = x, y: Any = y, early: bool = True) -> Any:
        also = [callbacks.EarlyStopping("loss")] if early else []
        return model.fit(
            x, y, batch_size=8, epochs=3, verbose=0, callbacks=[*also, callbacks.BackupAndRestore(path, 1)]
        )

    with pytest.raises(ValueError, match=r"the data must be that of the training so far\. Received: 3 batches"):
        fit(compiled(metrics=["accuracy"]), x[:20], y[:20])
    with pytest.raises(ValueError, match=r"the metrics must be those of the training so far\. Received: \['loss'\]"):
        fit(compiled())
    with pytest.raises(ValueError, match=r"must have the callbacks that it was begun with\. Received: no Early"):
        fit(compiled(metrics=["accuracy"]), early=False)
    with pytest.raises(ValueError, match=r"it must hold the state of the optimizer, SGD\. Received: Adam"):
        fit(compiled(metrics=["accuracy"], optimizer="sgd"))
    assert fit(compiled(metrics=[metrics.SparseCategoricalAccuracy()])).epoch == [0, 1, 2]
    save_checkpoint(path, network())
    with pytest.raises(ValueError, match=r"checkpoint: it must be of a call of fit\. Received: .*without \['batch', "):
        fit(compiled(metrics=["accuracy"]))


def test_the_checkpoint_may_stay(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    model = compiled()
    keep = callbacks.BackupAndRestore(path, delete_checkpoint=False)
    model.fit(*data(), epochs=2, verbose=0, callbacks=[keep])
    weights = model.get_weights()
    history = model.fit(*data(), epochs=2, verbose=0, callbacks=[keep])  # all is done already
    assert history.epoch == [0, 1]
    for ours, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert model.fit(*data(), epochs=3, verbose=0, callbacks=[keep]).epoch == [0, 1, 2]


@pytest.mark.parametrize("save_freq", [0, -1, 2.5, "batch", True])
def test_bad_frequencies(save_freq: Any) -> None:
    with pytest.raises(ValueError, match="Unrecognized save_freq"):
        callbacks.BackupAndRestore("a", save_freq)
    with pytest.raises(ValueError, match="filepath must not be empty"):
        callbacks.BackupAndRestore("")


# ---------------------------------------------------------------------- files of before


def test_a_checkpoint_of_before() -> None:
    model, optimizer = golden.network(), optimizers.Adam(0.25)
    state = load_checkpoint(golden.HERE / "checkpoint_1.ckpt", model, optimizer)
    for ours, expected in zip(model.get_weights(), golden.filled(model.weights), strict=True):
        np.testing.assert_array_equal(ours, expected)
    for variable, expected in zip(optimizer.variables, golden.filled(optimizer.variables, 3), strict=True):
        np.testing.assert_array_equal(variable.numpy(), expected)
    for name, stream in golden.streams().items():
        found = state.pop(name)
        assert type(found.bit_generator).__name__ == name
        for _ in range(700):
            assert found.integers(9, dtype="uint32") == stream.integers(9, dtype="uint32")
    with np.load(golden.HERE / "checkpoint_1.npz") as after:
        assert generator().random() == after["drawn"]
    assert list(state) == list(golden.STATE)
    for name, expected in golden.STATE.items():
        if isinstance(expected, np.ndarray):
            assert state[name].dtype == expected.dtype
            np.testing.assert_array_equal(state[name], expected)
        else:
            assert state[name] == expected
            assert type(state[name]) is type(expected)


def test_a_training_of_before_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    path.write_bytes((golden.HERE / "checkpoint_1_run.ckpt").read_bytes())
    model, history = golden.trained(path)
    assert model.optimizer.iterations == 12
    with np.load(golden.HERE / "checkpoint_1.npz") as after:
        np.testing.assert_allclose(history.history["loss"], after["loss"], rtol=1e-6)
        for i, ours in enumerate(model.get_weights()):
            np.testing.assert_allclose(ours, after[f"arr_{i}"], rtol=1e-4, atol=1e-6)


def test_moving_weights_that_were_float16(tmp_path: Path) -> None:
    def model() -> Sequential:
        model = Sequential([layers.BatchNormalization(dtype="float16")])
        model.build((None, 2))
        return model

    former, now = model(), model()
    for name, values in (("moving_mean", [1.5, -2.0]), ("moving_variance", [4.0, 0.25])):
        variable = Variable(np.array(values, "float16"), "float16", trainable=False, name=name)
        setattr(former.layers[0], name, variable)
    save_checkpoint(tmp_path / "half.ckpt", former)
    load_checkpoint(tmp_path / "half.ckpt", now)
    assert [str(weight.dtype) for weight in now.weights] == ["float16"] * 2 + ["float32"] * 2
    assert now.layers[0].moving_mean.tolist() == [1.5, -2.0]
    assert now.layers[0].moving_variance.tolist() == [4.0, 0.25]
