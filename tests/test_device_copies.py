"""Nothing crosses the bus in a training step but the batch: copies are counted on the stand-in for CuPy.

And all that people run there runs: every optimizer, the networks of the examples, and their gradient checks.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Sequential, Tensor, constraints, layers, losses, optimizers, regularizers, set_random_seed
from minigrad.gradcheck import check_layer
from minigrad.optimizers import schedules
from tests.standin import copies_noted, xp

NAMES = [name for name, cls in vars(optimizers).items() if isinstance(cls, type) and name != "Optimizer"]
RANDOM = np.random.default_rng(0)
X, LABELS = RANDOM.standard_normal((8, 12, 3)).astype("float32"), RANDOM.integers(0, 4, 8)


def network() -> Sequential:
    def block(constraint: Any) -> layers.SeparableConv1D:
        return layers.SeparableConv1D(
            5, 3, padding="same", activation="relu", depthwise_constraint=constraint, bias_constraint="non_neg",
            pointwise_constraint=constraints.UnitNorm(1), pointwise_regularizer=regularizers.L1L2(1e-4, 1e-4),
            depthwise_regularizer=regularizers.OrthogonalRegularizer() if constraint is None else None,
        )  # fmt: skip

    made = Sequential([
        block(constraints.MaxNorm(1.0)), layers.MaxPooling1D(2), layers.BatchNormalization(),
        block(constraints.MinMaxNorm(0.5, 1.0)), layers.LayerNormalization(), layers.GlobalAveragePooling1D(),
        layers.Dense(4, kernel_constraint="max_norm"),
    ])  # fmt: skip
    made.build((None, *X.shape[1:]))
    return made.to("standin")


def step(model: Sequential, optimizer: Any, x: Any, labels: Any) -> Tensor:
    loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)
    loss = loss_of(labels, model(x, training=True)) + sum(model.losses)
    optimizer.scale_loss(loss).backward()
    optimizer.step(model.trainable_weights)
    return loss


@pytest.mark.parametrize("limit", ["clipnorm", "clipvalue", "global_clipnorm"])
@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_copies_the_batch_alone(name: str, limit: str) -> None:
    optimizer = optimizers.deserialize({"class_name": name, "config": {
        limit: 0.5, "learning_rate": schedules.CosineDecay(1e-3, 10), "weight_decay": 1e-3, "use_ema": True,
        "ema_overwrite_frequency": 2, "loss_scale_factor": 8.0, "gradient_accumulation_steps": 2,
    }})  # fmt: skip
    model = network()
    step(model, optimizer, Tensor(X, device="standin"), LABELS)  # builds the state of the optimizer
    for _ in range(4):
        with copies_noted() as copies:
            loss = step(model, optimizer, Tensor(X, device="standin"), LABELS)
        assert copies.to_host == []
        assert copies.to_device == ["from_host of (8, 12, 3)", "from_host of (8,)"]
    assert np.isfinite(loss.item())


def test_labels_on_the_device_need_no_copy() -> None:
    model, optimizer = network(), optimizers.Adam()
    x, labels = Tensor(X, device="standin"), Tensor(LABELS, device="standin")
    step(model, optimizer, x, labels)
    with copies_noted() as copies:
        step(model, optimizer, x, labels)
    assert copies == ([], [])


def test_dropout_copies_a_mask_of_booleans() -> None:
    x, layer = Tensor(X, device="standin"), layers.Dropout(0.5)
    with copies_noted() as copies:
        y = layer(x, training=True)
    assert copies == ([], ["from_host of (8, 12, 3)"])
    assert y.dtype == "float32"
    assert set(np.unique((y / x).numpy().round(3)).tolist()) == {0.0, 2.0}


def test_words_on_the_device_are_not_asked() -> None:
    words, layer = Tensor([[1, 3, -1], [4, 0, 3]], device="standin"), layers.Embedding(4, 2)
    layer.build((None, 3))
    layer.to("standin")
    with copies_noted() as copies:
        y = layer(words)
        y.sum().backward()
    assert copies == ([], [])
    assert layer.embeddings.grad.numpy()[:, 0].tolist() == [1.0, 1.0, 0.0, 2.0]
    y, table = y.numpy(), layer.embeddings.numpy()
    assert np.isnan(y[[0, 1], [2, 0]]).all()
    np.testing.assert_array_equal(y[[0, 0, 1, 1], [0, 1, 1, 2]], table[[1, 3, 0, 3]])


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_means_of_padded_windows_need_no_copy(data_format: str) -> None:
    layer = layers.AveragePooling1D(3, strides=2, padding="same", data_format=data_format)
    x = Tensor(X)
    expected = layer(x).numpy()
    x = x.to("standin")
    with copies_noted() as copies:
        y = layer(x)
    assert copies == ([], [])
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)


def test_copies_are_noted() -> None:
    x = Tensor([1.0, 2.0], device="standin")
    with copies_noted() as outer, copies_noted() as copies:
        assert bool(x.data[0] > 0)
        assert float(x.data[1]) == int(x.data[1]) == x.data[1].item()
        assert x.numpy().tolist() == x.tolist()
        assert x.data[x.data > 1].shape == (1,)
        xp.nonzero(x.data)
        x.to("cpu")
        Tensor([3.0], device="standin")
        assert x.data[[0, 1]].shape == (2,)
        xp.asarray([1.0])
    assert copies.to_host == [
        "bool of ()", "float of ()", "int of ()", "item of ()", "to_host of (2,)", "tolist of (2,)", "mask of (2,)",
        "nonzero of an array", "to_host of (2,)",
    ]  # fmt: skip
    assert copies.to_device == ["from_host of (1,)", "index of (2,)", "asarray of (1,)"]
    assert outer == copies


EXAMPLES = Path(__file__).parent.parent / "examples"
NETWORKS = {  # the shape of a batch, and the arguments of build()
    "japanese_vowels": ((3, 29, 12), {}),
    "constraints_tour": ((3, 29, 12), {"way": {"pointwise_constraint": constraints.NonNeg()}}),
    "spoken_digits": ((3, 64, 40), {}),
    "sunspots_forecast": ((1, 40, 1), {}),
}


@pytest.fixture(autouse=True)
def _examples_find_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def built(name: str) -> tuple[Sequential, np.ndarray]:
    """The network of an example, the same at every call, and a batch."""
    pytest.importorskip("tqdm")
    pytest.importorskip("matplotlib")
    shape, arguments = NETWORKS[name]
    set_random_seed(0)
    made = runpy.run_path(str(EXAMPLES / f"{name}.py"))["build"](**arguments)
    if not made.built:
        made.build((None, *shape[1:]))
    return made, np.random.default_rng(1).standard_normal(shape).astype("float32")


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_examples_learn_the_same_on_another_array_module(name: str) -> None:
    learned = []
    for device in ("cpu", "standin"):
        model, x = built(name)
        model.to(device)
        optimizer = optimizers.Adam(1e-2)
        for _ in range(2):
            y = model(Tensor(x, device=device), training=True)
            (losses.mean_squared_error(np.zeros(y.shape), y).mean() + sum(model.losses)).backward()
            optimizer.step(model.trainable_weights)
        assert {weight.device for weight in model.weights} == {device}
        learned.append(model.get_weights())
    for here, there in zip(*learned, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)


def test_a_network_is_checked_on_another_array_module() -> None:
    x = Tensor(RANDOM.standard_normal((2, 12, 3)), device="standin")
    assert check_layer(network(), x, method="complex").passed
