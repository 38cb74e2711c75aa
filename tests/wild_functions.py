"""Right functions over wild scales, none of which a checker may call wrong.

Twelve kinds, drawn at random: numbers from 1e-150 to 1e150, spread logits, steep places, kinks and places near them,
edges of domains, underflow, inputs that only select, large constants, outputs of several scales, linear maps, and
compositions. All are compositions of minigrad's own ops. At a kink the tape's derivative lies between the one-sided
ones: functions such as relu(x) - relu(-x), where each rule is right and the chain rule fails, are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor, gradcheck, ops
from minigrad.functional import leaf, pull
from minigrad.gradcheck import GradcheckError
from tests.hidden_errors import flat
from tests.planted import BINARY, UNARY

Generator = np.random.Generator
Drawn = tuple[str, Callable[..., Any], list[Any]]


class Wild(NamedTuple):
    """A right function at a point, and how to check it."""

    seed: int
    kind: str
    text: str
    f: Callable[..., Any]
    inputs: list[np.ndarray]
    order: int
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.kind}, seed {self.seed}: {self.text}, order {self.order} {self.options or ''}"

    def check(self) -> tuple[str, str]:
        """What minigrad says, "right", "wrong", "undecided" or "refused", and why."""
        try:
            gradcheck(self.f, self.inputs, order=self.order, **self.options)
        except GradcheckError as error:
            return "wrong" if type(error) is GradcheckError else "undecided", str(error).splitlines()[0]
        except (TypeError, ValueError) as error:
            if not str(error).startswith("gradcheck:"):
                raise
            return "refused", str(error).splitlines()[0]
        return "right", ""

    def gap(self) -> float:
        """How far the tape's Jacobian is from another one, in parts of what rounding may do: at most 1, or NaN.

        The other one is that by complex steps of the same ops; at kinks it is the interval between the one-sided
        differences. NaN says that there is none: the ops are not analytic, or their values underflow.
        """
        leaves = [leaf(x) for x in self.inputs]
        outputs = flat(self.f(*leaves))
        center = np.concatenate([y.numpy().reshape(-1) for y in outputs])
        worst = 0.0
        for i, x in enumerate(self.inputs):
            rows = [
                pull(y, leaves, u.reshape(y.shape))[i].numpy().reshape(-1) if y.node is not None else np.zeros(x.size)
                for y in outputs for u in np.eye(y.size)
            ]  # fmt: skip
            analytic = np.array(rows).reshape(-1, x.size)
            for k in range(x.size):
                between = self._one_sided if self.kind == "kinks" else self._complex_step
                low, high = between(i, k, center)
                size = np.maximum(abs(low), abs(high))
                bound = 1e-8 * size + 1e-14 * abs(analytic).max(-1, initial=0.0) + 1e-300
                within = self.kind in ("logits", "underflow", "steep")  # numbers of size 1, or of its own, within
                bound += 1e-15 * max(abs(center).max(), within * max(1.0, abs(x).max())) / (abs(x.flat[k]) or 1.0)
                if self.kind == "kinks":
                    bound += 1e-5 * (size.max() + abs(center).max() / abs(x).max())
                off = np.maximum(analytic[:, k] - high, low - analytic[:, k])
                worst = np.maximum(worst, (off / bound).max(initial=0.0))  # keeps NaN
        return float(worst)

    def _complex_step(self, i: int, k: int, center: Any) -> tuple[Any, Any]:
        size = abs(self.inputs[i].flat[k])
        h = 1e-25 * (size or 1.0)
        y = self._moved(i, k, 1j * h)
        tiny = ((y.imag != 0) & (abs(y.imag) < 1e-290)).any() or 0.0 < size < 1e-250
        value = y.imag / h if y.dtype.kind == "c" and not tiny else np.full(center.shape, np.nan)
        return value, value

    def _one_sided(self, i: int, k: int, center: Any) -> tuple[Any, Any]:
        h = 1e-6 * abs(self.inputs[i]).max()
        right, left = (self._moved(i, k, h) - center) / h, (center - self._moved(i, k, -h)) / h
        return np.minimum(left, right), np.maximum(left, right)

    def _moved(self, i: int, k: int, by: complex) -> Any:
        moved = [x.astype(np.result_type(type(by), float)) for x in self.inputs]
        moved[i].flat[k] += by
        return np.concatenate([y.numpy().reshape(-1) for y in flat(self.f(*[Tensor._output(m, None) for m in moved]))])


# ---------------------------------------------------------------------- drawing

SMOOTH: dict[str, Callable[..., Any]] = {
    "exp": Tensor.exp, "tanh": Tensor.tanh, "sigmoid": Tensor.sigmoid, "softplus": ops.softplus, "erf": ops.erf,
    "expm1": ops.expm1, "root": lambda z: (z * z + 1.0).sqrt(), "log": lambda z: (z * z + 0.5).log(),
    "bell": lambda z: 1.0 / (z * z + 0.5), "cube": lambda z: z**3, "square": lambda z: z * z, "softmax": Tensor.softmax,
    "log_softmax": Tensor.log_softmax, "logsumexp": lambda z: z.logsumexp(axis=-1), "mean": lambda z: (z * z).mean(-1),
    "standardize": lambda z: ops.standardize(z, axes=(-1,), epsilon=0.1), "line": lambda z: 3.0 * z - 1.0,
}  # fmt: skip


def pick(rng: Generator, choices: Any) -> Any:
    choices = list(choices)
    return choices[rng.integers(len(choices))]


def shape_of(rng: Generator) -> tuple[int, ...]:
    return tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 4)))


def log_uniform(rng: Generator, low: float, high: float, shape: Any = None) -> Any:
    """Powers of ten."""
    return 10.0 ** rng.uniform(low, high, shape)


def normal(rng: Generator, shape: Any) -> np.ndarray:
    """Numbers of either sign, not near 0."""
    z = np.asarray(rng.normal(size=shape))
    return np.asarray(z + np.copysign(0.05, z))


def scales(rng: Generator) -> Drawn:
    """F(x / s) r, or a power, product or quotient, at sizes from 1e-150 to 1e150."""
    shape, spread = shape_of(rng), rng.random() < 0.5
    form = rng.integers(4)
    if form < 2:
        name = pick(rng, SMOOTH)
        s = log_uniform(rng, -150, 150, shape if spread else None)
        r = log_uniform(rng, -140, 140)
        while spread and np.ptp(np.log10(r / s)) > 250:
            s = log_uniform(rng, -60, 60, shape)
        return f"{name}(x / s) r", lambda x: SMOOTH[name](x / s) * r, [np.asarray(normal(rng, shape) * s)]
    x = normal(rng, shape) * log_uniform(rng, -70, 70, shape if spread else None)
    y = normal(rng, shape) * log_uniform(rng, -70, 70, shape if spread else None)
    text, f = pick(rng, [("x y", lambda x, y: x * y), ("x / y", lambda x, y: x / y), ("x y y", lambda x, y: x * y * y)])
    if form == 2:
        return text, f, [x, y]
    power = pick(rng, [2, 3, -1, 0.5, -0.5, 1.5])
    text, f = pick(rng, [("log x", Tensor.log), ("sqrt x", Tensor.sqrt), (f"x^{power}", lambda x: x**power)])
    return text, f, [abs(x)]


def logits(rng: Generator) -> Drawn:
    shape = (int(rng.integers(2, 6)),) if rng.random() < 0.5 else (2, int(rng.integers(2, 5)))
    x = normal(rng, shape) * pick(rng, [1, 5, 10, 20, 30, 50, 100, 300, 800])
    values, mask = normal(rng, shape[-1]), (np.arange(shape[-1]) == 0) * pick(rng, [1e4, 1e9, 1e30])
    text, f = pick(rng, [
        ("softmax", Tensor.softmax), ("log_softmax", Tensor.log_softmax), ("logsumexp", lambda x: x.logsumexp(axis=-1)),
        ("sparsemax", ops.sparsemax), ("softmax times values", lambda x: (x.softmax() * values).sum(-1)),
        ("softmax with a mask", lambda x: (x - mask).softmax()), ("cross-entropy", lambda x: -x.log_softmax()[..., 0]),
        ("sigmoid", Tensor.sigmoid), ("softplus", ops.softplus), ("tanh", Tensor.tanh),
        ("erf", lambda x: ops.erf(x / 10)),
        ("attention", lambda x: (x.reshape(-1, 1) @ values.reshape(1, -1)).softmax() @ values),
        ("entropy", lambda x: (x.softmax() * x.log_softmax()).sum(-1)),
        ("softmax down the rows", lambda x: x.softmax(axis=0)), ("softmax of softmax", lambda x: x.softmax().softmax()),
    ])  # fmt: skip
    return f"{text} of logits of size {abs(x).max():.3g}", f, [x]


def steep(rng: Generator) -> Drawn:
    k, c = log_uniform(rng, 0, 9), pick(rng, [0.0, 0.0, 0.5, 1.0, float(rng.normal())])
    count = int(rng.integers(1, 5))
    near = rng.random(count) < 0.6
    x = np.where(near, c + rng.uniform(-3, 3, count) / k, rng.normal(size=count) * pick(rng, [1.0, 1.0, 100.0]))
    if rng.random() < 0.3:
        x[0] = c
    text, f = pick(rng, [
        ("tanh", lambda t: t.tanh()), ("sigmoid", lambda t: t.sigmoid()), ("erf", lambda t: ops.erf(t)),
        ("softplus", lambda t: ops.softplus(t) / k), ("bell", lambda t: (-t * t).exp()),
        ("root", lambda t: (t * t + 1).sqrt() / k),
        ("resonance", lambda t: t / (t * t + 1)), ("wells", lambda t: (t * t + 0.1).log()),
        ("sum of tanh", lambda t: t.tanh().sum()), ("smooth maximum", lambda t: ops.stack(t, -t).logsumexp(axis=0) / k),
    ])  # fmt: skip
    return f"{text} of {k:.3g} (x - {c:.3g})", lambda x: f((x - c) * k), [x]


SMOOTH_KINKS = ("squared relu", "cubed relu", "x |x|", "Huber")  # once differentiable: no jump at order 2


def kinks(rng: Generator) -> Drawn:
    shape = shape_of(rng)
    scale = log_uniform(rng, -8, 8)
    x = normal(rng, shape) * scale
    at = rng.random(shape) < 0.4
    y = np.where(at, x, normal(rng, shape) * scale)
    zeros = np.where(at, 0.0, x)
    limit = scale * 0.7
    at_limits = np.where(at, rng.choice([-limit, limit], shape), x)
    outer = pick(rng, [
        lambda t: t, lambda t: 3.0 * t, lambda t: (t / scale).tanh(), lambda t: -(t / scale).sigmoid() * scale,
    ])  # fmt: skip
    wide = np.asarray(np.round(rng.normal(size=(1, 6, 2))) * scale)
    text, f, inputs = pick(rng, [
        ("relu", Tensor.relu, [zeros]), ("abs", Tensor.abs, [zeros]),
        ("clip", lambda x: x.clip(-limit, limit), [at_limits]),
        ("maximum", ops.maximum, [x, y]), ("minimum", ops.minimum, [x, y]),
        ("maximum with 0", lambda x: ops.maximum(x, 0.0), [zeros]),
        ("leaky", lambda x: ops.maximum(x, 0.1 * x), [zeros]),
        ("hinge", lambda x: (limit - x).relu(), [np.where(at, limit, x)]),
        ("where", lambda x: ops.where(x >= 0, 2.0 * x, 0.5 * x), [zeros]),
        ("max of ties", lambda x: x.max(-1), [np.round(x / scale) * scale]),
        ("min of ties", lambda x: x.min(), [np.round(x / scale) * scale]),
        ("squared relu", lambda x: x.relu() * x.relu() / scale, [zeros]),
        ("x |x|", lambda x: x * x.abs() / scale, [zeros]), ("relu of |x|", lambda x: x.abs().relu(), [zeros]),
        ("relu of relu", lambda x: x.relu().relu(), [zeros]),
        ("pool", lambda x: ops.max_pool1d(x, taps=2, stride=2), [wide]),
        ("cubed relu", lambda x: x.relu() ** 3 / scale**2, [zeros]),
        ("Huber", lambda x: ops.where(x.abs() <= limit, x * x / 2, limit * (x.abs() - limit / 2)) / scale, [at_limits]),
        ("sum of |x|", lambda x: x.abs().sum(), [zeros]), ("relu plus x", lambda x: x.relu() + x, [zeros]),
    ])  # fmt: skip
    return f"{text} at size {scale:.3g}", lambda *xs: outer(f(*xs)), [np.asarray(v, float) for v in inputs]


def near_kinks(rng: Generator) -> Drawn:
    """Off the kink by less than most steps: smooth, strictly speaking."""
    scale = log_uniform(rng, -3, 3)
    x = normal(rng, (int(rng.integers(1, 5)),)) * scale
    x[0] = rng.choice([-1.0, 1.0]) * scale * log_uniform(rng, -12, -3)
    y = normal(rng, x.shape) * scale
    y[-1] = x[-1] * (1 + log_uniform(rng, -12, -3))
    text, f, inputs = pick(rng, [
        ("relu", Tensor.relu, [x]), ("abs", Tensor.abs, [x]), ("maximum", ops.maximum, [x, y]),
        ("minimum", ops.minimum, [x, y]),
        ("clip", lambda x: x.clip(0.0, 10 * scale), [x]), ("root", lambda x: (x * x).sqrt(), [x]),
        ("x |x|", lambda x: x * x.abs(), [x]),
        ("where", lambda x: ops.where(x > 0, x, x * x / scale), [x]), ("sum of relu", lambda x: x.relu().sum(), [x]),
        ("norm", lambda x: (x * x).sum().sqrt(), [x]), ("max", lambda x, y: ops.stack(x, y).max(0), [x, y]),
    ])  # fmt: skip
    return f"{text} near its kink, {abs(x[0]):.3g} of {scale:.3g}", f, inputs


def edges(rng: Generator) -> Drawn:
    count = int(rng.integers(1, 4))
    others = log_uniform(rng, 0, 9, count)
    gap = log_uniform(rng, -100, -20) if rng.random() < 0.2 else log_uniform(rng, -12, -2)
    at_zero = np.array([gap, *others])
    close = max(gap, 1e-9)
    below_one = np.array([1 - close, *rng.uniform(-0.8, 0.8, count)])
    power = pick(rng, [0.5, 1.5, -0.5, -1.0, 2.5, 0.1])
    text, f, inputs = pick(rng, [
        ("log", Tensor.log, [at_zero]), ("sqrt", Tensor.sqrt, [at_zero]), (f"x^{power}", lambda x: x**power, [at_zero]),
        ("1 / x", lambda x: 1 / x, [at_zero]), ("x log x", lambda x: x * x.log(), [at_zero]),
        ("sqrt(1 - x)", lambda x: (1 - x).sqrt(), [below_one]), ("log(1 - x)", lambda x: (1 - x).log(), [below_one]),
        ("sqrt(1 - x x)", lambda x: (1 - x * x).sqrt(), [below_one]),
        ("atanh", lambda x: ((1 + x) / (1 - x)).log() / 2, [below_one]),
        ("x / sqrt(1 - x x)", lambda x: x / (1 - x * x).sqrt(), [below_one]),
        ("logit", lambda x: (x / (1 - x)).log(), [abs(below_one) + 1e-12]),
        ("x^y", lambda x, y: x**y, [at_zero, rng.uniform(0.2, 2, count + 1)]),
        ("sum of log", lambda x: x.log().sum(), [at_zero]),
        ("log(1 - e^-x)", lambda x: (1 - (-x).exp()).log(), [np.array([max(gap, 1e-4), *rng.uniform(0.5, 3, count)])]),
        ("exp near overflow", lambda x: x.exp(), [np.array([709.7 - close, *-others / 1e9])]),
    ])  # fmt: skip
    return f"{text}, {gap:.3g} from its edge beside {others.max():.3g}", f, [np.asarray(x) for x in inputs]


def underflow(rng: Generator) -> Drawn:
    count = int(rng.integers(1, 4))
    tiny, other = normal(rng, count) * log_uniform(rng, -170, -100), normal(rng, count) * log_uniform(rng, -300, -150)
    if rng.random() < 0.3:
        tiny[0] = rng.normal()
    far = -rng.uniform(300, 800, count)
    c = float(rng.normal())
    text, f, inputs = pick(rng, [
        ("x x x", lambda x: x * x * x, [tiny]), ("x x", lambda x: x * x, [tiny]),
        ("x y", lambda x, y: x * y, [tiny, other]),
        ("x^3", lambda x: x**3, [abs(tiny)]), ("exp", Tensor.exp, [far]), ("sigmoid", Tensor.sigmoid, [far]),
        ("softplus", ops.softplus, [far]), ("bell", lambda x: (-x * x).exp(), [far / 20]),
        ("c x y", lambda x, y: c * x * y, [tiny, other]),
        ("sum of x x", lambda x: (x * x).sum(), [tiny]), ("1 - tanh", lambda x: 1 - x.tanh() * x.tanh(), [far / 10]),
        ("softmax", lambda x: x.softmax(), [np.append(far, 0.0)]), ("a tiny multiple", lambda x: x * 1e-200, [tiny]),
        ("exp and x", lambda x: [x.exp(), x / 100], [far]),
        ("x x beside x", lambda x: ops.concatenate(x * x, x, axis=0), [tiny]),
        ("tiny product", lambda x, w: x.reshape(1, -1) @ w.reshape(-1, 1), [tiny, other]),
    ])  # fmt: skip
    return f"{text} at {abs(inputs[0]).max():.3g}", f, inputs


def selecting(rng: Generator) -> Drawn:
    """An input, or part of one, that only chooses: its derivative is zero."""
    shape = shape_of(rng)
    mask = (rng.random(shape) < 0.5) * 1.0
    x, y = normal(rng, shape) * log_uniform(rng, -5, 5), normal(rng, shape)
    low = -abs(x) - 0.1
    keys = rng.permutation(int(np.prod(shape))).reshape(shape) * 1.0
    text, f, inputs = pick(rng, [
        ("where(mask)", lambda m, x, y: ops.where(m > 0.5, x, y), [mask, x, y]),
        ("where(x > y)", lambda x, y, a: ops.where(x > y, a, a * a), [x, y + 3 * abs(x).max(), y]),
        ("x (mask > 0.5)", lambda m, x: x * (m > 0.5).astype("float64"), [mask, x]),
        ("relu of negative numbers", Tensor.relu, [low]),
        ("clipped away", lambda x, a: x.clip(-1e-9, 1e-9) + a, [x, y]),
        ("the smaller one", lambda x, y: ops.maximum(x, y), [low, abs(y) + 1]),
        ("sign", lambda x, a: ops.sign(x) * a, [x, y]), ("max", lambda x: x.max(), [x]),
        ("one of many", lambda x: x.flatten()[:1] * 2, [x]),
        ("ranks", lambda k, x: ops.where(k >= 1.5, x, -x), [keys, x]),
        ("saturated", lambda x: (x / 1e-9).tanh() * 5, [x]),
        ("hard gate", lambda g, x: (g > 0).astype("float64") * x + x, [y, x]),
        ("largest logit", lambda x, a: ops.where(x == x.max(), a, 0.0 * a), [keys, y]),
        ("times zero", lambda x, y: x * 0.0 + y, [x, y]),
        ("sparsemax of one", lambda x: ops.sparsemax(x), [np.asarray(keys * 10)]),
        ("mask times product", lambda m, x, y: ops.where(m > 0.5, x * y, 0.0), [mask, x, y]),
    ])  # fmt: skip
    return text, f, [np.asarray(v, float) for v in inputs]


def constants(rng: Generator) -> Drawn:
    c = log_uniform(rng, 0, 7)
    big = pick(rng, [1e9, 1e12, 1e30, 1e100, 1e300])
    n = int(rng.integers(2, 5))
    x, mask = normal(rng, (n, n)), np.eye(n)
    text, f = pick(rng, [
        ("x + c", lambda x: x + c), ("tanh + c", lambda x: x.tanh() + c), ("there and back", lambda x: ((x + c) - c)),
        ("masked softmax", lambda x: (x - mask * big).softmax()),
        ("masked where", lambda x: ops.where(mask > 0, -big, x).softmax()),
        ("masked max", lambda x: (x - mask * big).max(-1)),
        ("masked logsumexp", lambda x: (x - mask * big).logsumexp(axis=-1)),
        ("attention", lambda x: (x @ x.T - mask * big).softmax() @ x),
        ("clip far away", lambda x: x.clip(-big, big) * x),
        ("a constant output", lambda x: [x * x, x * 0 + big]), ("c (x + 1)", lambda x: c * (x + 1)),
        ("sum + c", lambda x: x.tanh().sum() + c),
        ("maximum with -c", lambda x: ops.maximum(x, -big).exp()),
        ("padded with c", lambda x: x.pad([(0, 0), (1, 0)], value=-big).softmax()),
        ("two masks", lambda x: (x - mask * big - (1 - mask) * 1e4).softmax()),
        ("mean with c", lambda x: (x * x + mask * c).mean(-1)), ("c - x", lambda x: (c - x) / c),
    ])  # fmt: skip
    return f"{text}, c = {c:.3g}, mask {big:g}", f, [x]


def several_scales(rng: Generator) -> Drawn:
    shape = shape_of(rng)
    names = [pick(rng, SMOOTH) for _ in range(int(rng.integers(2, 5)))]
    sizes = log_uniform(rng, -100, 100, len(names))
    s = log_uniform(rng, -30, 30, 2)
    xs = [normal(rng, shape) * s[0], normal(rng, shape) * s[1]]
    chosen = [(SMOOTH[name], r, k % 2) for k, (name, r) in enumerate(zip(names, sizes, strict=True))]
    parts = lambda x, y: [h((x / s[0], y / s[1])[which]) * r for h, r, which in chosen]
    text, f = pick(rng, [
        ("a list", parts), ("a dict", lambda x, y: {str(k): part for k, part in enumerate(parts(x, y))}),
        ("one array", lambda x, y: ops.concatenate(*[part.flatten() for part in parts(x, y)], axis=0)),
        ("a list, both in each", lambda x, y: [part * (y / s[1]).sigmoid().mean() for part in parts(x, y)]),
    ])  # fmt: skip
    return f"{', '.join(names)} as {text}, of sizes {', '.join(f'{r:.1e}' for r in sizes)}", f, xs


def linear(rng: Generator) -> Drawn:
    a, b = log_uniform(rng, -100, 100, 2)
    n, k = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    x, w, bias = normal(rng, (n, 3)) * a, normal(rng, (3, k)) * b, normal(rng, k) * a * b
    signal, kernel = normal(rng, (2, 6, k)) * a, normal(rng, (3, k, 2)) * b
    rows = log_uniform(rng, -60, 60, (n, 1))
    text, f, inputs = pick(rng, [
        ("matmul", ops.matmul, [x, w]), ("linear", ops.linear, [x, w, bias]),
        ("depthwise", lambda x, w: ops.depthwise_conv1d(x, w, padding=(1, 1)), [signal, kernel]),
        ("strided", lambda x, w: ops.depthwise_conv1d(x, w, stride=2), [signal, kernel]),
        ("rows of many sizes", lambda x, w: (x * rows) @ w, [normal(rng, (n, 3)), w]),
        ("unfold", lambda x: ops.unfold(x, taps=3) * b, [signal]),
        ("product and sum", lambda x, w: (x @ w).sum(0), [x, w]),
        ("outer", lambda x, w: x.reshape(-1, 1) * w.reshape(1, -1), [x, w]),
        ("pool", lambda x: ops.max_pool1d(x, taps=3, stride=1) * b, [signal]),
        ("separable", lambda x, w: (ops.depthwise_conv1d(x, w) / (a * b)).tanh(), [signal, kernel]),
        ("mean and center", lambda x: x - x.mean(0, keepdims=True), [signal]),
        ("variance", lambda x: (x / a).var(-1, keepdims=True), [normal(rng, (n, 3)) * a]),
        ("thousands summed", lambda x: (x / a).tanh().sum(), [normal(rng, (40, 50)) * a]),
        ("thousands", lambda x, w: (x / a).exp() * w, [normal(rng, (60, 40)) * a, normal(rng, 40)]),
        ("bilinear form", lambda x, w: ((x @ w) * (x @ w) / a / b).sum(), [x, w]),
    ])  # fmt: skip
    return f"{text} at sizes {a:.3g}, {b:.3g}", f, inputs


def compositions(rng: Generator) -> Drawn:
    shape = shape_of(rng)
    shape = shape if len(shape) > 1 else (2, *shape)
    steps = rng.integers(len(UNARY), size=rng.integers(1, 5))
    join = rng.integers(len(BINARY))
    sizes = log_uniform(rng, -3, 0.5, 2)
    s = log_uniform(rng, -100, 100, 2)

    def f(a: Any, b: Any) -> Any:
        y = BINARY[join](a / s[0], b / s[1])
        for k in steps:
            y = UNARY[k](y) if y.ndim else y * y
        return y

    return f"steps {join}: {', '.join(map(str, steps))}", f, [normal(rng, shape) * r for r in sizes * s]


KINDS: list[Callable[[Generator], Drawn]] = [
    scales, logits, steep, kinks, near_kinks, edges, underflow, selecting, constants, several_scales, linear,
    compositions,
]  # fmt: skip


@np.errstate(all="ignore")
def usable(f: Callable[..., Any], inputs: list[Any], order: int) -> bool:
    """Whether the values, and the derivatives to this order, are finite and do not nearly overflow."""
    leaves = [leaf(x) for x in inputs]
    outputs = flat(f(*leaves))
    derivatives = outputs
    for _ in range(order):
        derivatives = [
            g for y in derivatives if y.node is not None for g in pull(y, leaves, np.ones(y.shape), create_graph=True)
        ]  # fmt: skip
        outputs = outputs + derivatives
    sizes = [abs(y.numpy()) for y in outputs]
    return bool(derivatives) and all((size < 1e295).all() for size in sizes)


def draw(seed: int) -> Wild:
    """The function of a seed."""
    rng = np.random.default_rng([seed, 2])
    kind = KINDS[seed % len(KINDS)]
    while True:
        text, f, inputs = kind(rng)
        inputs = [np.asarray(x, float) for x in inputs]
        order = 2 if rng.random() < 0.3 and (kind is not kinks or text.startswith(SMOOTH_KINKS)) else 1
        method = pick(rng, ["central"] * 8 + ["richardson", "complex"])
        options = {} if method == "central" else {"method": method}
        if rng.random() < 0.1 and max(x.size for x in inputs) < 1000:
            options["full"] = True
        with suppress(OverflowError):
            if usable(f, inputs, order):
                return Wild(seed, kind.__name__.replace("_", " "), text, f, inputs, order, options)
