"""What steps take on a GPU, and what the card can do at most.

    python -m tests.benchmarks.device [--json FILE]

tells which card there is, and measures its ceilings.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

from minigrad.backend import device_summary, module_for, move
from tests.benchmarks import timing

Step = Callable[[], Any]

FILL = 256 << 20  # bytes of an input that is several times as large as any cache


class Ceilings(NamedTuple):
    """What the card was seen to do: bytes a second of a copy (read and written), multiply-adds a second of float32."""

    copy: float
    product: float

    def __str__(self) -> str:
        return f"copy {self.copy / 1e12:.2f} TB/s, float32 products {2 * self.product / 1e12:.1f} TFLOP/s"


def clock(cupy: Any) -> Callable[[Step, int], float]:
    """Seconds that a step takes by the device's own events, around ``count`` steps on its default stream.

    PyTorch starts its kernels on the same stream; a step of JAX waits for itself, between the events.
    """

    def seconds(step: Step, count: int) -> float:
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        for _ in range(count):
            step()
        end.record()
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(start, end)) / 1e3 / count

    return seconds


def median_seconds(step: Step, cupy: Any, rounds: int = 9, seconds: float = 0.02) -> float:
    """The median over rounds, each of about so many seconds, after steps that do not count."""
    timed = clock(cupy)
    step()
    count = max(1, round(seconds / max(timed(step, 1), 1e-6)))
    timed(step, count)
    return statistics.median(timed(step, count) for _ in range(rounds))


def ceilings(cupy: Any) -> Ceilings:
    """Measured on random numbers: a card may do better on zeros."""
    size = math.isqrt(FILL) // 2
    source = cupy.random.standard_normal(FILL, dtype="float32")
    target = cupy.empty_like(source)
    copy = 2 * source.nbytes / median_seconds(lambda: cupy.copyto(target, source), cupy)
    a, b = source[: size * size].reshape(size, size), source[-size * size :].reshape(size, size)
    c = target[: size * size].reshape(size, size)
    product = size**3 / median_seconds(lambda: cupy.matmul(a, b, out=c), cupy)
    return Ceilings(copy, product)


def to_fill(nbytes: int, fill: int) -> int:
    """How many times an input of so many bytes must be repeated to have ``fill`` bytes."""
    return max(1, -(-fill // max(nbytes, 1)))


def repeated(arrays: dict[str, Any], times: int, where: str) -> dict[str, Any]:
    """The input and the gradient of the output, so many times one after the other along N, on a device.

    They are repeated there: to draw and to copy hundreds of megabytes would take the host seconds. Nothing is easier
    on the card for it, but results can be compared by the first of the copies.
    """
    xp = module_for(where)
    return arrays | {name: xp.tile(move(arrays[name], where), (times, 1, 1)) for name in ("x", "g")}


def with_gpu() -> Any:
    """CuPy, where there is a GPU; elsewhere the benchmark ends and says why."""
    try:
        return module_for("cuda")
    except (ImportError, RuntimeError) as error:
        raise SystemExit(f"no GPU: {error}") from None


def measures(where: str, threads: int) -> tuple[Callable[[Step, int], float], Step]:
    """The clock for steps on a device, and what waits for it. The CPU gets ``threads`` cores; beside a GPU all may
    work, as compilers do.
    """
    if where == "cpu":
        timing.limit_threads(threads)
        print(device_summary(where))
        return timing.seconds_of, lambda: None
    cupy = with_gpu()
    print(device_summary(where))
    return clock(cupy), lambda: cupy.cuda.get_current_stream().synchronize()


def main() -> None:
    given = timing.parser(__doc__).parse_args()
    cupy = with_gpu()
    found = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    card = {
        "device": device_summary("cuda"),
        "capability": f"{found['major']}.{found['minor']}",
        "multiprocessors": found["multiProcessorCount"],
        "bytes": found["totalGlobalMem"],
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "runtime": cupy.cuda.runtime.runtimeGetVersion(),
    }
    print(", ".join(f"{name} {value}" for name, value in card.items()))
    most = ceilings(cupy)
    print(f"ceilings measured: {most}")
    timing.keep(given.json, card | {"copy": most.copy, "product": most.product})


if __name__ == "__main__":
    main()
