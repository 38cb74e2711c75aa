"""Each example runs as its reader would run it, with few steps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(folder: Path, name: str, *options: str, code: int = 0) -> str:
    """What the script prints, or the error it ends with; run in an empty folder, with warnings as errors."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *options]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == code, result.stdout + result.stderr
    return result.stderr if code else result.stdout


def test_japanese_vowels(tmp_path: Path) -> None:
    output = run(tmp_path, "japanese_vowels.py", "--epochs", "12", "--seed", "1")
    assert "gradient check: criterion: all 9 gradients agree" in output
    found = re.search(r"test accuracy (0\.\d{3}) \((\d+)/370\)\n$", output)
    assert found, output
    assert float(found[1]) > 0.9
    for name in ("history", "confusion"):
        assert (tmp_path / f"japanese_vowels_{name}.png").read_bytes().startswith(b"\x89PNG")


def test_japanese_vowels_is_repeatable(tmp_path: Path) -> None:
    first, second = (run(tmp_path, "japanese_vowels.py", "--epochs", "2", "--no-plot") for _ in range(2))
    assert first.splitlines()[-1] == second.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [["--epochs", "0"], ["--epochs", "many"], ["--speakers", "3"]])
def test_japanese_vowels_refuses_bad_options(tmp_path: Path, options: list[str]) -> None:
    assert "error: " in run(tmp_path, "japanese_vowels.py", *options, code=2)


def test_japanese_vowels_without_a_gpu_says_what_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("tqdm")
    try:
        import cupy  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("CuPy is installed")
    output = run(tmp_path, "japanese_vowels.py", "--epochs", "1", "--device", "cuda", code=1)
    assert "device 'cuda': CuPy must be installed" in output
