"""The benchmarks run, refuse what they do not know, and figure rightly. How long anything takes is tested nowhere."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from examples import japanese_vowels
from minigrad import Tensor
from minigrad.layers import SeparableConv1D
from tests.benchmarks import memory, scale, timing, training
from tests.benchmarks.workloads import WORKLOADS, Workload

ROOT = Path(__file__).parent.parent
QUICK = ["--rounds", "1", "--threads", "1"]


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A benchmark as its users start it, in a process of its own: it takes cores away from the whole process."""
    command = [sys.executable, "-W", "error", "-m", f"tests.benchmarks.{name}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("name", "arguments", "table"),
    [
        ("layers", ["--only", "EEGNet", "--seconds", "0.001"], ["EEGNet SSVEP", "minigrad channels_last", "floor"]),
        ("overhead", ["--seconds", "0.001"], ["chain of 20", "minigrad", "numpy", "ratio to numpy"]),
        ("training", ["--samples", "8", "--seconds", "0.001"], ["spoken digits, one epoch", "Japanese Vowels"]),
        ("memory", ["--only", "EEGNet"], ["EEGNet SSVEP: peaks", "minigrad import", "minigrad NCL", "the tape holds"]),
        ("scale", ["--only", "EEGNet", "--seconds", "1e-3"], ["time over N: slope", "time over L: slope"]),
    ],
)
def test_benchmarks_run_and_print_their_table(
    name: str, arguments: list[str], table: list[str], tmp_path: Path
) -> None:
    peers = [] if name == "scale" else ["--peers", ""]
    done = run(name, *QUICK, *arguments, *peers, "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    for words in table:
        assert words in done.stdout
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["command"][1:] == [*QUICK, *arguments, *peers, "--json", str(tmp_path / "figures.json")]
    assert figures["versions"]["numpy"] == np.__version__
    for row in figures["rows"]:
        medians = row["medians_bytes" if name == "memory" else "medians_s"]
        assert len(medians) >= 1
        assert min(medians.values()) > 0


@pytest.mark.parametrize("name", ["layers", "overhead", "training", "memory"])
def test_unknown_peers_are_refused(name: str) -> None:
    done = run(name, "--peers", "torch,abacus")
    assert done.returncode == 1
    assert "--peers must be among [" in done.stderr
    assert "Received: ['abacus']" in done.stderr
    assert not done.stdout


def test_absent_peers_are_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "torch" or None)
    assert timing.installed("jax,torch", ["torch", "jax", "keras"]) == ["torch"]
    assert capsys.readouterr().out == "jax: absent, not installed in this environment\n"
    assert timing.installed("", ["torch"]) == []


def test_unknown_workloads_are_refused() -> None:
    assert [workload.name for workload in timing.chosen(WORKLOADS, "QuartzNet C")] == ["QuartzNet C1", "QuartzNet C2"]
    with pytest.raises(SystemExit, match=r"--only must be part of .*: spoken digits, .*Received: 'Abacus'"):
        timing.chosen(WORKLOADS, "Abacus")


def test_what_differs_is_not_timed() -> None:
    ours = [np.ones(3), np.full(2, 100.0)]
    timing.same("peer", "ab", ours, [np.ones(3) + 5e-5, np.full(2, 100.005)])
    with pytest.raises(SystemExit, match=r"peer: b differs from minigrad's by 2\.0e-04; nothing was timed"):
        timing.same("peer", "ab", ours, [np.ones(3), np.full(2, 100.02)])
    with pytest.raises(SystemExit, match="peer: a differs from minigrad's by nan"):
        timing.same("peer", "ab", ours, [np.full(3, np.nan), ours[1]])
    with pytest.raises(SystemExit, match="peer: a has another shape"):
        timing.same("peer", "ab", ours, [np.ones(1), ours[1]])


