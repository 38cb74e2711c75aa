"""Every comparison knows its own scale and its own error: small parts beside large ones, huge, tiny and steep ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, gradcheck, ops
from minigrad.gradcheck import GradcheckError, GradcheckReport, UndecidedError, adjointcheck
from tests.planted import after, wrong_rule

rng = np.random.default_rng(21)


@pytest.fixture
def made(made: Any) -> Any:
    """Make ops of a function and its rules, forgotten after the test."""

    def make(compute: Any, *rules: Any) -> Any:
        found = made(compute)
        found.backward(**dict(zip(found.arguments, rules, strict=True)))
        return found

    return make


@pytest.fixture
def wrong_cube(made: Any) -> Any:
    """x^3 with two thirds of its gradient."""

    def wrong_cube(x: Any) -> Any:
        return x**3

    return made(wrong_cube, lambda g, x: g * 2 * x**2)


def refused(f: Any, inputs: Any, **options: Any) -> GradcheckReport:
    with pytest.raises(GradcheckError) as caught:
        gradcheck(f, inputs, **options)
    assert not isinstance(caught.value, UndecidedError), caught.value
    return caught.value.report


# ---------------------------------------------------------------------- small beside large


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e7, 1e11, 1e14])
def test_a_small_wrong_output_beside_a_large_right_one(scale: float, full: bool, wrong_cube: Any) -> None:
    x, w = np.array([0.7, -1.3, 2.1]), np.array([1.1, -0.4])
    report = refused(lambda x: [x * scale, wrong_cube(x)], [x], full=full)
    assert report.wrong[0].output_index is not None
    assert report.wrong[0].output_index[0] == 1
    report = refused(lambda x, w: {"large": x * scale, "small": wrong_cube(w)}, [x, w], full=full)
    assert [finding.label for finding in report.wrong] == ["w"]
    refused(lambda x: ops.concatenate(x * scale, wrong_cube(x), axis=0), [x], full=full)
    assert gradcheck(lambda x: [x * scale, x**3], [x], full=full).passed


@pytest.mark.parametrize("scale", [1e4, 1e9, 1e14])
def test_a_small_part_of_one_sum(scale: float, wrong_cube: Any) -> None:
    """Differences cannot see it, complex steps can."""
    x, w = np.array([0.7, -1.3]), np.array([1.1, -0.4])
    assert gradcheck(lambda x, w: (x * scale).sum() + (w**3).sum(), [x, w]).passed
    report = refused(lambda x, w: (x * scale).sum() + (w * w * w.detach()).sum(), [x, w])
    assert [finding.label for finding in report.wrong] == ["w"]


@pytest.mark.parametrize("mask", [1e3, 1e9, 1e12])
def test_a_history_that_is_cut_beside_a_large_constant(mask: float) -> None:
    x, hidden = np.array([0.4, -0.3, 0.9, 0.2]), np.array([0.0, 1.0, 0.0, 0.0])
    refused(lambda x: (x - hidden * mask).softmax() * x.detach(), [x])
    assert gradcheck(lambda x: (x - hidden * mask).softmax() * x, [x]).passed


def test_a_small_element_beside_large_ones(made: Any) -> None:
    def rooted(x: Any) -> Any:
        return x**0.5

    f = made(rooted, lambda g, x, y: g * 0.5 / y * np.where(x < 1e-3, 1.1, 1.0))
    for x in ([1e-8, 2.0], [3e5, 2e-7], [1e-12, 1e12, 1.0]):
        report = refused(f, [np.array(x)])
        assert report.wrong[0].index == (int(np.argmin(x)),)
        assert gradcheck(ops.sqrt, [np.array(x)]).findings[0].status == "ok"
    assert gradcheck(ops.log, [np.array([1e7, 3e-7])]).findings[0].status == "ok"


def test_a_small_share_of_the_gradient_is_seen(made: Any) -> None:
    """What an element adds to a direction may be lost; it then moves alone."""
    weights = np.array([1e9, 2.0, 3.0])

    def weighed(x: Any) -> Any:
        return x * weights

    f = made(weighed, lambda g: g * weights * np.array([1.0, 1.0, 1.5]))
    assert refused(lambda x: f(x).sum(), [np.array([1.0, 2.0, -1.0])]).wrong[0].index == (2,)


# ---------------------------------------------------------------------- huge, tiny, steep


@pytest.mark.parametrize("scale", [1e-120, 1e-80, 1e80, 1e110])
def test_huge_and_tiny_numbers(scale: float, made: Any) -> None:
    def square(x: Any) -> Any:
        return x * x

    f = made(square, lambda g, x: g * 1.9 * x)
    x = np.array([1.0, -2.0, 0.3]) * scale
    report = refused(f, [x])
    assert report.wrong[0].pattern == "factor"
    assert report.wrong[0].ratio == pytest.approx(0.95)
    assert gradcheck(lambda x: x * x, [x], order=2, full=True).passed


def test_gradients_near_the_end_of_the_range(made: Any) -> None:
    def raised(x: Any) -> Any:
        return np.exp(x)

    f = made(raised, lambda g, y: g * y * 1.01)
    for x in ([1.0, 355.0], [690.0, 3.0], [-690.0, 0.0]):
        refused(f, [np.array(x)])
        assert gradcheck(ops.exp, [np.array(x)]).passed


def test_what_underflows_is_right_and_told() -> None:
    for f, inputs in (
        (lambda x: x * x, [np.array([2e-161, -3e-162])]),
        (lambda x: x * x * x * x, [np.array(1e-90)]),
        (lambda x, y: x * y, [np.array(2e-170), np.array(-5e-280)]),
    ):
        report = gradcheck(f, inputs)
        assert report.passed
        assert any("nothing is seen" in note for finding in report.findings for note in finding.notes)


@pytest.mark.parametrize("steepness", [1e4, 1e6, 1e8])
def test_steep_places(steepness: float, made: Any) -> None:
    assert gradcheck(lambda x: (x * steepness).tanh(), [np.array([0.0, 0.8])]).findings[0].status == "ok"
    assert gradcheck(lambda x: ((x - 0.25) * steepness).sigmoid(), [np.array([0.25, 30.0])]).passed

    def steep(x: Any) -> Any:
        return np.tanh(x * steepness)

    f = made(steep, lambda g, y: g * steepness * (1 - y * y) * 1.02)
    assert refused(f, [np.array([0.0, 0.8])]).wrong[0].index == (0,)


def test_softmax_with_spread_logits() -> None:
    """What it is made of is near 1, and its derivatives near 1e-13: the tape's own rounding is measured."""
    for _ in range(12):
        x = rng.normal(size=rng.integers(2, 5)) * rng.choice([8, 18, 35])
        assert gradcheck(lambda x: x.softmax(), [x], order=2).passed
    assert gradcheck(lambda x: x.softmax().sum(), [rng.normal(size=5)], order=2).passed  # constant


