"""The depthwise kernels on a GPU against what the card can do at most, both measured in the same run.

    python -m tests.benchmarks.kernels [--only NAME] [--json FILE]

For each published layer, in both data formats: the time of the forward, of the input gradient and of the kernel
gradient, the bytes that must move (every array once) as a share of the copy bandwidth, and the multiply-adds as a share
of the rate of float32 products. The larger share says what the kernel waits for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.backend import device_summary
from minigrad.kernels import cuda
from minigrad.kernels.geometry import Geometry
from tests.benchmarks import device, timing
from tests.benchmarks.workloads import WORKLOADS, Workload

FUNCTIONS = ("forward", "input gradient", "kernel gradient")


def calls(workload: Workload, layout: str, xp: Any) -> dict[str, tuple[Callable[[], Any], int]]:
    """The three kernels on random numbers, each with the bytes it must move."""
    w = workload
    geometry = Geometry(w.length, w.taps, w.stride, w.dilation, w.pads)
    filters = w.channels * w.multiplier

    def numbers(steps: int, width: int) -> Any:
        shape = (w.batch, steps, width) if layout == "NLC" else (w.batch, width, steps)
        return xp.random.standard_normal(shape, dtype="float32")

    x, g = numbers(w.length, w.channels), numbers(geometry.out_length, filters)
    kernel = xp.random.standard_normal((w.taps, w.channels, w.multiplier), dtype="float32")
    moved = x.nbytes + g.nbytes + kernel.nbytes
    return {
        "forward": (lambda: cuda.forward(x, kernel, geometry, layout), moved),
        "input gradient": (lambda: cuda.input_grad(g, kernel, geometry, layout), moved),
        "kernel gradient": (lambda: cuda.kernel_grad(x, g, geometry, layout), moved),
    }


def shares(seconds: float, moved: int, work: int, most: device.Ceilings) -> tuple[float, float]:
    """Which part of the copy bandwidth and of the rate of products a kernel reaches."""
    return moved / seconds / most.copy, work / seconds / most.product


def main() -> None:
    given = timing.parser(__doc__, rounds=9, seconds=0.02, only="").parse_args()
    xp = device.with_gpu()
    most = device.ceilings(xp)
    print(f"{device_summary('cuda')}; ceilings measured: {most}\n")
    print(f"{'layer':40s} {'kernel':16s} {'ms':>8s} {'of copy':>8s} {'of products':>12s}")
    for workload in timing.chosen(WORKLOADS, given.only):
        w = workload._replace(batch=workload.batch * device.to_fill(workload.nbytes, device.FILL))
        for layout in ("NLC", "NCL"):
            work = w.batch * -(-w.length // w.stride) * w.channels * w.multiplier * w.taps
            title = f"{w.name}, k {w.taps}, batch {w.batch}, {layout}"
            for name in FUNCTIONS:
                dropped: dict[str, str] = {}
                row = {"layer": title, "kernel": name, "device": device_summary("cuda"), "dropped": dropped}
                with timing.dropping(f"{title}, {name}", dropped):
                    call, moved = calls(w, layout, xp)[name]
                    seconds = device.median_seconds(call, xp, given.rounds, given.seconds)
                    copy, product = shares(seconds, moved, work, most)
                    print(f"{title:40s} {name:16s} {seconds * 1e3:8.3f} {copy:8.0%} {product:12.0%}")
                    row |= {"seconds": seconds, "copy": copy, "product": product}
                timing.keep(given.json, row)


if __name__ == "__main__":
    main()
