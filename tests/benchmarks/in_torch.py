"""A separable convolution as PyTorch modules, in each layout that PyTorch computes in."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tests.benchmarks.workloads import Workload

LAYOUTS = ("NCL", "NCL, linear", "NLC, conv2d")


class Lines(nn.Module):
    """Views x (N, L, C) as pictures (N, C, 1, L), the channels last in memory."""

    def forward(self, x: Any) -> Any:
        return x.transpose(1, 2)[:, :, None]


class Mixed(nn.Linear):
    """A linear layer over the channels of x (N, C, L)."""

    def forward(self, x: Any) -> Any:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class Mean(nn.Module):
    """The mean over time of x (N, C, L) or (N, C, 1, L)."""

    def forward(self, x: Any) -> Any:
        return x.mean(tuple(range(2, x.ndim)))


def separable(workload: Workload, layout: str) -> list[nn.Module]:
    """The depthwise and the pointwise step; parameters in minigrad's order."""
    w = workload
    flat = layout != "NLC, conv2d"
    convolution: Any = nn.Conv1d if flat else nn.Conv2d
    symmetric = w.pads[0] == w.pads[1]

    def along(n: int, other: int) -> tuple[int, ...]:
        return (n,) if flat else (other, n)

    depthwise = convolution(
        w.channels, w.channels * w.multiplier, along(w.taps, 1), stride=along(w.stride, 1),
        padding=along(w.pads[0] if symmetric else 0, 0), dilation=along(w.dilation, 1), groups=w.channels, bias=False,
    )
    mix = Mixed if layout == "NCL, linear" else lambda channels, filters: convolution(channels, filters, 1)
    padding = [] if symmetric else [nn.ConstantPad1d(w.pads, 0.0)]
    return [*padding, depthwise, mix(w.channels * w.multiplier, w.filters)]


def network(modules: list[nn.Module], layout: str) -> nn.Sequential:
    """The modules one after the other, for inputs as `placed` gives them."""
    if layout == "NLC, conv2d":
        return nn.Sequential(Lines(), *modules).to(memory_format=torch.channels_last)
    return nn.Sequential(*modules)


def placed(x: Any, layout: str) -> Any:
    """x (N, L, C) of NumPy, in the order of axes that the layout begins with."""
    tensor = torch.from_numpy(x)
    return tensor if layout == "NLC, conv2d" else tensor.transpose(1, 2).contiguous()


def load(modules: nn.Module, weights: list[Any]) -> None:
    """Give the modules the weights of the same network in minigrad."""
    with torch.no_grad():
        for parameter, weight in zip(modules.parameters(), weights, strict=True):
            depthwise = parameter.ndim > 2 and parameter.shape[1] == 1  # (K, C, M) to (C*M, 1, K), others reversed
            parameter.copy_(torch.tensor(weight.transpose(1, 2, 0) if depthwise else weight.T).reshape(parameter.shape))