def test_contestants_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps to begin with; then in each round one that does not count and those that do, one contestant a turn."""
    calls: list[str] = []
    now = 0.0

    def step(name: str, seconds: float) -> None:
        nonlocal now
        calls.append(name)
        now += seconds

    def pause(seconds: float) -> None:
        calls.append("-")

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now, sleep=pause))
    times = timing.taken_in_turns({"a": lambda: step("a", 2.0), "b": lambda: step("b", 4.0)}, rounds=2, seconds=6.0)
    assert "".join(calls) == "aa" "bb" + 2 * ("-" "a" "aaa" "-" "b" "bb")
    assert times == {"a": [2.0, 2.0], "b": [4.0, 4.0]}


def test_ratios_are_medians_over_rounds_to_the_best_candidate(capsys: pytest.CaptureFixture[str]) -> None:
    times = {"minigrad": [1.0, 2.0, 9.0], "torch NCL": [2.0, 8.0, 10.0], "torch NLC": [9.0] * 3, "numpy": [4.0] * 3}
    row = timing.report("case", times, "minigrad", ["torch", "numpy", "jax"])
    assert row["ratios"] == {"torch": 0.5, "numpy": 0.5}
    assert row["medians_s"]["minigrad"] == 2.0
    assert row["least_s"]["torch NCL"] == 2.0
    printed = capsys.readouterr().out
    assert "ratio to torch NCL                    0.50" in printed
    timing.summary([row, {"workload": "worse", "ratios": {"torch": 2.0}}], ["torch", "jax"])
    assert capsys.readouterr().out == "\nminigrad / torch: geometric mean 1.00, worst 2.00 (worse)\n"


def test_slope() -> None:
    assert scale.slope({4: 2.0, 8: 8.0, 16: 32.0}) == pytest.approx(2.0)
    assert list(scale.varied(WORKLOADS[0], "batch")) == [16, 32, 64, 128, 256]
    assert scale.varied(WORKLOADS[0], "length")[8] == WORKLOADS[0]._replace(length=8)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_the_tape_of_a_call_holds_input_depthwise_output_and_kernels(workload: Workload, data_format: str) -> None:
    w = workload._replace(batch=2, length=24 + workload.dilation)
    layer = SeparableConv1D(
        w.filters, w.taps, strides=w.stride, padding=w.padding, dilation_rate=w.dilation,
        depth_multiplier=w.multiplier, data_format=data_format,
    )
    shape = (w.batch, w.length, w.channels)
    x = Tensor.randn(*(shape if data_format == "channels_last" else (shape[0], shape[2], shape[1])), requires_grad=True)
    y = layer(x)
    arrays = [array for _, _, array in memory.held(y)]
    middle, steps = w.channels * w.multiplier, -(-w.length // w.stride)
    sizes = [w.batch * w.length * w.channels, w.batch * steps * middle, w.taps * middle, middle * w.filters]
    assert sorted(array.size for array in arrays) == sorted(sizes)
    assert any(array is x.data for array in arrays)


def test_held_finds_every_array_once() -> None:
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = (x * x.reshape(4).reshape(2, 2)).tanh()  # x twice, once as a view
    assert [(op, argument) for op, argument, _ in memory.held(y)] == [("tanh", "y"), ("multiply", "b")]


def test_the_network_of_the_benchmark_is_that_of_the_example() -> None:
    def plain(network: object) -> list[dict[str, object]]:
        """Configs without names and initial values."""
        return [strip(layer["config"]) for layer in network.get_config()["layers"]]  # type: ignore[attr-defined]

    def strip(config: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in config.items() if name != "name" and not name.endswith("initializer")}

    task = training.TASKS[1]
    assert plain(training.build(task)) == plain(japanese_vowels.build())
    x, _, _, _ = japanese_vowels.load()
    assert x.shape == (task.samples, task.length, task.channels)
    assert (task.batch, task.classes) == (japanese_vowels.BATCH, japanese_vowels.SPEAKERS)


def test_the_network_of_spoken_digits() -> None:
    assert training.build(training.TASKS[0]).count_params() == 24_370


def test_an_epoch_shows_every_sample_once() -> None:
    for task in training.TASKS:
        batches: Iterable[np.ndarray] = list(task.batches(np.random.default_rng(0)))
        assert sorted(np.concatenate(list(batches))) == list(range(task.samples))
        assert max(map(len, batches)) <= task.batch
