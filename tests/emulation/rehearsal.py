"""Benchmarks and tests of a GPU on the fake CuPy: what they run is known to work, what they measure means nothing.

    python -m tests.emulation.rehearsal tests.benchmarks.layers --device cuda --fill 0
    python -m pytest -m gpu -p tests.emulation.rehearsal tests/test_cuda_capture.py
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

import numpy as np
import pytest

from tests.benchmarks import device, timing, workloads
from tests.emulation import fake

CARD = {"name": b"no card, the fake CuPy", "major": 0, "minor": 0, "multiProcessorCount": 0, "totalGlobalMem": 0}


class Event:
    """A moment on the clock of the host, where the fake computes."""

    time: float

    def record(self) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        pass


def install() -> Any:
    """The fake in CuPy's place for the rest of the process, with all that the benchmarks ask of a card."""
    patch = pytest.MonkeyPatch()
    cupy = next(fake.installed(patch))
    fake.with_kernels(patch)
    cupy.cuda.Event = Event
    cupy.cuda.get_elapsed_time = lambda start, end: 1e3 * (end.time - start.time)
    cupy.cuda.runtime.getDeviceProperties = lambda index: CARD
    cupy.cuda.runtime.driverGetVersion = cupy.cuda.runtime.runtimeGetVersion = lambda: 0
    random = np.random.default_rng(0)
    cupy.random.standard_normal = lambda shape, dtype: cupy.asarray(random.standard_normal(shape, dtype))
    return cupy


def pytest_configure(config: pytest.Config) -> None:
    install()


def main() -> None:
    del sys.argv[0]
    install()
    device.FILL, timing.WARM_UP = 1 << 10, 0.0
    for i, each in enumerate(workloads.WORKLOADS):
        workloads.WORKLOADS[i] = each._replace(batch=2, length=16)
    importlib.import_module(sys.argv[0]).main()


if __name__ == "__main__":
    main()
