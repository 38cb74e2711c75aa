"""Optimizers that are given what cannot be: nothing is half changed, nothing is silent, no number runs away."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Sequential, Tensor, constraints, grad, layers, optimizers, set_random_seed
from minigrad.kernels import norms
from minigrad.optimizers import SGD, Adam, AdamW, Ftrl, Lion, Muon, Optimizer, RMSprop, in_place, schedules
from minigrad.saving import load_checkpoint, save_checkpoint
from minigrad.variable import Variable
from tests.standin import kernels_noted

NAMES = [name for name, cls in vars(optimizers).items() if isinstance(cls, type) and cls is not Optimizer]
RULES = [name for name in NAMES if name not in ("SGD", "Lion")]  # with moments that a square could spoil


def weight(value: Any, dtype: str = "float32", device: str = "cpu", **options: Any) -> Variable:
    return Variable(np.asarray(value), dtype, device, **{"name": "w", **options})


def made(name: str, rate: float = 0.01, **config: Any) -> Optimizer:
    return optimizers.deserialize({"class_name": name, "config": {"learning_rate": rate, **config}})


def values(*variables: Variable) -> list[Any]:
    return [variable.tolist() for variable in variables]


# ---------------------------------------------------------------------- gradients too large to be squared


@pytest.mark.filterwarnings("ignore:overflow encountered in add")  # of which a GPU does not speak
@pytest.mark.parametrize("device", ["cpu", "standin"])
@pytest.mark.parametrize("huge", [2e19, -1e30, 3.4e38])
@pytest.mark.parametrize("name", RULES)
def test_a_huge_gradient_is_one_large_step_and_no_more(name: str, huge: float, device: str) -> None:
    """Its square is infinite in float32; the weight moves about as by any other step of the rule, and then goes on."""
    w = weight([[2.0, 2.0], [2.0, 2.0]], device=device)
    optimizer = made(name)
    first = np.array([[huge, 0.5], [-0.25, 1.0]], "float32")
    before = w.numpy()
    for step in range(4):
        optimizer.apply([Tensor(first if step == 0 else np.full((2, 2), 0.5, "float32"), device=device)], [w])
        assert np.isfinite(w.numpy()).all()
        assert abs(w.numpy() - before).max() < (2 if name == "Ftrl" else 0.2)
        before = w.numpy()
    for state in optimizer.variables:
        assert np.isfinite(state.numpy()).all()
    w.assign(Tensor(np.full((2, 2), 2.0), device=device))
    for _ in range(3):
        optimizer.apply([Tensor(np.full((2, 2), huge, "float32"), device=device)], [w])  # the sums of squares are full
    assert np.isfinite(w.numpy()).all()


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Nadam", "Adamax", "Lamb"])
def test_a_rule_without_a_scale_takes_the_first_step_whatever_the_size(name: str) -> None:
    """Adam's first step is the learning rate times the sign; so it is for a gradient of 1e30."""
    steps = []
    for size in (1.0, 1e30):
        w = weight([3.0, -3.0])
        made(name).apply([Tensor(np.array([size, -size], "float32"))], [w])
        steps.append(w.numpy())
    np.testing.assert_allclose(steps[1], steps[0], rtol=1e-5)


def test_float64_has_its_own_limit() -> None:
    w = Variable(np.ones(2), "float64", name="w")
    optimizer = Adam(0.25)
    optimizer.apply([np.array([1e200, 1.0])], [w])
    np.testing.assert_allclose(w.numpy(), 0.75, rtol=1e-5)


