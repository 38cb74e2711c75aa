"""Steps by the first and second moment of the gradient."""

from __future__ import annotations

import math
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.config import argument, boolean, number
from minigrad.optimizers.formulas import lerp
from minigrad.optimizers.optimizer import Optimizer
from minigrad.variable import Variable


class Adam(Optimizer):
    r"""Adam (Kingma and Ba 2015), in the form before section 2.1 of the paper, with epsilon hat:

    .. math:: w \leftarrow w - \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \frac{m}{\sqrt{v} + \varepsilon}

    where m and v are the moving averages of g and g^2. With amsgrad (Reddi et al. 2018) the greatest v so far.

    >>> w = Variable([1.0, 2.0], name="w")
    >>> Adam(0.5).apply([w.detach()], [w])
    >>> w.numpy().round(3).tolist()
    [0.5, 1.5]
    """

    learning_rate: Any
    beta_1: float = argument(number, 0.9)
    beta_2: float = argument(number, 0.999)
    epsilon: float = argument(number, 1e-7)
    amsgrad: bool = argument(boolean, False)

    def slot(self, name: str, variable: Variable) -> Array | None:
        return super().slot(name, variable) if name != "velocity_hat" or self.amsgrad else None

    def update_step(
        self,
        gradient: Array,
        variable: Array,
        learning_rate: float,
        momentum: Array,
        velocity: Array,
        velocity_hat: Array | None = None,
    ) -> None:
        t, xp = self.iterations + 1, array_module(variable)
        lerp(momentum, gradient, 1 - self.beta_1)
        lerp(velocity, gradient * gradient, 1 - self.beta_2)
        if velocity_hat is not None:
            velocity = xp.maximum(velocity_hat, velocity, out=velocity_hat)
        alpha = learning_rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        variable -= alpha * momentum / (xp.sqrt(velocity) + self.epsilon)
