"""Wrong gradients where a checker is easily fooled, in seven families.

Small outputs beside large ones, cut histories beside large constants, backward passes that answer differently at each
call, numbers beyond 1e154, elements near the edge of a domain, kinks, and smooth places that are steep. Each function
has a right counterpart, so that `Hidden.off` says how wrong a gradient is: it differs from the right one by that share
of the larger of the two, at some element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from minigrad import Tensor, grad, gradcheck, ops
from minigrad.functional import leaf, pull
from minigrad.gradcheck import GradcheckError, adjointcheck
from minigrad.tape import Value
from tests.planted import Rule, after, before, cut, detour, wrong_rule

Function = Callable[..., Any]
Change = Callable[[Rule], Rule]


@dataclass(frozen=True)
class Hidden:
    """A function whose gradient is wrong.

    ``op``, ``argument`` and ``change`` say which rule is changed; none where f itself loses its history. ``truth`` is
    the function with the right gradient, f itself with the right rule by default. ``off`` is measured where it is None.
    """

    family: str
    text: str
    f: Function
    inputs: list[Any]
    op: str = ""
    argument: str = ""
    change: Change | None = None
    truth: Function | None = None
    order: int = 1
    how: str = ""  # "full", "adjoint"
    known: float | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, [self.family, self.text, self.how, "order 2" if self.order == 2 else ""]))

    def planted(self) -> AbstractContextManager[None]:
        """The wrong rule in place of the right one."""
        return nullcontext() if self.change is None else wrong_rule(self.op, self.argument, self.change)

    def check(self) -> str:
        """What minigrad says: "right", "wrong", or "undecided"."""
        try:
            with self.planted():
                if self.how == "adjoint":
                    adjointcheck(self.f, self.inputs)
                else:
                    gradcheck(self.f, self.inputs, order=self.order, full=self.how == "full")
        except GradcheckError as error:
            return "wrong" if type(error) is GradcheckError else "undecided"
        return "right"

    def off(self) -> float:
        """How wrong the gradient is: relative to the larger of the two, where that is worst."""
        if self.known is not None:
            return self.known
        worst = 0.0
        for order in range(1, self.order + 1):
            with np.errstate(all="ignore"):
                right = derivatives(self.truth or self.f, self.inputs, order)
                with self.planted():
                    wrong = derivatives(self.f, self.inputs, order)
                for a, b in zip(right, wrong, strict=True):
                    size = np.maximum(abs(a), abs(b))
                    part = abs(a / size - b / size)[size > 0]  # without overflow
                    worst = max(worst, float(np.where(np.isnan(part), np.inf, part).max(initial=0.0)))
        return worst


def derivatives(f: Function, inputs: list[Any], order: int) -> list[np.ndarray]:
    """The Jacobian of f for each input; at order 2 that of the gradient, all outputs weighted."""
    leaves = [leaf(np.asarray(x, float)) for x in inputs]
    outputs = flat(f(*leaves))
    if order == 2:
        rng = np.random.default_rng(3)
        weighted = [grad(y, leaves, rng.normal(size=y.shape), create_graph=True) for y in outputs]
        outputs = [g for gradients in weighted for g in gradients]
    rows: list[list[np.ndarray]] = [[] for _ in leaves]
    for y in outputs:
        for k in range(y.size):
            u = np.zeros(y.size)
            u[k] = 1.0
            gradients = [0.0 * x for x in leaves] if y.node is None else pull(y, leaves, u.reshape(y.shape))
            for row, g in zip(rows, gradients, strict=True):
                row.append(g.numpy().reshape(-1))
    return [np.array(row) for row in rows]


def flat(outputs: Any) -> list[Tensor]:
    """The Tensors that a function returns, as a list."""
    if isinstance(outputs, dict):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


# ---------------------------------------------------------------------- what is changed in a rule

CHANGES: list[tuple[str, Change]] = [
    ("times 1.5", after(lambda g: g * 1.5)),
    ("sign", after(lambda g: -g)),
    ("zero", after(lambda g: g * 0.0)),
    ("times 1.01", after(lambda g: g * 1.01)),
    ("times 3", after(lambda g: g * 3.0)),
    ("one element", after(lambda g: g * one_wrong(g.shape))),
]
SECOND: list[tuple[str, Change]] = [
    ("wrong derivative", after(lambda g: detour(g) if isinstance(g, Value) else g)),
    ("cut history", after(cut)),
]


def one_wrong(shape: tuple[int, ...]) -> np.ndarray:
    factor = np.ones(shape)
    factor[(-1,) * len(shape)] = 1.5
    return factor


def where_true(mask: Any, factor: float) -> Change:
    """The gradient times a factor where ``mask`` holds."""
    return after(lambda g: g * np.where(mask, factor, 1.0))


# ---------------------------------------------------------------------- (a) small beside large

ELEMENTWISE: dict[str, tuple[Function, bool]] = {  # the function, and whether it needs positive numbers
    "exp": (Tensor.exp, False), "tanh": (Tensor.tanh, False), "sigmoid": (Tensor.sigmoid, False),
    "softplus": (ops.softplus, False), "erf": (ops.erf, False), "sqrt": (Tensor.sqrt, True), "log": (Tensor.log, True),
    "expm1": (ops.expm1, False), "relu": (Tensor.relu, True), "power": (lambda x: x**3, True),
    "softmax": (Tensor.softmax, False), "logsumexp": (lambda x: x.logsumexp(axis=-1, keepdims=True) + x, False),
}  # fmt: skip
W = np.random.default_rng(1).normal(size=(3, 3))
LINEAR: dict[str, tuple[Function, str]] = {
    "matmul": (lambda x: x @ W, "a"), "linear": (lambda x: ops.linear(x, W, np.ones(3)), "x"),
    "sum": (lambda x: x.sum(0), "x"), "mean": (lambda x: x.mean(1), "x"), "getitem": (lambda x: x[1:], "x"),
    "reshape": (lambda x: x.reshape(9), "x"), "transpose": (lambda x: x.T, "x"),
    "pad": (lambda x: x.pad([(1, 0), (2, 0)]), "x"),
    "negative": (lambda x: -x, "x"), "multiply": (lambda x: x * W, "a"),
    "concatenate": (lambda x: ops.concatenate(x, x, axis=0), "arrays"),
    "depthwise_conv1d": (
        lambda x: ops.depthwise_conv1d(x.reshape(1, 3, 3), W.reshape(3, 3, 1), padding=(1, 1)), "x"
    ),
}  # fmt: skip
ARGUMENT = {"power": "a", "multiply": "a"}


def beside(form: int, h: Function, scale: float) -> tuple[Function, int]:
    """A function with h as a small output beside a large one, and how many inputs it takes."""
    large = lambda x: x / (1 / scale)
    forms: list[tuple[Function, int]] = [
        (lambda x: {"large": large(x), "small": h(x)}, 1),
        (lambda x: ops.concatenate(large(x).flatten(), h(x).flatten(), axis=0), 1),
        (lambda x, w: {"small": h(w), "large": large(x)}, 2),
        (lambda x: [h(x), large(x) / 1e5, large(x).sum(), large(x[0])], 1),
        (lambda x, w: [large(ops.erf(x) if h is not ops.erf else x.tanh()) + 2 * scale, h(w)], 2),
        (lambda x: {"small": h(x)[..., -1], "large": x / (1 / scale) / (1 / scale)}, 1),
    ]
    return forms[form % len(forms)]


def small_beside_large() -> Iterator[Hidden]:
    rng = np.random.default_rng(17)
    changes, form = cycle(CHANGES), 0
    for k, (name, (h, positive)) in enumerate(ELEMENTWISE.items()):
        for j, scale in enumerate((1e7, 1e9, 1e12, 1e14)):
            text, change = next(changes)
            f, count = beside(form, h, scale)
            form += 1
            shape = [(2,), (2, 3), (4,)][(k + j) % 3]
            xs = [rng.normal(size=shape) for _ in range(count)]
            xs = [abs(x) + 0.2 for x in xs] if positive else xs
            order = 1
            if j == 3 and name not in ("relu", "softmax", "logsumexp"):
                (text, change), order = SECOND[k % 2], 2
            yield Hidden(
                "small beside large", f"{name} {text} beside {scale:g}", f, xs, name, ARGUMENT.get(name, "x"), change,
                order=order, how="full" if (k + j) % 2 else "",
            )  # fmt: skip
    for k, (name, (h, argument)) in enumerate(LINEAR.items()):
        for j, scale in enumerate((1e7, 1e10, 1e14)):
            text, change = CHANGES[(k + j) % 6]
            f, count = beside(k + 2 * j if name != "concatenate" else 0, h, scale)
            xs = [rng.normal(size=(3, 3)) for _ in range(count)]
            if form % 6 == 4:
                f, xs = (lambda x, h=h, scale=scale: [h(x), x / (1 / scale)]), xs[:1]
            how = "adjoint" if "sum" not in text and j != 1 and (k + 2 * j) % 6 != 4 else "full"
            yield Hidden(
                "small beside large", f"{name} {text} beside {scale:g}", f, xs, name, argument, change, how=how
            )
        (text, change), offset = CHANGES[(k + 3) % 5], 10.0 ** (6 + k % 6)
        yield Hidden(
            "small beside large", f"{name} {text} beside + {offset:g}", lambda x, h=h, c=offset: h(x) + c,
            [rng.normal(size=(3, 3))], name, argument, change, how="adjoint",
        )  # fmt: skip
    for scale in (1e7, 1e10, 1e14):  # rows of one array
        for name in ("tanh", "sigmoid", "softplus", "exp"):
            h = ELEMENTWISE[name][0]
            s = np.array([[1.0], [scale**0.5], [scale]])
            change = where_true(s == 1.0, 1.5)
            yield Hidden(
                "small beside large", f"{name}, one row times {scale:g}", lambda x, h=h, s=s: h(x) * s,
                [rng.normal(size=(3, 2))], name, "x", change,
            )  # fmt: skip


# ---------------------------------------------------------------------- (b) cut beside a large constant

CUTS: dict[str, Function] = {
    "detach": lambda x: x.detach(), "numpy": lambda x: Tensor(x.numpy()), "data": lambda x: x.data,
}  # fmt: skip
MASK = np.array([0.0, 0.0, 1.0, 0.0])


def attention(x: Any, v: Any, big: float) -> Any:
    return ((x @ x.swapaxes(0, 1)) * 0.5 - MASK * big).softmax() @ v


def cut_beside_large() -> Iterator[Hidden]:
    rng = np.random.default_rng(18)
    anything, modest = (1e6, 1e9, 1e12, 1e30, 1e300), (1e4, 1e7, 1e9)
    forms: list[tuple[str, Function, tuple[float, ...]]] = [  # c is x, or x without its history
        ("softmax(x - mask c)", lambda x, c, big: (x - MASK * big).softmax() * c, anything),
        ("softmax(where)", lambda x, c, big: ops.where(MASK > 0, -big, x).softmax() * c, anything),
        ("log_softmax", lambda x, c, big: (x - MASK * big).log_softmax()[..., :2] * c[..., :2], anything),
        ("logsumexp", lambda x, c, big: (x - MASK * big).logsumexp(axis=-1) + (x * c).sum(-1), anything),
        ("attention", lambda x, c, big: attention(x, c, big), anything),
        ("clip", lambda x, c, big: x.clip(-big, big) * c, anything),
        ("maximum", lambda x, c, big: ops.maximum(x, -big) * c, anything),
        ("a large output beside", lambda x, c, big: [x * c, x + big], anything),
        ("a large constant output", lambda x, c, big: {"loss": (x * c).tanh(), "bias": 0.0 * x - big}, anything),
        ("a large factor", lambda x, c, big: (x * big).tanh() + x * c, anything),
        ("there and back", lambda x, c, big: ((x + big) - big) * c, modest),
        ("a large sum", lambda x, c, big: (x * c).sum() + big, modest),
        ("hinge", lambda x, c, big: (big - x).relu() / big * c, modest),
        ("a large mean", lambda x, c, big: (x * c + MASK * big).mean(), modest),
    ]
    k = 0
    for text, h, sizes in forms:
        for big in sizes:
            name = list(CUTS)[k % 3]
            lose = CUTS[name]
            x = rng.normal(size=(4, 4) if "attention" in text else (4,) if k % 2 else (3, 4))
            yield Hidden(
                "cut beside large", f"{text} {name} {big:g}", lambda x, h=h, big=big, lose=lose: h(x, lose(x), big),
                [x],
                truth=lambda x, h=h, big=big: h(x, x, big), how="full" if k % 4 > 1 else "",
            )  # fmt: skip
            k += 1
        text_changed, change = CHANGES[k % 3]
        yield Hidden(
            "cut beside large", f"{text} tanh {text_changed}", lambda x, h=h, big=sizes[1]: h(x, ops.erf(x), big),
            [rng.normal(size=(4, 4))], "erf", "x", change, order=1,
        )  # fmt: skip
    for big in anything:
        yield Hidden(
            "cut beside large", f"cut history of softmax {big:g}", lambda x, big=big: (x - MASK * big).softmax(),
            [rng.normal(size=(4,))], "softmax", "x", after(cut), order=2,
        )  # fmt: skip


# ---------------------------------------------------------------------- (c) another answer at each call


def fickle(kind: str, off: float) -> Change:
    """A rule that remembers how often it was asked."""

    def change(right: Rule) -> Rule:
        calls, rng, buffer = 0, np.random.default_rng(4), []

        def wrong(g: Any, *kept: Any) -> Any:
            nonlocal calls
            calls += 1
            y = right(g, *kept)
            if kind == "alternates":
                return y * (1 + off if calls % 2 == 0 else 1.0)
            if kind == "wrong first":
                return y * (1 + off if calls == 1 else 1.0)
            if kind == "right first":
                return y * (1.0 if calls == 1 else 1 + off)
            if kind == "drifts":
                return y * (1 + off * calls)
            if kind == "noise":
                return y * (1 + off * rng.normal(size=y.shape))
            if kind == "signs":
                return y * (-1.0) ** calls
            buffer.append(y)
            return sum(buffer[-3:-1], y)  # adds up what it gave before

        return wrong

    return change


NOT_LINEAR: list[tuple[str, Function, float]] = [  # in the incoming gradient g; how wrong at some g between -2 and 2
    ("drops negative g", lambda g: ops.maximum(g, 0.0), 1.0), ("clips g at 1", lambda g: g.clip(-1.0, 1.0), 0.5),
    ("takes the sign of g", ops.sign, 0.5), ("squares g", lambda g: g * abs(g), 0.5),
]  # fmt: skip


def answers_differently() -> Iterator[Hidden]:
    rng = np.random.default_rng(19)
    kinds = [
        ("alternates", 0.01), ("wrong first", 0.5), ("right first", 0.1), ("drifts", 1e-3), ("noise", 1e-3),
        ("signs", 2.0), ("adds up", 1.0), ("alternates", 1e-4),
    ]  # fmt: skip
    functions: list[tuple[str, str, Function, list[tuple[int, ...]]]] = [
        ("multiply", "a", lambda x: x * x, [(3,)]), ("exp", "x", lambda x: x.exp().sum(), [(2, 3)]),
        ("matmul", "b", lambda x, w: x @ w, [(3, 2), (2, 3)]), ("tanh", "x", lambda x: (x * 3).tanh(), [()]),
        ("softmax", "x", lambda x: x.softmax(), [(2, 4)]),
        ("linear", "w", lambda x, w: ops.linear(x, w, None), [(2, 3), (3, 2)]),
    ]  # fmt: skip
    for kind, off in kinds:
        for k, (op, argument, f, shapes) in enumerate(functions):
            xs = [rng.normal(size=shape) for shape in shapes]
            how, order = ("full", 1) if k % 3 == 1 else ("", 2) if k % 3 == 2 and op != "matmul" else ("", 1)
            if op in ("matmul", "linear") and kind != "drifts":
                how, order = "adjoint", 1
            yield Hidden(
                "answers differently", f"{op} {kind} {off:g}", f, xs, op, argument, fickle(kind, off), order=order,
                how=how, known=off,
            )  # fmt: skip


    for text, h, off in NOT_LINEAR:
        for op, f in (("tanh", lambda x: x.tanh()), ("exp", lambda x: x.exp().sum()), ("sum", lambda x: x.sum(0))):
            yield Hidden(
                "answers differently", f"{op} {text}", f, [rng.normal(size=(2, 3))], op, "x", before(h), known=off,
                how="adjoint" if op == "sum" else "",
            )  # fmt: skip


# ---------------------------------------------------------------------- (d) beyond 1e154


def huge() -> Iterator[Hidden]:
    c = np.array([1.0, -2.0, 3.0])
    functions: list[tuple[str, str, Function, list[Any]]] = [
        ("exp", "x", Tensor.exp, [[350.0, 1.0]]), ("exp", "x", Tensor.exp, [[360.0, 700.0]]),
        ("exp", "x", lambda x: x.exp().sum(), [[400.0, 399.0, 398.0]]), ("expm1", "x", ops.expm1, [[500.0, 2.0]]),
        ("multiply", "a", lambda x: x * x, [[1e78, 2e78]]), ("multiply", "a", lambda x: x * x, [[1e100, -2e100]]),
        ("multiply", "b", lambda x, y: x * y, [1e90 * c, 1e80 * c]), ("power", "a", lambda x: x**3, [[1e60, 2e90]]),
        ("log", "x", Tensor.log, [[1e-160, 2e-160]]), ("log", "x", Tensor.log, [[1e-200, 3e-250]]),
        ("log", "x", Tensor.log, [[1e160, 2e160]]), ("sqrt", "x", Tensor.sqrt, [[1e-300, 4e-290]]),
        ("divide", "b", lambda x: 1 / x, [[1e-120, -2e-130]]), ("divide", "a", lambda x: x / 1e-200, [c]),
        ("multiply", "a", lambda x: x * 1e200, [c]), ("matmul", "a", lambda x: x @ (W * 1e180), [[c, c + 1]]),
        ("matmul", "b", lambda x, w: x @ w, [[1e90 * c, 1e91 * c], 1e100 * W]),
        ("tanh", "x", lambda x: x.tanh() * 1e250, [c]),
        ("sum", "x", lambda x: x.sum() * 1e220, [c]), ("mean", "x", lambda x: x.mean(-1) / 1e-260, [[c, -c]]),
        ("sigmoid", "x", lambda x: [x.sigmoid() * 1e170, x], [c]),
        ("max", "x", lambda x: x.max(-1), [[1e155 * c, 1e200 * c]]),
        ("softmax", "x", lambda x: x.softmax() * 1e290, [c]), ("logsumexp", "x", lambda x: x.logsumexp() * -1e160, [c]),
        ("abs", "x", Tensor.abs, [1e300 * c]), ("relu", "x", lambda x: x.relu() * 2, [1e200 * c]),
    ]  # fmt: skip
    for k, (op, argument, f, values) in enumerate(functions):
        xs = [np.array(x) for x in values]
        for j in range(2):
            text, change = CHANGES[(k + 2 * j) % 6]
            yield Hidden("huge", f"{op} {text} #{k}", f, xs, op, argument, change, how="full" if j else "")
        if op in ("exp", "log", "power", "tanh", "softmax", "sigmoid"):
            yield Hidden("huge", f"{op} {SECOND[k % 2][0]} #{k}", f, xs, op, argument, SECOND[k % 2][1], order=2)
    for op in ("matmul", "sum", "multiply", "transpose", "getitem", "negative"):
        h, argument = LINEAR[op]
        for scale in (1e155, 1e200, 1e290):
            text, change = CHANGES[(int(np.log10(scale)) + len(op)) % 4]
            f = lambda x, h=h, scale=scale: h(x) / (1 / scale)
            yield Hidden("huge", f"{op} {text} {scale:g}", f, [W], op, argument, change, how="adjoint")
