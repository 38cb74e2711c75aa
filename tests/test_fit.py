"""fit, evaluate and predict: against a loop by hand, with weights, validation, iterables, and what is refused."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import (
    Layer,
    Model,
    Sequential,
    Tensor,
    callbacks,
    clear_session,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    set_random_seed,
    settings,
)
from minigrad.data import batches

rng = np.random.default_rng(0)
X = rng.normal(size=(22, 6, 3)).astype("float32")
LABELS = rng.integers(0, 4, 22)
with np.load(Path(__file__).parent / "golden" / "training.npz") as archive:
    GOLDEN = dict(archive)
FITS = json.loads(str(GOLDEN["fits"]))
for _logs in [FITS[1]["logs"]["history"], FITS[1]["logs"]["evaluate"]]:  # Keras broadcasts a column of labels to six
    for _name in ("mae", "val_mae"):  # outputs for this metric; here it is refused
        _logs.pop(_name, None)
FITS[1]["metrics"].remove("mae")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    clear_session()
    set_random_seed(0)
    yield
    settings.set_floatx("float32")


def network(**kwargs: Any) -> Sequential:
    return Sequential([
        layers.SeparableConv1D(5, 3, activation="relu", pointwise_regularizer="l2"), layers.Dropout(0.3, **kwargs),
        layers.BatchNormalization(), layers.GlobalAveragePooling1D(), layers.Dense(4),
    ])  # fmt: skip


def crossentropy() -> losses.Loss:
    return losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(**kwargs: Any) -> Sequential:
    model = network(**kwargs)
    model.compile(optimizers.Adam(0.01), crossentropy(), ["accuracy"])
    return model


def test_fit_is_the_loop() -> None:
    """Without shuffling, fit makes the same steps as a loop by hand, to the last bit."""
    model, twin = compiled(seed=1), network(seed=1)
    model.build((None, 6, 3))
    twin.build((None, 6, 3))
    twin.set_weights(model.get_weights())
    history = model.fit(X, LABELS, batch_size=8, epochs=3, shuffle=False, verbose=0)

    optimizer, loss_of = optimizers.Adam(0.01), crossentropy()
    for epoch in range(3):
        total = hits = 0.0
        for x, y in batches(X, LABELS, 8):
            scores = twin(Tensor(x), training=True)
            loss = loss_of(y, scores) + sum(twin.losses)
            loss.backward()
            optimizer.step(twin.trainable_weights)
            total += loss.item() * len(y)
            hits += int((scores.argmax(-1).numpy() == y).sum())
        assert history.history["loss"][epoch] == pytest.approx(total / 22, rel=1e-7)
        assert history.history["accuracy"][epoch] == pytest.approx(hits / 22, rel=1e-12)
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert history.epoch == [0, 1, 2]


# ---------------------------------------------------------------------- Keras


def in_keras(i: int) -> tuple[Sequential, callbacks.History]:
    """The training that Keras has done, with the same weights at the start."""
    settings.set_floatx("float64")
    case = FITS[i]
    penalty = regularizers.L2(case["l2"]) if "l2" in case else None
    model = Sequential([
        layers.InputLayer((5,)), layers.Dense(4, "tanh", kernel_regularizer=penalty),
        layers.Dense(case["units"], case["activation"]),
    ])  # fmt: skip
    optimizer = optimizers.SGD(0.25, momentum=0.5, **case.get("optimizer", {}))
    model.compile(optimizer, case["loss"], case["metrics"], case.get("weighted"))
    model.set_weights([GOLDEN[f"before_{i}_{j}"] for j in range(4)])
    hooks = [getattr(callbacks, name)(**config) for name, config in case.get("callbacks", [])]
    if "decay" in case:
        hooks.append(callbacks.LearningRateScheduler(lambda epoch, rate: rate * case["decay"]))
    weights = {int(label): weight for label, weight in case.get("class_weight", {}).items()} or None
    history = model.fit(
        GOLDEN["x"], GOLDEN[case["y"]], shuffle=False, verbose=0, callbacks=hooks, class_weight=weights,
        sample_weight=GOLDEN["weights"] if case.get("weights") else None, **case["fit"],
    )
    return model, history


@pytest.mark.parametrize("i", range(len(FITS)))
def test_keras(i: int) -> None:
    model, history = in_keras(i)
    expected = FITS[i]["logs"]
    assert history.epoch == expected["epoch"]
    assert set(history.history) == set(expected["history"])
    for name, values in expected["history"].items():
        assert history.history[name] == pytest.approx(values, rel=1e-6), name
    for j, weight in enumerate(model.get_weights()):
        # Keras keeps learning rates in float32
        np.testing.assert_allclose(weight, GOLDEN[f"after_{i}_{j}"], rtol=1e-5, atol=1e-7)
    found = model.evaluate(GOLDEN["x"], GOLDEN[FITS[i]["y"]], verbose=0, return_dict=True)
    assert found == pytest.approx(expected["evaluate"], rel=1e-5)


# ---------------------------------------------------------------------- data of every kind


def test_the_shuffle_follows_the_seed() -> None:
    def weights(seed: int, **kwargs: Any) -> Any:
        set_random_seed(seed)
        model = compiled(seed=1)
        model.fit(X, LABELS, batch_size=8, epochs=2, verbose=0, **kwargs)
        return model.get_weights()[0]

    np.testing.assert_array_equal(weights(5), weights(5))
    assert not np.array_equal(weights(5), weights(6))
    assert not np.array_equal(weights(5), weights(5, shuffle=False))


def test_batches_from_an_iterable() -> None:
    """The same steps whether fit cuts the arrays or somebody else does."""
    def weights(*args: Any, **kwargs: Any) -> Any:
        set_random_seed(0)
        model = compiled(seed=1)
        history = model.fit(*args, epochs=2, verbose=0, **kwargs)
        return [*model.get_weights(), np.array(history.history["val_loss"])]

    cut = list(batches(X, LABELS, 8))
    validation = X[:9], LABELS[:9]
    expected = weights(
        X, LABELS, batch_size=8, shuffle=False, validation_data=validation, validation_batch_size=32
    )
    for data in (cut, lambda epoch: cut, lambda epoch: iter(cut)):
        for validation in ((X[:9], LABELS[:9]), list(batches(X[:9], LABELS[:9], 32))):
            for ours, theirs in zip(weights(data, validation_data=validation), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)
    endless = iter(cut * 2)
    for ours, theirs in zip(
        weights(endless, steps_per_epoch=3, validation_data=(X[:9], LABELS[:9])), expected, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_of_samples() -> None:
    """A weight of 0 leaves a sample out of the loss, but not of the number by which it is divided."""
    weights = np.zeros(22)
    weights[:4] = 22 / 4
    model = compiled()
    model.build((None, 6, 3))
    model.compile("sgd", crossentropy(), ["accuracy"], weighted_metrics=["accuracy"])
    some = model.evaluate(X[:4], LABELS[:4], verbose=0)
    every = model.evaluate(X, LABELS, verbose=0)
    found = model.evaluate(X, LABELS, verbose=0, sample_weight=weights)
    assert found == pytest.approx([some[0], every[1], some[2]], rel=1e-6)


def test_several_inputs() -> None:
    class Both(Model):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.add, self.dense = layers.Add(), layers.Dense(1)

        def call(self, inputs: Any) -> Tensor:
            return self.dense(self.add(inputs))

    a, b = rng.normal(size=(2, 30, 4)).astype("float32")
    model = Both()
    model.compile(optimizers.SGD(0.1), "mse", ["mae"])
    history = model.fit([a, b], (a + b).sum(-1), batch_size=8, epochs=30, verbose=0, validation_split=0.2)
    assert history.history["val_mae"][-1] < 0.05
    assert model.predict([a, b], verbose=0).shape == (30, 1)


def test_on_another_array_module() -> None:
    """Host arrays and arrays of the module itself, on a model that lives there: the same numbers as on the CPU."""
    def logs(device: str, x: Any, y: Any, weights: Any = None) -> Any:
        set_random_seed(0)
        model = compiled(seed=1)
        model.build((None, 6, 3))
        model.to(device)
        history = model.fit(
            x, y, batch_size=8, epochs=2, verbose=0, sample_weight=weights, validation_split=0.25,
            callbacks=[callbacks.EarlyStopping("loss", restore_best_weights=True)],
        )
        assert {w.device for w in model.weights} == {device}
        return [*history.history.values(), model.predict(x, verbose=0), model.evaluate(x, y, verbose=0)]

    expected = logs("cpu", X, LABELS, np.ones(22))
    there = Tensor(X, device="standin"), Tensor(LABELS, device="standin"), Tensor(np.ones(22), device="standin")
    for found in (logs("standin", *there), logs("standin", X, LABELS, np.ones(22))):
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)


# ---------------------------------------------------------------------- steps of one's own


def test_a_step_of_ones_own() -> None:
    class Own(Model):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.dense, self.norm = layers.Dense(1), metrics.Mean(name="norm")

        def call(self, inputs: Any) -> Tensor:
            return self.dense(inputs)

        def train_step(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
            logs = super().train_step(x, y, sample_weight)
            self.norm.update_state((self.dense.kernel**2).sum())
            return {**logs, "norm": self.norm.result(), "batch": len(x)}

    model = Own()
    model.compile(optimizers.SGD(0.1), "mse")
    assert [m.name for m in model.metrics] == ["loss", "norm"]
    history = model.fit(X[:, 0], X[:, 0, :1], batch_size=8, epochs=2, verbose=0, validation_split=0.1)
    assert set(history.history) == {"loss", "norm", "batch", "val_loss", "val_norm"}
    assert history.history["batch"] == [3, 3]
    assert history.history["norm"][1] > 0


def test_the_penalties_alone() -> None:
    model = Sequential([layers.InputLayer((3,)), layers.Dense(2, use_bias=False, kernel_regularizer="l2")])
    model.compile("sgd", None)
    history = model.fit(X[:, 0], epochs=3, verbose=0)
    assert history.history["loss"] == sorted(history.history["loss"], reverse=True)
    bare = Sequential([layers.InputLayer((3,)), layers.Dense(2)])
    bare.compile("sgd")
    with pytest.raises(ValueError, match=r"No loss to compute\. Provide a `loss` argument in `compile\(\)`"):
        bare.fit(X[:, 0], verbose=0)


def test_the_averages_are_the_weights_in_the_end() -> None:
    model = compiled()
    model.compile(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), crossentropy())
    model.fit(X, LABELS, epochs=2, verbose=0)
    for weight, average in zip(model.trainable_weights, model.optimizer._model_variables_moving_average, strict=True):
        np.testing.assert_array_equal(weight.numpy(), average.numpy())


def test_a_loss_of_a_function() -> None:
    def worst(t: Tensor, p: Tensor) -> Tensor:
        return (t - p).abs().max(-1)

    model = Sequential([layers.Dense(3)])
    model.compile("sgd", worst, [worst, losses.mean_absolute_error])
    history = model.fit(X[:, 0], X[:, 1], epochs=1, verbose=0)
    assert list(history.history) == ["loss", "worst", "mean_absolute_error"]
    assert history.history["loss"] == pytest.approx(history.history["worst"])


def test_predict_and_evaluate() -> None:
    model = compiled()
    scores = model.predict(X, batch_size=5, verbose=0)
    assert type(scores) is np.ndarray
    np.testing.assert_allclose(scores, model(Tensor(X), training=False).numpy(), rtol=1e-5, atol=1e-6)
    loss, accuracy = model.evaluate(X, LABELS, batch_size=5, verbose=0)
    assert accuracy == (scores.argmax(-1) == LABELS).mean()
    penalty = float(sum(model.losses).item())
    assert loss == pytest.approx(crossentropy()(LABELS, scores).item() + penalty, rel=1e-5)
    model.compile("sgd", crossentropy())
    assert isinstance(model.evaluate(X, LABELS, verbose=0), float)


def test_nothing_keeps_the_model() -> None:
    model = compiled()
    history = model.fit(X, LABELS, verbose=0, callbacks=[callbacks.LambdaCallback(on_epoch_end=lambda e, logs: None)])
    gc.collect()
    gc.disable()
    try:
        gone = weakref.ref(model)
        del model
        assert gone() is None  # by reference count alone
    finally:
        gc.enable()
    assert history.epoch == [0]


# ---------------------------------------------------------------------- what is refused


def unchanged(model: Sequential, message: str, error: Any = ValueError, **arguments: Any) -> None:
    before = model.get_weights()
    with pytest.raises(error, match=message):
        model.fit(**{"x": X, "y": LABELS, "verbose": 0, "batch_size": 8} | arguments)
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert model.optimizer.iterations == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": LABELS[:5]}, r"fit: x, y and sample_weight must have the same number of samples\. Received"),
        ({"x": X[:0], "y": LABELS[:0]}, r"fit: x must hold samples\. Received: x, y of length 0"),
        ({"batch_size": 0}, r"`batch_size`\. Expected a strictly positive value\. Received batch_size=0"),
        ({"epochs": 0}, r"`epochs`\. Expected a strictly positive value"),
        ({"x": np.where(X > 2, np.nan, X)}, r"fit: x must hold numbers\. Received: \d+ NaN in x of shape \(22"),
        ({"y": LABELS + (LABELS == 3)}, r"labels must be 0 \.\. 3, for 4 classes\. Received: labels from"),
        ({"y": LABELS - 1}, r"labels must be 0 \.\. 3, for 4 classes\. Received: labels from"),
        ({"y": LABELS + 0.5}, r"labels: must be integers\. Received: float64 with fractions"),
        ({"y": None}, r"compute_loss: y must be given, the loss compares it with the output\. Received: y=None"),
        ({"sample_weight": np.ones(21)}, r"Received: x of 22, y of 22, sample_weight of 21"),
        ({"class_weight": {0: 2.0}, "sample_weight": np.ones(22)}, r"class_weight and sample_weight must not be given"),
        ({"validation_split": 0.999}, r"not sufficient to split it into a validation"),
        ({"validation_split": 1.5}, r"validation_split must be between 0 and 1"),
        ({"validation_data": (X, LABELS[:3])}, r"fit \(validation\): x, y and sample_weight must have the same number"),
        ({"validation_data": (X, LABELS + 9)}, r"labels must be 0 \.\. 3"),
        ({"validation_data": (X, LABELS, None, None)}, r"validation_data must be \(x, y\) or .*Received: a tuple of 4"),
        ({"validation_freq": 0}, r"`validation_freq`"),
        ({"steps_per_epoch": 2}, r"steps must be given for an iterable of batches only"),
        ({"verbose": 7}, r"verbose: must be 'auto', 0, 1 or 2"),
    ],
)  # fmt: skip
def test_bad_input(arguments: Any, message: str) -> None:
    model = compiled()
    model.build((None, 6, 3))
    unchanged(model, message, **arguments)


def test_inputs_of_another_shape() -> None:
    model = compiled()
    model.build((None, 6, 3))
    unchanged(model, "expected axis -1 of input shape to have value 3", x=X[..., :2])


def test_labels_to_be_ignored_are_no_mistake() -> None:
    model = compiled()
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1))
    model.fit(X, LABELS - 1, verbose=0)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_before_compile(method: str) -> None:
    with pytest.raises(ValueError, match=rf"You must call `compile\(\)` before calling `{method}\(\)`"):
        getattr(network(), method)(X, LABELS)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"optimizer": "foo"}, ValueError, "class_name must be a known class|Could not interpret"),
        ({"loss": "foo"}, ValueError, "Could not interpret loss identifier: foo"),
        ({"metrics": ["foo"]}, ValueError, "Could not interpret metric identifier: foo"),
        ({"metrics": "accuracy"}, TypeError, "compile: metrics must be a list or None"),
    ],
)
def test_bad_compilation(arguments: Any, error: Any, message: str) -> None:
    model = compiled()
    before = model.optimizer, model.loss
    with pytest.raises(error, match=message):
        model.compile(**arguments)
    assert (model.optimizer, model.loss) == before


# ---------------------------------------------------------------------- the table


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = compiled()
    model.summary()
    assert "dense (Dense)                                      ?             0 (unbuilt)" in capsys.readouterr().out
    model.fit(X, LABELS, verbose=0)
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    table = lines[0].splitlines()
    assert table[0] == 'Model: "sequential"'
    assert table[2].split() == ["Layer", "(type)", "Output", "Shape", "Param", "#"]
    rows = [line.split(")  ") for line in table[4:9]]
    assert [[cell.strip(" ()") for cell in row] for row in rows] == [
        ["separable_conv1d (SeparableConv1D", "None, 4, 5", "29"], ["dropout (Dropout", "None, 4, 5", "0"],
        ["batch_normalization (BatchNormalization", "None, 4, 5", "20"],
        ["global_average_pooling1d (GlobalAveragePooling1D", "None, 5", "0"], ["dense (Dense", "None, 4", "24"],
    ]  # fmt: skip
    assert len({len(line) for line in table[1:10]}) == 1
    assert table[10:] == [
        "Total params: 201 (812.00 B)", "Trainable params: 63 (252.00 B)", "Non-trainable params: 10 (40.00 B)",
        "Optimizer params: 128 (520.00 B)",
    ]  # fmt: skip


def test_summary_of_a_model_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    class Scale(Layer):
        def build(self, input_shape: Any) -> None:
            self.scale = self.add_weight((1000, input_shape[-1]), name="scale")

        def call(self, inputs: Tensor) -> Tensor:
            return inputs * self.scale.sum()

    class Residual(Model):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.first, self.second = layers.Dense(3), Scale()

        def call(self, inputs: Tensor) -> Tensor:
            return inputs + self.second(self.first(inputs))

    model = Residual()
    model(X[:, 0])
    model.summary()
    shown = capsys.readouterr().out
    assert [line.split() for line in shown.splitlines()[4:6]] == [
        ["dense", "(Dense)", "(None,", "3)", "12"], ["scale", "(Scale)", "(None,", "3)", "3,000"],
    ]  # fmt: skip
    assert "Total params: 3,012 (11.77 KB)" in shown


def test_the_benchmark_runs(tmp_path: Path) -> None:
    """It compares the steps of fit with those of the loop, to the last bit, before it times them."""
    quick = "from tests.benchmarks import fit; fit.EPOCHS = 1; fit.main()"
    command = [sys.executable, "-W", "error", "-c", quick, "--rounds", "1"]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("fit adds ") == 2


# ---------------------------------------------------------------------- evaluate while training


class Looks(callbacks.Callback):
    """Evaluates other data at some hook."""

    def __init__(self, hook: str) -> None:
        self.found: list[Any] = []
        setattr(self, f"on_{hook}", self.look)

    def look(self, *_: Any, **__: Any) -> None:
        x = np.full((3, 6, 3), 2.0, "float32")
        self.found.append(self.model.evaluate(x, np.zeros(3, int), verbose=0))


HOOKS = ["epoch_begin", "train_batch_begin", "train_batch_end", "epoch_end"]


@pytest.mark.parametrize("validate", [False, True])
@pytest.mark.parametrize("hook", ["never", *HOOKS])
def test_evaluate_within_fit_leaves_the_training_alone(hook: str, validate: bool) -> None:
    def train(*hooks: Any) -> tuple[dict[str, Any], list[Any]]:
        set_random_seed(5)
        model = Sequential([layers.Conv1D(4, 3, activation="tanh"), layers.GlobalAveragePooling1D(), layers.Dense(4)])
        model.compile(optimizers.SGD(0.1), crossentropy(), ["accuracy"])
        logs = model.fit(
            X, LABELS, batch_size=5, epochs=2, verbose=0, callbacks=list(hooks),
            validation_data=(X[:7], LABELS[:7]) if validate else None,
        ).history
        return logs, model.get_weights()

    looks = Looks(hook)
    got, expected = train(looks), train()
    assert got[0] == expected[0]
    for ours, theirs in zip(got[1], expected[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(looks.found) == {"never": 0, "epoch_begin": 2, "epoch_end": 2}.get(hook, 10)


def test_evaluate_that_fails_within_fit_leaves_the_training_alone() -> None:
    class Fails(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            before = self.model.metrics[0].result().item()
            with pytest.raises(ZeroDivisionError):
                self.model.evaluate(X, LABELS, verbose=0, callbacks=[Stops()])
            assert self.model.metrics[0].result().item() == before

    class Stops(callbacks.Callback):
        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            raise ZeroDivisionError

    model = Sequential([layers.GlobalAveragePooling1D(), layers.Dense(4)])
    model.compile("sgd", crossentropy())
    model.fit(X, LABELS, verbose=0, callbacks=[Fails()])
