"""What the benchmarks share: cores given, contestants taken in turns, ratios printed, figures kept.

A contestant is a function of nothing that makes one step. All run in one process, interleaved round by round. A ratio
is minigrad / peer of the same round, its median over the rounds is printed; below 1 minigrad is faster.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import importlib.util
import json
import math
import os
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

Step = Callable[[], Any]
Times = dict[str, list[float]]
LIBRARIES = ("numpy", "torch", "jax", "keras", "tensorflow", "autograd", "cupy")
WARM_UP = 0.1  # seconds
OPTIONS = {
    "peers": "the names of other libraries, separated by commas",
    "threads": "how many cores all may use, where the CPU computes",
    "rounds": "how often each contestant has its turn",
    "seconds": "about how long a turn takes",
    "only": "workloads whose name contains this",
}


def parser(text: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """The options that a benchmark shares with others, each with its default, and --json."""
    options = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        options.add_argument(f"--{name}", type=type(default), default=default, help=OPTIONS[name])
    options.add_argument("--json", help="append every row to this file as soon as it is measured, a line of JSON each")
    return options


def limit_threads(count: int) -> None:
    """Give the process so many cores: the libraries that are loaded, and those that are yet to count them."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))[:count]
        os.sched_setaffinity(0, set(cores))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MINIGRAD_NUM_THREADS"):
        os.environ[name] = str(count)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    threadpool_limits(count)


def installed(names: str, known: Iterable[str]) -> list[str]:
    """Those of ``names``, separated by commas, that can be imported; the others are reported, unknown ones refused.

    Keras needs the backend of KERAS_BACKEND too, tensorflow unless set; "torch_compiled" needs torch.
    """
    asked = [name for name in names.split(",") if name]
    if unknown := sorted(set(asked) - set(known)):
        raise SystemExit(f"--peers must be among {sorted(known)}. Received: {unknown}")
    present = []
    for name in asked:
        backend = [os.environ.get("KERAS_BACKEND") or "tensorflow"] if name == "keras" else []
        needed = [name.partition("_")[0], *backend]
        missing = [each for each in needed if not importlib.util.find_spec(each)]
        if missing:
            print(f"{name}: absent, {' and '.join(missing)} not installed in this environment")
        else:
            present.append(name)
    return present


def chosen(workloads: Iterable[Any], only: str) -> list[Any]:
    """The workloads whose name contains ``only``; there must be one."""
    found = [workload for workload in workloads if only in workload.name]
    if not found:
        names = ", ".join(workload.name for workload in workloads)
        raise SystemExit(f"--only must be part of the name of a workload: {names}. Received: {only!r}")
    return found


class Different(SystemExit):
    """A contestant computes something else."""


def same(who: str, names: Iterable[str], ours: Iterable[Any], theirs: Iterable[Any], tolerance: float = 1e-4) -> None:
    """Refuse to time anything that computes something else.

    Raises:
        Different: and ends the benchmark, unless it is within `dropping`.
    """
    for name, a, b in zip(names, ours, theirs, strict=True):
        if np.shape(a) != np.shape(b):
            raise Different(f"{who}: {name} has another shape than minigrad's; not timed")
        error = float(np.abs(a - b).max() / max(np.abs(b).max(), 1.0))
        if not error < tolerance:
            raise Different(f"{who}: {name} differs from minigrad's by {error:.1e}; not timed")


