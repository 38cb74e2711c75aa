"""How the time of a training step of SeparableConv1D grows with the batch N and with the length L.

    python -m tests.benchmarks.scale [--threads 2] [--only "MatchboxNet B1"] [--json FILE]

Each is varied alone over four doublings, from its published value on. The slope is that of the line through log(time)
over log(N) or log(L): 1 where the time is proportional.
"""

from __future__ import annotations

import statistics

import numpy as np

from tests.benchmarks import peers, timing
from tests.benchmarks.workloads import WORKLOADS, Workload

DOUBLINGS = 4


def varied(workload: Workload, what: str) -> dict[int, Workload]:
    """The workload at five values of its ``batch`` or ``length``."""
    least = getattr(workload, what)
    return {least << i: workload._replace(**{what: least << i}) for i in range(DOUBLINGS + 1)}


def slope(seconds: dict[int, float]) -> float:
    """Of the line through log(seconds) over log(size)."""
    return float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])


def main() -> None:
    given = timing.parser(__doc__, threads=2, rounds=7, seconds=0.15, only="").parse_args()
    timing.limit_threads(given.threads)
    for workload in timing.chosen(WORKLOADS, given.only):
        for letter, what in (("N", "batch"), ("L", "length")):
            cases = varied(workload, what)
            steps = {
                str(size): peers.minigrad(case, case.arrays(), "cpu")["channels_last"][0]
                for size, case in cases.items()
            }
            times = timing.taken_in_turns(steps, given.rounds, given.seconds)
            medians = {size: statistics.median(times[str(size)]) for size in cases}
            print(f"\n{workload.name}, time over {letter}: slope {slope(medians):.2f}")
            for size, median in medians.items():
                print(f"  {letter} = {size:6d} {median * 1e3:9.3f} ms   {median / size * 1e6:9.3f} us each")
            row = {"workload": workload.name, "axis": letter, "medians_s": medians, "slope": slope(medians)}
            timing.keep(given.json, row)


if __name__ == "__main__":
    main()
