"""Losses: the numbers of Keras 3 (tests/golden/losses.py), derivatives, labels, weights, names."""

from __future__ import annotations

import inspect
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, grad, gradcheck, losses
from minigrad.losses.loss import functions

with np.load(Path(__file__).parent / "golden" / "losses.npz", allow_pickle=False) as archive:
    GOLDEN = {name: archive[name] for name in archive.files}
CASES = list(enumerate(json.loads(str(GOLDEN["cases"]))))
SIGNATURES = json.loads(str(GOLDEN["signatures"]))
CLASSES = {
    name: cls for name, cls in vars(losses).items() if isinstance(cls, type) and cls._function is not None
}  # fmt: skip
BY_NAME = {f.__name__: f for f in functions.values()}
NEEDED = {"categorical_generalized_cross_entropy": {"q": 0.6}}  # what has no default


def name_of(case: Any) -> str:
    given = case[1]
    weights = [given["weights"]] if given["weights"] else []
    return "-".join([given["loss"], given["y_pred"], *weights, *(f"{k}={v}" for k, v in given["config"].items())])


def close(y: Tensor, expected: np.ndarray, dtype: str) -> None:
    assert (y.dtype, y.shape) == (dtype, expected.shape)
    tolerance = {"float64": 1e-6, "float32": 1e-5}[dtype]
    scale = max(1.0, float(abs(expected).max()))
    absolute = tolerance * scale if dtype == "float32" else 1e-12
    np.testing.assert_allclose(y.numpy(), expected, rtol=tolerance, atol=absolute)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_equals_keras(case: Any, dtype: str) -> None:
    index, given = case
    if given["y_pred"] == "sure":
        dtype = "float64"  # float32 rounds 1 - epsilon, and the logarithm shows it: a test below
    loss = losses.get({"class_name": given["loss"], "config": given["config"] | {"dtype": dtype}})
    y_pred = Tensor(GOLDEN[given["y_pred"]], dtype, requires_grad=True)
    y = loss(GOLDEN[given["y_true"]], y_pred, None if given["weights"] is None else GOLDEN[given["weights"]])
    close(y, GOLDEN[f"value_{index}"], dtype)
    close(grad(y.sum(), y_pred), GOLDEN[f"grad_{index}"], dtype)


def test_the_golden_numbers_cover_every_loss() -> None:
    assert {given["loss"] for _, given in CASES} == set(CLASSES)
    reductions = {given["config"].get("reduction") for _, given in CASES if given["loss"] == "MeanSquaredError"}
    assert reductions == {None, "none", "sum", "mean", "sum_over_batch_size", "mean_with_sample_weight"}


# ---------------------------------------------------------------------- derivatives, devices


def arguments_of(name: str) -> tuple[Any, np.ndarray]:
    """Targets and predictions away from kinks that every loss can take: inside (0, 1), labels for those of labels."""
    rng = np.random.default_rng(6)
    y_pred = rng.uniform(0.1, 0.9, (3, 4))
    if functions[name].labels:  # type: ignore[attr-defined]
        return np.array([1, 3, 0]), y_pred
    return rng.uniform(0.1, 0.9, (3, 4)), y_pred


@pytest.mark.parametrize("name", BY_NAME)
def test_gradients(name: str) -> None:
    y_true, y_pred = arguments_of(name)
    given = NEEDED.get(name, {})
    gradcheck(lambda p: BY_NAME[name](y_true, p, **given), [y_pred], order=2)
    if not functions[name].labels:  # type: ignore[attr-defined]
        gradcheck(lambda t, p: BY_NAME[name](t, p, **given), [y_true, y_pred], order=2)
    if "from_logits" in inspect.signature(BY_NAME[name]).parameters:
        gradcheck(lambda p: BY_NAME[name](y_true, p, from_logits=True), [y_pred], order=2)


@pytest.mark.parametrize("name", CLASSES)
def test_gradients_of_the_class(name: str) -> None:
    y_true, y_pred = arguments_of(CLASSES[name]._function.__name__)
    loss = CLASSES[name](dtype="float64")
    gradcheck(lambda p: loss(y_true, p, np.array(0.7)), [y_pred], order=2)


