"""The first run on a GPU, without one: on the fake CuPy, with parts that hang or fail, and with planted differences."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks import first_run, layers, outcomes, peers, small_step, timing
from tests.benchmarks.first_run import Part
from tests.benchmarks.workloads import WORKLOADS, Workload
from tests.emulation import fake

SMALL = WORKLOADS[0]._replace(batch=2, length=12)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def states(out: Path) -> dict[str, str]:
    return {row["part"]: row["state"] for row in timing.kept(str(out / "rows.jsonl")) if "part" in row}


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def eventually(holds: Callable[[], Any], seconds: float = 200.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def test_all_parts_run_on_the_fake(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.benchmarks.first_run", "--fake", "--seconds", "1800"]
    environment = os.environ | {"OUT": str(tmp_path), "OPENBLAS_NUM_THREADS": "1", "MINIGRAD_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=first_run.ROOT, capture_output=True, text=True, timeout=1800, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout
    assert not done.stderr
    assert "No figure below was measured on a card" in done.stdout
    found = states(tmp_path)
    large = [f"large, {name}" for name in first_run.LARGE]
    assert list(found) == ["card", "tests", "small step", "kernels", "small layers", *large, "torch.compile"]
    compiled = found.pop("torch.compile")
    assert set(found.values()) == {"rehearsed, not measured on a card"}
    assert compiled in ("not measured: torch not installed", "rehearsed, not measured on a card")
    rows = timing.kept(str(tmp_path / "rows.jsonl"))
    dropped = {who: why for row in rows for who, why in row.get("dropped", {}).items()}
    assert {who for who in dropped if not who.startswith("torch")} == set()
    assert len([row for row in rows if "seconds" in row and "kernel" in row]) == 6 * len(WORKLOADS)
    steps = [set(row["medians_s"]) for row in rows if "medians_s" in row]
    assert steps[0] >= {"minigrad", "minigrad captured"}
    assert all(names >= {*layers.OURS, "floor"} for names in steps[1:])
    assert len(steps) in (1 + len(WORKLOADS) + len(large), 2 + len(WORKLOADS) + len(large))
    counts = [row["tests"] for row in rows if "tests" in row][-1]
    assert counts.keys() == {"passed"}
    passed = f"  {counts['passed']} passed"
    for words in (passed, "minigrad captured", "QuartzNet C2, k 87, batch 2, NCL", "sepCNN, batch 6"):
        assert words in done.stdout


def test_the_limits_of_all_parts_fit_into_the_run() -> None:
    found = list(first_run.parts(Path("rows")))
    assert sum(part.limit for part in found) <= 520
    assert [part.name for part in found][:3] == ["card", "tests", "small step"]
    assert found[-1].name == "torch.compile"


def test_a_part_that_hangs_is_killed_with_all_it_started_and_its_rows_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(first_run, "GRACE", 100.0)
    rows, child, ready = (tmp_path / name for name in ("rows.jsonl", "child", "ready"))
    stubborn = f"""
import os, signal, time
signal.signal(signal.SIGABRT, signal.SIG_IGN)
open({str(child)!r}, "w").write(str(os.getpid()))
time.sleep(1000)
"""
    hangs = f"""
import subprocess, sys, time
from pathlib import Path
from tests.benchmarks import timing
subprocess.Popen([sys.executable, "-c", {stubborn!r}])
timing.keep({str(rows)!r}, {{"test": "a", "outcome": "failed", "error": "said before it hung"}})
print("the last words", flush=True)
def stuck():
    while True:
        if Path({str(child)!r}).exists() and Path({str(child)!r}).read_text():
            Path({str(ready)!r}).touch()
        time.sleep(0.01)
