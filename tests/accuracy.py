"""Calculations whose float32 errors are measured, by themselves and beside PyTorch's (`tests/golden/accuracy.py`).

Each gives arrays: float32 errors are those against the same calculation in float64, the largest one divided by the
largest element, or each by its own element for tails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor, activations, grad, ops


class Case(NamedTuple):
    """Arrays, and a calculation of Tensors of them; ``kind`` and ``options`` tell PyTorch which."""

    name: str
    kind: str
    arrays: list[np.ndarray]
    options: dict[str, Any]
    relative: bool = False


ROUNDING = 2.0**-23  # of float32, below which errors are not compared

CASES: list[Case] = []
rng = np.random.default_rng(17)


def case(title: str, kind: str, *arrays: np.ndarray, relative: bool = False, **options: Any) -> None:
    CASES.append(Case(title, kind, [a.astype("float32") for a in arrays], options, relative))


def of_three(*shape: int) -> np.ndarray:
    """Normal numbers around 3: sums of them grow."""
    return rng.standard_normal(shape) + 3


for rows, columns in ((100_000, 4), (4096, 64), (1000, 4), (200, 16)):
    x = of_three(rows, columns)
    case(f"sum of {rows:,} rows of {columns}", "sum", x, axis=0)
    case(f"mean of {rows:,} rows of {columns}", "mean", x, axis=0)
    case(f"variance of {rows:,} rows of {columns}", "var", x, axis=0)
    case(f"gradient of a bias of {columns} over {rows:,} rows", "bias", x, rng.standard_normal(columns))
x = of_three(40, 6, 500)
case("sum over the first and last of three axes", "sum", x, axis=(0, 2))
case("sum over the middle of three axes", "sum", x.swapaxes(1, 2), axis=1)
case("sum of all", "sum", x, axis=(0, 1, 2))
x = of_three(50_000, 3)
case("softmax down 50,000 rows, gradient", "softmax", x, rng.standard_normal(x.shape), axis=0)
case("log_softmax down 50,000 rows, gradient", "log_softmax", x, of_three(*x.shape), axis=0)
case("logsumexp down 50,000 rows", "logsumexp", x, axis=0)
x, w, g = of_three(20_000, 30), of_three(30, 8), of_three(20_000, 8)
case("gradients of a linear layer over 20,000 rows", "linear", x, w, g)
case("batch normalization, gradient", "standardize", of_three(64, 100, 8), of_three(64, 100, 8), axes=(0, 1))
case("layer normalization, gradient", "standardize", of_three(64, 300), of_three(64, 300), axes=(1,))
for n, length, channels, taps, multiplier, stride, dilation in (
    (41, 323, 19, 3, 2, 3, 1), (15, 491, 8, 9, 2, 2, 1), (30, 300, 16, 3, 1, 1, 1), (4000, 12, 4, 5, 1, 2, 1),
    (2, 20_000, 3, 4, 1, 4, 1), (6, 900, 8, 5, 1, 2, 3), (16, 400, 8, 51, 1, 1, 1), (64, 128, 16, 31, 1, 1, 2),
):
    x, w = of_three(n, length, channels), rng.standard_normal((taps, channels, multiplier))
    steps = (length - dilation * (taps - 1) - 1) // stride + 1
    for layout in ("NLC", "NCL"):
        for sign in ("random", "positive"):
            g = rng.standard_normal((n, steps, channels * multiplier)) + (3 if sign == "positive" else 0)
            swap = (lambda a: a) if layout == "NLC" else (lambda a: np.ascontiguousarray(a.swapaxes(1, 2)))
            case(
                f"depthwise gradients, {layout}, N={n}, L={length:,}, C={channels}, K={taps}, M={multiplier}, "
                f"s={stride}, d={dilation}, {sign}", "depthwise", swap(x), w, swap(g), stride=stride,
                dilation=dilation, layout=layout,
            )
tail = np.concatenate([-np.geomspace(0.01, 60, 400), np.geomspace(0.01, 60, 400)])
for name in ("elu", "selu", "celu", "softplus", "log_sigmoid"):
    case(f"tails of {name}, value and gradient", "activation", tail, relative=True, name=name)
for name in ("tanh", "sigmoid", "silu", "gelu"):
    case(f"{name}, value and gradient", "activation", tail, name=name)


def computed(case: Case, dtype: str) -> list[np.ndarray]:
    """The results of a case in minigrad."""
    leaves = [Tensor(a.astype(dtype), requires_grad=True) for a in case.arrays]
    return [np.asarray(y.numpy(), "float64") for y in OURS[case.kind](*leaves, **case.options)]


def error(case: Case, got: list[np.ndarray], truth: list[np.ndarray]) -> float:
    """The largest error of all results."""
    worst = 0.0
    for a, t in zip(got, truth, strict=True):
        scale = np.maximum(np.abs(t), 1e-30) if case.relative else np.abs(t).max()
        worst = max(worst, float((np.abs(a - t) / scale).max()))
    return worst


def _softmax(f: Callable[..., Any]) -> Callable[..., list[Tensor]]:
    return lambda x, g, axis: grad(f(x, axis=axis), [x], g.detach())


def _activation(x: Tensor, name: str) -> list[Tensor]:
    y = activations.functions[name](x)
    return [y, grad(y.sum(), x)]


def _depthwise(x: Tensor, w: Tensor, g: Tensor, **options: Any) -> list[Tensor]:
    return grad(ops.depthwise_conv1d(x, w, **options), [x, w], g.detach())


OURS: dict[str, Callable[..., list[Tensor]]] = {
    "sum": lambda x, axis: [x.sum(axis)],
    "mean": lambda x, axis: [x.mean(axis)],
    "var": lambda x, axis: [x.var(axis)],
    "logsumexp": lambda x, axis: [x.logsumexp(axis)],
    "bias": lambda x, b: grad(((x + b) * x).sum(), [b]),
    "softmax": _softmax(ops.softmax),
    "log_softmax": _softmax(ops.log_softmax),
    "linear": lambda x, w, g: grad(x @ w, [x, w], g.detach()),
    "standardize": lambda x, g, axes: grad(ops.standardize(x, axes=axes, epsilon=1e-3), [x], g.detach()),
    "depthwise": _depthwise,
    "activation": _activation,
}
