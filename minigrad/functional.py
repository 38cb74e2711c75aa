r"""Derivatives of functions, rather than of recorded values: vjp, jvp, jacobian, hessian, hvp.

Every function here takes ``f`` and its ``inputs``: one Tensor for f(x), or a list of them for f(x, y, ...). What
comes back for the inputs has the same form. Derivatives are partial: each argument is taken by itself, even where one
Tensor is given twice or f reads it from elsewhere too; a `no_grad` around the call does not matter. With J the Jacobian
of f, and ``create_graph=True`` where the result is to be differentiated itself:

| name     | result            | cost                                |
|----------|-------------------|-------------------------------------|
| vjp      | :math:`J^T v`     | one walk back                       |
| jvp      | :math:`J v`       | two walks: the vjp is linear in v   |
| hvp      | :math:`H v`       | two walks                           |
| jacobian | :math:`J`         | a walk for each element of f(x)     |
| hessian  | :math:`H`         | two walks for each element of x     |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from minigrad import ops
from minigrad.backend import array_module, asarray, describe, filled_like
from minigrad.tape import Leaf, Value, grad, recorded
from minigrad.tensor import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def _recorded(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose ops are recorded whatever `no_grad` says around it."""

    @wraps(function)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        with recorded():
            return function(*args, **kwargs)

    return within


@_recorded
def vjp(f: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False) -> tuple[Any, Any]:
    r"""The output, and the product :math:`J^T v` with one gradient for each input.

    Args:
        f: a function of Tensors to one Tensor.
        inputs: a Tensor, or a list of them.
        v: like the output; ones when that is a scalar.
        create_graph: record the result, so that it can itself be differentiated.

    Raises:
        TypeError: inputs that are not floating, an output that is no Tensor.  ValueError, RuntimeError: as `grad`.

    >>> x = Tensor([1.0, 2.0, 3.0])
    >>> y, g = vjp(lambda x: x * x, x, Tensor([1.0, 0.0, 1.0]))
    >>> g.tolist()
    [2.0, 0.0, 6.0]
    """
    leaves, several = _leaves("vjp", inputs)
    y = _call("vjp", f, leaves)
    gradients = pull(y, leaves, v, create_graph)
    return y if create_graph else y.detach(), gradients if several else gradients[0]


@_recorded
def jvp(f: Callable[..., Any], inputs: Any, v: Any, create_graph: bool = False) -> tuple[Any, Any]:
    r"""The output, and the product :math:`J v`: how the output changes when the inputs move along v.

    :math:`J^T u` is linear in u, so its derivative with respect to u, pulled back from v, is :math:`J v`.

    Args:
        v: like the inputs, and in the same form.

    >>> x = Tensor([1.0, 2.0, 3.0])
    >>> jvp(lambda x: x.sum() * x, x, Tensor([1.0, 0.0, 0.0]))[1].tolist()
    [7.0, 2.0, 3.0]
    """
    leaves, several = _leaves("jvp", inputs)
    tangents = _like("jvp", v, leaves, several)
    y = _call("jvp", f, leaves)
    u = leaf(filled_like(y.data, 0))
    total = None
    for g, tangent in zip(pull(y, leaves, u, create_graph=True), tangents, strict=True):
        if g.node is not None:
            part = pull(g, [u], tangent, create_graph)[0]
            total = part if total is None else total + part
    product = Tensor._output(filled_like(y.data, 0), None) if total is None else total
    return y if create_graph else y.detach(), product


@_recorded
def hvp(f: Callable[..., Any], inputs: Any, v: Any, create_graph: bool = False) -> tuple[Any, Any]:
    r"""The output of a scalar function, and the product :math:`H v` of its Hessian, which is never built.

    >>> x = Tensor([1.0, 2.0])
    >>> hvp(lambda x: (x ** 3).sum(), x, Tensor([1.0, 10.0]))[1].tolist()
    [6.0, 120.0]
    """
    leaves, several = _leaves("hvp", inputs)
    tangents = _like("hvp", v, leaves, several)
    y = _call("hvp", f, leaves)
    _scalar("hvp", y)
    products = [Tensor._output(filled_like(x.data, 0), None) for x in leaves]
    for g, tangent in zip(pull(y, leaves, None, create_graph=True), tangents, strict=True):
        for i, part in enumerate(pull(g, leaves, tangent, create_graph)):
            products[i] = products[i] + part
    return y if create_graph else y.detach(), products if several else products[0]


