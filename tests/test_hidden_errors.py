"""A checker that cannot be fooled: hidden errors never count as right, and right functions are never called wrong.

A sample runs by default; `-m slow` runs everything.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests import hidden_places, wild_functions
from tests.hidden_errors import Hidden

ERRORS = hidden_places.errors()
SAMPLE, REST = ERRORS[::5], [error for k, error in enumerate(ERRORS) if k % 5]
WILD = range(10_000)
UNDECIDED = 0.01  # of the right functions, at most
NOT_ANALYTIC = ("sign", "|x|")  # complex steps say nothing about them



def test_the_errors_are_many_and_differ() -> None:
    assert len(ERRORS) >= 500
    assert len({str(error) for error in ERRORS}) == len(ERRORS)
    counts = Counter(error.family for error in ERRORS)
    assert len(counts) == 7
    assert min(counts.values()) >= 40
    assert Counter(error.family for error in SAMPLE).keys() == counts.keys()


def test_every_hidden_error_is_clearly_wrong() -> None:
    off = {str(error): error.off() for error in ERRORS}
    assert min(off.values()) > 0.99e-4
    assert np.median(list(off.values())) > 0.3


def check_hidden(errors: list[Hidden]) -> None:
    """None counts as right."""
    assert [str(error) for error in errors if error.check() == "right"] == []


def test_hidden_errors_do_not_count_as_right() -> None:
    check_hidden(SAMPLE)


@pytest.mark.slow
def test_no_hidden_error_counts_as_right() -> None:
    check_hidden(REST)


# ---------------------------------------------------------------------- no false alarm


def test_the_wild_functions_are_right() -> None:
    known = 0
    for seed in range(360):
        wild = wild_functions.draw(seed)
        gap = wild.gap()
        if not any(word in wild.text for word in NOT_ANALYTIC):
            assert np.isnan(gap) or gap <= 100, str(wild)
            known += not np.isnan(gap)
    assert known >= 300


def check_wild(seeds: range) -> None:
    """None is called wrong or refused, and next to none is undecided."""
    alarms, undecided = {}, []
    for seed in seeds:
        wild = wild_functions.draw(seed)
        verdict, why = wild.check()
        if verdict == "undecided":
            undecided.append(f"{wild}: {why}")
        elif verdict != "right":
            alarms[seed] = verdict
    assert alarms == {}
    assert len(undecided) <= UNDECIDED * len(seeds), undecided


def test_wild_functions_raise_no_alarm() -> None:
    check_wild(WILD[:300])


@pytest.mark.slow
def test_no_wild_function_raises_an_alarm() -> None:
    check_wild(WILD)