@pytest.mark.parametrize("device", ["cpu", "standin"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipping_of_huge_gradients(dtype: str, device: str) -> None:
    size = {"float32": 1e38, "float64": 1e307}[dtype]
    gradient = Tensor(np.array([3 * size, -2 * size, 0.0], dtype), device=device)
    length = math.hypot(3, 2)
    for limit in ("clipnorm", "global_clipnorm"):
        for bound in (5.0, 0.25):
            (clipped,) = made("SGD", **{limit: bound})._clip_gradients([gradient])
            found = Tensor(clipped).numpy()
            assert found.dtype == dtype
            np.testing.assert_allclose(found, [3 * bound / length, -2 * bound / length, 0], rtol=1e-3)
    wide = made("SGD", global_clipnorm=1.0)._clip_gradients([gradient, Tensor([1.0, 2.0], device=device)])
    assert [array.dtype for array in wide] == [np.dtype(dtype), np.dtype("float32")]


def test_norms_of_float16() -> None:
    gradient = np.full(400, 300.0, "float16")  # its squares are infinite there
    (clipped,) = SGD(clipnorm=2.0)._clip_gradients([gradient])
    np.testing.assert_allclose(clipped, np.full(400, 0.1), rtol=2e-3)
    assert clipped.dtype == np.float16


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_norms_of_what_is_not_finite(bad: float) -> None:
    for dtype in ("float32", "float64"):
        for device in ("cpu", "standin"):
            array = Tensor(np.array([1.0, bad], dtype), device=device).data
            assert not math.isfinite(float(Tensor(norms.norm([array])).item()))


def test_norms_of_nothing_and_of_zeros() -> None:
    for dtype in ("float32", "float64"):
        for device in ("cpu", "standin"):
            for array in (np.zeros(0, dtype), np.zeros(3, dtype)):
                assert Tensor(norms.norm([Tensor(array, device=device).data])).item() == 0


@pytest.mark.parametrize("device", ["cpu", "standin"])
def test_constraints_of_huge_weights(device: str) -> None:
    w = Tensor(np.array([[3e30, 1.0], [4e30, 0.0]], "float32"), device=device)
    np.testing.assert_allclose(constraints.MaxNorm(10.0)(w).numpy(), [[6, 1], [8, 0]], rtol=1e-5)
    np.testing.assert_allclose(constraints.UnitNorm()(w).numpy()[:, 0], [0.6, 0.8], rtol=1e-5)
    np.testing.assert_allclose(constraints.MinMaxNorm(0.5, 2.0)(w).numpy()[:, 0], [1.2, 1.6], rtol=1e-5)
    half = constraints.MaxNorm(2.0)(np.full((400, 1), 300.0, "float16")).numpy()
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, 0.1, rtol=2e-3)


# ---------------------------------------------------------------------- float16


@pytest.mark.parametrize("size", [0.0, 1e-5, 1e-3, 1.0, 6e4])
@pytest.mark.parametrize("name", NAMES)
def test_float16_weights_step_as_float32_ones(name: str, size: float) -> None:
    found = []
    for dtype in ("float16", "float32"):
        w = Variable(np.full((2, 3), 1.5), dtype, name="w")
        optimizer = made(name, 0.125 if size < 10 else 1e-4, clipvalue=1e5)
        for sign in (1, 1, -1):
            optimizer.apply([np.full((2, 3), sign * size, "float16")], [w])
        assert w.dtype == dtype
        found.append(w.numpy().astype("float32"))
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=4e-3)


def test_state_of_float16_weights() -> None:
    w = Variable(np.ones(3), "float16", name="w")
    optimizer = AdamW(0.001, use_ema=True, ema_momentum=0.999, gradient_accumulation_steps=2)
    for _ in range(8):
        optimizer.apply([np.full(3, 1e-4, "float16")], [w])
    assert {state.dtype for state in optimizer._state} == {np.dtype("float32")}
    momentum, velocity = (optimizer._slots[0][name].numpy() for name in ("momentum", "velocity"))
    np.testing.assert_allclose(momentum, 1e-4 * (1 - 0.9**4), rtol=1e-3)
    np.testing.assert_allclose(velocity, 1e-8 * (1 - 0.999**4), rtol=1e-3)  # 0 in float16
    optimizer.finalize_variable_values([w])
    assert w.dtype == np.float16


def test_variables_of_float16_step_one_by_one() -> None:
    ws = [Variable(np.ones(shape), "float16", name=f"w{i}") for i, shape in enumerate([(3, 2), (5,), ()])]
    alone = [Variable(np.ones(w.shape), "float16", name="w") for w in ws]
    optimizer, others = Adam(0.01), [Adam(0.01) for _ in ws]
    for step in range(3):
        given = [np.random.default_rng(step).normal(size=w.shape) for w in ws]
        optimizer.apply(given, ws)
        for other, g, w in zip(others, given, alone, strict=True):
            other.apply([g], [w])
    assert len(optimizer._groups) == 3
    assert values(*ws) == values(*alone)


