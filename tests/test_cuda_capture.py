"""Captured steps: the checks and the copies, on a fake CuPy; on a GPU, the same numbers as without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, cuda, grad, ops, optimizers
from minigrad.optimizers import schedules
from minigrad.variable import Variable
from tests.emulation.fake import FakeArray, FakeStream, installed
from tests.test_captured_steps import NAMES, batch, training


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    yield from installed(monkeypatch)


def on_gpu(values: Any, device: int = 0, requires_grad: bool = False) -> Tensor:
    tensor = Tensor._output(FakeArray(np.array(values, np.float32), device), None)
    tensor.requires_grad = requires_grad
    return tensor


@pytest.fixture
def weight(cupy: Any) -> Variable:
    variable = Variable([2.0, 3.0], name="w")
    variable.replace(FakeArray(np.array([2.0, 3.0], np.float32)))
    return variable


def host(tensor: Tensor) -> list[float]:
    return tensor.data.host.tolist()


def test_replays_compute_with_new_inputs(weight: Variable) -> None:
    FakeStream.log.clear()
    x = on_gpu([1.0, 10.0])
    replay = cuda.capture(lambda x: (x * weight, 5), x, warmup=3)
    assert FakeStream.log == [
        "synchronize", "using FakePool.malloc", "synchronize", "begin_capture", "end_capture"
    ]
    y, five = replay(on_gpu([4.0, 5.0]))
    assert (host(y), five) == ([8.0, 15.0], 5)
    assert replay(x)[0] is y
    assert host(y) == [2.0, 30.0]
    assert host(x) == [1.0, 10.0]


def test_assigned_variables_come_back_to_where_the_graph_reads(weight: Variable) -> None:
    x = on_gpu([1.0, 1.0])
    replay = cuda.capture(lambda x: x * weight, x)
    home = id(weight.data)
    weight.assign(on_gpu([7.0, 8.0]))
    assert id(weight.data) != home
    assert host(replay(x)) == [7.0, 8.0]
    assert id(weight.data) == home
    assert host(weight) == [7.0, 8.0]


def test_gradients_are_replayed(weight: Variable) -> None:
    def step(x: Tensor, g: Tensor) -> Tensor:
        return grad(x * weight, weight, g)

    replay = cuda.capture(step, on_gpu([1.0, 1.0]), on_gpu([1.0, 1.0]))
    assert host(replay(on_gpu([2.0, 3.0]), on_gpu([10.0, 10.0]))) == [20.0, 30.0]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda x, w: (x * w).backward(x), "must find no gradients, and clear.*a step with a gradient of 'w'"),
        (lambda x, w: (x * w).numpy(), r"must not copy between the host and the GPU.*a copy of float32\(2,\)"),
        (lambda x, w: w * Tensor([1.0, 2.0], device="cuda"), r"must not copy.*a copy of float32\(2,\)"),
        (lambda x, w: w * Tensor([1.0, 2.0], device="cuda:0"), r"must not copy.*a copy of float32\(2,\)"),
        (lambda x, w: Tensor._output(w.data[[0, 1]], None), "must not copy from the host.*a copy of 16 bytes"),
        (lambda x, w: x.item() if x.size == 1 else float(x.sum()), "no synchronization.*cudaErrorStreamCapture"),
        (lambda x, w: refuse(), "no matrix product that CuPy leaves to cuBLAS.*Received: calling cuBLAS"),
    ],
    ids=["backward", "to the host", "from the host", "to one GPU", "a list", "a number", "CuPy refuses"],
)
def test_steps_that_no_replay_can_repeat_are_refused(step: Any, message: str, weight: Variable) -> None:
    x = on_gpu([1.0, 1.0])
    with pytest.raises(RuntimeError, match=f"^capture: .*{message}"):
        cuda.capture(lambda x: step(x, weight), x)
    assert FakeStream.recording is None
    assert host(x * weight)  # what comes next computes, and may copy
    assert x.numpy().tolist() == [1.0, 1.0]


def refuse() -> None:
    if FakeStream.recording is not None:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


def test_a_recording_that_does_not_end_well_is_refused(weight: Variable, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA may find only then what it could not record."""

    def end_capture(stream: FakeStream) -> None:
        FakeStream.recording = None
        raise RuntimeError("cudaErrorStreamCaptureInvalidated")

    before, x = weight.data, on_gpu([1.0, 1.0])
    with monkeypatch.context() as patch:
        patch.setattr(FakeStream, "end_capture", end_capture)
        with pytest.raises(RuntimeError, match=r"^capture: all that the step starts must be kernels.*Invalidated"):
            cuda.capture(lambda x: x * weight, x)
    assert weight.data is before
    assert host(cuda.capture(lambda x: x * weight, x)(x)) == [2.0, 3.0]


def test_keyboard_interrupts_pass(weight: Variable) -> None:
    def step(x: Tensor) -> Tensor:
        if FakeStream.recording is not None:
            raise KeyboardInterrupt
        return x * weight

    with pytest.raises(KeyboardInterrupt):
        cuda.capture(step, on_gpu([1.0, 1.0]))
    assert FakeStream.recording is None


