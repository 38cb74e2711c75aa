"""Tensor: creation, operators against NumPy, what it shows, and what it refuses."""

from __future__ import annotations

import importlib
import operator
import sys
import types
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, grad, ops, set_random_seed, settings
from minigrad.backend import _by_device

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.fixture
def x() -> Tensor:
    return Tensor(A, requires_grad=True)


# ---------------------------------------------------------------------- creation


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([1.0, 2.0], "float32"), (1.5, "float32"), ([1, 2], "int64"), ([True, False], "bool"), ([1j], "complex128"),
        (A, "float64"), (A.astype("float16"), "float16"), (np.float64(2.0), "float64"), ([np.float64(2.0)], "float64"),
        (Tensor(A), "float64"), ([[1.0], [2]], "float32"), ([], "float32"),
    ],
)
def test_dtypes(data: Any, dtype: str) -> None:
    assert Tensor(data).dtype == dtype
    assert Tensor(data).shape == np.shape(data.data if isinstance(data, Tensor) else data)
    assert Tensor(data, dtype="complex64").dtype == "complex64"


def test_floatx_is_the_dtype_of_python_floats() -> None:
    settings.set_floatx("float64")
    try:
        assert Tensor([1.0]).dtype == Tensor.zeros(2).dtype == Tensor.full((2,), 1.0).dtype == "float64"
    finally:
        settings.set_floatx("float32")


def test_data_are_copied() -> None:
    array = A.copy()
    for y in (Tensor(array), Tensor(Tensor(array)), Tensor(array, dtype="float64")):
        array[0, 0] += 1
        assert y.tolist()[0][0] != array[0, 0]
        y.numpy()[0, 0] = 77
        assert y.tolist()[0][0] != 77


