"""The benchmarks run, refuse what they do not know, and figure rightly. How long anything takes is tested nowhere."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from examples import japanese_vowels
from minigrad import Tensor, plot
from minigrad.layers import SeparableConv1D
from tests.benchmarks import against, memory, scale, timing, training, ways, where
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
        ("layers", ["--only", "EEGNet", "--seconds", "0.001"], ["EEGNet SSVEP", "minigrad channels_first / floor"]),
        ("where", ["--only", "EEGNet", "--seconds", "1e-3"], ["EEGNet SSVEP", "depthwise, forward", "everything else"]),
        ("overhead", ["--seconds", "0.001"], ["chain of 20", "minigrad / numpy"]),
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
    for row in timing.kept(str(tmp_path / "figures.json")):
        assert row["command"][1:] == [*QUICK, *arguments, *peers, "--json", str(tmp_path / "figures.json")]
        assert row["versions"]["numpy"] == np.__version__
        medians = row["medians_bytes" if name == "memory" else "medians_s"]
        assert len(medians) >= 1
        assert min(medians.values()) > 0
        if name == "memory":
            assert row["faults"].keys() == medians.keys()
            assert row["faults"]["minigrad import"] == 0 <= min(row["faults"].values())


@pytest.mark.parametrize("name", ["layers", "where", "overhead", "training", "memory"])
def test_unknown_peers_are_refused(name: str) -> None:
    done = run(name, "--peers", "torch,abacus")
    assert done.returncode == 1
    assert "--peers must be among [" in done.stderr
    assert "Received: ['abacus']" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("only", ["overhead", "EEGNet", "Vowels", "check_layer: Dense"])
def test_a_checkout_is_measured_against_itself(only: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    quick = [*QUICK, "--seconds", "1e-3", "--starts", "1", "--json", str(file)]
    done = run("against", str(ROOT), "--only", only, *quick)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["workload"] for row in rows] == [case.name for case in against.CASES if only in case.name]
    assert all(row["workload"] in done.stdout for row in rows)
    assert re.search(r"geometric means\n  .+ \d+\.\d{3}, of CPU time \d+\.\d{3}\n", done.stdout)
    for row in rows:
        assert min(*row["medians_s"].values(), *row["ratios"].values()) > 0


def test_the_other_checkout_is_the_one_that_is_measured(tmp_path: Path) -> None:
    """One whose tanh is another function is found out, and so is one that fails, or is none at all."""
    done = run("against", str(tmp_path), "--only", "overhead", *QUICK)
    assert f"checkout must hold minigrad/, as git worktree makes it. Received: {tmp_path}" in done.stderr
    package = shutil.copytree(ROOT / "minigrad", tmp_path / "minigrad", ignore=shutil.ignore_patterns("__pycache__"))
    with (package / "__init__.py").open("a") as file:
        file.write("\ncompute = ops.tanh.compute\nops.tanh.compute = lambda x: -compute(x)\n")
    done = run("against", str(tmp_path), "--only", "overhead", *QUICK)
    assert done.returncode == 1
    assert re.search(rf"{tmp_path}: overhead: chain of 20: y differs ", done.stderr)
    (package / "__init__.py").write_text("import abacus")
    done = run("against", str(tmp_path), "--only", "overhead", *QUICK)
    assert done.returncode == 1
    assert f"{tmp_path}: ModuleNotFoundError: No module named 'abacus'" in done.stderr


def test_absent_peers_are_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "torch" or None)
    assert timing.installed("jax,torch", ["torch", "jax", "keras"]) == ["torch"]
    assert capsys.readouterr().out == "jax: absent, jax not installed in this environment\n"
    assert timing.installed("", ["torch"]) == []


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_keras_is_absent_without_its_backend(
    backend: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "" if backend == "tensorflow" else backend)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "keras" or None)
    assert timing.installed("keras", ["keras"]) == []
    assert capsys.readouterr().out == f"keras: absent, {backend} not installed in this environment\n"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in ("keras", backend) or None)
    assert timing.installed("keras", ["keras"]) == ["keras"]


def test_unknown_workloads_are_refused() -> None:
    assert [workload.name for workload in timing.chosen(WORKLOADS, "QuartzNet C")] == ["QuartzNet C1", "QuartzNet C2"]
    with pytest.raises(SystemExit, match=r"--only must be part of .*: spoken digits, .*Received: 'Abacus'"):
        timing.chosen(WORKLOADS, "Abacus")


def test_what_differs_is_not_timed() -> None:
    ours = [np.ones(3), np.full(2, 100.0)]
    timing.same("peer", "ab", ours, [np.ones(3) + 5e-5, np.full(2, 100.005)])
    with pytest.raises(SystemExit, match=r"peer: b differs from minigrad's by 2\.0e-04; not timed"):
        timing.same("peer", "ab", ours, [np.ones(3), np.full(2, 100.02)])
    with pytest.raises(SystemExit, match="peer: a differs from minigrad's by nan"):
        timing.same("peer", "ab", ours, [np.full(3, np.nan), ours[1]])
    with pytest.raises(SystemExit, match="peer: a has another shape"):
        timing.same("peer", "ab", ours, [np.ones(1), ours[1]])


def test_contestants_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps to begin with; then in each round those of the warm-up and those that count, one contestant a turn."""
    calls: list[str] = []
    now = 0.0

    def step(name: str, seconds: float) -> None:
        nonlocal now
        calls.append(name)
        now += seconds

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(timing, "WARM_UP", 5.0)
    times = timing.taken_in_turns({"a": lambda: step("a", 2.0), "b": lambda: step("b", 8.0)}, rounds=2, seconds=16.0)
    assert "".join(calls) == "aa" "bb" + 2 * ("aaa" "aaaaaaaa" "b" "bb")
    assert times == {"a": [2.0, 2.0], "b": [8.0, 8.0]}


