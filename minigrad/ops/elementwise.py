"""Functions of one array, element by element. Each rule is the textbook derivative times g.

Where the derivative follows from the output y, the rule asks for y alone, and the tape keeps no input.
Branches look at the real part, so that the analytic functions also run on complex numbers.
"""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array, array_module, is_inexact
from minigrad.ops.comparison import where
from minigrad.tape import op


@op
def exp(x: Array) -> Array:
    """Exponential, y = e^x.

    >>> from minigrad import Tensor
    >>> Tensor([0.0]).exp().tolist()
    [1.0]
    """
    return array_module(x).exp(x)


exp.backward(x=lambda g, y: g * y)


@op
def log(x: Array) -> Array:
    """Natural logarithm.

    >>> from minigrad import Tensor
    >>> Tensor([1.0]).log().tolist()
    [0.0]
    """
    return array_module(x).log(x)


log.backward(x=lambda g, x: g / x)


@op
def sqrt(x: Array) -> Array:
    """Square root; its derivative at 0 is infinite.

    >>> from minigrad import Tensor
    >>> Tensor([4.0]).sqrt().tolist()
    [2.0]
    """
    return array_module(x).sqrt(x)


sqrt.backward(x=lambda g, y: g * 0.5 / y)


@op
def sign(x: Array) -> Array:
    """-1, 0 or 1. A step has the derivative 0, so nothing flows back.

    >>> from minigrad import ops, Tensor
    >>> ops.sign(Tensor([-3.0, 0.0, 2.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return array_module(x).sign(x)


sign.backward(x=None)


@op
def abs(x: Array) -> Array:
    """Absolute value; its derivative at 0 is taken as 0.

    >>> from minigrad import Tensor
    >>> Tensor([-1.0, 2.0]).abs().tolist()
    [1.0, 2.0]
    """
    return array_module(x).abs(x)


abs.backward(x=lambda g, x: g * sign(x))


@op
def tanh(x: Array) -> Array:
    """Hyperbolic tangent.

    >>> from minigrad import Tensor
    >>> Tensor([0.0]).tanh().tolist()
    [0.0]
    """
    return array_module(x).tanh(x)


tanh.backward(x=lambda g, y: g * (1 - y * y))


@op
def sigmoid(x: Array) -> Array:
    """Logistic function, y = 1 / (1 + e^-x), computed without overflow on either side.

    >>> from minigrad import Tensor
    >>> Tensor([0.0, -1000.0]).sigmoid().tolist()
    [0.5, 0.0]
    """
    xp = array_module(x)
    if not is_inexact(x.dtype):
        x = x * 1.0
    negative = x.real < 0
    decay = xp.exp(xp.where(negative, x, -x))
    return xp.where(negative, decay, 1.0) / (1.0 + decay)


sigmoid.backward(x=lambda g, y: g * (y * (1 - y)))


@op
def relu(x: Array) -> Array:
    """Rectifier, y = max(x, 0); its derivative at 0 is taken as 0.

    >>> from minigrad import Tensor
    >>> Tensor([-1.0, 2.0]).relu().tolist()
    [0.0, 2.0]
    """
    xp = array_module(x)
    return xp.maximum(x, 0) if x.dtype.kind != "c" else xp.where(x.real > 0, x, 0)


relu.backward(x=lambda g, y: g * (y > 0))


@op
def astype(x: Array, *, dtype: Any) -> Array:
    """X in another dtype; its gradient returns to the dtype of x.

    >>> from minigrad import Tensor
    >>> Tensor([1.0]).astype("float64").dtype
    dtype('float64')
    """
    return x.astype(dtype)


astype.backward(x=lambda g: g)


@op
def clip(x: Array, *, minimum: float, maximum: float) -> Array:
    """X held within [minimum, maximum]; the derivative is 1 inside, the limits included, and 0 outside.

    >>> from minigrad import Tensor
    >>> Tensor([-3.0, 0.5, 3.0]).clip(-1, 1).tolist()
    [-1.0, 0.5, 1.0]
    """
    return array_module(x).clip(x, minimum, maximum)


clip.backward(x=lambda g, x, minimum, maximum: where((x >= minimum) * (x <= maximum), g, 0.0))
