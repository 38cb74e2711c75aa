"""All that needs a GPU, by one command: the tests, the kernels against the card, steps against PyTorch.

    python -m tests.benchmarks.gpu [--peers torch,jax] [--json FOLDER]

It ends with a short table of what passed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from minigrad.backend import device_summary


def commands(peers: str, folder: str | None) -> dict[str, list[str]]:
    """What is run, by its title; with PyTorch among the peers, layers also meet torch.compile."""
    eager = ",".join(peer for peer in peers.split(",") if peer == "torch")
    peers += ",torch_compiled" if eager and "torch_compiled" not in peers else ""
    parts = {
        "tests": ["pytest", "-m", "gpu"],
        "kernels": ["tests.benchmarks.kernels"],
        "layers": ["tests.benchmarks.layers", "--device", "cuda", "--peers", peers],
        "small layers": ["tests.benchmarks.layers", "--device", "cuda", "--peers", peers, "--scale", "1"],
        "small step": ["tests.benchmarks.small_step", "--device", "cuda", "--peers", eager],
    }
    if folder:
        for title, command in parts.items():
            if title != "tests":
                command += ["--json", str(Path(folder) / f"{title.replace(' ', '_')}.json")]
    return {title: [sys.executable, "-m", *command] for title, command in parts.items()}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--peers", default="torch", help="the names of other libraries, separated by commas")
    options.add_argument("--json", help="write all figures into this folder")
    given = options.parse_args()
    try:
        summary = device_summary("cuda")
    except (ImportError, RuntimeError) as error:
        print(f"no GPU: {error}")
        return 1
    lines = [f"{'part':14s} {'result':8s} {'seconds':>8s}   {summary}"]
    failed = False
    for title, command in commands(given.peers, given.json).items():
        print(f"\n+ {' '.join(command)}", flush=True)
        start = time.perf_counter()
        code = subprocess.run(command, check=False).returncode
        failed |= code != 0
        lines.append(f"{title:14s} {'failed' if code else 'passed':8s} {time.perf_counter() - start:8.0f}")
    print("\n" + "\n".join(lines))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
