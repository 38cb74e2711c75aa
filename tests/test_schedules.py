"""Schedules against the numbers of Keras 3 (tests/golden/schedules.py made them), their configs and their errors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.optimizers import SGD, schedules
from minigrad.optimizers.schedules import CosineDecayRestarts, LearningRateSchedule, PiecewiseConstantDecay

with np.load(Path(__file__).parent / "golden" / "schedules.npz", allow_pickle=False) as archive:
    GOLDEN = dict(archive)
CASES = json.loads(str(GOLDEN["cases"]))
NAMES = [name for name in schedules.__all__ if name.endswith(("Decay", "Restarts"))]


def made(case: dict[str, Any]) -> LearningRateSchedule:
    return getattr(schedules, case["schedule"])(**case["config"])


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: f"{CASES[number]['schedule']}-{number}")
def test_learning_rates_equal_those_of_keras(number: int) -> None:
    schedule = made(CASES[number])
    rates = [schedule(step) for step in GOLDEN["steps"].tolist()]
    assert {type(rate) for rate in rates} == {float}
    np.testing.assert_allclose(rates, GOLDEN["values"][number], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: f"{CASES[number]['schedule']}-{number}")
def test_configs_equal_those_of_keras_and_make_the_same_schedule(number: int) -> None:
    schedule = made(CASES[number])
    assert schedule.get_config() == CASES[number]["full_config"]
    described = json.loads(json.dumps(schedules.serialize(schedule)))
    assert described["module"] == "keras.optimizers.schedules"
    again = schedules.deserialize(described)
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()


def test_the_golden_numbers_cover_all_schedules() -> None:
    assert {case["schedule"] for case in CASES} == set(NAMES)
    assert len(NAMES) == 6
    for name in NAMES:
        given = {key for case in CASES if case["schedule"] == name for key in case["config"]}
        assert given | {"name"} == set(getattr(schedules, name)._arguments)


@pytest.mark.parametrize("t_mul", [1.0, 1.1, 1.5, 2.0, 3.0, 5.0, 6.0, 7.0, 10.0])
def test_every_wave_restarts_at_its_first_step(t_mul: float) -> None:
    """Also where rounding lets the logarithm fall short: Keras misses the fifth restart for t_mul=3."""
    schedule = CosineDecayRestarts(1.0, 1000, t_mul, m_mul=0.5)
    begin, length = 0.0, 1000.0
    for wave in range(9):
        assert schedule(begin) == pytest.approx(0.5**wave, rel=1e-9)
        assert schedule(begin + length / 2) == pytest.approx(0.5 ** (wave + 1), rel=1e-9)
        begin, length = begin + length, length * t_mul


def test_shrinking_waves_end() -> None:
    schedule = CosineDecayRestarts(1.0, 10, t_mul=0.5)
    assert schedule(10) == pytest.approx(1.0)
    assert math.isfinite(schedule(19.9))
    with pytest.raises(ValueError, match=r"step must be < first_decay_steps / \(1 - t_mul\).*Received: step=20"):
        schedule(20)


@pytest.mark.parametrize("name", ["ExponentialDecay", "InverseTimeDecay", "PolynomialDecay", "CosineDecay"])
@pytest.mark.parametrize("steps", [0, -1])
def test_decay_steps_must_be_positive(name: str, steps: int) -> None:
    arguments = {"initial_learning_rate": 0.1, "decay_steps": steps}
    if name in ("ExponentialDecay", "InverseTimeDecay"):
        arguments["decay_rate"] = 0.5
    with pytest.raises(ValueError, match=f"Argument `decay_steps` must be > 0. Received: decay_steps={steps}"):
        getattr(schedules, name)(**arguments)


def test_first_decay_steps_and_t_mul_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"Argument `first_decay_steps` must be > 0. Received: first_decay_steps=0"):
        CosineDecayRestarts(0.1, 0)
    with pytest.raises(ValueError, match=r"Argument `t_mul` must be > 0. Received: t_mul=0"):
        CosineDecayRestarts(0.1, 10, t_mul=0)


def test_pieces_need_one_value_more_than_boundaries_that_rise() -> None:
    message = r"The length of boundaries should be 1 less than the length of values. Received: boundaries=\[1, 2\]"
    with pytest.raises(ValueError, match=message):
        PiecewiseConstantDecay([1, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"Argument `boundaries` must rise. Received: boundaries=\[2, 1\]"):
        PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3])


def test_numbers_must_be_numbers() -> None:
    with pytest.raises(ValueError, match="initial_learning_rate: expected a finite number"):
        schedules.CosineDecay("0.1", 10)
    with pytest.raises(ValueError, match="warmup_target: expected a finite number"):
        schedules.CosineDecay(0.1, 10, warmup_target=math.nan)


def test_a_schedule_must_say_how() -> None:
    with pytest.raises(NotImplementedError, match=r"'LearningRateSchedule' must override `__call__\(self, step\)`"):
        LearningRateSchedule()(0)


def test_a_schedule_of_ones_own_in_either_style() -> None:
    class Declared(LearningRateSchedule):
        first: float = schedules.argument(None, 0.5)

        def __call__(self, step: float) -> float:
            return self.first / (step + 1)

    class Written(LearningRateSchedule):
        def __init__(self, first: float = 0.5) -> None:
            self.first = first

        def __call__(self, step: float) -> float:
            return self.first / (step + 1)

    for cls in (Declared, Written):
        assert schedules.get(cls.__name__)(1) == 0.25
        optimizer = SGD(cls(0.25))
        assert optimizer.learning_rate == 0.25
        again = SGD.from_config(json.loads(json.dumps(optimizer.get_config())))
        assert again.learning_rate == 0.25
