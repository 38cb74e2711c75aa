"""Every line of layer_samples.py against the numbers of Keras 3: outputs, gradients, losses, weights after a step.

tests/golden/layers.py made the numbers and says what they are; Keras is not needed here.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, grad, layers, optimizers
from tests.layer_samples import SAMPLES, Sample

Case = tuple[dict[str, Any], dict[str, np.ndarray]]
TOLERANCE = {"float64": 1e-6, "float32": 1e-5}  # of the largest expected number, and absolute where that is below 1


def read() -> list[Case]:
    """All lines: what the script says about each, and its arrays by name."""
    with np.load(Path(__file__).parent / "golden" / "layers.npz", allow_pickle=False) as archive:
        samples, numbers = json.loads(str(archive["samples"])), archive["numbers"]
    cases, start = [], 0
    for description in samples:
        arrays = {}
        for name, shape in description["shapes"].items():
            arrays[name] = numbers[start : start + math.prod(shape)].reshape(shape)
            start += math.prod(shape)
        cases.append((description, arrays))
    assert start == len(numbers)
    return cases


CASES = read()
each = pytest.mark.parametrize(("sample", "case"), list(zip(SAMPLES, CASES, strict=True)), ids=map(str, SAMPLES))


def test_the_numbers_are_of_these_samples() -> None:
    assert json.loads(json.dumps(SAMPLES)) == [description["sample"] for description, _ in CASES]


def made(sample: Sample, arrays: dict[str, np.ndarray], dtype: str) -> tuple[Any, list[Tensor]]:
    """The layer with Keras's weights, and the inputs."""
    layer = getattr(layers, sample.layer)(**sample.arguments, dtype=dtype)
    words = sample.inputs == "words"
    xs = [arrays[f"x{i}"].astype("int64" if words else dtype) for i in range(len(sample.shapes))]
    layer.build([x.shape for x in xs] if len(xs) > 1 else xs[0].shape)
    layer.set_weights([arrays[w.name] for w in layer.weights])
    return layer, [Tensor(x, requires_grad=not words) for x in xs]


def assert_near(mine: Tensor, expected: np.ndarray, dtype: str, what: str) -> None:
    assert mine.dtype == dtype, what
    assert mine.shape == expected.shape, what
    tolerance = TOLERANCE[dtype] * max(1.0, float(abs(expected).max(initial=0)))
    np.testing.assert_allclose(mine.numpy(), expected, rtol=0, atol=tolerance, err_msg=what)


@each
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_equals_keras(sample: Sample, case: Case, dtype: str) -> None:
    arrays = case[1]
    layer, xs = made(sample, arrays, dtype)
    y = layer(xs if len(xs) > 1 else xs[0], training=sample.training)
    assert_near(y, arrays["y"], dtype, "y")

    trained = layer.trainable_weights
    assert {w.name for w in trained} | {f"x{i}" for i, x in enumerate(xs) if x.requires_grad} == {
        name.removesuffix("_grad") for name in arrays if name.endswith("_grad")
    }
    sources = {f"x{i}": x for i, x in enumerate(xs) if x.requires_grad} | {w.name: w for w in trained}
    gradients = grad(y, list(sources.values()), gradient=arrays["cotangent"])
    for name, gradient in zip(sources, gradients, strict=True):
        assert_near(gradient, arrays[f"{name}_grad"], dtype, f"{name}_grad")

    losses = layer.losses
    assert len(losses) == len(arrays["losses"])
    for loss, expected in zip(losses, arrays["losses"], strict=True):
        assert_near(loss, expected, dtype, "losses")

    if trained:
        optimizers.SGD(0.5).apply(gradients[len(gradients) - len(trained) :], trained)
    for weight in layer.weights:
        assert_near(weight, arrays[f"{weight.name}_after"], dtype, f"{weight.name}_after")


@each
def test_reads_keras_config(sample: Sample, case: Case) -> None:
    description, arrays = case
    mine = made(sample, arrays, "float64")[0]
    theirs = layers.deserialize(description["config"])
    assert type(theirs) is type(mine)
    assert theirs.built
    assert [w.shape for w in theirs.weights] == [w.shape for w in mine.weights]
    config, expected = theirs.get_config(), {**mine.get_config(), "name": description["config"]["config"]["name"]}
    for seeded in [name for name in config if name.endswith("initializer")]:  # Keras draws a seed for each
        assert config.pop(seeded)["class_name"] == expected.pop(seeded)["class_name"]
    assert config == expected


@each
def test_says_all_that_keras_says(sample: Sample, case: Case) -> None:
    """No argument of Keras is missing from the config, but those that are refused."""
    theirs = dict(case[0]["config"]["config"])
    theirs.pop("activity_regularizer", None)  # every layer takes it, and says it when it is set
    mine = getattr(layers, sample.layer)(**sample.arguments)
    assert set(theirs) - set(mine.get_config()) == set(theirs) & set(mine._foreign)


@each
def test_computes_keras_output_shape(sample: Sample, case: Case) -> None:
    layer = getattr(layers, sample.layer)(**sample.arguments)
    assert layer.compute_output_shape(sample.open_shapes()) == tuple(case[0]["output_shape"])
