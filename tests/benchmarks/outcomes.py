"""A plugin of pytest that keeps failures as rows the moment they happen, so that a run that is killed has its own.

    python -m pytest -p tests.benchmarks.outcomes --rows FILE

The first failure of each kind has its traceback. A row of the counts comes every few seconds and at the end; the latest
counts.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any

import pytest

from tests.benchmarks import timing

EVERY = 3.0  # seconds
NUMBER = re.compile(r"0x[0-9a-fA-F]+|(?<![A-Za-z_\d])[-+]?\d+\.?\d*(e[-+]?\d+)?")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows", help="append failures and counts to this file, a line of JSON each")


def pytest_configure(config: pytest.Config) -> None:
    rows = config.getoption("--rows")
    if rows and not hasattr(config, "workerinput"):  # where tests run side by side, who started them hears of all
        config.pluginmanager.register(Outcomes(rows))


class Outcomes:
    """What has become of the tests so far."""

    def __init__(self, rows: str) -> None:
        self.rows = rows
        self.counts: Counter[str] = Counter()
        self.seen: set[str] = set()
        self.written = time.monotonic()

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.note("error", report)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.note("failed" if report.when == "call" else "error", report)
        elif report.skipped:
            self.note("skipped", report)
        elif report.when == "call":
            self.note("passed", report)

    def note(self, outcome: str, report: Any) -> None:
        self.counts[outcome] += 1
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            lines = (crash.message if crash else str(report.longrepr)).splitlines()
            message = "; ".join(line.strip() for line in lines if line.strip())[:400]
            row = {"test": report.nodeid, "outcome": outcome, "error": message}
            if without_numbers(message) not in self.seen:
                self.seen.add(without_numbers(message))
                row["traceback"] = str(report.longrepr)[-8000:]
            timing.keep(self.rows, row)
        if time.monotonic() - self.written > EVERY:
            self.write()

    def pytest_sessionfinish(self) -> None:
        self.write()

    def write(self) -> None:
        self.written = time.monotonic()
        timing.keep(self.rows, {"tests": dict(self.counts)})


def without_numbers(message: str) -> str:
    """What a failure says whichever the numbers; those in names as float32 remain."""
    return re.sub(r"#([,;\s]+#)+", "#, ..", NUMBER.sub("#", message))


def kinds(rows: list[dict[str, Any]]) -> list[tuple[int, str, Counter[str]]]:
    """Failures by what they say, numbers left out: how many, what, and in which tests, parameters left out."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        if "test" in row:
            tests = found.setdefault(without_numbers(row["error"]), Counter())
            tests[row["test"].partition("[")[0].removeprefix("tests/")] += 1
    return sorted(((tests.total(), said, tests) for said, tests in found.items()), key=lambda kind: -kind[0])
