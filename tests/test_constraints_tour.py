"""The tour runs, its constraints hold, and its ways start alike."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor

EXAMPLES = Path(__file__).parent.parent / "examples"
pytest.importorskip("tqdm")


@pytest.fixture
def tour(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(EXAMPLES)  # as for a script that is run from there
    return runpy.run_path(str(EXAMPLES / "constraints_tour.py"))


def run(folder: Path, *options: str, code: int = 0) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "constraints_tour.py"), *options]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == code, result.stdout + result.stderr
    return result.stderr if code else result.stdout


def test_the_example_runs(tmp_path: Path) -> None:
    output = run(tmp_path, "--epochs", "6", "--runs", "1")
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines()[1:6]}
    assert list(rows) == ["free", "MaxNorm(1)", "NonNeg", "UnitNorm", "L1(0.001)"]
    accuracy, exact, small, largest = (
        {name: float(row[i].rstrip("%")) for name, row in rows.items()} for i in (0, 2, 3, 5)
    )
    assert min(accuracy.values()) > 0.7
    assert exact["NonNeg"] > 1 > exact["free"]
    assert small["L1(0.001)"] > 10 * small["free"]
    assert max(largest["MaxNorm(1)"], largest["UnitNorm"]) <= 1
    assert (tmp_path / "constraints_tour.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("option", ["--epochs", "--runs"])
def test_the_example_refuses_bad_options(tmp_path: Path, option: str) -> None:
    assert f"error: {option} must be a positive integer. Received: -1" in run(tmp_path, option, "-1", code=2)


def test_constraints_hold_after_training(tour: dict[str, Any]) -> None:
    x, y = (part[:64] for part in tour["load"]()[:2])
    for name, way in tour["WAYS"].items():
        network = tour["train"](way, Tensor(x), y, 1, 0)
        for kernel, axis in zip(tour["kernels"](network), (0, 1, 0, 1), strict=True):
            values = kernel.numpy()
            norms = np.sqrt((values**2).sum(axis=axis))
            if name == "NonNeg":
                assert values.min() == 0
            elif name == "UnitNorm":
                np.testing.assert_allclose(norms, 1, rtol=1e-5)
            elif name == "MaxNorm(1)":
                assert norms.max() <= 1
            else:
                assert values.min() < 0
                assert norms.max() > 1.05


def test_all_ways_start_alike(tour: dict[str, Any]) -> None:
    starts = []
    for way in tour["WAYS"].values():
        mg.set_random_seed(3)
        network = tour["build"](way)
        network.build((None, 29, 12))
        starts.append([weight.numpy() for weight in network.weights])
    for weights in starts[1:]:
        for weight, first in zip(weights, starts[0], strict=True):
            np.testing.assert_array_equal(weight, first)


def test_pruning_takes_the_small_weights_alone(tour: dict[str, Any]) -> None:
    network = tour["build"]({}, filters=4)
    network.build((None, 29, 12))
    kernel = tour["kernels"](network)[0]
    kernel.assign(np.where(np.arange(36).reshape(3, 12, 1) % 2, 1e-3, 0.5).astype("f"))
    run = tour["judge"](network, Tensor.zeros(2, 29, 12), np.array([0, 1]))
    assert np.count_nonzero(run.weights == np.float32(1e-3)) == 18  # judged as it was
    assert set(kernel.numpy().ravel()) == {0.0, 0.5}
    assert run.share(0) == 0
