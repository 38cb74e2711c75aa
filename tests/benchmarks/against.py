"""minigrad against another checkout of itself: what a change costs.

    git worktree add ../before HEAD~1
    python -m tests.benchmarks.against ../before [--only "layer step"] [--threads 1] [--json FILE]

Two versions of a package cannot live in one process, so each checkout has a worker of its own, which imports minigrad
from there and all else from here: the other checkout need not have this benchmark. The workers take turns, and each
round begins with the other one. Their results must agree before anything is timed. A ratio is this checkout / the other
one; above 1 this one is slower. It is the median over all rounds; its quartiles stand beside it, and then the ratio of
CPU time, of all threads. Where others are busy on the machine, CPU time with one thread says most: threads of BLAS spin
while they wait, and that counts. How fast a process is depends on where its memory happens to lie, so the workers are
started anew ``--starts`` times. A checkout against itself shows how far to trust the figures.
"""

from __future__ import annotations

import importlib.util
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks import overhead, peers, timing, training
from tests.benchmarks.workloads import WORKLOADS, Workload

HERE = Path(__file__).parents[2]
Made = tuple[timing.Step, Callable[[], dict[str, np.ndarray]]]  # a step to be timed, and what it computes, by name


def chain() -> Made:
    step = overhead.minigrad(*overhead.arrays())
    return step, lambda: dict(zip(overhead.RESULTS, overhead.home(step()), strict=True))


def layer_step(workload: Workload, data_format: str) -> Made:
    step, home = peers.minigrad(workload, workload.arrays(), "cpu")[data_format]
    return step, lambda: dict(zip(("y", "dx", "d depthwise", "d pointwise", "d bias"), home(step()), strict=True))


def epoch(task: training.Task) -> Made:
    random = np.random.default_rng(0)
    weights = [random.normal(0.0, 0.1, w.shape).astype(w.dtype) for w in training.build(task).get_weights()]
    train = training.minigrad(task, weights)["minigrad"]
    return train, lambda: {"losses": np.array(train(training=False, steps=training.CHECKED))}


def layer_check(name: str, arguments: dict[str, Any], shape: tuple[int, ...], order: int) -> Made:
    from minigrad import Tensor, layers
    from minigrad.gradcheck import check_layer

    layer, x = getattr(layers, name)(**arguments), Tensor(np.random.default_rng(0).normal(size=shape))
    check = partial(check_layer, layer, x, order=order)
    return check, lambda: {"what was found wrong": np.array([float(len(check().wrong))])}


class Case(NamedTuple):
    """What is timed, and how a worker makes it. ``name`` begins with the family whose ratios have one mean."""

    name: str
    make: Callable[..., Made]
    arguments: tuple[Any, ...] = ()

    @property
    def family(self) -> str:
        return self.name.partition(":")[0]


SEPARABLE = ("SeparableConv1D", {"filters": 16, "kernel_size": 5, "padding": "same"}, (4, 32, 8))
CHECKS = [
    (*SEPARABLE, 1),
    (*SEPARABLE, 2),
    ("Dense", {"units": 5, "activation": "tanh", "kernel_regularizer": "l2"}, (4, 3), 1),
    ("MaxPooling1D", {"pool_size": 2}, (2, 8, 3), 1),
]
CASES = [
    Case(f"overhead: chain of {overhead.DEPTH}", chain),
    *(
        Case(f"layer step: {workload.name}, {data_format}", layer_step, (workload, data_format))
        for workload in WORKLOADS
        for data_format in ("channels_last", "channels_first")
    ),
    *(Case(f"training: {task.name}, one epoch", epoch, (task,)) for task in training.TASKS),
    *(Case(f"check_layer: {check[0]}, order {check[-1]}", layer_check, check) for check in CHECKS),
]


def turn(step: timing.Step, seconds: float) -> tuple[float, float]:
    """Seconds and CPU seconds of a step, by as many as fit into ``seconds``, after as many that warm up."""
    begun, passed, warm = time.perf_counter(), 0.0, 0
    while passed < seconds:
        step()
        warm += 1
        passed = time.perf_counter() - begun
    count = max(1, round(seconds * warm / passed))
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        step()
    return (time.perf_counter() - wall) / count, (time.process_time() - cpu) / count


