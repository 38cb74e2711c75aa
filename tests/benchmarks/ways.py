"""What the rules of the kernels rest on: the ways of the depthwise convolution over K, and the speed of their parts.

    python -m tests.benchmarks.ways [--rounds 15] [--seconds 0.02] [--json FILE]

The forward kernel, one thread, on 8 sequences of 512 steps and 64 of 64, of 64 channels: nanoseconds an output of sums
over windows, of products with Toeplitz matrices and of products with bands, each beside the estimate that the rule
compares, and which way the rule takes. Then the parts, each by itself.
"""

from __future__ import annotations

import statistics
from functools import partial

import numpy as np

from minigrad.kernels import bands, parallel, toeplitz, windows
from minigrad.kernels.geometry import Geometry
from minigrad.kernels.sums import total
from tests.benchmarks import timing

TAPS = (3, 5, 7, 9, 11, 13, 17, 21, 25, 31, 39, 63, 87)
SHAPES = [("NLC", 8, 512), ("NLC", 64, 64), ("NCL", 8, 512), ("NCL", 64, 64)]  # layout, N, L
CHANNELS = 64
WAYS = {"windows": windows, "products": toeplitz, "bands": bands}


def ways_of(geometry: Geometry, layout: str, batch: int) -> tuple[dict[str, timing.Step], dict[str, float]]:
    """All ways of one convolution, and their estimates in nanoseconds an output."""
    random = np.random.default_rng(0)
    shape = (batch, geometry.length, CHANNELS) if layout == "NLC" else (batch, CHANNELS, geometry.length)
    x = random.standard_normal(shape, np.float32)
    w = random.standard_normal((geometry.taps, CHANNELS, 1), np.float32)
    estimates = {
        "windows": windows.cost(geometry, layout), "products": toeplitz.cost(geometry, x.size),
        "bands": bands.cost(geometry, batch, x.size, 2 if layout == "NLC" else 0),
    }
    steps: dict[str, timing.Step] = {}
    outputs = {}
    for name in estimates:
        y = outputs[name] = np.empty_like(x)
        swaps = (name == "windows") == (layout == "NCL")  # windows take channels last, the others channels first
        seen, made = (a.swapaxes(1, 2) if swaps else a for a in (x, y))
        steps[name] = partial(WAYS[name].forward, seen, w, made, geometry)
        steps[name]()
        timing.same(f"{name}, {layout}, {geometry.taps} taps", ["y"], [outputs["windows"]], [y])
    return steps, estimates


def parts() -> dict[str, tuple[timing.Step, float]]:
    """Steps, and how many multiply-adds or additions each makes."""
    random = np.random.default_rng(0)
    a, b = random.standard_normal((1024, 512), np.float32), random.standard_normal((512, 512), np.float32)
    c, rows = np.empty_like(a), random.standard_normal((16384, 64), np.float32)
    timing.same("total", ["sum"], [total(rows, 0)], [rows.sum(0)])
    return {
        "product (1024, 512) (512, 512)": (lambda: np.matmul(a, b, out=c), a.size * 512),
        "sum over rows of (16384, 64)": (lambda: rows.sum(0), rows.size),
        "the same, as a product with ones": (lambda: total(rows, 0), rows.size),
        "a second thread woken for nothing": (lambda: parallel.over(lambda part: None, 2, 1e6), 0),
    }


def main() -> None:
    given = timing.parser(__doc__, rounds=15, seconds=0.02).parse_args()
    timing.limit_threads(2)
    parallel.set_num_threads(2)
    with parallel.blas_held():
        for name, (step, count) in parts().items():
            took = statistics.median(timing.taken_in_turns({name: step}, given.rounds, given.seconds)[name])
            print(f"{name:36s} {took * 1e6:9.1f} us" + (f"   {count / took / 1e9:6.2f} a ns" if count else ""))
            timing.keep(given.json, {"part": name, "medians_s": {name: took}, "count": count})
        parallel.set_num_threads(1)
        for layout, batch, length in SHAPES:
            print(f"\n{layout}, {batch} sequences of {length} steps: measured and estimated, ns an output")
            for taps in TAPS:
                geometry = Geometry(length, taps, 1, 1, ((taps - 1) // 2, taps // 2))
                steps, estimates = ways_of(geometry, layout, batch)
                times = timing.taken_in_turns(steps, given.rounds, given.seconds)
                medians = {way: statistics.median(times[way]) for way in steps}
                each = {way: medians[way] * 1e9 / (batch * length * CHANNELS) for way in steps}
                taken, faster = min(steps, key=estimates.__getitem__), min(steps, key=each.__getitem__)
                note = "" if taken == faster else f", {each[taken] / each[faster]:.2f} times as long as {faster}"
                figures = "".join(f"{way:>10s} {each[way]:5.2f} {estimates[way]:5.2f}" for way in steps)
                print(f"{taps:4d}{figures}  takes {taken}{note}")
                timing.keep(given.json, {
                    "taps": taps, "layout": layout, "batch": batch, "length": length, "medians_s": medians,
                    "estimates_ns": estimates,
                })


if __name__ == "__main__":
    main()