def test_creation_functions() -> None:
    assert Tensor.zeros(2, 3).tolist() == [[0.0] * 3] * 2
    assert Tensor.zeros((2, 3)).shape == Tensor.ones([2, 3]).shape == (2, 3)
    assert Tensor.zeros().shape == ()
    assert Tensor.ones(2, dtype="int64").dtype == np.int64
    assert Tensor.full((2,), 3).dtype == np.int64
    assert Tensor.full(2, True).tolist() == [True, True]
    assert Tensor.arange(3).tolist() == [0, 1, 2]
    assert Tensor.arange(1, 2, 0.5).tolist() == [1.0, 1.5]
    assert Tensor.arange(1, 2, 0.5).dtype == np.float32
    assert Tensor.eye(2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    for made in (Tensor.zeros(2), Tensor.ones(2), Tensor.full((2,), 1.0), Tensor.randn(2), Tensor.uniform(2)):
        assert made.dtype == np.float32
        assert not made.requires_grad
    assert Tensor.zeros(2, requires_grad=True).requires_grad
    assert Tensor.randn(2, requires_grad=True, dtype="float64", device="standin").device == "standin"


def test_random_creation_follows_its_seed() -> None:
    assert Tensor.randn(3, seed=1).tolist() == Tensor.randn(3, seed=1).tolist() != Tensor.randn(3, seed=2).tolist()
    assert Tensor.uniform(3, seed=1).tolist() == Tensor.uniform(3, seed=1).tolist()
    assert Tensor.randn(3, seed=1).tolist() == Tensor.randn(3, seed=1, device="standin").tolist()
    set_random_seed(5)
    first = Tensor.randn(3).tolist(), Tensor.uniform(2).tolist()
    set_random_seed(5)
    assert (Tensor.randn(3).tolist(), Tensor.uniform(2).tolist()) == first
    drawn = Tensor.uniform(1000, low=2.0, high=3.0, seed=0).numpy()
    assert drawn.min() >= 2.0
    assert drawn.max() < 3.0


# ---------------------------------------------------------------------- operators

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("function", BINARY + COMPARISONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "other", [2, 2.0, np.float64(2.0), np.array([1.0, 2.0, 5.0]), np.array([[3.0], [4.0]])], ids=repr
)
def test_operators_against_numpy(function: Any, other: Any) -> None:
    x = Tensor(A)
    for left, right, expected in [
        (x, other, function(A, other)),
        (other, x, function(other, A)),
        (x, Tensor(other), function(A, np.asarray(other))),
        (Tensor(other), x, function(np.asarray(other), A)),
    ]:
        y = function(left, right)
        assert type(y) is Tensor
        np.testing.assert_array_equal(y.numpy(), expected)


def test_matmul_with_numpy_arrays_on_either_side(x: Tensor) -> None:
    other = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal((x @ other).numpy(), A @ other)
    np.testing.assert_array_equal((other @ x).numpy(), other @ A)
    np.testing.assert_array_equal(x.matmul(Tensor(other)).numpy(), A @ other)
    assert (other @ x).node is not None


def test_reflected_operators_carry_gradients(x: Tensor) -> None:
    for function in BINARY:
        y = function(np.full(3, 2.0), x)
        assert y.node is not None
    assert grad((2.0 / x).sum(), x).tolist()[0][0] == -2.0
    assert grad((2.0 - x).sum(), x).tolist()[0][0] == -1.0
    assert grad((2.0**x).sum(), x).tolist()[0][0] == pytest.approx(2 * np.log(2))


def test_unary_operators(x: Tensor) -> None:
    np.testing.assert_array_equal((-x).numpy(), -A)
    np.testing.assert_array_equal(abs(-x).numpy(), A)


def test_augmented_assignment_makes_a_new_tensor(x: Tensor) -> None:
    y = x
    y += 1
    assert y is not x
    assert x.tolist()[0][0] == 1.0
    assert y.tolist()[0][0] == 2.0


METHODS: list[tuple[Any, Any]] = [
    (lambda x: x.exp(), np.exp(A)), (lambda x: x.log(), np.log(A)), (lambda x: x.sqrt(), np.sqrt(A)),
    (lambda x: x.abs(), A), (lambda x: x.tanh(), np.tanh(A)), (lambda x: x.sigmoid(), 1 / (1 + np.exp(-A))),
    (lambda x: x.relu(), A), (lambda x: x.clip(2, 4), np.clip(A, 2, 4)), (lambda x: x.astype("int64"), A),
    (lambda x: x.reshape(3, 2), A.reshape(3, 2)), (lambda x: x.reshape((3, -1)), A.reshape(3, 2)),
    (lambda x: x.reshape([6]), A.reshape(6)), (lambda x: x.flatten(), A.ravel()), (lambda x: x.T, A.T),
    (lambda x: x.transpose(), A.T), (lambda x: x.transpose(1, 0), A.T), (lambda x: x.transpose((0, 1)), A),
    (lambda x: x.swapaxes(0, -1), A.T),
    (lambda x: x.expand_dims(0), A[None]), (lambda x: x.expand_dims(-1), A[..., None]),
    (lambda x: x[:1].squeeze(0), A[0]), (lambda x: x[:1].squeeze(), A[0]), (lambda x: x.squeeze(), A),
    (lambda x: x.broadcast_to(2, 2, 3), np.broadcast_to(A, (2, 2, 3))),
    (lambda x: x.pad(((1, 0), (0, 2))), np.pad(A, ((1, 0), (0, 2)))),
    (lambda x: x.pad([[1, 0], [0, 2]], 7), np.pad(A, ((1, 0), (0, 2)), constant_values=7)),
    (lambda x: x.sum(), A.sum()), (lambda x: x.sum(0), A.sum(0)), (lambda x: x.sum([0, 1]), A.sum()),
    (lambda x: x.mean(-1, keepdims=True), A.mean(-1, keepdims=True)),
    (lambda x: x.var(), A.var()), (lambda x: x.var(1), A.var(1)),
    (lambda x: x.max(1), A.max(1)), (lambda x: x.min(), A.min()),
    (lambda x: x.argmax(1), A.argmax(1)), (lambda x: x.argmin(), A.argmin()),
    (lambda x: x.softmax(), np.exp(A) / np.exp(A).sum(-1, keepdims=True)),
    (lambda x: x.softmax(0), np.exp(A) / np.exp(A).sum(0)),
    (lambda x: x.log_softmax(0), A - np.log(np.exp(A).sum(0))), (lambda x: x.logsumexp(1), np.log(np.exp(A).sum(1))),
    (lambda x: x[1], A[1]), (lambda x: x[:, ::-1], A[:, ::-1]),
    (lambda x: x[..., None], A[..., None]), (lambda x: x[x > 2], A[A > 2]),
    (lambda x: x[Tensor([1, 0])], A[[1, 0]]), (lambda x: x[Tensor([1, 0]), Tensor([2, 2])], A[[1, 0], [2, 2]]),
]


@pytest.mark.parametrize(("method", "expected"), METHODS)
def test_methods(method: Any, expected: Any, x: Tensor) -> None:
    y = method(x)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-14)


def test_methods_chain() -> None:
    x = Tensor.randn(4, 3, seed=0, requires_grad=True)
    w = Tensor.randn(3, 2, seed=1, requires_grad=True)
    x.matmul(w).relu().sum().backward()
    assert w.grad is not None
    assert w.grad.shape == w.shape


# ---------------------------------------------------------------------- promotion


