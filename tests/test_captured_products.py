"""Who multiplies: captured steps come to our own kernel in each of their products, all others to BLAS."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, backend, grad, ops
from minigrad import cuda as capturing
from minigrad.kernels import cuda, cuda_product, product, sums
from tests.emulation import emulator
from tests.emulation.fake import FakeStream, installed, with_kernels
from tests.emulation.products import kernels
from tests.test_cuda_product import needs_gxx


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for _ in installed(monkeypatch):
        yield backend.module_for("cuda")


@pytest.fixture
def own(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What our own kernel is asked for; NumPy computes it."""
    asked: list[str] = []
    with_kernels(monkeypatch)
    for name in ("matmul", "matmul_sum"):
        stand_in = getattr(cuda_product, name)
        noted = lambda *given, name=name, stand_in=stand_in: asked.append(name) or stand_in(*given)
        monkeypatch.setattr(cuda_product, name, noted)
    return asked


def on_gpu(*shape: int) -> Tensor:
    values = np.random.default_rng(sum(shape)).standard_normal(shape).astype("f4")
    return Tensor(values, device="cuda", requires_grad=True)


PRODUCTS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "matrices": (ops.matmul, [(4, 3), (3, 5)]),
    "a batch and a matrix": (ops.matmul, [(2, 4, 3), (3, 5)]),
    "a batch": (ops.matmul, [(2, 4, 3), (2, 3, 5)]),
    "a row": (ops.matmul, [(3,), (2, 3, 5)]),
    "a column": (ops.matmul, [(2, 4, 3), (3,)]),
    "linear": (lambda x, w: ops.linear(x, w, None), [(2, 4, 3), (3, 5)]),
    "linear, channels first": (lambda x, w: ops.linear(x, w, None, axis=1), [(2, 3, 4), (3, 5)]),
}


def step_of(name: str) -> tuple[Callable[..., list[Tensor]], list[Tensor]]:
    """A product with its gradients of both orders, and its inputs."""
    function, shapes = PRODUCTS[name]

    def step(*inputs: Tensor) -> list[Tensor]:
        y = function(*inputs)
        first = grad((y * y).sum(), list(inputs), create_graph=True)
        return [y, *first, *grad(sum((g * g).sum() for g in first), list(inputs))]

    return step, [on_gpu(*shape) for shape in shapes]


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_captured_step_takes_our_own_products(name: str, own: list[str]) -> None:
    """Forward and all gradients, recorded with no call of cuBLAS; outside of a capture everything is cuBLAS's."""
    step, inputs = step_of(name)
    eager = step(*inputs)
    assert own == []
    replay = capturing.capture(step, *inputs, warmup=1)
    assert len(own) >= 2
    assert own[: len(own) // 2] == own[len(own) // 2 :]  # the warm-up and the recording
    own.clear()
    for a, b in zip(replay(*inputs), eager, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5)
    step(*inputs)
    assert own == []


def test_a_product_past_the_one_place_is_refused(own: list[str]) -> None:
    x = on_gpu(3, 3)
    with pytest.raises(RuntimeError, match="calling cuBLAS API during stream capture"):
        capturing.capture(lambda x: Tensor(x.data @ x.data), x)


@pytest.mark.parametrize("dtype", ["int32", "complex64"])
def test_other_dtypes_are_refused_before_the_recording(dtype: str, cupy: Any) -> None:
    x = Tensor(np.ones((3, 3), dtype), device="cuda")
    message = rf"^matmul: while a step is captured the dtype must be one of .*Received: a={dtype}\(3, 3\), b="
    with pytest.raises(TypeError, match=message):
        capturing.capture(lambda x: x @ x, x)
    assert (x @ x).tolist() == [[3] * 3] * 3


@needs_gxx
@pytest.mark.parametrize("name", ["linear", "linear, channels first", "a batch"])
def test_replays_run_the_kernel_itself(
    name: str, cupy: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The source, emulated, started by the recorded graph with what CuPy's arrays tell of themselves."""
    folder = Path(request.config.cache.mkdir("cuda"))
    program = emulator.Emulator(kernels("float32"), folder, source=cuda_product.SOURCE)

    def kernel(source: str, name: str, options: tuple[str, ...]) -> Callable[..., None]:
        def launch(grid: Any, block: Any, arguments: Any, *, shared_mem: int) -> None:
            hosts = tuple(getattr(argument, "host", argument) for argument in arguments)
            FakeStream.start(lambda: program.launch(name, grid, block, hosts, shared_mem=shared_mem))

        return launch

    monkeypatch.setattr(cuda, "raw_kernel", kernel)
    monkeypatch.setattr(cuda, "_kernel", cuda._kernel.__wrapped__)
    step, inputs = step_of(name)
    try:
        replay = capturing.capture(step, *inputs, warmup=1)
        program.launched.clear()
        for factor in (1.0, 2.0):
            given = [Tensor(factor * x.numpy(), device="cuda", requires_grad=True) for x in inputs]
            for a, b in zip(replay(*given), step(*given), strict=True):
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4)
        assert len(program.launched) >= 10
    finally:
        program.close()


def test_arrays_of_the_host_stay_with_numpy_in_a_capture(own: list[str]) -> None:
    token = backend.capturing.set("a recording")
    try:
        assert product.matmul(np.ones((2, 2)), np.ones((2, 2))).tolist() == [[2.0, 2.0]] * 2
        assert own == []
    finally:
        backend.capturing.reset(token)


MULTIPLIERS = {"matmul", "dot", "vdot", "inner", "outer", "tensordot", "einsum"}
ELSEWHERE = {  # products that no captured step makes on a GPU, or that are Tensors'
    "kernels/product.py": "the one place", "kernels/cuda_product.py": "our own",
    "kernels/bands.py": "the CPU", "kernels/toeplitz.py": "the CPU", "kernels/windows.py": "the CPU",
    "kernels/sums.py": "the CPU", "tensor.py": "operators of Tensors", "regularizers.py": "of Tensors",
    "gradcheck": "numbers of the host",
}  # fmt: skip


def test_no_product_goes_past_the_one_place() -> None:
    root = Path(minigrad.__file__).parent
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name in ELSEWHERE or name.split("/")[0] in ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)), f"{name}:{node.lineno} has @"
            if isinstance(node, ast.Attribute) and node.attr in MULTIPLIERS:
                whose = ast.unparse(node.value)
                assert whose in ("product", "ops", "self"), f"{name}:{node.lineno} has {whose}.{node.attr}"


def test_standardization_on_a_gpu_needs_no_product(monkeypatch: pytest.MonkeyPatch) -> None:
    x, g = np.random.default_rng(0).standard_normal((2, 4, 5, 3))
    given: dict[str, Any] = {"axes": (0, -1), "epsilon": 0.1}
    y, dx = ops.standardize(x, **given), ops.standardize_grad(g, x, **given)
    monkeypatch.setattr(sums, "HostArray", type(None))  # as CuPy's arrays, NumPy's are then none
    monkeypatch.setattr(sums, "array_module", None)
    np.testing.assert_allclose(ops.standardize(x, **given), y, rtol=1e-12)
    np.testing.assert_allclose(ops.standardize_grad(g, x, **given), dx, rtol=1e-12)