def test_a_checkpoint_from_when_the_state_was_float16_too(tmp_path: Path) -> None:
    def trained(steps: int) -> Any:
        set_random_seed(0)
        model = Sequential([layers.InputLayer((3,)), layers.Dense(2, dtype="float16")])
        optimizer = Adam(0.25)
        for _ in range(steps):
            optimizer.apply([np.full(w.shape, 0.5, "float16") for w in model.weights], model.weights)
        return model, optimizer

    model, optimizer = trained(2)
    for state in optimizer._state:
        state.data = state.data.astype("float16")
    save_checkpoint(tmp_path / "old", model, optimizer)
    other, again = trained(0)
    load_checkpoint(tmp_path / "old", other, again)
    assert {state.dtype for state in again._state} == {np.dtype("float32")}
    assert values(*again.variables) == values(*optimizer.variables)


# ---------------------------------------------------------------------- averages, sums and constraints


def test_averages_keep_the_constraint_and_so_do_the_weights_that_become_them() -> None:
    rng = np.random.default_rng(5)
    w = weight(rng.normal(size=(4, 3)), constraint=constraints.UnitNorm())
    optimizer = SGD(0.3, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=4)
    for step in range(1, 9):
        optimizer.apply([rng.normal(size=(4, 3))], [w])
        (average,) = optimizer._model_variables_moving_average
        np.testing.assert_allclose((average.numpy() ** 2).sum(0), 1, rtol=1e-5)
        np.testing.assert_allclose((w.numpy() ** 2).sum(0), 1, rtol=1e-5)
        assert np.allclose(w.numpy(), average.numpy(), atol=1e-6) == (step in (1, 4, 8))
    average.assign(-3 * np.ones((4, 3)))  # as from a file that somebody else wrote
    optimizer.finalize_variable_values([w])
    np.testing.assert_allclose(w.numpy(), -0.5, rtol=1e-6)


def test_calls_without_an_update_change_nothing_but_the_sums() -> None:
    w = weight([4.0, -2.0], constraint=lambda w: w * 0.5)
    optimizer = SGD(1.0, gradient_accumulation_steps=3, use_ema=True, ema_momentum=0.5)
    seen = []
    for g in (1.0, 2.0, 3.0, 0.0, 0.0, 0.0):
        optimizer.apply([np.full(2, g)], [w])
        seen.append((w.tolist(), optimizer._model_variables_moving_average[0].tolist()))
    nothing, first, second = ([4.0, -2.0], [0.0, 0.0]), ([1.0, -2.0], [0.5, -1.0]), ([0.5, -1.0], [0.25, -0.5])
    assert seen == [nothing, nothing, first, first, first, second]


@pytest.mark.parametrize("name", NAMES)
def test_accumulation_with_averages_and_a_soft_constraint_is_a_large_batch(name: str) -> None:
    rng = np.random.default_rng(4)
    soft = constraints.MinMaxNorm(0.5, 1.0, rate=0.5)
    config = {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 2, "clipvalue": 1.0}
    one, many = weight(np.ones((3, 2)), constraint=soft), weight(np.ones((3, 2)), constraint=soft)
    single, summed = made(name, **config), made(name, gradient_accumulation_steps=4, **config)
    for _ in range(5):
        parts = rng.normal(size=(4, 3, 2)).astype("float32")
        single.apply([parts.mean(0)], [one])
        for part in parts:
            summed.apply([part], [many])
    np.testing.assert_allclose(many.numpy(), one.numpy(), rtol=2e-5)
    np.testing.assert_allclose(
        summed._model_variables_moving_average[0].numpy(), single._model_variables_moving_average[0].numpy(), rtol=2e-5
    )


# ---------------------------------------------------------------------- nothing is half changed


class FailsError(RuntimeError):
    pass


def refusing(calls: int) -> Any:
    """A constraint that raises from its n-th call on."""
    left = [calls]

    def constraint(w: Tensor) -> Tensor:
        left[0] -= 1
        if left[0] < 0:
            raise FailsError
        return w * 0.5

    return constraint


class Broken(Optimizer):
    """A rule that raises at the third variable, after it has changed its arrays."""

    fails = True

    def update_step(self, gradient: Any, variable: Any, learning_rate: float, sums: Any) -> None:
        sums += gradient
        variable -= learning_rate * sums
        if self.fails and variable.size == 3:
            raise FailsError


