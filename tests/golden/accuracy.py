"""Write accuracy.npz, PyTorch's float32 errors in the cases of `tests/accuracy.py`, and print both sides' as a table.

    python -m tests.golden.accuracy        (with a Python that has PyTorch, from the root of the project)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from tests.accuracy import CASES, ROUNDING, Case, computed, error


def depthwise(x: Any, w: Any, g: Any, stride: int, dilation: int, layout: str) -> list[Any]:
    taps, channels, multiplier = w.shape
    swap = (lambda a: a.transpose(1, 2)) if layout == "NLC" else (lambda a: a)
    kernel = w.permute(1, 2, 0).reshape(channels * multiplier, 1, taps)
    y = F.conv1d(swap(x), kernel, stride=stride, dilation=dilation, groups=channels)
    return list(torch.autograd.grad(y, [x, w], swap(g).detach()))


def softmax(f: Any) -> Any:
    return lambda x, g, axis: torch.autograd.grad(f(x, axis), [x], g.detach())


def standardize(x: Any, g: Any, axes: tuple[int, ...]) -> Any:
    if axes == (1,):
        return torch.autograd.grad(F.layer_norm(x, x.shape[1:], eps=1e-3), [x], g.detach())
    y = F.batch_norm(x.transpose(1, 2), None, None, training=True, eps=1e-3).transpose(1, 2)
    return torch.autograd.grad(y, [x], g.detach())


def activation(x: Any, name: str) -> list[Any]:
    f = {"log_sigmoid": F.logsigmoid, "sigmoid": torch.sigmoid, "tanh": torch.tanh}.get(name) or getattr(F, name)
    y = f(x)
    return [y, torch.autograd.grad(y.sum(), x)[0]]


THEIRS: dict[str, Any] = {
    "sum": lambda x, axis: [x.sum(axis)],
    "mean": lambda x, axis: [x.mean(axis)],
    "var": lambda x, axis: [x.var(axis, correction=0)],
    "logsumexp": lambda x, axis: [x.logsumexp(axis)],
    "bias": lambda x, b: torch.autograd.grad(((x + b) * x).sum(), [b]),
    "softmax": softmax(torch.softmax),
    "log_softmax": softmax(torch.log_softmax),
    "linear": lambda x, w, g: torch.autograd.grad(x @ w, [x, w], g.detach()),
    "standardize": standardize,
    "depthwise": depthwise,
    "activation": activation,
}


def in_torch(case: Case, dtype: Any) -> list[np.ndarray]:
    leaves = [torch.tensor(a, dtype=dtype, requires_grad=True) for a in case.arrays]
    return [y.detach().numpy().astype("float64") for y in THEIRS[case.kind](*leaves, **case.options)]


def main() -> None:
    theirs = []
    print("| calculation | minigrad | PyTorch |\n|---|---|---|")
    for case in CASES:
        truth = in_torch(case, torch.float64)
        ours, peer = (error(case, got, truth) for got in (computed(case, "float32"), in_torch(case, torch.float32)))
        print(f"| {case.name} | {ours:.1e} | {peer:.1e} |", "" if ours <= 2 * max(peer, ROUNDING) else "more")
        theirs.append(peer)
    np.savez(Path(__file__).with_suffix(".npz"), names=[case.name for case in CASES], errors=theirs)


if __name__ == "__main__":
    main()
