"""Half precision over many elements: counts and sums are made in float32, and every gradient holds to one in a hundred.

Each op has calls over about 100,000 elements. The gradient in float16 is compared with that in float64 at the same
numbers: the largest error is at most 1 % of the largest element, wherever the forward pass is finite.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from minigrad import Tensor, grad, layers, ops
from tests.test_ops import OPS, is_floating

MANY = 100_000


class Call(NamedTuple):
    """An op, inputs of many elements, and attributes."""

    op: str
    inputs: tuple[Any, ...]
    attributes: dict[str, Any]


CALLS: list[Call] = []
rng = np.random.default_rng(4)


def call(op: str, *inputs: Any, **attributes: Any) -> None:
    CALLS.append(Call(op, inputs, attributes))


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


def around_one(*shape: int) -> np.ndarray:
    return rng.uniform(0.7, 1.3, shape)


def distinct(*shape: int) -> np.ndarray:
    """Numbers that differ from their neighbors, of which no two are near a kink."""
    return np.where(normal(*shape) > 0, 1.0, -1.0) * rng.uniform(0.3, 2.0, shape)


PAIRS = [
    ((MANY,), ()), ((MANY,), (1,)), ((1000, 100), (100,)), ((1000, 100), (1000, 1)), ((10, 1000, 10), (10, 1, 10)),
]
for shapes in PAIRS:
    for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "power_base_grad",
                 "power_exponent_grad"):
        call(name, *(around_one(*shape) for shape in shapes))
        call(name, *(around_one(*shape) for shape in reversed(shapes)))
    call("where", normal(*shapes[0]) > 0, *(around_one(*shape) for shape in shapes))
for name in ("negative", "exp", "expm1", "abs", "tanh", "sigmoid", "softplus", "erf", "relu", "sign"):
    call(name, distinct(MANY))
for name in ("log", "sqrt"):
    call(name, around_one(MANY))
call("clip", distinct(MANY), minimum=-1.0, maximum=0.2)
call("clip", distinct(300), minimum=np.full((300, 300), -1.0), maximum=None)
call("astype", normal(MANY), dtype="float16")
call("astype", normal(MANY), dtype="float32")
for axis in (0, 1, (0, 1), None):
    for shape in ((MANY, 1), (1000, 100), (100, 1000), (1, MANY)):
        for name in ("sum", "mean", "max", "min", "logsumexp"):
            call(name, around_one(*shape) / 2, axis=axis, keepdims=axis == 0)
        call("max", np.ones(shape), axis=axis)
        if not isinstance(axis, int):
            continue
        for name in ("softmax", "log_softmax", "sparsemax"):
            call(name, around_one(*shape), axis=axis)
        call("standardize", normal(*shape), axes=(axis,), epsilon=1e-3)
        call("standardize_grad", normal(*shape), normal(*shape), axes=(axis,), epsilon=1e-3)
call("reshape", normal(MANY), shape=(100, -1))
call("transpose", normal(1000, 100))
for shape in [(), (1,), (1000, 1)]:
    call("broadcast_to", around_one(*shape), shape=(1000, 100))
for index in (np.zeros(MANY, int), rng.integers(0, 3, MANY), (slice(None), rng.integers(0, 3, 20_000)), 1):
    call("getitem", around_one(5, 5), index=index)
    call("scatter", around_one(*np.zeros((5, 5))[index].shape), index=index, shape=(5, 5))
call("pad", normal(MANY), widths=3)
call("concatenate", normal(MANY), normal(7))
call("stack", normal(MANY), normal(MANY))
for a, b in [((2000, 50), (50, 20)), ((20, 2000), (2000, 50)), ((MANY,), (MANY,)), ((400, 20, 250), (250,)),
             ((400, 250, 20), (20, 5)), ((5,), (400, 5, 20)), ((20, 5), (2000, 5, 20))]:
    call("matmul", around_one(*a), around_one(*b))
for shape, axis in [((20_000, 5), -1), ((200, 100, 5), -1), ((200, 5, 100), 1), ((100, 5, 300), 1)]:
    filters = list(shape)
    filters[axis] = 4
    call("linear", around_one(*shape), around_one(5, 4), around_one(4), axis=axis)
    call("linear_kernel_grad", around_one(*shape) / 300, around_one(*filters), axis=axis)
for layout, swap in (("NLC", lambda x: x), ("NCL", lambda x: x.swapaxes(1, 2))):
    for n, length, taps, stride in [(100, 300, 3, 1), (2, 20_000, 3, 2), (2000, 20, 5, 3), (20, 1000, 60, 1)]:
        steps = (length - taps) // stride + 1
        how: dict[str, Any] = {"stride": stride, "layout": layout}
        x, g, w = swap(around_one(n, length, 3)), swap(around_one(n, steps, 6)), around_one(taps, 3, 2)
        call("depthwise_conv1d", x, w, **how)
        call("depthwise_conv1d_input_grad", g, w, length=length, **how)
        call("depthwise_conv1d_kernel_grad", x, g / 300, taps=taps, **how)
        call("unfold", x[:20], taps=taps, **how)
        call("fold", around_one(min(n, 20), steps, taps, 3), length=length, **how)
        pool: dict[str, Any] = {"taps": taps, "stride": stride, "padding": (0, 0), "layout": layout}
        x = swap(rng.permuted(np.linspace(-2, 2, length * 3).reshape(1, length, 3).repeat(min(n, 20), 0), axis=1))
        x = x.astype("float16").astype("float64")
        y = ops.max_pool1d(x, **pool)
        call("max_pool1d", x, **pool)
        call("max_pool1d_scatter", around_one(*y.shape), x, y, **pool)
        call("max_pool1d_gather", around_one(*x.shape), x, y, **pool)


def gradients(dtype: str, call: Call, g: Any) -> tuple[Any, list[Any]]:
    op = OPS[call.op]
    inputs = [
        Tensor(np.asarray(x).astype("float16").astype(dtype), requires_grad=op.rule_of(i) is not None)
        if is_floating(np.asarray(x))
        else x
        for i, x in enumerate(call.inputs)
    ]
    attributes = dict(call.attributes)
    if call.op == "astype" and dtype == "float64":
        attributes["dtype"] = "float64"
    y = op(*inputs, **attributes)
    leaves = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    if y.node is None:
        return y, []
    weights = (np.ones(y.shape) if g is None else g.standard_normal(y.shape)).astype("float16")
    return y, grad(y, leaves, weights.astype(y.dtype))


def named(calls: list[Call]) -> list[Any]:
    """The first call of each op at once, the others only in a thorough run."""
    seen: set[str] = set()
    params = []
    for i, one in enumerate(calls):
        marks = [pytest.mark.slow] if one.op in seen else []
        seen.add(one.op)
        params.append(pytest.param(one, id=f"{one.op}-{i}", marks=marks))
    return params


def test_every_op_with_a_gradient_is_called() -> None:
    differentiable = {name for name, op in OPS.items() if any(op.rules.values())}
    assert differentiable <= {one.op for one in CALLS}


@pytest.mark.parametrize("of", ["ones", "random"])
@pytest.mark.parametrize("one", named(CALLS))
def test_gradients_hold_to_one_in_a_hundred(one: Call, of: str) -> None:
    with np.errstate(over="ignore"):
        y, pulled = gradients("float16", one, None if of == "ones" else np.random.default_rng(1))
    _, expected = gradients("float64", one, None if of == "ones" else np.random.default_rng(1))
    assert np.isfinite(y.numpy()).all() or one.op in ("sum", "linear_kernel_grad", "matmul", "scatter")
    for got, known in zip(pulled, expected, strict=True):
        assert got.dtype == np.float16
        truth = known.numpy()
        largest = np.abs(truth).max(initial=0)
        if largest > 60_000:  # not to be said in half precision
            continue
        error = np.abs(got.numpy().astype("float64") - truth)
        # a gradient of the order of its own rounding, as of softmax under ones, has nothing to be compared with
        floor = 2e-3 if one.op in ("softmax", "sparsemax", "standardize", "standardize_grad") else 0
        assert error.max(initial=0) <= max(0.01 * largest, floor)


@pytest.mark.parametrize("axis", [None, 0, (0,), -1])
def test_counts_beyond_the_largest_half(axis: Any) -> None:
    """70,000 is infinite in float16, and a 70,000th is not 0."""
    count = 70_000
    x = Tensor(np.ones(count, "float16"), requires_grad=True)
    share = np.float16(1 / count)
    for f in (ops.mean, ops.max, ops.min):
        assert (grad(f(x, axis=axis), x).numpy() == share).all()
    assert ops.mean(x, axis=axis).item() == 1
    assert ops.logsumexp(x, axis=axis).item() == np.float16(1 + np.log(count))
    one = -1 if axis is None or isinstance(axis, tuple) else axis
    assert (ops.softmax(x, axis=one).numpy() == share).all()
    assert (ops.log_softmax(x, axis=one).numpy() == np.float16(-np.log(count))).all()
    assert grad(x.var(axis=axis), x).numpy().max() == 0
    assert np.isfinite(grad(x.var(axis=axis), x).numpy()).all()


@pytest.mark.parametrize("value", [1.0, 0.1])
def test_sums_go_on_beyond_2048(value: float) -> None:
    rows = 9000
    g = np.full((rows, 2), value, "float16")
    expected = np.float16(rows * float(np.float16(value)))
    b = Tensor(np.zeros(2, "float16"), requires_grad=True)
    often = b[None][np.zeros(rows, int)]
    for y in (b + np.ones((rows, 2), "float16"), ops.broadcast_to(b, shape=(rows, 2)), often):
        assert grad(y, b, g).tolist() == [expected, expected]
    assert ops.sum(g, axis=0).tolist() == [expected, expected]
    assert ops.scatter(g, index=np.zeros(rows, int), shape=(1, 2)).tolist() == [[expected, expected]]


@pytest.mark.parametrize(
    ("make", "shape", "weight"),
    [
        (lambda: layers.Dense(2, dtype="float16"), (6000, 3), "bias"),
        (lambda: layers.SeparableConv1D(2, 1, dtype="float16"), (60, 100, 3), "bias"),
        (lambda: layers.SeparableConv1D(2, 1, dtype="float16", data_format="channels_first"), (60, 3, 100), "bias"),
        (lambda: layers.Conv1D(2, 2, dtype="float16"), (60, 101, 3), "bias"),
        (lambda: layers.DepthwiseConv1D(2, strides=2, dtype="float16"), (60, 200, 3), "bias"),
        (lambda: layers.PReLU(shared_axes=[1], dtype="float16"), (10, 600, 1), "alpha"),
    ],
)
def test_weights_of_layers_see_every_step(make: Any, shape: tuple[int, ...], weight: str) -> None:
    layer = make()
    y = layer(Tensor(-np.ones(shape, "float16")))
    y.backward(np.full(y.shape, -1.0, "float16"))
    variable = next(v for v in layer.trainable_weights if v.path.endswith(weight))
    assert np.abs(variable.grad.numpy()).tolist() == np.full(variable.shape, 6000).tolist()


def test_a_word_that_comes_often() -> None:
    layer = layers.Embedding(3, 2, dtype="float16")
    y = layer(Tensor(np.full(5001, 1)))
    y.backward(np.ones(y.shape, "float16"))
    assert layer.embeddings.grad.tolist() == [[0, 0], [5000, 5000], [0, 0]]  # 5001 rounded to half precision


def test_tails_keep_their_digits() -> None:
    """What is left of a derivative near 1 or 0 is not the rounding of something larger."""
    x = np.array([-9.0, -6.0, -4.0])
    for dtype, digits in (("float16", 2e-3), ("float32", 1e-6), ("float64", 1e-14)):
        leaf = Tensor(x.astype(dtype), requires_grad=True)
        for f in (ops.expm1, layers.ELU(dtype=dtype), lambda v: v.exp()):
            np.testing.assert_allclose(grad(f(leaf).sum(), leaf).numpy(), np.exp(x), rtol=digits)
    y = ops.tanh(Tensor(x.astype("float16"), requires_grad=True))
    rounded = y.numpy().astype("float64")
    leaf = Tensor(x.astype("float16"), requires_grad=True)
    np.testing.assert_allclose(grad(ops.tanh(leaf).sum(), leaf).numpy(), (1 - rounded) * (1 + rounded), rtol=2e-3)