@pytest.mark.parametrize("options", [
    {}, {"use_ema": True, "ema_overwrite_frequency": 1}, {"weight_decay": 0.5},
    {"gradient_accumulation_steps": 2, "use_ema": True},
], ids=["plain", "averages", "decay", "sums"])  # fmt: skip
@pytest.mark.parametrize("name", ["SGD", "Adam", "Nadam", "Adafactor", "Broken"])
def test_a_rule_or_a_constraint_that_raises_changes_nothing(name: str, options: dict[str, Any]) -> None:
    found = []
    for failing in (True, False):
        ws = [weight(np.ones(n), name=f"w{n}") for n in (2, 4, 3)]
        optimizer = Broken(0.1, **options) if name == "Broken" else made(name, 0.1, **options)
        if name == "Broken":
            optimizer.fails = False
        given = [np.full(w.shape, 0.5, "float32") for w in ws]
        for _ in range(2):
            optimizer.apply(given, ws)
        if failing:
            before = values(*ws, *optimizer.variables)
            tape = (ws[0] * ws[0]).sum()
            if name == "Broken":
                optimizer.fails = True
            else:
                ws[2].constraint = refusing(0)
            for _ in range(2):  # of sums perhaps the second call alone
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    try:
                        optimizer.apply(given, ws)
                    except FailsError:
                        break
                    before = values(*ws, *optimizer.variables)
            else:
                pytest.fail("nothing was raised")
            assert values(*ws, *optimizer.variables) == before
            if "gradient_accumulation_steps" not in options:
                np.testing.assert_allclose(grad(tape, ws[0]).numpy(), 2 * ws[0].numpy())
            ws[2].constraint = None
            if name == "Broken":
                optimizer.fails = False
        else:
            for _ in range(1 if "gradient_accumulation_steps" in options else 0):
                optimizer.apply(given, ws)
        for _ in range(2):
            optimizer.apply(given, ws)
        found.append(values(*ws, *optimizer.variables))
    assert found[0] == found[1]


def test_a_constraint_that_raises_for_an_average_changes_nothing() -> None:
    w, v = weight([1.0, 2.0]), weight([3.0], name="v")
    optimizer = Adam(0.5, use_ema=True)
    optimizer.apply([w.value, v.value], [w, v])
    before = values(w, v, *optimizer.variables)
    v.constraint = refusing(1)  # the weight will do
    with pytest.raises(FailsError):
        optimizer.apply([w.value, v.value], [w, v])
    assert values(w, v, *optimizer.variables) == before
    v.constraint = refusing(0)
    with pytest.raises(FailsError):
        optimizer.finalize_variable_values([w, v])
    assert values(w, v, *optimizer.variables) == before


@pytest.mark.parametrize(("constraint", "message"), [
    (constraints.RadialConstraint(), "must have rank 4 and be square"),
    (constraints.MaxNorm(1.0, axis=2), r"MaxNorm: axis must be an axis of the weight.*Received: axis=2, weight shape"),
    (constraints.UnitNorm([0, 0]), r"UnitNorm: axis must be an axis of the weight, each given once"),
    (lambda w: w[:1], "value must have the shape of the variable"),
    (lambda w: None, "array: numbers must be given"),
])  # fmt: skip
def test_a_constraint_that_never_fits_is_found_before_the_first_change(constraint: Any, message: str) -> None:
    w, other = weight(np.ones((3, 3)), constraint=constraint), weight(np.ones((2, 2)), name="other")
    optimizer = Adam(0.1)
    optimizer.build([other, w])
    before = values(other, w, *optimizer.variables)
    with pytest.raises((ValueError, TypeError), match=message):
        optimizer.apply([other.value, w.value], [other, w])
    assert values(other, w, *optimizer.variables) == before


def test_minigrads_own_rules_and_constraints_still_write_in_place() -> None:
    ws = [weight(np.ones((4, 2)), constraint=constraints.NonNeg()), weight(np.ones(3), name="b")]
    optimizer = Adam(0.1)
    optimizer.apply([w.value for w in ws], ws)
    rows = [id(joint._row[0]) for joint in (optimizer._groups[0].weights, *optimizer._groups[0].slots.values())]
    given = [np.ones(w.shape, "float32") for w in ws]
    for _ in range(3):
        optimizer.apply(given, ws)
    now = [id(joint._row[0]) for joint in (optimizer._groups[0].weights, *optimizer._groups[0].slots.values())]
    assert now == rows


