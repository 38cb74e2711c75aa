"""Where the time of one training step of SeparableConv1D goes: what each op takes of it, beside PyTorch's whole step.

    python -m tests.benchmarks.where [--only NAME] [--peers torch] [--threads 2] [--json FILE] [--plot FILE]
    python -m tests.benchmarks.where --read FILE --plot FILE

Every op of a step is timed as it is called, in both data formats; "everything else" is what remains of the step: the
tape, the layer, reshapes. The product of the outputs has the bias added within. The floor is the three matrix products
alone. The second form draws what --json has kept, and measures nothing.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from typing import Any

from minigrad import plot
from minigrad.backend import module_for
from minigrad.ops.op import Op, watching
from tests.benchmarks import layers, peers, timing
from tests.benchmarks.workloads import WORKLOADS

PARTS = {  # and their colors: the depthwise kernels in blues, the products in reds
    "depthwise, forward": "#1b5f93", "depthwise, input gradient": "#2f8fd6", "depthwise, kernel gradient": "#7ab6e6",
    "product and bias": "#a84600", "product, input gradient": "#e0701a", "product, kernel gradient": "#eda463",
    "bias gradient": "#009e73", "everything else": "#8c8c8c",
}
*OPS, REST = PARTS
NAMES = {"depthwise_conv1d": 0, "depthwise_conv1d_input_grad": 1, "depthwise_conv1d_kernel_grad": 2,
         "linear": 3, "linear_kernel_grad": 5, "sum": 6}  # fmt: skip


def part_of(op: Op, inputs: tuple[Any, ...]) -> str:
    """Which of `PARTS` a call belongs to; a product without a bias is that of the input gradient."""
    if op.name not in NAMES:
        return REST
    return OPS[NAMES[op.name] + (op.name == "linear" and inputs[2] is None)]


class Watched:
    """A step whose ops are timed. ``rounds`` has, for each turn, the seconds a step of every part."""

    def __init__(self, step: timing.Step) -> None:
        self.step = step
        self.spent: Counter[str] = Counter()
        self.rounds: list[dict[str, float]] = []

    def __call__(self) -> Any:
        with watching(self.watch):
            return self.step()

    def watch(self, op: Op, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        start = time.perf_counter()
        output = op(*inputs, **attributes)
        self.spent[part_of(op, inputs)] += time.perf_counter() - start  # type: ignore[assignment]
        return output


def clock(step: timing.Step, count: int) -> float:
    """`timing.seconds_of`; of a watched step it writes down the parts too."""
    if not isinstance(step, Watched):
        return timing.seconds_of(step, count)
    step.spent.clear()
    seconds = timing.seconds_of(step, count)
    ops = {part: step.spent[part] / count for part in OPS}
    step.rounds.append(ops | {REST: seconds - sum(ops.values())})
    return seconds


def measured(workload: Any, present: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """The medians of all contestants, and of the parts of minigrad's, printed."""
    arrays = workload.arrays()
    steps = layers.contestants(workload, arrays, present)
    watched = {name: Watched(step) for name, step in steps.items() if name.startswith("minigrad")}
    steps |= watched | {"floor": layers.floor(arrays, module_for("cpu"))}
    times = timing.taken_in_turns(steps, rounds, seconds, clock)
    row = timing.report(workload.name, times, layers.OURS[0], [*present, "floor"])
    row["parts_s"] = {}
    for name, each in watched.items():
        turns = each.rounds[-rounds:]  # the first only counted
        parts = row["parts_s"][name] = {part: statistics.median(turn[part] for turn in turns) for part in PARTS}
        total = sum(parts.values())
        print(f"  {name}")
        for part, took in parts.items():
            print(f"    {part:28s} {took * 1e3:9.3f} ms {took / total:6.0%}")
    return row


def drawn(rows: list[dict[str, Any]]) -> Any:
    """A bar for each data format of each workload, in units of the step of the fastest peer."""
    figure, (axes,) = plot.figure(size=(9.5, 1.9 + 0.62 * len(rows)))
    labels, notes = [], []
    for i, row in enumerate(rows):
        medians = row["medians_s"]
        others = [name for name in medians if name not in ("floor", *row["parts_s"])]
        fastest = min(others or row["parts_s"], key=medians.__getitem__)
        unit = medians[fastest]
        labels.append(f"{row['workload']}\n{fastest}: {unit * 1e3:.2f} ms")
        for name, y in zip(row["parts_s"], (i - 0.19, i + 0.19), strict=True):
            left = 0.0
            for part, took in row["parts_s"][name].items():
                axes.barh(y, took / unit, 0.34, left, color=PARTS[part], label=part if y < 0 else None)
                left += took / unit
            notes.append((left, y, f" {left * unit * 1e3:.2f} ms, channels {name.split('_')[1]}"))
        low, label = medians["floor"] / unit, None if i else "floor: the three products alone"
        for color, width in (("white", 4), ("black", 1.6)):  # either reads on bars, light pages or dark ones
            axes.plot([low, low], [i - 0.42, i + 0.42], color=color, lw=width)
        axes.plot([], [], color=plot.INK, label=label)
    axes.axvline(1, color=plot.INK, lw=1, ls="--")
    width = 1.25 * max(left for left, _, _ in notes)
    for left, y, note in notes:
        at = 1 if left < 1 < left + 0.2 * width else left  # never across the dashed line
        axes.text(at, y, note, va="center", color=plot.INK, fontsize=8)
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlim=(0, width))
    axes.set_xlabel("time of a step, where the one named on the left is 1")
    axes.set_yticks(range(len(rows)), labels)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, labelcolor=plot.INK, fontsize=8)
    return figure


def main() -> None:
    options = timing.parser(__doc__, peers="torch", threads=2, rounds=9, seconds=0.1, only="")
    options.add_argument("--plot", help="draw the parts into this file")
    options.add_argument("--read", help="take the figures from this file, which --json has written; the latest count")
    given = options.parse_args()
    if given.read:
        rows = list({row["workload"]: row for row in timing.kept(given.read)}.values())
    else:
        present = timing.installed(given.peers, peers.PEERS)
        timing.limit_threads(given.threads)
        workloads = timing.chosen(WORKLOADS, given.only)
        rows = []
        for workload in workloads:
            rows.append(measured(workload, present, given.rounds, given.seconds))
            timing.keep(given.json, rows[-1])
    if given.plot:
        drawn(rows).savefig(given.plot, dpi=120)


if __name__ == "__main__":
    main()
