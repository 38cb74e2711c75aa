"""Activations: functions of one Tensor (or array), found by name.

At a kink the derivative is that of TensorFlow, JAX and PyTorch where they agree. Where they do not, it is 0 for `relu`
with a limit, `hard_tanh` and `sparse_sigmoid`, as for `abs`; `leaky_relu` at 0 has its slope, as in TensorFlow and
PyTorch, and `selu` at 0 the derivative from the left, as in JAX and PyTorch.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from minigrad import ops
from minigrad.config import function_of
from minigrad.config import serialize as serialize

Activation = Callable[..., Any]

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def linear(x: Any) -> Any:
    """y = x."""
    return x


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """y = negative_slope (x - threshold) up to the threshold; above it x, and max_value from there on.

    With a max_value nothing above a negative threshold is below 0, as in Keras.

    >>> from minigrad import Tensor
    >>> relu(Tensor([-2.0, 1.0, 9.0]), negative_slope=0.5, max_value=6.0).tolist()
    [-1.0, 1.0, 6.0]
    """
    if threshold == 0 and not negative_slope:
        y = ops.relu(x)
        return y if max_value is None else ops.where(x >= max_value, max_value, y)
    below = x if threshold == 0 else -ops.relu(threshold - x)
    above = x
    if max_value is not None:
        above = ops.where(x >= max_value, max_value, ops.relu(x) if threshold < 0 else x)
    return ops.where(x <= threshold, negative_slope * below if negative_slope else 0.0, above)


def relu6(x: Any) -> Any:
    """y = min(max(x, 0), 6)."""
    return relu(x, max_value=6.0)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """y = x above 0, negative_slope x below."""
    return relu(x, negative_slope)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """y = x above 0, alpha (e^x - 1) below: Clevert et al. 2015."""
    return ops.where(x > 0, x, alpha * ops.expm1(ops.where(x > 0, 0.0, x)))  # never e to a large power


def selu(x: Any) -> Any:
    """y = 1.0507 elu(x, alpha=1.6733), which keeps mean 0 and variance 1: Klambauer et al. 2017."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


def celu(x: Any, alpha: float = 1.0) -> Any:
    """y = alpha elu(x / alpha), smooth at 0 for every alpha: Barron 2017."""
    return alpha * elu(x / alpha)


def sigmoid(x: Any) -> Any:
    """y = 1 / (1 + e^-x)."""
    return ops.sigmoid(x)


def log_sigmoid(x: Any) -> Any:
    """y = log(sigmoid(x))."""
    return -ops.softplus(-x)


def hard_sigmoid(x: Any) -> Any:
    """y = relu6(x + 3) / 6, the line of Keras 3; tf.keras 2 had clip(0.2 x + 0.5, 0, 1)."""
    return relu6(x + 3) / 6


def tanh(x: Any) -> Any:
    """y = tanh(x)."""
    return ops.tanh(x)


def hard_tanh(x: Any) -> Any:
    """y = x within (-1, 1), the nearer limit elsewhere."""
    return ops.where(ops.abs(x) < 1, x, ops.sign(x))


def tanh_shrink(x: Any) -> Any:
    """y = x - tanh(x)."""
    return x - ops.tanh(x)


def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """y = x where abs(x) > threshold, else 0."""
    return ops.where(ops.abs(x) <= threshold, 0.0, x)


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """y = x drawn towards 0 by the threshold, and 0 within it."""
    return ops.where(ops.abs(x) <= threshold, 0.0, x - threshold * ops.sign(x))


def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """y = x above the threshold, default_value elsewhere."""
    return ops.where(x <= threshold, default_value, x)


def exponential(x: Any) -> Any:
    """y = e^x."""
    return ops.exp(x)


def softplus(x: Any) -> Any:
    """y = log(1 + e^x)."""
    return ops.softplus(x)


def squareplus(x: Any, b: float = 4) -> Any:
    """y = (x + sqrt(x^2 + b)) / 2: Barron 2021."""
    return (x + ops.sqrt(x * x + b)) / 2


def softsign(x: Any) -> Any:
    """y = x / (1 + abs(x))."""
    return x / (1 + ops.abs(x))


def silu(x: Any) -> Any:
    """y = x sigmoid(x)."""
    return x * ops.sigmoid(x)


def hard_silu(x: Any) -> Any:
    """y = x hard_sigmoid(x)."""
    return x * hard_sigmoid(x)


def mish(x: Any) -> Any:
    """y = x tanh(softplus(x)): Misra 2019."""
    return x * ops.tanh(ops.softplus(x))


def gelu(x: Any, approximate: bool = False) -> Any:
    """y = x times the probability that a standard normal number is below x: Hendrycks and Gimpel 2016.

    ``approximate`` takes a tanh for the error function.
    """
    if approximate:
        return 0.5 * x * (1 + ops.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + ops.erf(x / math.sqrt(2)))


def sparse_sigmoid(x: Any) -> Any:
    """y = 0 up to -1, 1 from 1 on, (x + 1) / 2 between: Lee et al. 2024."""
    return (hard_tanh(x) + 1) / 2


def sparse_plus(x: Any) -> Any:
    """y = 0 up to -1, x from 1 on, (x + 1)^2 / 4 between: the integral of `sparse_sigmoid`."""
    slope = sparse_sigmoid(x)
    return ops.where(x < 1, slope * slope, x)


def glu(x: Any, axis: int = -1) -> Any:
    """y = a sigmoid(b), where a and b are the halves of x along ``axis``: Dauphin et al. 2016.

    Raises:
        ValueError: an odd length.

    >>> from minigrad import Tensor
    >>> glu(Tensor([[2.0, 0.0]])).tolist()
    [[1.0]]
    """
    length = x.shape[axis]
    if length % 2:
        raise ValueError(f"glu: the length of the axis must be even. Received: shape={x.shape}, axis={axis}")
    before = (slice(None),) * (axis % x.ndim)
    return x[(*before, slice(0, length // 2))] * ops.sigmoid(x[(*before, slice(length // 2, length))])


def softmax(x: Any, axis: int = -1) -> Any:
    """y = exp(x) / sum(exp(x)) along ``axis``."""
    return ops.softmax(x, axis=axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """y = log(softmax(x)) along ``axis``."""
    return ops.log_softmax(x, axis=axis)


def sparsemax(x: Any, axis: int = -1) -> Any:
    """y = the point nearest to x whose elements along ``axis`` are not negative and have the sum 1."""
    return ops.sparsemax(x, axis=axis)


swish = silu
hard_swish = hard_silu

# Every function above, under each of its names.
functions: dict[str, Activation] = {
    name: f for name, f in globals().items() if inspect.isfunction(f) and f.__module__ == __name__
}


def get(identifier: Any) -> Activation:
    """The activation of a name or a config; a function is itself, None is `linear`.

    Raises:
        ValueError: an unknown name, or no function.

    >>> get("relu") is relu, get(None) is linear
    (True, True)
    """
    if identifier is None:
        return linear
    identifier = function_of("activation", identifier)
    if isinstance(identifier, Mapping):
        identifier = identifier.get("config", identifier.get("class_name"))
    if isinstance(identifier, str) and identifier in functions:
        return functions[identifier]
    if callable(identifier):
        return identifier
    raise ValueError(f"Could not interpret activation function identifier: {identifier}")


deserialize = get
