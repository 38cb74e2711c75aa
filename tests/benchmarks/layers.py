"""One training step of SeparableConv1D, minigrad against its peers.

    python -m tests.benchmarks.layers --peers torch,keras,jax [--device cpu|cuda] [--threads 1|2] [--json FILE]

Both data formats of minigrad are compared with whatever layout is the fastest of a peer. Keras computes on the backend
of KERAS_BACKEND: one run for tensorflow, which it is unless set, and another for jax.

The floor is the three matrix products of the pointwise step alone. On a GPU the batches are larger, so that the card is
full and its caches are not, and events of the device take the time. ``--scale 1`` keeps the batches of the CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend import device_summary, module_for
from tests.benchmarks import device, peers, timing
from tests.benchmarks.workloads import WORKLOADS, Workload

RESULTS = ("y", "dx", "d depthwise", "d pointwise", "d bias")
OURS = ("minigrad channels_last", "minigrad channels_first")


def floor(arrays: dict[str, np.ndarray], xp: Any) -> timing.Step:
    """The three pointwise products alone, by the BLAS of NumPy or CuPy: what no step can go below."""
    g, w = xp.asarray(arrays["g"].reshape(-1, arrays["g"].shape[-1])), xp.asarray(arrays["pointwise"])
    z = xp.full((len(g), len(w)), arrays["x"].std(), "float32")
    return lambda: (z @ w, z.T @ g, g @ w.T)


def contestants(
    workload: Workload, arrays: dict[str, np.ndarray], present: list[str], where: str = "cpu"
) -> dict[str, timing.Step]:
    """The steps of minigrad and of its peers in every layout, by name, once their results were found equal."""
    ours = peers.minigrad(workload, arrays, where)
    step, home = ours["channels_last"]
    reference = home(step())
    steps = {}
    for name in ("minigrad", *present):
        candidates = ours if name == "minigrad" else peers.PEERS[name](workload, arrays, where)
        for layout, (step, home) in candidates.items():
            timing.same(f"{name} {layout} on {workload.name}", RESULTS, reference, home(step()))
            steps[f"{name} {layout}"] = step
    return steps


def main() -> None:
    options = timing.parser(__doc__, peers="torch", threads=2, rounds=9, seconds=0.15, only="")
    options.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options.add_argument("--scale", type=int, default=0, help="multiply N; 0 fills a GPU, and leaves N on the CPU")
    given = options.parse_args()
    present = timing.installed(given.peers, peers.PEERS)
    timing.limit_threads(given.threads)
    xp, clock = module_for(given.device), timing.seconds_of
    print(device_summary(given.device))
    if given.device == "cuda":
        clock = device.clock(xp)
        print(f"ceilings measured: {device.ceilings(xp)}")

    rows: list[dict[str, Any]] = []
    for workload in timing.chosen(WORKLOADS, given.only):
        scale = given.scale or (device.to_fill(workload.nbytes) if given.device == "cuda" else 1)
        workload = workload._replace(batch=workload.batch * scale)
        arrays = workload.arrays()
        steps = contestants(workload, arrays, present, given.device)
        steps["floor"] = floor(arrays, xp)
        times = timing.taken_in_turns(steps, given.rounds, given.seconds, clock)
        title = workload.name if scale == 1 else f"{workload.name}, batch {workload.batch}"
        row = timing.report(title, times, OURS[0], [*present, "floor"])
        row["ratios_channels_first"] = timing.ratios(times, OURS[1], [*present, "floor"])
        rows.append(row)
    timing.summary(rows, present, OURS[0])
    timing.summary(rows, present, OURS[1], "ratios_channels_first")
    timing.keep(given.json, rows)


if __name__ == "__main__":
    main()