@pytest.mark.parametrize(
    ("inputs", "kind", "message"),
    [
        ([], TypeError, r"capture: the inputs must be Tensors on one GPU\. Received: no inputs"),
        ([Tensor([1.0])], TypeError, r"capture: inputs\[0\] must be a Tensor on a GPU.*Received: a Tensor on 'cpu'"),
        ([np.ones(1)], TypeError, r"capture: inputs\[0\] must be a Tensor on a GPU.*Received: ndarray"),
    ],
)
def test_inputs_must_be_on_a_gpu(inputs: list[Any], kind: type[Exception], message: str, cupy: Any) -> None:
    with pytest.raises(kind, match=message):
        cuda.capture(lambda *given: given[0], *inputs)


def test_inputs_must_be_on_one_gpu(weight: Variable) -> None:
    with pytest.raises(TypeError, match=r"capture: the inputs must be Tensors on one GPU\. Received: cuda:0, cuda:1"):
        cuda.capture(lambda x, y: x * y, on_gpu([1.0]), on_gpu([1.0], device=1))


@pytest.mark.parametrize("warmup", [0, True, 1.0])
def test_warmup_must_be_positive(warmup: Any, weight: Variable) -> None:
    with pytest.raises(ValueError, match=r"capture: warmup must be a positive integer\. Received: warmup="):
        cuda.capture(lambda x: x * weight, on_gpu([1.0, 1.0]), warmup=warmup)


def test_replays_take_what_was_recorded(weight: Variable) -> None:
    replay = cuda.capture(lambda x: x * weight, on_gpu([1.0, 1.0]))
    with pytest.raises(ValueError, match=r"captured step: as many inputs.*Received: 2 inputs, recorded 1"):
        replay(on_gpu([1.0, 1.0]), on_gpu([1.0, 1.0]))
    message = r"inputs\[0\] must have the shape.*Received: float32\(3,\) on 'cuda:0', recorded float32\(2,\)"
    with pytest.raises(ValueError, match=message):
        replay(on_gpu([1.0, 1.0, 1.0]))
    with pytest.raises(TypeError, match=r"captured step: inputs\[0\] must be a Tensor on a GPU"):
        replay(Tensor([1.0, 1.0]))


@pytest.mark.gpu
def test_a_captured_convolution_equals_the_eager_one() -> None:
    rng = np.random.default_rng(0)
    x, g = (Tensor(rng.standard_normal((4, 50, 8)).astype("f4"), device="cuda") for _ in range(2))
    w = Variable(rng.standard_normal((3, 8, 1)).astype("f4"), device="cuda", name="w")

    def step(x: Tensor, g: Tensor) -> list[Tensor]:
        y = ops.depthwise_conv1d(x, w, padding=(1, 1))
        return [y, grad((y * g).sum(), w)]

    replay = cuda.capture(step, x, g)
    for seed in range(3):
        x = Tensor(np.random.default_rng(seed).standard_normal((4, 50, 8)).astype("f4"), device="cuda")
        for a, b in zip(replay(x, g), step(x, g), strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_captured_training_equals_eager_training(name: str) -> None:
    wanted = training(name)
    expected = [wanted.step(*batch(seed)).item() for seed in range(5)]
    made = training(name)
    replay = cuda.capture(made.step, *batch(9))
    np.testing.assert_allclose([replay(*batch(seed)).item() for seed in range(5)], expected, rtol=1e-3)
    for a, b in zip(made.network.weights, wanted.network.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-2, atol=1e-3)
    assert made.optimizer.iterations == 5
    held = made.network.weights[0].value
    with pytest.raises(RuntimeError, match="nobody else may hold values"):
        replay(*batch(5))
    del held
    replay(*batch(5))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["SGD", "Adam", "Lion", "Nadam", "Lamb"])
def test_captured_updates_equal_eager_ones_to_the_bit(name: str) -> None:
    random = np.random.default_rng(0)
    results = []
    given = [Tensor(random.standard_normal(4).astype("f4"), device="cuda") for _ in range(5)]
    for captured in (False, True):
        ws = [Variable(np.full(4, 1 + i, "f4"), device="cuda", name=f"w{i}") for i in range(12)]
        optimizer = optimizers.deserialize({"class_name": name, "config": {
            "learning_rate": schedules.CosineDecay(0.1, 10), "weight_decay": 0.01, "use_ema": True,
        }})  # fmt: skip

        def step(x: Tensor, ws: Any = ws, optimizer: Any = optimizer) -> Tensor:
            y = x * Tensor.uniform(4, seed=0, device=x.device)
            optimizer.apply([y * w for w in ws], ws)
            return y

        made = cuda.capture(step, given[0]) if captured else step
        results.append([made(x).tolist() for x in given] + [v.tolist() for v in (*ws, *optimizer.variables)])
    assert results[0] == results[1]


@pytest.mark.gpu
def test_what_a_graph_cannot_repeat_is_refused() -> None:
    x = Tensor(np.ones((4, 4), "f4"), device="cuda")
    with pytest.raises(RuntimeError, match="no matrix product that CuPy leaves to cuBLAS"):
        cuda.capture(lambda x: Tensor._output(x.data @ x.data, None), x)
    with pytest.raises(RuntimeError, match=r"^capture: the step must not copy from the host to the GPU"):
        cuda.capture(lambda x: Tensor._output(x.data[[0, 1]], None), x)
    with pytest.raises(RuntimeError, match=r"^capture: all that the step starts must be kernels"):
        cuda.capture(lambda x: Tensor._output(x.data * float(x.data[0, 0]), None), x)
    assert (x @ x).numpy()[0, 0] == 4.0
    assert cuda.capture(lambda x: x * 2.0, x)(x).numpy()[0, 0] == 2.0
