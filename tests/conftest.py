"""What every test shares: the stand-in array module, plots that need no screen, ops forgotten afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # as many workers as cores: each of them, and what it starts, has one
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

from minigrad import Op, op
from tests import standin  # noqa: F401  registers the device "standin"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without -m, long campaigns and tests that need a GPU stay out."""
    if not config.option.markexpr:
        kept = [item for item in items if not ({"slow", "gpu"} & {mark.name for mark in item.iter_markers()})]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept


@pytest.fixture
def made() -> Iterator[Any]:
    """Make ops that are forgotten after the test."""
    known = set(Op.registry)
    yield op
    for name in set(Op.registry) - known:
        del Op.registry[name]