@pytest.mark.parametrize("name", CLASSES)
def test_runs_on_every_array_module(name: str) -> None:
    y_true, y_pred = arguments_of(CLASSES[name]._function.__name__)
    loss, weights = CLASSES[name](dtype="float64"), np.array(0.7)
    results = []
    for device in ("cpu", "standin"):
        t, p, w = (Tensor(x, device=device) for x in (y_true, y_pred, weights))
        p.requires_grad = True
        y = loss(t, p, w)
        assert y.device == device
        results.append((y.numpy(), grad(y.sum(), p).numpy()))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_ignored_labels_run_on_every_array_module() -> None:
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    logits = Tensor([[1.0, 2.0], [3.0, 1.0]], device="standin")
    assert loss(Tensor([1, -1], device="standin"), logits).item() == loss([1, -1], logits).item()


@pytest.mark.parametrize("name", BY_NAME)
def test_a_function_takes_numbers_and_arrays(name: str) -> None:
    y_true, y_pred = arguments_of(name)
    given = NEEDED.get(name, {})
    expected = BY_NAME[name](Tensor(y_true), Tensor(y_pred), **given).numpy()
    assert expected.dtype == np.float64
    np.testing.assert_array_equal(BY_NAME[name](y_true, y_pred, **given).numpy(), expected)
    from_numbers = BY_NAME[name](y_true.tolist(), y_pred.tolist(), **given)
    assert from_numbers.dtype == np.float32
    np.testing.assert_allclose(from_numbers.numpy(), expected, rtol=1e-4)


def test_a_loss_computes_in_its_dtype() -> None:
    y_pred = Tensor([[1.0, 3.0]], "float64", requires_grad=True)
    y = losses.MeanSquaredError()([[0, 0]], y_pred)
    assert y.dtype == np.float32
    assert grad(y, y_pred).dtype == np.float64
    assert losses.MeanSquaredError(dtype="float64")([[0, 0]], np.float32([[1, 3]])).dtype == np.float64
    assert losses.mean_squared_error([[0, 0]], [[1, 3]]).dtype == np.float32  # integers


def test_logits_have_gradients_where_probabilities_have_none() -> None:
    """As in Keras 3 on JAX and PyTorch: no logits are remembered behind a softmax."""
    logits = Tensor([[40.0, -40.0]], requires_grad=True)
    loss = losses.CategoricalCrossentropy()
    assert not grad(loss([[0.0, 1.0]], logits.softmax()), logits).numpy().any()
    loss = losses.CategoricalCrossentropy(from_logits=True)
    np.testing.assert_allclose(grad(loss([[0.0, 1.0]], logits), logits).numpy(), [[1.0, -1.0]])


def test_crossentropy_of_probabilities_of_0_is_that_of_keras_3() -> None:
    """tf.keras 2 adds epsilon inside the logarithm as well, and gets 15.42."""
    y = losses.BinaryCrossentropy(dtype="float64")([[1.0]], [[0.0]]).item()
    np.testing.assert_allclose(y, -np.log(1e-7), rtol=1e-12)
    y = losses.BinaryCrossentropy()([[0.0]], [[1.0]]).item()
    np.testing.assert_allclose(y, 15.942385, rtol=1e-6)  # of Keras 3 in float32, where 1 - epsilon is rounded


def test_a_class_that_is_impossible_spoils_no_other() -> None:
    """A logit of -inf, as a mask gives it, has probability 0."""
    logits = Tensor([[0.0, -np.inf]], requires_grad=True)
    y = losses.sparse_categorical_crossentropy([0], logits, from_logits=True)
    assert y.tolist() == [0.0]
    assert grad(y.sum(), logits).tolist() == [[0.0, 0.0]]


# ---------------------------------------------------------------------- labels


@pytest.mark.parametrize("ignore_class", [None, 5, -1])
@pytest.mark.parametrize("name", ["sparse_categorical_crossentropy", "categorical_generalized_cross_entropy"])
@pytest.mark.parametrize("label", [-2, 3])
def test_labels_out_of_range(name: str, label: int, ignore_class: int | None) -> None:
    given = {"ignore_class": ignore_class} if "sparse" in name else {"q": 0.5}
    with pytest.raises(ValueError, match=rf"{name}: labels must be 0 \.\. 2, for 3 classes\. Received: labels from"):
        losses.get(name)([0, label], np.full((2, 3), 1 / 3), **given)