def serve(connection: Connection, root: Path) -> None:
    """A worker: with minigrad from ``root`` it makes each case that it is sent, and takes a turn when it is told."""
    try:
        if "minigrad" in sys.modules:
            raise ImportError(f"minigrad was imported already, from {sys.modules['minigrad'].__file__}")
        package = root / "minigrad"
        spec: Any = importlib.util.spec_from_file_location(
            "minigrad", package / "__init__.py", submodule_search_locations=[str(package)]
        )
        sys.modules["minigrad"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        step: Any = None
        while (asked := connection.recv()) is not None:
            if isinstance(asked, Case):
                step = None  # the arrays of the case before go first
                step, results = asked.make(*asked.arguments)
                connection.send(results())
            else:
                connection.send(turn(step, asked))
    except Exception as error:  # which may not travel itself
        connection.send(RuntimeError(f"{type(error).__name__}: {error}"))


class Worker:
    """A process with the minigrad of the checkout at ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.connection, there = (context := multiprocessing.get_context("spawn")).Pipe()
        self.process = context.Process(target=serve, args=(there, root), daemon=True)
        self.process.start()
        there.close()  # so that a worker that dies is noticed

    def ask(self, request: Case | float) -> Any:
        """What the worker answers."""
        with suppress(BrokenPipeError):  # a worker that ended has said why
            self.connection.send(request)
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            answer = RuntimeError("the worker died")
        if isinstance(answer, Exception):
            raise SystemExit(f"{self.root}: {answer}")
        return answer

    def close(self) -> None:
        """Let it end."""
        self.connection.send(None)
        self.process.join()


def measured(case: Case, this: Worker, other: Worker, rounds: int, seconds: float) -> list[list[tuple[float, float]]]:
    """For every round the seconds and CPU seconds [of this checkout, of the other one]."""
    ours, theirs = this.ask(case), other.ask(case)
    timing.same(f"{other.root}: {case.name}", ours, ours.values(), theirs.values())
    taken = []
    for i in range(rounds):
        pair = (other, this) if i % 2 else (this, other)
        times = {worker: worker.ask(seconds) for worker in pair}
        taken.append([times[this], times[other]])
    return taken


def report(case: Case, taken: list[list[tuple[float, float]]]) -> dict[str, Any]:
    """Print the figures of a case, and return them."""
    wall, cpu = ([this[i] / other[i] for this, other in taken] for i in (0, 1))
    medians = {name: statistics.median(pair[i][0] for pair in taken) for i, name in enumerate(("this", "other"))}
    ratios = {"wall": statistics.median(wall), "CPU": statistics.median(cpu)}
    low, high = np.quantile(wall, [0.25, 0.75])
    print(
        f"  {case.name:42s} {medians['this'] * 1e3:8.3f} {medians['other'] * 1e3:9.3f} "
        f"{ratios['wall']:8.3f}  [{low:.3f} {high:.3f}] {ratios['CPU']:9.3f}",
        flush=True,
    )
    return {"workload": case.name, "medians_s": medians, "ratios": ratios, "quartiles": [low, high]}


def geometric_mean(values: list[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def main() -> None:
    options = timing.parser(__doc__, threads=1, rounds=10, seconds=0.05, only="")
    options.add_argument("checkout", type=Path, help="the folder of the other checkout, which holds minigrad/")
    options.add_argument("--starts", type=int, default=3, help="how often the workers start anew")
    given = options.parse_args()
    root = given.checkout.resolve()
    if not (root / "minigrad" / "__init__.py").is_file():
        raise SystemExit(f"checkout must hold minigrad/, as git worktree makes it. Received: {given.checkout}")
    cases = timing.chosen(CASES, given.only)
    timing.limit_threads(given.threads)
    taken: dict[str, Any] = {case.name: [] for case in cases}
    for _ in range(given.starts):
        this, other = Worker(HERE), Worker(root)
        for case in cases:
            taken[case.name] += measured(case, this, other, given.rounds, given.seconds)
        this.close()
        other.close()
    print(f"  {'':42s} this, ms other, ms    ratio  quartiles      CPU time")
    rows = [report(case, taken[case.name]) for case in cases]
    print("\ngeometric means")
    for family in dict.fromkeys(case.family for case in cases):
        of_family = [row["ratios"] for row in rows if row["workload"].startswith(f"{family}:")]
        means = {kind: geometric_mean([ratios[kind] for ratios in of_family]) for kind in ("wall", "CPU")}
        print(f"  {family:12s} {means['wall']:.3f}, of CPU time {means['CPU']:.3f}")
    if given.json:  # a line a case
        lines = [json.dumps({**row, "command": sys.argv}) + "\n" for row in rows]
        Path(given.json).write_text("".join(lines))


if __name__ == "__main__":
    main()
