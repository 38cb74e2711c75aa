"""Gradient descent, with momentum, or by the sign alone: SGD, Lion."""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array, array_module
from minigrad.config import argument, boolean, number
from minigrad.optimizers.arguments import rate, share
from minigrad.optimizers.formulas import lerp
from minigrad.optimizers.optimizer import Optimizer
from minigrad.variable import Variable


def _momentum(name: str, value: Any) -> float:
    if not isinstance(value, float) or not 0 <= value <= 1:  # an integer is refused too, as in Keras
        raise ValueError(f"`{name}` must be a float between [0, 1]. Received: {name}={value!r}")
    return value


def _beta_1(name: str, value: Any) -> float:
    if not 0 < number(name, value) <= 1:
        raise ValueError(
            f"Argument `{name}` must be in the [0, 1] range. Otherwise, the optimizer degenerates to SignSGD. "
            f"Received: {name}={value}."
        )
    return value


class SGD(Optimizer):
    """Gradient descent: w <- w - lr g. With momentum mu: v <- mu v - lr g and w <- w + v, or, by Nesterov,
    w <- w + mu v - lr g with the new v (Sutskever et al. 2013).

    >>> w = Variable([1.0, 2.0], name="w")
    >>> SGD(0.5).apply([w.detach()], [w])
    >>> w.tolist()
    [0.5, 1.0]
    """

    learning_rate: Any = argument(rate, 0.01)
    momentum: float = argument(_momentum, 0.0)
    nesterov: bool = argument(boolean, False)
    elementwise = True

    def slot(self, name: str, variable: Variable) -> Array | None:
        return super().slot(name, variable) if self.momentum else None

    def update_step(
        self, gradient: Array, variable: Array, learning_rate: float, momentum: Array | None = None
    ) -> None:
        step = learning_rate * gradient
        if momentum is None:
            variable -= step
            return
        momentum *= self.momentum
        momentum -= step
        variable += self.momentum * momentum - step if self.nesterov else momentum


class Lion(Optimizer):
    """Steps of one length for every element, by the sign (Chen et al. 2023): with m the momentum from before,
    w <- w - lr sign(b1 m + (1 - b1) g); then m <- b2 m + (1 - b2) g.
    """

    learning_rate: Any
    beta_1: float = argument(_beta_1, 0.9)
    beta_2: float = argument(share, 0.99)
    elementwise = True

    def update_step(self, gradient: Array, variable: Array, learning_rate: float, momentum: Array) -> None:
        variable -= learning_rate * array_module(variable).sign(self.beta_1 * momentum + (1 - self.beta_1) * gradient)
        lerp(momentum, gradient, 1 - self.beta_2)
