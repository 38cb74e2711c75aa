"""What only a GPU can show of the kernels; run with -m gpu."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad import Sequential, Tensor, backend, grad, layers, losses, ops
from minigrad.cuda import capture
from minigrad.kernels import cuda, cuda_product
from minigrad.kernels.geometry import Geometry
from tests.benchmarks.workloads import WORKLOADS, Workload
from tests.emulation import products
from tests.emulation.cases import LAYOUTS, Case, check, random_cases, results

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_kernels_equal_those_of_numpy(dtype: str, layout: str) -> None:
    for case in random_cases(5, {dtype: 60}):
        check(case, layout, "cuda")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_long_indices_and_unrolled_taps(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INT", "_SMALL"):
        with monkeypatch.context() as patch:
            patch.setattr(cuda, name, 0)
            for case in random_cases(6, {"float32": 8}):
                check(case, layout, "cuda")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_workloads(workload: Workload, layout: str) -> None:
    """The kernels that the benchmark times, many blocks of them, twice with the same bits."""
    w = workload
    case = Case(Geometry(w.length, w.taps, w.stride, w.dilation, w.pads), 2, w.channels, w.multiplier, "float32", 0)
    check(case, layout, "cuda")
    for a, b in zip(*(results(case, layout, cuda, device="cuda") for _ in range(2)), strict=True):
        assert a.tobytes() == b.tobytes()


def test_arrays_with_gaps_and_odd_addresses() -> None:
    x, w = np.random.default_rng(0).standard_normal((5, 40, 8)).astype("f4"), np.ones((3, 8, 1), "f4")
    there = backend.move(x, "cuda")
    for part in (np.s_[1:, 1:], np.s_[:, ::2], np.s_[..., ::-1]):
        y = ops.depthwise_conv1d(there[part], backend.move(w, "cuda"))
        np.testing.assert_allclose(backend.to_host(y), ops.depthwise_conv1d(x[part], w), rtol=1e-5, atol=1e-5)


def test_a_host_array_is_refused() -> None:
    x, w = Tensor(np.ones((1, 8, 2), "f4"), device="cuda"), Tensor(np.ones((3, 2, 1), "f4"))
    with pytest.raises(TypeError, match=r"depthwise_conv1d: .* must be on one device.*x on 'cuda:0', w on 'cpu'"):
        ops.depthwise_conv1d(x, w)
    layer = layers.SeparableConv1D(4, 3).to("cuda")
    layer(x)
    with pytest.raises(TypeError, match="must be on one device"):
        layer(Tensor(np.ones((1, 8, 2), "f4")))


def test_other_dtypes_are_refused() -> None:
    x, w = (Tensor(np.ones(shape, "i4"), device="cuda") for shape in ((1, 8, 2), (3, 2, 1)))
    with pytest.raises(TypeError, match=r"depthwise_conv1d: on a GPU the dtype must be one of .*x=int32\(1, 8, 2\)"):
        ops.depthwise_conv1d(x, w)


def test_two_gpus_are_not_mixed() -> None:
    cupy: Any = backend.module_for("cuda")
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one GPU only")
    x, w = Tensor(np.ones((1, 8, 2), "f4"), device="cuda:0"), Tensor(np.ones((3, 2, 1), "f4"), device="cuda:1")
    with pytest.raises(TypeError, match="x on 'cuda:0', w on 'cuda:1'"):
        ops.depthwise_conv1d(x, w)
    assert ops.depthwise_conv1d(x.to("cuda:1"), w).device == "cuda:1"


def test_after_running_out_of_memory_the_next_step_works() -> None:
    """The step that failed takes its tape with it, and a smaller one finds the memory free."""
    cupy: Any = backend.module_for("cuda")
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    before = pool.used_bytes()
    w = Tensor(np.ones((3, 64, 1), "f4"), device="cuda", requires_grad=True)

    def step(batch: int) -> Tensor:
        y = Tensor(cupy.ones((batch, 1 << 16, 64), "float32"))
        for _ in range(8):
            y = ops.depthwise_conv1d(y, w, padding=(1, 1))
        return y.sum()

    with cupy.cuda.Device():
        pool.set_limit(size=before + (1 << 28))  # 16 arrays of one sample
    try:
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
            step(8).backward()
        step(1).backward()
        assert w.grad is not None
    finally:
        pool.set_limit(size=0)


def test_products_are_of_float32_unless_tf32_is_allowed() -> None:
    a = np.random.default_rng(0).uniform(0.5, 1.0, (512, 512)).astype("f4")
    exact = a.astype("f8") @ a.astype("f8")

    def error() -> float:
        there = Tensor(a, device="cuda")
        return float(np.abs((there @ there).numpy() / exact - 1).max())

    assert error() < 5e-6
    assert "TF32 off" in backend.device_summary("cuda")
    backend.set_tf32(True)
    try:
        assert error() > 1e-6 or "sm_7" in str(backend.module_for("cuda").cuda.Device().compute_capability)
        assert "TF32 on" in backend.device_summary("cuda")
    finally:
        backend.set_tf32(False)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_products_on_a_gpu_equal_those_of_numpy(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for case in products.random_cases(7, {dtype: 200}):
        products.choose_as(case, monkeypatch)
        products.check(case, "cuda")


@pytest.mark.parametrize(
    ("a", "b"),
    [((1000, 700), (700, 900)), ((64, 256, 300), (300, 256)), ((8, 64, 200), (8, 200, 64)), ((300, 9999), (9999, 200))],
)  # fmt: skip
def test_products_on_a_gpu_equal_those_of_cublas(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, y = (backend.move(rng.standard_normal(shape).astype("f4"), "cuda") for shape in (a, b))
    found = [backend.to_host(cuda_product.matmul(x, y)) for _ in range(2)]
    assert found[0].tobytes() == found[1].tobytes()
    error = np.abs(found[0] - backend.to_host(x @ y)).max()
    assert error < 1e-5 * a[-1] ** 0.5


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_captured_network_equals_the_eager_one(data_format: str) -> None:
    rng = np.random.default_rng(0)
    shape = (16, 40, 12) if data_format == "channels_last" else (16, 12, 40)
    network = Sequential([
        layers.SeparableConv1D(24, 3, padding="same", activation="relu", data_format=data_format),
        layers.BatchNormalization(axis=-1 if data_format == "channels_last" else 1),
        layers.GlobalAveragePooling1D(data_format=data_format), layers.Dense(5),
    ])  # fmt: skip
    network.build((None, *shape[1:]))
    network.to("cuda")
    loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)

    def step(x: Tensor, labels: Tensor) -> list[Tensor]:
        loss = loss_of(labels, network(x, training=False))
        return [loss, *grad(loss, network.trainable_weights)]

    def batch() -> list[Tensor]:
        x, labels = rng.standard_normal(shape).astype("f4"), rng.integers(0, 5, 16)
        return [Tensor(x, device="cuda"), Tensor(labels, device="cuda")]

    replay = capture(step, *batch())
    for given in (batch() for _ in range(3)):
        for found, expected in zip(replay(*given), step(*given), strict=True):
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-4, atol=1e-6)
