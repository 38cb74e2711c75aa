"""Functions of one array, element by element. Each rule is the textbook derivative times g.

Where the derivative follows from the output y, the rule asks for y alone, and the tape keeps no input.
Branches look at the real part, so that the analytic functions also run on complex numbers.
"""

from __future__ import annotations

import math
from typing import Any

from minigrad.backend import Array, HostArray, array_module, asarray, is_array
from minigrad.kernels.selection import select
from minigrad.ops.comparison import where
from minigrad.ops.op import op

_MANY = 1 << 12  # elements: below, making zeros costs more than it saves


def floating(x: Any) -> Array:
    """Integers and booleans as float64: differences of unsigned ones, and some of signed ones, wrap around."""
    if not is_array(x):
        x = asarray(x)
    return x if x.dtype.kind in "fc" else x.astype("float64")


def widened(x: Any) -> Any:
    """Half precision as float32, of arrays and of Tensors; the engine brings gradients back to their dtype."""
    return x.astype("float32") if x.dtype.char == "e" else x


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
def expm1(x: Array) -> Array:
    """y = e^x - 1, exact where x is small.

    >>> from minigrad import Tensor, ops
    >>> ops.expm1(Tensor([0.0, 1e-20])).tolist()
    [0.0, 9.999999682655225e-21]
    """
    return array_module(x).expm1(x)


expm1.backward(x=lambda g, x: g * exp(x))  # not y + 1, which is 0 where y is rounded to -1


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


abs.backward(x=lambda g, x: where(x > 0, g, where(x < 0, -g, 0.0)))


@op
def tanh(x: Array) -> Array:
    """Hyperbolic tangent.

    >>> from minigrad import Tensor
    >>> Tensor([0.0]).tanh().tolist()
    [0.0]
    """
    return array_module(x).tanh(x)


def _tanh_back(g: Any, y: Any) -> Any:
    """(1 - y^2) g; in half precision next to nothing would be left of it where y is near 1."""
    if y.dtype.char == "e":
        g, y = widened(g), widened(y)
    return g - g * y * y


tanh.backward(x=_tanh_back)


@op
def sigmoid(x: Array) -> Array:
    """Logistic function, y = 1 / (1 + e^-x), computed without overflow on either side.

    >>> from minigrad import Tensor
    >>> Tensor([0.0, -1000.0]).sigmoid().tolist()
    [0.5, 0.0]
    """
    xp = array_module(x)
    x = floating(x)
    negative = x.real < 0
    decay = xp.exp(xp.where(negative, x, -x))
    return xp.where(negative, decay, 1.0) / (1.0 + decay)


sigmoid.backward(x=lambda g, y: g * (y * (1 - y)))


@op
def softplus(x: Array) -> Array:
    """y = log(1 + e^x), computed without overflow; its derivative is `sigmoid`.

    >>> from minigrad import Tensor, ops
    >>> ops.softplus(Tensor([-1000.0, 1000.0])).tolist()
    [0.0, 1000.0]
    """
    xp = array_module(x)
    x = floating(x)
    negative = x.real < 0
    return xp.where(negative, 0.0, x) + xp.log1p(xp.exp(xp.where(negative, x, -x)))


softplus.backward(x=lambda g, x: g * sigmoid(x))

# Quotients of polynomials, highest power first, from the Cephes library (Moshier 1989, ndtr.c): for |x| < 1
# erf(x) = x T(x^2) / U(x^2), beyond it 1 - erf(x) = exp(-x^2) P(x) / Q(x).
_ERF_T = (9.60497373987051638749, 90.0260197203842689217, 2232.00534594684319226, 7003.32514112805075473,
          55592.3013010394962768)
_ERF_U = (1.0, 33.5617141647503099647, 521.357949780152679795, 4594.32382970980127987, 22629.0000613890934246,
          49267.3942608635921086)
_ERF_P = (2.46196981473530512524e-10, 0.564189564831068821977, 7.46321056442269912687, 48.6371970985681366614,
          196.520832956077098242, 526.445194995477358631, 934.528527171957607540, 1027.55188689515710272,
          557.535335369399327526)
