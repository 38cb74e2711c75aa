"""Metrics: Keras's numbers over ragged batches, exact sums, names, and what is refused."""

from __future__ import annotations

import functools
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, losses, metrics, no_grad
from minigrad.metrics import CompiledMetrics, Metric, Results

with np.load(Path(__file__).parent / "golden" / "training.npz") as archive:
    GOLDEN = dict(archive)
CASES = json.loads(str(GOLDEN["metrics"]))
VALUES = json.loads(str(GOLDEN["values"]))
KERAS = 1e-7  # its means over axes are rounded to float32 somewhere: of 3 in 7 it makes 0.4285714413
BATCHES = (slice(0, 7), slice(7, 10), slice(10, 14))
CLASSES = {
    name: cls for name, cls in vars(metrics).items()
    if isinstance(cls, type) and issubclass(cls, Metric) and cls is not Metric
}  # fmt: skip


@pytest.mark.parametrize("device", ["cpu", "standin"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['metric']}-{case['y_pred']}-{case['weights']}")
def test_keras(case: dict[str, Any], device: str) -> None:
    metric = getattr(metrics, case["metric"])(dtype="float64", **case["config"])
    for rows, expected in zip(BATCHES, case["results"], strict=True):
        y_true, y_pred = (Tensor(GOLDEN[case[name]][rows], device=device) for name in ("y_true", "y_pred"))
        weights = None if case["weights"] is None else Tensor(GOLDEN[case["weights"]][rows], device=device)
        metric.update_state(y_true, y_pred, weights)
        assert metric.result().item() == pytest.approx(expected, rel=KERAS)
    assert metric.result().device == device


@pytest.mark.parametrize("case", VALUES)
def test_means_and_sums_of_values(case: str) -> None:
    kind, values, weights = case.split(" ")
    metric = getattr(metrics, kind)(dtype="float64")
    for rows in BATCHES:
        metric.update_state(GOLDEN[values][rows], None if weights == "None" else GOLDEN[weights][rows])
    assert metric.result().item() == pytest.approx(VALUES[case][0], rel=KERAS, abs=1e-8)


@pytest.mark.parametrize("size", [1, 3, 4, 14])
def test_any_batches_give_the_same(size: int) -> None:
    whole = metrics.SparseCategoricalAccuracy()(GOLDEN["labels"], GOLDEN["classes"]).item()
    parts, loss = metrics.SparseCategoricalAccuracy(), metrics.MeanSquaredError(dtype="float64")
    for i in range(0, 14, size):
        parts.update_state(GOLDEN["labels"][i : i + size], GOLDEN["classes"][i : i + size])
        loss.update_state(GOLDEN["real"][i : i + size], GOLDEN["other"][i : i + size])
    assert parts.result().item() == whole == np.mean(GOLDEN["classes"].argmax(-1) == GOLDEN["labels"])
    assert loss.result().item() == pytest.approx(((GOLDEN["real"] - GOLDEN["other"]) ** 2).mean(), rel=1e-14)


def test_counts_beyond_single_precision() -> None:
    mean = metrics.Mean()
    for _ in range(3):
        mean.update_state(1.0, sample_weight=2**24 + 1)
    mean.update_state(0.0, sample_weight=1)
    assert mean.result().item() == (3 * (2**24 + 1)) / (3 * (2**24 + 1) + 1)


def test_a_number_of_the_batch_counts_as_often_as_there_are_samples() -> None:
    """So the mean over ragged batches is that over all samples; Keras would give (1 + 4) / 2."""
    for fn in (lambda t, p: ((t - p) ** 2).mean(), losses.MeanSquaredError()):
        metric = metrics.MeanMetricWrapper(fn, name="mine")
        metric.update_state(Tensor([[0.0], [0.0], [0.0]]), Tensor([[1.0], [1.0], [1.0]]))
        metric.update_state(Tensor([[0.0]]), Tensor([[2.0]]))
        assert metric.result().item() == pytest.approx(7 / 4)


def test_reset() -> None:
    metric = metrics.Mean()
    assert metric.result().item() == 0
    metric.update_state([3.0])
    metric.reset_state()
    assert [v.item() for v in metric.variables] == [0, 0]
    assert metric([5.0]).item() == 5


def test_no_weight_at_all() -> None:
    assert metrics.MeanSquaredError()([[1.0], [2.0]], [[0.0], [0.0]], [0.0, 0.0]).item() == 0


def test_among_the_highest() -> None:
    """Ties count as hits, what is not a number never does."""
    function = metrics.sparse_top_k_categorical_accuracy
    assert function([0, 1, 2], [[1.0, 1.0, 0.0]] * 3, k=1).tolist() == [1, 1, 0]
    assert function([0, 1], [[np.nan, 1.0, 2.0], [0.5, np.nan, 0.1]], k=2).tolist() == [0, 0]


def test_the_history_of_predictions_is_dropped() -> None:
    p = Tensor([[0.2, 0.8]], requires_grad=True)
    metric = metrics.SparseCategoricalCrossentropy()
    metric.update_state([1], p * 1)
    assert not metric.result().requires_grad
    assert not metrics.sparse_categorical_accuracy([1], p * 1).requires_grad


@pytest.mark.parametrize(
    ("function", "t", "p", "message"),
    [
        (metrics.accuracy, (3,), (4,), r"accuracy: y_true and y_pred must have the same shape\. Received: y_true"),
        (metrics.binary_accuracy, (3, 2), (3, 1), r"binary_accuracy: y_true and y_pred must have the same shape"),
        (metrics.categorical_accuracy, (3, 4), (3, 5), r"categorical_accuracy: y_true and y_pred must have the same"),
        (metrics.top_k_categorical_accuracy, (3,), (3, 5), r"top_k_categorical_accuracy: y_true and y_pred must"),
        (metrics.sparse_categorical_accuracy, (4,), (3, 5), r"labels must have the shape of y_pred without the axis"),
        (metrics.sparse_top_k_categorical_accuracy, (3, 2), (3, 5), r"Received: y_true\.shape=\(3, 2\), y_pred"),
    ],
)
def test_shapes_that_do_not_fit(function: Any, t: Any, p: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(np.zeros(t, int), np.zeros(p))


# ---------------------------------------------------------------------- names, configs, own metrics


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_round_trip(name: str) -> None:
    required = [losses.mean_squared_error] if name == "MeanMetricWrapper" else []
    metric = CLASSES[name](*required)
    config = metric.get_config()
    assert config["dtype"] == "float32"
    assert set(config) == set(inspect.signature(CLASSES[name]).parameters)
    twin = metrics.deserialize(metrics.serialize(metric))
    assert type(twin) is CLASSES[name]
    assert twin.get_config() == config
    if not required:
        assert metrics.get(name).get_config() == metrics.get(CLASSES[name]).get_config() == config
    assert CLASSES[name].__doc__


@pytest.mark.parametrize(
    ("name", "cls"),
    [("mse", metrics.MeanSquaredError), ("MAE", metrics.MeanAbsoluteError), ("bce", metrics.BinaryCrossentropy),
     ("mean_absolute_error", metrics.MeanAbsoluteError), ("accuracy", metrics.Accuracy)],
)  # fmt: skip
def test_get(name: str, cls: type) -> None:
    assert type(metrics.get(name)) is cls


def test_directions() -> None:
    up = {name for name, cls in CLASSES.items() if name != "MeanMetricWrapper" and cls().direction == "up"}
    none = {name for name, cls in CLASSES.items() if name != "MeanMetricWrapper" and cls().direction is None}
    assert up == {name for name in CLASSES if name.endswith("Accuracy")} | {"CosineSimilarity"}
    assert none == {"Mean", "Sum"}
    assert metrics.MeanMetricWrapper("mse").direction == "down"
    assert metrics.MeanMetricWrapper(losses.Huber()).direction == "down"
    assert metrics.MeanMetricWrapper(lambda t, p: t).direction is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.get("foo"), "Could not interpret metric identifier: foo"),
        (lambda: metrics.MeanMetricWrapper("foo"), r"fn must be a function or the name of a loss\. Received: 'foo'"),
        (lambda: metrics.Mean(dtype="int32"), r"Argument `dtype` must name a floating dtype\. Received: dtype='int32'"),
        (lambda: metrics.TopKCategoricalAccuracy(0), "Expected a strictly positive value. Received k=0"),
        (lambda: metrics.BinaryAccuracy(threshold="a"), "Invalid value for argument threshold"),
        (lambda: metrics.Mean(foo=1), "Unrecognized keyword arguments passed to Mean"),
        (lambda: CompiledMetrics(["foo"]), "Could not interpret metric identifier: foo"),
        (lambda: CompiledMetrics([None]), r"compile: a metric must be a name, a function or a Metric\. Received: None"),
    ],
)
def test_what_is_no_metric(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_metrics_in_no_list() -> None:
    with pytest.raises(TypeError, match=r"compile: weighted_metrics must be a list or None\. Received: .*='mse'"):
        CompiledMetrics(None, "mse")


def test_a_metric_without_its_methods() -> None:
    with pytest.raises(NotImplementedError, match=r"Metric\.update_state: must be written"):
        Metric().update_state()
    with pytest.raises(NotImplementedError, match=r"Metric\.result: must be written"):
        Metric().result()


class Count(Metric):
    """Written as for Keras, with an array as its sum."""

    def __init__(self, name: str = "count", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.seen = self.add_variable(shape=(2,), initializer="zeros", name="seen")

    def update_state(self, y_true: Any, y_pred: Tensor, sample_weight: Any = None) -> None:
        self.seen.assign_add(Tensor(np.array([len(y_pred), 1.0])))

    def result(self) -> Tensor:
        return self.seen[0] / self.seen[1]


def test_a_metric_of_a_user() -> None:
    count = Count()
    count.update_state(None, Tensor.zeros(5, 1))
    count.update_state(None, Tensor.zeros(2, 1))
    assert count.result().item() == 3.5
    assert [v.path for v in count.variables] == ["count/seen"]
    count.reset_state()
    assert count.seen.tolist() == [0, 0]
    assert repr(count) == "<Count name=count>"


# ---------------------------------------------------------------------- the metrics of a model


@pytest.mark.parametrize("word", ["accuracy", "acc", "Accuracy"])
@pytest.mark.parametrize(
    ("t", "p", "cls"),
    [((5,), (5, 3), metrics.SparseCategoricalAccuracy), ((5, 1), (5, 3), metrics.SparseCategoricalAccuracy),
     ((5, 3), (5, 3), metrics.CategoricalAccuracy), ((5,), (5, 1), metrics.BinaryAccuracy),
     ((5, 1), (5, 1), metrics.BinaryAccuracy), ((5, 2), (5, 2, 3), metrics.SparseCategoricalAccuracy)],
)  # fmt: skip
def test_what_accuracy_means(t: Any, p: Any, cls: type, word: str) -> None:
    compiled = CompiledMetrics([word])
    assert compiled.metrics == []
    compiled.update_state(Tensor.zeros(t), Tensor.zeros(p))
    assert type(compiled.metrics[0]) is cls
    assert compiled.metrics[0].name == word


def test_names_of_results() -> None:
    def worst(t: Tensor, p: Tensor) -> Tensor:
        return (t - p).abs().max(-1)

    compiled = CompiledMetrics(["mse", metrics.MeanSquaredError(), worst], ["mse", "mse"])
    compiled.update_state(Tensor([[1.0], [2.0]]), Tensor([[0.0], [0.0]]), Tensor([1.0, 0.0]))
    results = Results(compiled.metrics, compiled.weighted)
    assert list(results) == ["mse", "mean_squared_error", "worst", "weighted_mse", "weighted_mse_1"]
    assert list(Results(compiled.metrics))[3:] == ["mse_1", "mse_2"]
    assert [result.item() for result in results.values()] == [2.5, 2.5, 1.5, 1.0, 1.0]
    assert repr(Results(compiled.metrics[:1])) == "{'mse': 2.5}"
    assert len(results) == 5


def test_sums_stay_on_the_device() -> None:
    compiled = CompiledMetrics(["accuracy", "mse"])
    with no_grad():
        compiled.update_state(Tensor(np.eye(2), device="standin"), Tensor([[0.5, 0.5], [0.1, 0.9]], device="standin"))
    assert {v.device for metric in compiled.metrics for v in metric.variables} == {"standin"}


# ---------------------------------------------------------------------- NaN, logits, hinges, another axis


@pytest.mark.parametrize("target", [0, 1, 2])
def test_a_prediction_that_is_no_number_is_wrong(target: int) -> None:
    nan = float("nan")
    rows = np.array([[nan, nan, nan], [nan, 0.1, 0.2], [0.3, nan, 0.1], [0.1, 0.2, nan]])
    labels = np.full(4, target)
    one_hot = np.eye(3)[labels]
    assert metrics.sparse_categorical_accuracy(labels, rows).tolist() == [0.0] * 4
    assert metrics.categorical_accuracy(one_hot, rows).tolist() == [0.0] * 4
    assert metrics.sparse_top_k_categorical_accuracy(labels, rows, k=2).tolist() == [0.0] * 4
    assert metrics.top_k_categorical_accuracy(one_hot, rows, k=3).tolist() == [0.0] * 4
    for bit in (0, 1):
        assert metrics.binary_accuracy([[bit]], [[nan]]).tolist() == [[0.0]]
        assert metrics.accuracy([[bit]], [[nan]]).tolist() == [[0.0]]
    assert metrics.sparse_categorical_accuracy([1], [[0.0, float("inf"), 1.0]]).tolist() == [1.0]


def beside(loss: Any, y_true: Any, y_pred: Any, asked: str = "accuracy") -> float:
    compiled = CompiledMetrics([asked])
    compiled.update_state(Tensor(y_true), Tensor(y_pred), loss=loss)
    return compiled.metrics[0].result().item()


@pytest.mark.parametrize("cls", [losses.BinaryCrossentropy, losses.BinaryFocalCrossentropy])
def test_accuracy_beside_a_loss_of_logits(cls: Any) -> None:
    bits, logits = [[1], [1], [0], [0], [1]], [[0.1], [0.4], [-0.1], [0.3], [2.0]]
    assert beside(cls(from_logits=True), bits, logits) == pytest.approx(0.8)
    assert beside(cls(), bits, logits) == pytest.approx(0.6)  # cut at 0.5
    fn = functools.partial(losses.binary_crossentropy, from_logits=True)
    assert beside(losses.LossFunctionWrapper(fn), bits, logits) == pytest.approx(0.8)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", losses.Hinge(), losses.SquaredHinge()])
def test_accuracy_beside_a_hinge(loss: Any) -> None:
    loss = losses.LossFunctionWrapper(loss) if isinstance(loss, str) else loss
    for low in (-1, 0):
        assert beside(loss, [[1], [low], [low], [1]], [[0.2], [-0.2], [0.3], [4.0]]) == pytest.approx(0.75)


@pytest.mark.parametrize("one_hot", [True, False])
def test_accuracy_along_the_axis_of_the_loss(one_hot: bool) -> None:
    y = np.array([[0, 2, 1, 1], [2, 2, 0, 1]])
    p = np.random.default_rng(4).normal(size=(2, 3, 4))
    cls = losses.CategoricalCrossentropy if one_hot else losses.SparseCategoricalCrossentropy
    target = np.eye(3)[y].transpose(0, 2, 1) if one_hot else y
    assert beside(cls(axis=1), target, p) == pytest.approx((p.argmax(1) == y).mean())
    if not one_hot:
        assert beside(cls(axis=1), y[:, None], p) == pytest.approx((p.argmax(1) == y).mean())


@pytest.mark.parametrize(("name", "cls"), [
    ("binary_crossentropy", losses.BinaryCrossentropy), ("categorical_crossentropy", losses.CategoricalCrossentropy),
])  # fmt: skip
def test_a_crossentropy_by_name_beside_a_loss_of_logits(name: str, cls: Any) -> None:
    y, p = np.eye(3)[[0, 2]], np.array([[0.5, -2.0, 0.3], [1.0, 0.0, -1.0]])
    loss = cls(from_logits=True)
    assert beside(loss, y, p, name) == pytest.approx(loss(y, p).item(), rel=1e-6)


@pytest.mark.parametrize("weights", [None, np.ones(2)])
def test_a_mean_over_no_steps_is_0(weights: Any) -> None:
    assert metrics.MeanSquaredError()(np.zeros((2, 0, 3)), np.zeros((2, 0, 3)), weights).item() == 0
    assert metrics.Mean()(np.zeros((2, 0)), weights).item() == 0
    assert metrics.SparseCategoricalAccuracy()(np.zeros((2, 0)), np.zeros((2, 0, 3)), weights).item() == 0
