"""Work on the CPU split over the cores: one thread pool that all kernels share.

NumPy lets go of Python's lock inside its loops and products, so plain threads run side by side. While
they do, BLAS is held to one thread a product: its own threads go on spinning after a product, and take the cores away
from what comes next (or from other programs). That is threadpoolctl's doing, of the extra "threads"; without it BLAS is
left alone, and a step with large products takes longer.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from operator import itemgetter
from queue import SimpleQueue
from typing import Any, TypeVar

MIN_WORK = 150.0  # microseconds of work a part: below, waking another thread costs more than it saves
LEAD = 40.0  # microseconds of work that this thread does while another wakes up

Result = TypeVar("Result")

_lock = threading.Lock()
_pool: _Pool | None = None
_inside = threading.local()


def _default() -> int:
    given = os.environ.get("MINIGRAD_NUM_THREADS")
    if given is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not given.isdigit() or int(given) < 1:
        raise ValueError(f"MINIGRAD_NUM_THREADS: must be a positive integer. Received: {given!r}")
    return int(given)


_threads = _default()


def get_num_threads() -> int:
    """How many threads the kernels use: MINIGRAD_NUM_THREADS, or the usable cores, until `set_num_threads`."""
    return _threads


def set_num_threads(count: int) -> None:
    """Set how many threads the kernels use.

    Raises:
        ValueError: not a positive integer.
    """
    global _threads, _pool
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"set_num_threads: count must be a positive integer. Received: count={count!r}")
    with _lock:
        if _pool is not None:
            _pool.end()
        _threads, _pool = count, None


class _Pool:
    """Threads that wait for jobs in one queue: with less to do for each job than an executor has, which counts here."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.jobs: SimpleQueue[Any] = SimpleQueue()
        for i in range(count):
            threading.Thread(target=_serve, args=(self.jobs,), name=f"minigrad-{i}", daemon=True).start()

    def end(self) -> None:
        """Let the threads end, behind all jobs that wait."""
        for _ in range(self.count):
            self.jobs.put(None)


def _serve(jobs: SimpleQueue[Any]) -> None:
    """What a thread of the pool does: one job after the other, until it takes None."""
    _inside.pool = True
    while (job := jobs.get()) is not None:
        run, part, done = job
        try:
            done.put((part.start, run(part), None))
        except BaseException as error:
            done.put((part.start, None, error))
        del job, run, part, done  # let go of their arrays while waiting


def _submit(run: Callable[[slice], Any], slices: list[slice], done: SimpleQueue[Any]) -> None:
    """Have the pool put (start, result, error) of each slice into ``done``."""
    global _pool
    with _lock:  # which holds off the end of the pool
        if _pool is None:
            _pool = _Pool(max(_threads - 1, 1))
        for part in slices:
            _pool.jobs.put((run, part, done))


def _blas_libraries() -> list[Any]:
    """What threadpoolctl found loaded; nothing where it is not installed."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return []
    controllers = importlib.import_module("threadpoolctl").ThreadpoolController().lib_controllers
    return [library for library in controllers if library.user_api == "blas"]


class _Blas:
    """BLAS at one thread while any kernel runs in the pool, and as it was before when none does."""

    def __init__(self) -> None:
        self._libraries: list[tuple[Any, int]] | None = None  # and how many threads to give back to each, or 0
        self._users: set[object] = set()

    @contextmanager
    def held(self) -> Iterator[None]:
        user = object()
        try:  # Ctrl-C may come at any place from here on
            with _lock:
                if self._libraries is None:
                    self._libraries = [(library, 0) for library in _blas_libraries()]
                self._libraries = [(library, count or library.get_num_threads()) for library, count in self._libraries]
                first = not self._users
                self._users.add(user)
                for library, count in self._libraries if first else ():
                    if count > 1:
                        library.set_num_threads(1)
            yield
        finally:
            with _lock:
                self._users.discard(user)
                if not self._users:
                    for library, count in self._libraries or ():
                        if count > 1:
                            library.set_num_threads(count)
                    self._libraries = self._libraries and [(library, 0) for library, _ in self._libraries]


_blas = _Blas()


def _start_anew() -> None:
    """In a process that was forked the pool has no threads, and the lock may be held by a thread that is not there."""
    global _lock, _pool, _blas
    _lock, _pool, _blas = threading.Lock(), None, _Blas()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_start_anew)


def blas_held() -> AbstractContextManager[None]:
    """A context in which BLAS uses one thread a product."""
    return _blas.held()


def parts(total: int, work: float) -> int:
    """How many threads work on ``total`` things that one thread would take about ``work`` microseconds for."""
    if work < 2 * MIN_WORK or getattr(_inside, "pool", False):
        return 1
    return max(1, min(_threads, total, int(work / MIN_WORK)))


def over(run: Callable[[slice], Result], total: int, work: float) -> list[Result]:
    """The results of ``run``, in order, for slices that cover range(total): several, side by side, if ``work``, about
    how many microseconds one thread would take, is worth it.
    """
    count = parts(total, work)
    if count == 1:
        return [run(slice(0, total))]
    lead = min(LEAD / work, 0.5)  # the first share is larger: this thread begins at once
    bounds = [0, *(round(total * (i + (count - i) * lead) / count) for i in range(1, count + 1))]
    slices = [slice(a, b) for a, b in pairwise(bounds)]
    done: SimpleQueue[Any] = SimpleQueue()
    with blas_held():
        _submit(run, slices[1:], done)
        try:
            first = run(slices[0])
        finally:
            others = sorted((done.get() for _ in slices[1:]), key=itemgetter(0))
    for _, _, error in others:
        if error is not None:
            raise error
    return [first, *(result for _, result, _ in others)]
