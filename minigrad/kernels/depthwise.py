r"""The three depthwise convolution kernels.

All three are derivatives of one trilinear form, with s stride, d dilation, p padding before:

    Phi(x, w, g) = sum_{n,t,k,c,m}  x[n, s*t + d*k - p, c] * w[k, c, m] * g[n, t, c*M + m]

`forward` is dPhi/dg, `input_grad` dPhi/dx, `kernel_grad` dPhi/dw. Shapes: x (N, L, C), w (K, C, M),
g (N, T, C*M); with ``layout="NCL"`` x (N, C, L) and g (N, C*M, T).

On the CPU there are two ways. Sums over `windows` cost K multiply-adds an output; products with `toeplitz` matrices
cost more of them, each several times faster, and a copy. One rule decides for all three: the way that costs less by
the estimates of both, which know the geometry and the layout alone.
"""

from __future__ import annotations

from minigrad.backend import Array, array_module, device_of, on_gpu
from minigrad.kernels import cuda, toeplitz, windows
from minigrad.kernels.geometry import Geometry
from minigrad.kernels.layout import shaped

_FEW = 1 << 13  # outputs below which the ten calls of a tile would take longer than the sums


def forward(x: Array, w: Array, geometry: Geometry, layout: str) -> Array:
    """y[n, t, c*M + m] = sum_k x[n, s*t + d*k - p, c] * w[k, c, m]."""
    if on_gpu(x, w):
        return cuda.forward(x, w, geometry, layout)
    xp = array_module(x)
    y = xp.empty(shaped(len(x), geometry.out_length, w.shape[1] * w.shape[2], layout), xp.result_type(x, w))
    if _by_products(y, geometry, layout):
        toeplitz.forward(_ncl(x, layout), w, _ncl(y, layout), geometry)
    else:
        windows.forward(_nlc(x, layout), w, _nlc(y, layout), geometry)
    return y


def input_grad(g: Array, w: Array, geometry: Geometry, layout: str) -> Array:
    """dx[n, l, c] = sum over all (t, k) with s*t + d*k - p = l, and m, of g[n, t, c*M + m] * w[k, c, m]."""
    if on_gpu(g, w):
        return cuda.input_grad(g, w, geometry, layout)
    xp = array_module(g)
    new = xp.zeros if geometry.dilation > 1 else xp.empty  # with dilation, no window may see some of the inputs
    dx = new(shaped(len(g), geometry.length, w.shape[1], layout), xp.result_type(g, w))
    if _by_products(g, geometry, layout):
        toeplitz.input_grad(_ncl(g, layout), w, _ncl(dx, layout), geometry)
    else:
        windows.input_grad(_nlc(g, layout), w, _nlc(dx, layout), geometry)
    return dx


def kernel_grad(x: Array, g: Array, geometry: Geometry, layout: str) -> Array:
    """dw[k, c, m] = sum_{n,t} x[n, s*t + d*k - p, c] * g[n, t, c*M + m]."""
    if on_gpu(x, g):
        return cuda.kernel_grad(x, g, geometry, layout)
    if _by_products(g, geometry, layout):
        return toeplitz.kernel_grad(_ncl(x, layout), _ncl(g, layout), geometry)
    return windows.kernel_grad(_nlc(x, layout), _nlc(g, layout), geometry)


def _by_products(y: Array, geometry: Geometry, layout: str) -> bool:
    """Whether products are the faster way to or from y: for long kernels, and the dtypes that BLAS has products of."""
    possible = geometry.stride == 1 or geometry.dilation == 1
    if device_of(y) != "cpu" or y.dtype.char not in "fdFD" or y.size < _FEW or not possible:
        return False
    return toeplitz.cost(geometry) < windows.cost(geometry, layout)


def _ncl(x: Array, layout: str) -> Array:
    """The view (N, C, L) of x."""
    return x.swapaxes(1, 2) if layout == "NLC" else x


def _nlc(x: Array, layout: str) -> Array:
    """The view (N, L, C) of x."""
    return x if layout == "NLC" else x.swapaxes(1, 2)
