"""Errors of float32, beside PyTorch's: at most twice as large, in sums over many rows, kernel gradients, and tails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, ops, set_num_threads
from minigrad.kernels import parallel, sums
from tests.accuracy import CASES, ROUNDING, Case, computed, error

GOLDEN = np.load(Path(__file__).parent / "golden" / "accuracy.npz")
THEIRS = dict(zip(GOLDEN["names"].tolist(), GOLDEN["errors"].tolist(), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_errors_are_at_most_twice_those_of_pytorch(case: Case) -> None:
    ours = error(case, computed(case, "float32"), computed(case, "float64"))
    assert ours <= 2 * max(THEIRS[case.name], ROUNDING)


SHAPES: list[tuple[tuple[int, ...], Any]] = [
    ((5000, 3), 0), ((5000, 3), (0, 1)), ((5000, 3), None), ((3, 5000), 1), ((3, 5000), 0), ((40, 90, 30), 1),
    ((40, 90, 30), (0, 2)), ((40, 90, 30), (0, -2)), ((40, 90, 30), (1, 2)), ((9, 8, 7, 6, 50), (0, 2, 4)),
    ((20_000,), 0), ((700_000, 1), 0), ((1, 700_000), (0, 1)), ((300, 1000, 2), 1), ((7, 3, 20_001), (0, 2)),
    ((65, 64), 0), ((17, 3), 0), ((4, 300_001), 0), ((300_001, 4), (0,)), ((2, 2), ()), ((0, 5), 0), ((5, 0), 0),
    ((3, 0, 2), (1,)), ((6000, 1, 2), (0, 1)),
]  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "int32", "bool"])
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_sums_are_numpys(
    shape: tuple[int, ...], axis: Any, dtype: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whichever order the axes lie in memory."""
    monkeypatch.setattr(parallel, "MIN_WORK", 1e-6 if threads > 1 else 1e9)
    set_num_threads(threads)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(shape))
    scale = 0.02 if dtype == "float16" else 3
    values = (rng.standard_normal([shape[i] for i in order]) * scale).astype(dtype).transpose(np.argsort(order))
    strided = np.repeat(values, 2, axis=-1)[..., ::2]
    for x in (values, np.ascontiguousarray(values), strided, np.broadcast_to(values[:1], shape)):
        for keepdims in (False, True):
            y = sums.total(x, axis, keepdims)
            expected = x.sum(axis=axis, keepdims=keepdims)
            assert y.shape == expected.shape
            assert y.dtype == expected.dtype
            exact = x.astype("complex128" if dtype == "complex64" else "float64").sum(axis=axis, keepdims=keepdims)
            loose = {"float16": 1e-3, "float32": 1e-6, "complex64": 1e-6}.get(dtype, 1e-13)
            size = np.abs(x).astype("float64").sum(axis=axis, keepdims=keepdims).max(initial=0) if x.size else 0
            np.testing.assert_allclose(y, exact, rtol=loose, atol=loose * size)
        if axis != () and x.dtype != "bool":
            axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
            squares = sums.products(x, x, axes)
            known = (x.astype("complex128" if dtype == "complex64" else "float64") ** 2).sum(axis=axes, keepdims=True)
            assert squares.shape == known.shape
            np.testing.assert_allclose(squares, known, rtol=20 * loose, atol=20 * loose)


@pytest.mark.parametrize("axis", [2, -3, (0, 2), (0, 0), (0, -2)])
def test_sums_over_axes_that_are_not_there(axis: Any) -> None:
    for x in (np.ones((90, 90), "float32"), np.ones((90, 90), "float32").T):
        with pytest.raises(ValueError, match=r"out of bounds|duplicate"):  # NumPy's, which an op explains
            sums.total(x, axis)


@pytest.mark.parametrize("count", [3, 70, 5000])
def test_infinities_and_no_numbers_stay_in_their_column(count: int) -> None:
    x = np.ones((count, 4), "float32")
    x[count // 2, 1], x[0, 2], x[count - 1, 3] = np.inf, np.nan, -np.inf
    np.testing.assert_array_equal(sums.total(x, 0), [count, np.inf, np.nan, -np.inf])
    np.testing.assert_array_equal(sums.total(np.ascontiguousarray(x.T), 1), [count, np.inf, np.nan, -np.inf])


def test_integers_are_counted_in_floats() -> None:
    """Differences of unsigned integers wrap around; NumPy's exponential of small ones is in half precision."""
    for dtype in ("uint8", "int8", "int64", "bool"):
        x = np.array([[0, 1, 1], [1, 0, 0]]).astype(dtype)
        for f in (ops.softmax, ops.log_softmax, ops.sparsemax, ops.logsumexp, ops.softplus, ops.sigmoid, ops.erf):
            y = f(x)
            assert y.dtype == np.float64
            np.testing.assert_allclose(y, f(x.astype("float64")), rtol=1e-15)
    small = np.array([[-128, 127]], "int8")
    assert ops.softmax(small).tolist() == [[np.exp(-255.0), 1.0]]
    assert ops.logsumexp(Tensor(small)).item() == 127
    assert ops.softplus(np.array([1, 200], "uint8")).tolist() == [np.log1p(np.exp(1.0)), 200]
