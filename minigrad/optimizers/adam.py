"""Rules by the first and second moments of the gradient: moving averages m of g and v of g^2."""

from __future__ import annotations

import math
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.config import argument, boolean
from minigrad.kernels.norms import norm, scaled, with_square
from minigrad.optimizers.arguments import below_one, not_negative
from minigrad.optimizers.formulas import lerp
from minigrad.optimizers.joint import Group
from minigrad.optimizers.optimizer import Optimizer
from minigrad.replay import each_time, host_number, lifted
from minigrad.variable import Variable


class Moments(Optimizer):
    """The arguments of the rules with two moments, and what these do first."""

    learning_rate: Any
    beta_1: float = argument(below_one, 0.9)
    beta_2: float = argument(below_one, 0.999)
    epsilon: float = argument(not_negative, 1e-7)

    def gather(self, gradient: Array, momentum: Array, velocity: Array) -> Array:
        """Let the gradient into the moments. Returns it, but for numbers too large to be squared."""
        gradient, square = with_square(gradient)
        lerp(momentum, gradient, 1 - self.beta_1)
        lerp(velocity, square, 1 - self.beta_2)
        return gradient


@lifted
def corrected_rate(learning_rate: float, t: int, beta_1: float, beta_2: float) -> float:
    """The learning rate with both moments' bias corrected: what they lack in step t, since they start from 0."""
    return learning_rate * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)


class Adam(Moments):
    r"""Adam (Kingma and Ba 2015), in the form before section 2.1 of the paper, with its epsilon hat:

    .. math:: w \leftarrow w - \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \frac{m}{\sqrt{v} + \varepsilon}

    With amsgrad (Reddi et al. 2018), v there is the greatest so far.

    >>> w = Variable([1.0, 2.0], name="w")
    >>> Adam(0.5).apply([w.detach()], [w])
    >>> w.numpy().round(3).tolist()
    [0.5, 1.5]
    """

    learning_rate: Any
    beta_1: float
    beta_2: float
    epsilon: float
    amsgrad: bool = argument(boolean, False)
    elementwise = True

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
        xp = array_module(variable)
        self.gather(gradient, momentum, velocity)
        if velocity_hat is not None:
            velocity = xp.maximum(velocity_hat, velocity, out=velocity_hat)
        alpha = corrected_rate(learning_rate, self.iterations + 1, self.beta_1, self.beta_2)
        variable -= alpha * momentum / (xp.sqrt(velocity) + self.epsilon)


def _decay(name: str, value: Any) -> float:
    if value is None:
        raise ValueError(f"Argument `{name}` must be a float. Received: {name}=None")
    return not_negative(name, value)


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019)."""

    learning_rate: Any
    weight_decay: float = argument(_decay, 0.004)


class Adamax(Moments):
    r"""Adam with the infinity norm (Kingma and Ba 2015, section 7.1), where u is the greatest \|g\|, fading:

    .. math:: u \leftarrow \max(\beta_2 u, |g|), \quad
              w \leftarrow w - \frac{\eta}{1 - \beta_1^t} \frac{m}{u + \varepsilon}
    """

    elementwise = True

    def update_step(
        self, gradient: Array, variable: Array, learning_rate: float, momentum: Array, norm: Array
    ) -> None:
        lerp(momentum, gradient, 1 - self.beta_1)
        norm *= self.beta_2
        array_module(variable).maximum(norm, abs(gradient), out=norm)
        variable -= learning_rate / (1 - self.beta_1 ** (self.iterations + 1)) * momentum / (norm + self.epsilon)


class Nadam(Moments):
    r"""Adam with Nesterov's momentum (Dozat 2016), where :math:`\mu_t = \beta_1 (1 - 0.5 \cdot 0.96^t)` and
    :math:`U_t = \mu_1 \cdots \mu_t`:

    .. math:: w \leftarrow w - \eta \frac{\mu_{t+1} m / (1 - U_{t+1}) + (1 - \mu_t) g / (1 - U_t)}
                                      {\sqrt{v / (1 - \beta_2^t)} + \varepsilon}
    """

    elementwise = True

    def build(self, variables: Any) -> None:
        if not self.built:
            super().build(variables)
            self._u_product = Variable(1.0, "float64", trainable=False, name="u_product")
            self._state.append(self._u_product)

    def _mu(self, t: int) -> float:
        return self.beta_1 * (1 - 0.5 * 0.96**t)

    def _multiply(self) -> None:
        self._u_product.assign(self._u_product.item() * self._mu(self.iterations + 1))

    def _update(self, gradients: list[Array], groups: list[Group], learning_rate: float) -> None:
        each_time(self._multiply)  # once for all variables
        super()._update(gradients, groups, learning_rate)

    def update_step(
        self, gradient: Array, variable: Array, learning_rate: float, momentum: Array, velocity: Array
    ) -> None:
        t, u = self.iterations + 1, host_number(self._u_product.item)
        mu, mu_next = self._mu(t), self._mu(t + 1)
        gradient = self.gather(gradient, momentum, velocity)
        ahead = mu_next / (1 - u * mu_next) * momentum + (1 - mu) / (1 - u) * gradient
        root = array_module(variable).sqrt(velocity) / (1 - self.beta_2**t) ** 0.5
        variable -= learning_rate * ahead / (root + self.epsilon)


class Lamb(Moments):
    r"""Adam's direction u, as long as the variable itself, times the learning rate (You et al. 2020):

    .. math:: u = \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \varepsilon}, \quad
              w \leftarrow w - \eta \frac{\|w\|}{\|u\|} u

    Where either norm is 0, their quotient counts as 1.
    """

    def update_step(
        self, gradient: Array, variable: Array, learning_rate: float, momentum: Array, velocity: Array
    ) -> None:
        t, xp = self.iterations + 1, array_module(variable)
        self.gather(gradient, momentum, velocity)
        root = xp.sqrt(velocity) / (1 - self.beta_2**t) ** 0.5
        direction = momentum / (1 - self.beta_1**t) / (root + self.epsilon)
        length, reach = norm([variable]), norm([direction])
        both = (length > 0) & (reach > 0)
        ratio = xp.where(both, length, 1) / xp.where(both, reach, 1)
        variable -= learning_rate * scaled(direction, ratio)
