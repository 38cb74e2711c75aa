"""Sequential, Model, and two published networks built from the layers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from minigrad import Model, Sequential, Tensor, clear_session, grad, layers, optimizers, set_random_seed
from minigrad.config import serialize
from minigrad.layers import (
    Activation,
    BatchNormalization,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    InputLayer,
    Layer,
    MaxPooling1D,
    SeparableConv1D,
)


@pytest.fixture(autouse=True)
def _fresh_names() -> None:
    clear_session()


def small(*first: Any) -> Sequential:
    return Sequential([
        *first, SeparableConv1D(4, 3, padding="same", activation="relu", depthwise_constraint="max_norm"),
        BatchNormalization(), MaxPooling1D(2), Dropout(0.5, seed=1), Flatten(), Dense(3, kernel_regularizer="l2"),
    ])  # fmt: skip


# ---------------------------------------------------------------------- Sequential


def test_is_built_at_the_first_call() -> None:
    model = small()
    assert not model.built
    assert model.weights == []
    assert model(Tensor.ones(2, 6, 5)).shape == (2, 3)
    assert model.built
    assert [w.path for w in model.weights] == [
        "separable_conv1d/depthwise_kernel", "separable_conv1d/pointwise_kernel", "separable_conv1d/bias",
        "batch_normalization/gamma", "batch_normalization/beta", "batch_normalization/moving_mean",
        "batch_normalization/moving_variance", "dense/kernel", "dense/bias",
    ]
    assert [w.name for w in model.non_trainable_weights] == ["moving_mean", "moving_variance"]
    assert model.count_params() == 15 + 20 + 4 + 16 + 36 + 3
    assert model.name == "sequential"


def test_is_built_as_it_grows_when_it_starts_with_its_input() -> None:
    model = Sequential([InputLayer((6, 5))])
    assert model.layers == []
    model.add(Conv1D(2, 3))
    assert model.built
    assert [w.shape for w in model.weights] == [(3, 5, 2), (2,)]
    model.add(Dense(7))
    assert model.weights[2].shape == (2, 7)
    assert model.compute_output_shape((None, 6, 5)) == (None, 4, 7)
    assert [layer.name for layer in model.layers] == ["conv1d", "dense"]
    with pytest.raises(ValueError, match=r"expected axis 1 of input shape to have value 6"):
        model(Tensor.ones(2, 7, 5))
    assert model(Tensor.ones(3, 6, 5)).shape == (3, 4, 7)


def test_build_for_a_shape() -> None:
    model = small()
    model.build((None, 6, 5))
    assert model.compute_output_shape((None, 6, 5)) == (None, 3)
    assert model.count_params() == small_count()
    with pytest.raises(ValueError, match="must not be built twice"):
        model.build((None, 6, 5))


def small_count() -> int:
    model = small()
    model(Tensor.ones(1, 6, 5))
    return model.count_params()


def test_add_and_pop() -> None:
    model = Sequential()
    model.add(Dense(4))
    model.add(Dense(2, name="last"))
    first = model(Tensor.ones(1, 3))
    kernel = model.layers[0].kernel
    assert model.pop().name == "last"
    assert not model.built
    model.add(Activation("tanh"))
    second = model(Tensor.ones(1, 3))
    assert (first.shape, second.shape) == ((1, 2), (1, 4))
    assert model.layers[0].kernel is kernel  # what was built stays
    grown = Sequential([InputLayer((3,)), Dense(4), Dense(2)])
    grown.pop()
    assert grown.count_params() == 16


def test_what_cannot_be_added() -> None:
    model = Sequential([Dense(2, name="a")])
    for wrong, text in [
        (3, "Only instances of `Layer` can be added to a Sequential model. Received: 3"),
        (Dense(3, name="a"), "All layers added to a Sequential model should have unique names. Name 'a' is already"),
        (InputLayer((2,)), "must have one InputLayer, before other layers"),
    ]:
        with pytest.raises(ValueError) as error:  # noqa: PT011  the text is compared below
            model.add(wrong)
        assert text in str(error.value)
        assert len(model.layers) == 1
    shared = model.layers[0]
    model.add(shared)  # the same layer again is welcome
    model(Tensor.ones(1, 2))
    assert len(model.weights) == 2
    started = Sequential([InputLayer((2,))])
    with pytest.raises(ValueError, match="one InputLayer"):
        started.add(InputLayer((2,)))


def test_a_layer_that_does_not_fit_is_not_added() -> None:
    model = Sequential([InputLayer((4, 3)), Conv1D(2, 3)])
    before = model.get_config()
    with pytest.raises(ValueError, match="Computed output size would be zero or negative"):
        model.add(MaxPooling1D(5))
    assert model.get_config() == before
    assert model(Tensor.ones(1, 4, 3)).shape == (1, 2, 2)


def test_without_layers() -> None:
    for attempt in (
        lambda: Sequential()(Tensor([1.0])), lambda: Sequential().build((1,)), lambda: Sequential().pop(),
        lambda: Sequential().compute_output_shape((1,)), lambda: Sequential([InputLayer((2,))])(Tensor.ones(1, 2)),
    ):
        with pytest.raises(ValueError, match=r"Sequential model .* cannot be built because it has no layers"):
            attempt()


def test_a_failed_call_leaves_all_layers_as_they_were() -> None:
    model = small()
    with pytest.raises(ValueError, match="Computed output size"):
        Sequential([*model.layers[:3], MaxPooling1D(9), *model.layers[3:]])(Tensor.ones(2, 6, 5))
    assert not any(layer.built for layer in model.layers)
    assert model(Tensor.ones(2, 8, 2)).shape == (2, 3)


@pytest.mark.parametrize("how", ["unbuilt", "called", "with input"])
def test_config_round_trip(how: str) -> None:
    model = small(*[InputLayer((6, 5))] * (how == "with input"))
    if how == "called":
        model(Tensor.ones(2, 6, 5))
    config = json.loads(json.dumps(model.get_config()))
    again = Sequential.from_config(config)
    assert again.get_config() == Sequential.from_config(model.get_config()).get_config() == model.get_config()
    assert again.built == (how != "unbuilt")
    x = Tensor.randn(2, 6, 5)
    model(x)
    again(x)
    again.set_weights(model.get_weights())
    assert again(x).tolist() == model(x).tolist()
    assert layers.deserialize(serialize(model)).count_params() == model.count_params()


def test_training_reaches_every_layer() -> None:
    model = small()
    x = Tensor.randn(4, 6, 5)
    still = model(x).tolist()
    assert model(x).tolist() == still
    moved = model.layers[1].moving_mean.tolist()
    assert model(x, training=True).tolist() != still  # dropout
    assert model.layers[1].moving_mean.tolist() != moved
    nested = Sequential([model, Dense(1)])
    nested(x, training=True)
    assert nested.trainable_weights[:3] == model.trainable_weights[:3]


def test_losses_of_all_layers() -> None:
    model = Sequential([
        Dense(2, kernel_regularizer="l2", activity_regularizer="l1"), Dense(2), Dense(2, activity_regularizer="l1"),
    ])  # fmt: skip
    model(Tensor.ones(3, 4))
    assert len(model.losses) == 3
    np.testing.assert_allclose(
        [loss.item() for loss in model.losses],
        [model.layers[0].losses[0].item(), model.layers[2].losses[0].item(), model.layers[0].losses[1].item()],
    )
    model.trainable = False
    model(Tensor.ones(3, 4))
    assert len(model.losses) == 2


def test_layers_keep_their_dtypes() -> None:
    model = Sequential([Dense(2, dtype="float64"), Dense(2, dtype="float64")])
    x = np.array([[1 / 3, 1e-12]])
    y = model(x)
    assert y.dtype == np.float64
    expected = x @ model.weights[0].numpy() @ model.weights[2].numpy()
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-14)  # the input was not rounded to float32 on the way
    words = Sequential([Flatten()])
    assert words(Tensor([[[2**24 + 1]]])).tolist() == [[2**24 + 1]]  # which float32 cannot hold


def test_masks_go_from_layer_to_layer() -> None:
    model = Sequential([Embedding(5, 3, mask_zero=True), Dense(2), Dropout(0.1), GlobalAveragePooling1D()])
    words = np.array([[1, 2, 0, 0], [3, 0, 4, 0]])
    y = model(words).numpy()
    for row, kept in enumerate(([1, 2], [3, 4])):
        alone = np.asarray(model.layers[0].embeddings.numpy()[kept]) @ model.layers[1].kernel.numpy()
        np.testing.assert_allclose(y[row], alone.mean(0), rtol=1e-5)
    inner = Sequential([Embedding(5, 3, mask_zero=True), Dense(2)])
    inner.build((None, 4))
    inner.set_weights(model.get_weights())
    outer = Sequential([inner, GlobalAveragePooling1D()])
    np.testing.assert_allclose(outer(words).numpy(), y, rtol=1e-6)
    with pytest.warns(UserWarning, match="does not support masking and will therefore destroy the mask"):
        Sequential([Embedding(5, 3, mask_zero=True), Conv1D(2, 2)])(words)


# ---------------------------------------------------------------------- Model


class Residual(Layer):
    """x + f(x) as a user would write it."""

    def __init__(self, *inner: Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = Sequential(list(inner))

    def call(self, inputs: Any) -> Any:
        return inputs + self.inner(inputs)


class Network(Model):
    """A model with two residual blocks."""

    def __init__(self, width: int, classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.classes = width, classes
        self.blocks = [Residual(SeparableConv1D(width, 3, padding="same"), BatchNormalization()) for _ in range(2)]
        self.pool = GlobalAveragePooling1D()
        self.head = Dense(classes, name="head")

    def call(self, inputs: Any) -> Any:
        for block in self.blocks:
            inputs = block(inputs)
        return self.head(self.pool(inputs))


def test_a_model_of_layers() -> None:
    model = Network(4, 3)
    assert model.compute_output_shape((None, None, 4)) == (None, 3)
    assert not model.built
    y = model(Tensor.randn(5, 9, 4), training=True)
    assert y.shape == (5, 3)
    assert [layer.name for layer in model.layers] == ["residual", "residual_1", "global_average_pooling1d", "head"]
    assert model.get_layer("head") is model.get_layer(index=-1) is model.head
    assert all(g.numpy().any() for g in grad((y * y).sum(), model.trainable_weights))
    again = Network.from_config(model.get_config())
    again.build((None, None, 4))
    assert again.count_params() == model.count_params() == 2 * (12 + 16 + 4 + 16) + 15
    assert layers.deserialize(serialize(model)).count_params() == model.count_params()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({}, "a name or an index"), ({"name": "head", "index": 1}, "a name or an index"),
     ({"name": "tail"}, "No such layer: tail"), ({"index": 9}, "index must be below the number of layers")],
)  # fmt: skip
def test_layers_that_a_model_does_not_have(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Network(4, 3).get_layer(**arguments)


# ---------------------------------------------------------------------- published networks


class Separable(Model):
    """A block of MatchboxNet and QuartzNet: `repeat` separable convolutions, each normalized, and a way around them.

    Kriman et al. 2020, "QuartzNet"; Majumdar and Ginsburg 2020, "MatchboxNet".
    """

    def __init__(self, filters: int, kernel_size: int, repeat: int = 1, residual: bool = True, **window: Any) -> None:
        super().__init__()
        self.steps = Sequential()
        for i in range(repeat):
            self.steps.add(SeparableConv1D(filters, kernel_size, padding="same", use_bias=False, **window))
            self.steps.add(BatchNormalization())
            if i < repeat - 1:
                self.steps.add(Activation("relu"))
        self.around = Sequential([Conv1D(filters, 1, use_bias=False), BatchNormalization()]) if residual else None
        self.end = Activation("relu")

    def call(self, inputs: Any) -> Any:
        y = self.steps(inputs)
        return self.end(y if self.around is None else y + self.around(inputs))


def pointwise(filters: int) -> list[Layer]:
    return [Conv1D(filters, 1, use_bias=False), BatchNormalization(), Activation("relu")]


def matchboxnet(classes: int) -> Sequential:
    """MatchboxNet 3x1x64."""
    return Sequential([
        Separable(128, 11, residual=False), *(Separable(64, k) for k in (13, 15, 17)),
        Separable(128, 29, residual=False, dilation_rate=2), *pointwise(128), Conv1D(classes, 1),
        GlobalAveragePooling1D(),
    ])  # fmt: skip


def quartznet(characters: int) -> Sequential:
    """QuartzNet 15x5."""
    rows = [(256, 33), (256, 39), (512, 51), (512, 63), (512, 75)]
    return Sequential([
        Separable(256, 33, residual=False, strides=2), *(Separable(f, k, 5) for f, k in rows for _ in range(3)),
        Separable(512, 87, residual=False, dilation_rate=2), *pointwise(1024), Conv1D(characters + 1, 1),
    ])  # fmt: skip


def trained_numbers(model: Any) -> int:
    return sum(w.size for w in model.trainable_weights)


def test_matchboxnet_has_its_published_number_of_parameters() -> None:
    model = matchboxnet(35)
    model.build((None, 128, 64))
    assert trained_numbers(model) == 77_859
    y = model(Tensor.randn(2, 128, 64), training=True)
    assert y.shape == (2, 35)
    gradients = grad((y * y).sum(), model.trainable_weights)
    assert all(np.isfinite(g.numpy()).all() and g.numpy().any() for g in gradients)
    assert model.compute_output_shape((None, None, 64)) == (None, 35)


def test_quartznet_has_its_published_number_of_parameters() -> None:
    model = quartznet(28)
    model.build((None, None, 64))
    assert trained_numbers(model) == 18_924_381
    assert model.compute_output_shape((None, 100, 64)) == (None, 50, 29)


def test_a_residual_network_of_20_blocks_learns() -> None:
    set_random_seed(0)
    model = Sequential([Conv1D(8, 1), *(Separable(8, 3) for _ in range(20)), GlobalAveragePooling1D(), Dense(2)])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 12, 3)).astype("float32")
    target = (x[:, ::2].mean((1, 2)) > x[:, 1::2].mean((1, 2))).astype(int)
    losses, optimizer = [], optimizers.Adam(0.01)
    for _ in range(30):
        y = model(x, training=True).log_softmax()
        loss = -(y * Tensor(np.eye(2, dtype="float32")[target])).mean()
        losses.append(loss.item())
        optimizer.apply(grad(loss, model.trainable_weights), model.trainable_weights)
    assert losses[-1] < 0.5 * losses[0]