def test_a_wrong_rule_is_seen_through_the_rounding(made: Any) -> None:
    def soft(x: Any) -> Any:
        e = np.exp(x - x.max())
        return e / e.sum()

    f = made(soft, lambda g, y: y * (g - (g * y).sum()) * 1.1)
    refused(f, [np.array([0.0, -22.0])])
    refused(f, [np.array([0.0, -22.0])], full=True)


# ---------------------------------------------------------------------- right, wrong, undecided


def test_what_cannot_be_told_is_undecided(made: Any) -> None:
    def f(x: Tensor) -> Tensor:
        return x.astype("float32").exp().astype("float64")

    with pytest.raises(UndecidedError, match=r"is undecided at index \(\d,\).*Op astype computes in float32"):
        gradcheck(f, [np.array([0.3, 1.7])])
    assert gradcheck(f, [np.array([0.3, 1.7])], rtol=1e-2).passed

    def floored(x: Any) -> Any:
        return np.floor(x)  # no complex step passes it

    whole = made(floored, lambda g: g * 0.0)
    with pytest.raises(UndecidedError, match=r"The difference is known to .* only, for f, here 1e\+13"):
        gradcheck(lambda x: x.exp().sum() + 1e13 + whole(x).sum(), [np.array([1.3, 2.1])])


