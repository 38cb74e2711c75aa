"""The depthwise convolution family: three ops that are the derivatives of one trilinear form.

    Phi(x, w, g) = sum_{n,t,k,c,m}  x[n, s*t + d*k - p, c] * w[k, c, m] * g[n, t, c*M + m]

`depthwise_conv1d` = dPhi/dg, `depthwise_conv1d_input_grad` = dPhi/dx, `depthwise_conv1d_kernel_grad` =
dPhi/dw. A derivative of any of them is again one of them, so six one-line rules give every order.

Attributes, the same for all three: ``stride``, ``dilation``, ``padding`` = zeros (before, after), and
``layout``: "NLC" for x (N, L, C) and y (N, T, C*M), "NCL" for x (N, C, L) and y (N, C*M, T).
"""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array
from minigrad.kernels import depthwise
from minigrad.kernels.geometry import Geometry, remembered
from minigrad.kernels.layout import LAYOUTS, channel_axis, time_axis
from minigrad.ops.op import op

Shape = tuple[int, ...]


@remembered
def _geometry(
    who: str, layout: str, stride: int, dilation: int, padding: tuple[int, int], *, x: Shape | None = None,
    w: Shape | None = None, g: Shape | None = None, taps: int = 0, length: int = 0,
) -> Geometry:
    """The geometry, once the shapes of two of x, w, g fit it; ``taps`` where w is not given, ``length`` where x is not.

    What was received is added to an error by the op.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"{who}: layout must be one of {LAYOUTS}. Received: layout={layout!r}")
    if any(shape is not None and len(shape) != 3 for shape in (x, w, g)):
        raise ValueError(f"{who}: every argument must have 3 axes")
    axis, time = channel_axis(layout), time_axis(layout)
    try:
        geometry = Geometry(x[time] if x else length, w[0] if w else taps, stride, dilation, padding)
    except ValueError as error:
        raise ValueError(f"{who}: {error}") from error
    if x and w and x[axis] != w[1]:
        raise ValueError(f"{who}: x and w must have the same number of channels")
    if g and w and g[axis] != w[1] * w[2]:
        raise ValueError(f"{who}: g must have C*M channels, where w is (K, C, M)")
    if g and x and (g[0] != x[0] or g[axis] % max(x[axis], 1)):
        raise ValueError(f"{who}: g must have the batch of x and C*M channels")
    if g and g[time] != geometry.out_length:
        raise ValueError(f"{who}: g must have {geometry.out_length} time steps")
    return geometry


@op
def depthwise_conv1d(
    x: Array, w: Array, *, stride: int = 1, dilation: int = 1, padding: tuple[int, int] = (0, 0), layout: str = "NLC"
) -> Array:
    """Depthwise convolution: each channel is correlated with its own M kernels.

        y[n, t, c*M + m] = sum_k x[n, s*t + d*k - p, c] * w[k, c, m]

    Args:
        x: (N, L, C), or (N, C, L) for ``layout="NCL"``.
        w: (K, C, M).

    Returns:
        (N, T, C*M), or (N, C*M, T), with T = (L + p + p' - d*(K-1) - 1) // s + 1.

    Raises:
        ValueError: shapes that do not fit, or no output left.

    On the CPU, where products compute it, an infinity or NaN in x reaches up to 32 outputs beside those that see it.

    >>> from minigrad import Tensor, ops
    >>> x = Tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1)
    >>> w = Tensor([1.0, 10.0]).reshape(2, 1, 1)
    >>> ops.depthwise_conv1d(x, w).reshape(-1).tolist()
    [21.0, 32.0, 43.0]
    """
    geometry = _geometry("depthwise_conv1d", layout, stride, dilation, padding, x=x.shape, w=w.shape)
    return depthwise.forward(x, w, geometry, layout)


@op
def depthwise_conv1d_input_grad(
    g: Array, w: Array, *, length: int, stride: int = 1, dilation: int = 1, padding: tuple[int, int] = (0, 0),
    layout: str = "NLC",
) -> Array:
    """dPhi/dx, for inputs of ``length`` steps: the adjoint of `depthwise_conv1d` in x (a transposed convolution).

        dx[n, l, c] = sum over (t, k) with s*t + d*k - p = l, and m, of g[n, t, c*M + m] * w[k, c, m]

    Args:
        g: (N, T, C*M), or (N, C*M, T).
        w: (K, C, M).

    Returns:
        (N, L, C), or (N, C, L).
    """
    who = "depthwise_conv1d_input_grad"
    geometry = _geometry(who, layout, stride, dilation, padding, w=w.shape, g=g.shape, length=length)
    return depthwise.input_grad(g, w, geometry, layout)


@op
def depthwise_conv1d_kernel_grad(
    x: Array, g: Array, *, taps: int, stride: int = 1, dilation: int = 1, padding: tuple[int, int] = (0, 0),
    layout: str = "NLC",
) -> Array:
    """dPhi/dw, for kernels of ``taps`` steps: the adjoint of `depthwise_conv1d` in w.

        dw[k, c, m] = sum_{n,t} x[n, s*t + d*k - p, c] * g[n, t, c*M + m]

    Args:
        x: (N, L, C), or (N, C, L).
        g: (N, T, C*M), or (N, C*M, T).

    Returns:
        (K, C, M).
    """
    who = "depthwise_conv1d_kernel_grad"
    geometry = _geometry(who, layout, stride, dilation, padding, x=x.shape, g=g.shape, taps=taps)
    return depthwise.kernel_grad(x, g, geometry, layout)


def _length(shape: tuple[int, ...], layout: str) -> int:
    return shape[time_axis(layout)]


def _of_shape(dw: Any, shape: Shape) -> Any:
    """A kernel gradient in the shape of its kernel: of no channels nobody sees how many multipliers there are."""
    return dw if dw.shape == shape else dw.reshape(shape)


# The six rules. In those of the two companions, h is the cotangent; it stands in the place of x or of w.

depthwise_conv1d.backward(
    x=lambda g, w, x_shape, stride, dilation, padding, layout: depthwise_conv1d_input_grad(
        g, w, length=_length(x_shape, layout), stride=stride, dilation=dilation, padding=padding, layout=layout
    ),
    w=lambda g, x, w_shape, stride, dilation, padding, layout: _of_shape(
        depthwise_conv1d_kernel_grad(
            x, g, taps=w_shape[0], stride=stride, dilation=dilation, padding=padding, layout=layout
        ),
        w_shape,
    ),
)

depthwise_conv1d_input_grad.backward(
    g=lambda h, w, stride, dilation, padding, layout: depthwise_conv1d(
        h, w, stride=stride, dilation=dilation, padding=padding, layout=layout
    ),
    w=lambda h, g, w_shape, stride, dilation, padding, layout: _of_shape(
        depthwise_conv1d_kernel_grad(
            h, g, taps=w_shape[0], stride=stride, dilation=dilation, padding=padding, layout=layout
        ),
        w_shape,
    ),
)

depthwise_conv1d_kernel_grad.backward(
    x=lambda h, g, x_shape, stride, dilation, padding, layout: depthwise_conv1d_input_grad(
        g, h, length=_length(x_shape, layout), stride=stride, dilation=dilation, padding=padding, layout=layout
    ),
    g=lambda h, x, stride, dilation, padding, layout: depthwise_conv1d(
        x, h, stride=stride, dilation=dilation, padding=padding, layout=layout
    ),
)
