"""Make separable_conv1d.npz: what Keras 3 computes for SeparableConv1D, outputs and all gradients.

    KERAS_BACKEND=jax JAX_PLATFORMS=cpu python -m tests.golden.separable_conv1d

in an environment with keras and jax (the committed numbers: Keras 3.15.1, JAX 0.10.2, NumPy 2.4.6, Python 3.11.7,
on a CPU; the archive records it). Keras on JAX computes both data formats itself, so nothing is transposed here, and
strides and dilation both above 1 come out right. It has no causal padding. (Keras on PyTorch 2.13 agreed with all of
these numbers to 7.5e-7. The warnings about a softmax over one number are harmless: few cases, and their output is 1.)

The archive holds three arrays:

* ``configs``: a JSON list. Each entry gives ``layer``, the constructor's arguments, and ``shapes``, the names and
  shapes of this configuration's arrays in their order: the input ``x``, the weights, ``cotangent``, the output ``y``,
  and ``x_grad, depthwise_kernel_grad, ...``, the gradients of sum(cotangent * y).
* ``numbers``: all these arrays, float32, one after the other.
* ``versions``: a JSON object.
"""

from __future__ import annotations

import itertools
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np

FORMATS = ("channels_last", "channels_first")
PADDINGS = ("valid", "same")
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "softmax")
UP_TO_3 = (1, 2, 3)


def grid(rng: np.random.Generator) -> Iterator[tuple[dict[str, Any], int]]:
    """Constructor arguments and input lengths. What is not named is drawn."""

    def drawn(data_format: str, padding: str, strides: int, dilation: int, **given: Any) -> dict[str, Any]:
        filters = int(rng.integers(1, 6))
        activations = ACTIVATIONS if filters > 1 else ACTIVATIONS[:-1]  # a softmax of one number is always 1
        return {
            "filters": filters, "kernel_size": int(rng.integers(1, 6)), "strides": strides,
            "padding": padding, "data_format": data_format, "dilation_rate": dilation,
            "depth_multiplier": int(rng.integers(1, 4)), "activation": str(rng.choice(activations)),
            "use_bias": bool(rng.integers(2)), **given,
        }

    def fitting(layer: dict[str, Any]) -> int:
        span = layer["dilation_rate"] * (layer["kernel_size"] - 1) + 1
        return int(rng.integers(2, 13)) if layer["padding"] == "same" else span + int(rng.integers(0, 7))

    combinations = itertools.product(FORMATS, PADDINGS, UP_TO_3, UP_TO_3, UP_TO_3)
    for data_format, padding, strides, dilation, multiplier in combinations:
        for _ in range(2):
            layer = drawn(data_format, padding, strides, dilation, depth_multiplier=multiplier)
            yield layer, fitting(layer)
    for data_format, padding, activation in itertools.product(FORMATS, PADDINGS, ACTIVATIONS):
        layer = drawn(data_format, padding, 1, 1, filters=4, activation=activation, use_bias=True)
        yield layer, fitting(layer)
    for data_format, strides, dilation in itertools.product(FORMATS, UP_TO_3, UP_TO_3):  # a kernel beyond the input
        length = int(rng.integers(2, 5))
        yield drawn(data_format, "same", strides, dilation, kernel_size=length + int(rng.integers(1, 5))), length
    for data_format, padding, strides, dilation in itertools.product(FORMATS, PADDINGS, UP_TO_3, (1, 3)):  # one step
        taps = 1 if padding == "valid" else int(rng.integers(2, 6))
        yield drawn(data_format, padding, strides, dilation, kernel_size=taps), 1


def computed(config: dict[str, Any], length: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random arrays for one configuration, and what Keras makes of them."""

    def normal(shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    batch, channels = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    last = config["data_format"] == "channels_last"
    x = normal((batch, length, channels) if last else (batch, channels, length))
    layer = keras.layers.SeparableConv1D(**config)
    layer.build(x.shape)
    names = [variable.name for variable in layer.variables]
    weights = [normal(variable.shape, 0.5) for variable in layer.variables]  # 0.5: sigmoid and tanh stay awake

    def output(x: jax.Array, weights: list[jax.Array]) -> jax.Array:
        return layer.stateless_call(weights, [], x)[0]

    y, pull_back = jax.vjp(output, jax.numpy.asarray(x), [jax.numpy.asarray(w) for w in weights])
    cotangent = normal(y.shape)
    x_grad, weight_grads = pull_back(jax.numpy.asarray(cotangent))
    arrays = {"x": x, **dict(zip(names, weights, strict=True)), "cotangent": cotangent, "y": np.asarray(y)}
    gradients = zip(["x", *names], [x_grad, *weight_grads], strict=True)
    return arrays | {f"{name}_grad": np.asarray(gradient) for name, gradient in gradients}


def main() -> None:
    """Compute all configurations and write the archive."""
    rng = np.random.default_rng(1)
    configs, numbers = [], []
    for layer, length in grid(rng):
        arrays = computed(layer, length, rng)
        assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays.values())
        configs.append({"layer": layer, "shapes": {name: array.shape for name, array in arrays.items()}})
        numbers += [array.ravel() for array in arrays.values()]
    versions = {
        "keras": keras.__version__, "backend": keras.backend.backend(), "jax": jax.__version__,
        "numpy": np.__version__, "python": platform.python_version(),
    }
    path = Path(__file__).with_suffix(".npz")
    np.savez_compressed(
        path,
        configs=np.array(json.dumps(configs)),
        numbers=np.concatenate(numbers),
        versions=np.array(json.dumps(versions)),
    )
    print(f"{path}: {len(configs)} configurations, {path.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
