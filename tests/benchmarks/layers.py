"""One training step of SeparableConv1D, minigrad against its peers.

    python -m tests.benchmarks.layers --peers torch,keras,jax [--device cpu|cuda] [--threads 1|2] [--json FILE]

All run in one process, interleaved round by round. Results are compared before anything is timed. A ratio is
minigrad / peer of the same round, its median over the rounds is printed; below 1 minigrad is faster.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="torch", help="names out of torch, keras, jax")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.15, help="about how long one contestant runs in a round")
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--scale", type=int, default=1, help="multiply N, to fill a GPU")
    parser.add_argument("--json", help="write all figures to this file")
    return parser.parse_args()


def limit_threads(count: int) -> None:
    """Give the process so many cores, before any library has counted them."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))[:count]
        os.sched_setaffinity(0, set(cores))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MINIGRAD_NUM_THREADS"):
        os.environ[name] = str(count)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def floor(arrays: dict[str, np.ndarray]) -> Callable[[], Any]:
    """The three pointwise products alone, by NumPy's BLAS: what no step can go below."""
    z = np.zeros((arrays["g"].shape[0] * arrays["g"].shape[1], len(arrays["pointwise"])), np.float32)
    z += arrays["x"].std()
    g = arrays["g"].reshape(-1, arrays["g"].shape[-1])
    w = arrays["pointwise"]
    return lambda: (z @ w, z.T @ g, g @ w.T)


def seconds_of(step: Callable[[], Any], count: int, synchronize: Callable[[], None]) -> float:
    synchronize()
    start = time.perf_counter()
    for _ in range(count):
        step()
    synchronize()
    return (time.perf_counter() - start) / count


def same(name: str, ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    """Refuse to time anything that computes something else."""
    for what, a, b in zip(("y", "dx", "d depthwise", "d pointwise", "d bias"), ours, theirs, strict=True):
        error = float(np.abs(a - b).max() / max(np.abs(b).max(), 1.0))
        if not error < 1e-4:
            raise SystemExit(f"{name}: {what} differs from minigrad's by {error:.1e}; nothing was timed")


def main() -> None:
    given = options()
    limit_threads(given.threads)
    from tests.benchmarks import peers as contestants
    from tests.benchmarks.workloads import WORKLOADS

    names = [name for name in given.peers.split(",") if name]
    if unknown := set(names) - set(contestants.PEERS):
        raise SystemExit(f"--peers must be among {sorted(contestants.PEERS)}. Received: {sorted(unknown)}")
    present = [name for name in names if importlib.util.find_spec(name)]
    for name in names:
        if name not in present:
            print(f"{name}: absent, not installed in this environment")
    synchronize: Callable[[], None] = lambda: None
    if given.device == "cuda":
        import cupy

        synchronize = cupy.cuda.Device().synchronize
    if "torch" in present:
        import torch

        torch.set_num_threads(given.threads)

    rows = []
    for workload in WORKLOADS:
        if given.only not in workload.name:
            continue
        workload = workload._replace(batch=workload.batch * given.scale)
        arrays = workload.arrays()
        ours = contestants.minigrad(workload, arrays, given.device)
        reference = {name: home(step()) for name, (step, home) in ours.items()}["channels_last"]
        fields = {f"minigrad {name}": step for name, (step, _) in ours.items()}
        if given.device == "cpu":
            fields["floor"] = floor(arrays)
        for name in present:
            for layout, (step, home) in contestants.PEERS[name](workload, arrays, given.device).items():
                same(f"{name} {layout} on {workload.name}", home(step()), reference)
                fields[f"{name} {layout}"] = step
        for name, (step, home) in ours.items():
            same(f"minigrad {name}", home(step()), reference)
        counts = {}
        for name, step in fields.items():
            step()
            counts[name] = max(1, round(given.seconds / max(seconds_of(step, 1, synchronize), 1e-6)))
        rounds: dict[str, list[float]] = {name: [] for name in fields}
        for _ in range(given.rounds):
            for name, step in fields.items():
                rounds[name].append(seconds_of(step, counts[name], synchronize))
        rows.append(report(workload.name, rounds, present))
    for name in present:
        summary([row for row in rows if name in row["ratios"]], name)
    if given.json:
        with open(given.json, "w") as file:
            json.dump({"command": sys.argv, "rows": rows}, file, indent=1)


def report(name: str, rounds: dict[str, list[float]], present: list[str]) -> dict[str, Any]:
    """Print one workload: medians in milliseconds, and the ratio to the best layout of each peer."""
    medians = {field: statistics.median(times) for field, times in rounds.items()}
    print(f"\n{name}")
    for field, times in rounds.items():
        print(f"  {field:28s} {medians[field] * 1e3:9.3f} ms   (least {min(times) * 1e3:.3f})")
    ratios: dict[str, float] = {}
    ours = "minigrad channels_last"
    for peer in [*present, "floor"]:
        fields = [field for field in rounds if field.split(" ")[0] == peer]
        if fields:
            best = min(fields, key=lambda field: medians[field])
            ratios[peer] = statistics.median(a / b for a, b in zip(rounds[ours], rounds[best], strict=True))
            print(f"  ratio to {best:28s} {ratios[peer]:.2f}")
    return {"workload": name, "medians_s": medians, "ratios": ratios}


def summary(rows: list[dict[str, Any]], peer: str) -> None:
    ratios = [row["ratios"][peer] for row in rows]
    if ratios:
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        worst = max(rows, key=lambda row: row["ratios"][peer])
        print(f"\nminigrad / {peer}: geometric mean {mean:.2f}, worst {max(ratios):.2f} ({worst['workload']})")


if __name__ == "__main__":
    main()