# ---------------------------------------------------------------------- nothing is silent


def test_step_without_variables_refuses_at_first() -> None:
    w, optimizer = weight([1.0, 2.0]), SGD(0.5)
    (w * w).sum().backward()
    message = r"^step: at the first call the variables must be given, as in optimizer\.step\(model\.trainable_weights\)"
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert (optimizer.iterations, optimizer.built, w.tolist()) == (0, False, [1.0, 2.0])
    assert w.grad is not None
    optimizer.step([w])
    assert w.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("variables", [[], ()])
def test_step_of_no_variable_warns(variables: Any) -> None:
    frozen = weight([1.0], trainable=False)
    with pytest.warns(UserWarning, match="^step: none of the variables is trainable, so nothing is learned"):
        SGD().step([*variables, frozen])
    with pytest.warns(UserWarning, match="none of the variables is trainable"):
        SGD().step(variables)


@pytest.mark.parametrize("call", [
    lambda o, w: o.step(w), lambda o, w: o.step(3), lambda o, w: o.step([layers.Dense(2)]), lambda o, w: o.step("w"),
    lambda o, w: o.step([w.value]),
    lambda o, w: o.apply(w.value, [w]), lambda o, w: o.apply([w.value], w), lambda o, w: o.apply(None, [w]),
    lambda o, w: o.apply_gradients(3), lambda o, w: o.apply_gradients([w]), lambda o, w: o.apply_gradients([(w,)]),
    lambda o, w: o.build(w), lambda o, w: o.build(None), lambda o, w: SGD(use_ema=True).finalize_variable_values(w),
    lambda o, w: o.exclude_from_weight_decay(var_list=w), lambda o, w: o.exclude_from_weight_decay(var_list=["bias"]),
])  # fmt: skip
def test_what_is_no_list_of_variables(call: Any) -> None:
    w, optimizer = weight([1.0, 2.0]), SGD(0.5)
    with pytest.raises(TypeError, match=r"^(step|apply|apply_gradients|build|finalize_variable_values|"
                       r"exclude_from_weight_decay|optimizer): .*Received: ") as found:  # fmt: skip
        call(optimizer, w)
    assert found.traceback[-1].path.parts[-3] == "minigrad"
    assert not optimizer.built


def test_set_weights_of_what_is_no_list() -> None:
    optimizer = SGD(0.5)
    optimizer.build([weight([1.0])])
    with pytest.raises(TypeError, match=r"^set_weights: weights must be a list"):
        optimizer.set_weights(3)


class Rebinds(Optimizer):
    def update_step(self, gradient: Any, variable: Any, learning_rate: float) -> None:
        variable = variable - learning_rate * gradient


class RebindsSlot(Optimizer):
    def update_step(self, g: Any, w: Any, rate: float, speed: Any) -> None:
        speed = 0.5 * speed + g
        w -= rate * speed


class Returns(Optimizer):
    def update_step(self, gradient: Any, variable: Any, learning_rate: float) -> Any:
        return variable - learning_rate * gradient


