"""Wrong backward rules, made automatically for every op, with what a good checker should say about each.

`planted` puts one in the place of the right rule for a while. `random_function` makes functions whose gradients are
right, to see that they raise no alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from minigrad import Op, Tensor, grad, ops
from minigrad.functional import leaf
from minigrad.ops.op import op
from minigrad.tape import Value
from tests.samples import SAMPLES, normal, positive

Rule = Callable[..., Any]


class Planted(NamedTuple):
    """A wrong rule for one argument of an op, with inputs that show it.

    ``patterns`` are the guesses that count as right; none where no pattern is clear.
    """

    kind: str
    op: str
    argument: int
    inputs: tuple[Any, ...]
    attributes: dict[str, Any]
    change: Callable[[Rule], Rule] | None  # None exchanges the rules of the first two arguments
    patterns: tuple[str, ...]
    order: int = 1

    def __str__(self) -> str:
        return f"{self.kind}-{self.op}-{Op.registry[self.op].arguments[min(self.argument, self.last)]}"

    @property
    def last(self) -> int:
        return len(Op.registry[self.op].arguments) - 1

    @property
    def active(self) -> list[int]:
        """The inputs that gradients reach."""
        rules = Op.registry[self.op]
        floating = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in self.inputs]
        return [i for i, x in enumerate(self.inputs) if floating[i] and rules.rule_of(i) is not None]

    def function(self) -> Callable[..., Any]:
        """The op as a function of its active inputs."""

        def f(*leaves: Any) -> Any:
            inputs = list(self.inputs)
            for i, x in zip(self.active, leaves, strict=True):
                inputs[i] = x
            return Op.registry[self.op](*inputs, **self.attributes)

        f.__name__ = str(self)
        return f

    def values(self) -> list[Any]:
        return [self.inputs[i] for i in self.active]


@contextmanager
def wrong_rule(op: str, argument: str, change: Callable[[Rule], Rule]) -> Iterator[None]:
    """The rule of an op for one argument, changed for a while."""
    where = Op.registry[op]
    rules, asks, plans, right = where.rules, where.asks, where._plans, where.rules[argument]
    assert right is not None
    wrong = change(right)
    where.rules = {**rules, argument: wrong}
    where.asks = {**asks, wrong: getattr(wrong, "asks", asks[right])}
    where._plans = {}
    try:
        yield
    finally:
        where.rules, where.asks, where._plans = rules, asks, plans


@contextmanager
def planted(error: Planted) -> Iterator[None]:
    """The wrong rule in place of the right one."""
    where = Op.registry[error.op]
    if error.change is not None:
        with wrong_rule(error.op, where.arguments[min(error.argument, error.last)], error.change):
            yield
        return
    first, second = where.arguments[:2]
    rules, where.rules, where._plans = where.rules, {**where.rules}, {}
    where.rules |= {first: rules[second], second: rules[first]}
    try:
        yield
    finally:
        where.rules, where._plans = rules, {}


# ---------------------------------------------------------------------- changes to a rule


def after(change: Callable[[Any], Any]) -> Callable[[Rule], Rule]:
    """A rule whose result is changed."""
    return lambda right: lambda g, *kept: change(right(g, *kept))


def before(change: Callable[[Any], Any]) -> Callable[[Rule], Rule]:
    """A rule to which another gradient is given."""
    return lambda right: lambda g, *kept: right(change(g), *kept)


def asking(other: Rule, asks: list[str]) -> Callable[[Rule], Rule]:
    """Another rule, with what that one asks for."""

    def change(right: Rule) -> Rule:
        wrong = lambda g, *kept: other(g, *kept)
        wrong.asks = asks  # type: ignore[attr-defined]
        return wrong

    return change


def rolled(axis: int) -> Callable[[Any], Any]:
    """Shifted by one, as a recorded op."""

    def shift(g: Any) -> Any:
        index = np.roll(np.arange(g.shape[axis]), 1)
        return ops.getitem(g, index=(slice(None),) * (axis % g.ndim) + (index,))

    return shift


@op
def detour(x: Any) -> Any:
    """The identity, with a wrong rule: what goes through it has the right value and a wrong derivative."""
    return x + 0.0


detour.backward(x=lambda g: g * 1.5)
del Op.registry["detour"]  # not one of the ops that need samples

cut = lambda g: g._output(g.data, None) if isinstance(g, Value) else g


def same_result(error: Planted) -> bool:
    """Whether a change makes no difference at these inputs, and so is no error."""

    @np.errstate(all="ignore")
    def pulled() -> list[Any]:
        leaves = [leaf(x) for x in error.values()]
        y = error.function()(*leaves)
        u = np.random.default_rng(5).normal(size=y.shape)
        first = grad(y, leaves, u, create_graph=error.order == 2)
        if error.order == 1:
            return [g.numpy() for g in first]
        return [h.numpy() for g in first if g.node is not None for h in grad(g, leaves, np.ones(g.shape))]

    right = pulled()
    try:
        with planted(error):
            wrong = pulled()
    except RuntimeError:
        return False  # the engine itself refuses it
    if not right:
        return True
    if len(right) != len(wrong):
        return False
    return all(np.allclose(a, b, rtol=1e-7, atol=1e-9) for a, b in zip(right, wrong, strict=True))


# ---------------------------------------------------------------------- inputs that show errors

CONV: dict[str, Any] = {"stride": 1, "dilation": 1, "padding": (2, 2), "layout": "NLC"}
POOL: dict[str, Any] = {"taps": 2, "stride": 2, "padding": (0, 0), "layout": "NLC"}
SQUARE = (4, 4)


def typical() -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """For every op with rules: square inputs, so that a transpose has the right shape."""
    x = normal(1, 4, 4)
    y = np.maximum(x[:, ::2], x[:, 1::2])
    two = lambda: (normal(*SQUARE), normal(*SQUARE) + 0.05)
    calls: dict[str, Any] = {
        name: (two(), {}) for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "matmul")
    }
    calls |= {
        name: ((normal(*SQUARE),), {})
        for name in ("negative", "exp", "abs", "tanh", "sigmoid", "relu", "erf", "expm1", "softplus", "logsumexp")
    }
    calls |= {name: ((positive(*SQUARE),), {}) for name in ("log", "sqrt")}
    reductions = ("sum", "mean", "max", "min", "softmax", "log_softmax", "sparsemax")
    calls |= {name: ((normal(*SQUARE),), {"axis": 0}) for name in reductions}
    calls |= {
        "power": ((positive(*SQUARE), normal(*SQUARE)), {}),
        "where": ((np.eye(4) > 0, *two()), {}),
        "clip": ((normal(*SQUARE),), {"minimum": -1.03, "maximum": 0.97}),
        "astype": ((normal(*SQUARE),), {"dtype": "float64"}),
        "reshape": ((normal(*SQUARE),), {"shape": (2, 8)}),
        "transpose": ((normal(*SQUARE),), {"axes": (1, 0)}),
        "broadcast_to": ((normal(4, 1),), {"shape": (4, 4)}),
        "getitem": ((normal(*SQUARE),), {"index": slice(1, 4)}),
        "scatter": ((normal(3, 4),), {"index": slice(1, 4), "shape": SQUARE}),
        "pad": ((normal(*SQUARE),), {"widths": ((1, 0), (0, 2))}),
        "concatenate": (two(), {"axis": 1}),
        "stack": (two(), {"axis": 0}),
        "linear": ((normal(*SQUARE), normal(*SQUARE), normal(4)), {"axis": -1}),
        "linear_kernel_grad": (two(), {"axis": -1}),
        "depthwise_conv1d": ((normal(2, 5, 3), normal(5, 3, 1)), CONV),
        "depthwise_conv1d_input_grad": ((normal(2, 5, 3), normal(5, 3, 1)), CONV | {"length": 5}),
        "depthwise_conv1d_kernel_grad": ((normal(2, 5, 3), normal(2, 5, 3)), CONV | {"taps": 5}),
        "unfold": ((normal(2, 5, 3),), {"taps": 3}),
        "fold": ((normal(2, 3, 3, 3),), {"length": 5}),
        "max_pool1d": ((x,), POOL),
        "max_pool1d_scatter": ((normal(*y.shape), x, y), POOL),
        "max_pool1d_gather": ((normal(*x.shape), x, y), POOL),
    }
    return calls




def _unflipped(g: Any, w: Any, x_shape: tuple[int, ...], stride: int, dilation: int, padding: Any, layout: str) -> Any:
    how = {"stride": stride, "dilation": dilation, "padding": padding, "layout": layout}
    return ops.depthwise_conv1d_input_grad(g, w[::-1], length=x_shape[1], **how)


BROADCAST = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "where"]

# Rules with a term left out, or a slip of the pen: (op, argument, rule with the parameters of the right one).
DROPPED: list[tuple[str, str, Rule, tuple[str, ...]]] = [
    ("tanh", "x", lambda g, y: g * (1 - y), ()),
    ("tanh", "x", lambda g, y: g * (1 + y * y), ()),
    ("sigmoid", "x", lambda g, y: g * y, ()),
    ("sigmoid", "x", lambda g, y: g * (1 - y), ()),
    ("sqrt", "x", lambda g, y: g * 0.5 * y, ()),
    ("softmax", "x", lambda g, y, axis: g * y, ()),
    ("softmax", "x", lambda g, y, axis: y * (g - g.sum(axis=axis, keepdims=True)), ()),
    ("log_softmax", "x", lambda g, x, y, axis: g, ()),
    ("log_softmax", "x", lambda g, x, y, axis: g - y * g.sum(axis=axis, keepdims=True), ()),
    ("matmul", "a", lambda g, b: g @ b, ("transposed",)),
    ("matmul", "b", lambda g, b_shape, a: a @ g, ("transposed",)),
    ("depthwise_conv1d", "x", lambda g, w, x_shape, *how: _unflipped(g, w, x_shape, *how), ("transposed", "reversed")),
]


def errors() -> list[Planted]:
    """All planted errors that do make a difference."""
    found = []
    calls = {sample.op: (sample.inputs, sample.attributes) for sample in reversed(SAMPLES)} | typical()
    for name, (inputs, attributes) in calls.items():
        if name not in Op.registry or not any(Op.registry[name].rules.values()):
            continue
        where = Op.registry[name]

        def plant(
            kind: str, i: int, change: Any, patterns: tuple[str, ...], order: int = 1, inputs: Any = inputs,
            attributes: Any = attributes, name: str = name,
        ) -> None:
            found.append(Planted(kind, name, i, inputs, attributes, change, patterns, order))

        for i, x in enumerate(inputs):
            if where.rule_of(i) is None or (where.variadic and i) or not isinstance(x, np.ndarray):
                continue
            plant("sign", i, after(lambda g: -g), ("sign",))
            plant("factor", i, after(lambda g: g * (1 + 1e-4)), ("factor",))
            plant("zero", i, after(lambda g: g * 0.0), ("zero",))
            axes = range(-x.ndim, 0)  # counted from the end: in a layer there may be one more in front
            square = [(a, b) for a in axes for b in axes if b < a and x.shape[a] == x.shape[b]]
            for a, b in square[:1]:
                plant("transposed", i, after(lambda g, a=a, b=b: g.swapaxes(a, b)), ("transposed", "axis"))
            for axis in axes:
                if x.shape[axis] >= 3:
                    plant(f"shifted {axis + x.ndim}", i, after(rolled(axis)), ("shifted",))
            plant("wrong derivative", i, after(lambda g: detour(g) if isinstance(g, Value) else g), (), order=2)
            plant("cut history", i, after(cut), (), order=2)
        arguments = where.arguments
        same = len(inputs) > 1 and not where.variadic and isinstance(inputs[0], np.ndarray)
        if same and where.rule_of(0) and where.rule_of(1) and inputs[0].shape == inputs[1].shape:
            first, second = (where.rules[argument] for argument in arguments[:2])
            assert first is not None
            assert second is not None
            plant("swapped", 0, asking(second, where.asks[second]), ("swapped", "sign", "transposed"))
            plant("exchanged", 0, None, ("swapped", "sign", "transposed"))
        if "axis" in attributes and where.rule_of(0) and "axis" in where.asks[where.rules[arguments[0]]]:
            at = where.asks[where.rules[arguments[0]]].index("axis")
            other_axis = 1 if attributes["axis"] in (0, -1) and name not in ("linear", "linear_kernel_grad") else None
            if other_axis is not None and not where.variadic:
                plant(
                    "axis", 0,
                    lambda right, at=at: lambda g, *kept: right(g, *kept[:at], 1, *kept[at + 1 :]),
                    ("axis", "transposed"),
                )
        if name in BROADCAST:
            narrow = list(inputs)
            last = len(inputs) - 1
            narrow[last] = positive(4) if name == "power" else normal(4) + 0.03
            plant("broadcast sum", last, after(lambda g: g[0] if g.ndim > 1 else g), ("zero",), inputs=tuple(narrow))
    for name, argument, rule, patterns in DROPPED:
        inputs, attributes = typical()[name]
        i = Op.registry[name].arguments.index(argument)
        change = lambda right, rule=rule: lambda *a: rule(*a)
        found.append(Planted("dropped", name, i, inputs, attributes, change, patterns))
    return [error for error in found if not same_result(error)]


# ---------------------------------------------------------------------- right functions

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


def random_function(seed: int) -> tuple[Callable[..., Any], list[np.ndarray]]:
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

    return f, [a, b]
