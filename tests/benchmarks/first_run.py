"""The first ten minutes on a machine with a GPU: what works there, how fast it is, and what is still to do.

    python -m tests.benchmarks.first_run [--out FOLDER] [--seconds 520] [--fake]

It needs CuPy, NumPy, pytest and threadpoolctl, and no network; PyTorch is compared with where it is installed. Cheap
parts come first. Each has a time limit and is killed with all it has started when that is over; no failure of one ends
the others. What a part found is printed when it ends. In the folder, rows.jsonl has every row from the moment it was
measured, and each part has a log. ``--fake`` goes through all parts on a fake CuPy, without a card.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks import timing
from tests.benchmarks.device import Ceilings
from tests.benchmarks.layers import OURS
from tests.benchmarks.outcomes import kinds

ROOT = Path(__file__).parents[2]
LARGE = ("sepCNN", "MatchboxNet B1", "Conv-TasNet", "QuartzNet B4")
GRACE = 2.0  # seconds for a part that is told to end to write where it stood
LEAST = 5.0  # seconds for which no part is begun
WIDE = 180  # characters of a line
LAST = 5  # lines of the log of a part that ended badly
MOST = 15  # kinds of failures that are printed
Rows = list[dict[str, Any]]


class Part(NamedTuple):
    """A process with a time limit, and the libraries without which it has nothing to do."""

    name: str
    limit: float
    command: list[str]
    needs: tuple[str, ...] = ()


def parts(rows: Path, fake: bool = False) -> Iterator[Part]:
    """From cheap to dear; on the fake everything is small and quick."""
    python = [sys.executable, "-m"]

    def benchmark(name: str, *options: str) -> list[str]:
        by = ["tests.emulation.rehearsal"] if fake else []
        return [*python, *by, f"tests.benchmarks.{name}", *options, "--json", str(rows)]

    def layers(*options: str, fill: str = "0", peers: str = "torch", patience: str = "10") -> list[str]:
        fill = "0.02" if fake and fill != "0" else fill
        given = ("--device", "cuda", "--peers", peers, "--fill", fill, "--patience", patience)
        return benchmark("layers", *given, *(quick or ("--rounds", "3", "--seconds", ".05")), *options)

    tests = ["-m", "gpu", "-p", "tests.benchmarks.outcomes", "--rows", str(rows), "-W", "default", "--tb", "native"]
    tests += ["-p", "no:cacheprovider", "-rN"]
    if importlib.util.find_spec("xdist") and not fake:
        tests += ["-n", "8", "--dist", "worksteal"]
    if importlib.util.find_spec("pytest_timeout"):
        tests += ["--timeout", "90", "--timeout-method", "thread"]  # the one that ends a call into C
    if fake:
        tests += ["-p", "tests.emulation.rehearsal", "tests/test_cuda_capture.py", "-k", "SGD"]
    quick = ("--rounds", "1", "--seconds", "1e-3") if fake else ()

    threads = [f"{library}_NUM_THREADS=2" for library in ("OPENBLAS", "OMP", "MINIGRAD")]  # of each that runs tests
    yield Part("card", 30, benchmark("device"))
    yield Part("tests", 120, ["env", *threads, *python, "pytest", *tests])
    yield Part("small step", 45, benchmark("small_step", "--device", "cuda", *(quick or ("--rounds", "5"))))
    yield Part("kernels", 70, benchmark("kernels", *quick))
    yield Part("small layers", 55, layers())
    slow = ("--skip", "NLC, conv2d")  # cuDNN tries kernels of seconds there; the small layers show how slow it is
    for name in LARGE:
        yield Part(f"large, {name}", 30, layers("--only", name, *slow, fill="256"))
    compiled = layers("--only", "MatchboxNet B1", *slow, peers="torch,torch_compiled", patience="40")
    yield Part("torch.compile", 80, compiled, ("torch",))


def run(command: list[str], log: Path, limit: float) -> int | None:
    """The exit status of a process, or None where it was killed at its limit; nothing it has started remains."""
    speaks = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}  # told to abort, Python says where it stood
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT,
            env=os.environ | speaks, start_new_session=True,
        )  # fmt: skip
    try:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(limit)
        os.killpg(process.pid, signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_all(all_parts: Iterable[Part], out: Path, seconds: float, fake: bool = False) -> bool:
    """Run the parts one after the other, within so many seconds; whether none failed, was killed or came too late.

    A part whose limit goes beyond the end gets what remains. Where there is no GPU, no part has anything to do.
    """
    begun, rows = time.monotonic(), out / "rows.jsonl"
    fine, no_gpu = True, False
    for part in all_parts:
        elapsed = time.monotonic() - begun
        limit = min(part.limit, seconds - elapsed - GRACE)
        before, log, last = len(read(rows)), out / f"{re.sub(r'[ ,]+', '_', part.name)}.log", []
        if no_gpu:
            state = "not measured: there is no GPU"
        elif missing := [name for name in part.needs if not importlib.util.find_spec(name)]:
            state = f"not measured: {' and '.join(missing)} not installed"
        elif limit < LEAST:
            state, fine = "not measured: no time left", False
        elif (code := run(part.command, log, limit)) == 0:
            state = "rehearsed, not measured on a card" if fake else "done"
        else:
            state = f"killed at its limit of {limit:.0f} s" if code is None else f"failed, exit status {code}"
            fine, last = False, ending(log)
            no_gpu = any(line.startswith("no GPU: ") for line in last)
        took = time.monotonic() - begun - elapsed
        timing.keep(str(rows), {"part": part.name, "state": state, "seconds": took, "limit": limit})
        print(f"\n== {part.name}: {state} ({took:.0f} s, {elapsed + took:.0f} of {seconds:.0f})")
        for line in [*table(read(rows)[before:]), *(f"| {line}" for line in last)]:
            print(f"  {line}"[:WIDE])
        sys.stdout.flush()
    print(f"\n== the end, after {time.monotonic() - begun:.0f} s; rows and logs are in {out}", flush=True)
    return fine


def ending(log: Path) -> list[str]:
    """The last lines of a log; of one that ends in where Python stood, those before, and where that was."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    fatal = next((i for i, line in enumerate(lines) if line.startswith("Fatal Python error: ")), len(lines))
    stood = next((i for i in range(fatal, len(lines)) if lines[i].startswith("Current thread ")), len(lines))
    return lines[max(fatal - LAST, 0) : fatal + 1] + lines[stood + 1 : stood + 1 + LAST]


