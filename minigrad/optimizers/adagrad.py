"""Steps over the root of gathered squares of the gradient."""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array, array_module
from minigrad.config import argument, boolean, number
from minigrad.optimizers.formulas import lerp
from minigrad.optimizers.optimizer import Optimizer
from minigrad.variable import Variable


class RMSprop(Optimizer):
    r"""RMSprop (Hinton 2012): steps of :math:`\eta g / \sqrt{v + \varepsilon}`, v the moving average of g^2.

    centered takes the square of the moving average of g from v. With momentum mu the steps s gather in
    M <- mu M + s, and w <- w - M.

    >>> w = Variable([1.0, 2.0], name="w")
    >>> RMSprop(0.5, rho=0.75).apply([w.detach()], [w])
    >>> w.numpy().round(3).tolist()
    [0.0, 1.0]
    """

    learning_rate: Any
    rho: float = argument(number, 0.9)
    momentum: float = argument(number, 0.0)
    epsilon: float = argument(number, 1e-7)
    centered: bool = argument(boolean, False)

    def slot(self, name: str, variable: Variable) -> Array | None:
        needed = {"velocity": True, "momentum": self.momentum > 0, "average_gradient": self.centered}
        return super().slot(name, variable) if needed[name] else None

    def update_step(
        self,
        gradient: Array,
        variable: Array,
        learning_rate: float,
        velocity: Array,
        momentum: Array | None = None,
        average_gradient: Array | None = None,
    ) -> None:
        lerp(velocity, gradient * gradient, 1 - self.rho)
        variance = velocity
        if average_gradient is not None:
            lerp(average_gradient, gradient, 1 - self.rho)
            variance = velocity - average_gradient * average_gradient
        step = learning_rate * gradient / array_module(variable).sqrt(variance + self.epsilon)
        if momentum is not None:
            momentum *= self.momentum
            momentum += step
            step = momentum
        variable -= step
