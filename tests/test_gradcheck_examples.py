"""The examples of the laboratory run, and show what they say they show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(folder: Path, name: str, *options: str) -> str:
    """What the script prints; run in an empty folder, with warnings as errors."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *options]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    return subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_step_size(tmp_path: Path) -> None:
    output = run(tmp_path, "step_size.py")
    left = {name: float(error) for name, error in re.findall(r"(\w+) +h = \S+ +relative error (\S+)", output)}
    assert left["central"] < 1e-8
    assert left["richardson"] < 1e-10
    assert left["complex"] < 1e-14
    assert (tmp_path / "step_size.png").read_bytes().startswith(b"\x89PNG")


def test_find_the_wrong_gradient(tmp_path: Path) -> None:
    output = run(tmp_path, "find_the_wrong_gradient.py")
    found = re.findall(r"found: (.*)", output)
    assert len(found) == 8
    hints = ["nothing", "sign", "0.5 times", "1.0001 times", "shifted by +1", "a sum over it is missing", "not flipped"]
    for hint, sentence in zip(hints, found, strict=False):
        assert hint in sentence
    assert found[-1].startswith("the second derivative by x is wrong")
    assert "of the gradient of w" in found[-1]
    assert (tmp_path / "find_the_wrong_gradient.png").read_bytes().startswith(b"\x89PNG")


def test_hessian_vector_product(tmp_path: Path) -> None:
    output = run(tmp_path, "hessian_vector_product.py")
    off = re.search(r"hvp against the full Hessian \(117\^2\): (\S+) off", output)
    assert off
    assert float(off[1]) < 1e-12
    newton = [float(norm) for norm in re.findall(r"newton \d+: .*\|gradient\| (\S+),", output)]
    assert newton[-1] < 1e-12
    assert len(newton) <= 12
    descent = re.search(r"descent after .*\|gradient\| (\S+)", output)
    assert descent
    assert float(descent[1]) > 1e-6
    assert (tmp_path / "hessian_vector_product.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["step_size.py", "find_the_wrong_gradient.py", "hessian_vector_product.py"])
def test_without_a_picture(name: str, tmp_path: Path) -> None:
    assert "picture" not in run(tmp_path, name, "--no-plot")
    assert not list(tmp_path.iterdir())
