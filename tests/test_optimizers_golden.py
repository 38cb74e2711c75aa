"""Optimizers against Keras 3: ten steps of four weights, for every optimizer with every option.

tests/golden/optimizers.py made the numbers and says what they are; Keras is not needed here.
"""

from __future__ import annotations

import inspect
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import constraints, optimizers
from minigrad.optimizers import Optimizer
from minigrad.variable import Variable

with np.load(Path(__file__).parent / "golden" / "optimizers.npz", allow_pickle=False) as archive:
    GOLDEN = dict(archive)
CASES, WEIGHTS, SIGNATURES = (json.loads(str(GOLDEN[name])) for name in ("cases", "weights", "signatures"))
RECORDED = GOLDEN["recorded"].tolist()
TOLERANCE = {"float64": 1e-7, "float32": 3e-6}  # of the greatest number of the case
PAPER = "Adafactor"  # keeps as much as its paper says; Keras keeps the full second moment of every matrix too



def averaged(case: dict[str, Any]) -> bool:
    """Whether Keras averages what the constraints have yet to project, and at calls that only add gradients up."""
    return "use_ema" in case["config"] and bool(case["constraints"])


def name_of(number: int) -> str:
    case = CASES[number]
    options = {name: value for name, value in case["config"].items() if name != "learning_rate"}
    parts = [f"{name}={value}" for name, value in options.items()]
    parts += [f"{name}-{case[name]}" for name in ("excluded", "missing", "constraints") if case[name]]
    return "-".join([case["optimizer"], *parts, str(number)]).replace(" ", "")


def split(numbers: np.ndarray) -> list[np.ndarray]:
    ends = np.cumsum([np.prod(shape) for shape in WEIGHTS.values()])
    return [part.reshape(shape) for part, shape in zip(np.split(numbers, ends[:-1]), WEIGHTS.values(), strict=True)]


def flat(variables: list[Variable]) -> np.ndarray:
    return np.concatenate([np.ravel(variable.numpy()) for variable in variables])


def run(case: dict[str, Any], dtype: str, device: str = "cpu") -> tuple[np.ndarray, Optimizer]:
    """The numbers of the weights after each recorded step, and the optimizer."""
    weights = [
        Variable(value, dtype, device, name=path.split("/")[1], path=path,
                 constraint=constraints.get(case["constraints"].get(path)))
        for path, value in zip(WEIGHTS, split(GOLDEN["start"]), strict=True)
    ]  # fmt: skip
    optimizer = optimizers.deserialize({"class_name": case["optimizer"], "config": case["config"]})
    if case["excluded"]:
        optimizer.exclude_from_weight_decay(var_names=case["excluded"])
    recorded = []
    for step, numbers in enumerate(GOLDEN["gradients"], 1):
        gradients: list[Any] = [Variable(part, dtype, device).value for part in split(numbers)]
        if step in case["missing"]:
            gradients[1] = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a gradient is missing
            optimizer.apply(gradients, weights)
        if step in RECORDED:
            recorded.append(flat(weights))
    return np.stack(recorded), optimizer


def assert_close(computed: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(computed, expected, rtol=0, atol=tolerance * float(abs(expected).max()))


@pytest.mark.parametrize(
    "number",
    [i for i, c in enumerate(CASES) if not (averaged(c) and "ema_overwrite_frequency" in c["config"])], ids=name_of,
)  # fmt: skip
def test_ten_steps_equal_those_of_keras(number: int) -> None:
    case = CASES[number]
    for dtype, tolerance in TOLERANCE.items():
        computed, optimizer = run(case, dtype)
        assert computed.dtype == dtype
        assert_close(computed, GOLDEN[dtype][number], tolerance)
        assert {state.dtype for state in optimizer.variables if state.size > 1} <= {np.dtype(dtype)}


STATES = np.split(GOLDEN["state64"], np.cumsum(GOLDEN["state_sizes"])[:-1])


@pytest.mark.parametrize("number", [i for i, case in enumerate(CASES) if case["optimizer"] != PAPER], ids=name_of)
def test_the_state_is_that_of_keras_in_its_order(number: int) -> None:
    _, optimizer = run(CASES[number], "float64")
    names = ["u_product" if name.startswith("variable") else name for name in CASES[number]["state"]]  # Keras has none
    assert [state.name for state in optimizer.variables] == names
    if averaged(CASES[number]):
        if "ema_overwrite_frequency" in CASES[number]["config"]:  # then the averages decide about all that follows
            return
        of_whom = [name.endswith("_average") for name in CASES[number]["state"]]
        sizes = [state.size for state in optimizer.variables]
        right = ~np.repeat(of_whom, sizes)
        assert_close(flat(optimizer.variables)[right], STATES[number][right], 1e-7)
        return
    assert_close(flat(optimizer.variables), STATES[number], 1e-7)


@pytest.mark.parametrize("number", range(0, len(CASES), 3), ids=name_of)
def test_another_array_module_takes_the_same_steps(number: int) -> None:
    computed, optimizer = run(CASES[number], "float32", "standin")
    expected, _ = run(CASES[number], "float32")
    assert_close(computed, expected, 1e-6)
    assert {state.device for state in optimizer._state if state.name != "u_product"} <= {"standin"}


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_and_defaults_are_those_of_keras(name: str) -> None:
    cls = getattr(optimizers, name)
    own = {p.name: p.default for p in inspect.signature(cls).parameters.values()}
    assert list(own) == list(SIGNATURES[name])
    assert own == SIGNATURES[name]
    config = cls().get_config()
    assert config.keys() == SIGNATURES[name].keys()


def test_the_golden_numbers_cover_every_optimizer_and_option() -> None:
    members = {cls.__name__ for cls in vars(optimizers).values() if isinstance(cls, type)} - {"Optimizer"}
    assert {case["optimizer"] for case in CASES} == members == set(SIGNATURES)
    for name in members:
        mine = [case for case in CASES if case["optimizer"] == name]
        tried = {argument for case in mine for argument in case["config"]}
        assert tried == set(SIGNATURES[name]) - {"name"}
        for kind in ("excluded", "missing", "constraints"):
            assert any(case[kind] for case in mine)
