"""The same layer step in minigrad and in its peers: forward, then the gradients of the input and of every weight.

A contestant is a function of nothing that makes one step and returns (y, dx, d_depthwise, d_pointwise, d_bias) as
arrays of its own library. Beside it stands a function that brings them home for the comparison, in the layouts of
`Workload.arrays`, and of y and dx the first ``batch`` samples alone. Each peer gives several candidates, one for each
layout it can compute in; the benchmark takes its fastest.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tests.benchmarks.workloads import Workload

Step = Callable[[], Any]
Candidates = dict[str, tuple[Step, Callable[[Any], list[np.ndarray]]]]


def minigrad(workload: Workload, arrays: dict[str, Any], device: str) -> Candidates:
    """minigrad's layer, in both data formats."""
    from minigrad import Tensor
    from minigrad.backend import array_module
    from minigrad.layers import SeparableConv1D

    candidates: Candidates = {}
    for data_format in ("channels_last", "channels_first"):
        swap = data_format == "channels_first"

        def place(a: Any, swap: bool = swap) -> Any:
            return array_module(a).ascontiguousarray(a.swapaxes(1, 2)) if swap else a

        layer = SeparableConv1D(
            workload.filters, workload.taps, strides=workload.stride, padding=workload.padding,
            dilation_rate=workload.dilation, depth_multiplier=workload.multiplier, data_format=data_format,
        ).to(device)
        x = Tensor(place(arrays["x"]), device=device, requires_grad=True)
        g = Tensor(place(arrays["g"]), device=device)
        layer(x)
        layer.set_weights([arrays["depthwise"], arrays["pointwise"][None], arrays["bias"]])

        def step(layer: SeparableConv1D = layer, leaves: Any = (x, *layer.weights), g: Tensor = g) -> Any:
            for tensor in leaves:
                tensor.grad = None
            y = layer(leaves[0])
            y.backward(g)
            return [y, *(tensor.grad for tensor in leaves)]

        def home(results: Any, place: Any = place) -> list[np.ndarray]:
            y, dx, *weights = results
            first = (tensor[: workload.batch] for tensor in (y, dx))
            y, dx, dw, dp, db = (r.numpy() for r in (*first, *weights))
            return [place(y), place(dx), dw, dp[0], db]

        candidates[data_format] = (step, home)
    return candidates