def test_labels_with_fractions() -> None:
    assert losses.sparse_categorical_crossentropy([1.0], [[0.5, 0.5]]).shape == (1,)
    with pytest.raises(ValueError, match=r"labels: must be integers\. Received: float64 with fractions"):
        losses.sparse_categorical_crossentropy([0.5], [[0.5, 0.5]])


@pytest.mark.parametrize("name", ["sparse_categorical_crossentropy", "categorical_generalized_cross_entropy"])
def test_labels_on_a_device_are_not_asked_for_but_a_wrong_one_makes_nan(name: str) -> None:
    given = {} if "sparse" in name else {"q": 0.5}
    y_pred = Tensor(np.full((4, 3), 1 / 3, "float32"), device="standin")
    values = losses.get(name)(Tensor([0.0, 2.0, 3.0, 0.5], device="standin"), y_pred, **given)
    assert values.dtype == np.float32
    assert np.isnan(values.numpy()).tolist() == [False, False, True, True]
    np.testing.assert_array_equal(values.numpy()[:2], losses.get(name)([0, 2], y_pred[:2].to("cpu"), **given).numpy())


def test_labels_of_the_host_are_checked_there_and_moved() -> None:
    logits = Tensor([[1.0, 2.0], [3.0, 1.0]], device="standin")
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    assert loss(np.array([0, 1]), logits).item() == loss([0, 1], logits.to("cpu")).item()
    with pytest.raises(ValueError, match="Received: labels from 0 to 2"):
        loss(np.array([0, 2]), logits)
    with pytest.raises(TypeError, match=r"labels: must be on the device of y_pred.*labels on 'cpu', y_pred on 'standi"):
        loss(Tensor([0, 1]), logits)


def test_targets_and_weights_of_the_host_are_moved() -> None:
    y_pred = Tensor([[1.0, 2.0]], device="standin")
    found = losses.MeanSquaredError()(np.array([[0.0, 0.0]]), y_pred, np.array([0.5]))
    assert (found.item(), found.device) == (1.25, "standin")
    with pytest.raises(TypeError, match=r"arguments must be on one device.*'cpu'.*'standin'"):
        losses.MeanSquaredError()(Tensor([[0.0, 0.0]]), y_pred)


def test_large_labels_are_exact_in_half_precision() -> None:
    logits = np.zeros((1, 5000), "float16")
    logits[0, 4097] = 10.0  # float16 has no 4097
    assert losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float16")([4097], logits).item() < 1


@pytest.mark.parametrize(("t", "p"), [((2, 3), (2, 4, 5)), ((3,), (2, 4)), ((2, 4), (2, 4)), ((2,), (2, 2, 4))])
def test_labels_of_another_shape(t: tuple[int, ...], p: tuple[int, ...]) -> None:
    message = r"Arguments `target` and `output` must have the same shape up until the last dimension: target\.shape="
    with pytest.raises(ValueError, match=message):
        losses.sparse_categorical_crossentropy(np.zeros(t, int), np.ones(p))


@pytest.mark.parametrize(("p", "axis"), [((), -1), ((2, 3), 2)])
def test_an_axis_that_is_not_there(p: tuple[int, ...], axis: int) -> None:
    with pytest.raises(ValueError, match=r"crossentropy: axis must be one of y_pred\. Received: axis="):
        losses.sparse_categorical_crossentropy([0, 0], np.ones(p), axis=axis)


@pytest.mark.parametrize("axis", [0, 1, -2])
def test_classes_along_another_axis(axis: int) -> None:
    rng = np.random.default_rng(7)
    logits, labels = rng.normal(size=(2, 3, 4)), rng.integers(0, 4, (2, 3))
    expected = losses.sparse_categorical_crossentropy(labels, logits, from_logits=True).numpy()
    for given in (labels, np.expand_dims(labels, axis)):
        moved = np.moveaxis(logits, -1, axis)
        y = losses.sparse_categorical_crossentropy(given, moved, from_logits=True, axis=axis)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "name",
    ["categorical_crossentropy", "categorical_focal_crossentropy", "binary_crossentropy", "binary_focal_crossentropy"],
)
def test_targets_of_another_shape(name: str) -> None:
    message = r"Arguments `target` and `output` must have the same shape\. Received: target\.shape=\(2, 4\)"
    with pytest.raises(ValueError, match=message):
        losses.get(name)(np.ones((2, 4)), np.ones((2, 3)))


