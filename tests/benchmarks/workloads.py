"""Published layers built on depthwise-separable convolution, as benchmark shapes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Workload(NamedTuple):
    """One SeparableConv1D layer: N, L, C -> F, K taps, stride, dilation, multiplier, padding."""

    name: str
    batch: int
    length: int
    channels: int
    filters: int
    taps: int
    stride: int = 1
    dilation: int = 1
    multiplier: int = 1
    padding: str = "same"

    def arrays(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Input, weights and the gradient of the output, float32, channels last."""
        random = np.random.default_rng(seed)
        middle = self.channels * self.multiplier
        steps = -(-self.length // self.stride)
        shapes = {
            "x": (self.batch, self.length, self.channels),
            "depthwise": (self.taps, self.channels, self.multiplier),
            "pointwise": (middle, self.filters),
            "bias": (self.filters,),
            "g": (self.batch, steps, self.filters),
        }
        scales = {"depthwise": self.taps**-0.5, "pointwise": middle**-0.5}
        return {
            name: (random.standard_normal(shape) * scales.get(name, 1.0)).astype(np.float32)
            for name, shape in shapes.items()
        }

    @property
    def nbytes(self) -> int:
        """Bytes of the input."""
        return 4 * self.batch * self.length * self.channels

    @property
    def pads(self) -> tuple[int, int]:
        """Zeros before and after, by Keras's rule."""
        span = self.dilation * (self.taps - 1) + 1
        if self.padding == "causal":
            return span - 1, 0
        total = max((-(-self.length // self.stride) - 1) * self.stride + span - self.length, 0)
        return total // 2, total - total // 2


WORKLOADS = [
    Workload("spoken digits", 64, 32, 64, 96, 9),
    Workload("sepCNN", 128, 500, 64, 64, 3),
    Workload("MatchboxNet B1", 128, 128, 128, 64, 13),
    Workload("MatchboxNet epilogue", 128, 128, 64, 128, 29, dilation=2),
    Workload("QuartzNet B4", 8, 835, 256, 256, 39),
    Workload("QuartzNet C1", 8, 1670, 64, 256, 33, stride=2),
    Workload("QuartzNet C2", 4, 835, 512, 512, 87, dilation=2),
    Workload("Conv-TasNet", 4, 3999, 512, 128, 3, dilation=128, padding="causal"),
    Workload("EEGNet SSVEP", 64, 32, 8, 16, 8, multiplier=2),
    Workload("XceptionTime", 64, 128, 128, 128, 39),
]
