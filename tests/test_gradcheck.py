"""The laboratory itself: exactness of the methods, reports, kinks, refusals, layers, devices, anomalies."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Op, Tensor, detect_anomaly, grad, gradcheck, layers, losses, no_grad, ops
from minigrad.gradcheck import (
    Finding,
    GradcheckError,
    GradcheckReport,
    UndecidedError,
    adjointcheck,
    check_layer,
    compare_devices,
)
from minigrad.gradcheck import __main__ as command
from minigrad.gradcheck.numeric import METHODS, central, complex_step, richardson, search, step_for, steps_for

rng = np.random.default_rng(8)
A, B = rng.normal(size=(3, 4)), rng.normal(size=(4,))


@pytest.fixture
def halved(made: Any) -> Any:
    """x^2 with half of its gradient."""

    @made
    def halved(x: Any) -> Any:
        return x * x

    halved.backward(x=lambda g, x: g * x)
    return halved


def refused(f: Any, inputs: Any, **options: Any) -> GradcheckReport:
    with pytest.raises(GradcheckError) as caught:
        gradcheck(f, inputs, **options)
    return caught.value.report


# ---------------------------------------------------------------------- numeric derivatives

SMOOTH: list[tuple[Any, Any]] = [
    (np.exp, np.exp), (np.tanh, lambda x: 1 / np.cosh(x) ** 2), (np.sin, np.cos), (np.log, lambda x: 1 / x),
    (np.sqrt, lambda x: 0.5 / np.sqrt(x)), (lambda x: x**5, lambda x: 5 * x**4), (lambda x: 1 / x, lambda x: -1 / x**2),
    (lambda x: np.exp(np.sin(x)), lambda x: np.exp(np.sin(x)) * np.cos(x)),
    (lambda x: np.cos(x) / (1 + x * x), lambda x: -(np.sin(x) * (1 + x * x) + 2 * x * np.cos(x)) / (1 + x * x) ** 2),
]


@pytest.mark.parametrize("scale", [1.0, 0.01, 30.0])
def test_how_exact_the_methods_are(scale: float) -> None:
    """The bounds hold for every element of every function at every scale of x."""
    eps = float(np.finfo(float).eps)
    for f, slope in SMOOTH:
        x = rng.uniform(0.7, 1.3, 50) * scale
        g = lambda t, f=f, scale=scale: f(t / scale)
        expected = slope(x / scale) / scale
        line = lambda t, g=g, x=x: g(x + t)
        off = lambda value, expected=expected: (abs(value - expected) / abs(expected).max()).max()
        assert off(complex_step(line, step_for("complex", scale, eps))) <= 1e-14
        estimate = richardson(line, line(0.0), step_for("richardson", scale, eps), eps)
        assert off(estimate.value) <= 1e-10
        assert (abs(estimate.value - expected) <= 10 * estimate.error + 1e-14 * abs(expected).max()).all()
        assert off(search(line, line(0.0), steps_for(scale), eps, 1e-8).value) <= 1e-10
        assert off(central(line, line(0.0), step_for("central", scale, eps), eps).value) <= 1e-8


@pytest.mark.parametrize(("method", "bound"), [("central", 1e-8), ("richardson", 1e-10), ("complex", 1e-14)])
def test_how_exact_a_check_is(method: str, bound: float) -> None:
    f = lambda x, w: ((x @ w).tanh() * x.sum(-1)).exp() / (w * w).sum()
    report = gradcheck(f, [A, B], method=method, directions=4)
    assert max(finding.relative for finding in report.findings) <= bound
    full = gradcheck(f, [A, B], method=method, full=True)
    assert max(finding.absolute / max(1.0, abs(finding.numeric)) for finding in full.findings) <= max(bound, 1e-11)


def test_the_step_follows_dtype_and_scale() -> None:
    eps = float(np.finfo(float).eps)
    assert step_for("central", 2.0, eps) == 2 * step_for("central", 1.0, eps)
    assert step_for("central", 1.0, float(np.finfo("float32").eps)) > 100 * step_for("central", 1.0, eps)
    for scale in (1e-6, 1e6):
        for method in METHODS:
            report = gradcheck(lambda x, scale=scale: (x / scale).tanh(), [A * scale], method=method)
            assert report.findings[0].relative < 1e-8
    narrow = gradcheck(lambda x: x.astype("float32").tanh(), [A])  # f itself computes in float32
    assert narrow.findings[0].step > 1e-3
    assert narrow.findings[0].relative < 1e-2


# ---------------------------------------------------------------------- inputs and outputs of any form


def test_nested_inputs_and_outputs() -> None:
    def f(x: Any, weights: Any, scale: float, mode: str = "") -> Any:
        assert mode == "train"
        hidden = (x @ weights["w"][0]).tanh() * scale
        return {"a": hidden, "b": [hidden.sum(), weights["b"] * 2]}

    inputs = {"x": A, "weights": {"w": [rng.normal(size=(4, 2))], "b": Tensor(B)}, "scale": 0.5, "mode": "train"}
    report = gradcheck(f, inputs, order=2)
    assert [f.label for f in report.findings if f.order == 1] == ["x", "weights['w'][0]", "weights['b']", "scale"]
    assert [f.label for f in report.findings[-3:]] == [f"the output's gradient[{i}]" for i in range(3)]


@pytest.mark.parametrize(
    ("f", "inputs", "labels"),
    [
        (lambda x: x.exp(), A, ["x"]),
        (lambda x: x.exp(), Tensor(A), ["x"]),
        (lambda x: x.exp(), 0.5, ["x"]),
        (lambda x, *rest: x * rest[0] * rest[1], [A, A, A], ["x", "rest[0]", "rest[1]"]),
        (lambda pair: pair[0] * pair[1], [(A, A)], ["pair[0]", "pair[1]"]),
        (lambda x, index: x[index], [A, np.array([0, 2])], ["x"]),
        (lambda x, mask: ops.where(mask, x, 0.0), [A, A > 0], ["x"]),
        (ops.matmul, [A, B], ["a", "b"]),
        (ops.stack, [A, A], ["arrays[0]", "arrays[1]"]),
        (np.vectorize(lambda x: x), [], None),
    ],
)
def test_labels(f: Any, inputs: Any, labels: list[str] | None) -> None:
    if labels is None:
        with pytest.raises(TypeError, match="one input at least must be floating"):
            gradcheck(f, inputs)
    else:
        assert [finding.label for finding in gradcheck(f, inputs).findings] == labels


def test_a_function_may_ask_for_gradients_itself() -> None:
    def slope(x: Tensor) -> Tensor:
        return grad((x**3).sum(), x, create_graph=True)

    gradcheck(slope, [A], order=2)


def test_inputs_are_not_touched() -> None:
    x = Tensor(A, requires_grad=True)
    array = B.copy()
    gradcheck(lambda x, y: x @ y, [x, array], order=2)
    assert x.tolist() == A.tolist()
    assert x.grad is None
    assert array.tolist() == B.tolist()
    constant = Tensor(A)
    gradcheck(lambda x: x * x, [constant])
    assert not constant.requires_grad


def test_checks_repeat_themselves() -> None:
    f = lambda x: x.softmax()
    first, second, other = (gradcheck(f, [A], seed=seed).to_dict() for seed in (3, 3, 4))
    assert first == second
    assert first != other


def test_empty_arrays() -> None:
    report = gradcheck(lambda x, y: x.sum() + y.sum(), [np.zeros((0, 3)), A])
    assert report.findings[0].compared == "empty"
    assert gradcheck(lambda x: x[:0], [A]).findings[0].compared == "empty"


def test_float32_inputs_are_checked_in_float64() -> None:
    report = gradcheck(lambda x: x.exp().sum(), [A.astype("float32")], dtype_check=True)
    finding = report.findings[0]
    assert finding.dtype == "float32"
    assert finding.relative < 1e-8
    assert finding.float32_error is not None
    assert 1e-10 < finding.float32_error < 1e-6
    assert "float32" in str(report)
    lossy = gradcheck(lambda x: ((x + 1000.0) - 1000.0) ** 2, [A], dtype_check=True).findings[0]
    assert lossy.float32_error is not None
    assert lossy.float32_error > 1e-6


# ---------------------------------------------------------------------- failures


def test_a_failure_names_input_index_both_values_and_ratio(halved: Any) -> None:
    def f(x: Tensor, y: Tensor) -> Tensor:
        return x.tanh() + halved(y)

    with pytest.raises(GradcheckError) as caught:
        gradcheck(f, [A, A])
    text, report = str(caught.value), caught.value.report
    finding = report.wrong[0]
    assert finding.label == "y"
    assert finding.index is not None
    assert finding.output_index == finding.index
    assert finding.analytic == pytest.approx(A[finding.index])
    assert finding.numeric == pytest.approx(2 * A[finding.index])
    assert finding.ratio == pytest.approx(0.5)
    place = r"at index \(\d, \d\) of output \(\d, \d\): analytic .*, numeric .*, ratio 0.5"
    assert re.search(f"the gradient of y is wrong {place}", text)
    assert [(c.op, c.argument) for c in report.culprits] == [("halved", "x")]
    assert "test_gradcheck.py" in text
    assert "return x.tanh() + halved(y)" in text  # the user's own line


def test_history_that_is_cut(made: Any) -> None:
    report = refused(lambda x: x * x.detach(), [A])
    assert report.culprits == []  # every op is right by itself
    assert "detach()" in report.wrong[0].cause
    report = refused(lambda x, y: x * Tensor(y.data), [A, A])
    assert [f.label for f in report.wrong] == ["y"]
    assert report.wrong[0].pattern == "zero"
    assert "the history must be cut" in report.wrong[0].cause


def test_the_second_order_is_checked_only_when_the_first_is_right(halved: Any) -> None:
    assert {f.order for f in refused(halved, [A], order=2).findings} == {1}


def test_a_wrong_second_derivative(made: Any) -> None:
    @made
    def cube(x: Any) -> Any:
        return x**3

    cube.backward(x=lambda g, x: g * 3 * (x.data if isinstance(x, Tensor) else x) ** 2)
    gradcheck(cube, [A])
    report = refused(cube, [A], order=2)
    assert "the second derivative by x is wrong" in report.summary()
    assert [(c.op, c.argument) for c in report.culprits] == [("cube", "x")]
    assert "the second derivative of op cube" in str(report)


def test_a_rule_that_gives_nan(made: Any) -> None:
    @made
    def root(x: Any) -> Any:
        return abs(x) ** 0.5

    root.backward(x=lambda g, x: g * (0 * x) ** 0 * np.nan)
    report = refused(root, [A])
    assert report.wrong[0].pattern == "nan"
    assert "detect_anomaly" in report.wrong[0].cause


def test_many_elements_of_which_a_few_are_wrong(made: Any) -> None:
    """An input with more elements than are compared one by one; the directions alone prove the error."""

    @made
    def copied(x: Any) -> Any:
        return x * 1.0

    def rule(g: Any) -> Any:
        g = g * 1.0
        g[7] += 1.0
        return g

    copied.backward(x=rule)
    report = refused(copied, [rng.normal(size=3000)])
    assert report.wrong[0].compared == "2048 of 3000 elements"
    assert [culprit.op for culprit in report.culprits] == ["copied"]

    @made
    def doubled(x: Any) -> Any:
        return x * 1.0

    doubled.backward(x=lambda g: 2 * g)
    finding = refused(doubled, [rng.normal(size=3000)]).wrong[0]
    assert finding.pattern == "factor"
    assert finding.ratio == pytest.approx(2.0)


def test_tolerances_and_full_comparison(made: Any) -> None:
    @made
    def nearly(x: Any) -> Any:
        return x * x

    nearly.backward(x=lambda g, x: g * 2 * x * (1 + 1e-5))
    refused(nearly, [A])
    assert gradcheck(nearly, [A], rtol=1e-4).passed
    assert gradcheck(nearly, [A], atol=1e-3).passed
    assert gradcheck(lambda x: x * x, [A], full=True).findings[0].compared == "all 12 elements"
    assert gradcheck(lambda x: x * x, [A], step=1e-4).findings[0].step == 1e-4


# ---------------------------------------------------------------------- the report


def test_the_report_is_a_table(halved: Any) -> None:
    text = str(gradcheck(lambda x: x.tanh(), [A], order=2))
    lines = text.splitlines()
    assert lines[1].split()[:4] == ["order", "input", "shape", "compared"]
    assert lines[3].startswith("1      x")
    assert lines[3].endswith("ok")
    assert lines[5].startswith("2      the output's gradient")
    assert all(len(line) < 140 for line in lines)
    assert "WRONG" in str(refused(halved, [A]))


def test_the_report_as_a_dict(halved: Any) -> None:
    passed = gradcheck(lambda x: x.tanh(), [A]).to_dict()
    assert passed["passed"] is True
    assert passed["findings"][0]["label"] == "x"
    failed = json.loads(json.dumps(refused(halved, [A]).to_dict()))
    assert failed["passed"] is False
    assert failed["findings"][0]["pattern"] == "factor"
    assert failed["findings"][0]["ratio"] == pytest.approx(0.5)
    assert failed["culprits"][0]["op"] == "halved"


def test_the_plot_shows_the_v(halved: Any, tmp_path: Path) -> None:
    figure = gradcheck(lambda x: x.exp().tanh(), [A], order=2).plot(tmp_path / "v.png")
    assert (tmp_path / "v.png").stat().st_size > 10_000
    axes = figure.axes[0]
    errors = {line.get_label(): np.array(line.get_ydata()) for line in axes.get_lines()}
    steps = np.array(axes.get_lines()[0].get_xdata())
    best = steps[errors["central"].argmin()]
    assert 1e-7 < best < 1e-4  # the bottom of the V
    assert errors["central"][0] > 1e-2
    assert errors["central"][-1] > 1e-4
    assert errors["richardson"].min() < 1e-11
    assert errors["complex"][-1] < 1e-14
    plateau = refused(halved, [A]).plot().axes[0].get_lines()[0].get_ydata()
    assert np.median(plateau) == pytest.approx(1.0, rel=1e-3)  # a wrong gradient has no V
    assert min(plateau) > 0.5


def test_ratios_of_zeros() -> None:
    finding = Finding("x", (2,), "float64", 1, "central", 1e-6)
    assert math.isnan(finding.ratio)
    finding.analytic = -1.0
    assert finding.ratio == -math.inf


# ---------------------------------------------------------------------- kinks and poles


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("f", "x", "places"),
    [
        (ops.relu, [-1.0, 0.0, 2.0], "(1,)"),
        (ops.abs, [0.0, 3.0], "(0,)"),
        (lambda x: x.clip(-1, 1), [0.5, 1.0, 3.0], "(1,)"),
        (lambda x: x.max(), [1.0, 3.0, 3.0], "(1,), (2,)"),
        (lambda x: x.max(), [2.0, 2.0, 2.0, 2.0, 2.0], "(0,), (1,), (2,) and 2 more"),
        (lambda x: ops.maximum(x, 1.0).sum(), [1.0, 5.0], "(0,)"),
        (lambda x: ops.where(x > 2.0, x, 3.0), [2.0, 5.0], "(0,)"),  # a jump, beside which f stands still
    ],
)
def test_kinks_are_told_and_are_no_errors(f: Any, x: list[float], places: str, method: str) -> None:
    report = gradcheck(f, [np.array(x)], method=method)
    assert report.passed
    assert report.findings[0].status == "kink"
    assert any(f"at {places} is a kink" in note for note in report.findings[0].notes)


def test_a_kink_hides_no_error_elsewhere(made: Any) -> None:
    @made
    def rectified(x: Any) -> Any:
        return np.maximum(x, 0)

    rectified.backward(x=lambda g, y: g * (y > 0) * 1.01)
    report = refused(rectified, [np.array([-1.0, 0.0, 2.0])])
    assert report.wrong[0].index == (2,)
    assert report.wrong[0].pattern == "factor"
    assert any("is a kink" in note for note in report.wrong[0].notes)


def test_a_kink_close_by_is_stepped_over() -> None:
    for distance in (1e-1, 1e-3, 1e-5, 1e-9):
        report = gradcheck(ops.relu, [np.array([distance, -distance, 1.0])], method="richardson")
        assert {f.status for f in report.findings} == {"ok"}, distance


def test_a_kink_within_f() -> None:
    """|x| |x| is smooth, and the chain of right rules is wrong at 0, at the second order."""
    report = gradcheck(lambda x: x.abs() * x.abs(), [np.array([0.0, 1.0])], order=2)
    finding = next(f for f in report.findings if f.order == 2 and f.label == "x")
    assert finding.status == "kink"
    assert "op abs" in finding.notes[-1]
    with pytest.raises(UndecidedError, match=r"(?s)gradient of x is undecided.*Op relu.* stands at a kink"):
        gradcheck(lambda x: x.relu() - (-x).relu(), [np.array([0.0, 2.0])])


def test_the_edge_of_the_domain() -> None:
    report = gradcheck(ops.sqrt, [0.0])  # infinity is what the slope goes to
    assert report.findings[0].status == "edge"
    assert "at () no numeric derivative exists" in report.findings[0].notes[0]
    assert refused(lambda x: x.sqrt() * x, [np.array([0.0, 4.0])]).wrong[0].pattern == "nan"


@pytest.mark.parametrize("f", [lambda x: x.abs() * x, lambda x: ops.sign(x) * x * x])
def test_complex_steps_fall_back_where_f_is_not_analytic(f: Any) -> None:
    report = gradcheck(lambda x, y: f(x) + y.exp(), [A, A], method="complex")
    assert [finding.method for finding in report.findings] == ["richardson", "complex"]
    assert "is not analytic" in report.findings[0].notes[0]
    assert report.findings[1].notes == []


def test_the_op_that_is_not_analytic_is_named(made: Any) -> None:
    report = gradcheck(lambda x: x.abs() * x, [A], method="complex")
    assert report.findings[0].notes[0].startswith("op abs is not analytic")

    @made
    def real_only(x: Any) -> Any:
        return np.floor(x) * 0 + x

    real_only.backward(x=lambda g: g)
    report = gradcheck(lambda x: real_only(x).exp(), [A], method="complex")
    assert report.findings[0].notes[0].startswith("op real_only cannot compute on complex numbers")


# ---------------------------------------------------------------------- what cannot be checked


def random_function(x: Tensor) -> Tensor:
    return x * Tensor(np.random.default_rng().normal(size=x.shape))


def changing(x: Tensor) -> Tensor:
    x.data += 1.0
    return x * 2


@pytest.mark.parametrize(
    ("f", "inputs", "kind", "message"),
    [
        (random_function, [A], ValueError, "f must be deterministic; seed it anew.*two calls at one point that differ"),
        (lambda x: x.numpy(), [A], TypeError, "f must return a Tensor.*Received: the output of type ndarray"),
        (lambda x: None, [A], TypeError, "f must return a Tensor.*Received: the output of type NoneType"),
        (lambda x: [x, 3], [A], TypeError, r"Received: the output\[1\] of type int"),
        (lambda x: x.argmax(), [A], TypeError, "f must return a floating Tensor. Received: int64"),
        (lambda x, y: x * 2, [A, B], ValueError, "f must use every input. Received: the output does not depend on y"),
        (changing, [A], ValueError, "f must not change its inputs. Received: f changed x"),
        (lambda x: x.log(), [-abs(A)], ValueError, r"f must be finite at the point. Received: nan at \(0, 0\) of the"),
        (lambda x: 1 / x, [np.array([1.0, 0.0])], ValueError, r"finite at the point. Received: inf at \(1,\)"),
        (lambda x: x, [A.astype("float16")], TypeError, r"three digits of float16.*x=float16\(3, 4\)"),
        (lambda x: x, [A + 0j], TypeError, r"inputs must be real.*two inputs.*x=complex128\(3, 4\)"),
        (lambda x: x.detach().astype("complex128"), [A], TypeError, "must return real.*the output of complex"),
        (lambda x: x, [np.arange(3)], TypeError, "one input at least must be floating"),
    ],
)
def test_functions_that_cannot_be_checked(f: Any, inputs: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^gradcheck: .*{message}"), np.errstate(all="ignore"):
        gradcheck(f, inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 3}, "order must be 1 or 2. Received: order=3"),
        ({"method": "forward"}, "method must be one of .*Received: method='forward'"),
        ({"directions": 0}, "directions must be a positive integer. Received: directions=0"),
        ({"step": 0.0}, "step must be a positive number. Received: step=0.0"),
        ({"rtol": -1.0}, "rtol must be a positive number"),
        ({"atol": math.nan}, "atol must be a positive number"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"gradcheck: {message}"):
        gradcheck(lambda x: x, [A], **options)


# ---------------------------------------------------------------------- adjoints, devices, layers, losses


def test_adjointcheck() -> None:
    x, w = rng.normal(size=(2, 9, 3)), rng.normal(size=(4, 3, 2))
    conv = lambda x, w: ops.depthwise_conv1d(x, w, stride=2, dilation=2, padding=(3, 1))
    report = adjointcheck(conv, [x, w])
    assert [f.label for f in report.findings] == ["x", "w"]
    assert max(f.relative for f in report.findings) < 1e-14
    assert max(f.relative for f in adjointcheck(conv, [x.astype("float32"), w.astype("float32")]).findings) < 1e-6
    assert adjointcheck(lambda a, b: a + b, [A, A]).passed  # affine in each
    assert adjointcheck(lambda x, w: x.exp() * w, [A, A], arguments="w").passed
    assert adjointcheck(lambda x: x * 3, [Tensor(A, device="standin")]).passed


def test_adjointcheck_fails(made: Any) -> None:
    @made
    def doubled(x: Any) -> Any:
        return 2 * x

    doubled.backward(x=lambda g: 2.0001 * g)
    with pytest.raises(GradcheckError, match="doubled: the gradient of x is wrong"):
        adjointcheck(doubled, [A])
    with pytest.raises(ValueError, match=r"adjointcheck: f must be linear. Received: exp, which is not linear in x"):
        adjointcheck(ops.exp, [A])
    with pytest.raises(ValueError, match=r"adjointcheck: arguments must be of \['x'\]. Received: \['z'\]"):
        adjointcheck(doubled, [A], arguments="z")


def test_compare_devices() -> None:
    f = lambda x, options: (x.softmax() @ options["w"])[options["rows"]].tanh()
    options = {"w": rng.normal(size=(4, 2)), "rows": np.array([0, 2])}
    report = compare_devices(f, [A, options], device="standin")
    assert report.method == "standin against cpu"
    assert [f.label for f in report.findings] == ["the output", "x", "options['w']"]
    assert max(f.absolute for f in report.findings) == 0.0
    assert compare_devices(lambda x: x.exp(), [A.astype("float32")], device="standin").findings[1].dtype == "float32"


def test_compare_devices_fails() -> None:
    f = lambda x: x * (3.0 if x.device == "cpu" else 3.1)
    with pytest.raises(GradcheckError, match="the gradient of x is wrong") as caught:
        compare_devices(f, [A], device="standin")
    assert [finding.status for finding in caught.value.report.findings] == ["wrong", "wrong"]
    with pytest.raises(ValueError, match="device: must be 'cpu', 'cuda' or 'cuda:N'"):
        compare_devices(f, [A], device="tpu")


@pytest.mark.gpu
def test_compare_devices_on_a_gpu() -> None:
    layer = layers.SeparableConv1D(4, 3, dtype="float64")
    layer.build((2, 9, 3))

    def f(x: Tensor, *weights: Tensor) -> Tensor:
        return ops.depthwise_conv1d(x, weights[0], padding=(1, 1)) @ weights[1][0] + weights[2]

    compare_devices(f, [rng.normal(size=(2, 9, 3)), *layer.get_weights()])


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_check_layer(padding: str, data_format: str) -> None:
    layer = layers.SeparableConv1D(
        3, 3, padding=padding, data_format=data_format, depth_multiplier=2, activation="tanh",
        depthwise_regularizer="l2", pointwise_regularizer="l1", activity_regularizer="l2", name="separable",
    )
    x = rng.normal(size=(2, 6, 4)).astype("float32")
    report = check_layer(layer, x, order=2)
    assert [f.label for f in report.findings if f.order == 1] == [
        "x", "separable/depthwise_kernel", "separable/pointwise_kernel", "separable/bias",
    ]
    assert {f.status for f in report.findings} == {"ok"}
    assert max(f.relative for f in report.findings) < 1e-6  # in float64, though the layer is of float32
    complex_report = check_layer(layer, x, method="complex")
    assert max(f.relative for f in complex_report.findings) < 1e-11


def test_check_layer_leaves_the_layer_alone() -> None:
    layer = layers.SeparableConv1D(3, 3, activity_regularizer="l2")
    x = Tensor(rng.normal(size=(2, 6, 4)), dtype="float32")
    before = layer(x).tolist()
    weights, loss = [(w.data, w.node) for w in layer.weights], layer.losses[0].item()
    check_layer(layer, x, order=2)
    assert [(w.data, w.node) for w in layer.weights] == weights
    assert layer.dtype == "float32"
    assert layer.losses[0].item() == loss
    assert layer(x).tolist() == before
    (layer(x) ** 2).sum().backward()
    assert all(w.grad is not None for w in layer.weights)


def test_check_layer_of_layers() -> None:
    model = layers.Layer  # any layer will do, also one made of layers

    class Residual(model):  # type: ignore[misc, valid-type]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.inner = layers.Dense(4, activation="tanh", kernel_regularizer="l2", name="inner")

        def call(self, inputs: Tensor) -> Tensor:
            return inputs + self.inner(inputs)

    report = check_layer(Residual(name="residual"), A, order=2)
    assert [f.label for f in report.findings if f.order == 1] == ["x", "inner/kernel", "inner/bias"]


def test_check_layer_with_dropout() -> None:
    dropout = layers.Dropout(0.5, name="dropout")
    with pytest.raises(ValueError, match="f must be deterministic"):
        check_layer(dropout, A, training=True)
    assert check_layer(dropout, A, training=False).passed


def test_a_wrong_layer_is_found(halved: Any) -> None:
    class Wrong(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")

        def call(self, inputs: Tensor) -> Tensor:
            return halved(inputs) * self.scale

    layer = Wrong(name="wrong")
    with pytest.raises(GradcheckError) as caught:
        check_layer(layer, A)
    assert [f.label for f in caught.value.report.wrong] == ["x"]
    assert layer.dtype == "float32"
    assert layer.scale.dtype == np.float32


def test_losses() -> None:
    target = np.array([0, 2, 1])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")
    gradcheck(lambda p: loss(target, p), [A], order=2)


# ---------------------------------------------------------------------- detect_anomaly


def test_the_op_that_makes_nan_is_named() -> None:
    x = Tensor(np.array([1.0, -1.0]), requires_grad=True)
    with pytest.raises(FloatingPointError) as caught, detect_anomaly():
        (x * 2).log().sum()
    assert str(caught.value).startswith("log: made NaN of finite numbers. Received: x=float64(2,), called at ")
    assert "(x * 2).log().sum()" in str(caught.value)
    assert "test_gradcheck.py" in str(caught.value)


def test_the_op_that_makes_infinity_is_named() -> None:
    message = r"divide: made infinity of finite numbers.*a=1.0, b=float64\(2,\)"
    with pytest.raises(FloatingPointError, match=message), detect_anomaly():
        1.0 / Tensor(np.array([1.0, 0.0]))


def test_nan_from_outside_is_told() -> None:
    with pytest.raises(FloatingPointError, match="exp: made NaN of numbers that held NaN already"), detect_anomaly():
        Tensor(np.array([np.nan])).exp()


def test_infinities_that_are_meant_pass() -> None:
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    with detect_anomaly():
        masked = ops.where(np.array([True, False]), x, -np.inf)
        masked.softmax().sum().backward()
    with pytest.raises(FloatingPointError, match="subtract: made NaN of infinities"), detect_anomaly():
        masked - masked


def test_the_rule_that_makes_nan_is_named() -> None:
    x = Tensor(np.array([4.0, 0.0]), requires_grad=True)
    with detect_anomaly():
        root = x.sqrt()
        loss = (root * 2).sum()
    message = r"sqrt: the backward rule of 'x' made infinity of finite numbers. Received: x=float64\(2,\), called at .*"
    with pytest.raises(FloatingPointError, match=message + re.escape("root = x.sqrt()")):
        loss.backward()  # watched because it was recorded so
    assert x.grad is None
    with detect_anomaly():
        root = x.sqrt()
    with pytest.raises(FloatingPointError, match=message):
        grad(root.sum(), x, create_graph=True)


def test_nothing_is_watched_outside() -> None:
    x = Tensor(np.array([0.0]), requires_grad=True)
    with detect_anomaly():
        pass
    with np.errstate(all="ignore"):
        x.sqrt().sum().backward()
        assert x.grad is not None
        assert np.isinf(x.grad.item())
    with detect_anomaly(), no_grad(), pytest.raises(FloatingPointError):
        1 / x


def test_only_the_own_thread_is_watched() -> None:
    seen: list[Tensor] = []

    def elsewhere() -> None:
        with np.errstate(all="ignore"):
            seen.append(Tensor(np.array([-1.0])).log())

    with detect_anomaly():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert np.isnan(seen[0].item())


def test_watched_tapes_give_the_same_gradients() -> None:
    x = Tensor(A, requires_grad=True)
    f = lambda: ops.concatenate(x.tanh(), x.softmax(), axis=0).logsumexp()
    plain = grad(f(), x)
    with detect_anomaly():
        watched = grad(f(), x, create_graph=True)
        assert watched.tolist() == plain.tolist()
        grad((watched * watched).sum(), x)
    assert ops.tanh._plans  # the op's own plans are as they were
    assert grad(f(), x).tolist() == plain.tolist()


# ---------------------------------------------------------------------- the command line

SCRIPT = """
from minigrad import op

