"""Callbacks: Keras's decisions on recorded sequences, files, progress, and hooks."""

from __future__ import annotations

import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Sequential, callbacks, layers, optimizers, set_random_seed
from minigrad.callbacks import progress
from minigrad.callbacks.callback import HOOKS, Floats
from minigrad.saving import load_checkpoint

with np.load(Path(__file__).parent / "golden" / "training.npz") as archive:
    GOLDEN = {name: json.loads(str(archive[name])) for name in ("callbacks", "sequences", "tables")}


class Optimizer:
    learning_rate = 0.1


class Stand:
    """As much of a model as callbacks touch; its weights are the number of the epoch."""

    def __init__(self) -> None:
        self.stop_training = False
        self.optimizer = Optimizer()
        self.weights = [np.zeros(1)]
        self.metrics: list[Any] = []

    def get_weights(self) -> list[np.ndarray]:
        return [w.copy() for w in self.weights]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.weights = weights


def replayed(
    name: str, config: dict[str, Any], values: list[float | None], monkeypatch: pytest.MonkeyPatch, cut: int = -1
) -> list[Any]:
    """What a callback has done after each epoch of 3 batches, and at the end; at ``cut`` another one takes over."""
    model, told, saved = Stand(), [], []
    monkeypatch.setattr(
        callbacks.files, "save_checkpoint", lambda path, *args, **kwargs: saved.append(Path(path).name)
    )
    callback = getattr(callbacks, name)(**config)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        if epoch == cut:
            former, callback = callback, getattr(callbacks, name)(**config)
            callback.set_model(model)
            callback.on_train_begin()
            callback.set_state(former.get_state())
        callback.on_epoch_begin(epoch)
        for batch in range(3):
            callback.on_train_batch_end(batch, {"loss": 0.5})
        model.weights = [np.full(1, epoch)]
        callback.on_epoch_end(epoch, {"loss": 0.5} | ({} if value is None else {"val_loss": value}))
        told.append([model.optimizer.learning_rate, getattr(callback, "wait", 0), len(saved)])
        if model.stop_training:
            break
    callback.on_train_end()
    return [*told, model.weights[0][0], saved]


def case_name(case: dict[str, Any]) -> str:
    config = ",".join(f"{name}={value}" for name, value in case["config"].items())
    return f"{case['callback']}-{config}-{case['sequence']}"