def test_float16_within_hides_no_error(wrong_cube: Any) -> None:
    half = lambda x: x.astype("float16").astype("float64")
    report = refused(lambda x: wrong_cube(x) + half(x) * 0, [np.array([1.2, 2.3])])
    assert [culprit.op for culprit in report.culprits] == ["wrong_cube"]


def test_an_op_without_a_derivative_is_named(made: Any) -> None:
    def times(a: Any, n: Any) -> Any:
        return a * n

    f = made(times, lambda g, n: g * n, None)
    report = refused(f, [np.array([1.0, 2.0]), 3.0])
    assert "op times has no derivative by 'n', and passes none on" in report.wrong[0].cause


def test_inputs_that_only_select() -> None:
    x, mask = rng.normal(size=4), np.array([1.0, 0.0, 1.0, 0.0])
    for f in (
        lambda x, mask: ops.where(mask > 0.5, x, -x),
        lambda x, mask: x * (mask > 0.5).astype("float64"),
        lambda x, mask: x * ops.sign(mask - 0.5),
    ):
        assert gradcheck(f, [x, mask], order=2).passed
    with pytest.raises(ValueError, match=r"f must use every input\. Received: the output does not depend on mask"):
        gradcheck(lambda x, mask: x.exp(), [x, mask])


def test_a_backward_pass_that_does_not_repeat_itself(made: Any) -> None:
    calls = 0

    def scaled(x: Any) -> Any:
        return x * 3.0

    def rule(g: Any) -> Any:
        nonlocal calls
        calls += 1
        return g * (3.0 if calls % 3 else 3.1)

    f = made(scaled, rule)
    for check in (gradcheck, adjointcheck):
        for _ in range(6):
            with pytest.raises(GradcheckError):
                check(f, [np.array([1.0, -2.0])])
    report = refused(f, [np.array([1.0, -2.0])])
    assert report.wrong[0].pattern in ("unsteady", "factor")

    def noisy(x: Any) -> Any:
        return x * 3.0

    f = made(noisy, lambda g: g * (3.0 + 1e-3 * np.random.default_rng().random()))
    report = refused(f, [np.array([1.0, -2.0])])
    assert report.wrong[0].pattern == "unsteady"
    assert "the backward pass is not deterministic" in report.wrong[0].cause
    assert "history" not in report.wrong[0].cause
    with pytest.raises(GradcheckError, match="asked again, the tape gives another answer"):
        adjointcheck(f, [np.array([1.0, -2.0])])


# ---------------------------------------------------------------------- what the report says


def rule(bent: np.ndarray) -> Any:
    return lambda g, x: 3 * g * x**2 * bent


def test_one_wrong_element_is_not_called_a_factor(made: Any) -> None:
    for error in (1e-2, 1e-3, 1e-4):

        def cubed(x: Any) -> Any:
            return x**3

        bent = np.ones((8, 9))
        bent[5, 2] += error
        report = refused(made(cubed, rule(bent)), [rng.normal(size=(8, 9))], full=True)
        assert report.wrong[0].index == (5, 2)
        assert "every element" not in report.summary()
        assert report.wrong[0].cause == "only 1 of the 72 elements that were compared is wrong"


def test_one_wrong_element_of_many_is_found_by_halving(made: Any) -> None:
    def doubled(x: Any) -> Any:
        return x * 2.0

    def rule(g: Any) -> Any:
        y = g * 2.0
        y[4321] *= 1.003
        return y

    report = refused(made(doubled, rule), [rng.normal(size=6000)])
    assert report.wrong[0].index == (4321,)
    assert report.wrong[0].compared == "2048 of 6000 elements"