def good(x, w, scale=2.0):
    return (x @ w).tanh() * scale

@op
def wrong(x):
    return x * x

wrong.backward(x=lambda g, x: g * x)

def bad(x):
    return wrong(x).sum()

def root(x):
    return x.sqrt()
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    known = set(Op.registry)
    yield path
    for name in set(Op.registry) - known:
        del Op.registry[name]


def test_the_command_line(script: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "v.png"
    arguments = ["--shape", "x=4,8", "--shape", "w=8,2", "--order", "2", "--method", "complex", "--plot", str(picture)]
    assert command.main([f"{script}:good", *arguments]) == 0
    assert "good: all 5 gradients agree with complex differences." in capsys.readouterr().out
    assert picture.stat().st_size > 1000


def test_the_command_line_says_what_is_wrong(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([f"{script}:bad", "--shape", "x=3"]) == 1
    printed = capsys.readouterr().out
    assert "WRONG" in printed
    assert "wrong rule: op wrong, its rule for 'x'" in printed


def test_inputs_of_the_command_line_can_be_shifted(script: Path) -> None:
    assert command.main([f"{script}:root", "--shape", "x=3", "--scale", "0.1", "--shift", "5"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{script}:nothing"], "script.py must define the function. Received: 'nothing'"),
        (["{script}"], "must be given as path/to/file.py:function"),
        (["missing.py:f"], "Received: 'missing.py:f'"),
        (["{script}:good", "--shape", "x=2,3"], r"parameter without a default must have a --shape. Missing: \['w'\]"),
        (["{script}:bad", "--shape", "x=2", "--shape", "q=1"], r"must name parameters of \['x'\]. Received: \['q'\]"),
        (["{script}:root", "--shape", "x=3", "--shift", "-9"], "f must be finite at the point"),
    ],
)
def test_the_command_line_refuses(
    script: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.errstate(all="ignore"):
        assert command.main([argument.format(script=script) for argument in arguments]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_bad_shape_on_the_command_line(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for shape in ("x", "x=a", "=3", "x=-1"):
        with pytest.raises(SystemExit) as caught:
            command.main([f"{script}:bad", f"--shape={shape}"])
        assert caught.value.code == 2
        assert "must be a name and lengths, as x=4,8" in capsys.readouterr().err


def test_the_module_runs(script: Path) -> None:
    root = Path(__file__).parent.parent
    run = [sys.executable, "-m", "minigrad.gradcheck", f"{script}:bad", "--shape", "x=3"]
    assert subprocess.run(run, cwd=root, capture_output=True, check=False).returncode == 1


# ---------------------------------------------------------------------- another array module


@pytest.mark.parametrize("method", METHODS)
def test_checks_run_on_another_device(method: str, halved: Any) -> None:
    x, w = Tensor(rng.normal(size=(2, 7, 3)), device="standin"), Tensor(rng.normal(size=(3, 3, 1)), device="standin")
    f = lambda x, w: ops.depthwise_conv1d(x, w, padding=(1, 1)).tanh().softmax()
    report = gradcheck(f, [x, w], order=2, method=method)
    assert {finding.status for finding in report.findings} == {"ok"}
    assert {finding.method for finding in report.findings} == {method}
    failed = refused(lambda x: halved(x).tanh(), [x], method=method)
    assert [culprit.op for culprit in failed.culprits] == ["halved"]
    assert check_layer(layers.SeparableConv1D(4, 3).to("standin"), x, method=method).passed