stuck()
"""
    monkeypatch.setattr(first_run, "run", started_then_killed(first_run.run, ready.exists))
    parts = [Part("hangs", 400, python(hangs)), Part("fails", 400, python("print('why'); raise SystemExit(3)")),
             Part("goes on", 400, python("")), Part("needs", 9, python(""), ("abacus", "json"))]  # fmt: skip
    assert not first_run.run_all(parts, tmp_path, 3600)
    assert eventually(lambda: not alive(int(child.read_text())))
    found = states(tmp_path)
    assert found.pop("hangs").startswith("killed at its limit of")
    assert found == {"fails": "failed, exit status 3", "goes on": "done", "needs": "not measured: abacus not installed"}
    printed = capsys.readouterr().out
    assert "  1 failed\n     1 x said before it hung\n" in printed
    said = printed.index("  | the last words")
    stood = printed.index("in stuck")
    assert said < stood < printed.index("== fails")
    assert "| why" in printed


def started_then_killed(run: Any, ready: Callable[[], Any]) -> Any:
    """`first_run.run`, whose limit for what hangs ends once it has begun to, however slow the machine is."""

    def patient(command: list[str], log: Path, limit: float) -> int | None:
        if "stuck" not in command[-1]:
            return run(command, log, limit)
        wait = subprocess.Popen.wait

        def waits(process: Any, timeout: float | None = None) -> int:
            if timeout == limit:
                assert eventually(ready)
                timeout = 0.1
            return wait(process, timeout)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess.Popen, "wait", waits)
            return run(command, log, limit)

    return patient


def test_a_limit_is_in_seconds(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert first_run.run(["sleep", "1000"], tmp_path / "log", 0.2) is None
    assert time.monotonic() - begun < 500
    assert first_run.run(["sh", "-c", "sleep 0.05; exit 7"], tmp_path / "log", 500) == 7


def test_the_clock_of_the_run_shortens_and_skips_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now, limits = 0.0, []

    def run(command: list[str], log: Path, limit: float) -> int:
        nonlocal now
        limits.append(limit)
        now += float(command[0])
        return 0

    monkeypatch.setattr(first_run, "run", run)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    parts = [Part("a", 60, ["50"]), Part("b", 60, ["45"]), Part("c", 60, ["1"])]
    assert not first_run.run_all(parts, tmp_path, 100)
    assert limits == [60, 50 - first_run.GRACE]
    assert states(tmp_path) == {"a": "done", "b": "done", "c": "not measured: no time left"}
    assert "== b: done (45 s, 95 of 100)" in capsys.readouterr().out


def test_without_a_gpu_nothing_is_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    says = "raise SystemExit('no GPU: an NVIDIA driver must be present')"
    parts = [Part("card", 300, python(says)), Part("tests", 90, python("print('ran')"))]
    assert not first_run.run_all(parts, tmp_path, 3600)
    assert states(tmp_path) == {"card": "failed, exit status 1", "tests": "not measured: there is no GPU"}
    assert "| no GPU: an NVIDIA driver must be present" in capsys.readouterr().out
    assert not (tmp_path / "tests.log").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_who_ends_the_run_ends_its_part(tmp_path: Path) -> None:
    code = f"""
import signal, sys
from pathlib import Path
from tests.benchmarks import first_run
inner = "import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
first_run.parts = lambda *given: [first_run.Part("hangs", 400, [sys.executable, "-c", inner])]
sys.argv[1:] = ["--out", {str(tmp_path)!r}]
sys.exit(first_run.main())
"""
    process = subprocess.Popen(python(code), cwd=first_run.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    process.send_signal(signal.SIGTERM)
    assert process.wait(200) == 143
    assert eventually(lambda: not alive(pid))


TESTS = """
import pytest

@pytest.mark.parametrize("n", range(6))
def test_numbers(n):
    assert n == 5, f"got {n}.5e-07 at 0x{n}f, float32"

def test_words():
    raise ValueError("no such thing")

@pytest.mark.skip
def test_skipped(): ...

@pytest.fixture
def broken():
    raise ValueError("no such thing")

