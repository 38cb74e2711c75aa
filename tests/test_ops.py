"""Everything that holds for every op, made from `samples.SAMPLES`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad import Op, Tensor, grad, gradcheck, ops
from tests.samples import LINEAR, SAMPLES, Sample

OPS = {name: op for name, op in Op.registry.items() if op.compute.__module__.startswith("minigrad.")}
each = pytest.mark.parametrize("sample", SAMPLES, ids=str)


def is_floating(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def differentiable(sample: Sample) -> list[int]:
    """The positions of the inputs that gradients reach."""
    op = OPS[sample.op]
    return [i for i, x in enumerate(sample.inputs) if is_floating(x) and op.rule_of(i) is not None]


def as_tensors(sample: Sample, dtype: str = "float64", device: str = "cpu") -> list[Any]:
    """The inputs, the floating ones as tensors of ``dtype``, those with a rule requiring gradients."""
    active = differentiable(sample)
    return [
        Tensor(x.astype(dtype) if is_floating(x) else x, device=device, requires_grad=i in active)
        if isinstance(x, np.ndarray)
        else x
        for i, x in enumerate(sample.inputs)
    ]


def gradients(sample: Sample, dtype: str = "float64", device: str = "cpu") -> tuple[Any, list[Any]]:
    """The output, and the gradients of its sum weighted by 1, 2, 3, ..."""
    inputs = as_tensors(sample, dtype, device)
    y = OPS[sample.op](*inputs, **sample.attributes)
    if y.node is None:
        return y, []
    weights = Tensor(np.arange(1.0, y.size + 1).reshape(y.shape).astype(dtype), device=device)
    return y, grad(y, [inputs[i] for i in differentiable(sample)], weights)


def test_every_op_has_a_sample() -> None:
    assert {sample.op for sample in SAMPLES} == set(OPS)


def test_an_op_without_a_sample_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPS, "forgotten", OPS["add"])
    with pytest.raises(AssertionError):
        test_every_op_has_a_sample()


def test_every_op_says_whether_it_is_linear() -> None:
    assert set(LINEAR) <= set(OPS)


def test_every_op_has_a_rule_for_each_argument() -> None:
    for op in OPS.values():
        assert list(op.rules) == op.arguments, op.name


@each
def test_equals_its_reference(sample: Sample) -> None:
    expected = sample.reference(*sample.inputs, **sample.attributes)
    on_arrays = OPS[sample.op](*sample.inputs, **sample.attributes)
    on_tensors = OPS[sample.op](*as_tensors(sample), **sample.attributes)
    for y in (on_arrays, on_tensors.numpy()):
        assert y.shape == np.shape(expected)
        np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-14)


@each
@pytest.mark.parametrize("order", [1, 2])
def test_gradients(sample: Sample, order: int) -> None:
    active = differentiable(sample)
    if not active or sample.attributes.get("dtype") == "int64":
        assert OPS[sample.op](*as_tensors(sample), **sample.attributes).node is None
        return

    def f(*leaves: Tensor) -> Any:
        inputs = list(sample.inputs)
        for i, x in zip(active, leaves, strict=True):
            inputs[i] = x
        return OPS[sample.op](*inputs, **sample.attributes)

    report = gradcheck(f, [sample.inputs[i] for i in active], order=order)
    assert {finding.status for finding in report.findings} == {"ok"}


@each
def test_adjoint_identity(sample: Sample) -> None:
    """<f(v), u> = <v, f*(u)> for arguments v in which the op is linear: exact, no step size."""
    rng = np.random.default_rng(3)
    if sample.attributes.get("value") or sample.attributes.get("dtype") == "int64":
        return
    for positions in LINEAR.get(sample.op, []):
        group = [i for i in positions or range(len(sample.inputs)) if isinstance(sample.inputs[i], np.ndarray)]
        if not group or (len(positions) > len(group)):
            continue  # a + 2 is not linear in a
        inputs = list(sample.inputs)
        for i in group:
            inputs[i] = Tensor(rng.normal(size=inputs[i].shape), requires_grad=True)
        y = OPS[sample.op](*inputs, **sample.attributes)
        u = rng.normal(size=y.shape)
        pulled = grad(y, [inputs[i] for i in group], Tensor(u))
        left = (y.numpy() * u).sum()
        right = sum((inputs[i].numpy() * g.numpy()).sum() for i, g in zip(group, pulled, strict=True))
        size = np.sqrt((y.numpy() ** 2).sum() * (u**2).sum())
        assert abs(left - right) <= 1e-13 * size


@each
def test_float32_stays_float32(sample: Sample) -> None:
    y, pulled = gradients(sample, "float32")
    wide, expected = gradients(sample)
    if sample.op != "astype":
        assert y.dtype == np.float32 if wide.dtype == np.float64 else y.dtype == wide.dtype
    for g, known in zip(pulled, expected, strict=True):
        assert g.dtype == np.float32
        np.testing.assert_allclose(g.numpy(), known.numpy(), rtol=2e-5, atol=2e-5)


@each
def test_inputs_are_untouched(sample: Sample) -> None:
    inputs = as_tensors(sample)
    before = [x.numpy() if isinstance(x, Tensor) else x for x in inputs]
    y = OPS[sample.op](*inputs, **sample.attributes)
    output = y.numpy()
    if y.node is not None:
        weights = np.ones(y.shape)
        grad(y, [inputs[i] for i in differentiable(sample)], Tensor._output(weights, None), create_graph=True)
        y.backward(weights)
        assert np.array_equal(weights, np.ones(y.shape))
    for x, known in zip(inputs, before, strict=True):
        assert np.array_equal(x.numpy() if isinstance(x, Tensor) else x, known)
    assert np.array_equal(y.numpy(), output, equal_nan=True)


@each
def test_array_modules_agree(sample: Sample) -> None:
    y, pulled = gradients(sample)
    there, pulled_there = gradients(sample, device="standin")
    assert there.device == "standin"
    np.testing.assert_allclose(there.numpy(), y.numpy(), rtol=1e-14, atol=1e-14)  # BLAS rounds by how arrays lie
    for a, b in zip(pulled_there, pulled, strict=True):
        assert a.device == "standin"
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-14, atol=1e-14)


@each
@pytest.mark.gpu
def test_cuda_agrees(sample: Sample) -> None:
    y, pulled = gradients(sample)
    there, pulled_there = gradients(sample, device="cuda")
    np.testing.assert_allclose(there.numpy(), y.numpy(), rtol=1e-12, atol=1e-12)
    for a, b in zip(pulled_there, pulled, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("layout", ["NLC", "NCL"])
def test_the_convolution_family_is_closed(seed: int, layout: str) -> None:
    """<conv(x, w), g> = <x, input_grad(g, w)> = <w, kernel_grad(x, g)> to 1e-12, whatever the geometry."""
    rng = np.random.default_rng(seed)
    n, channels, multiplier, taps, stride, dilation = (int(k) for k in rng.integers(1, 5, 6))
    padding = tuple(int(p) for p in rng.integers(0, 6, 2))
    length = int(rng.integers(max(1, dilation * (taps - 1) + 1 - sum(padding)), 25))
    steps = (length + sum(padding) - dilation * (taps - 1) - 1) // stride + 1
    shape = (n, length, channels), (n, steps, channels * multiplier)
    x, g = (rng.normal(size=s if layout == "NLC" else (s[0], s[2], s[1])) for s in shape)
    w = rng.normal(size=(taps, channels, multiplier))
    how: Any = {"stride": stride, "dilation": dilation, "padding": padding, "layout": layout}
    forward = (OPS["depthwise_conv1d"](x, w, **how) * g).sum()
    by_input = (x * OPS["depthwise_conv1d_input_grad"](g, w, length=length, **how)).sum()
    by_kernel = (w * OPS["depthwise_conv1d_kernel_grad"](x, g, taps=taps, **how)).sum()
    size = np.sqrt((x**2).sum() * (g**2).sum() * (w**2).sum())
    assert abs(forward - by_input) <= 1e-12 * size
    assert abs(forward - by_kernel) <= 1e-12 * size


def test_relu_of_few_and_of_many_booleans_has_one_dtype() -> None:
    assert {ops.relu(np.ones(shape, bool)).dtype for shape in ((2, 2), (100, 100))} == {np.dtype("int64")}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: ops.depthwise_conv1d(a(2, 5), a(3, 2, 1)), r"must have 3 axes. Received: x=float64\(2, 5\), w=f"),
        (lambda a: ops.depthwise_conv1d(a(2, 5, 3), a(3, 2, 1)), "x and w must have the same number of channels"),
        (lambda a: ops.depthwise_conv1d(a(2, 3, 5), a(3, 2, 1), layout="NCL"), "x and w must have the same number"),
        (lambda a: ops.depthwise_conv1d(a(2, 5, 2), a(3, 2, 1), layout="CLN"), "layout must be one of"),
        (lambda a: ops.depthwise_conv1d(a(2, 5, 2), a(3, 2, 1), layout=["NLC"]), "layout must be one of"),
        (lambda a: ops.depthwise_conv1d(a(2, 5, 2), a(3, 2, 1), padding=[0, 0]), "padding must be two non-negative"),
        (lambda a: ops.depthwise_conv1d(a(2, 5, 2), a(3, 2, 1), stride=1.0), "stride must be a positive integer"),
        (lambda a: ops.depthwise_conv1d(a(2, 5, 2), a(6, 2, 1)), "must fit into the padded input"),
        (lambda a: ops.depthwise_conv1d_input_grad(a(2, 5, 3), a(1, 2, 2), length=5), r"g must have C\*M channels"),
        (lambda a: ops.depthwise_conv1d_input_grad(a(2, 5, 4), a(1, 2, 2), length=6), "g must have 6 time steps"),
        (lambda a: ops.depthwise_conv1d_input_grad(a(5), a(), length=6), "must have 3 axes"),
        (lambda a: ops.depthwise_conv1d_kernel_grad(a(2, 5, 2), a(3, 5, 2), taps=1), "g must have the batch of x"),
        (lambda a: ops.depthwise_conv1d_kernel_grad(a(2, 5, 2), a(2, 5, 3), taps=1), r"and C\*M channels"),
        (lambda a: ops.depthwise_conv1d_kernel_grad(a(2, 5, 2), a(2, 5, 2), taps=2), "g must have 4 time steps"),
        (lambda a: ops.depthwise_conv1d_kernel_grad(a(2, 5, 2), a(2, 5, 2), taps=0), "taps must be a positive integer"),
    ],
)
def test_shapes_that_do_not_fit_a_depthwise_convolution(call: Any, message: str) -> None:
    for _ in range(2):  # what fits is remembered, what does not is not
        with pytest.raises(ValueError, match=f"^depthwise_conv1d.*: .*{message}"):
            call(lambda *shape: np.ones(shape))


def test_what_fitted_before_lets_nothing_else_pass() -> None:
    """A geometry is remembered by its arguments, and 1 == 1.0 == True."""
    x = np.ones((1, 6, 2))
    assert ops.max_pool1d(x, taps=2, stride=1).shape == (1, 5, 2)
    for wrong in ({"taps": [2], "stride": 1}, {"taps": 2, "stride": 1.0}, {"taps": 2, "stride": True}):
        with pytest.raises(ValueError, match=r"^max_pool1d: .* must be a positive integer"):
            ops.max_pool1d(x, **wrong)
    with pytest.raises(ValueError, match=r"^max_pool1d: padding must be two non-negative integers"):
        ops.max_pool1d(x, taps=2, stride=1, padding=[0, 0])


def test_a_window_that_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^max_pool1d: .*the window must fit.*Received: length=3, taps=5"):
        ops.max_pool1d(np.ones((1, 3, 2)), taps=5, stride=1)


@pytest.mark.parametrize(
    ("x", "g"), [((1, 3), (1,)), ((2, 3), (2,)), ((2, 3, 4), (2, 3)), ((2, 3), (3, 3)), ((3,), ()), ((), ())]
)
def test_arrays_that_differ_in_more_than_the_channels_have_no_kernel_gradient(
    x: tuple[int, ...], g: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"^linear_kernel_grad: x and g must differ in the length of axis"):
        ops.linear_kernel_grad(np.ones(x), np.ones(g))


@pytest.mark.parametrize("axis", [(0, 0, 1), (0, 0), (0, 3), (-4, 1)])
def test_a_sum_over_no_such_axes_is_refused(axis: tuple[int, ...]) -> None:
    with pytest.raises((ValueError, TypeError), match=r"^sum: .*Received: x="):
        ops.sum(np.ones((20, 20, 20)), axis=axis)