@pytest.mark.parametrize("cut", [-1, 3])
@pytest.mark.parametrize("case", GOLDEN["callbacks"], ids=case_name)
@pytest.mark.filterwarnings("ignore:.*available")
def test_keras(case: dict[str, Any], cut: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    *told, weights, saved = replayed(
        case["callback"], case["config"], GOLDEN["sequences"][case["sequence"]], monkeypatch, cut
    )
    *expected, expected_weights, expected_saved = case["told"]
    assert len(told) == len(expected)
    for ours, theirs in zip(told, expected, strict=True):
        assert ours[0] == pytest.approx(theirs[0], rel=1e-12)
        assert ours[1:] == theirs[1:]
    assert weights == expected_weights
    assert saved == expected_saved


@pytest.mark.parametrize("case", GOLDEN["tables"], ids=lambda case: f"{len(case['logs'][0])}-{case['config']}")
def test_tables(case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for _ in range(1 + case["config"].get("append", False)):
        logger = callbacks.CSVLogger(path, **case["config"])
        logger.on_train_begin()
        for epoch, logs in enumerate(case["logs"]):
            logger.on_epoch_end(epoch, logs)
        logger.on_train_end()
    assert path.read_bytes().decode() == case["text"]


def test_a_table_is_written_anew_only_when_there_is_something(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("old\n")
    logger = callbacks.CSVLogger(path)
    logger.on_train_begin()
    assert path.read_text() == "old\n"
    logger.on_epoch_end(0, {"loss": 1.0})
    assert path.read_text().splitlines()[1:] == ["0,1.0,NA"]


def test_a_table_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"CSVLogger: filename must be one that can be written\. Received: "):
        callbacks.CSVLogger(tmp_path / "none" / "log.csv").on_train_begin()


# ---------------------------------------------------------------------- what is watched


@pytest.mark.parametrize("name", ["EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint"])
def test_warnings_about_what_is_watched(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"filepath": tmp_path / "a", "save_best_only": True} if name == "ModelCheckpoint" else {}
    with pytest.warns(UserWarning, match=f"{name} mode 'least' is unknown, fallback to auto mode"):
        getattr(callbacks, name)(mode="least", **config)
    with pytest.warns(UserWarning, match="available"):
        replayed(name, config, [None], monkeypatch)
    callback = getattr(callbacks, name)(monitor="val_f1", **config)
    callback.set_model(Stand())
    callback.on_epoch_end(0, {"val_f1": 0.5})
    with pytest.raises(ValueError, match=f"{name} callback received monitor=val_f1, but it is not known whether"):
        callback.on_epoch_end(1, {"val_f1": 0.5})


def model() -> Sequential:
    set_random_seed(0)
    network = Sequential([layers.Dense(3, "softmax")])
    network.compile(optimizers.SGD(0.1), "sparse_categorical_crossentropy", ["accuracy"])
    return network


X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
Y = np.arange(20) % 3


def fit(*hooks: Any, network: Sequential | None = None, **kwargs: Any) -> tuple[Sequential, callbacks.History]:
    network = network or model()
    arguments = {"epochs": 3, "batch_size": 8, "verbose": 0} | kwargs
    return network, network.fit(X, Y, callbacks=list(hooks), **arguments)


def test_the_direction_of_metrics_is_known() -> None:
    stopping = callbacks.EarlyStopping("val_accuracy", patience=100)
    fit(stopping, validation_split=0.5)
    assert stopping.improves(0.6, 0.5)
    stopping = callbacks.EarlyStopping("loss")
    fit(stopping)
    assert stopping.improves(0.5, 0.6)


def test_the_right_weights_are_restored() -> None:
    class Keep(callbacks.Callback):
        def __init__(self) -> None:
            self.weights: list[Any] = []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.weights.append(self.model.get_weights())

    keep = Keep()
    stopping = callbacks.EarlyStopping("loss", mode="max", patience=2, restore_best_weights=True, verbose=1)
    network, history = fit(keep, stopping, epochs=9)
    assert history.epoch == [0, 1, 2]
    assert stopping.best_epoch == 0
    for ours, theirs in zip(network.get_weights(), keep.weights[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(keep.weights[0][0], keep.weights[1][0])


def test_messages(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fit(
        callbacks.EarlyStopping("loss", mode="max", patience=1, restore_best_weights=True, verbose=1),
        callbacks.ReduceLROnPlateau("loss", mode="max", patience=1, verbose=1, factor=0.5),
        callbacks.LearningRateScheduler(lambda epoch: 0.25 / (epoch + 1), verbose=1),
        callbacks.ModelCheckpoint(tmp_path / "{epoch}", "loss", save_best_only=True, verbose=1, mode="max"),
        callbacks.ModelCheckpoint(tmp_path / "all{epoch}", verbose=1),
    )
    told = capsys.readouterr().out
    for line in (
        "Epoch 2: early stopping", "Restoring model weights from the end of the best epoch: 1.",
        "Epoch 1: LearningRateScheduler setting learning rate to 0.25.",
        "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.0625.", "Epoch 1: loss improved from None to ",
        "Epoch 2: loss did not improve from ", f"Epoch 2: saving model to {tmp_path / 'all2'}",
    ):
        assert line in told


# ---------------------------------------------------------------------- the learning rate


def test_schedules() -> None:
    network, history = fit(callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5))
    assert history.history["learning_rate"] == [0.05, 0.025, 0.0125]
    _, history = fit(callbacks.LearningRateScheduler(lambda epoch: np.float32(epoch + 1)))
    assert history.history["learning_rate"] == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match=r"The output of the `schedule` function should be a float\. Got: 1"):
        fit(callbacks.LearningRateScheduler(lambda epoch: 1))
    network.compile(optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 5)), "sparse_categorical_crossentropy")
    with pytest.raises(TypeError, match=r"LearningRateScheduler: .*made with a schedule is not settable"):
        fit(callbacks.LearningRateScheduler(lambda epoch: 0.1), network=network)


def test_a_factor_that_lets_nothing_fall() -> None:
    with pytest.raises(ValueError, match=r"does not support a factor >= 1\.0\. Received factor=1\.5"):
        callbacks.ReduceLROnPlateau(factor=1.5)


# ---------------------------------------------------------------------- the model on disk


def test_saved_models(tmp_path: Path) -> None:
    network, _ = fit(
        callbacks.ModelCheckpoint(tmp_path / "new" / "{epoch:02d}-{accuracy:.0f}-{loss:.0f}.ckpt"),
        callbacks.ModelCheckpoint(tmp_path / "weights", save_weights_only=True),
        callbacks.ModelCheckpoint(tmp_path / "steps-{epoch}-{batch}", save_freq=4),
    )
    assert sorted(path.name[:2] for path in (tmp_path / "new").iterdir()) == ["01", "02", "03"]
    assert {path.name for path in tmp_path.glob("steps*")} == {"steps-2-1", "steps-3-2"}
    twin = model()
    assert load_checkpoint(tmp_path / "weights", twin) == {"epoch": 3}
    np.testing.assert_array_equal(twin.predict(X), network.predict(X))
    with pytest.raises(ValueError, match="no optimizer in"):
        load_checkpoint(tmp_path / "weights", twin, twin.optimizer)
    load_checkpoint(next((tmp_path / "new").glob("03*")), twin, twin.optimizer)
    assert twin.optimizer.iterations == 9


def test_a_name_of_a_file_with_unknown_logs(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"Failed to format this callback filepath: .*val_foo"):
        fit(callbacks.ModelCheckpoint(tmp_path / "{val_foo:.2f}"))
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- losses that are no numbers


class Spoil(callbacks.Callback):
    """Weights that are no numbers, from the second step on."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            self.model.weights[0].assign(self.model.weights[0].numpy() * np.nan)


def test_a_loss_that_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    network, history = fit(Spoil(), callbacks.TerminateOnNaN())
    assert network.optimizer.iterations == 2
    assert capsys.readouterr().out == "Batch 1: Invalid loss, terminating training\n"
    assert history.epoch == [0]
    with pytest.raises(RuntimeError, match=r"NaN or Inf loss encountered at batch 1\. Loss value: nan\."):
        fit(Spoil(), callbacks.TerminateOnNaN(raise_error=True))


# ---------------------------------------------------------------------- hooks


class Told(callbacks.Callback):
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __getattribute__(self, name: str) -> Any:
        if name in HOOKS:
            return lambda *args: self.calls.append((name.removeprefix("on_"), *args[:-1]))
        return super().__getattribute__(name)


def test_the_order_of_hooks() -> None:
    told = Told()
    network, _ = fit(told, epochs=1, batch_size=10, validation_data=(X[:3], Y[:3]))
    step = [("train_batch_begin", 0), ("train_batch_end", 0), ("train_batch_begin", 1), ("train_batch_end", 1)]
    test = [("test_begin",), ("test_batch_begin", 0), ("test_batch_end", 0), ("test_end",)]
    assert told.calls == [("train_begin",), ("epoch_begin", 0), *step, *test, ("epoch_end", 0), ("train_end",)]
    assert told.params == {"verbose": 0, "epochs": 1, "steps": 2}
    told = Told()
    network.evaluate(X[:3], Y[:3], verbose=0, callbacks=told)
    network.predict(X[:3], verbose=0, callbacks=[told])
    predict = [("predict_begin",), ("predict_batch_begin", 0), ("predict_batch_end", 0), ("predict_end",)]
    assert told.calls == [*test, *predict]


def test_logs_of_batches_are_floats_and_those_of_epochs_a_dict() -> None:
    seen: list[Any] = []
    _, history = fit(callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append({**logs}),
        on_epoch_end=lambda epoch, logs: seen.append(logs), on_predict_end=None,
    ), epochs=1)  # fmt: skip
    assert [sorted(logs) for logs in seen] == [["accuracy", "loss"]] * 4
    assert all(type(value) is float for logs in seen for value in logs.values())
    assert type(seen[-1]) is dict
    assert seen[-1] == seen[-2] == {name: values[0] for name, values in history.history.items()}


def test_older_names_of_hooks() -> None:
    class Old(callbacks.Callback):
        seen = 0

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen += logs["loss"] > 0

    old = Old()
    fit(old)
    assert old.seen == 9


def test_logs_that_a_callback_adds() -> None:
    _, history = fit(callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(twice=2 * epoch)))
    assert history.history["twice"] == [0, 2, 4]


def test_logs_are_read_only_when_looked_at() -> None:
    class Unread:
        shape = ()

        def __float__(self) -> float:
            raise ZeroDivisionError

    logs = Floats({"loss": Unread(), "n": 3, "outputs": [1]})
    assert (logs["n"], logs["outputs"], len(logs)) == (3, [1], 3)
    with pytest.raises(ZeroDivisionError):
        logs["loss"]


@pytest.mark.parametrize("given", [[3], "abc", [callbacks.EarlyStopping]])
def test_what_is_no_callback(given: Any) -> None:
    with pytest.raises(TypeError, match=r"callbacks: each must be a Callback\. Received: "):
        model().fit(X, Y, callbacks=given)


def test_lambdas_that_are_no_hooks() -> None:
    for hooks in ({"on_epoch": print}, {"on_epoch_end": 3}):
        with pytest.raises(TypeError, match="LambdaCallback: functions must be given by names of hooks"):
            callbacks.LambdaCallback(**hooks)


# ---------------------------------------------------------------------- history


def test_history() -> None:
    _, history = fit(validation_split=0.25)
    assert history.epoch == [0, 1, 2]
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert repr(history).startswith("<History epochs=3, loss=")
    table = history._repr_html_()
    assert table.count("<tr>") == 4
    assert "<th>val_accuracy</th>" in table
    assert history.model is None  # who keeps the history does not keep the model
    for _ in range(20):
        history.on_epoch_end(7, dict.fromkeys(history.history, 0.5))
    history.history["<rare>"] = [1.0]
    assert history._repr_html_().count("<tr>") == 1 + 5 + 1 + 5
    assert "rare" not in history._repr_html_()


# ---------------------------------------------------------------------- progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def looked_at(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal in the place of the standard error; called in the test, for pytest puts its own there before."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "REFRESH", 0.0)
    return screen


def test_silence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = looked_at(monkeypatch)
    network, _ = fit(verbose=0, validation_split=0.5)
    network.evaluate(X, Y, verbose=0)
    network.predict(X, verbose=0)
    assert (terminal.getvalue(), capsys.readouterr().out) == ("", "")


def test_a_bar_in_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = looked_at(monkeypatch)
    network, _ = fit(verbose="auto", validation_split=0.5, epochs=2)
    shown = terminal.getvalue()
    assert capsys.readouterr().out == ""
    for part in ("epoch 1/2", "epoch 2/2", "4/4", "100%", "loss: ", "accuracy: ", "val_loss: "):
        assert part in shown
    assert shown.endswith("\n")
    assert shown.count("\n") == 1  # one line for all
    network.evaluate(X, Y)
    network.predict(X)
    assert "evaluate: " in terminal.getvalue()
    assert "predict: " in terminal.getvalue()


def test_a_bar_of_unknown_length(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = looked_at(monkeypatch)
    network = model()
    network.fit(lambda epoch: iter([(X, Y)] * 3), epochs=2, verbose=1)
    assert "6batch" in terminal.getvalue()


def test_a_bar_is_closed_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = looked_at(monkeypatch)
    def fail(batch: int, logs: Any) -> None:
        if batch == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(callbacks.LambdaCallback(on_train_batch_begin=fail), verbose=1)
    assert terminal.getvalue().endswith("\n")


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
def test_one_line_an_epoch_elsewhere(verbose: Any, capsys: pytest.CaptureFixture[str]) -> None:
    network, _ = fit(verbose=verbose, validation_split=0.5, epochs=2)
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert shown.err == ""
    assert "\r" not in shown.out
    assert [line[:10] for line in lines] == ["Epoch 1/2 ", "Epoch 2/2 "]
    assert all(f" - {name}: " in line for line in lines for name in ("loss", "accuracy", "val_loss", "val_accuracy"))
    network.evaluate(X, Y, verbose=verbose)
    assert capsys.readouterr().out.startswith("loss: ")


def test_lines_where_tqdm_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = looked_at(monkeypatch)
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: None)
    fit(verbose=1, epochs=1)
    assert capsys.readouterr().out.startswith("Epoch 1/1 - ")
    assert terminal.getvalue() == ""


def test_two_means_lines_in_a_terminal_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = looked_at(monkeypatch)
    fit(verbose=2, epochs=1)
    assert capsys.readouterr().out.startswith("Epoch 1/1 - ")
    assert terminal.getvalue() == ""


def test_a_notebook_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress.level("auto") == 2
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert progress.level("auto") == 1


def test_numbers_small_and_large() -> None:
    logs = {"a": 0.5, "b": 1e-6, "c": 123456.0, "d": 0.0, "e": float("nan"), "f": "x", "g": 3}
    expected = "a: 0.5000 - b: 1.000e-06 - c: 1.235e+05 - d: 0.0000 - e: nan - f: x - g: 3.0000"
    assert progress.shown(logs) == expected


@pytest.mark.parametrize("verbose", [3, "yes", None, 1.5])
def test_bad_verbosity(verbose: Any) -> None:
    with pytest.raises(ValueError, match=r"verbose: must be 'auto', 0, 1 or 2\. Received: verbose="):
        fit(verbose=verbose)


def test_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(callbacks.EarlyStopping("loss"), verbose=0)


# ---------------------------------------------------------------------- what is never the best, and what is too late


NAN = float("nan")


def epochs_of(name: str, values: list[float | None], monkeypatch: pytest.MonkeyPatch, **config: Any) -> list[Any]:
    """The learning rate, the wait and the number of saved models after each epoch; the weights and files at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return replayed(name, config, values, monkeypatch)


@pytest.mark.parametrize("first", [[NAN], [NAN, NAN, NAN], [None, NAN]])
def test_nan_is_never_the_best(first: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With NaN first, everything goes on as if those epochs had been bad ones."""
    monkeypatch.chdir(tmp_path)
    n = len(first)
    *told, weights, _ = epochs_of(
        "EarlyStopping", [*first, 0.75, 0.5, 0.625, NAN, 0.7], monkeypatch, patience=4, restore_best_weights=True
    )
    assert [wait for _, wait, _ in told][n:] == [0, 0, 1, 2, 3]
    assert weights == n + 1
    *told, _, _ = epochs_of("ReduceLROnPlateau", [*first, 0.5, 0.25, NAN, NAN], monkeypatch, patience=9)
    assert [wait for _, wait, _ in told][n:] == [0, 0, 1, 2]
    config = {"filepath": "{epoch}", "save_best_only": True}
    *_, saved = epochs_of("ModelCheckpoint", [*first, 0.5, NAN, 0.25], monkeypatch, **config)
    assert saved == [f"{n + 1}", f"{n + 3}"]


def test_a_threshold_that_is_nan_in_an_older_state(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = callbacks.EarlyStopping("loss", mode="min", patience=3)
    stopping.set_model(Stand())
    stopping.set_state({"best": NAN})
    stopping.on_epoch_end(0, {"loss": 5.0})
    assert (stopping.best, stopping.wait) == (5.0, 0)


def test_no_weights_of_an_epoch_with_nan_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    *told, weights, _ = epochs_of("EarlyStopping", [NAN] * 9, monkeypatch, patience=3, restore_best_weights=True)
    assert len(told) == 3
    assert weights == 2  # those of the last epoch, as they were


@pytest.mark.parametrize(("values", "patience", "baseline", "epochs"), [
    ([9.0, 7.0, 5.0, 3.0, 2.0], 3, 1.0, 3),  # better every time, but never than the baseline
    ([9.0, 7.0, 0.5, 0.75, 0.625, 0.25], 3, 1.0, 6),  # two bad ones, a good one, two bad ones, a good one
    ([9.0, 0.5, 0.75, 0.625, 0.6, 0.25], 3, 1.0, 5),
    ([2.0, 1.0], 1, 0.5, 1), ([2.0, 1.0], 0, 0.5, 1), ([0.25, 0.125, 2.0, 3.0], 1, 0.5, 3),
    ([1.0, 1.0, 0.25], 3, 1.0, 3),  # as good as the baseline is not better
])  # fmt: skip
def test_epochs_must_beat_the_best_and_the_baseline(
    values: list[float | None], patience: int, baseline: float, epochs: int, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for sign, mode in ((1.0, "min"), (-1.0, "max")):
        told = epochs_of(
            "EarlyStopping", [sign * value for value in values if value is not None], monkeypatch, patience=patience,
            baseline=sign * baseline, mode=mode, verbose=1,
        )
        assert len(told) - 2 == epochs
        stopped = told[epochs - 1][1] >= max(patience, 1)
        assert (f"Epoch {epochs}: early stopping\n" == capsys.readouterr().out) == stopped


@pytest.mark.parametrize(("name", "config", "message"), [
    ("EarlyStopping", {"patience": -1}, r"patience: must be an integer >= 0\. Received: patience=-1"),
    ("EarlyStopping", {"patience": 1.5}, "patience: must be an integer >= 0"),
    ("EarlyStopping", {"patience": True}, "patience: must be an integer >= 0"),
    ("EarlyStopping", {"patience": None}, "patience: must be an integer >= 0"),
    ("EarlyStopping", {"start_from_epoch": -1}, "start_from_epoch: must be an integer >= 0"),
    ("EarlyStopping", {"min_delta": NAN}, "min_delta: expected a finite number"),
    ("EarlyStopping", {"min_delta": "0"}, "min_delta: expected a finite number"),
    ("EarlyStopping", {"baseline": NAN}, "baseline: expected a finite number"),
    ("EarlyStopping", {"baseline": "0.5"}, "baseline: expected a finite number"),
    ("EarlyStopping", {"monitor": None}, "monitor: must be the name of a log"),
    ("ReduceLROnPlateau", {"patience": "1"}, "patience: must be an integer >= 0"),
    ("ReduceLROnPlateau", {"cooldown": -1}, "cooldown: must be an integer >= 0"),
    ("ReduceLROnPlateau", {"factor": 0.0}, "ReduceLROnPlateau: factor must be above 0"),
    ("ReduceLROnPlateau", {"factor": -0.5}, "ReduceLROnPlateau: factor must be above 0"),
    ("ReduceLROnPlateau", {"factor": NAN}, "factor: expected a finite number"),
    ("ReduceLROnPlateau", {"factor": None}, "factor: expected a finite number"),
    ("ReduceLROnPlateau", {"min_lr": -0.1}, "min_lr must not be negative"),
    ("ReduceLROnPlateau", {"min_lr": None}, "min_lr: expected a finite number"),
    ("ModelCheckpoint", {"filepath": "a", "initial_value_threshold": NAN}, "initial_value_threshold: expected a"),
    ("CSVLogger", {"filename": "a", "separator": ""}, "CSVLogger: separator must be one character"),
    ("CSVLogger", {"filename": "a", "separator": 3}, "CSVLogger: separator must be one character"),
    ("CSVLogger", {"filename": "a", "separator": "\n"}, "CSVLogger: separator must be one character"),
])  # fmt: skip
def test_arguments_are_checked_when_it_is_made(name: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(callbacks, name)(**config)


def test_what_is_no_schedule() -> None:
    with pytest.raises(TypeError, match=r"LearningRateScheduler: schedule must be a function\. Received: sched"):
        callbacks.LearningRateScheduler(0.1)
    with pytest.raises(ValueError, match=r"learning_rate: a learning rate must be a finite number"):
        fit(callbacks.LearningRateScheduler(lambda epoch: NAN))


@pytest.mark.parametrize("callback", [
    callbacks.ReduceLROnPlateau("loss"), callbacks.LearningRateScheduler(lambda epoch: 0.1),
])  # fmt: skip
def test_a_schedule_of_the_optimizer_is_refused_before_the_first_step(callback: Any) -> None:
    network = model()
    network.compile(optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 5)), "sparse_categorical_crossentropy")
    with pytest.raises(TypeError, match=rf"^{type(callback).__name__}: .*made with a schedule is not settable"):
        fit(callback, network=network)
    assert network.optimizer.iterations == 0


@pytest.mark.parametrize("epoch", [-1, 1.0, "1", None, True])
def test_the_first_epoch_is_checked(epoch: Any) -> None:
    network = model()
    with pytest.raises(ValueError, match=r"initial_epoch: must be an integer >= 0\. Received: initial_epoch="):
        fit(network=network, initial_epoch=epoch)
    _, history = fit(network=network, initial_epoch=np.int64(1))
    assert history.epoch == [1, 2]


@pytest.mark.parametrize("log", ["high", [0.5, 0.25], np.ones(2), {}])
def test_what_is_watched_must_be_a_number(log: Any) -> None:
    stopping = callbacks.EarlyStopping("f1", mode="max")
    stopping.set_model(Stand())
    with pytest.raises(TypeError, match=r"EarlyStopping: the log 'f1' must be a number\. Received: "):
        stopping.on_epoch_end(0, {"f1": log})
    stopping.on_epoch_end(0, {"f1": np.float32(0.5)})
    assert stopping.best == 0.5


def test_the_best_alone_is_saved_only_where_it_is_known(tmp_path: Path) -> None:
    saver = callbacks.ModelCheckpoint(tmp_path / "{epoch}-{batch}", save_best_only=True, save_freq=2)
    with pytest.warns(UserWarning, match=r"Can save best model only with val_loss available\. Nothing is saved with"):
        fit(saver, validation_data=(X, Y))
    assert list(tmp_path.iterdir()) == []
    saver = callbacks.ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True, mode="max", monitor="told")
    told = [2.0, None, NAN, 3.0]
    speaker = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update({} if told[epoch] is None else {"told": told[epoch]})
    )
    with pytest.warns(UserWarning, match=r"Nothing is saved without it\. Available metrics are: loss,accuracy"):
        fit(speaker, saver, epochs=4)
    assert {path.name for path in tmp_path.iterdir()} == {"1", "4"}
    assert saver.best == 3.0


# ---------------------------------------------------------------------- tables with other columns


def logged(path: Path, rows: list[dict[str, Any]], first: int = 0, **config: Any) -> callbacks.CSVLogger:
    logger = callbacks.CSVLogger(path, **config)
    logger.on_train_begin()
    for epoch, logs in enumerate(rows, first):
        logger.on_epoch_end(epoch, logs)
    logger.on_train_end()
    return logger


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_follow_the_header_that_is_there(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(separator.join(["epoch", "val_loss", "loss"]) + "\n" + separator.join(["0", "2.0", "1.0"]) + "\n")
    logged(path, [{"loss": 0.5, "val_loss": 0.75}, {"loss": 0.25}], 1, append=True, separator=separator)
    rows = [line.split(separator) for line in path.read_text().splitlines()]
    assert rows == [["epoch", "val_loss", "loss"], ["0", "2.0", "1.0"], ["1", "0.75", "0.5"], ["2", "NA", "0.25"]]


@pytest.mark.parametrize("append", [False, True])
def test_a_log_that_comes_later_is_a_column_of_its_own(append: bool, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rows: list[dict[str, Any]] = [
        {"loss": 0.5, "val_loss": 1.0}, {"loss": 0.25, "rate": 0.1}, {"a,b": "x", "rate": 0.2},
    ]  # fmt: skip
    if append:
        logged(path, rows[:1])
        logged(path, rows[1:], 1, append=True)
    else:
        logged(path, rows)
    assert path.read_bytes().decode() == (
        'epoch,loss,val_loss,rate,"a,b"\r\n0,0.5,1.0,NA,NA\r\n1,0.25,NA,0.1,NA\r\n2,NA,NA,0.2,x\r\n'
    )
    assert [file.name for file in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.parametrize("append", [False, True])
def test_a_training_taken_up_from_before_a_column_came(append: bool, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    if append:
        logged(path, [{"loss": 4.0, "val_loss": 2.0}])
    logger = logged(path, [{"loss": 0.5, "val_loss": 1.0}], append=append)
    state, before = logger.get_state(), path.read_bytes()
    logger.on_epoch_end(1, {"loss": 0.25, "rate": 0.1})
    again = callbacks.CSVLogger(path, append=append)
    again.on_train_begin()
    again.set_state(state)
    assert path.read_bytes() == before
    again.on_epoch_end(1, {"loss": 0.125})
    assert path.read_bytes() == before + b"1,0.125,NA\r\n"


def test_a_file_without_a_header_is_refused_before_the_first_step(tmp_path: Path) -> None:
    path, network = tmp_path / "log.csv", model()
    path.write_text("0;0.5\n")
    with pytest.raises(ValueError, match=r"^CSVLogger: a file to append to must begin with a header, .*Received"):
        fit(callbacks.CSVLogger(path, append=True), network=network)
    assert (path.read_text(), network.optimizer.iterations) == ("0;0.5\n", 0)
    path.write_text("")
    logged(path, [{"loss": 0.5}], append=True)
    assert path.read_text().splitlines() == ["epoch,loss,val_loss", "0,0.5,NA"]