def test_ratios_are_medians_over_rounds_to_the_best_candidate(capsys: pytest.CaptureFixture[str]) -> None:
    times = {"minigrad": [1.0, 2.0, 9.0], "torch NCL": [2.0, 8.0, 10.0], "torch NLC": [9.0] * 3, "numpy": [4.0] * 3}
    row = timing.report("case", times, "minigrad", ["torch", "numpy", "jax"])
    assert row["ratios"] == {"torch": 0.5, "numpy": 0.5}
    assert row["medians_s"]["minigrad"] == 2.0
    assert row["least_s"]["torch NCL"] == 2.0
    printed = capsys.readouterr().out
    assert "minigrad / torch NCL                    0.50" in printed
    timing.summary([row, {"workload": "worse", "ratios": {"torch": 2.0}}], ["torch", "jax"], "minigrad")
    assert capsys.readouterr().out == "\nminigrad / torch: geometric mean 1.00, worst 2.00 (worse)\n"


def stepped() -> Any:
    """A step of a layer, with the gradient of its input."""
    layer, x = SeparableConv1D(3, 5, padding="same"), Tensor.ones(2, 8, 4, requires_grad=True)
    return lambda: layer(x).sum().backward()


def test_every_op_of_a_step_is_timed_as_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that each look at moves on by a second, an op takes one, and so do two that no part is named for."""
    looks = iter(range(1000))
    monkeypatch.setattr(where, "time", SimpleNamespace(perf_counter=lambda: float(next(looks))))
    watched = where.Watched(stepped())
    monkeypatch.setattr(timing, "seconds_of", lambda step, count: [step() for _ in range(count)] and 20.0)
    assert where.clock(watched, 2) == 20.0
    (parts,) = watched.rounds
    assert list(parts) == list(where.PARTS)
    assert [parts[part] for part in where.OPS] == [1, 1, 1, 1, 1, 1, 2]  # the sum of the output counts as one of bias
    assert sum(parts.values()) == 20.0
    assert where.clock(lambda: None, 3) == 20.0


def test_the_picture_of_where_reads_on_any_page(tmp_path: Path) -> None:
    medians = {"minigrad channels_last": 2.0, "minigrad channels_first": 3.0, "floor": 0.5}
    parts = {name: dict.fromkeys(where.PARTS, took / 8) for name, took in medians.items() if name != "floor"}
    with_peer = {"workload": "one", "medians_s": medians | {"torch NCL": 4.0, "torch NLC": 1.0}, "parts_s": parts}
    alone = {"workload": "two", "medians_s": medians, "parts_s": parts}
    (axes,) = where.drawn([with_peer, alone]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "one\ntorch NLC: 1000.00 ms", "two\nminigrad channels_last: 2000.00 ms",
    ]
    lengths = [max(bar.get_x() + bar.get_width() for bar in axes.patches[8 * i : 8 * i + 8]) for i in range(4)]
    assert lengths == pytest.approx([2.0, 3.0, 1.0, 1.5])
    assert {text.get_color() for text in axes.texts} == {plot.INK}
    kept, picture = tmp_path / "kept.json", tmp_path / "picture.png"
    timing.keep(str(kept), with_peer | {"medians_s": {"floor": 9.0}})  # of an earlier run
    timing.keep(str(kept), with_peer)
    done = run("where", "--read", str(kept), "--plot", str(picture))
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_all_ways_are_measured_beside_what_the_rule_expects(tmp_path: Path) -> None:
    done = run("ways", "--rounds", "1", "--seconds", "1e-4", "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    rows = timing.kept(str(tmp_path / "figures.json"))
    assert [row["part"] for row in rows if "part" in row] == list(ways.parts())
    measured = [(row["layout"], row["batch"], row["length"], row["taps"]) for row in rows if "taps" in row]
    assert measured == [(*shape, taps) for shape in ways.SHAPES for taps in ways.TAPS]
    assert min(took for row in rows for took in row["medians_s"].values()) > 0
    taken = re.findall(r" takes (windows|products|bands)", done.stdout)
    assert len(taken) == len(measured)
    count = len(ways.TAPS)
    orders = [taken[i : i + count] for i in range(0, len(taken), count)]
    for order in orders:  # windows for short kernels, bands for the longest
        assert order == sorted(order, reverse=True)
    assert [set(order) for order in orders] == [
        {"windows", "products", "bands"}, {"windows", "bands"}, {"windows", "bands"}, {"bands"},
    ]


def test_slope() -> None:
    assert scale.slope({4: 2.0, 8: 8.0, 16: 32.0}) == pytest.approx(2.0)
    assert list(scale.varied(WORKLOADS[0], "batch")) == [64, 128, 256, 512, 1024]
    assert scale.varied(WORKLOADS[0], "length")[64] == WORKLOADS[0]._replace(length=64)


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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak of a child begins at its parent's size")
def test_a_peak_is_that_of_its_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    large = np.ones(40_000_000)
    most, faults, norms = memory.measured("minigrad", "", "")
    assert 10_000_000 < most < large.nbytes
    assert (faults, norms) == (0, [])


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
