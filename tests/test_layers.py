"""Everything that holds for every layer, made from `layer_samples.SAMPLES`."""

from __future__ import annotations

import inspect
import json
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, grad, gradcheck, layers, set_random_seed
from minigrad.config import serialize
from minigrad.layers import Layer
from minigrad.variable import Variable
from tests.layer_samples import SAMPLES, Sample

LAYERS = {cls.__name__ for cls in vars(layers).values() if inspect.isclass(cls) and issubclass(cls, Layer)}
each = pytest.mark.parametrize("sample", SAMPLES, ids=str)


def made(sample: Sample, dtype: str = "float64", device: str = "cpu") -> tuple[Any, list[Any]]:
    """The layer, built, with random weights, and random inputs; the same at every call."""
    rng = np.random.default_rng(5)
    layer = getattr(layers, sample.layer)(**sample.arguments, dtype=dtype)
    layer.to(device)
    layer.build(list(sample.shapes) if len(sample.shapes) > 1 else sample.shapes[0])
    for weight in layer.weights:
        values = rng.normal(size=weight.shape)
        weight.assign(Tensor(abs(values) + 0.5 if "variance" in weight.name else values, device=device))
    if sample.inputs == "words":
        return layer, [Tensor(rng.integers(0, 5, shape), device=device) for shape in sample.shapes]
    xs = [apart_from_kinks(rng, shape) + 0.0013 * i for i, shape in enumerate(sample.shapes)]  # no two alike
    return layer, [Tensor(x.astype(dtype), device=device, requires_grad=True) for x in xs]


