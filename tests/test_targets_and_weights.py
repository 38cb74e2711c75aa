"""Targets and weights beside outputs: brought to their shape or refused; weights by sample and class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Sequential, Tensor, layers, losses, metrics, optimizers, set_random_seed
from minigrad.data import class_weights

rng = np.random.default_rng(3)
with np.load(Path(__file__).parent / "golden" / "targets.npz", allow_pickle=False) as archive:
    GOLDEN = {name: archive[name] for name in archive.files}
CASES = json.loads(str(GOLDEN["cases"]))


@pytest.mark.parametrize("i", range(len(CASES)))
def test_keras(i: int) -> None:
    kind, name, reduction = CASES[i][:3]
    given = (GOLDEN[f"true_{i}"], GOLDEN[f"pred_{i}"], GOLDEN.get(f"weights_{i}"))

    def cube(t: Any, p: Any) -> Any:
        return (t - p).abs() ** 3 if isinstance(p, Tensor) else abs(t - p) ** 3

    if kind == "loss":
        own = name == "own"
        loss = losses.LossFunctionWrapper if own else losses.Huber
        kwargs = {"fn": cube} if own else {"delta": 0.7}
        got = loss(**kwargs, reduction=reduction, dtype="float64")(*given)
    else:
        got = (metrics.MeanMetricWrapper(cube) if name == "own" else metrics.get(name))(*given)
    tolerance = 1e-6 if kind == "loss" else 1e-5  # Keras's huber rounds its delta to float32
    assert got.shape == GOLDEN[f"value_{i}"].shape
    np.testing.assert_allclose(got.numpy(), GOLDEN[f"value_{i}"], rtol=tolerance)


def squares(t: Any, p: Any) -> Any:
    return (t - p) ** 2


class Squares(losses.Loss):
    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return squares(y_true, y_pred)


FLAT = rng.normal(size=7)
OUTPUTS = rng.normal(size=7)
MEAN = ((FLAT - OUTPUTS) ** 2).mean()


@pytest.mark.parametrize("shapes", [((7,), (7, 1)), ((7, 1), (7,)), ((7,), (7,)), ((7, 1), (7, 1))])
@pytest.mark.parametrize("weights", [None, (7,), (7, 1)])
def test_vectors_and_columns(shapes: Any, weights: Any) -> None:
    t, p = FLAT.reshape(shapes[0]), OUTPUTS.reshape(shapes[1])
    numbers = rng.uniform(0, 2, 7)
    expected = MEAN if weights is None else ((FLAT - OUTPUTS) ** 2 * numbers).mean()
    given = None if weights is None else numbers.reshape(weights)
    for loss in (losses.LossFunctionWrapper(squares), Squares()):
        np.testing.assert_allclose(loss(t, p, given).item(), expected, rtol=1e-5)
    if p.ndim == 2:
        np.testing.assert_allclose(losses.MeanSquaredError()(t, p, given).item(), expected, rtol=1e-5)
    by_weight = MEAN if given is None else ((FLAT - OUTPUTS) ** 2 * numbers).sum() / numbers.sum()
    for metric in (metrics.MeanMetricWrapper(squares), metrics.MeanMetricWrapper(Squares(reduction="none"))):
        np.testing.assert_allclose(metric(t, p, given).item(), by_weight, rtol=1e-5)
    np.testing.assert_allclose(metrics.RootMeanSquaredError()(t, p, given).item(), by_weight**0.5, rtol=1e-5)


def test_sequences_without_their_last_axis() -> None:
    t, p = rng.normal(size=(4, 5)), rng.normal(size=(4, 5, 1))
    expected = ((t - p[..., 0]) ** 2).mean()
    for loss in (losses.LossFunctionWrapper(squares), losses.MeanSquaredError()):
        np.testing.assert_allclose(loss(t, p).item(), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["mse", "mae", "mape", "msle", "huber", "log_cosh", "hinge", "poisson", "kld", "dice"])
@pytest.mark.parametrize(("t", "p"), [((6,), (6, 6)), ((6, 1), (6, 3)), ((1, 3), (6, 3)), ((6, 1, 3), (6, 3))])
def test_targets_that_would_be_broadcast(name: str, t: Any, p: Any) -> None:
    with pytest.raises(ValueError, match=r"`target` and `output` must have the same shape"):
        losses.get(name)(np.ones(t), np.ones(p))


@pytest.mark.parametrize("loss", [losses.LossFunctionWrapper(squares), Squares(), metrics.MeanMetricWrapper(squares)])
def test_a_function_that_broadcasts(loss: Any) -> None:
    with pytest.raises(ValueError, match=r"must give one value per sample or per output.*values of shape \(6, 6, 3\)"):
        loss(Tensor(np.ones((6, 1, 3))), Tensor(np.ones((6, 3))))


def test_a_metric_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"root_mean_squared_error: y_true must have the shape of y_pred"):
        metrics.RootMeanSquaredError()(np.ones((3, 1)), np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"sample_weight must have a weight for each sample"):
        metrics.MeanSquaredError()(np.ones((3, 4)), np.ones((3, 4)), np.ones((3, 3)))


def test_a_fit_on_flat_targets_with_a_function_of_ones_own() -> None:
    x = rng.normal(size=(64, 9, 2)).astype("float32")
    y = 2 * x.mean(1)[:, 0]
    set_random_seed(1)
    model = Sequential([layers.GlobalAveragePooling1D(), layers.Dense(1)])
    model.compile(optimizers.Adam(0.1), squares, [squares])
    logs = model.fit(x, y, epochs=60, verbose=0).history
    true = ((model.predict(x, verbose=0)[:, 0] - y) ** 2).mean()
    assert true < 1e-3
    assert logs["loss"][-1] < 1e-3
    assert logs["squares"][-1] < 1e-3


# ---------------------------------------------------------------------- weights


@pytest.mark.parametrize("steps", [3, 5])  # as many as samples, too
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "none"])
def test_a_weight_for_each_sample_of_sequences(steps: int, reduction: str) -> None:
    t, p = rng.normal(size=(3, steps, 2)), rng.normal(size=(3, steps, 2))
    weights = np.array([2.0, 0.0, 0.5])
    values = ((t - p) ** 2).mean(-1) * weights[:, None]
    expected = {"sum_over_batch_size": values.mean(), "sum": values.sum(), "none": values}[reduction]
    for given in (weights, weights[:, None]):
        got = losses.MeanSquaredError(reduction=reduction)(t, p, given)
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (3, 4), (3, 5, 2), (2, 5), (5, 3)])
def test_weights_that_fit_no_sample(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"sample_weight must have a weight for each sample, of shape \(N,\)"):
        losses.MeanSquaredError()(np.zeros((3, 5, 2)), np.ones((3, 5, 2)), np.ones(shape))


def test_weights_are_not_more_than_the_losses() -> None:
    with pytest.raises(ValueError, match=r"sample_weight\.shape=\(4, 4\), losses of shape \(4,\)"):
        losses.MeanAbsoluteError()(np.zeros((4, 2)), np.ones((4, 2)), np.ones((4, 4)))


def test_weights_beside_ignored_labels() -> None:
    labels = np.array([[1, -1, 0], [2, 0, -1], [0, 0, 1]])
    logits = rng.normal(size=(3, 3, 3))
    weights = np.array([1.0, 3.0, 0.0])
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    values = -np.take_along_axis(log_p, labels[..., None].clip(0), -1)[..., 0] * (labels >= 0)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    np.testing.assert_allclose(loss(labels, logits, weights).item(), (values * weights[:, None]).sum() / 7, rtol=1e-5)


def test_fit_with_a_weight_for_each_sample_of_sequences() -> None:
    x = np.arange(15.0, dtype="float32").reshape(5, 3, 1)
    weights = np.array([0.0, 1.0, 0.0, 2.0, 0.0])
    model = Sequential([layers.Conv1D(1, 1, kernel_initializer="ones", use_bias=False)])
    model.compile(optimizers.SGD(0.0), "mse", weighted_metrics=["mse"])
    logs = model.fit(x, np.zeros_like(x), sample_weight=weights, batch_size=3, shuffle=False, verbose=0).history
    values = (x[..., 0] ** 2 * weights[:, None]).mean(1)
    np.testing.assert_allclose(logs["loss"][0], values.mean(), rtol=1e-5)
    np.testing.assert_allclose(logs["mse"][0], values.sum() / weights.sum(), rtol=1e-5)


def test_the_class_of_each_step() -> None:
    weight = {0: 4.0, 2: 0.5}
    steps = np.array([[0, 1, 2, 2], [1, 1, 0, 2]])
    expected = [[4.0, 1.0, 0.5, 0.5], [1.0, 1.0, 4.0, 0.5]]
    for y in (steps, steps[..., None], np.eye(3)[steps], np.eye(3, dtype=int)[steps]):
        assert class_weights(y, weight).tolist() == expected
    assert class_weights(steps.astype("float32"), weight, labels=True).tolist() == expected
    bits = np.array([[0, 1, 0]])  # a one-hot vector, unless somebody knows better
    assert class_weights(bits, weight).tolist() == [1.0]
    assert class_weights(bits, weight, labels=True).tolist() == [[4.0, 1.0, 4.0]]
    assert class_weights(np.array([2, 0]), {0.0: 4, np.int64(2): np.float32(0.5)}).tolist() == [0.5, 4.0]


@pytest.mark.parametrize("count", [4, 6])  # as many sequences as steps, and more
@pytest.mark.parametrize("stream", [False, True])
def test_fit_weighs_each_step_by_its_class(count: int, stream: bool) -> None:
    x, y = rng.normal(size=(count, 4, 2)).astype("float32"), rng.integers(0, 2, (count, 4))
    model = Sequential([layers.Conv1D(2, 1)])
    model.compile(optimizers.SGD(0.0), losses.SparseCategoricalCrossentropy(from_logits=True))
    by_hand = model.fit(x, y, sample_weight=np.where(y == 1, 6.0, 1.0), batch_size=count, verbose=0).history["loss"]
    data = ([(x, y)],) if stream else (x, y, count)
    np.testing.assert_allclose(model.fit(*data, class_weight={1: 6.0}, verbose=0).history["loss"], by_hand, rtol=1e-5)


def classifier(loss: Any, units: int = 3) -> Sequential:
    model = Sequential([layers.Dense(units)])
    model.compile(optimizers.SGD(0.0), loss)
    return model


@pytest.mark.parametrize("key", ["1", "one", -1, 0.5, None, True, 3])
@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_a_key_that_is_no_class(key: Any, one_hot: bool, stream: bool) -> None:
    x, y = rng.normal(size=(6, 2)), np.arange(6) % 3
    cls = losses.CategoricalCrossentropy if one_hot else losses.SparseCategoricalCrossentropy
    y = np.eye(3)[y] if one_hot else y
    model = classifier(cls(from_logits=True))
    with pytest.raises(ValueError, match=rf"fit: class_weight must have classes .* as keys.*Received: the key {key!r}"):
        model.fit(*([(x, y)],) if stream else (x, y), class_weight={0: 1.0, key: 2.0}, verbose=0)


def test_a_key_that_is_no_bit() -> None:
    model = classifier(losses.BinaryCrossentropy(from_logits=True), 1)
    with pytest.raises(ValueError, match=r"classes from 0 to 1 as keys, for 2 classes\. Received: the key 2"):
        model.fit(rng.normal(size=(6, 2)), np.arange(6) % 2, class_weight={2: 3.0}, verbose=0)


@pytest.mark.parametrize("given", [[1.0, 2.0], "balanced", 3.0, (1, 2), np.ones(3)])
@pytest.mark.parametrize("stream", [False, True])
def test_class_weights_that_are_no_dict(given: Any, stream: bool) -> None:
    x, y = rng.normal(size=(6, 2)), np.arange(6) % 3
    with pytest.raises(ValueError, match=r"fit: class_weight must be a dict of a weight for each class"):
        classifier("sparse_categorical_crossentropy").fit(
            *([(x, y)],) if stream else (x, y), class_weight=given, verbose=0
        )


@pytest.mark.parametrize("weight", ["heavy", None, float("nan"), float("inf"), [1.0]])
def test_class_weights_that_are_no_numbers(weight: Any) -> None:
    with pytest.raises(ValueError, match=r"class_weight must have a finite number for each class"):
        class_weights(np.arange(3), {1: weight})
