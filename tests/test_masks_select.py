"""A mask selects: what it leaves out never matters, be it infinite, and what it lets through passes as it is.

The values where NaN comes in are PyTorch 2.13's, where it has the function, or NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, activations, grad, ops
from minigrad.kernels import selection

MANY = 700  # elements, of which masks keep the bits

# Each function with the inputs at which its derivative is 0, and those at which it is 1.
SELECTING: dict[str, tuple[Callable[[Tensor], Tensor], list[float], list[float]]] = {
    "relu": (ops.relu, [-2.0, 0.0], [1.0]),
    "relu6": (activations.relu6, [-2.0, 0.0, 6.0, 7.0], [3.0]),
    "hard_sigmoid": (lambda x: 6 * activations.hard_sigmoid(x), [-4.0, 4.0], [1.0]),
    "hard_tanh": (activations.hard_tanh, [-2.0, 2.0], [0.5]),
    "hard_shrink": (activations.hard_shrink, [-0.3, 0.0, 0.5], [-2.0, 2.0]),
    "soft_shrink": (activations.soft_shrink, [-0.3, 0.0, 0.5], [-2.0, 2.0]),
    "threshold": (lambda x: activations.threshold(x, 1.0, 5.0), [-3.0, 1.0], [2.0]),
    "clip": (lambda x: x.clip(-1.0, 2.0), [-1.5, 2.5], [-1.0, 0.0, 2.0]),
    "clip from below": (lambda x: x.clip(minimum=-1.0), [-1.5], [-1.0, 9.0]),
    "clip from above": (lambda x: x.clip(maximum=2.0), [2.5], [2.0, -9.0]),
    "maximum": (lambda x: ops.maximum(x, 1.0), [0.5], [1.5]),
    "minimum": (lambda x: ops.minimum(x, 1.0), [1.5], [0.5]),
    "where": (lambda x: ops.where(x > 0, x, 3.0), [-1.0], [1.0]),
    "where, else": (lambda x: ops.where(x > 0, 3.0, x), [1.0], [-1.0]),
    "abs": (ops.abs, [0.0], [2.0]),
    "leaky_relu": (lambda x: activations.leaky_relu(x, 0.0), [-1.0], [1.0]),
}


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("count", [1, MANY])
@pytest.mark.parametrize("name", SELECTING)
def test_what_is_not_selected_does_not_leak(name: str, count: int, dtype: str, bad: float) -> None:
    f, left_out, let_through = SELECTING[name]
    x = Tensor(np.repeat(np.array(left_out + let_through, dtype), count), requires_grad=True)
    g = grad(f(x), x, np.full(x.shape, bad, dtype), create_graph=True)
    there = len(left_out) * count
    np.testing.assert_array_equal(g.numpy()[:there], 0)
    np.testing.assert_array_equal(g.numpy()[there:], bad)


def test_the_largest_of_several_takes_all() -> None:
    values = np.array([[3.0, 1.0, 2.0], [1.0, 5.0, 5.0]])
    for f, x in ((ops.max, values), (ops.min, -values)):
        leaf = Tensor(x, requires_grad=True)
        g = grad(f(leaf, axis=1), leaf, np.array([np.inf, -np.inf])).tolist()
        assert g == [[np.inf, 0, 0], [0, -np.inf, -np.inf]]


def test_sparsemax_sends_nothing_to_what_is_zero() -> None:
    x = Tensor([[2.0, 1.5, -3.0], [0.0, 9.0, 0.0]], requires_grad=True)
    assert ops.sparsemax(x).numpy()[:, 2].tolist() == [0, 0]
    g = grad(ops.sparsemax(x), x, np.array([[1.0, 3.0, np.inf], [np.nan, 4.0, -np.inf]], "float32")).tolist()
    assert g == [[-1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("count", [1, MANY])
@pytest.mark.parametrize(("stride", "padding"), [(2, (0, 0)), (1, (0, 0)), (2, (1, 1)), (3, (0, 1))])
def test_pooling_sends_infinity_to_the_maximum_alone(count: int, stride: int, padding: tuple[int, int]) -> None:
    x = Tensor(np.array([1.0, 4.0, 3.0, 2.0, 0.0, 9.0]).reshape(1, 6, 1).repeat(count, 0), requires_grad=True)
    y = ops.max_pool1d(x, taps=2, stride=stride, padding=padding)
    g = grad(y, x, np.full(y.shape, np.inf), create_graph=True).numpy()
    assert set(np.unique(g)) == {0, np.inf}
    assert np.isinf(g[:, [1, 5] if stride < 3 else [1, 3]]).all()
    assert (g[:, 0] == (np.inf if padding[0] else 0)).all()
    h = np.where(np.isinf(g), 2.0, np.inf)
    again = ops.max_pool1d_gather(Tensor(h), x, y, taps=2, stride=stride, padding=padding, layout="NLC")
    assert (again.numpy() == 2).all()


# ---------------------------------------------------------------------- NaN


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (ops.relu, 1.0), (activations.relu6, 1.0), (activations.elu, np.nan), (activations.hard_shrink, 1.0),
        (activations.soft_shrink, 1.0), (lambda x: activations.threshold(x, 0.5, 9.0), 1.0),
        (lambda x: x.clip(-1, 1), 0.0), (ops.sigmoid, np.nan), (ops.tanh, np.nan), (ops.softplus, np.nan),
        (ops.abs, 0.0), (ops.sqrt, np.nan), (ops.log, np.nan), (ops.erf, np.nan),
    ],
)
@pytest.mark.parametrize("count", [1, MANY])
def test_what_is_no_number_stays_so(f: Callable[[Any], Any], slope: float, count: int) -> None:
    x = Tensor(np.full(count, np.nan), requires_grad=True)
    y = f(x)
    assert np.isnan(y.numpy()).all()
    np.testing.assert_array_equal(grad(y, x, np.ones(count)).numpy(), slope)


def test_the_larger_of_a_number_and_none() -> None:
    a, b = Tensor([np.nan, 1.0, 2.0, 1.0], requires_grad=True), Tensor([1.0, np.nan, 2.0, 3.0], requires_grad=True)
    for f in (ops.maximum, ops.minimum):
        y = f(a, b)
        assert np.isnan(y.numpy()[:2]).all()
        one = [1, 1, 0.5, 0], [1, 1, 0.5, 1]
        expected = one if f is ops.maximum else (one[1], one[0])
        assert [g.tolist() for g in grad(y, [a, b], np.ones(4, "float32"))] == [list(e) for e in expected]


def test_the_largest_is_no_number_where_one_is_none() -> None:
    x = Tensor([[np.nan, 1.0, np.nan], [4.0, 1.0, 4.0]], requires_grad=True)
    for f in (ops.max, ops.min):
        y = f(x, axis=1)
        assert np.isnan(y.numpy()).tolist() == [True, False]
        g = grad(y.sum(), x).tolist()
        assert g == [[0.5, 0, 0.5], [0.5, 0, 0.5] if f is ops.max else [0, 1, 0]]


@pytest.mark.parametrize("padding", [(0, 0), (1, 1)])
@pytest.mark.parametrize("stride", [1, 3])
def test_a_window_with_no_number_has_none_for_its_maximum(stride: int, padding: tuple[int, int]) -> None:
    x = Tensor(np.array([1.0, np.nan, 2.0, 3.0, 1.0, 0.0, 5.0, 4.0]).reshape(1, 8, 1), requires_grad=True)
    y = ops.max_pool1d(x, taps=3, stride=stride, padding=padding)
    g = grad(y.sum(), x).numpy().reshape(-1)
    assert np.isnan(y.numpy().reshape(-1)[0])
    assert g[1] == np.isnan(y.numpy()).sum() > 0
    assert g.sum() == y.size


def test_softmaxes_of_no_number() -> None:
    x = np.array([[1.0, np.nan, 2.0], [1.0, 2.0, 3.0]])
    for f in (ops.softmax, ops.log_softmax, ops.sparsemax, lambda x: ops.logsumexp(x, axis=1)):
        y = f(Tensor(x)).numpy()
        assert np.isnan(y[0]).all()
        assert np.isfinite(y[1]).all()


def test_the_branch_not_taken_and_its_cure() -> None:
    x = Tensor([0.0, 4.0], requires_grad=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        assert np.isnan(grad(ops.where(x > 0, ops.sqrt(x), 0.0).sum(), x).tolist()[0])
    safe = ops.where(x > 0, x, 1.0)
    assert grad(ops.where(x > 0, ops.sqrt(safe), 0.0).sum(), x).tolist() == [0, 0.25]


# ---------------------------------------------------------------------- the selection itself


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex128", "int64"])
@pytest.mark.parametrize("shapes", [((900,), (900,)), ((30, 30), (30, 1)), ((30, 1), (30, 30)), ((40, 1), (1, 40))])
def test_selection_is_as_where(dtype: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random(shapes[0]) > 0.5
    x = (100 * rng.standard_normal(shapes[1])).astype(dtype)
    for zero in (0, 0.0, -0.0, 1.0, np.float64(0)):
        for a, b in ((x, zero), (zero, x)):
            y, expected = selection.select(mask, a, b), np.where(mask, a, b)
            assert y.dtype == expected.dtype
            np.testing.assert_array_equal(y, expected)
            np.testing.assert_array_equal(np.signbit(y.real), np.signbit(expected.real))
    x[x > 50] = np.inf if x.dtype.kind == "f" else 7
    out = np.empty((2, *x.shape), dtype)
    if mask.shape == x.shape:
        selection.part(mask, x, *out)
        np.testing.assert_array_equal(out[0], np.where(mask, x, 0))
        np.testing.assert_array_equal(out[1], np.where(mask, 0, x))


# ---------------------------------------------------------------------- powers at 0


def test_powers_of_zero_to_second_order() -> None:
    """d/da = b a^(b-1) and d/db = a^b log a, with their limits at 0; the latter is 0 at a = 0 <= b by convention."""
    bases = np.zeros(5)
    exponents = np.array([0.0, 0.5, 1.0, 2.0, -1.0])
    a, b = Tensor(bases, requires_grad=True), Tensor(exponents, requires_grad=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        da, db = grad((a**b).sum(), [a, b], create_graph=True)
        np.testing.assert_array_equal(da.numpy(), [0, np.inf, 1, 0, -np.inf])
        np.testing.assert_array_equal(db.numpy(), [0, 0, 0, 0, -np.inf])
        mixed, other = grad(da.sum(), b).numpy(), grad(db.sum(), a).numpy()
        np.testing.assert_array_equal(mixed, other)
        np.testing.assert_array_equal(mixed, [np.inf, -np.inf, -np.inf, 0, np.inf])
        assert grad(da.sum(), a).numpy()[3] == 2
        np.testing.assert_array_equal(grad(db.sum(), b).numpy()[:4], 0)


def test_the_mixed_derivative_at_an_exponent_of_zero() -> None:
    """d/db (b a^(b-1)) at b = 0 is 1/a, not what the 0 of the first derivative there suggests."""
    a, b = Tensor([2.0, 0.5], requires_grad=True), Tensor([0.0, 0.0], requires_grad=True)
    da, db = grad((a**b).sum(), [a, b], create_graph=True)
    assert da.tolist() == [0, 0]
    assert grad(da.sum(), b).tolist() == grad(db.sum(), a).tolist() == [0.5, 2]
