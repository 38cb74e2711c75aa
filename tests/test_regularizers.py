"""Regularizers: the numbers of Keras 3 (tests/golden/regularizers.py), derivatives, names, errors."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, grad, gradcheck, regularizers

with np.load(Path(__file__).parent / "golden" / "regularizers.npz", allow_pickle=False) as archive:
    GOLDEN = {name: archive[name] for name in archive.files}
CASES = list(enumerate(json.loads(str(GOLDEN["cases"]))))
SIGNATURES = json.loads(str(GOLDEN["signatures"]))
CLASSES = {
    name: cls
    for name, cls in vars(regularizers).items()
    if isinstance(cls, type) and issubclass(cls, regularizers.Regularizer) and cls is not regularizers.Regularizer
}
FACTORS = {
    name: [p.name for p in inspect.signature(cls).parameters.values() if p.name != "mode"]
    for name, cls in CLASSES.items()
}
TOLERANCE = {"float64": 1e-6, "float32": 1e-5}


def name_of(case: Any) -> str:
    name, config, weight = case[1]
    return "-".join([name, *(f"{key}={value}" for key, value in config.items()), weight])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_equals_keras(case: Any, dtype: str) -> None:
    index, (name, config, weight) = case
    w = Tensor(GOLDEN[f"w_{weight}"], dtype, requires_grad=True)
    penalty = CLASSES[name](**config)(w)
    assert (penalty.dtype, penalty.shape) == (dtype, ())
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype] ** 2}
    np.testing.assert_allclose(penalty.numpy(), GOLDEN["value"][index], **close)
    if penalty.node is None:  # both factors 0
        assert not GOLDEN[f"grad_{index}"].any()
        return
    gradient, expected = grad(penalty, w).numpy(), GOLDEN[f"grad_{index}"]
    assert np.isfinite(gradient).all()
    known = np.isfinite(expected)  # a row of zeros makes it nan in PyTorch, and 0 here
    assert known.all() or weight == "with_zero_row"
    scale = abs(expected[known]).max()  # Keras normalizes in float32 on the way, whatever the dtype
    np.testing.assert_allclose(gradient[known], expected[known], rtol=0, atol=TOLERANCE[dtype] * scale)


def test_the_golden_numbers_cover_every_regularizer() -> None:
    assert {case[0] for _, case in CASES} == set(CLASSES)


def test_every_regularizer_of_keras_is_there_with_its_arguments() -> None:
    for name, arguments in SIGNATURES.items():
        cls = type(regularizers.get(name))
        assert [[p.name, p.default] for p in inspect.signature(cls).parameters.values()] == arguments
    assert {type(regularizers.get(name)) for name in SIGNATURES} == {*CLASSES.values(), regularizers.Regularizer}


@pytest.mark.parametrize("name", CLASSES)
def test_gradients(name: str) -> None:
    w = np.random.default_rng(11).normal(size=(4, 3))
    regularizer = CLASSES[name](**dict.fromkeys(FACTORS[name], 0.7))
    gradcheck(regularizer, [w], order=2)


@pytest.mark.parametrize("name", CLASSES)
def test_runs_on_every_array_module(name: str) -> None:
    w = np.random.default_rng(12).normal(size=(4, 3))
    for regularizer in (CLASSES[name](), CLASSES[name](0.5)):
        here, there = (regularizer(Tensor(w, device=device)) for device in ("cpu", "standin"))
        assert there.device == "standin"
        assert here.item() == there.item()


def test_a_matrix_of_one_row_has_no_pairs() -> None:
    assert regularizers.OrthogonalRegularizer()(Tensor([[1.0, 2.0]])).item() == 0


def test_orthogonal_columns_cost_nothing() -> None:
    w = Tensor([[1.0, -1.0], [1.0, 1.0], [1.0, 0.0]])
    assert abs(regularizers.OrthogonalRegularizer(mode="columns")(w).item()) < 1e-8
    assert regularizers.OrthogonalRegularizer(mode="rows")(w).item() > 1e-3


# ---------------------------------------------------------------------- names, configs, errors


@pytest.mark.parametrize(
    ("identifier", "config"),
    [
        ("l1", {"l1": 0.01}), ("L1", {"l1": 0.01}), ("l2", {"l2": 0.01}), ("L2", {"l2": 0.01}),
        ("l1_l2", {"l1": 0.01, "l2": 0.01}),  # of tf.keras 2
        ("l1l2", {"l1": 0.0, "l2": 0.0}), ("L1L2", {"l1": 0.0, "l2": 0.0}),  # of Keras 3
        ("orthogonal_regularizer", {"factor": 0.01, "mode": "rows"}),
        ("OrthogonalRegularizer", {"factor": 0.01, "mode": "rows"}),
        ({"class_name": "L2", "config": {"l2": 0.5}}, {"l2": 0.5}),
        (
            {"module": "keras.regularizers", "class_name": "L1", "config": {"l1": 0.5}, "registered_name": None},
            {"l1": 0.5},
        ),
        (regularizers.L1, {"l1": 0.01}),
    ],
)
def test_get(identifier: Any, config: dict[str, Any]) -> None:
    assert regularizers.get(identifier).get_config() == config


def test_get_of_none_and_of_functions() -> None:
    assert regularizers.get(None) is None
    assert regularizers.get(abs) is abs


def test_the_function_of_keras_2() -> None:
    assert regularizers.l1_l2().get_config() == {"l1": 0.01, "l2": 0.01}
    assert regularizers.l1_l2(0.1, 0.2).get_config() == {"l1": 0.1, "l2": 0.2}


@pytest.mark.parametrize("identifier", ["foo", 0.01, 3, ["l1"]])
def test_get_of_what_is_no_regularizer(identifier: Any) -> None:
    with pytest.raises(ValueError, match="Could not interpret regularizer identifier: "):
        regularizers.get(identifier)


@pytest.mark.parametrize("name", CLASSES)
def test_round_trip(name: str) -> None:
    regularizer = CLASSES[name](0.3)
    config = regularizer.get_config()
    assert list(config) == list(inspect.signature(CLASSES[name]).parameters)
    again = regularizers.deserialize(json.loads(json.dumps(regularizers.serialize(regularizer))))
    assert type(again) is CLASSES[name]
    assert again.get_config() == config


def test_configs_hold_exact_numbers() -> None:
    """Where Keras rounds the factor of L1 to float32, 0.009999999776482582."""
    assert regularizers.L1(0.01).get_config() == {"l1": 0.01}


@pytest.mark.parametrize("value", ["a", [0.1], -1.0, float("inf"), float("nan"), np.float32(0.1), True])
@pytest.mark.parametrize(("name", "argument"), [(name, a) for name in FACTORS for a in FACTORS[name]])
def test_a_factor_that_is_none(name: str, argument: str, value: Any) -> None:
    message = rf"Invalid value for argument {argument}: expected a non-negative float\.Received: {argument}="
    with pytest.raises(ValueError, match=message):
        CLASSES[name](**{argument: value})


def test_validate_float_arg() -> None:
    assert regularizers.validate_float_arg(1, "x") == 1.0
    assert isinstance(regularizers.validate_float_arg(1, "x"), float)
    assert regularizers.validate_float_arg(np.float64(0.5), "x") == 0.5
    with pytest.raises(ValueError, match=r"argument x: expected a non-negative float\.Received: x=-1"):
        regularizers.validate_float_arg(-1, "x")


def test_errors_of_orthogonal_regularizer() -> None:
    with pytest.raises(ValueError, match=r"The `mode` argument must be one of .*Received: mode='diagonal'"):
        regularizers.OrthogonalRegularizer(mode="diagonal")
    with pytest.raises(ValueError, match=r"expected a non-negative float\.Received: factor=None"):
        regularizers.OrthogonalRegularizer(None)
    message = r"Inputs to OrthogonalRegularizer must have rank 2\. Received: inputs\.shape=\(2, 3, 4\)"
    with pytest.raises(ValueError, match=message):
        regularizers.OrthogonalRegularizer()(Tensor.zeros(2, 3, 4))


class Largest(regularizers.Regularizer):
    """A regularizer of a user, written as for Keras."""

    def __init__(self, weight: float = 2.0) -> None:
        self.weight = weight

    def __call__(self, w: Tensor) -> Any:
        return self.weight * w.abs().max()


def test_a_regularizer_of_a_user() -> None:
    assert regularizers.Regularizer()(Tensor([1.0])) == 0.0
    assert regularizers.get("Largest")(Tensor([1.0, -3.0])).item() == 6
    assert regularizers.deserialize(regularizers.serialize(Largest(5.0))).weight == 5
