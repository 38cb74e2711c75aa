"""Rules that divide by the root of gathered squares of the gradient: RMSprop, Adagrad, Adadelta, Ftrl."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minigrad.backend import Array, array_module, filled_like, wide
from minigrad.config import argument, boolean
from minigrad.kernels.norms import add_square, with_square
from minigrad.optimizers.arguments import not_negative, not_positive, share
from minigrad.optimizers.formulas import lerp
from minigrad.optimizers.optimizer import Optimizer
from minigrad.variable import Variable


class RMSprop(Optimizer):
    r"""RMSprop (Hinton 2012), with v the moving average of g^2:

    .. math:: w \leftarrow w - \eta g / \sqrt{v + \varepsilon}

    If centered, the square of the moving average of g is taken from v. With momentum mu the steps s gather in
    M <- mu M + s, and w <- w - M.

    >>> w = Variable([1.0, 2.0], name="w")
    >>> RMSprop(0.5, rho=0.75).apply([w.detach()], [w])
    >>> w.numpy().round(3).tolist()
    [0.0, 1.0]
    """

    learning_rate: Any
    rho: float = argument(share, 0.9)
    momentum: float = argument(share, 0.0)
    epsilon: float = argument(not_negative, 1e-7)
    centered: bool = argument(boolean, False)
    elementwise = True

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
        gradient, square = with_square(gradient)
        lerp(velocity, square, 1 - self.rho)
        if average_gradient is not None:
            lerp(average_gradient, gradient, 1 - self.rho)
            velocity = velocity - average_gradient * average_gradient
        step = learning_rate * gradient / array_module(variable).sqrt(velocity + self.epsilon)
        if momentum is not None:
            momentum *= self.momentum
            momentum += step
            step = momentum
        variable -= step


class Adagrad(Optimizer):
    r"""Adagrad (Duchi et al. 2011), with A the sum of all g^2 so far:

    .. math:: w \leftarrow w - \eta g / \sqrt{A + \varepsilon}
    """

    learning_rate: Any
    initial_accumulator_value: float = argument(not_negative, 0.1)
    epsilon: float = argument(not_negative, 1e-7)
    elementwise = True

    def slot(self, name: str, variable: Variable) -> Array | None:
        return filled_like(wide(variable.data), self.initial_accumulator_value)

    def update_step(self, gradient: Array, variable: Array, learning_rate: float, accumulator: Array) -> None:
        gradient = add_square(accumulator, gradient)
        variable -= learning_rate * gradient / array_module(variable).sqrt(accumulator + self.epsilon)


class Adadelta(Optimizer):
    r"""Adadelta (Zeiler 2012), with A and B the moving averages of g^2 and of the square of the step d:

    .. math:: d = -\sqrt{\frac{B + \varepsilon}{A + \varepsilon}} g, \quad w \leftarrow w + \eta d
    """

    learning_rate: Any
    rho: float = argument(share, 0.95)
    epsilon: float = argument(not_negative, 1e-7)
    elementwise = True

    def update_step(
        self,
        gradient: Array,
        variable: Array,
        learning_rate: float,
        accumulated_grad: Array,
        accumulated_delta_var: Array,
    ) -> None:
        xp = array_module(variable)
        gradient, square = with_square(gradient)
        lerp(accumulated_grad, square, 1 - self.rho)
        step = xp.sqrt((accumulated_delta_var + self.epsilon) / (accumulated_grad + self.epsilon)) * gradient
        lerp(accumulated_delta_var, step * step, 1 - self.rho)
        variable -= learning_rate * step


class Ftrl(Optimizer):
    r"""Follow the regularized leader (McMahan et al. 2013). With n the sum of all g^2, p the learning rate power, and
    :math:`\lambda_2 = l_2 + \beta / 2\eta`:

    .. math:: z \leftarrow z + g + 2 s w - \frac{n'^{-p} - n^{-p}}{\eta} w, \quad
              w \leftarrow \frac{\mathrm{clip}(z, -l_1, l_1) - z}{n'^{-p} / \eta + 2 \lambda_2}

    where s is the l2 shrinkage. The new w depends on the old one only through z.

    Raises:
        ValueError: in a step, a learning rate of 0, as a schedule may end with.
    """

    learning_rate: Any
    learning_rate_power: float = argument(not_positive, -0.5)
    initial_accumulator_value: float = argument(not_negative, 0.1)
    l1_regularization_strength: float = argument(not_negative, 0.0)
    l2_regularization_strength: float = argument(not_negative, 0.0)
    l2_shrinkage_regularization_strength: float = argument(not_negative, 0.0)
    beta: float = argument(not_negative, 0.0)
    elementwise = True

    def slot(self, name: str, variable: Variable) -> Array | None:
        return filled_like(wide(variable.data), self.initial_accumulator_value if name == "accumulator" else 0)

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Variable] | None = None) -> None:
        if self._present_rate() == 0:
            raise ValueError("Ftrl: learning_rate must not be 0, by which it divides. Received: learning_rate=0.0")
        super().apply(grads, trainable_variables)

    def update_step(
        self, gradient: Array, variable: Array, learning_rate: float, accumulator: Array, linear: Array
    ) -> None:
        l1, l2 = self.l1_regularization_strength, self.l2_regularization_strength + self.beta / (2 * learning_rate)
        before = accumulator**-self.learning_rate_power
        gradient = add_square(accumulator, gradient)
        after = accumulator**-self.learning_rate_power
        linear += gradient + 2 * self.l2_shrinkage_regularization_strength * variable
        linear -= (after - before) / learning_rate * variable
        variable[...] = (linear.clip(-l1, l1) - linear) / (after / learning_rate + 2 * l2)