def torch(workload: Workload, arrays: dict[str, Any], device: str, compiled: bool = False) -> Candidates:
    """PyTorch, eager or compiled: channels first as conv1d, the pointwise step as linear, channels last as conv2d."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    from minigrad.backend import array_module, tf32

    torch.backends.cuda.matmul.allow_tf32 = tf32()
    torch.backends.cudnn.allow_tf32 = tf32()
    torch.backends.cudnn.benchmark = True
    if compiled:
        torch._dynamo.reset()  # past eight workloads it would compile no more
    w = workload
    pads = w.pads

    def placed(a: Any) -> Any:
        return torch.as_tensor(a, device=device).clone()  # in memory that PyTorch has aligned

    def leaf(a: Any) -> Any:
        return placed(a).requires_grad_()

    def swapped(a: Any) -> Any:
        return array_module(a).ascontiguousarray(a.swapaxes(1, 2))

    depthwise = leaf(np.ascontiguousarray(arrays["depthwise"].transpose(1, 2, 0).reshape(-1, 1, w.taps)))
    pointwise = leaf(np.ascontiguousarray(arrays["pointwise"].T))
    bias = leaf(arrays["bias"])
    symmetric = pads[0] == pads[1]

    def convolved(x: Any) -> Any:
        padded = x if symmetric else F.pad(x, pads)
        return F.conv1d(
            padded, depthwise, stride=w.stride, padding=pads[0] if symmetric else 0, dilation=w.dilation,
            groups=w.channels,
        )

    def convolved_last(x: Any) -> Any:  # x (N, C, 1, L) in channels_last memory
        padded = x if symmetric else F.pad(x, pads)
        return F.conv2d(
            padded, depthwise[:, :, None], stride=(1, w.stride), padding=(0, pads[0] if symmetric else 0),
            dilation=(1, w.dilation), groups=w.channels,
        )

    first, last = leaf(swapped(arrays["x"])), leaf(arrays["x"])
    g_first, g_last = placed(swapped(arrays["g"])), placed(arrays["g"])
    forwards = {
        "NCL": (first, g_first, lambda x: F.conv1d(convolved(x), pointwise[:, :, None], bias)),
        "NCL, linear": (first, g_last, lambda x: F.linear(convolved(x).transpose(1, 2), pointwise, bias)),
        "NLC, conv2d": (
            last, g_last,
            lambda x: F.linear(convolved_last(x.transpose(1, 2)[:, :, None])[:, :, 0].transpose(1, 2), pointwise, bias),
        ),
    }

    candidates: Candidates = {}
    for name, (x, g, forward) in forwards.items():
        run = torch.compile(forward, dynamic=False) if compiled else forward

        def step(x: Any = x, g: Any = g, run: Any = run) -> Any:
            for tensor in (x, depthwise, pointwise, bias):
                tensor.grad = None
            y = run(x)
            y.backward(g)
            return [y, x.grad, depthwise.grad, pointwise.grad, bias.grad]

        def home(results: Any, x: Any = x, g: Any = g) -> list[np.ndarray]:
            y, dx, *weights = (r.detach() for r in results)
            y, dx, dw, dp, db = (r.cpu().numpy() for r in (y[: w.batch], dx[: w.batch], *weights))
            dw = dw.reshape(w.channels, w.multiplier, w.taps).transpose(2, 0, 1)
            return [
                y.swapaxes(1, 2) if g is g_first else y, dx.swapaxes(1, 2) if x is first else dx, dw, dp.T, db,
            ]

        candidates[name] = (step, home)
    return candidates


def keras(workload: Workload, arrays: dict[str, Any], device: str) -> Candidates:
    """Keras 3, compiled, on the backend of KERAS_BACKEND (tensorflow unless set).

    On TensorFlow with its own kernels and with XLA, channels last alone: it has no channels first on a CPU.
    """
    os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
    import keras

    w = workload
    backend = keras.backend.backend()
    candidates: Candidates = {}
    for data_format in ("channels_last",) if backend == "tensorflow" else ("channels_last", "channels_first"):
        swap = data_format == "channels_first"
        x, g = (np.ascontiguousarray(a.swapaxes(1, 2)) if swap else a for a in (arrays["x"], arrays["g"]))
        causal = w.padding == "causal"
        layer = keras.layers.SeparableConv1D(
            w.filters, w.taps, strides=w.stride, dilation_rate=w.dilation, depth_multiplier=w.multiplier,
            padding="valid" if causal else "same", data_format=data_format,
        )
        pad = keras.layers.ZeroPadding1D(w.pads if causal else 0, data_format=data_format)
        layer.build(pad.compute_output_shape(x.shape))
        layer.set_weights([arrays["depthwise"], arrays["pointwise"][None], arrays["bias"]])
        before = pad if causal else lambda x: x

        def home(results: Any, swap: bool = swap) -> list[np.ndarray]:
            y, dx, dw, dp, db = (np.asarray(r) for r in results)
            y, dx = (a[: w.batch].swapaxes(1, 2) if swap else a[: w.batch] for a in (y, dx))
            return [y, dx, dw, dp[0], db]

        if backend == "tensorflow":
            candidates |= {
                "tensorflow": (in_tensorflow(layer, before, x, g, xla=False), home),
                "tensorflow, XLA": (in_tensorflow(layer, before, x, g, xla=True), home),
            }
        else:
            candidates[f"{backend} {data_format}"] = (on_jax(layer, before, x, g), home)
    return candidates


def in_tensorflow(layer: Any, before: Callable[[Any], Any], x: np.ndarray, g: np.ndarray, xla: bool) -> Step:
    """A step of a layer of Keras on TensorFlow, as a function of its graph; ``before`` pads."""
    import tensorflow as tf

    inputs, given = tf.Variable(x), tf.constant(g)

    @tf.function(jit_compile=xla)
    def step() -> Any:
        with tf.GradientTape() as tape:
            y = layer(before(inputs))
        return [y, *tape.gradient(y, [inputs, *[v.value for v in layer.weights]], output_gradients=given)]

    return step


def on_jax(layer: Any, before: Callable[[Any], Any], x: np.ndarray, g: np.ndarray) -> Step:
    """A step of a layer of Keras on JAX, jitted; ``before`` pads."""
    import jax

    variables = [v.value for v in layer.weights]
    placed = [jax.numpy.asarray(a) for a in (x, g)]

    @jax.jit
    def jitted(x: Any, variables: Any, g: Any) -> Any:
        y, back = jax.vjp(lambda x, v: layer.stateless_call(v, [], before(x))[0], x, variables)
        dx, dv = back(g)
        return [y, dx, *dv]

    return lambda: jax.block_until_ready(jitted(placed[0], variables, placed[1]))


def jax(workload: Workload, arrays: dict[str, Any], device: str) -> Candidates:
    """JAX jitted, the layer written with lax in both layouts."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    w = workload
    kernel = jnp.asarray(arrays["depthwise"].reshape(w.taps, 1, -1))
    pointwise, bias = jnp.asarray(arrays["pointwise"]), jnp.asarray(arrays["bias"])

    def make(layout: str) -> tuple[Step, Callable[[Any], list[np.ndarray]]]:
        swap = layout == "NCW"
        x = jnp.asarray(arrays["x"].swapaxes(1, 2) if swap else arrays["x"])
        g = jnp.asarray(arrays["g"].swapaxes(1, 2) if swap else arrays["g"])

        def forward(x: Any, kernel: Any, pointwise: Any, bias: Any) -> Any:
            z = lax.conv_general_dilated(
                x, kernel, (w.stride,), [w.pads], rhs_dilation=(w.dilation,), dimension_numbers=(layout, "WIO", layout),
                feature_group_count=w.channels,
            )
            return jnp.einsum("nct,cf->nft", z, pointwise) + bias[:, None] if swap else z @ pointwise + bias

        @jax.jit
        def jitted(x: Any, kernel: Any, pointwise: Any, bias: Any, g: Any) -> Any:
            y, back = jax.vjp(forward, x, kernel, pointwise, bias)
            return [y, *back(g)]

        def step() -> Any:
            return jax.block_until_ready(jitted(x, kernel, pointwise, bias, g))

        def home(results: Any) -> list[np.ndarray]:
            y, dx, dw, dp, db = (np.asarray(r) for r in results)
            y, dx = (a[: w.batch].swapaxes(1, 2) if swap else a[: w.batch] for a in (y, dx))
            return [y, dx, dw.reshape(w.taps, w.channels, w.multiplier), dp, db]

        return step, home

    return {layout: make(layout) for layout in ("NWC", "NCW")}


PEERS = {"torch": torch, "torch_compiled": partial(torch, compiled=True), "keras": keras, "jax": jax}