class Locally(Optimizer):
    """It gives a parameter another value, and rightly."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: float, squares: Any) -> None:
        squares += gradient * gradient
        gradient = gradient * 2
        squares = squares + 1.0
        variable -= learning_rate * gradient / squares


@pytest.mark.parametrize(("rule", "message"), [
    (Rebinds, r"^Rebinds\.update_step: must change its arrays in place, as variable -= step .*'variable' as it was"),
    (RebindsSlot, r"^RebindsSlot\.update_step: must change its arrays in place, as speed -= step .*'speed' as it was"),
    (Returns, r"^Returns\.update_step: must change its arrays in place and return nothing"),
])  # fmt: skip
def test_a_rule_that_makes_other_arrays_is_refused(rule: Any, message: str) -> None:
    w, optimizer = weight([1.0, 2.0]), rule(0.5)
    if rule is not Returns:
        optimizer.apply([np.zeros(2)], [w])  # there is nothing to see yet
    count = optimizer.iterations
    with pytest.raises(RuntimeError, match=message):
        optimizer.apply([w.value], [w])
    assert (w.tolist(), optimizer.iterations) == ([1.0, 2.0], count)


def test_a_rule_may_give_its_parameters_other_values() -> None:
    w, optimizer = weight([1.0, 2.0]), Locally(0.5)
    for _ in range(3):
        optimizer.apply([np.ones(2)], [w])
    np.testing.assert_allclose(w.numpy(), [1 - 0.5 - 1 / 3 - 0.25, 2 - 0.5 - 1 / 3 - 0.25], rtol=1e-6)
    assert in_place.rebound(Locally.update_step) == {"gradient", "squares"}
    assert in_place.rebound(len) == set()


def test_exclusions_that_spare_nobody_are_named_once() -> None:
    kernel, bias = weight([1.0], name="kernel"), weight([1.0], name="bias")
    other = weight([1.0], name="other", path="head/other")
    optimizer = AdamW(0.1)
    optimizer.exclude_from_weight_decay(var_list=[other, kernel], var_names=["^bias$", "gamma", "head/kernel"])
    with pytest.warns(UserWarning, match=re.escape(
        "exclude_from_weight_decay: each entry must be of some variable"
    ) + r".*Received: \['gamma', 'head/kernel', 'head/other'\], where the names are \['bias', 'kernel'\]"):
        optimizer.apply([kernel.value, bias.value], [kernel, bias])
    optimizer.apply([kernel.value, bias.value], [kernel, bias])  # without a word


@pytest.mark.parametrize(("names", "message"), [
    ("bias", r"^var_names: a list of patterns must be given, \['bias'\]\. Received: var_names='bias'"),
    (["(", "bias"], r"^var_names: each pattern must be a regular expression\. Received: '\('"),
    ([3], r"^var_names: each pattern must be a regular expression\. Received: 3"),
    (3, r"^var_names: a list of patterns must be given\. Received: var_names=3"),
])  # fmt: skip
def test_patterns_are_checked_at_once(names: Any, message: str) -> None:
    optimizer = AdamW(0.1)
    with pytest.raises(ValueError, match=message):
        optimizer.exclude_from_weight_decay(var_names=names)
    assert optimizer._undecayed_names == ()
    with pytest.raises(ValueError, match=message.replace("var_names", "exclude_layers")):
        Muon(exclude_layers=names)


# ---------------------------------------------------------------------- arguments, in the constructor and later


@pytest.mark.parametrize("value", [
    None, True, "0.1", math.nan, math.inf, -0.5, 1, [0.1], Optimizer, lambda step: 0.1, schedules.CosineDecay,
])  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_learning_rate_is_refused_at_once(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"learning_rate.*Received"):
        getattr(optimizers, name)(learning_rate=value)


@pytest.mark.parametrize("value", [None, True, "0.1", math.nan, math.inf, -0.5, [0.1], np.ones(2), lambda step: 0.1])
def test_what_is_no_learning_rate_cannot_be_set(value: Any) -> None:
    optimizer = Adam(0.25)
    with pytest.raises(ValueError, match=r"learning_rate.*Received"):
        optimizer.learning_rate = value
    assert optimizer.learning_rate == 0.25


@pytest.mark.parametrize("value", [2, np.float32(2), np.float64(2), np.array(2.0), Tensor(2.0)])
def test_numbers_of_all_kinds_are_learning_rates(value: Any) -> None:
    optimizer = Adam(0.25)
    optimizer.learning_rate = value
    assert optimizer.learning_rate == 2.0


@pytest.mark.parametrize("given", [None, "0.1", math.nan, -1.0, [0.1]])
def test_a_function_or_schedule_must_give_learning_rates(given: Any) -> None:
    class Bad(schedules.LearningRateSchedule):
        def __call__(self, step: float) -> Any:
            return given if step == 1 else 0.5

    w = weight([1.0])
    optimizer = SGD(Bad())
    optimizer.apply([np.ones(1)], [w])
    for other in (optimizer, SGD(lambda: given)):
        with pytest.raises(ValueError, match=r"learning_rate: a learning rate must be a finite number.*Received: "):
            other.apply([np.ones(1)], [w])
    assert (w.tolist(), optimizer.iterations) == ([0.5], 1)


SHARES = {
    "beta_1": ("Adam", "AdamW", "Adamax", "Nadam", "Lamb", "Lion"), "beta_2": ("Adam", "AdamW", "Adamax", "Nadam"),
    "rho": ("RMSprop", "Adadelta"), "momentum": ("SGD", "RMSprop", "Muon"), "adam_beta_1": ("Muon",),
    "adam_beta_2": ("Muon",), "ema_momentum": ("SGD", "Muon"),
}  # fmt: skip


@pytest.mark.parametrize("value", [None, True, "0.9", math.nan, -0.1, 1.1])
@pytest.mark.parametrize(("argument", "name"), [(a, name) for a, names in SHARES.items() for name in names])
def test_shares_are_checked(argument: str, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{argument}.*Received: {argument}="):
        made(name, **{argument: value})
    optimizer = made(name)
    before = getattr(optimizer, argument)
    with pytest.raises(ValueError, match=rf"{argument}.*Received: {argument}="):
        setattr(optimizer, argument, value)
    assert getattr(optimizer, argument) == before


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Adam(beta_1=1.0), r"`beta_1` must be in the range \[0, 1\), 1 excluded\. Received: beta_1=1\.0"),
    (lambda: Adam(beta_2=1.0), r"`beta_2` must be in the range \[0, 1\)"),
    (lambda: Adam(epsilon=-1e-7), "`epsilon` needs to be positive or zero"),
    (lambda: RMSprop(epsilon=None), "epsilon: expected a finite number"),
    (lambda: SGD(weight_decay=-0.1), "`weight_decay` needs to be positive or zero"),
    (lambda: SGD(weight_decay="0.1"), "weight_decay: expected a finite number"),
    (lambda: SGD(loss_scale_factor=0.0), r"`loss_scale_factor` must be > 0"),
    (lambda: SGD(loss_scale_factor=-2.0), r"`loss_scale_factor` must be > 0"),
    (lambda: optimizers.Adagrad(initial_accumulator_value=-1.0), "needs to be positive or zero"),
    (lambda: optimizers.Adafactor(beta_2_decay=0.5), "`beta_2_decay` needs to be negative or zero"),
    (lambda: optimizers.Adafactor(clip_threshold=0.0), "`clip_threshold` must be > 0"),
    (lambda: Lion(beta_2=1.5), r"`beta_2` must be in the range \[0, 1\]"),
    (lambda: Ftrl(beta=-1.0), "`beta` needs to be positive or zero"),
    (lambda: Muon(rms_rate=-1.0), "`rms_rate` needs to be positive or zero"),
    (lambda: constraints.MaxNorm(-1.0), "max_value: a norm must not be negative"),
    (lambda: constraints.MinMaxNorm(-1.0), "min_value: a norm must not be negative"),
    (lambda: constraints.MinMaxNorm(2.0, 1.0), "MinMaxNorm: min_value must not be above max_value"),
    (lambda: constraints.MinMaxNorm(rate=1.5), "rate: must be a share, from 0 to 1"),
])  # fmt: skip
def test_more_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_arguments_that_are_set_later_have_their_effect() -> None:
    w = weight([1.0, 1.0])
    optimizer = SGD(0.5)
    optimizer.apply([np.ones(2)], [w])
    optimizer.clipvalue = 0.5
    optimizer.apply([np.ones(2)], [w])
    assert w.tolist() == [0.25, 0.25]
    optimizer.clipvalue, optimizer.weight_decay = None, 1.0
    optimizer.apply([np.zeros(2)], [w])
    assert w.tolist() == [0.125, 0.125]
    optimizer.weight_decay, optimizer.clipnorm = None, 3.0
    optimizer.apply([[30.0, 40.0]], [w])
    np.testing.assert_allclose(w.numpy(), [0.125 - 0.9, 0.125 - 1.2], rtol=1e-6)
    assert optimizer.get_config()["clipnorm"] == 3.0
    with pytest.raises(ValueError, match="Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set"):
        optimizer.global_clipnorm = 1.0
    assert (optimizer.clipnorm, optimizer.global_clipnorm) == (3.0, None)
    adam = Adam(0.1)
    adam.beta_1 = 0.5
    adam.build([w])
    adam.epsilon = 1.0
    assert adam.get_config() == {**Adam(0.1, beta_1=0.5, epsilon=1.0).get_config(), "name": adam.name}


@pytest.mark.parametrize(("name", "argument", "value"), [
    ("SGD", "momentum", 0.9), ("RMSprop", "momentum", 0.9), ("RMSprop", "centered", True), ("Adam", "amsgrad", True),
    ("Adagrad", "initial_accumulator_value", 0.5), ("Ftrl", "initial_accumulator_value", 0.5),
    ("SGD", "use_ema", True), ("SGD", "gradient_accumulation_steps", 2), ("Muon", "exclude_layers", ["w"]),
])  # fmt: skip
def test_arguments_that_came_too_late_are_refused(name: str, argument: str, value: Any) -> None:
    w = weight(np.ones((2, 2)))
    optimizer = made(name)
    before = getattr(optimizer, argument)
    setattr(optimizer, argument, value)  # in time
    setattr(optimizer, argument, before)
    optimizer.apply([w.value], [w])
    with pytest.raises(ValueError, match=rf"^{argument}: cannot be set any more.*Received: {argument}="):
        setattr(optimizer, argument, value)
    assert getattr(optimizer, argument) == before
    setattr(optimizer, argument, before)
    optimizer.apply([w.value], [w])


def test_attributes_that_are_none() -> None:
    optimizer = SGD(0.1)
    with pytest.raises(AttributeError, match=r"^SGD: .*; set learning_rate\. Received: lr=0\.5$"):
        optimizer.lr = 0.5
    with pytest.raises(AttributeError, match=r"^SGD: an attribute that is set must be one it has\. Received: clip_"):
        optimizer.clip_norm = 1.0
    with pytest.raises(AttributeError, match=r"^iterations: is counted by the optimizer.*Received: iterations=0"):
        optimizer.iterations = 0
    optimizer.name = "mine"
    assert optimizer.get_config()["name"] == "mine"
    own = Broken(0.1)
    own.anything = 3  # a rule of one's own has attributes of one's own
    assert own.anything == 3


# ---------------------------------------------------------------------- schedules


@pytest.mark.parametrize(("name", "arguments", "message"), [
    ("ExponentialDecay", (0.1, 10, -0.5), "`decay_rate` must be >= 0"),
    ("InverseTimeDecay", (0.1, 10, -0.5), "`decay_rate` must be >= 0"),
    ("ExponentialDecay", (-0.1, 10, 0.5), "`initial_learning_rate` must be >= 0"),
    ("ExponentialDecay", (0.1, "10", 0.5), "decay_steps: expected a finite number"),
    ("PolynomialDecay", (0.1, 10, -0.1), "`end_learning_rate` must be >= 0"),
    ("PolynomialDecay", (0.1, 10, 0.1, -1.0), "`power` must be >= 0"),
    ("PiecewiseConstantDecay", ([1], [0.1, -0.1]), "`values` must be >= 0"),
    ("PiecewiseConstantDecay", (1, [0.1, 0.2]), "`boundaries` must be a list of numbers"),
    ("PiecewiseConstantDecay", ([1], "ab"), "`values` must be a list of numbers"),
    ("CosineDecay", (0.1, 10, -0.1), "`alpha` must be >= 0"),
    ("CosineDecay", (0.1, 10, 0.0, None, -0.2, 3), "`warmup_target` must be >= 0"),
    ("CosineDecay", (0.1, 10, 0.0, None, None, 3), "`warmup_target` must be given with `warmup_steps`"),
    ("CosineDecay", (0.1, 10, 0.0, None, 0.2, -3), "`warmup_steps` must be >= 0"),
    ("CosineDecayRestarts", (0.1, 10, 2.0, -1.0), "`m_mul` must be >= 0"),
])  # fmt: skip
def test_schedules_are_checked_when_made(name: str, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(schedules, name)(*arguments)


# ---------------------------------------------------------------------- what it costs


def test_kernels_on_a_gpu() -> None:
    """Of a square that may not overflow: two operations."""
    with kernels_noted() as kernels:
        norms.with_square(Tensor(np.ones(3, "float32"), device="standin").data)
    assert len(kernels) == 2
