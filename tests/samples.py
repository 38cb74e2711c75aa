"""One line at least for every op: inputs, attributes, and what NumPy or a plain loop says the result is.

`tests/test_ops.py` makes everything else of them. Where an op has kinks, the inputs keep away from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

rng = np.random.default_rng(20)


class Sample(NamedTuple):
    """One call of an op."""

    op: str
    inputs: tuple[Any, ...]
    attributes: dict[str, Any]
    reference: Callable[..., Any]

    def __str__(self) -> str:
        shapes = ",".join("x".join(map(str, np.shape(x))) or "scalar" for x in self.inputs)
        return f"{self.op}-{shapes}-" + ",".join(f"{k}={v}" for k, v in self.attributes.items())


SAMPLES: list[Sample] = []


def sample(op: str, reference: Callable[..., Any], *inputs: Any, **attributes: Any) -> None:
    SAMPLES.append(Sample(op, inputs, attributes, reference))


def normal(*shape: int) -> np.ndarray:
    """Numbers of either sign, at least 0.1 from 0, no two alike."""
    sizes = rng.permutation(np.linspace(0.1, 1.9, int(np.prod(shape))))
    return np.asarray(sizes.reshape(shape) * rng.choice([-1.0, 1.0], shape))


def positive(*shape: int) -> np.ndarray:
    return np.asarray(abs(normal(*shape)) + 0.2)


# ---------------------------------------------------------------------- arithmetic and comparison

PAIRS = [
    ((2, 3), (2, 3)),
    ((2, 3), (3,)),
    ((3,), (2, 3)),
    ((2, 1), (1, 3)),
    ((2, 1, 3), (4, 1)),
    ((), (2, 3)),
    ((2,), ()),
    ((), ()),
    ((0, 3), (3,)),
    ((2, 3), (1, 1, 1)),
]
for a_shape, b_shape in PAIRS:
    for name, function in {
        "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
        "maximum": np.maximum, "minimum": np.minimum,
    }.items():
        sample(name, function, normal(*a_shape), np.asarray(normal(*b_shape) + 0.013))
    sample("power", np.power, positive(*a_shape), normal(*b_shape))
for name, function in {
    "equal": np.equal, "not_equal": np.not_equal, "less": np.less, "less_equal": np.less_equal,
    "greater": np.greater, "greater_equal": np.greater_equal,
}.items():
    sample(name, function, np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), np.array([2.0, 2.0, 1.0]))
    sample(name, function, np.array(1.0), np.array([0.0, 1.0, 2.0]))
    sample(name, function, normal(0, 2), normal(2))
for name, function in {"add": np.add, "multiply": np.multiply, "divide": np.divide, "power": np.power}.items():
    sample(name, function, positive(2, 3), 2.0)  # Python numbers
    sample(name, function, 3.0, positive(2, 3))
sample("power", np.power, normal(2, 3), 3)
sample("power", np.power, normal(3), np.array([1.0, 2.0, 3.0]))
for shape in [(2, 3), (3,), ()]:
    sample("where", np.where, rng.random((2, 3)) > 0.5, normal(*shape), normal(2, 3))
    sample("where", np.where, rng.random((2, 3)) > 0.5, normal(2, 1), normal(*shape))
sample("where", np.where, np.array(True), normal(2, 2), normal(2, 2))
sample("where", np.where, np.zeros((0, 2), bool), normal(2), normal(0, 2))

# ---------------------------------------------------------------------- element by element

SHAPES = [(2, 3), (4,), (), (1, 1, 1), (0, 2)]
for shape in SHAPES:
    sample("negative", np.negative, normal(*shape))
    sample("exp", np.exp, normal(*shape))
    sample("log", np.log, positive(*shape))
    sample("sqrt", np.sqrt, positive(*shape))
    sample("sign", np.sign, normal(*shape))
    sample("abs", np.abs, normal(*shape))
    sample("tanh", np.tanh, normal(*shape))
    sample("sigmoid", lambda x: 1 / (1 + np.exp(-x)), normal(*shape))
    sample("expm1", np.expm1, normal(*shape))
    sample("softplus", lambda x: np.log(1 + np.exp(x)), normal(*shape))
    sample("erf", lambda x: np.vectorize(math.erf, otypes=[float])(x), np.asarray(1.8 * normal(*shape)))
    sample("relu", lambda x: np.where(x > 0, x, 0), normal(*shape))
    limits = {"minimum": -0.52, "maximum": 1.03}
    sample("clip", lambda x, minimum, maximum: np.clip(x, minimum, maximum), normal(*shape), **limits)
sample("sigmoid", lambda x: np.array([0.0, 1.0]), np.array([-1000.0, 1000.0]))
sample("softplus", lambda x: np.array([0.0, 1000.0]), np.array([-1000.0, 1000.0]))
sample("erf", lambda x: np.array([-1.0, math.erf(3), 1.0]), np.array([-30.0, 3.0, 30.0]))
sample("astype", lambda x, dtype: x.astype(dtype), normal(2, 3), dtype="float64")
sample("astype", lambda x, dtype: x.astype(dtype), normal(3), dtype="int64")

# ---------------------------------------------------------------------- movement

for shape, new in [((2, 3), (3, 2)), ((2, 3), (-1,)), ((), (1, 1)), ((1,), ()), ((0, 3), (3, 0)), ((4,), (2, -1))]:
    sample("reshape", lambda x, shape: np.reshape(x, shape), normal(*shape), shape=new)
for shape, axes in [
    ((2, 3), None), ((2, 3, 4), (1, 2, 0)), ((2, 3, 4), (0, -1, -2)), ((), None), ((3,), (0,)), ((0, 2), (1, 0)),
]:
    sample("transpose", lambda x, axes: np.transpose(x, axes), normal(*shape), axes=axes)
for shape, new in [
    ((3,), (2, 3)), ((2, 1), (2, 3)), ((), (2, 2)), ((2, 3), (2, 3)), ((1, 3, 1), (2, 4, 3, 2)), ((1,), (0,)),
]:
    sample("broadcast_to", lambda x, shape: np.broadcast_to(x, shape), normal(*shape), shape=new)
INDICES: list[tuple[tuple[int, ...], Any]] = [
    ((4, 3), 1), ((4, 3), (slice(None), -1)), ((4, 3), slice(None, None, -2)), ((4, 3), (..., 0)), ((4, 3), None),
    ((4, 3), (slice(1, 3), None, 2)), ((4,), 2), ((4, 3), [0, 2, 2]), ((4, 3), ([0, 1, 1], [2, 0, 0])),
    ((4, 3), (slice(None), [1, 1])), ((2, 3, 4), (0, slice(None), [1, 3])), ((4,), slice(4, 4)), ((), ()), ((), None),
    ((3, 2), [True, False, True]), ((2, 2), ([[0, 1], [1, 0]], [[0, 0], [1, 1]])),
]
for shape, index in INDICES:
    x = normal(*shape)
    sample("getitem", lambda x, index: x[index], x, index=index)

    def scattered(g: Any, index: Any, shape: Any) -> Any:
        """Add the elements of g one after the other to those that x[index] would take."""
        out = np.zeros(shape)
        positions = np.arange(out.size).reshape(shape)[index]
        for position, value in zip(np.ravel(positions), np.ravel(g), strict=True):
            out.reshape(-1)[position] += value
        return out

    sample("scatter", scattered, normal(*x[index].shape), index=index, shape=shape)
for shape, widths, value in [
    ((3,), ((1, 2),), 0.0), ((2, 3), ((0, 1), (2, 0)), 0.0), ((2, 3), ((0, 0), (0, 0)), 0.0),
    ((2,), ((1, 1),), 7.0), ((0, 2), ((1, 0), (0, 1)), 0.0),
]:
    pads = {"widths": widths, "value": value}
    sample("pad", lambda x, widths, value: np.pad(x, widths, constant_values=value), normal(*shape), **pads)
for shapes, axis in [(((2, 3), (1, 3)), 0), (((2, 3), (2, 1), (2, 2)), 1), (((2, 3), (2, 2)), -1), (((3,),), 0),
                     (((0, 2), (3, 2)), 0)]:
    sample("concatenate", lambda *arrays, axis: np.concatenate(arrays, axis), *[normal(*s) for s in shapes], axis=axis)
for shapes, axis in [(((2, 3), (2, 3)), 0), (((2, 3), (2, 3), (2, 3)), -1), (((), ()), 0), (((2,), (2,)), 1)]:
    sample("stack", lambda *arrays, axis: np.stack(arrays, axis), *[normal(*s) for s in shapes], axis=axis)

# ---------------------------------------------------------------------- reduction

AXES: list[tuple[tuple[int, ...], Any]] = [
    ((2, 3), None), ((2, 3), 0), ((2, 3), -1), ((2, 3, 4), (0, 2)), ((2, 3, 4), (-1, 0)), ((3,), 0), ((), None),
]
for shape, axis in AXES:
    for keepdims in (False, True):
        x = normal(*shape)
        for name, function in {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}.items():
            sample(name, function, x, axis=axis, keepdims=keepdims)
        sample(
            "logsumexp", lambda x, axis, keepdims: np.log(np.exp(x).sum(axis=axis, keepdims=keepdims)), x, axis=axis,
            keepdims=keepdims,
        )
sample("sum", np.sum, normal(0, 3), axis=0)
sample("sum", np.sum, normal(0, 3), axis=1)
sample("logsumexp", lambda x: np.array(1000 + np.log(2.0)), np.array([1000.0, 1000.0]))
for shape, axis in [((2, 3), -1), ((2, 3), 0), ((2, 3, 4), 1), ((3,), -1), ((1,), 0), ((0, 2), -1)]:
    x = normal(*shape)
    sample("softmax", lambda x, axis: np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True), x, axis=axis)
    sample("log_softmax", lambda x, axis: x - np.log(np.exp(x).sum(axis=axis, keepdims=True)), x, axis=axis)


def projected(x: Any, axis: int) -> Any:
    """The nearest point of the simplex, its threshold found by halving."""
    low, high = x.max(axis, keepdims=True) - 1, x.max(axis, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        above = np.maximum(x - middle, 0).sum(axis, keepdims=True) > 1
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.maximum(x - low, 0)


for shape, axis in [((2, 3), -1), ((5, 2), 0), ((2, 6, 2), 1), ((4,), -1), ((1,), 0)]:
    sample("sparsemax", projected, normal(*shape), axis=axis)
for shape, axis in [((2, 3), None), ((2, 3), 1), ((4,), 0)]:
    sample("argmax", np.argmax, normal(*shape), axis=axis)
    sample("argmin", np.argmin, normal(*shape), axis=axis)

# ---------------------------------------------------------------------- matrix products

for a_shape, b_shape in [
    ((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (3,)), ((5, 2, 3), (5, 3, 4)), ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)), ((2, 1, 2, 3), (4, 3, 2)), ((1, 2, 3), (5, 3, 4)),
    ((2, 0), (0, 3)), ((0, 3), (3, 2)), ((1, 1), (1, 1)), ((5, 2, 0), (0, 3)), ((0, 2, 3), (3, 4)),
]:
    sample("matmul", np.matmul, normal(*a_shape), normal(*b_shape))

for x_shape, filters, axis in [((2, 3), 4, -1), ((2, 3, 4), 2, -1), ((2, 3, 4), 5, 1), ((3,), 2, -1), ((0, 3), 2, -1)]:
    x, w, b = normal(*x_shape), normal(x_shape[axis], filters), normal(filters)
    letters = "nct"[: len(x_shape)] if axis == 1 else "ntc"[-len(x_shape) :]
    out = letters.replace("c", "f")

    def linear(x: Any, w: Any, b: Any, axis: int, subscripts: str = f"{letters},cf->{out}") -> Any:
        y = np.einsum(subscripts, x, w)
        return y if b is None else y + (b if axis == -1 else b[:, None])

    def linear_kernel_grad(x: Any, g: Any, axis: int, subscripts: str = f"{letters},{out}->cf") -> Any:
        return np.einsum(subscripts, x, g)

    sample("linear", linear, x, w, b, axis=axis)
    sample("linear", linear, x, w, None, axis=axis)
    sample("linear", lambda x, w, b, axis, of=linear: of(x, w[0], b, axis), x, w[None], b, axis=axis)
    sample("linear_kernel_grad", linear_kernel_grad, x, linear(x, w, b, axis), axis=axis)

# ---------------------------------------------------------------------- convolution: the definitions, as loops


def taps_of(geometry: dict[str, Any], length: int, taps: int) -> list[tuple[int, int, int]]:
    """All (t, k, l) with l = s*t + d*k - p inside the input."""
    s, d, (p, q) = geometry["stride"], geometry["dilation"], geometry["padding"]
    steps = (length + p + q - d * (taps - 1) - 1) // s + 1
    triples = [(t, k, s * t + d * k - p) for t in range(steps) for k in range(taps)]
    return [(t, k, at) for t, k, at in triples if 0 <= at < length]


def out_length(geometry: dict[str, Any], length: int, taps: int) -> int:
    s, d, (p, q) = geometry["stride"], geometry["dilation"], geometry["padding"]
    return (length + p + q - d * (taps - 1) - 1) // s + 1


def swapped(array: np.ndarray, layout: str) -> np.ndarray:
    """From the layout to NLC, or back."""
    return array if layout == "NLC" else array.swapaxes(1, 2)


def conv(x: Any, w: Any, layout: str = "NLC", **geometry: Any) -> Any:
    x = swapped(x, layout)
    y = np.zeros((x.shape[0], out_length(geometry, x.shape[1], len(w)), w.shape[1] * w.shape[2]))
    for t, k, at in taps_of(geometry, x.shape[1], len(w)):
        y[:, t] += (x[:, at, :, None] * w[k]).reshape(y[:, t].shape)
    return swapped(y, layout)


def conv_input_grad(g: Any, w: Any, length: int, layout: str = "NLC", **geometry: Any) -> Any:
    g = swapped(g, layout)
    x = np.zeros((g.shape[0], length, w.shape[1]))
    for t, k, at in taps_of(geometry, length, len(w)):
        x[:, at] += (g[:, t].reshape(len(g), *w.shape[1:]) * w[k]).sum(-1)
    return swapped(x, layout)


def conv_kernel_grad(x: Any, g: Any, taps: int, layout: str = "NLC", **geometry: Any) -> Any:
    x, g = swapped(x, layout), swapped(g, layout)
    w = np.zeros((taps, x.shape[2], g.shape[2] // x.shape[2]))
    for t, k, at in taps_of(geometry, x.shape[1], taps):
        w[k] += (x[:, at, :, None] * g[:, t].reshape(len(g), *w.shape[1:])).sum(0)
    return w


def unfolded(x: Any, taps: int, layout: str = "NLC", **geometry: Any) -> Any:
    x = swapped(x, layout)
    y = np.zeros((x.shape[0], out_length(geometry, x.shape[1], taps), taps, x.shape[2]))
    for t, k, at in taps_of(geometry, x.shape[1], taps):
        y[:, t, k] = x[:, at]
    return y


def folded(g: Any, length: int, layout: str = "NLC", **geometry: Any) -> Any:
    x = np.zeros((g.shape[0], length, g.shape[3]))
    for t, k, at in taps_of(geometry, length, g.shape[2]):
        x[:, at] += g[:, t, k]
    return swapped(x, layout)


GEOMETRIES = [  # batch, length, channels, multiplier, taps, stride, dilation, padding
    (2, 5, 3, 1, 3, 1, 1, (0, 0)),
    (2, 5, 2, 2, 3, 1, 1, (1, 1)),
    (1, 7, 2, 1, 3, 2, 1, (0, 1)),
    (2, 8, 1, 3, 2, 3, 1, (2, 0)),
    (1, 9, 2, 1, 3, 1, 2, (2, 3)),
    (1, 11, 1, 2, 3, 2, 3, (1, 4)),
    (1, 9, 2, 1, 4, 4, 2, (0, 0)),
    (1, 6, 1, 1, 2, 5, 1, (0, 0)),
    (1, 1, 2, 1, 5, 1, 1, (2, 2)),
    (0, 4, 2, 1, 2, 1, 1, (0, 0)),
    (2, 4, 1, 1, 1, 1, 1, (0, 0)),
]
for layout in ("NLC", "NCL"):
    for n, length, c, m, taps, stride, dilation, padding in GEOMETRIES:
        geometry: dict[str, Any] = {"stride": stride, "dilation": dilation, "padding": padding}
        steps = out_length(geometry, length, taps)
        geometry["layout"] = layout
        x, w = swapped(normal(n, length, c), layout), normal(taps, c, m)
        g = swapped(normal(n, steps, c * m), layout)
        sample("depthwise_conv1d", conv, x, w, **geometry)
        sample("depthwise_conv1d_input_grad", conv_input_grad, g, w, length=length, **geometry)
        sample("depthwise_conv1d_kernel_grad", conv_kernel_grad, x, g, taps=taps, **geometry)
        sample("unfold", unfolded, x, taps=taps, **geometry)
        sample("fold", folded, normal(n, steps, taps, c), length=length, **geometry)

# ---------------------------------------------------------------------- pooling


def pool_at(x: np.ndarray, taps: int, stride: int, padding: tuple[int, int]) -> np.ndarray:
    """For each output of x (N, L, C) the step l of its maximum, the first of those that tie."""
    geometry = {"stride": stride, "dilation": 1, "padding": padding}
    at = np.zeros((x.shape[0], out_length(geometry, x.shape[1], taps), x.shape[2]), int)
    for n, t, c in np.ndindex(*at.shape):
        seen = [step for s, _, step in taps_of(geometry, x.shape[1], taps) if s == t]
        at[n, t, c] = max(seen, key=lambda step: x[n, step, c])
    return at


def pooled(x: Any, taps: int, stride: int, padding: Any, layout: str) -> Any:
    x = swapped(x, layout)
    return swapped(np.take_along_axis(x, pool_at(x, taps, stride, padding), 1), layout)


def pool_scattered(g: Any, x: Any, y: Any, taps: int, stride: int, padding: Any, layout: str) -> Any:
    g, x = swapped(g, layout), swapped(x, layout)
    dx = np.zeros_like(x)
    at = pool_at(x, taps, stride, padding)
    for n, t, c in np.ndindex(*at.shape):
        dx[n, at[n, t, c], c] += g[n, t, c]
    return swapped(dx, layout)


def pool_gathered(h: Any, x: Any, y: Any, taps: int, stride: int, padding: Any, layout: str) -> Any:
    at = pool_at(swapped(x, layout), taps, stride, padding)
    return swapped(np.take_along_axis(swapped(h, layout), at, 1), layout)


for layout in ("NLC", "NCL"):
    for n, length, c, taps, stride, padding in [
        (2, 6, 2, 2, 2, (0, 0)), (1, 7, 2, 3, 2, (1, 1)), (1, 5, 1, 3, 1, (0, 2)), (1, 8, 1, 2, 3, (0, 0)),
        (1, 1, 2, 1, 1, (0, 0)), (2, 9, 2, 3, 3, (0, 0)), (1, 9, 2, 3, 4, (0, 0)),
    ]:
        pool: dict[str, Any] = {"taps": taps, "stride": stride, "padding": padding, "layout": layout}
        x = swapped(normal(n, length, c), layout)
        y = pooled(x, **pool)
        sample("max_pool1d", pooled, x, **pool)
        sample("max_pool1d_scatter", pool_scattered, normal(*y.shape), x, y, **pool)
        sample("max_pool1d_gather", pool_gathered, normal(*x.shape), x, y, **pool)

# ---------------------------------------------------------------------- standardization


def standardized(x: Any, axes: Any, epsilon: float) -> Any:
    return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)


def standardized_grad(g: Any, x: Any, axes: Any, epsilon: float) -> Any:
    """By the chain rule over x - mean, the variance and the quotient."""
    means: Any = {"axis": axes, "keepdims": True}
    centered, r = x - x.mean(**means), 1 / np.sqrt(x.var(**means) + epsilon)
    return r * (g - g.mean(**means)) - r**3 * centered * (g * centered).mean(**means)


for shape, axes in [((3, 4, 2), (0, 1)), ((3, 4), (-1,)), ((2, 3, 2, 2), (1, 3)), ((5,), (0,))]:
    sample("standardize", standardized, normal(*shape), axes=axes, epsilon=0.01)
    sample("standardize_grad", standardized_grad, normal(*shape), normal(*shape), axes=axes, epsilon=0.01)

# ---------------------------------------------------------------------- further arguments that NumPy takes, too

for a_shape, b_shape in PAIRS:
    sample("power_base_grad", lambda a, b: b * a ** (b - 1), positive(*a_shape), normal(*b_shape))
    sample("power_exponent_grad", lambda a, b: a**b * np.log(a), positive(*a_shape), normal(*b_shape))
sample("power_base_grad", lambda a, b: b * a ** (b - 1), np.array([-2.0, 0.5, 3.0]), 2.0)
sample("power_base_grad", lambda a, b: b * a ** (b - 1), 3.0, normal(2, 3))
sample("power_exponent_grad", lambda a, b: a**b * np.log(a), 3.0, normal(2, 3))
for limits in ({"minimum": None, "maximum": 1.03}, {"minimum": -0.52, "maximum": None}):
    sample("clip", lambda x, minimum, maximum: np.clip(x, minimum, maximum), normal(2, 3), **limits)
for shape, several in [((2, 3), 1), ((2, 3), (1, 2)), ((2, 3), ((1, 2),)), ((2, 3), ((1,), (2,))), ((), ())]:
    pads = {"widths": several, "value": 0.0}
    sample("pad", lambda x, widths, value: np.pad(x, widths) if x.ndim else x, normal(*shape), **pads)
sample("concatenate", lambda *arrays, axis: np.concatenate(arrays, axis), normal(2, 3), normal(1, 2), axis=None)
for a_shape, b_shape in [
    ((0, 2, 3), (3,)), ((3,), (0, 3, 2)), ((2, 0, 4, 2, 3), (3,)), ((0,), (0, 3)), ((5, 0, 3), (3,)),
]:
    sample("matmul", np.matmul, normal(*a_shape), normal(*b_shape))

# Which arguments an op is linear in: groups of positions that are linear together, the others held.
LINEAR: dict[str, list[tuple[int, ...]]] = {
    "add": [(0, 1)], "subtract": [(0, 1)], "negative": [(0,)], "multiply": [(0,), (1,)], "divide": [(0,)],
    "where": [(1, 2)], "astype": [(0,)], "reshape": [(0,)], "transpose": [(0,)], "broadcast_to": [(0,)],
    "getitem": [(0,)], "scatter": [(0,)], "sum": [(0,)], "mean": [(0,)], "matmul": [(0,), (1,)],
    "linear_kernel_grad": [(0,), (1,)], "standardize_grad": [(0,)],
    "depthwise_conv1d": [(0,), (1,)], "depthwise_conv1d_input_grad": [(0,), (1,)],
    "depthwise_conv1d_kernel_grad": [(0,), (1,)], "unfold": [(0,)], "fold": [(0,)],
    "max_pool1d_scatter": [(0,)], "max_pool1d_gather": [(0,)],
    "pad": [(0,)], "concatenate": [()], "stack": [()],  # () stands for all arguments
}
