"""Time on a GPU: events of the device around many steps, and what the card can do at most, measured in the same run."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

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


def ceilings(cupy: Any, size: int = 8192) -> Ceilings:
    """Measured on random numbers: a card may do better on zeros."""
    source = cupy.random.standard_normal(FILL, dtype="float32")
    target = cupy.empty_like(source)
    copy = 2 * source.nbytes / median_seconds(lambda: cupy.copyto(target, source), cupy)
    a, b = source[: size * size].reshape(size, size), source[-size * size :].reshape(size, size)
    c = target[: size * size].reshape(size, size)
    product = size**3 / median_seconds(lambda: cupy.matmul(a, b, out=c), cupy)
    return Ceilings(copy, product)


def to_fill(nbytes: int) -> int:
    """How many times an input of so many bytes goes into `FILL`."""
    return max(1, -(-FILL // max(nbytes, 1)))
