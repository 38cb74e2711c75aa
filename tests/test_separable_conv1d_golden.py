"""SeparableConv1D against the numbers of Keras 3, and its causal padding against `valid` on a padded input.

tests/golden/separable_conv1d.py made the numbers and says what they are; Keras is not needed here.
"""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, grad, ops
from minigrad.kernels.geometry import Geometry
from minigrad.layers import SeparableConv1D

Case = tuple[dict[str, Any], dict[str, np.ndarray]]
TOLERANCE = 1e-5  # float32; of the largest expected number, and absolute where that is below 1
UP_TO_3 = (1, 2, 3)


def read() -> list[Case]:
    """All configurations: the layer's arguments, and the arrays by name."""
    path = Path(__file__).parent / "golden" / "separable_conv1d.npz"
    with np.load(path, allow_pickle=False) as archive:
        configs, numbers = json.loads(str(archive["configs"])), archive["numbers"]
    cases, start = [], 0
    for config in configs:
        arrays = {}
        for name, shape in config["shapes"].items():
            arrays[name] = numbers[start : start + math.prod(shape)].reshape(shape)
            start += math.prod(shape)
        cases.append((config["layer"], arrays))
    assert start == len(numbers)
    return cases


def length_of(case: Case) -> int:
    """Time steps of the input."""
    return case[1]["x"].shape[1 if case[0]["data_format"] == "channels_last" else 2]


def strided_and_dilated(layer: dict[str, Any]) -> bool:
    """What the layer refuses and the op computes."""
    return layer["strides"] > 1 and layer["dilation_rate"] > 1


def name_of(case: Case) -> str:
    """The configuration as a test name: L10-k3-s2-d1-m2-same-channels_last-relu-bias."""
    layer = case[0]
    bias = "bias" if layer["use_bias"] else "nobias"
    return (
        f"L{length_of(case)}-k{layer['kernel_size']}-s{layer['strides']}-d{layer['dilation_rate']}"
        f"-m{layer['depth_multiplier']}-{layer['padding']}-{layer['data_format']}-{layer['activation']}-{bias}"
    )


CASES = read()
LAYER_CASES = [case for case in CASES if not strided_and_dilated(case[0])]
OP_CASES = [case for case in CASES if strided_and_dilated(case[0])]


def separable(x: Tensor, weights: list[Tensor], layer: dict[str, Any]) -> Tensor:
    """The layer written out in ops."""
    first = layer["data_format"] == "channels_first"
    taps, strides, dilation = layer["kernel_size"], layer["strides"], layer["dilation_rate"]
    y = ops.depthwise_conv1d(
        x,
        weights[0],
        stride=strides,
        dilation=dilation,
        padding=Geometry.resolve(x.shape[2 if first else 1], taps, strides, dilation, layer["padding"]).padding,
        layout="NCL" if first else "NLC",
    )
    if first:
        y = y.swapaxes(1, 2)
    y = y @ weights[1][0]
    if layer["use_bias"]:
        y = y + weights[2]
    if first:
        y = y.swapaxes(1, 2)
    return y if layer["activation"] == "linear" else getattr(ops, layer["activation"])(y)


def assert_equal_to_keras(y: Tensor, inputs: dict[str, Tensor], arrays: dict[str, np.ndarray]) -> None:
    """``y`` and its gradients with respect to ``inputs``, which must be all that Keras has."""
    assert {f"{name}_grad" for name in inputs} == {name for name in arrays if name.endswith("_grad")}
    gradients = grad(y, list(inputs.values()), gradient=arrays["cotangent"])
    computed = {"y": y, **{f"{name}_grad": g for name, g in zip(inputs, gradients, strict=True)}}
    for name, tensor in computed.items():
        expected = arrays[name]
        assert tensor.shape == expected.shape, name
        assert tensor.dtype == np.float32, name
        tolerance = TOLERANCE * max(1.0, float(abs(expected).max()))
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("case", LAYER_CASES, ids=name_of)
def test_the_layer_equals_keras(case: Case) -> None:
    config, arrays = case
    layer = SeparableConv1D(**config)
    layer.build(arrays["x"].shape)
    layer.set_weights([arrays[weight.name] for weight in layer.weights])
    x = Tensor(arrays["x"], requires_grad=True)
    y = layer(x)
    assert layer.compute_output_shape(x.shape) == y.shape
    assert_equal_to_keras(y, {"x": x, **{weight.name: weight for weight in layer.weights}}, arrays)


