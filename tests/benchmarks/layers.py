"""One training step of SeparableConv1D, minigrad against its peers.

    python -m tests.benchmarks.layers --peers torch,keras,jax [--device cpu|cuda] [--threads 1|2] [--json FILE]

Both data formats of minigrad are compared with whatever layout is the fastest of a peer. Keras computes on the backend
of KERAS_BACKEND: one run for tensorflow, which it is unless set, and another for jax.

The floor is the three matrix products of the pointwise step alone. On a GPU the batches are repeated, so that the card
is full and its caches are not, and events of the device take the time. ``--fill 0`` keeps them as published.

Who cannot make the step, or whose results are not those of minigrad on the CPU, is dropped, and the reason printed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.backend import device_summary, module_for, set_tf32, tf32, to_host
from tests.benchmarks import device, peers, timing
from tests.benchmarks.workloads import WORKLOADS, Workload

RESULTS = ("y", "dx", "d depthwise", "d pointwise", "d bias")
OURS = ("minigrad channels_last", "minigrad channels_first")


def floor(arrays: dict[str, Any], xp: Any) -> timing.Step:
    """The three pointwise products alone, by the BLAS of NumPy or CuPy: what no step can go below."""
    x, g, w = arrays["x"], arrays["g"], xp.asarray(arrays["pointwise"])
    z = xp.tile(x[:, : g.shape[1]], (1, 1, len(w) // x.shape[2])).reshape(-1, len(w))  # any numbers of that shape
    g = g.reshape(-1, g.shape[2])
    return lambda: (z @ w, z.T @ g, g @ w.T)


def contestants(
    workload: Workload, arrays: dict[str, np.ndarray], present: list[str], where: str = "cpu", times: int = 1,
    patience: float = math.inf, skip: str = "", dropped: dict[str, str] | None = None,
) -> dict[str, timing.Step]:  # fmt: skip
    """The steps of minigrad and of its peers in every layout, by name, whose results were found equal.

    The batch is repeated ``times`` on the device. A layout called ``skip`` is left out. Why contestants are ``dropped``
    is written down by their names; one reason is a first step of more than ``patience`` seconds.
    """
    step, home = peers.minigrad(workload, arrays, "cpu")["channels_last"]
    reference, placed = home(step()), device.repeated(arrays, times, where)
    steps: dict[str, timing.Step] = {}
    dropped = {} if dropped is None else dropped
    for name in ("minigrad", *present):
        candidates: peers.Candidates = {}
        with timing.dropping(f"{name} on {workload.name}", dropped):
            if name.startswith("torch"):
                candidates = peers.PEERS[name](workload, placed, where)
            elif name == "minigrad":
                candidates = peers.minigrad(workload, placed, where)
            else:  # which take no arrays of CuPy
                on_host = {each: to_host(array) for each, array in placed.items()}
                candidates = peers.PEERS[name](workload, on_host, where)
        candidates.pop(skip, None)
        for layout, (step, home) in candidates.items():
            who = f"{name} {layout}"
            with timing.dropping(f"{who} on {workload.name}", dropped, patience):
                *pair, dw, dp, db = home(step())
                found = [*pair, *(gradient / times for gradient in (dw, dp, db))]
                timing.same(f"{who} on {workload.name}", RESULTS, reference, found, 1e-2 if tf32() else 1e-4)
                steps[who] = step
    return steps


def measured(
    workload: Workload, times: int, present: list[str], given: Any, measures: Any, dropped: dict[str, str]
) -> dict[str, Any]:
    """The medians and ratios of a workload whose batch is repeated so many times, printed."""
    arrays = workload.arrays()
    steps = contestants(workload, arrays, present, given.device, times, given.patience, given.skip, dropped)
    steps["floor"] = floor(device.repeated(arrays, times, given.device), module_for(given.device))
    taken = timing.taken_in_turns(steps, given.rounds, given.seconds, *measures)
    title = workload.name if times == 1 else f"{workload.name}, batch {workload.batch * times}"
    row = timing.report(title, taken, OURS[0], [*present, "floor"])
    return row | {"ratios_channels_first": timing.ratios(taken, OURS[1], [*present, "floor"])}


def main() -> None:
    options = timing.parser(__doc__, peers="torch", threads=2, rounds=9, seconds=0.15, only="")
    options.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options.add_argument("--fill", type=float, help="repeat batches until inputs have so many MB; on a GPU 256, else 0")
    options.add_argument("--patience", type=float, default=math.inf, help="seconds that a first step may take")
    options.add_argument("--skip", default="", help="a layout of peers to leave out, such as 'NLC, conv2d'")
    options.add_argument("--tf32", action="store_true", help="let products of float32 on a GPU round to TF32")
    given = options.parse_args()
    present = timing.installed(given.peers, peers.PEERS)
    set_tf32(given.tf32)
    measures = device.measures(given.device, given.threads)
    most = device.FILL * (given.device == "cuda") if given.fill is None else int(given.fill * 2**20)

    rows: list[dict[str, Any]] = []
    for workload in timing.chosen(WORKLOADS, given.only):
        row: dict[str, Any] = {}
        dropped: dict[str, str] = {}
        with timing.dropping(workload.name, dropped):
            row = measured(workload, device.to_fill(workload.nbytes, most), present, given, measures, dropped)
            rows.append(row)
        kept = {"workload": workload.name} | row
        timing.keep(given.json, kept | {"device": device_summary(given.device), "dropped": dropped})
    timing.summary(rows, present, OURS[0])
    timing.summary(rows, present, OURS[1], "ratios_channels_first")


if __name__ == "__main__":
    main()
