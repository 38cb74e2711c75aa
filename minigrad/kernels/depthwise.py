r"""The three depthwise convolution kernels.

All three are derivatives of one trilinear form, with s stride, d dilation, p padding before:

    Phi(x, w, g) = sum_{n,t,k,c,m}  x[n, s*t + d*k - p, c] * w[k, c, m] * g[n, t, c*M + m]

`forward` is dPhi/dg, `input_grad` dPhi/dx, `kernel_grad` dPhi/dw. Shapes: x (N, L, C), w (K, C, M),
g (N, T, C*M); with ``layout="NCL"`` x (N, C, L) and g (N, C*M, T).

On the CPU there are three ways. Sums over `windows` cost K multiply-adds an output. Products with `toeplitz` matrices
cost more of them, each several times faster, and a copy. Products with `bands` cost fewer of them than these, and no
copy where time lies side by side; they want stride 1 and many sequences. One rule decides for each kernel: the way that
costs least by the estimates of each, which know the geometry, the size, and how the arrays lie in memory.
"""

from __future__ import annotations

import functools
from typing import Any

from minigrad.backend import Array, HostArray, array_module, on_gpu
from minigrad.kernels import bands, cuda, toeplitz, windows
from minigrad.kernels.geometry import Geometry
from minigrad.kernels.layout import shaped, time_axis

_FEW = 1 << 13  # outputs below which the ten calls of a tile would take longer than the sums


def forward(x: Array, w: Array, geometry: Geometry, layout: str) -> Array:
    """y[n, t, c*M + m] = sum_k x[n, s*t + d*k - p, c] * w[k, c, m]."""
    if on_gpu(x, w):
        return cuda.forward(x, w, geometry, layout)
    if "e" in (x.dtype.char, w.dtype.char):
        return _widened(forward, x, w, geometry, layout)
    xp = array_module(x)
    y = xp.empty(shaped(len(x), geometry.out_length, w.shape[1] * w.shape[2], layout), xp.result_type(x, w))
    way, swap = _way(geometry, layout, y, x, y)
    seen, made = (x.swapaxes(1, 2), y.swapaxes(1, 2)) if swap else (x, y)
    way.forward(seen, w, made, geometry)
    return y


def input_grad(g: Array, w: Array, geometry: Geometry, layout: str) -> Array:
    """dx[n, l, c] = sum over all (t, k) with s*t + d*k - p = l, and m, of g[n, t, c*M + m] * w[k, c, m]."""
    if on_gpu(g, w):
        return cuda.input_grad(g, w, geometry, layout)
    if "e" in (g.dtype.char, w.dtype.char):
        return _widened(input_grad, g, w, geometry, layout)
    xp = array_module(g)
    new = xp.zeros if geometry.dilation > 1 else xp.empty  # with dilation, no window may see some of the inputs
    dx = new(shaped(len(g), geometry.length, w.shape[1], layout), xp.result_type(g, w))
    way, swap = _way(geometry, layout, g, g, dx)
    given, made = (g.swapaxes(1, 2), dx.swapaxes(1, 2)) if swap else (g, dx)
    way.input_grad(given, w, made, geometry)
    return dx


def kernel_grad(x: Array, g: Array, geometry: Geometry, layout: str) -> Array:
    """dw[k, c, m] = sum_{n,t} x[n, s*t + d*k - p, c] * g[n, t, c*M + m]."""
    if on_gpu(x, g):
        return cuda.kernel_grad(x, g, geometry, layout)
    if "e" in (x.dtype.char, g.dtype.char):
        return _widened(kernel_grad, x, g, geometry, layout)
    way, swap = _way(geometry, layout, g, x, g, of_kernel=True)
    seen, given = (x.swapaxes(1, 2), g.swapaxes(1, 2)) if swap else (x, g)
    return way.kernel_grad(seen, given, geometry)


def _widened(kernel: Any, a: Array, b: Array, geometry: Geometry, layout: str) -> Array:
    """A kernel of half precision in float32: sums of float16 stop growing where a term is below half a step."""
    dtype = array_module(a).result_type(a, b)
    a, b = (x.astype("float32") if x.dtype == "float16" else x for x in (a, b))
    return kernel(a, b, geometry, layout).astype(dtype)


def _way(geometry: Geometry, layout: str, y: Array, a: Array, b: Array, of_kernel: bool = False) -> tuple[Any, bool]:
    """The fastest way to the outputs y, or from them, and whether it takes a and b, the arrays of steps that it reads
    and writes, with time and channels swapped. Products only of what BLAS multiplies.
    """
    if y.size < _FEW or type(y) is not HostArray or y.dtype.char not in "fdFD":
        return windows, layout == "NCL"
    time = time_axis(layout)
    copies = (not bands.are_rows(a, 0, time)) + (not bands.are_rows(b, 0, time))
    return _fastest(geometry, layout, len(y), y.size, copies, of_kernel)


@functools.lru_cache(maxsize=1024)  # training sees the same few shapes at every step
def _fastest(
    geometry: Geometry, layout: str, batch: int, size: int, copies: int, of_kernel: bool
) -> tuple[Any, bool]:
    """The way that costs least for ``size`` outputs, where bands must copy so many of the two arrays, and whether it
    takes them swapped.
    """
    costs = {windows: windows.cost(geometry, layout, of_kernel)}
    if geometry.stride == 1 or geometry.dilation == 1:
        costs[toeplitz] = toeplitz.cost(geometry, size)
    if geometry.stride == 1:
        costs[bands] = bands.cost(geometry, batch, size, copies, of_kernel=of_kernel)
    way = min(costs, key=costs.__getitem__)
    return way, (way is windows) == (layout == "NCL")