def test_promotion_is_numpys() -> None:
    narrow, wide = Tensor(A.astype("float32"), requires_grad=True), Tensor(A)
    assert (narrow * 2.0).dtype == (2 * narrow).dtype == (narrow**2).dtype == (1 / narrow).dtype == np.float32
    assert (narrow + wide).dtype == np.float64
    assert (narrow * np.ones(3)).dtype == np.float64
    assert (narrow * np.ones(3, np.float32)).dtype == np.float32
    assert (narrow + Tensor([1, 2, 3])).dtype == np.float64  # float32 with int64, as NumPy
    assert (Tensor([1, 2]) / 2).dtype == np.float64
    assert (Tensor([1, 2]) + 1).dtype == np.int64
    assert narrow.mean().dtype == narrow.softmax().dtype == narrow.var().dtype == np.float32


# ---------------------------------------------------------------------- what it shows


def test_repr(x: Tensor) -> None:
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.], shape=(2,), dtype=float32, device='cpu')"
    assert repr(x[0]) == "Tensor([1., 2., 3.], shape=(3,), dtype=float64, device='cpu', op=getitem)"
    assert "requires_grad=True" in repr(x)
    assert "shape=(), dtype=int64" in repr(Tensor(3))
    assert len(repr(Tensor.zeros(100, 100))) < 500
    assert "device='standin'" in repr(Tensor([1.0], device="standin"))
    assert repr(x).splitlines()[1].startswith("        [4.")  # rows stand under one another


def test_size_and_length(x: Tensor) -> None:
    assert (x.ndim, x.size, x.shape, len(x)) == (2, 6, (2, 3), 2)
    with pytest.raises(TypeError, match=r"len: a tensor must have an axis. Received: a 0-D tensor"):
        len(x.sum())


def test_iteration(x: Tensor) -> None:
    rows = list(x)
    assert [row.tolist() for row in rows] == A.tolist()
    first, second = x
    assert grad((first * 2 + second).sum(), x).tolist() == [[2.0] * 3, [1.0] * 3]
    with pytest.raises(TypeError, match="iteration: a tensor must have an axis"):
        iter(x.sum())


def test_numbers() -> None:
    assert Tensor([[3.0]]).item() == 3.0
    assert type(Tensor(3).item()) is int
    assert float(Tensor([2.5])) == 2.5
    assert int(Tensor(2.5)) == 2
    assert bool(Tensor([0.0])) is False
    assert [10, 20, 30][Tensor(1)] == 20
    with pytest.raises(ValueError, match=r"item: a tensor must have one element. Received: shape=\(2,\)"):
        Tensor([1.0, 2.0]).item()
    with pytest.raises(ValueError, match="one element"):
        bool(Tensor([True, True]))
    with pytest.raises(TypeError, match=r"index: the dtype must be an integer. Received: dtype=float32"):
        operator.index(Tensor(1.0))


def test_a_tensor_is_hashable_by_identity(x: Tensor) -> None:
    assert {x: 1}[x] == 1
    assert len({x, Tensor(A), Tensor(A)}) == 3


# ---------------------------------------------------------------------- gradients as attributes


def test_requires_grad(x: Tensor) -> None:
    y = Tensor(A)
    y.requires_grad = True
    (y * y).sum().backward()
    assert y.grad is not None
    y.requires_grad = False
    assert y.grad is None
    assert (x * 2).grad is None
    with pytest.raises(RuntimeError, match=r"must be set on a leaf.*Received: a tensor made by multiply"):
        (x * 2).requires_grad = False
    for dtype in ("int64", "bool"):
        with pytest.raises(TypeError, match=f"requires_grad: the dtype must be floating. Received: dtype={dtype}"):
            Tensor([1, 0], dtype=dtype, requires_grad=True)
    with pytest.raises(TypeError, match="the dtype must be floating"):
        Tensor.arange(3, requires_grad=True)


def test_grad_can_be_set(x: Tensor) -> None:
    x.grad = Tensor(A)
    assert x.grad is not None
    x.grad = None
    assert x.grad is None
    with pytest.raises(ValueError, match=r"grad: must be None or a Tensor of shape \(2, 3\)"):
        x.grad = Tensor([1.0])
    with pytest.raises(RuntimeError, match="grad: must be set on a leaf"):
        (x * 2).grad = Tensor(A)