def read(rows: Path) -> Rows:
    """The rows so far."""
    return timing.kept(str(rows)) if rows.exists() else []


def table(rows: Rows) -> Iterator[str]:
    """Rows of any part for people, and what was dropped."""
    for row in rows:
        if "capability" in row:
            yield f"{row['device']}; capability {row['capability']}, {row['multiprocessors']} multiprocessors, " + (
                f"{row['bytes'] / 2**30:.0f} GiB; CUDA of the driver {row['driver']}, of the runtime {row['runtime']}"
            )
            yield ", ".join(f"{name} {version}" for name, version in sorted(row["versions"].items()))
            yield f"ceilings: {Ceilings(row['copy'], row['product'])}"
    yield from of_tests(rows)
    for row in rows:
        if row.get("ratios_captured") is not None:
            yield from of_step(row)
    yield from of_kernels([row for row in rows if "seconds" in row and "kernel" in row])
    yield from of_layers([row for row in rows if "ratios_channels_first" in row])
    dropped: dict[str, list[str]] = {}
    for row in rows:
        for who, why in row.get("dropped", {}).items():
            dropped.setdefault(why, []).append(who)
    for why, whose in dropped.items():
        yield f"dropped: {', '.join(whose)}: {why}"


def of_tests(rows: Rows) -> Iterator[str]:
    """How many passed, and the failures by kind, the most frequent first."""
    counts = Counter(next((row["tests"] for row in reversed(rows) if "tests" in row), {}))
    counts |= Counter(row["outcome"] for row in rows if "test" in row)  # those since the latest counts
    if counts:
        yield ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    found = kinds(rows)
    for count, said, tests in found[:MOST]:
        yield f"{count:4d} x {said}"
        yield "       in " + ", ".join(f"{name} {each}" for name, each in tests.most_common())
    if len(found) > MOST:
        yield f"{sum(count for count, _, _ in found[MOST:]):4d} x {len(found) - MOST} other kinds"