@contextmanager
def dropping(who: str, dropped: dict[str, str], patience: float = math.inf) -> Iterator[None]:
    """Go on without a contestant that differs, fails or takes longer: one line is printed, and put into ``dropped``.

    Where it stood when it failed is printed to the standard error.
    """
    try:
        with limited(patience):
            yield
    except (Exception, Different) as error:
        if not isinstance(error, Different):
            traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        reason = lines[0] if isinstance(error, Different) else f"{who}: {type(error).__name__}: {lines[0]}; not timed"
        print(reason)
        dropped[who] = reason.removeprefix(f"{who}: ").removesuffix("; not timed")


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise a TimeoutError after so many seconds, or as soon as a call into C comes back; where there are no signals,
    never.
    """
    if seconds == math.inf or not hasattr(signal, "setitimer"):
        yield
        return

    def end(*_: Any) -> None:
        raise TimeoutError(f"took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def seconds_of(step: Step, count: int) -> float:
    """Seconds that a step takes, by ``count`` of them."""
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count


def taken_in_turns(
    steps: dict[str, Step], rounds: int, seconds: float, clock: Callable[[Step, int], float] = seconds_of,
    wait: Step = lambda: None,
) -> Times:  # fmt: skip
    """Seconds per step of every contestant in every round, in which it runs for about ``seconds``.

    A turn begins with steps that do not count: the threads of the libraries go on spinning for tens of milliseconds
    after their last product, which would be charged to whoever comes next; and a core that was idle is slow at first.
    ``wait`` waits for a device after each of them: started at once, they would fill its queue for seconds.
    """
    counts = {}
    for name, step in steps.items():
        step()
        counts[name] = max(1, round(seconds / max(clock(step, 1), 1e-6)))
    times: Times = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begun = time.perf_counter()
            while time.perf_counter() - begun < min(WARM_UP, 10 * seconds):  # tests hardly wait
                step()
                wait()
            times[name].append(clock(step, counts[name]))
    return times


def report(title: str, times: Times, ours: str, peers: Iterable[str]) -> dict[str, Any]:
    """Print one workload: medians in milliseconds, and the ratio to the best of what each peer can do.

    The candidates of a peer begin with its name: "torch NCL", "torch NLC, conv2d".
    """
    medians = {name: statistics.median(each) for name, each in times.items()}
    print(f"\n{title}")
    for name, each in times.items():
        print(f"  {name:28s} {medians[name] * 1e3:9.3f} ms   (least {min(each) * 1e3:.3f})")
    least = {name: min(each) for name, each in times.items()}
    return {"workload": title, "medians_s": medians, "least_s": least, "ratios": ratios(times, ours, peers)}


def ratios(times: Times, ours: str, peers: Iterable[str]) -> dict[str, float]:
    """Print and return the ratios of ``ours`` to the best of each peer, as far as they were not dropped."""
    found: dict[str, float] = {}
    for peer in peers:
        candidates = [name for name in times if name.split(" ")[0] == peer]
        if candidates and ours in times:
            best = min(candidates, key=lambda name: statistics.median(times[name]))
            found[peer] = statistics.median(a / b for a, b in zip(times[ours], times[best], strict=True))
            print(f"  {ours} / {best:28s} {found[peer]:.2f}")
    return found


def summary(rows: list[dict[str, Any]], peers: Iterable[str], ours: str, key: str = "ratios") -> None:
    """Print the geometric mean and the worst of the ratios of ``ours`` to each peer, which rows have as ``key``."""
    for peer in peers:
        found = {row["workload"]: row[key][peer] for row in rows if peer in row[key]}
        if found:
            mean = math.exp(statistics.fmean(map(math.log, found.values())))
            worst = max(found, key=found.__getitem__)
            print(f"\n{ours} / {peer}: geometric mean {mean:.2f}, worst {found[worst]:.2f} ({worst})")


@functools.cache
def versions() -> dict[str, str]:
    """The libraries that are installed."""
    return {d.name: d.version for d in importlib.metadata.distributions() if d.name.startswith(LIBRARIES)}


def keep(path: str | None, row: dict[str, Any]) -> None:
    """Append a row to ``path``, if there is one, with the command and the versions that made it.

    It is a line of JSON and written at once, so that whatever ends the benchmark, what was measured before is kept.
    """
    if path:
        with open(path, "a") as file:
            file.write(json.dumps({**row, "command": sys.argv, "versions": versions()}) + "\n")


def kept(path: str) -> list[dict[str, Any]]:
    """The rows in ``path``; a last one that was cut off is left out."""
    with open(path) as file:
        return [json.loads(line) for line in file if line.endswith("\n")]
