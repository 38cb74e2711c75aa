"""Ordinary convolution: windows unfolded to one axis, then one matrix product.

`unfold` copies every window of the input out; `fold`, its adjoint, adds windows back to where they came from.
"""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array, array_module, describe
from minigrad.kernels.geometry import Geometry
from minigrad.kernels.layout import LAYOUTS, time_axis
from minigrad.kernels.windows import windows
from minigrad.ops.linalg import matmul
from minigrad.ops.op import op


def _geometry(
    who: str, x: Array, taps: int, stride: int, dilation: int, padding: tuple[int, int], layout: str, length: int = -1
) -> Geometry:
    if layout not in LAYOUTS:
        raise ValueError(f"{who}: layout must be one of {LAYOUTS}. Received: layout={layout!r}")
    if x.ndim != 3 and length < 0:
        raise ValueError(f"{who}: x must have 3 axes. Received: x={describe(x)}")
    try:
        return Geometry(x.shape[time_axis(layout)] if length < 0 else length, taps, stride, dilation, padding)
    except ValueError as error:
        raise ValueError(f"{who}: {error}") from error


@op
def unfold(
    x: Array, *, taps: int, stride: int = 1, dilation: int = 1, padding: tuple[int, int] = (0, 0), layout: str = "NLC"
) -> Array:
    """Every window of x, copied out: y[n, t, k, c] = x[n, s*t + d*k - p, c].

    Args:
        x: (N, L, C), or (N, C, L) for ``layout="NCL"``.

    Returns:
        (N, T, K, C) in both layouts.

    >>> from minigrad import Tensor, ops
    >>> ops.unfold(Tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1), taps=2).reshape(2, 2).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    xp = array_module(x)
    geometry = _geometry("unfold", x, taps, stride, dilation, padding, layout)
    if layout == "NCL":
        x = x.transpose(0, 2, 1)
    padded = xp.pad(x, ((0, 0), padding, (0, 0))) if any(padding) else x
    view = windows(padded, taps, stride, dilation, geometry.out_length)
    return xp.ascontiguousarray(view.transpose(1, 2, 0, 3))


@op
def fold(
    g: Array, *, length: int, stride: int = 1, dilation: int = 1, padding: tuple[int, int] = (0, 0),
    layout: str = "NLC",
) -> Array:
    """The adjoint of `unfold`, for inputs of ``length`` steps: windows added to where they came from.

    Args:
        g: (N, T, K, C).

    Returns:
        (N, L, C), or (N, C, L) for ``layout="NCL"``.
    """
    xp = array_module(g)
    if g.ndim != 4:
        raise ValueError(f"fold: g must have 4 axes. Received: g={describe(g)}")
    batch, steps, taps, channels = g.shape
    geometry = _geometry("fold", g, taps, stride, dilation, padding, layout, length)
    if steps != geometry.out_length:
        raise ValueError(f"fold: g must have {geometry.out_length} time steps. Received: g={describe(g)}")
    half = g.dtype.char == "e"  # whose sums are made in float32
    x = xp.zeros((batch, length + padding[0] + padding[1], channels), "float32" if half else g.dtype)
    for k in range(taps):
        start = k * dilation
        x[:, start : start + stride * (steps - 1) + 1 : stride] += g[:, :, k]
    x = x[:, padding[0] : padding[0] + length]
    x = x.astype(g.dtype) if half else x
    return x if layout == "NLC" else x.transpose(0, 2, 1)


unfold.backward(
    x=lambda g, x_shape, stride, dilation, padding, layout: fold(
        g, length=x_shape[time_axis(layout)], stride=stride, dilation=dilation, padding=padding, layout=layout
    )
)

fold.backward(
    g=lambda h, g_shape, stride, dilation, padding, layout: unfold(
        h, taps=g_shape[2], stride=stride, dilation=dilation, padding=padding, layout=layout
    )
)


def conv1d(
    x: Any, w: Any, *, stride: int = 1, dilation: int = 1, padding: tuple[int, int] = (0, 0), layout: str = "NLC",
    groups: int = 1,
) -> Any:
    """Convolution, y[n, t, f] = sum_{k,c} x[n, s*t + d*k - p, c] * w[k, c, f], of arrays or Tensors.

    With ``groups`` = G the channels and the filters fall into G parts that see only each other; f then runs over
    the channels of its own group.

    Args:
        x: (N, L, C), or (N, C, L) for ``layout="NCL"``.
        w: (K, C/G, F).

    Returns:
        (N, T, F), or (N, F, T).

    Raises:
        ValueError: shapes that do not fit.

    >>> from minigrad import Tensor, ops
    >>> ops.conv1d(Tensor.ones(1, 5, 2), Tensor.ones(3, 2, 4)).shape
    (1, 3, 4)
    """
    if x.ndim != 3 or w.ndim != 3:
        raise ValueError(f"conv1d: every argument must have 3 axes. Received: x={x.shape}, w={w.shape}")
    taps, inputs, filters = w.shape
    channels = x.shape[3 - time_axis(layout)]
    if groups < 1 or channels != inputs * groups or filters % groups:
        raise ValueError(
            "conv1d: x must have groups * C channels for w (K, C, F), and groups must divide F. "
            f"Received: x={x.shape}, w={w.shape}, groups={groups}"
        )
    view = unfold(x, taps=taps, stride=stride, dilation=dilation, padding=padding, layout=layout)
    batch, steps = view.shape[:2]
    if groups == 1:
        y = matmul(view.reshape(batch, steps, taps * channels), w.reshape(taps * channels, filters))
    else:
        apart = view.reshape(batch * steps, taps, groups, inputs).transpose(2, 0, 1, 3)
        kernels = w.reshape(taps, inputs, groups, filters // groups).transpose(2, 0, 1, 3)
        rows = apart.reshape(groups, batch * steps, taps * inputs)
        y = matmul(rows, kernels.reshape(groups, taps * inputs, filters // groups))
        y = y.transpose(1, 0, 2).reshape(batch, steps, filters)
    return y if layout == "NLC" else y.transpose(0, 2, 1)