@pytest.mark.parametrize("case", OP_CASES, ids=name_of)
def test_the_op_equals_keras_where_the_layer_refuses(case: Case) -> None:
    config, arrays = case
    names = ["x", "depthwise_kernel", "pointwise_kernel", "bias"][: 4 if config["use_bias"] else 3]
    inputs = {name: Tensor(arrays[name], requires_grad=True) for name in names}
    x, *weights = inputs.values()
    assert_equal_to_keras(separable(x, weights, config), inputs, arrays)


def test_the_golden_numbers_cover_the_layer() -> None:
    """The grid is as wide as it claims, so that no test above passes for want of cases."""
    assert len(CASES) >= 270
    configs = [layer for layer, _ in CASES]
    names = ("data_format", "padding", "strides", "dilation_rate", "depth_multiplier")
    combinations = {tuple(layer[name] for name in names) for layer in configs}
    formats, paddings = ("channels_first", "channels_last"), ("same", "valid")
    assert combinations == set(itertools.product(formats, paddings, UP_TO_3, UP_TO_3, UP_TO_3))
    for data_format in formats:
        mine = [case for case in LAYER_CASES if case[0]["data_format"] == data_format]
        assert {layer["activation"] for layer, _ in mine} == {"linear", "relu", "tanh", "sigmoid", "softmax"}
        assert {layer["use_bias"] for layer, _ in mine} == {True, False}
        assert {layer["kernel_size"] for layer, _ in mine} >= {1, 2, 3, 4, 5}
        assert {arrays["x"].shape[0] for _, arrays in mine} == {1, 2, 3}
        of_one_step = {(case[0]["padding"], case[0]["strides"]) for case in mine if length_of(case) == 1}
        assert of_one_step == set(itertools.product(paddings, UP_TO_3))
        beyond = [case for case in mine if case[0]["kernel_size"] > length_of(case) > 1]
        assert {(layer["padding"], layer["strides"]) for layer, _ in beyond} == {("same", s) for s in UP_TO_3}


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("strides", "dilation_rate"), [(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 9])  # 9 is longer than the input
def test_causal_is_valid_on_an_input_padded_on_the_left(
    data_format: str, strides: int, dilation_rate: int, kernel_size: int
) -> None:
    rng = np.random.default_rng(2)
    last = data_format == "channels_last"
    settings = {
        "filters": 4, "kernel_size": kernel_size, "strides": strides, "dilation_rate": dilation_rate,
        "data_format": data_format, "depth_multiplier": 2, "activation": "tanh", "dtype": "float64",
    }
    causal, valid = (SeparableConv1D(padding=padding, **settings) for padding in ("causal", "valid"))
    x = Tensor(rng.standard_normal((2, 7, 3) if last else (2, 3, 7)), requires_grad=True)
    zeros = (dilation_rate * (kernel_size - 1), 0)
    padded = x.pad([(0, 0), zeros, (0, 0)] if last else [(0, 0), (0, 0), zeros])
    causal.build(x.shape)
    valid.build(padded.shape)
    weights = [rng.standard_normal(weight.shape) for weight in causal.weights]
    causal.set_weights(weights)
    valid.set_weights(weights)

    y, expected = causal(x), valid(padded)
    assert y.shape[1 if last else 2] == -(-7 // strides)
    np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-12, atol=1e-12)
    cotangent = rng.standard_normal(y.shape)
    gradients = grad(y, [x, *causal.weights], gradient=cotangent)
    for mine, its in zip(gradients, grad(expected, [x, *valid.weights], gradient=cotangent), strict=True):
        np.testing.assert_allclose(mine.numpy(), its.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("strides", "dilation_rate"), [(1, 1), (2, 1), (1, 3)])
def test_causal_sees_no_later_step(data_format: str, strides: int, dilation_rate: int) -> None:
    last = data_format == "channels_last"
    layer = SeparableConv1D(
        2, 3, strides, "causal", data_format, dilation_rate, depthwise_initializer="ones", pointwise_initializer="ones"
    )
    x = Tensor.ones((1, 9, 2) if last else (1, 2, 9), requires_grad=True)
    y = layer(x)
    axis = 1 if last else 2
    for t in range(y.shape[axis]):
        seen = grad(y[:, t].sum() if last else y[:, :, t].sum(), x).numpy().any(axis=(0, 3 - axis))
        reach = [strides * t - dilation_rate * k for k in range(3)]
        assert set(np.flatnonzero(seen)) == {step for step in reach if step >= 0}
