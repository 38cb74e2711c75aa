"""The GPU benchmarks, as far as they can run without a GPU: on a clock that a fake device keeps."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigrad.backend import device_of, to_host
from tests.benchmarks import device, kernels, small_step, timing
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
    most = device.ceilings(FakeDevice().cupy)
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
    assert [device.to_fill(nbytes, 100) for nbytes in (1, 50, 99, 100, 400)] == [100, 2, 2, 1, 1]
    assert device.to_fill(1, 0) == 1


@pytest.mark.parametrize("where", ["cpu", "standin"])
def test_repeated_batches_are_copies_on_the_device(where: str) -> None:
    arrays = WORKLOADS[0]._replace(batch=2, length=5).arrays()
    placed = device.repeated(arrays, 3, where)
    assert placed.keys() == arrays.keys()
    for name in ("x", "g"):
        assert device_of(placed[name]) == where
        assert (to_host(placed[name]).reshape(3, *arrays[name].shape) == arrays[name]).all()


def test_a_device_is_waited_for_between_the_steps_that_warm_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all that the host can start within the time of the warm-up would wait in the queue of the device."""
    log: list[str] = []
    monkeypatch.setattr(timing, "WARM_UP", 1e-3)
    clock = lambda step, count: 1.0
    timing.taken_in_turns({"a": lambda: log.append("step")}, 1, 0.1, clock, lambda: log.append("wait"))
    first, *warm_up = log
    assert first == "step"
    assert warm_up == ["step", "wait"] * (len(warm_up) // 2)
    assert warm_up


def test_the_small_step_learns_on_the_cpu_and_is_captured_on_a_gpu_alone() -> None:
    task = small_step.TASK._replace(samples=8, batch=8, length=6, filters=(4, 4))
    steps = small_step.steps_of(task, "cpu", [])
    assert list(steps) == ["minigrad"]
    losses = [steps["minigrad"]().item() for _ in range(20)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["device", "kernels", "small_step", "layers"])
def test_without_a_gpu_it_says_why(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(where: str) -> str:
        raise RuntimeError(f"device {where!r}: an NVIDIA driver and a GPU must be present.")

    monkeypatch.setattr(device, "module_for", refuse)
    options = ["--device", "cuda", "--peers", ""] if name in ("small_step", "layers") else []
    monkeypatch.setattr(sys, "argv", [name, *options])
    with pytest.raises(SystemExit, match="no GPU: device 'cuda': an NVIDIA driver and a GPU must be present"):
        importlib.import_module(f"tests.benchmarks.{name}").main()