def test_setup(broken): ...
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_failures_are_rows_and_counted_by_kind(workers: int, tmp_path: Path) -> None:
    if workers:
        pytest.importorskip("xdist")
    (tmp_path / "test_some.py").write_text(TESTS)
    rows = tmp_path / "rows.jsonl"
    command = [sys.executable, "-m", "pytest", "-p", "tests.benchmarks.outcomes", "--rows", str(rows), "--tb", "short"]
    command += ["-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)]
    command += ["-p", "xdist", "-n", str(workers)] * bool(workers)
    done = subprocess.run(
        command, cwd=first_run.ROOT, capture_output=True, text=True, timeout=900, check=False,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    found = timing.kept(str(rows))
    assert [row["tests"] for row in found if "tests" in row][-1] == {
        "passed": 1, "failed": 6, "error": 1, "skipped": 1
    }  # fmt: skip
    first, second = outcomes.kinds(found)
    assert (first[0], dict(first[2])) == (5, {"test_some.py::test_numbers": 5})
    assert first[1].startswith("AssertionError: got # at #, float32")
    assert second == (2, "ValueError: no such thing", {"test_some.py::test_words": 1, "test_some.py::test_setup": 1})
    text = list(first_run.of_tests(found))
    assert text[0] == "1 error, 6 failed, 1 passed, 1 skipped"
    assert text[2] == "       in test_some.py::test_numbers 5"
    assert [row["test"] for row in found if "traceback" in row] == [
        "test_some.py::test_numbers[0]", "test_some.py::test_words"
    ]  # fmt: skip
    assert "assert n == 5" in next(row["traceback"] for row in found if "traceback" in row)


def test_lists_of_numbers_are_one_kind() -> None:
    said = [f"differs: {list(range(count))} -1.5e+30 sm_90" for count in (3, 5)]
    rows = [{"test": f"tests/test_x.py::test_y[{i}]", "error": error} for i, error in enumerate(said)]
    assert outcomes.kinds(rows) == [(2, "differs: [#, ..] # sm_90", {"test_x.py::test_y": 2})]


def test_rows_are_there_as_soon_as_they_are_kept(tmp_path: Path) -> None:
    path = str(tmp_path / "rows.jsonl")
    timing.keep(None, {"a": 0})
    for i in range(2):
        timing.keep(path, {"a": i})
        assert [row["a"] for row in timing.kept(path)] == list(range(i + 1))
    row = timing.kept(path)[0]
    assert row["command"] == sys.argv
    assert row["versions"]["numpy"] == np.__version__
    with open(path, "a") as file:
        file.write(json.dumps({"a": 2})[:-3])  # killed while it wrote
    assert [row["a"] for row in timing.kept(path)] == [0, 1]


def test_a_contestant_that_fails_is_dropped_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    dropped: dict[str, str] = {}
    with timing.dropping("slow", dropped, patience=0.05):
        time.sleep(60)
    with timing.dropping("broken", dropped):
        raise ValueError("\n first\nsecond")
    with timing.dropping("wrong", dropped):
        timing.same("wrong", "y", [np.ones(2)], [np.full(2, 3.0)])
    with timing.dropping("right", dropped, patience=60):
        timing.same("right", "y", [np.ones(2)], [np.ones(2)])
    assert dropped == {
        "slow": "TimeoutError: took longer than 0.05 s", "broken": "ValueError: first",
        "wrong": "y differs from minigrad's by 6.7e-01",
    }  # fmt: skip
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [f"{who}: {why}; not timed" for who, why in dropped.items()]
    assert "Traceback" in printed.err
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    with pytest.raises(KeyboardInterrupt), timing.dropping("stopped", dropped):
        raise KeyboardInterrupt


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    fake.with_kernels(monkeypatch)
    yield from fake.installed(monkeypatch)


def off_by(factor: float, part: int) -> Any:
    """A peer that is minigrad, but for one of its results in one of its layouts."""

    def peer(workload: Workload, arrays: dict[str, Any], device: str) -> peers.Candidates:
        candidates = peers.minigrad(workload, arrays, device)
        step, home = candidates["channels_first"]

        def wrong(results: Any) -> list[np.ndarray]:
            found = home(results)
            found[part] = found[part] * factor
            return found

        return candidates | {"channels_first": (step, wrong)}

    return peer


@pytest.mark.parametrize("part", range(5))
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_a_layer_that_differs_is_dropped_and_the_others_are_timed(
    where: str, times: int, part: int, cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(peers.PEERS, "torch", off_by(1.01, part))
    dropped: dict[str, str] = {}
    steps = layers.contestants(SMALL, SMALL.arrays(), ["torch"], where, times, dropped=dropped)
    assert list(steps) == [*layers.OURS, "torch channels_last"]
    (why,) = dropped.items()
    assert why[0] == "torch channels_first on spoken digits"
    assert why[1].startswith(f"{layers.RESULTS[part]} differs from minigrad's by ")
    assert steps["torch channels_last"]()[0].shape == (2 * times, 12, 96)


def test_a_peer_that_fails_is_dropped_and_a_layout_can_be_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any) -> Any:
        raise RuntimeError("cuDNN error")

    monkeypatch.setitem(peers.PEERS, "jax", fails)
    dropped: dict[str, str] = {}
    steps = layers.contestants(SMALL, SMALL.arrays(), ["jax"], skip="channels_first", dropped=dropped)
    assert list(steps) == ["minigrad channels_last"]
    assert dropped == {"jax on spoken digits": "RuntimeError: cuDNN error"}
    times = {name: [1.0, 2.0] for name in steps} | {"floor": [1.0, 1.0]}
    assert timing.ratios(times, layers.OURS[1], ["jax", "floor"]) == {}


@pytest.mark.parametrize("wrong", ["minigrad", "minigrad captured"])
def test_a_small_step_that_differs_is_dropped_and_the_other_is_timed(
    wrong: str, cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small_step.minigrad

    def planted(task: Any, weights: Any, where: str, captured: bool = False) -> Any:
        step = made(task, weights, where, captured)
        differs = where == "cuda" and captured == ("captured" in wrong)
        return (lambda: step() + 0.5) if differs else step

    monkeypatch.setattr(small_step, "minigrad", planted)
    task = small_step.TASK._replace(samples=8, batch=8, length=6, filters=(4, 4))
    dropped: dict[str, str] = {}
    steps = small_step.steps_of(task, "cuda", [], dropped)
    assert list(steps) == [name for name in ("minigrad", "minigrad captured") if name != wrong]
    assert dropped.keys() == {wrong}
    assert dropped[wrong].startswith("loss differs from minigrad's by ")


def test_the_table_tells_what_rows_have() -> None:
    medians = {layers.OURS[0]: 1e-3, "torch NCL": 2e-3, "torch NLC, conv2d": 3e-3, "floor": 5e-4}
    layer = {
        "workload": "sepCNN, batch 8", "medians_s": medians, "ratios": {"torch": 0.5, "floor": 2.0},
        "ratios_channels_first": {},
        "dropped": {"minigrad channels_first on sepCNN": "y differs"},
    }  # fmt: skip
    kernel = {"layer": "sepCNN, k 3", "kernel": "forward", "seconds": 2e-3, "copy": 0.9, "product": 0.1}
    text = "\n".join(first_run.table([layer, kernel]))
    assert "1.000          -      0.500      2.000       0.50          -  torch NCL" in text
    assert "2.000   90%   10%" in text
    assert "dropped: minigrad channels_first on sepCNN: y differs" in text
