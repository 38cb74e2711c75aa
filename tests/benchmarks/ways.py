"""What the rules of the kernels rest on: both ways of the depthwise convolution over K, and the speed of their parts.

    python -m tests.benchmarks.ways [--rounds 15] [--seconds 0.02] [--json FILE]

The forward kernel on (8, 512, 64), one thread: nanoseconds an output of sums over windows and of products with Toeplitz
matrices, each beside the estimate that the rule compares, and which way the rule takes. Then the parts, each by itself.
"""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from minigrad.kernels import parallel, toeplitz, windows
from minigrad.kernels.geometry import Geometry
from minigrad.kernels.product import sum_but
from tests.benchmarks import timing

TAPS = (3, 5, 7, 9, 11, 13, 17, 21, 25, 31, 39, 63, 87)
SHAPES = {"NLC": (8, 512, 64), "NCL": (8, 64, 512)}
WAYS = ("windows", "products")


def both(taps: int, layout: str) -> tuple[dict[str, timing.Step], dict[str, float]]:
    """The two ways of one convolution, and the estimates of both in nanoseconds an output."""
    geometry = Geometry(512, taps, 1, 1, ((taps - 1) // 2, taps // 2))
    random = np.random.default_rng(0)
    x = random.standard_normal(SHAPES[layout], np.float32)
    w = random.standard_normal((taps, 64, 1), np.float32)
    sums, products = np.empty_like(x), np.empty_like(x)
    last = [a if layout == "NLC" else a.swapaxes(1, 2) for a in (x, sums)]
    first = [a.swapaxes(1, 2) if layout == "NLC" else a for a in (x, products)]
    steps: dict[str, timing.Step] = {
        "windows": lambda: windows.forward(last[0], w, last[1], geometry),
        "products": lambda: toeplitz.forward(first[0], w, first[1], geometry),
    }
    for step in steps.values():
        step()
    timing.same(f"products, {layout}, {taps} taps", ["y"], [sums], [products])
    return steps, {"windows": windows.cost(geometry, layout), "products": toeplitz.cost(geometry)}


def parts() -> dict[str, tuple[timing.Step, float]]:
    """Steps, and how many multiply-adds or additions each makes."""
    random = np.random.default_rng(0)
    a, b = random.standard_normal((1024, 512), np.float32), random.standard_normal((512, 512), np.float32)
    c, rows = np.empty_like(a), random.standard_normal((16384, 64), np.float32)
    timing.same("sum_but", ["sum"], [sum_but(rows, 1)], [rows.sum(0)])
    return {
        "product (1024, 512) (512, 512)": (lambda: np.matmul(a, b, out=c), a.size * 512),
        "sum over rows of (16384, 64)": (lambda: rows.sum(0), rows.size),
        "the same, as a product with ones": (lambda: sum_but(rows, 1), rows.size),
        "a second thread woken for nothing": (lambda: parallel.over(lambda part: None, 2, 1e6), 0),
    }


def main() -> None:
    given = timing.parser(__doc__, rounds=15, seconds=0.02).parse_args()
    timing.limit_threads(2)
    parallel.set_num_threads(2)
    rows: list[dict[str, Any]] = []
    with parallel.blas_held():
        for name, (step, count) in parts().items():
            took = statistics.median(timing.taken_in_turns({name: step}, given.rounds, given.seconds)[name])
            print(f"{name:36s} {took * 1e6:9.1f} us" + (f"   {count / took / 1e9:6.2f} a ns" if count else ""))
            rows.append({"part": name, "medians_s": {name: took}, "count": count})
        parallel.set_num_threads(1)
        print(f"\n{'taps, layout':14s}" + "".join(f"{way:>9s} estimate" for way in WAYS) + "  ns an output")
        for layout in SHAPES:
            for taps in TAPS:
                steps, estimates = both(taps, layout)
                times = timing.taken_in_turns(steps, given.rounds, given.seconds)
                medians = {way: statistics.median(times[way]) for way in WAYS}
                each = {way: medians[way] * 1e9 / (8 * 512 * 64) for way in WAYS}
                taken, faster = min(WAYS, key=estimates.__getitem__), min(WAYS, key=each.__getitem__)
                note = "" if taken == faster else f", {each[taken] / each[faster]:.2f} times as long"
                figures = "".join(f"{each[way]:9.2f} {estimates[way]:8.2f}" for way in WAYS)
                print(f"{taps:4d}, {layout:8s}{figures}  takes {taken}{note}")
                rows.append({"taps": taps, "layout": layout, "medians_s": medians, "estimates_ns": estimates})
    timing.keep(given.json, rows)


if __name__ == "__main__":
    main()