@pytest.mark.parametrize(("before", "behind"), [(0, 0), (1, 1), (2, 0)])
def test_an_unflipped_kernel_is_recognized_whatever_the_padding(before: int, behind: int, made: Any) -> None:
    taps = 3
    windows = lambda x: np.lib.stride_tricks.sliding_window_view(x, taps, axis=-1)

    def correlated(x: Any, w: Any) -> Any:
        return windows(np.pad(x, [(0, 0), (before, behind)])) @ w

    def rule_x(g: Any, w: Any) -> Any:
        return windows(np.pad(g, [(0, 0), (taps - 1 - before, taps - 1 - behind)])) @ w  # w[::-1] would be right

    def rule_w(g: Any, x: Any) -> Any:
        return np.einsum("ntk,nt->k", windows(np.pad(x, [(0, 0), (before, behind)])), g)

    report = refused(made(correlated, rule_x, rule_w), [rng.normal(size=(2, 9)), rng.normal(size=taps)])
    assert [finding.label for finding in report.wrong] == ["x"]
    assert report.wrong[0].pattern == "transposed"
    assert "kernel not flipped" in report.wrong[0].cause


# ---------------------------------------------------------------------- linear functions


@pytest.mark.parametrize(
    "around",
    [
        lambda y, x: y,
        lambda y, x: y * 1e190,
        lambda y, x: y + 1e13,
        lambda y, x: {"large": x * 1e15, "small": y},
        lambda y, x: [x * 1e-200, y],
    ],
)
def test_adjoints_of_any_scale(around: Any, made: Any) -> None:
    def tripled(x: Any) -> Any:
        return x * 3.0

    f = made(tripled, lambda g: g * 3.01)
    x = rng.normal(size=(2, 3))
    with pytest.raises(GradcheckError, match="the gradient of x is wrong"):
        adjointcheck(lambda x: around(f(x), x), [x])
    assert adjointcheck(lambda x: around(x * 3.0, x), [x]).passed


def test_complex_steps_are_not_believed_where_f_computes_outside_the_ops() -> None:
    """NumPy's norm drops the imaginary part, so complex steps miss what the tape misses."""
    x = np.array([0.5, 1.0, -1.2])
    for f in (
        lambda x: x / float(np.linalg.norm(x.numpy())),
        lambda x: (x + 1e9) - 1e9 + x / np.linalg.norm(x.numpy()),
    ):
        with pytest.raises(GradcheckError):
            gradcheck(f, [x])


@pytest.mark.parametrize("bend", [lambda g: np.maximum(g, 0.0), lambda g: np.clip(g, -2.0, 2.0), np.sign])
def test_a_backward_pass_that_is_not_linear(made: Any, bend: Any) -> None:
    def twice(x: Any) -> Any:
        return x * 2.0

    f = made(twice, lambda g: 2.0 * bend(g.numpy() if hasattr(g, "numpy") else g))
    report = refused(f, [np.array([0.3, 1.0])])
    assert "is not linear in the gradient it is given" in report.wrong[0].cause


def test_a_zero_where_f_only_seems_constant() -> None:
    gradcheck(lambda x: (x / 1e-9).tanh(), [np.array([1.0, -2.0])])  # it is
    for f, x in (
        (lambda x: (x + 1e18) + x.detach().tanh() - x, [0.5, 1.0]),
        (lambda x: 1e18 * x[:1] + x.detach()[1:].exp(), [0.5, 1.0]),
    ):
        with pytest.raises(GradcheckError):
            gradcheck(f, [np.array(x)])


@pytest.mark.parametrize("spread", [120.0, 400.0, 690.0])
def test_a_derivative_that_underflows_times_a_complex_step(spread: float) -> None:
    """The largest logit's log_softmax is 0 exactly, with a slope of exp(-spread): larger complex steps show it."""
    for full in (False, True):
        assert gradcheck(lambda x: x.log_softmax(), [np.array([3.0, 3.0 + spread])], full=full).wrong == []
    with pytest.raises(GradcheckError), wrong_rule("log_softmax", "x", after(lambda g: g * 1.5)):
        gradcheck(lambda x: x.log_softmax(), [np.array([3.0, 3.0 + spread])])
