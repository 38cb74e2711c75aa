"""The GPU benchmarks, as far as they can run without a GPU: on a clock that a fake device keeps."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.benchmarks import device, gpu, kernels, small_step
from tests.benchmarks.workloads import WORKLOADS


class FakeDevice:
    """Time passes on the device as steps are started; events write it down."""

    def __init__(self) -> None:
        self.now = 0.0  # milliseconds

    @property
    def cupy(self) -> Any:
        outer = self

        class Event:
            time: float

            def record(self) -> None:
                self.time = outer.now

            def synchronize(self) -> None:
                assert self.time == outer.now

        cuda = SimpleNamespace(Event=Event, get_elapsed_time=lambda start, end: end.time - start.time)
        return SimpleNamespace(
            cuda=cuda, random=np.random.default_rng(0), empty_like=np.empty_like,
            copyto=lambda a, b: self.take(2.0), matmul=lambda a, b, out: self.take(4.0),
        )

    def take(self, milliseconds: float) -> None:
        self.now += milliseconds


def test_events_take_the_time_of_many_steps() -> None:
    fake = FakeDevice()
    times = iter([50.0, *[3.0] * 5])
    timed = device.clock(fake.cupy)
    assert timed(lambda: fake.take(next(times)), 1) == pytest.approx(0.05)
    assert timed(lambda: fake.take(next(times)), 5) == pytest.approx(0.003)


def test_the_median_leaves_out_the_warm_up() -> None:
    fake = FakeDevice()
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        fake.take(1000.0 if count == 1 else 2.0)

    assert device.median_seconds(step, fake.cupy, rounds=3, seconds=0.02) == pytest.approx(0.002)
    assert count == 1 + 1 + 10 * (1 + 3)


def test_ceilings_count_bytes_read_and_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "FILL", 1 << 12)
    most = device.ceilings(FakeDevice().cupy, size=32)
    assert most.copy == pytest.approx(2 * 4 * (1 << 12) / 2e-3)
    assert most.product == pytest.approx(32**3 / 4e-3)
    assert str(device.Ceilings(4.3e12, 25e12)) == "copy 4.30 TB/s, float32 products 50.0 TFLOP/s"


def test_shares_are_of_the_ceilings() -> None:
    assert kernels.shares(2.0, moved=30, work=8, most=device.Ceilings(20.0, 5.0)) == (0.75, 0.8)


def test_every_array_is_counted_once() -> None:
    for workload in WORKLOADS:
        w = workload._replace(batch=2)
        for layout in ("NLC", "NCL"):
            filters = w.channels * w.multiplier
            steps = -(-w.length // w.stride)
            expected = 4 * (2 * w.length * w.channels + 2 * steps * filters + w.taps * filters)
            found = kernels.calls(w, layout, SimpleNamespace(random=np.random.default_rng(0)))
            assert [moved for _, moved in found.values()] == [expected] * 3
            assert tuple(found) == kernels.FUNCTIONS


def test_batches_grow_until_they_fill_the_card() -> None:
    assert device.to_fill(1) == device.FILL
    assert device.to_fill(device.FILL - 1) == 2
    assert device.to_fill(4 * device.FILL) == 1


def test_one_command_runs_all_and_says_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], check: bool) -> Any:
        ran.append(command)
        return SimpleNamespace(returncode=int("tests.benchmarks.layers" in command))

    monkeypatch.setattr(gpu, "subprocess", SimpleNamespace(run=run))
    monkeypatch.setattr(gpu, "device_summary", lambda device: f"{device}, a GPU, TF32 off")
    monkeypatch.setattr(sys, "argv", ["gpu", "--peers", "torch", "--json", "figures"])
    assert gpu.main() == 1
    assert ran == list(gpu.commands("torch", "figures").values())
    *_, header, tests, timed, layers, small, step = capsys.readouterr().out.splitlines()
    assert header.endswith("cuda, a GPU, TF32 off")
    assert (tests.split()[:2], timed.split()[:2]) == (["tests", "passed"], ["kernels", "passed"])
    assert step.split()[:3] == ["small", "step", "passed"]
    assert (layers.split()[:2], small.split()[:3]) == (["layers", "failed"], ["small", "layers", "failed"])


@pytest.mark.parametrize(
    ("peers", "layers", "step"),
    [("torch", "torch,torch_compiled", "torch"), ("jax", "jax", ""), ("jax,torch", "jax,torch,torch_compiled", "torch"),
     ("torch_compiled", "torch_compiled", "")],
)  # fmt: skip
def test_torch_brings_its_compiler(peers: str, layers: str, step: str) -> None:
    found = gpu.commands(peers, None)
    assert found["layers"][-1] == found["small layers"][-3] == layers
    assert found["small step"][-1] == step


def test_the_small_step_says_why_it_is_not_captured(capsys: pytest.CaptureFixture[str]) -> None:
    task = small_step.TASK._replace(samples=8, batch=8, length=6, filters=(4, 4))
    steps = small_step.steps_of(task, "cpu", [])
    assert list(steps) == ["minigrad"]
    losses = [steps["minigrad"]().item() for _ in range(20)]
    assert losses[-1] < losses[0]
    assert "minigrad captured: absent. capture: inputs[0] must be a Tensor on a GPU" in capsys.readouterr().out


def test_without_a_gpu_it_says_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(device: str) -> str:
        raise RuntimeError("device 'cuda': an NVIDIA driver and a GPU must be present.")

    monkeypatch.setattr(gpu, "device_summary", refuse)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    assert gpu.main() == 1
    assert capsys.readouterr().out == "no GPU: device 'cuda': an NVIDIA driver and a GPU must be present.\n"