def test_detach(x: Tensor) -> None:
    y = (x * 2).detach()
    assert not y.requires_grad
    assert y.tolist() == (A * 2).tolist()


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("use", "kind", "message"),
    [
        (lambda x: Tensor("abc"), TypeError, "array: numbers must be given. Received: 'abc'"),
        (lambda x: Tensor([x, x]), TypeError, "ops.stack joins Tensors with their history"),
        (lambda x: Tensor([1.0], dtype="x8"), TypeError, "dtype: must name a NumPy dtype. Received: dtype='x8'"),
        (lambda x: x.squeeze(0), ValueError, r"squeeze: the axis must have length 1. Received: axis=0, shape=\(2, 3\)"),
        (lambda x: x.expand_dims(4), ValueError, "expand_dims: axis must be from -3 to 2. Received: axis=4"),
        (lambda x: Tensor.zeros(2.5), TypeError, r"zeros: shape must be integers. Received: shape=\(2.5,\)"),
        (lambda x: x.reshape(4, 4), ValueError, r"^reshape: .*Received: x=float64\(2, 3\)"),
        (lambda x: x.sum(5), ValueError, r"^sum: .*Received: x=float64\(2, 3\)"),
        (lambda x: x.transpose(0), ValueError, "^transpose: "),
        (lambda x: x[5], IndexError, "^getitem: "),
        (lambda x: x + "a", TypeError, "^add: "),
        (lambda x: np.asarray(x), TypeError, r"numpy: a Tensor must be copied to the host explicitly, with .numpy\(\)"),
        (lambda x: x.to("gpu"), ValueError, "device: must be 'cpu', 'cuda' or 'cuda:N'. Received: device='gpu'"),
        (lambda x: x.to(0), TypeError, "device: a name such as 'cpu' or 'cuda:0' must be given. Received: device=0"),
        (lambda x: Tensor.randn(2, seed=-1), ValueError, "seed: must be a non-negative integer"),
        (lambda x: Tensor.randn(2, seed="a"), ValueError, "seed: must be a non-negative integer.*Received: seed='a'"),
    ],
)
def test_bad_input(use: Any, kind: type[Exception], message: str, x: Tensor) -> None:
    with pytest.raises(kind, match=message):
        use(x)
    assert x.tolist() == A.tolist()


# ---------------------------------------------------------------------- devices


def test_to_another_device(x: Tensor) -> None:
    there = x.to("standin")
    assert there.device == "standin"
    assert there.requires_grad
    assert x.to("cpu") is x
    assert there.to("standin") is there
    back = there.to("cpu")
    assert back.tolist() == A.tolist()
    (there * 2).sum().backward()
    assert there.grad is not None
    assert there.grad.device == "standin"
    assert x.grad is None
    with pytest.raises(RuntimeError, match=r"to: a leaf must be moved, before it is computed with.*made by multiply"):
        (x * 2).to("standin")
    assert (x * 2).detach().to("standin").tolist() == (2 * A).tolist()


def test_creation_on_a_device() -> None:
    for made in (
        Tensor.zeros(2, device="standin"), Tensor.arange(2, device="standin"), Tensor.eye(2, device="standin"),
        Tensor.uniform(2, device="standin"), Tensor([1.0], device="standin"), Tensor(A, device="standin"),
    ):
        assert made.device == "standin"


def test_dlpack(x: Tensor) -> None:
    np.testing.assert_array_equal(np.from_dlpack(x.detach()), A)


class Fake(types.ModuleType):
    """A cupy of which one part fails."""

    def __init__(self, devices: Any, version: Any) -> None:
        super().__init__("cupy")
        self.ndarray = type("ndarray", (), {"__module__": "cupy"})
        self.asarray = self.asnumpy = None
        self.cuda = types.SimpleNamespace(
            runtime=types.SimpleNamespace(getDeviceCount=devices), nvrtc=types.SimpleNamespace(getVersion=version)
        )


def fails(message: str) -> Any:
    def function() -> Any:
        raise OSError(message)

    return function


@pytest.mark.parametrize(
    ("cupy", "kind", "message"),
    [
        (None, ImportError, r"device 'cuda': CuPy must be installed.*cuda12.*Received: "),
        (Fake(fails("cudaErrorInsufficientDriver"), None), RuntimeError, "driver and a GPU.*InsufficientDriver"),
        (Fake(lambda: 0, None), RuntimeError, "an NVIDIA driver and a GPU must be present. Received: 0 devices"),
        (Fake(lambda: 1, fails("libnvrtc.so.12 not found")), RuntimeError, "NVRTC must be installed.*libnvrtc"),
    ],
)
@pytest.mark.skipif("cuda" in _by_device, reason="CuPy is at work")
def test_a_missing_gpu_says_what_is_missing(
    cupy: Any, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch, x: Tensor
) -> None:
    def import_module(name: str) -> Any:
        if cupy is None:
            raise ImportError(f"No module named {name!r}")
        return cupy

    monkeypatch.setattr(importlib, "import_module", import_module)
    for use in (lambda: x.to("cuda"), lambda: Tensor.zeros(2, device="cuda"), lambda: Tensor([1.0], device="cuda:0")):
        with pytest.raises(kind, match=message):
            use()
    assert "cuda" not in _by_device
    assert x.device == "cpu"


def test_cupy_is_not_imported_before_it_is_asked_for() -> None:
    if "cuda" not in _by_device:
        assert "cupy" not in sys.modules
    assert ops.exp(np.zeros(1)).tolist() == [1.0]