def of_step(row: dict[str, Any]) -> Iterator[str]:
    """All contestants of the small step, and the ratios."""
    yield row["workload"] + ": " + ", ".join(f"{who} {1e3 * took:.3f} ms" for who, took in row["medians_s"].items())
    for title, key in (("minigrad", "ratios"), ("minigrad captured", "ratios_captured")):
        for peer, ratio in row[key].items():
            yield f"{title} / {peer}: {ratio:.2f}"


def of_kernels(rows: Rows) -> Iterator[str]:
    """A line for each layer and layout: milliseconds, share of the copy bandwidth, share of the rate of products."""
    names = list(dict.fromkeys(row["kernel"] for row in rows))
    if rows:
        yield f"{'':44s}" + "".join(f"{name + ', ms':>20s} {'copy':>5s} {'prod':>5s}" for name in names)
    for layer in dict.fromkeys(row["layer"] for row in rows):
        found = {row["kernel"]: row for row in rows if row["layer"] == layer}
        figures = "".join(
            f"{1e3 * row['seconds']:20.3f} {row['copy']:5.0%} {row['product']:5.0%}" if row else f"{'-':>20s}{'':12s}"
            for row in map(found.get, names)
        )
        yield f"{layer:44s}{figures}"


def of_layers(rows: Rows) -> Iterator[str]:
    """A line for each layer and peer: both data formats of minigrad, the peer's fastest, and the ratios to it."""
    if rows:
        columns = ("last, ms", "first, ms", "floor, ms", "peer, ms", "last/peer", "first/peer")
        yield f"{'channels':36s}" + "".join(f"{column:>11s}" for column in columns) + "  fastest of the peer"
    for row in rows:
        medians = row["medians_s"]
        ours = map(medians.get, (*OURS, "floor"))
        figures = "".join(f"{1e3 * took:11.3f}" if took else f"{'-':>11s}" for took in ours)
        peers = dict.fromkeys(name.split(" ")[0] for name in medians)
        names = [name for name in peers if name not in ("minigrad", "floor")]
        for peer in names:
            fastest = min((name for name in medians if name.split(" ")[0] == peer), key=medians.__getitem__)
            ratios = [row[key].get(peer) for key in ("ratios", "ratios_channels_first")]
            compared = "".join(f"{ratio:11.2f}" if ratio else f"{'-':>11s}" for ratio in ratios)
            yield f"{row['workload']:36s}{figures}{1e3 * medians[fastest]:11.3f}{compared}  {fastest}"
        if not names:
            yield f"{row['workload']:36s}{figures}"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", help="the folder for rows and logs; else that of $OUT, or a temporary one")
    options.add_argument("--seconds", type=float, default=520, help="after which all must have ended")
    options.add_argument("--fake", action="store_true", help="go through all parts on a fake CuPy, to try this command")
    given = options.parse_args()
    out = Path(given.out or os.environ.get("OUT") or tempfile.mkdtemp(prefix="first_run_")).resolve()
    out.mkdir(parents=True, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part that runs is killed too
    print("Times are medians. Ratios below 1: minigrad is faster. copy, prod: shares of the card's measured ceilings.")
    todo = list(parts(out / "rows.jsonl", given.fake))
    if given.fake:
        print("A rehearsal on a fake CuPy. No figure below was measured on a card.", flush=True)
        todo = [part._replace(limit=given.seconds) for part in todo]  # limits are for machines with a card
    return 0 if run_all(todo, out, given.seconds, given.fake) else 1


if __name__ == "__main__":
    sys.exit(main())
