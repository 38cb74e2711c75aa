"""Adafactor: second moments of a matrix kept as one row and one column."""

from __future__ import annotations

import math
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.config import argument, boolean
from minigrad.kernels.norms import mean, norm, with_square
from minigrad.optimizers.arguments import not_negative, not_positive, positive_number
from minigrad.optimizers.formulas import lerp
from minigrad.optimizers.optimizer import Optimizer
from minigrad.replay import lifted
from minigrad.variable import Variable


@lifted
def _bounded(learning_rate: float, t: int) -> float:
    return min(learning_rate, 1 / math.sqrt(t))


def _rms(array: Array) -> Array:
    return (norm([array]) / max(array.size, 1) ** 0.5).astype(array.dtype)


class Adafactor(Optimizer):
    r"""Adafactor (Shazeer and Stern 2018). Of the moving average v of :math:`g^2 + \varepsilon_1` over the last two
    axes only the means r over rows and c over columns are kept:

    .. math:: v = \frac{r}{\mathrm{mean}(r)} c, \quad u = \frac{g}{\sqrt v}, \quad
              w \leftarrow w - \max(\varepsilon_2, \mathrm{rms}\, w) \min(\eta, t^{-1/2})
                               \frac{u}{\max(1, \mathrm{rms}\, u / d)}

    The averages move by :math:`t^{-0.8}`; a variable of fewer than two axes keeps v itself. ``relative_step`` changes
    nothing, here as in Keras: the step is bounded by :math:`t^{-1/2}` in any case.
    """

    learning_rate: Any
    beta_2_decay: float = argument(not_positive, -0.8)
    epsilon_1: float = argument(not_negative, 1e-30)
    epsilon_2: float = argument(not_negative, 1e-3)
    clip_threshold: float = argument(positive_number, 1.0)
    relative_step: bool = argument(boolean, True)

    def slot(self, name: str, variable: Variable) -> Array | None:
        if (name == "velocity") != (variable.ndim < 2):
            return None
        shape, axis = list(variable.shape), {"r": -1, "c": -2}.get(name)
        if axis is not None:
            del shape[axis]
        return array_module(variable.data).zeros(tuple(shape), variable.dtype)

    def update_step(
        self, gradient: Array, variable: Array, learning_rate: float, r: Array, c: Array, velocity: Array | None
    ) -> None:
        t, xp = self.iterations + 1, array_module(variable)
        weight = t**self.beta_2_decay
        gradient, square = with_square(gradient)
        square += self.epsilon_1
        if velocity is not None:
            lerp(velocity, square, weight)
            root = xp.sqrt(velocity)
        else:
            lerp(r, mean(square, -1), weight)
            lerp(c, mean(square, -2), weight)
            root = xp.sqrt(r / mean(r, -1, keepdims=True))[..., None] * xp.sqrt(c)[..., None, :]
        direction = gradient / root
        direction /= xp.maximum(_rms(direction) / self.clip_threshold, 1)
        variable -= xp.maximum(_rms(variable), self.epsilon_2) * _bounded(learning_rate, t) * direction