_ERF_Q = (1.0, 13.2281951154744992508, 86.7072140885989742329, 354.937778887819891062, 975.708501743205489753,
          1823.90916687909736289, 2246.33760818710981792, 1656.66309194161350182, 557.535340817727675546)


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    """Horner's rule."""
    y = coefficients[0]
    for coefficient in coefficients[1:]:
        y = y * x + coefficient
    return y


@op
def erf(x: Array) -> Array:
    """Error function, y = 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.

    NumPy has none. The relative error is below 1e-15 in float64.

    >>> from minigrad import Tensor, ops
    >>> ops.erf(Tensor([0.0, 1.0, -9.0])).tolist()
    [0.0, 0.8427007794380188, -1.0]
    """
    xp = array_module(x)
    x = floating(x)
    if x.dtype == "float16":  # the polynomials leave its range
        return erf(x.astype("float32")).astype("float16")
    size = xp.where(x.real < 0, -x, x)
    near = xp.where(size.real > 1, 1.0, size)
    far = xp.where(size.real > 6, 6.0, size)  # beyond 6 erf(x) is 1 to the last digit
    inside = near * _polynomial(_ERF_T, near * near) / _polynomial(_ERF_U, near * near)
    outside = 1 - xp.exp(-far * far) * _polynomial(_ERF_P, far) / _polynomial(_ERF_Q, far)
    y = xp.where(size.real < 1, inside, outside)
    return xp.where(x.real < 0, -y, y)


erf.backward(x=lambda g, x: g * (2 / math.sqrt(math.pi)) * exp(-x * x))


@op
def relu(x: Array) -> Array:
    """Rectifier, y = max(x, 0); its derivative at 0 is taken as 0.

    >>> from minigrad import Tensor
    >>> Tensor([-1.0, 2.0]).relu().tolist()
    [0.0, 2.0]
    """
    xp = array_module(x)
    if x.dtype.kind == "c":
        return xp.where(x.real > 0, x, 0)
    if type(x) is not HostArray or x.size < _MANY or x.dtype.kind != "f":
        return xp.maximum(x, 0)
    return xp.maximum(x, xp.zeros(x.shape[1:], x.dtype))  # of two arrays NumPy takes the maximum faster


def _relu_back(g: Any, y: Any) -> Any:
    choose = select if type(g) is HostArray else where  # an op costs a little, and this is where networks spend it
    return choose(y <= 0, 0.0, g)


relu.backward(x=_relu_back)


@op
def astype(x: Array, *, dtype: Any) -> Array:
    """X in another dtype; its gradient returns to the dtype of x.

    >>> from minigrad import Tensor
    >>> Tensor([1.0]).astype("float64").dtype
    dtype('float64')
    """
    return x.astype(dtype)


astype.backward(x=lambda g: g)


@op(broadcasts=True)
def clip(x: Array, *, minimum: Any, maximum: Any) -> Array:
    """X held within [minimum, maximum]; the derivative is 1 inside, the limits included, and 0 outside.

    Args:
        minimum, maximum: numbers or arrays, which have no gradient; None for no limit.

    Raises:
        TypeError: a limit is something else.

    >>> from minigrad import Tensor
    >>> Tensor([-3.0, 0.5, 3.0]).clip(-1, 1).tolist()
    [-1.0, 0.5, 1.0]
    """
    for name, limit in (("minimum", minimum), ("maximum", maximum)):
        if limit is not None and not isinstance(limit, (int, float)) and not is_array(limit):
            raise TypeError(
                f"clip: limits must be numbers, arrays or None; ops.maximum and ops.minimum take Tensors. "
                f"Received: {name}={limit!r}"
            )
    return array_module(x).clip(x, minimum, maximum)


def _clip_back(g: Any, x: Any, minimum: Any, maximum: Any) -> Any:
    if minimum is not None:
        g = where(x >= minimum, g, 0.0)
    return g if maximum is None else where(x <= maximum, g, 0.0)


clip.backward(x=_clip_back)