def test_targets_without_an_axis() -> None:
    with pytest.raises(ValueError, match=r"`target` and `output` must be at least rank 1\. Received: shape=\(\)"):
        losses.categorical_crossentropy(1.0, np.array(1.0))


@pytest.mark.parametrize("name", ["categorical_crossentropy", "categorical_focal_crossentropy"])
def test_one_class_is_probably_a_mistake(name: str) -> None:
    with pytest.warns(SyntaxWarning, match=f"In loss {name}, expected y_pred.shape to be .* with num_classes > 1"):
        losses.get(name)([[1.0]], [[0.5]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses.get(name)([[1.0, 0.0]], [[0.5, 0.5]])


@pytest.mark.parametrize("q", [0, 1, -0.5, 2.0, "a"])
def test_q_outside_its_interval(q: Any) -> None:
    message = r"q must be in the interval \(0, 1\)|expected a finite number"
    with pytest.raises(ValueError, match=message):
        losses.categorical_generalized_cross_entropy([0], [[0.5, 0.5]], q)
    with pytest.raises(ValueError, match=message):
        losses.CategoricalGeneralizedCrossEntropy(q)


# ---------------------------------------------------------------------- weights, reduction, masks


@pytest.mark.parametrize("reduction", ["average", 3, "Sum", ["sum"]])
def test_an_unknown_reduction(reduction: Any) -> None:
    message = r"Invalid value for argument `reduction`\. Expected one of \{.*Received: reduction="
    with pytest.raises(ValueError, match=message):
        losses.MeanSquaredError(reduction=reduction)


def test_the_word_of_keras_2_for_the_default_reduction() -> None:
    assert losses.MeanSquaredError("auto").reduction == "sum_over_batch_size"


def test_weights_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"MeanSquaredError: sample_weight must have a weight for each sample"):
        losses.MeanSquaredError()(np.zeros((4, 3)), np.ones((4, 3)), [1.0, 2.0])


def test_an_empty_batch() -> None:
    assert losses.MeanSquaredError()(np.zeros((0, 3)), np.ones((0, 3))).shape == (0,)  # as it is, like Keras
    assert losses.MeanSquaredError()(np.zeros((0, 3, 2)), np.ones((0, 3, 2))).item() == 0


def test_gradients_reach_the_weights() -> None:
    weights = Tensor([1.0, 2.0], requires_grad=True)
    y = losses.MeanSquaredError()([[0.0], [0.0]], [[1.0], [3.0]], weights)
    assert grad(y, weights).tolist() == [0.5, 4.5]


# ---------------------------------------------------------------------- classes, names, configs


def test_every_loss_of_keras_is_there_with_its_arguments() -> None:
    refused = {"CTC", "Circle", "ctc", "circle"}
    base = {"Loss", "LossFunctionWrapper"}
    assert set(CLASSES) | set(BY_NAME) == set(SIGNATURES) - refused - base
    for name in BY_NAME:
        parameters = inspect.signature(BY_NAME[name]).parameters.values()
        mine = [[p.name, "required" if p.default is p.empty else p.default] for p in parameters]
        assert mine == SIGNATURES[name], name
    for name, cls in CLASSES.items():
        parameters = inspect.signature(cls).parameters.values()
        mine = [[p.name, cls().name if p.name == "name" else p.default] for p in parameters]
        assert mine == SIGNATURES[name], name


@pytest.mark.parametrize("name", CLASSES)
def test_round_trip(name: str) -> None:
    loss = CLASSES[name]()
    config = loss.get_config()
    assert set(config) == {"name", "reduction", *inspect.signature(CLASSES[name]).parameters} - {"dtype"}
    assert losses.deserialize(losses.serialize(loss)).get_config() == config
    assert CLASSES[name](name="mine", reduction="sum", dtype="float64").get_config()["dtype"] == "float64"
    assert losses.deserialize({"class_name": name, "config": config}).get_config() == config  # as tf.keras 2 writes it
    assert isinstance(losses.get(name), CLASSES[name])
    assert isinstance(losses.get(CLASSES[name]), CLASSES[name])
    assert CLASSES[name].__doc__


@pytest.mark.parametrize("name", BY_NAME)
def test_functions_have_names(name: str) -> None:
    assert losses.get(name) is BY_NAME[name]
    assert losses.serialize(BY_NAME[name]) == name
    described = {"module": "builtins", "class_name": "function", "config": name, "registered_name": name}
    assert losses.deserialize(described) is BY_NAME[name]
    assert BY_NAME[name].__doc__


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("mse", "mean_squared_error"), ("MSE", "mean_squared_error"), ("mae", "mean_absolute_error"),
        ("MAE", "mean_absolute_error"), ("mape", "mean_absolute_percentage_error"),
        ("MAPE", "mean_absolute_percentage_error"), ("msle", "mean_squared_logarithmic_error"),
        ("MSLE", "mean_squared_logarithmic_error"), ("kld", "kl_divergence"), ("KLD", "kl_divergence"),
        ("kullback_leibler_divergence", "kl_divergence"), ("bce", "binary_crossentropy"),
        ("BCE", "binary_crossentropy"), ("logcosh", "log_cosh"), ("huber_loss", "huber"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    assert losses.get(alias) is BY_NAME[name]


def test_get() -> None:
    assert losses.get(None) is None
    loss = losses.Huber(2.0)
    assert losses.get(loss) is loss
    assert loss.name == "huber_loss"
    assert losses.get(np.hypot) is np.hypot


@pytest.mark.parametrize("identifier", ["foo", 3, {"class_name": "function", "config": "foo"}])
def test_get_of_what_is_no_loss(identifier: Any) -> None:
    with pytest.raises(ValueError, match="Could not interpret loss identifier: "):
        losses.get(identifier)


@pytest.mark.parametrize("value", [1.5, "a", True])
def test_an_axis_that_is_no_integer(value: Any) -> None:
    with pytest.raises(ValueError, match=r"`axis` must be of type `int`\. Received: axis="):
        losses.CategoricalCrossentropy(axis=value)


@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_a_dtype_that_is_not_floating(dtype: str) -> None:
    with pytest.raises(ValueError, match=r"Argument `dtype` must name a floating dtype\. Received: dtype="):
        losses.MeanSquaredError(dtype=dtype)


class Worst(losses.Loss):
    """A loss of a user."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_true - y_pred).abs().max(-1)


def test_a_loss_of_a_user() -> None:
    loss = Worst(reduction="sum")
    assert loss.name == "worst"
    assert loss([[0, 0], [0, 1]], [[1.0, 3.0], [5.0, 1.0]], [1.0, 0.5]).item() == 5.5
    assert losses.get("Worst")([[0.0]], [[1.0]]).item() == 1
    assert losses.deserialize(losses.serialize(loss)).get_config() == {"reduction": "sum", "name": "worst"}


def test_a_loss_without_call() -> None:
    with pytest.raises(NotImplementedError, match=r"Loss\.call: must be written\. Received: no call\(\)"):
        losses.Loss()([[0.0]], [[1.0]])


def test_a_function_as_a_loss() -> None:
    loss = losses.LossFunctionWrapper(lambda t, p: (t - p).abs().max(-1), reduction="sum")
    assert loss([[0, 0]], [[1.0, 3.0]]).item() == 3
    assert losses.LossFunctionWrapper("mse").get_config()["fn"] == "mean_squared_error"
    assert losses.deserialize(losses.serialize(losses.LossFunctionWrapper("mse")))([[0.0]], [[2.0]]).item() == 4


@pytest.mark.parametrize("fn", [None, "foo", 3])
def test_what_is_no_function_is_no_loss(fn: Any) -> None:
    with pytest.raises(ValueError, match=r"fn must be a function or its name|Could not interpret loss identifier"):
        losses.LossFunctionWrapper(fn)


# ---------------------------------------------------------------------- the axis of the classes, and focal losses


@pytest.mark.parametrize("name", ["categorical_crossentropy", "categorical_focal_crossentropy"])
@pytest.mark.parametrize("axis", [0, 1, -2])
@pytest.mark.parametrize("from_logits", [False, True])
def test_smoothing_along_another_axis(name: str, axis: int, from_logits: bool) -> None:
    rng = np.random.default_rng(1)
    y = np.eye(5)[rng.integers(0, 5, (2, 3))]
    p = rng.uniform(0.1, 1, (2, 3, 5))
    kwargs = {"from_logits": from_logits, "label_smoothing": 0.4}
    expected = losses.get(name)(y, p, **kwargs).numpy()
    got = losses.get(name)(np.moveaxis(y, -1, axis), np.moveaxis(p, -1, axis), axis=axis, **kwargs)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)


def test_one_class_is_looked_for_along_the_axis() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses.categorical_crossentropy(np.ones((1, 3, 1)) / 3, np.ones((1, 3, 1)), axis=1)
    with pytest.warns(SyntaxWarning, match="num_classes > 1"):
        losses.categorical_crossentropy(np.ones((2, 1, 3)), np.ones((2, 1, 3)), axis=1)
    with pytest.raises(ValueError, match=r"categorical_crossentropy: axis must be one of y_pred\. Received: axis=2"):
        losses.categorical_crossentropy(np.ones((2, 3)), np.ones((2, 3)), axis=2, label_smoothing=0.1)


@pytest.mark.parametrize("logit", [-400.0, -40.0, -3.0, 0.5, 17.0, 40.0, 120.0, 900.0])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_focal_losses_of_logits_are_exact(logit: float, gamma: float, dtype: str) -> None:
    wrong = np.exp(-np.logaddexp(0.0, logit))  # 1 - p, and its logarithm is exact; float64
    right = np.exp(-np.logaddexp(0.0, -logit))
    crossentropy = np.logaddexp(0.0, -logit)
    expected = wrong**gamma * crossentropy
    slope = -(wrong ** (1 + gamma)) - gamma * wrong**gamma * right * crossentropy
    binary = Tensor(np.array([[logit]], dtype), requires_grad=True)
    of_two = Tensor(np.array([[0.0, logit]], dtype), requires_grad=True)
    for loss, x, at in (
        (losses.binary_focal_crossentropy([[1.0]], binary, gamma=gamma, from_logits=True), binary, (0, 0)),
        (losses.binary_focal_crossentropy([[0.0]], -binary, gamma=gamma, from_logits=True), binary, (0, 0)),
        (losses.categorical_focal_crossentropy([[0.0, 1.0]], of_two, 1.0, gamma, from_logits=True), of_two, (0, 1)),
    ):
        # of two classes near 1 is as exact as log_softmax
        absolute = 1e-30 if x is binary else {"float32": 2e-7, "float64": 1e-15}[dtype] ** min(1.0, gamma + 1)
        np.testing.assert_allclose(loss.item(), expected, rtol=3e-5, atol=absolute)
        derivative = grad(loss.sum(), x).numpy()[at]
        assert np.isfinite(derivative)
        absolute = max(absolute, 1e-3 if x is of_two and logit > 10 and gamma < 1 else 0)
        np.testing.assert_allclose(derivative, slope, rtol=3e-5, atol=absolute)


def test_a_sure_probability_has_a_focal_gradient() -> None:
    p = Tensor([[1.0, 0.0, 0.5]], requires_grad=True)
    loss = losses.binary_focal_crossentropy([[1.0, 0.0, 1.0]], p, gamma=0.5).sum()
    assert np.isfinite(grad(loss, p).numpy()).all()


def test_focal_losses_of_soft_targets() -> None:
    rng = np.random.default_rng(2)
    t = rng.uniform(0, 1, (3, 4))
    for kwargs in ({"gamma": 2.0}, {"gamma": 0.5, "apply_class_balancing": True}):
        gradcheck(
            lambda x, kwargs=kwargs: losses.binary_focal_crossentropy(t, x, from_logits=True, **kwargs),
            Tensor(rng.normal(size=(3, 4)), "float64"),
        )
