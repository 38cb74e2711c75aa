"""The sunspot numbers are those of their source, and no forecast sees what it forecasts."""

from __future__ import annotations

import hashlib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor

EXAMPLES = Path(__file__).parent.parent / "examples"
SHIPPED = EXAMPLES / "data" / "sunspots.csv"
pytest.importorskip("tqdm")


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / "sunspots_forecast.py"))


def run(folder: Path, *options: str, code: int = 0) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "sunspots_forecast.py"), *options]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == code, result.stdout + result.stderr
    return result.stderr if code else result.stdout


def test_the_numbers_are_those_described(example: dict[str, Any]) -> None:
    years, numbers = example["load"]()
    np.testing.assert_array_equal(years, np.arange(1700, 2009))
    assert (numbers.min(), numbers.max()) == (0.0, 190.2)
    assert numbers.sum() == pytest.approx(15373.4)
    assert years[numbers.argmax()] == 1957
    known = {1700: 5, 1749: 80.9, 1778: 154.4, 1810: 0, 1870: 139, 1913: 1.4, 1957: 190.2, 1988: 100.2, 2008: 2.9}
    assert {year: numbers[year - 1700] for year in known} == known


def test_the_readme_states_the_checksum() -> None:
    text = (EXAMPLES / "data" / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(SHIPPED.read_bytes()).hexdigest() in text


def test_the_example_runs(tmp_path: Path) -> None:
    output = run(tmp_path, "--steps", "3", "--networks", "1", "--refit", "45")
    rows = {line[:20].strip(): line[20:].split() for line in output.splitlines()}
    assert rows["years ahead"] == ["1", "2", "3", "5", "8", "11"]
    persistence, line = (np.array(rows[name], float) for name in ("persistence", "autoregression(9)"))
    assert (line[:5] < persistence[:5]).all()
    assert len(rows["network"]) == 6
    assert re.search(r"^the network beats autoregression\(9\) at ", output, re.MULTILINE)
    assert (tmp_path / "sunspots_forecast.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("option", ["--steps", "--networks", "--refit"])
def test_the_example_refuses_bad_options(tmp_path: Path, option: str) -> None:
    assert f"error: {option} must be a positive integer. Received: 0" in run(tmp_path, option, "0", code=2)


def test_the_network_is_causal(example: dict[str, Any]) -> None:
    network = example["build"]()
    x = np.random.default_rng(0).normal(size=(1, 40, 1)).astype("f")
    changed = x.copy()
    changed[:, 25:] += 1
    before, after = network(Tensor(x)).numpy(), network(Tensor(changed)).numpy()
    np.testing.assert_array_equal(before[:, :25], after[:, :25])
    assert (before[:, 25] != after[:, 25]).all()
    changed = x.copy()
    changed[:, 40 - 1 - 17] += 1  # one year before the 17 that the last forecast sees
    np.testing.assert_array_equal(before[:, -1], network(Tensor(changed)).numpy()[:, -1])
    changed[:, 40 - 17] += 1
    assert (before[:, -1] != network(Tensor(changed)).numpy()[:, -1]).any()


def test_targets_are_the_years_to_come(example: dict[str, Any]) -> None:
    z = np.arange(30.0)
    targets, weights = example["futures"](z)
    assert targets.shape == weights.shape == (30, 11)
    np.testing.assert_array_equal(targets[16], np.arange(17, 28))
    assert weights.sum() == pytest.approx(1)
    known = np.arange(30)[:, None] + np.arange(1, 12) < 30
    known[:16] = False
    np.testing.assert_array_equal(weights > 0, known)


def test_no_forecast_sees_its_future(example: dict[str, Any]) -> None:
    """Other numbers from a year on leave every forecast made before that year as it was."""
    numbers = example["load"]()[1]
    other = numbers.copy()
    other[245:] = 999.0
    fits = {
        "persistence": example["fit_persistence"],
        "line": lambda known: example["fit_autoregression"](known, 9),
        "network": lambda known: example["fit_networks"](known, 2, 1, 0),
    }
    origins = range(235, 255)
    for name, fit in fits.items():
        one, two = (example["roll"](fit, series, origins, 5) for series in (numbers, other))
        np.testing.assert_array_equal(one[:11], two[:11], err_msg=name)  # the origin 245 sees 0, ..., 244
        assert (one[11:] != two[11:]).all(), name


def test_errors_are_matched_to_their_years(example: dict[str, Any]) -> None:
    numbers = np.arange(40.0)
    origins = range(20, 40)
    perfect = np.arange(20, 40)[:, None] + np.arange(11.0)
    missed = example["errors"](perfect, numbers, origins)
    assert (missed[~np.isnan(missed)] == 0).all()
    np.testing.assert_array_equal(np.isnan(missed), perfect >= 40)
    assert example["rmse"](missed + 2).tolist() == [2.0] * 11


def test_the_line_finds_a_line(example: dict[str, Any]) -> None:
    """Roots that follow a recursion of order 2 are continued exactly."""
    roots = [5.0, 5.2]
    for _ in range(80):
        roots.append(6.0 + 1.6 * (roots[-1] - 6) - 0.99 * (roots[-2] - 6))
    numbers = np.array(roots) ** 2
    forecast = example["fit_autoregression"](numbers[:60], 2)
    np.testing.assert_allclose(forecast(numbers[:60]), numbers[60:71], rtol=1e-8)
