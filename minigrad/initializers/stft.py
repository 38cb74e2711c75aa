"""The initializer that makes a convolution a short-time Fourier transform."""

from __future__ import annotations

import math
from typing import Any

from minigrad.backend import Array, array_module, asarray, module_for
from minigrad.config import argument, boolean, one_of
from minigrad.initializers.initializer import Initializer, Shape

_COSINES = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46), "blackman": (0.42, 0.5, 0.08)}


def _window(name: str, value: Any) -> Any:
    return one_of(*_COSINES)(name, value) if isinstance(value, str) else value


def _scaling(name: str, value: Any) -> Any:
    return None if value is None else one_of("density", "spectrum")(name, value)


class STFT(Initializer):
    """A Conv1D kernel (T, 1, F): the real or imaginary part of exp(-2 pi i t f / (2 (F - 1))), times a window.

    Args:
        side: "real" or "imag".
        window: "hann", "hamming", "blackman", T numbers, or None.
        scaling: the window divided by the root of its sum of squares ("density"), by its sum of sizes ("spectrum"), or
            None.
        periodic: whether the window is one period long, or symmetric.

    Raises:
        ValueError: another word; called for another shape, or for a window of another length.
    """

    aliases = ("STFTInitializer",)
    side: str = argument(one_of("real", "imag"), "real")
    window: Any = argument(_window, "hann")
    scaling: str | None = argument(_scaling, "density")
    periodic: bool = argument(boolean, False)

    def values(self, shape: Shape) -> Array:
        if len(shape) != 3 or shape[1] != 1 or shape[2] < 2:
            raise ValueError(f"STFT: shape must be (T, 1, F), with F at least 2. Received: shape={shape}")
        length, _, bands = shape
        xp = module_for("cpu")
        time = xp.arange(length).reshape(length, 1, 1)
        angle = -2 * math.pi * time * xp.arange(bands) / (2 * (bands - 1))
        kernel = xp.cos(angle) if self.side == "real" else xp.sin(angle)
        if self.window is None:
            return kernel
        window = self._window_values(time)
        norms = {"density": xp.sqrt((window * window).sum()), "spectrum": abs(window).sum(), None: 1.0}
        return kernel * window / norms[self.scaling]

    def _window_values(self, time: Array) -> Array:
        length = time.size
        if not isinstance(self.window, str):
            window = asarray(self.window, "float64")
            if window.shape != (length,):
                raise ValueError(
                    f"The shape of `window` must be equal to [frame_length]. Received: window shape={window.shape}"
                )
            return window.reshape(time.shape)
        phase = 2 * math.pi * time / max(length - (not self.periodic), 1)
        xp = array_module(phase)
        cosines = _COSINES[self.window] if length > 1 else (1.0,)
        return sum((-1) ** k * a * xp.cos(k * phase) for k, a in enumerate(cosines))
