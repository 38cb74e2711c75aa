"""What a gradient checker is for: every planted error is found and explained, and right rules raise no alarm."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import planted
import pytest
from planted import Planted

from minigrad import Op, Tensor, gradcheck, layers, ops
from minigrad.gradcheck import GradcheckError, GradcheckReport, check_layer

ERRORS = planted.errors()


def arguments(error: Planted) -> set[tuple[str, str]]:
    """The rules that are wrong."""
    names = Op.registry[error.op].arguments
    wrong = names[:2] if error.kind == "exchanged" else [names[min(error.argument, len(names) - 1)]]
    return {(error.op, name) for name in wrong}


def named(report: GradcheckReport) -> set[tuple[str, str]]:
    """The rules that the report blames; one rule serves all of ``*arrays``."""
    return {(culprit.op, culprit.argument.split("[")[0]) for culprit in report.culprits}


@functools.cache
def caught(number: int) -> GradcheckReport:
    """The report on the planted error of this number."""
    error = ERRORS[number]
    with planted.planted(error), pytest.raises(GradcheckError) as found:
        gradcheck(error.function(), error.values(), order=error.order)
    return found.value.report


def test_there_are_many_over_all_ops() -> None:
    assert len(ERRORS) >= 150
    with_rules = {
        name for name, op in Op.registry.items()
        if op.compute.__module__.startswith("minigrad.") and any(op.rules.values())
    }
    assert {error.op for error in ERRORS} == with_rules
    assert {error.kind.split()[0] for error in ERRORS} == {
        "sign", "factor", "zero", "transposed", "shifted", "swapped", "exchanged", "axis", "broadcast", "dropped",
        "wrong", "cut",
    }


@pytest.mark.parametrize("kind", sorted({error.kind for error in ERRORS}))
def test_every_error_is_caught_and_its_rule_named(kind: str) -> None:
    for number, error in enumerate(ERRORS):
        if error.kind == kind:
            report = caught(number)
            assert {f.order for f in report.wrong} == {error.order}, str(error)
            # a rule that goes astray through the op `detour` may be told by that op's name
            blamed = named(report) - {("detour", "x")}
            assert blamed == arguments(error) or (error.order == 2 and not blamed and report.culprits), str(error)


def test_the_guess_at_the_cause_is_right() -> None:
    clear = [number for number, error in enumerate(ERRORS) if error.patterns]
    right = [number for number in clear if caught(number).wrong[0].pattern in ERRORS[number].patterns]
    assert len(clear) >= 150
    assert len(right) >= 0.95 * len(clear)


@pytest.mark.parametrize(
    ("op", "argument", "kind"),
    [
        ("depthwise_conv1d", 0, "factor"), ("depthwise_conv1d", 1, "factor"), ("depthwise_conv1d", 1, "shifted 0"),
        ("depthwise_conv1d", 0, "sign"), ("linear", 0, "zero"), ("linear", 1, "transposed"), ("linear", 2, "sign"),
        ("tanh", 0, "dropped"), ("linear", 1, "cut history"), ("tanh", 0, "cut history"),
    ],
)
def test_an_error_within_a_layer_is_traced_to_its_op(op: str, argument: int, kind: str) -> None:
    error = next(e for e in ERRORS if (e.op, e.argument, e.kind) == (op, argument, kind))
    layer = layers.SeparableConv1D(6, 5, padding="same", activation="tanh")
    x = np.random.default_rng(0).normal(size=(2, 7, 6))
    check_layer(layer, x, order=2)
    with planted.planted(error), pytest.raises(GradcheckError) as found:
        check_layer(layer, x, order=error.order)
    assert named(found.value.report) == arguments(error)
    assert "test_planted_errors.py" in found.value.report.culprits[0].line
    check_layer(layer, x, order=2)


# ---------------------------------------------------------------------- no false alarm

UNARY: list[Any] = [
    Tensor.exp, Tensor.tanh, Tensor.sigmoid, Tensor.relu, Tensor.abs, Tensor.sum, Tensor.mean, Tensor.max,
    Tensor.flatten, Tensor.softmax, Tensor.log_softmax, Tensor.logsumexp, Tensor.transpose, Tensor.var,
    lambda x: (x * x + 1.0).sqrt(), lambda x: (x * x + 0.1).log(), lambda x: x.clip(-0.5, 1.5), lambda x: x.sum(-1),
    lambda x: x.max(0), lambda x: x[..., ::-1], lambda x: x.pad([(1, 0)] * x.ndim), lambda x: 1.0 / (x * x + 0.5),
    lambda x: x**3, lambda x: ops.concatenate(x, x * x, axis=0), lambda x: x.mean(0, keepdims=True) - x,
]
BINARY: list[Any] = [
    ops.add, ops.multiply, ops.subtract, ops.maximum, ops.minimum, lambda a, b: a / (b * b + 0.3),
    lambda a, b: a @ b.swapaxes(-1, -2), lambda a, b: ops.where(a > b, a, b * b), lambda a, b: (a * a + 0.1) ** b,
]


def random_check(seed: int) -> GradcheckReport:
    """A random composition of ops at a random point, of any size and scale, now and then right at a kink."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 4)))
    shape = shape if len(shape) > 1 else (2, *shape)
    chosen = [UNARY[k] for k in rng.integers(len(UNARY), size=rng.integers(1, 4))]
    join = BINARY[rng.integers(len(BINARY))]
    scale = 10.0 ** rng.uniform(-2, 0.5)
    a, b = (rng.normal(size=shape) * scale for _ in range(2))
    if seed % 7 == 0:
        a.flat[0] = 0.0  # on the kink of relu and abs
    if seed % 11 == 0:
        b.flat[-1] = a.flat[-1]  # on that of maximum
    if seed % 13 == 0:
        a, b = a.astype("float32"), b.astype("float32")

    def f(a: Tensor, b: Tensor) -> Tensor:
        y = join(a, b)
        for step in chosen:
            y = step(y) if y.ndim else y * y
            if not np.isfinite(y.numpy()).all():
                raise OverflowError
        return y

    method = ("central", "richardson", "complex")[seed % 3]
    return gradcheck(f, [a, b], order=2 if seed % 5 == 0 else 1, method=method, seed=seed)


def alarms(seeds: range) -> list[int]:
    found = []
    for seed in seeds:
        try:
            random_check(seed)
        except GradcheckError:
            found.append(seed)
        except OverflowError:  # exp(exp(exp(x)))
            continue
        except ValueError as error:  # x - x.mean(0) of one row
            if "must use every input" not in str(error):
                raise
    return found


def test_no_false_alarm() -> None:
    assert alarms(range(2000)) == []
