"""Functions and classes of one's own that are named like minigrad's: kept, or refused, never exchanged."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from minigrad import Sequential, Tensor, activations, constraints, initializers, layers, losses, metrics, regularizers
from minigrad.config import serialize


def tanh(x: Any) -> Any:
    return 3 * x


def unit_norm(w: Any) -> Any:
    return w - 1.0


def l1(w: Any) -> Any:
    return 7.0 * w.sum()


def ones(shape: Any, dtype: Any = None) -> Any:
    return np.full(shape, 0.5, dtype)


def mae(t: Any, p: Any) -> Any:
    return 11 * (t - p).abs().mean(-1)


OWN = {"activation": tanh, "kernel_constraint": unit_norm, "kernel_regularizer": l1, "kernel_initializer": ones}


@pytest.mark.parametrize("copied", [False, True])
def test_own_functions_survive_from_config(copied: bool) -> None:
    layer = layers.Dense(2, bias_initializer="zeros", **OWN)
    config = copy.deepcopy(layer.get_config()) if copied else layer.get_config()
    again = layers.Dense.from_config(config)
    assert all(getattr(again, name) is function for name, function in OWN.items())
    x = np.ones((1, 4), "float32")
    assert again(x).tolist() == layer(x).tolist() == [[6.0, 6.0]]
    model = Sequential([layer])
    assert Sequential.from_config(model.get_config()).layers[0].activation is tanh


@pytest.mark.parametrize("name", list(OWN))
def test_own_functions_out_of_a_file_are_refused(name: str) -> None:
    config = json.loads(json.dumps(layers.Dense(2, **{name: OWN[name]}).get_config()))
    with pytest.raises(ValueError, match=rf"a config cannot hold a function of one's own.*'{OWN[name].__name__}' of "):
        layers.Dense.from_config(config)
    config[name] = OWN[name]  # the cure
    assert getattr(layers.Dense.from_config(config), name) is OWN[name]


@pytest.mark.parametrize(("cls", "get"), [
    (losses.LossFunctionWrapper, losses.get), (metrics.MeanMetricWrapper, metrics.get),
])  # fmt: skip
def test_own_losses_and_metrics(cls: Any, get: Any) -> None:
    config = cls(mae).get_config()
    assert cls.from_config(config)(Tensor([[0.0, 0.0]]), Tensor([[1.0, 3.0]])).item() == 22.0
    with pytest.raises(ValueError, match="a config cannot hold a function of one's own"):
        cls.from_config(json.loads(json.dumps(config)))
    with pytest.raises(ValueError, match="a config cannot hold a function of one's own"):
        get(json.loads(json.dumps(config["fn"])))


def test_lambdas() -> None:
    double = lambda t: 2 * t
    layer = layers.Dense(2, activation=double)
    assert layers.Dense.from_config(layer.get_config()).activation is double
    with pytest.raises(ValueError, match="'<lambda>' of the module"):
        layers.Dense.from_config(json.loads(json.dumps(layer.get_config())))


def test_functions_of_the_house_are_written_by_name() -> None:
    config = layers.Dense(2, activation="tanh").get_config()
    assert config["activation"] == "tanh"
    assert layers.Dense.from_config(json.loads(json.dumps(config))).activation is activations.tanh
    of_keras = {"module": "builtins", "class_name": "function", "config": "tanh", "registered_name": "tanh"}
    assert activations.get(of_keras) is activations.tanh
    assert losses.get(of_keras | {"config": "mse"}) is losses.mean_squared_error


@pytest.mark.parametrize(("family", "name"), [
    (regularizers, "L2"), (constraints, "NonNeg"), (initializers, "Zeros"), (losses, "Huber"), (layers, "Dense"),
])  # fmt: skip
def test_own_classes_are_not_exchanged(family: Any, name: str) -> None:
    house = getattr(family, name)
    own = type(name, (house,), {"__module__": "somewhere.else"})
    description = serialize(own(2) if name == "Dense" else own())
    with pytest.raises(ValueError, match=rf"rename it\. Received: class_name='{name}' of the module 'somewhere\.else'"):
        family.deserialize(description)
    assert type(family.deserialize(serialize(house(2) if name == "Dense" else house()))) is house
