"""The command line: check the gradients of a function in a script.

    python -m minigrad.gradcheck path/to/file.py:function --shape x=4,8 --order 2

Inputs without ``--shape`` keep the default of the signature. The exit status is 0 when all gradients are right, 1 when
one is wrong, and 2 when the check could not be made.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minigrad.backend import host_generator
from minigrad.gradcheck.check import gradcheck
from minigrad.gradcheck.numeric import METHODS
from minigrad.gradcheck.report import GradcheckError
from minigrad.tensor import Tensor


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m minigrad.gradcheck", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("function", metavar="FILE.py:FUNCTION", help="a function of Tensors that returns a Tensor")
    parser.add_argument(
        "--shape", metavar="NAME=4,8", action="append", default=[], type=_shape,
        help="a normally distributed input of this shape; NAME= is a scalar",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="standard deviation of the inputs (1)")
    parser.add_argument("--shift", type=float, default=0.0, help="added to the inputs, to make them positive, say (0)")
    parser.add_argument("--order", type=int, choices=(1, 2), default=1)
    parser.add_argument("--method", choices=METHODS, default="central")
    parser.add_argument("--directions", type=int, default=2, help="random directions for each input (2)")
    parser.add_argument("--full", action="store_true", help="compare every element in any case")
    parser.add_argument("--seed", type=int, default=0, help="of inputs and directions (0)")
    parser.add_argument("--plot", metavar="FILE.png", help="draw error against step size; needs matplotlib")
    given = parser.parse_args(arguments)
    try:
        function = _load(given.function)
        inputs = _inputs(function, dict(given.shape), given.scale, given.shift, given.seed)
        report = gradcheck(
            function, inputs, order=given.order, method=given.method, directions=given.directions, full=given.full,
            seed=given.seed,
        )
    except GradcheckError as error:
        report = error.report
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(report, report.summary(), sep="\n\n")
    if given.plot:
        report.plot(given.plot)
    return 0 if report.passed else 1


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    """NAME=4,8 as a name and a shape."""
    name, equals, lengths = text.partition("=")
    try:
        shape = tuple(int(n) for n in lengths.split(",") if n)
    except ValueError:
        shape = (-1,)
    if not (name and equals) or any(n < 0 for n in shape):
        raise argparse.ArgumentTypeError(f"must be a name and lengths, as x=4,8. Received: {text!r}")
    return name, shape


def _load(where: str) -> Callable[..., Any]:
    """The function named by path/to/file.py:function."""
    file, colon, name = where.rpartition(":")
    path = Path(file)
    if not colon or not path.is_file():
        raise OSError(f"gradcheck: a function must be given as path/to/file.py:function. Received: {where!r}")
    spec = importlib.util.spec_from_file_location(f"checked_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"gradcheck: a file of Python must be given. Received: {where!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not callable(found):
        raise ImportError(f"gradcheck: {path.name} must define the function. Received: {name!r}")
    return found


def _inputs(
    function: Callable[..., Any], shapes: dict[str, tuple[int, ...]], scale: float, shift: float, seed: int
) -> dict[str, Tensor]:
    """Random inputs for the parameters that have a shape; the others must have a default."""
    parameters = inspect.signature(function).parameters
    if unknown := [name for name in shapes if name not in parameters]:
        raise ValueError(f"gradcheck: --shape must name parameters of {list(parameters)}. Received: {unknown}")
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in shapes]
    if missing:
        raise ValueError(f"gradcheck: each parameter without a default must have a --shape. Missing: {missing}")
    rng = host_generator(seed)
    return {name: Tensor(rng.normal(size=shapes[name]) * scale + shift) for name in parameters if name in shapes}


if __name__ == "__main__":
    sys.exit(main())
