"""Wrong gradients at places where a checker is easily fooled: edges of a domain, kinks, and smooth but steep places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np

from minigrad import Tensor, ops
from tests.hidden_errors import (
    CHANGES,
    Hidden,
    answers_differently,
    cut_beside_large,
    huge,
    small_beside_large,
    where_true,
)
from tests.planted import Rule, after

# ---------------------------------------------------------------------- (e) near the edge of a domain


def near_edges() -> Iterator[Hidden]:
    """The element at the edge is wrong; the others, up to 1e12 times as large, are right."""
    functions: list[tuple[str, str, str, Callable[..., Any], float]] = [  # op, argument, text, f, the edge
        ("log", "x", "log x", Tensor.log, 0.0), ("sqrt", "x", "sqrt x", Tensor.sqrt, 0.0),
        ("power", "a", "x^0.5", lambda x: x**0.5, 0.0), ("power", "a", "x^-1.5", lambda x: x**-1.5, 0.0),
        ("power", "a", "x^1.5", lambda x: x**1.5, 0.0), ("divide", "b", "1 / x", lambda x: 1 / x, 0.0),
        ("log", "x", "x log x", lambda x: x * x.log(), 0.0),
        ("sqrt", "x", "sqrt(1 - x)", lambda x: (1 - x).sqrt(), 1.0),
        ("log", "x", "log(1 - x)", lambda x: (1 - x).log(), 1.0),
        ("sqrt", "x", "sqrt(1 - x x)", lambda x: (1 - x * x).sqrt(), 1.0),
        ("log", "x", "atanh x", lambda x: 0.5 * ((1 + x).log() - (1 - x).log()), 1.0),
        ("divide", "b", "x / sqrt(1 - x x)", lambda x: x / (1 - x * x).sqrt(), 1.0),
        ("power", "b", "x^y", lambda x, y: x**y, 0.0),
    ]  # fmt: skip
    factors, k = cycle([1.5, -1.0, 0.0, 1.01, 7.0]), 0
    for op, argument, text, f, edge in functions:
        for j, gap in enumerate((1e-3, 1e-6, 1e-9, 1e-12) if edge == 0.0 else (1e-4, 1e-6, 1e-8)):
            others = np.array([1.0, 10.0 ** (3 * (k % 5))]) if edge == 0.0 else np.array([0.1, -0.5])
            x = np.array([*others[: 1 + k % 2], edge + gap if edge == 0.0 else edge - gap])
            mask = np.arange(len(x)) == len(x) - 1
            factor, xs, g = next(factors), [x], f
            if text == "x^y":
                xs = [x, np.linspace(0.5, 1.5, len(x))]
            if j == 3:  # summed: the large elements round what the small one does
                g = lambda *xs, f=f: f(*xs).sum()
            yield Hidden(
                "edge",
                f"{text} {'summed ' if j == 3 else ''}at {edge:g} +- {gap:g} beside {others[k % 2]:g} x {factor:g}",
                g, xs, op, argument, where_true(mask, factor), how="full" if j % 2 else "",
            )  # fmt: skip
            k += 1
    for power in (20, 60, 100, 150):
        for op, f in (("log", Tensor.log), ("sqrt", Tensor.sqrt)):
            xs = [np.array([10.0**-power, 2.0])]
            yield Hidden("edge", f"{op} at 1e-{power}", f, xs, op, "x", where_true(np.array([True, False]), 1.5))


    x, at = np.array([0.0, 2.0]), np.array([True, False])
    for value in (77.0, -5.0, np.nan, 0.0):  # on the edge itself: the derivatives of one side are infinite, and 0
        if value:
            yield Hidden(
                "edge", f"x^1.5 at 0 is {value:g}", lambda x: x**1.5, [x], "power", "a", at_kink(at, value), known=1.0
            )
        yield Hidden("edge", f"sqrt at 0 is {value:g}", Tensor.sqrt, [x], "sqrt", "x", at_kink(at, value), known=1.0)


# ---------------------------------------------------------------------- (f) kinks


def at_kink(mask: Any, value: float) -> Callable[[Rule], Rule]:
    """The derivative ``value`` where ``mask`` holds."""
    return lambda right: lambda g, *kept: ops.where(mask, g * value, right(g, *kept))


def shared(mask: Any, value: float) -> Callable[[Rule], Rule]:
    """For reductions: ``value`` times what those that tie share between them, where ``mask`` holds."""
    return after(lambda g: ops.where(mask, g * (value * np.sum(mask)), g))


def beyond(value: float, low: float, high: float) -> float:
    """How far outside [low, high] a value lies."""
    if np.isnan(value) or np.isinf(value):
        return np.inf
    return max(value - high, low - value) / max(abs(value), abs(low), abs(high))


def at_kinks() -> Iterator[Hidden]:
    x, pair = np.array([0.0, 4.0, -1.5]), np.array([2.0, 4.0, -1.5])
    at = np.array([True, False, False])
    bends: list[tuple[str, str, str, Callable[..., Any], list[np.ndarray], Any, float, float]] = [
        # op, argument, text, f, inputs, where the kink is, the one-sided derivatives of the op
        ("relu", "x", "relu", Tensor.relu, [x], at, 0.0, 1.0),
        ("relu", "x", "3 tanh relu", lambda x: 3 * x.relu().tanh(), [x], at, 0.0, 1.0),
        ("relu", "x", "summed relu", lambda x: x.relu().sum(), [x], at, 0.0, 1.0),
        ("abs", "x", "abs", Tensor.abs, [x], at, -1.0, 1.0),
        ("abs", "x", "abs of 1e6 x", lambda x: (1e6 * x).abs(), [x], at, -1.0, 1.0),
        ("abs", "x", "abs beside 1e9", Tensor.abs, [np.array([0.0, 1e9, -1.0])], at, -1.0, 1.0),
        ("clip", "x", "clip", lambda x: x.clip(0.0, 5.0), [x], at, 0.0, 1.0),
        ("clip", "x", "clip at its limit", lambda x: x.clip(-2.0, 2.0), [np.array([2.0, 0.1, 1.0])], at, 0.0, 1.0),
        ("maximum", "a", "maximum", ops.maximum, [x, np.array([0.0, 1.0, 1.0])], at, 0.0, 1.0),
        ("minimum", "b", "minimum", ops.minimum, [x, np.array([0.0, 1.0, 1.0])], at, 0.0, 1.0),
        ("maximum", "a", "maximum with 2", lambda x: ops.maximum(x, 2.0), [pair], at, 0.0, 1.0),
        ("where", "a", "where", lambda x: ops.where(x >= 0, 2 * x, x), [x], at, 0.5, 1.0),
    ]
    k = 0
    for op, argument, text, f, inputs, mask, low, high in bends:
        for value in (77.0, np.nan, 1.5, low - 0.3, np.inf, -1.2, 1.1)[: 7 if k < 21 else 5]:
            yield Hidden(
                "kink", f"{text} {value:g} outside [{low:g}, {high:g}]", f, inputs, op, argument, at_kink(mask, value),
                how="full" if k % 3 == 2 else "", known=beyond(value, low, high),
            )  # fmt: skip
            k += 1
    tied = np.array([3.0, 1.0, 3.0, -2.0])
    reductions: list[tuple[str, str, Callable[..., Any], np.ndarray]] = [
        ("max", "max", lambda x: x.max(), tied), ("min", "min", lambda x: -x.min(), -tied),
        ("max", "max of rows", lambda x: x.max(-1, keepdims=True), np.array([tied, 2 * tied])),
    ]
    for op, text, f, x in reductions:
        mask = abs(x) == abs(x).max(-1, keepdims=True)
        for value in (-0.5, 1.5, 40.0, np.nan):
            each = mask * np.array([1.0, 0.0, 0.0, 0.0]) > 0  # of the two that tie, one is wrong
            change = at_kink(each, value) if x.ndim == 1 else shared(each, value)
            yield Hidden("kink", f"{text} {value:g}", f, [x], op, "x", change, known=beyond(value, 0.0, 1.0))
    nans: list[tuple[str, Callable[..., Any], np.ndarray]] = [  # 0 times infinity, of right rules
        ("norm", lambda x: (x * x).sum().sqrt(), np.zeros(3)),
        ("root of squares", lambda x: (x * x).sqrt(), np.array([0.0, 2.0])),
        ("power of squares", lambda x: (x**2) ** 0.5, np.array([0.0, -3.0])),
        ("norms of rows", lambda x: (x * x).sum(-1).sqrt(), np.array([[0.0, 0.0], [1.0, 2.0]])),
    ]  # fmt: skip
    for text, f, x in nans:
        yield Hidden("kink", f"NaN of a {text}", f, [x], known=np.inf)
    for op, f in (("relu", Tensor.relu), ("abs", Tensor.abs)):  # the kink is right, a smooth element beside it is not
        for factor in (1.5, 0.0, 1.01):
            x = np.array([0.0, 3.0, 2.0])
            yield Hidden("kink", f"beside that of {op} x {factor:g}", f, [x], op, "x", where_true(x == 3.0, factor))


# ---------------------------------------------------------------------- (g) smooth and steep


def steep_places() -> Iterator[Hidden]:
    functions: list[tuple[str, str, str, Callable[..., Any], float, float]] = [  # f(x, k) at center + offset / k
        ("tanh", "x", "tanh(k x)", lambda x, k: (x * k).tanh(), 0.0, 0.0),
        ("tanh", "x", "tanh(k x) on its shoulder", lambda x, k: (x * k).tanh(), 0.0, 1.3),
        ("sigmoid", "x", "sigmoid(k (x - 0.5))", lambda x, k: ((x - 0.5) * k).sigmoid(), 0.5, 0.0),
        ("softplus", "x", "softplus(k x) / k", lambda x, k: ops.softplus(x * k) / k, 0.0, 0.0),
        ("sqrt", "x", "sqrt(x x + 1/k^2)", lambda x, k: (x * x + 1 / k**2).sqrt(), 0.0, 0.7),
        ("exp", "x", "exp(-(k x)^2)", lambda x, k: (-(x * k) * (x * k)).exp(), 0.0, 0.6),
        ("divide", "b", "1 / x", lambda x, k: 1 / x, 0.0, 1.0),
        ("erf", "x", "erf(k (x - 1))", lambda x, k: ops.erf((x - 1.0) * k), 1.0, 0.3),
        ("logsumexp", "x", "logsumexp(k x) / k", lambda x, k: ops.stack(x * k, -x * k).logsumexp(axis=0) / k, 0.0, 0.2),
        ("divide", "b", "x / (x x + 1/k^2)", lambda x, k: x / (x * x + 1 / k**2), 0.0, 0.4),
    ]  # fmt: skip
    changes = cycle([CHANGES[0], CHANGES[1], CHANGES[3], CHANGES[2]])
    for i, (op, argument, text, f, center, offset) in enumerate(functions):
        for j, power in enumerate((3, 5, 7, 9)):
            steepness = 10.0**power
            other = [1.0, 100.0, 0.3][(i + j) % 3]
            x = np.array([center + offset / steepness, other])
            changed, change = next(changes)
            order = 2 if j == 1 and op in ("tanh", "sigmoid", "exp") else 1
            yield Hidden(
                "steep", f"{text} k={steepness:g} beside {other:g} {changed}", lambda x, f=f, k=steepness: f(x, k), [x],
                op, argument, change, order=order, how="full" if j == 2 else "",
            )  # fmt: skip
            if j == 2:  # that element alone, in a number
                yield Hidden(
                    "steep", f"{text} k={steepness:g} alone", lambda x, f=f, k=steepness: f(x, k), [x[:1]], op,
                    argument,
                    after(lambda g: g * 1.3),
                )  # fmt: skip


FAMILIES: list[Callable[[], Iterator[Hidden]]] = [
    small_beside_large, cut_beside_large, answers_differently, huge, near_edges, at_kinks, steep_places,
]  # fmt: skip


def errors() -> list[Hidden]:
    """All seven families."""
    return [error for family in FAMILIES for error in family()]
