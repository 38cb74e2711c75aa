"""At a kink the gradient lies between the derivatives from the two sides; what is only steep is no kink."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minigrad import Op, gradcheck, op, ops
from minigrad.gradcheck import GradcheckError, GradcheckReport


@pytest.fixture
def bent() -> Iterator[Any]:
    """|x|, with a gradient at 0 that is to be chosen."""

    def make(at_zero: float) -> Any:
        @op
        def bent(x: Any) -> Any:
            return np.abs(x)

        bent.backward(x=lambda g, x: g * np.where(x == 0, at_zero, np.sign(x)))
        return bent

    yield make
    Op.registry.pop("bent", None)


def refused(f: Any, inputs: Any, **options: Any) -> GradcheckReport:
    with pytest.raises(GradcheckError) as caught:
        gradcheck(f, inputs, **options)
    return caught.value.report


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("slope", [-1.0, -0.6, 0.0, 0.5, 1.0])
def test_any_slope_between_the_two_is_right(slope: float, full: bool, bent: Any) -> None:
    finding = gradcheck(bent(slope), [np.array([0.0, 3.0])], full=full).findings[0]
    assert finding.status == "kink"
    assert "the gradient lies between them" in finding.notes[0]


@pytest.mark.parametrize("slope", [-1.01, 1.5, 40.0, np.nan, np.inf, -np.inf])
def test_any_other_is_wrong(slope: float, bent: Any) -> None:
    f = bent(slope)
    report = refused(f, [np.array([0.0, 3.0])])
    assert report.wrong[0].index == (0,)
    assert report.wrong[0].analytic == slope or not np.isfinite(slope)
    refused(lambda x: f(x) * 2.0 + x.tanh(), [np.array([[0.0, 3.0], [1.0, -1.0]])])
    refused(lambda x: f(x - 2.5) + 1e3, [np.array([2.5, 3.0])])


def test_nan_at_a_corner() -> None:
    report = refused(lambda x: (x * x).sum().sqrt(), [np.zeros(3)])
    assert report.wrong[0].pattern == "nan"
    refused(lambda x: (x * x).sqrt(), [np.array([0.0, 4.0])])


def test_ties() -> None:
    assert gradcheck(lambda x: x.max(), [np.array([3.0, 1.0, 3.0])]).findings[0].status == "kink"
    assert gradcheck(lambda x: (x * 3.0).max(), [np.array([0.1, 0.1, 0.0])]).findings[0].status == "kink"
    assert gradcheck(ops.maximum, [np.array([1.0, 2.0]), np.array([1.0, 5.0])]).passed


@pytest.mark.parametrize("method", ["central", "richardson", "complex"])
def test_a_smooth_place_near_a_pole_is_no_kink(method: str) -> None:
    x = np.array([3e-9, 1.0])
    assert gradcheck(lambda x: 1.0 / x, [x], method=method).findings[0].status == "ok"
    steep = lambda x: ((x - 0.3) * 1e6).sigmoid()
    assert gradcheck(steep, [np.array([0.3 + 2e-7, 1.0])], method=method).findings[0].status == "ok"

    @op
    def inverse(x: Any) -> Any:
        return 1 / x

    inverse.backward(x=lambda g, x: -g / (x * x) * np.where(x < 1e-6, 0.5, 1.0))
    try:
        assert refused(inverse, [x], method=method).wrong[0].index == (0,)
    finally:
        del Op.registry["inverse"]


def test_the_end_of_a_domain() -> None:
    assert gradcheck(lambda x: x.sqrt(), [0.0]).findings[0].status == "edge"
    report = refused(lambda x: x.sqrt() * x, [0.0])  # the derivative from within is 0, the gradient NaN
    assert report.wrong[0].pattern == "nan"


def test_a_kink_is_told_beside_large_numbers() -> None:
    finding = gradcheck(lambda x: x.relu() + 1e4, [np.array([0.0, 1.0])]).findings[0]
    assert finding.status == "kink"
