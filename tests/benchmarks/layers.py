"""One training step of SeparableConv1D, minigrad against its peers.

    python -m tests.benchmarks.layers --peers torch,keras,jax [--device cpu|cuda] [--threads 1|2] [--json FILE]

The floor is the three matrix products of the pointwise step alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks import peers, timing
from tests.benchmarks.workloads import WORKLOADS

RESULTS = ("y", "dx", "d depthwise", "d pointwise", "d bias")


def floor(arrays: dict[str, np.ndarray]) -> timing.Step:
    """The three pointwise products alone, by NumPy's BLAS: what no step can go below."""
    z = np.zeros((arrays["g"].shape[0] * arrays["g"].shape[1], len(arrays["pointwise"])), np.float32)
    z += arrays["x"].std()
    g = arrays["g"].reshape(-1, arrays["g"].shape[-1])
    w = arrays["pointwise"]
    return lambda: (z @ w, z.T @ g, g @ w.T)


def main() -> None:
    options = timing.parser(__doc__, peers="torch", threads=2, rounds=9, seconds=0.15, only="")
    options.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options.add_argument("--scale", type=int, default=1, help="multiply N, to fill a GPU")
    given = options.parse_args()
    present = timing.installed(given.peers, peers.PEERS)
    timing.limit_threads(given.threads)
    synchronize: timing.Step = lambda: None
    if given.device == "cuda":
        import cupy

        synchronize = cupy.cuda.Device().synchronize

    rows: list[dict[str, Any]] = []
    for workload in timing.chosen(WORKLOADS, given.only):
        workload = workload._replace(batch=workload.batch * given.scale)
        arrays = workload.arrays()
        ours = peers.minigrad(workload, arrays, given.device)
        step, home = ours["channels_last"]
        reference = home(step())
        steps = {}
        for name in ("minigrad", *present):
            candidates = ours if name == "minigrad" else peers.PEERS[name](workload, arrays, given.device)
            for layout, (step, home) in candidates.items():
                timing.same(f"{name} {layout} on {workload.name}", RESULTS, reference, home(step()))
                steps[f"{name} {layout}"] = step
        if given.device == "cpu":
            steps["floor"] = floor(arrays)
        times = timing.taken_in_turns(steps, given.rounds, given.seconds, synchronize)
        rows.append(timing.report(workload.name, times, "minigrad channels_last", [*present, "floor"]))
    timing.summary(rows, present)
    timing.keep(given.json, rows)


if __name__ == "__main__":
    main()