@_recorded
def jacobian(f: Callable[..., Any], inputs: Any, create_graph: bool = False) -> Any:
    """The Jacobian, of shape (*output, *input), for each input.

    >>> jacobian(lambda x: x * x, Tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    leaves, several = _leaves("jacobian", inputs)
    matrices = _rows(_call("jacobian", f, leaves), leaves, create_graph)
    return matrices if several else matrices[0]


@_recorded
def hessian(f: Callable[..., Any], inputs: Any, create_graph: bool = False) -> Any:
    """The Hessian of a scalar function, of shape (*input, *input); for a list of inputs a list of lists of blocks.

    >>> hessian(lambda x: (x ** 3).sum(), Tensor([1.0, 2.0])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """
    leaves, several = _leaves("hessian", inputs)
    y = _call("hessian", f, leaves)
    _scalar("hessian", y)
    blocks = [_rows(g, leaves, create_graph) for g in pull(y, leaves, None, create_graph=True)]
    return blocks if several else blocks[0][0]


def leaf(array: Any) -> Tensor:
    """A tensor around ``array``, not a copy of it, that gradients reach."""
    return Tensor._output(array, Leaf(array.shape, array.dtype))


def pull(y: Tensor, inputs: list[Tensor], v: Any = None, create_graph: bool = False) -> list[Tensor]:
    """`grad`, where an output without a tape, which depends on nothing, has gradients of zero."""
    if y.node is None:
        return [Tensor._output(filled_like(x.data, 0), None) for x in inputs]
    gradients: list[Tensor] = grad(y, inputs, v, create_graph)
    return gradients


def _rows(y: Tensor, leaves: list[Tensor], create_graph: bool) -> list[Tensor]:
    """The Jacobian of a recorded value, row by row."""
    rows = []
    for i in range(y.size):
        one = array_module(y.data).zeros_like(y.data, order="C")  # in another order reshape() would copy
        one.reshape(-1)[i] = 1
        rows.append(pull(y, leaves, one, create_graph))
    if not rows:
        return [Tensor.zeros(*y.shape, *x.shape, dtype=x.dtype, device=x.device) for x in leaves]
    columns = zip(*rows, strict=True)
    return [ops.stack(*column).reshape(*y.shape, *x.shape) for column, x in zip(columns, leaves, strict=True)]


def _leaves(who: str, inputs: Any) -> tuple[list[Tensor], bool]:
    """The inputs as Tensors of their own that require gradients, with the history of those that have one, and whether
    there were several.
    """
    several = isinstance(inputs, (list, tuple))
    given = list(inputs) if several else [inputs]
    leaves = []
    for i, x in enumerate(given):
        x = x if isinstance(x, Tensor) else Tensor(x)
        if x.dtype.kind != "f":
            raise TypeError(f"{who}: inputs must be floating. Received: inputs[{i}]={describe(x.data)}")
        leaves.append(x.reshape(x.shape) if x.requires_grad else leaf(x.data))
    return leaves, several


def _call(who: str, f: Callable[..., Any], leaves: list[Tensor]) -> Tensor:
    if not callable(f):
        raise TypeError(f"{who}: f must be a function of Tensors. Received: f={f!r}")
    y = f(*leaves)
    if not isinstance(y, Value):
        raise TypeError(f"{who}: f must return a Tensor. Received: {type(y).__name__}")
    return y  # type: ignore[return-value]


def _scalar(who: str, y: Tensor) -> None:
    if y.size != 1:
        raise ValueError(f"{who}: f must return a scalar. Received: shape={y.shape}")


def _like(who: str, v: Any, leaves: list[Tensor], several: bool) -> list[Tensor]:
    """Tangents, checked against the inputs."""
    if several and (not isinstance(v, (list, tuple)) or len(v) != len(leaves)):
        raise ValueError(f"{who}: v must be a list like inputs, of {len(leaves)}. Received: v={v!r}")
    tangents = []
    for i, (part, x) in enumerate(zip(v if several else [v], leaves, strict=True)):
        tangent = part if isinstance(part, Tensor) else Tensor(asarray(part, x.dtype, like=x.data))
        if tangent.shape != x.shape or tangent.device != x.device:
            raise ValueError(
                f"{who}: v must have the shape and device of the inputs. Received: v[{i}]={describe(tangent.data)} "
                f"on {tangent.device!r}, inputs[{i}]={describe(x.data)} on {x.device!r}"
            )
        tangents.append(tangent)
    return tangents