def apart_from_kinks(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of either sign, no two near each other, none near 0, 0.25 or 1."""
    sizes = np.concatenate([np.linspace(0.3, 0.9, np.prod(shape)), np.linspace(1.1, 1.9, np.prod(shape))])
    return rng.permutation(sizes)[: np.prod(shape)].reshape(shape) * rng.choice([-1.0, 1.0], shape)


def called(layer: Any, xs: list[Any], sample: Sample) -> Any:
    return layer(xs if len(xs) > 1 else xs[0], training=sample.training)


def computed(sample: Sample, dtype: str = "float64", device: str = "cpu") -> tuple[Any, Tensor, list[Tensor]]:
    """The layer, the output, and the gradients of its sum weighted by 1, 2, 3, ... plus the losses."""
    layer, xs = made(sample, dtype, device)
    y = called(layer, xs, sample)
    weights = Tensor(np.linspace(1, 2, y.size).reshape(y.shape).astype(dtype), device=device)
    total = sum(layer.losses, (y * weights).sum())
    sources = [x for x in xs if x.requires_grad] + layer.trainable_weights
    return layer, y, grad(total, sources)


def test_every_layer_has_a_sample() -> None:
    untested = {"Layer", "InputLayer"}  # the base, and one that computes nothing
    assert {sample.layer for sample in SAMPLES} == LAYERS - untested


@each
def test_config_round_trip(sample: Sample) -> None:
    layer = made(sample)[0]
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    assert {type(config[name]) for name in config} == {type(again.get_config()[name]) for name in config}
    assert not again.built
    read = layers.deserialize(json.loads(json.dumps(serialize(layer))))
    assert type(read) is type(layer)
    assert read.get_config() == config
    assert [(w.name, w.shape) for w in read.weights] == [(w.name, w.shape) for w in layer.weights]


@each
def test_compute_output_shape(sample: Sample) -> None:
    layer, xs = made(sample)
    shapes = [x.shape for x in xs]
    y = called(layer, xs, sample)
    assert layer.compute_output_shape(shapes if len(xs) > 1 else shapes[0]) == y.shape
    unbuilt = getattr(layers, sample.layer)(**sample.arguments)
    opened = unbuilt.compute_output_shape(sample.open_shapes())
    assert isinstance(opened, tuple)
    assert not unbuilt.built
    assert all(n in (None, m) for n, m in zip(opened, y.shape, strict=True))
    assert opened[0] is None


@each
@pytest.mark.parametrize("order", [1, 2])
def test_gradients(sample: Sample, order: int) -> None:
    if sample.inputs == "tied":
        return  # the golden numbers say what happens at ties
    layer, xs = made(sample)
    names = [name for name, value in vars(layer).items() if isinstance(value, Variable) and value.trainable]
    words = sample.inputs == "words"

    def f(*leaves: Tensor) -> Any:
        inputs, weights = (xs, leaves) if words else (list(leaves[: len(xs)]), leaves[len(xs) :])
        vars(layer).update(zip(names, weights, strict=True))
        return called(layer, list(inputs), sample)

    sources = [*([] if words else xs), *(getattr(layer, name) for name in names)]
    report = gradcheck(f, [x.numpy() for x in sources], order=order)
    assert {finding.status for finding in report.findings} == {"ok"}


@each
def test_float32(sample: Sample) -> None:
    layer, y, gradients = computed(sample, "float32")
    _, wide, expected = computed(sample)
    assert {y.dtype, *(w.dtype for w in layer.weights)} == {np.dtype("float32")}
    np.testing.assert_allclose(y.numpy(), wide.numpy(), rtol=1e-5, atol=1e-5)
    for g, known in zip(gradients, expected, strict=True):
        assert g.dtype == np.float32
        np.testing.assert_allclose(g.numpy(), known.numpy(), rtol=1e-4, atol=1e-4)


@each
def test_mixed_precision(sample: Sample) -> None:
    wide, xs = made(sample)
    layer = getattr(layers, sample.layer)(**sample.arguments, dtype="mixed_float16")
    assert (layer.dtype, layer.variable_dtype, layer.compute_dtype) == ("float32", "float32", "float16")
    layer.build(list(sample.shapes) if len(sample.shapes) > 1 else sample.shapes[0])
    layer.set_weights(wide.get_weights())
    expected = called(wide, xs, sample)
    y = called(layer, xs, sample)
    assert y.dtype == np.float16
    assert {w.dtype for w in layer.weights} <= {np.dtype("float32")}
    np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=0.02, atol=0.05)
    gradients = grad(y.sum(), [*(x for x in xs if x.requires_grad), *layer.trainable_weights])
    assert all(np.isfinite(g.numpy()).all() for g in gradients)


@each
def test_array_modules_agree(sample: Sample) -> None:
    layer, y, gradients = computed(sample)
    there, y_there, gradients_there = computed(sample, device="standin")
    assert y_there.device == "standin"
    np.testing.assert_array_equal(y_there.numpy(), y.numpy())
    for a, b in zip(gradients_there, gradients, strict=True):
        assert a.device == "standin"
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for a, b in zip(there.weights, layer.weights, strict=True):
        assert a.device == "standin"
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert [loss.item() for loss in there.losses] == [loss.item() for loss in layer.losses]


@each
@pytest.mark.gpu
def test_cuda_agrees(sample: Sample) -> None:
    layer, y, gradients = computed(sample)
    there, y_there, gradients_there = computed(sample, device="cuda")
    pairs = [(y_there, y), *zip(gradients_there, gradients, strict=True)]
    pairs += zip(there.weights, layer.weights, strict=True)
    for a, b in pairs:
        assert a.device.startswith("cuda")
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-10)


@each
def test_trainable(sample: Sample) -> None:
    layer, xs = made(sample)
    before = layer.trainable_weights
    count = len(layer.losses)
    layer.trainable = False
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == len(layer.weights)
    assert not any(w.trainable for w in layer.weights)
    y = called(layer, xs, sample)
    assert len(layer.losses) == (0 if layer.activity_regularizer is None else 1)  # none of weights
    assert y.requires_grad == any(x.requires_grad for x in xs)
    layer.trainable = True
    assert [id(w) for w in layer.trainable_weights] == [
        id(w) for w in (before or layer.weights) if "moving" not in w.name
    ]
    if before:
        assert len(layer.losses) == count + (layer.activity_regularizer is not None)


@each
def test_starts_on_the_device_of_its_first_input(sample: Sample) -> None:
    xs = made(sample, device="standin")[1]
    layer = getattr(layers, sample.layer)(**sample.arguments, dtype="float64")
    assert called(layer, xs, sample).device == "standin"
    assert {w.device for w in layer.weights} <= {"standin"}


@each
def test_takes_arrays_and_other_dtypes(sample: Sample) -> None:
    layer, xs = made(sample)
    arrays = [x.numpy().astype("int32" if sample.inputs == "words" else "float32") for x in xs]
    y = called(layer, arrays, sample)
    assert y.dtype == np.float64
    expected = called(made(sample)[0], [Tensor(x.astype("float64")) for x in arrays], sample)
    np.testing.assert_array_equal(y.numpy(), expected.numpy())


@each
def test_an_empty_batch(sample: Sample) -> None:
    layer, xs = made(sample)
    empty = [x.numpy()[:0] for x in xs]
    if sample.training and sample.layer == "BatchNormalization" and layer.trainable:
        return  # there is no mean of nothing
    y = called(layer, empty, sample)
    assert y.shape == (0, *called(layer, xs, sample).shape[1:])


def test_integers_pass_through_layers_that_only_move() -> None:
    x = Tensor([[[1, 2], [3, 4]]])
    for layer in (
        layers.Flatten(), layers.Reshape((4,)), layers.Permute((2, 1)), layers.UpSampling1D(), layers.ZeroPadding1D(),
        layers.Cropping1D((1, 0)), layers.Dropout(0.5), layers.InputLayer((2, 2)),
    ):
        assert layer(x).dtype == np.int64, layer
    assert layers.RepeatVector(2)(Tensor([[1, 2]])).dtype == np.int64
    assert layers.Add()([x, x]).dtype == np.int64
    assert layers.Concatenate()([x, x]).dtype == np.int64
    assert layers.Dense(2)(x).dtype == np.float32


def test_dropout_draws_its_zeros_at_the_given_rate() -> None:
    set_random_seed(0)
    for rate in (0.25, 0.5, 0.9):
        y = layers.Dropout(rate)(Tensor.ones(200, 200), training=True).numpy()
        assert abs((y == 0).mean() - rate) < 0.01
        np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)


def test_dropout_of_everything_is_zero() -> None:
    assert layers.Dropout(1.0)(Tensor.ones(3, 4), training=True).tolist() == [[0.0] * 4] * 3


def test_dropout_of_integers_leaves_some_out() -> None:
    y = layers.Dropout(0.25, seed=5)(Tensor(np.ones((200, 7), "int32")), training=True).numpy()
    assert y.dtype == np.int32
    assert set(y.ravel().tolist()) == {0, 1}  # 1 / 0.75 as an integer


def test_dropout_shares_zeros_along_its_noise_shape() -> None:
    y = layers.Dropout(0.5, noise_shape=(None, 1, 3), seed=0)(Tensor.ones(8, 5, 3), training=True).numpy()
    assert (y == y[:, :1]).all()
    assert len(np.unique(y)) == 2


def test_spatial_dropout_drops_whole_channels() -> None:
    y = layers.SpatialDropout1D(0.5, seed=0)(Tensor.ones(8, 5, 6), training=True).numpy()
    assert (y == y[:, :1]).all()
    assert 0.2 < (y == 0).mean() < 0.8


def test_dropout_repeats_with_its_seed_and_with_the_global_one() -> None:
    x = Tensor.ones(4, 9)
    one, two = layers.Dropout(0.5, seed=3), layers.Dropout(0.5, seed=3)
    first = one(x, training=True).tolist()
    assert first == two(x, training=True).tolist()
    assert first != one(x, training=True).tolist()  # the stream goes on
    layer = layers.Dropout(0.5)
    set_random_seed(7)
    first = layer(x, training=True).tolist()
    set_random_seed(7)
    assert layer(x, training=True).tolist() == first


def test_dropout_is_linear_in_its_input() -> None:
    layer = layers.Dropout(0.5, seed=1)
    x = Tensor.randn(3, 4, requires_grad=True)
    y = layer(x, training=True)
    assert grad(y.sum(), x).tolist() == ((y != 0).numpy() * 2.0).tolist()


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_average_of_the_steps_where_a_mask_holds(data_format: str, keepdims: bool) -> None:
    x, mask = np.random.default_rng(0).normal(size=(2, 5, 3)), np.arange(5) < np.array([[2], [4]])
    expected = np.stack([x[0, :2].mean(0), x[1, :4].mean(0)])
    if data_format == "channels_first":
        x = x.swapaxes(1, 2)
    layer = layers.GlobalAveragePooling1D(data_format, keepdims=keepdims, dtype="float64")
    y = layer(x, mask=mask)
    assert y.ndim == (3 if keepdims else 2)
    np.testing.assert_allclose(y.numpy().reshape(2, 3), expected, rtol=1e-12)


def test_softmax_where_a_mask_is_false_is_zero() -> None:
    y = layers.Softmax()(Tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]), mask=[[True, True, False], [False] * 3])
    np.testing.assert_allclose(y.numpy(), [[0.26894142, 0.73105858, 0.0], [0.0] * 3], rtol=1e-6)


def test_an_embedding_sums_the_gradients_of_a_word_that_comes_twice() -> None:
    layer = layers.Embedding(4, 2)
    layer(Tensor([[1, 1, 3]])).sum().backward()
    assert layer.embeddings.grad.tolist() == [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0], [1.0, 1.0]]
    assert layer(Tensor([[1.9]])).tolist() == layer(Tensor([[1]])).tolist()  # floats are rounded towards 0


def test_batch_normalization_learns_what_inference_uses() -> None:
    layer = layers.BatchNormalization(momentum=0.5, dtype="float64")
    x = np.random.default_rng(0).normal(3, 2, (500, 4))
    for _ in range(40):
        layer(x, training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), x.mean(0), rtol=1e-9)
    np.testing.assert_allclose(layer.moving_variance.numpy(), x.var(0), rtol=1e-9)
    np.testing.assert_allclose(layer(x).numpy(), layer(x, training=True).numpy(), rtol=1e-6, atol=1e-9)


def test_a_frozen_batch_normalization_stays_as_it_is() -> None:
    layer = layers.BatchNormalization(trainable=False)
    x = Tensor.randn(8, 3)
    assert layer(x, training=True).tolist() == layer(x).tolist()
    assert layer.moving_mean.tolist() == [0.0] * 3


def test_layer_normalization_sorts_its_axes_from_the_front() -> None:
    layer = layers.LayerNormalization(axis=[-1, 1], dtype="float64")
    y = layer(np.random.default_rng(0).normal(size=(2, 3, 4, 5))).numpy()
    assert layer.axis == [1, 3]
    assert layer.gamma.shape == (3, 5)
    np.testing.assert_allclose(y.mean((1, 3)), 0, atol=1e-12)
    assert layer.get_config()["axis"] == [1, 3]


def test_half_precision_is_normalized_in_float32() -> None:
    x = Tensor(np.full((4, 3), 300.0) + np.arange(12).reshape(4, 3), "float16")  # whose squares float16 cannot hold
    for layer in (layers.BatchNormalization(dtype="float16"), layers.LayerNormalization(axis=0, dtype="float16")):
        y = layer(x, training=True)
        assert y.dtype == np.float16
        assert np.isfinite(y.numpy()).all()
        np.testing.assert_allclose(y.numpy().std(0), 1, rtol=0.01)


def test_average_is_of_real_steps_under_same() -> None:
    x = Tensor.ones(1, 7, 2)
    assert set(layers.AveragePooling1D(4, 3, "same")(x).numpy().ravel()) == {1.0}


def test_the_same_names_as_keras_for_what_was_renamed() -> None:
    assert layers.LeakyReLU(alpha=0.1).negative_slope == 0.1
    for alias in ("SeparableConvolution1D", "Convolution1D", "MaxPool1D", "AvgPool1D", "GlobalMaxPool1D"):
        cls = getattr(layers, alias)
        assert alias in cls.aliases
        assert layers.Layer._members[alias] is cls


# ---------------------------------------------------------------------- no steps


@pytest.mark.parametrize("keepdims", [False, True])
def test_an_average_over_no_steps_is_0(keepdims: bool) -> None:
    x = Tensor(np.full((2, 4, 3), 5.0), requires_grad=True)
    pool = layers.GlobalAveragePooling1D(keepdims=keepdims)
    y = pool(x, mask=np.array([[False] * 4, [True, False, False, True]]))
    np.testing.assert_array_equal(y.numpy().reshape(2, 3), [[0.0] * 3, [5.0] * 3])
    np.testing.assert_array_equal(grad(y.sum(), x).numpy()[:, :, 0], [[0.0] * 4, [0.5, 0.0, 0.0, 0.5]])
    assert pool(np.zeros((2, 0, 3), "float32")).numpy().reshape(2, 3).tolist() == [[0.0] * 3] * 2


def test_batch_normalization_learns_nothing_from_no_steps() -> None:
    for axis in (-1, 1):
        layer = layers.BatchNormalization(axis=axis, momentum=0.25)
        layer(np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32"), training=True)
        before = layer.get_weights()
        empty = layer(np.zeros((0, 4, 2), "float32"), training=True)
        assert empty.shape == (0, 4, 2)
        hidden = layer(np.full((3, 4, 2), 9.0, "float32"), training=True, mask=np.zeros((3, 4), bool))
        assert np.isfinite(hidden.numpy()).all()
        if axis == 1:  # here a channel is a step
            mask = np.array([[True, False, False, False]] * 3)
            layer(np.full((3, 4, 2), 9.0, "float32"), training=True, mask=mask)
            changed = layer.moving_mean.numpy() != before[2]
            assert changed.tolist() == [True, False, False, False]
        else:
            for ours, theirs in zip(layer.get_weights(), before, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_moving_weights_of_half_precision_are_kept_in_float32() -> None:
    layer = layers.BatchNormalization(momentum=0.5, dtype="float16")
    x = np.array([[400.0, 1e-3], [-400.0, -1e-3]], "float16")
    y = layer(x, training=True)
    assert y.dtype == layer.gamma.dtype == "float16"
    assert layer.moving_variance.dtype == layer.moving_mean.dtype == "float32"
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.5 + 0.5 * x.astype("float64").var(0), rtol=1e-6)
    assert layer(x).dtype == "float16"
    again = layers.BatchNormalization.from_config(layer.get_config())
    again.build((None, 2))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x).numpy(), layer(x).numpy())
