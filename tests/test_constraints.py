"""Constraints: the numbers of Keras 3 and tf.keras 2 (tests/golden/constraints.py), names, errors."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, constraints
from minigrad.variable import Variable

with np.load(Path(__file__).parent / "golden" / "constraints.npz", allow_pickle=False) as archive:
    GOLDEN = {name: archive[name] for name in archive.files}
CASES = list(enumerate(json.loads(str(GOLDEN["cases"]))))
SIGNATURES = json.loads(str(GOLDEN["signatures"]))
CLASSES = {
    name: cls
    for name, cls in vars(constraints).items()
    if isinstance(cls, type) and issubclass(cls, constraints.Constraint) and cls is not constraints.Constraint
}


def name_of(case: Any) -> str:
    name, config, weight = case[1]
    return "-".join([name, *(f"{key}={value}" for key, value in config.items()), weight])


def fitting(case: Any) -> bool:
    """Axes that the weight has."""
    axes = case[1][1].get("axis", 0)
    return max(axes if isinstance(axes, list) else [axes]) < GOLDEN[f"w_{case[1][2]}"].ndim


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_equals_keras(case: Any, dtype: str) -> None:
    index, (name, config, weight) = case
    w, expected = GOLDEN[f"w_{weight}"].astype(dtype), GOLDEN[f"projected_{index}"]
    for given in (w, Tensor(w), Variable(w)):
        before = w.copy()
        y = CLASSES[name](**config)(given)
        assert type(y) is Tensor
        assert (y.dtype, y.shape) == (dtype, w.shape)
        assert not y.requires_grad
        tolerance = 1e-6 if dtype == "float64" and name != "RadialConstraint" else 1e-5
        np.testing.assert_allclose(y.numpy(), expected, rtol=tolerance, atol=1e-3 * tolerance)
        np.testing.assert_array_equal(w, before)


def test_the_golden_numbers_cover_every_constraint() -> None:
    assert {case[0] for _, case in CASES} == set(CLASSES)
    assert all(fitting(case) for case in CASES)


def test_every_constraint_of_keras_is_there_with_its_arguments() -> None:
    for name, arguments in SIGNATURES.items():
        cls = type(constraints.get(name))
        assert [[p.name, p.default] for p in inspect.signature(cls).parameters.values()] == arguments
    there = {type(constraints.get(name)) for name in SIGNATURES}
    assert there | {constraints.RadialConstraint} == {*CLASSES.values(), constraints.Constraint}


@pytest.mark.parametrize("axis", [0, 1, -1, [0, 1], (1, 2), [0, -1]])
@pytest.mark.parametrize("name", ["MaxNorm", "UnitNorm", "MinMaxNorm"])
def test_axes(name: str, axis: Any) -> None:
    w = 5 * np.random.default_rng(13).normal(size=(3, 4, 2))
    axes = tuple(axis) if isinstance(axis, list) else axis
    norms = np.sqrt((CLASSES[name](axis=axis)(w).numpy() ** 2).sum(axis=axes))
    assert (norms <= (2 if name == "MaxNorm" else 1) + 1e-6).all()
    if name != "MaxNorm":
        np.testing.assert_allclose(norms, 1, rtol=1e-4)


@pytest.mark.parametrize("name", CLASSES)
def test_zero_stays_zero(name: str) -> None:
    assert not CLASSES[name]()(np.zeros((3, 3, 2, 2))).numpy().any()


@pytest.mark.parametrize("name", CLASSES)
def test_runs_on_every_array_module(name: str) -> None:
    w = np.random.default_rng(14).normal(size=(3, 3, 2, 2))
    here, there = (CLASSES[name]()(Tensor(w, device=device)) for device in ("cpu", "standin"))
    assert there.device == "standin"
    np.testing.assert_allclose(here.numpy(), there.numpy(), rtol=1e-14)


def test_a_kernel_of_one_tap_is_its_own_ring() -> None:
    """tf.keras 2 fails on it."""
    assert constraints.RadialConstraint()(np.full((1, 1, 1, 2), 3.0)).numpy().ravel().tolist() == [3.0, 3.0]


def test_a_unit_norm_within_the_limit_still_shrinks_a_little() -> None:
    """By n / (n + epsilon), as in Keras."""
    y = constraints.MaxNorm(2.0)(np.array([1.0])).item()
    assert y == 1 / (1 + 1e-7)


# ---------------------------------------------------------------------- names, configs, errors


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("max_norm", "MaxNorm"), ("MaxNorm", "MaxNorm"), ("maxnorm", "MaxNorm"), ("non_neg", "NonNeg"),
        ("NonNeg", "NonNeg"), ("nonneg", "NonNeg"), ("unit_norm", "UnitNorm"), ("UnitNorm", "UnitNorm"),
        ("unitnorm", "UnitNorm"), ("min_max_norm", "MinMaxNorm"), ("MinMaxNorm", "MinMaxNorm"),
        ("minmaxnorm", "MinMaxNorm"), ("radial_constraint", "RadialConstraint"),
        ("RadialConstraint", "RadialConstraint"), (constraints.NonNeg, "NonNeg"),
        ({"class_name": "MaxNorm", "config": {"max_value": 3, "axis": [0, 1]}}, "MaxNorm"),
    ],
)
def test_get(identifier: Any, name: str) -> None:
    assert type(constraints.get(identifier)) is CLASSES[name]


def test_get_of_none_and_of_functions() -> None:
    assert constraints.get(None) is None
    assert constraints.get(abs) is abs


@pytest.mark.parametrize("identifier", ["foo", 0.01, 3, ["nonneg"]])
def test_get_of_what_is_no_constraint(identifier: Any) -> None:
    with pytest.raises(ValueError, match="Could not interpret constraint identifier: "):
        constraints.get(identifier)


@pytest.mark.parametrize("name", CLASSES)
def test_round_trip(name: str) -> None:
    arguments = {"axis": [0, 1]} if "axis" in inspect.signature(CLASSES[name]).parameters else {}
    constraint = CLASSES[name](**arguments)
    config = constraint.get_config()
    assert list(config) == list(inspect.signature(CLASSES[name]).parameters)
    again = constraints.deserialize(json.loads(json.dumps(constraints.serialize(constraint))))
    assert type(again) is CLASSES[name]
    assert again.get_config() == config


@pytest.mark.parametrize("axis", ["a", 0.5, None, [0, "a"], True])
@pytest.mark.parametrize("name", ["MaxNorm", "UnitNorm", "MinMaxNorm"])
def test_an_axis_that_is_none(name: str, axis: Any) -> None:
    message = r"The `axis` argument must be an integer or a list of integers\. Received: axis="
    with pytest.raises(ValueError, match=message):
        CLASSES[name](axis=axis)


@pytest.mark.parametrize(
    ("name", "argument"),
    [("MaxNorm", "max_value"), ("MinMaxNorm", "min_value"), ("MinMaxNorm", "max_value"), ("MinMaxNorm", "rate")],
)
def test_a_number_that_is_none(name: str, argument: str) -> None:
    with pytest.raises(ValueError, match=f"Invalid value for argument {argument}: expected a finite number"):
        CLASSES[name](**{argument: "a"})


@pytest.mark.parametrize("shape", [(3, 3), (3, 4, 2), (3, 4, 1, 1)])
def test_a_weight_without_rings(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"The weight tensor must have rank 4 and be square\. Received: shape=\(3, "):
        constraints.RadialConstraint()(np.ones(shape))


class Halves(constraints.Constraint):
    """A constraint of a user, written as for Keras."""

    def __call__(self, w: Any) -> Any:
        return w / 2


def test_a_constraint_of_a_user() -> None:
    w = Tensor([1.0, -3.0])
    assert constraints.Constraint()(w).tolist() == [1.0, -3.0]
    assert constraints.Constraint().get_config() == {}
    assert constraints.get("Halves")(w).tolist() == [0.5, -1.5]
