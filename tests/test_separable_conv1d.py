"""SeparableConv1D's contract beside its numbers: arguments, errors, weights, losses, configs, names, dtypes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, constraints, grad, initializers, layers, ops, regularizers, settings
from minigrad.config import serialize
from minigrad.layers import SeparableConv1D, clear_session
from minigrad.variable import Variable

WEIGHTS = ("depthwise", "pointwise", "bias")


@pytest.fixture(autouse=True)
def _fresh_names() -> None:
    clear_session()


def made(**arguments: Any) -> SeparableConv1D:
    return SeparableConv1D(**({"filters": 4, "kernel_size": 3} | arguments))


def built(**arguments: Any) -> SeparableConv1D:
    layer = made(**arguments)
    layer.build((2, 10, 3))
    return layer


def state(layer: SeparableConv1D) -> dict[str, Any]:
    """All that a failure must leave alone."""
    own = {name: value for name, value in vars(layer).items() if name != "_checked"}  # a memory of shapes that fit
    return own | {"values": [w.tolist() for w in layer.weights], "losses": len(layer.losses)}


# ---------------------------------------------------------------------- constructor


def test_positional_order() -> None:
    given = (
        4, 3, 1, "same", "channels_first", 2, 2, "relu", False, "ones", "he_uniform", "ones", "l1", "l2", "l1", "l2",
        "max_norm", "non_neg", "unit_norm",
    )
    layer = SeparableConv1D(*given)
    names = list(SeparableConv1D._arguments)[: len(given)]
    assert names == [
        "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "depth_multiplier",
        "activation", "use_bias", "depthwise_initializer", "pointwise_initializer", "bias_initializer",
        "depthwise_regularizer", "pointwise_regularizer", "bias_regularizer", "activity_regularizer",
        "depthwise_constraint", "pointwise_constraint", "bias_constraint",
    ]
    assert (layer.filters, layer.kernel_size, layer.strides, layer.dilation_rate) == (4, (3,), (1,), (2,))
    assert (layer.padding, layer.data_format) == ("same", "channels_first")
    assert (layer.depth_multiplier, layer.use_bias) == (2, False)
    assert isinstance(layer.pointwise_initializer, initializers.HeUniform)
    assert isinstance(layer.activity_regularizer, regularizers.L2)
    assert isinstance(layer.bias_constraint, constraints.UnitNorm)
    with pytest.raises(TypeError, match="at most 19 positional"):
        SeparableConv1D(*given, "name")


def test_defaults() -> None:
    layer = made()
    assert (layer.strides, layer.dilation_rate) == ((1,), (1,))
    assert (layer.padding, layer.data_format) == ("valid", "channels_last")
    assert (layer.depth_multiplier, layer.use_bias, layer.activation.__name__) == (1, True, "linear")
    assert isinstance(layer.depthwise_initializer, initializers.GlorotUniform)
    assert isinstance(layer.bias_initializer, initializers.Zeros)
    parts = ("regularizer", "constraint")
    assert all(getattr(layer, f"{weight}_{part}") is None for weight in WEIGHTS for part in parts)
    assert layer.activity_regularizer is None
    assert layer.supports_masking is False


TUPLES = ("kernel_size", "strides", "dilation_rate")
GOOD = [
    ("filters", np.int64(4), 4), ("filters", 2.0, 2),
    *((name, value, (3,)) for name in TUPLES for value in (3, (3,), [3], np.int64(3))),
    ("padding", "VALID", "valid"), ("padding", "Same", "same"), ("padding", "CAUSAL", "causal"),
    ("data_format", None, "channels_last"), ("data_format", "Channels_Last", "channels_last"),
    ("data_format", "CHANNELS_FIRST", "channels_first"),
    ("use_bias", None, False), ("use_bias", 0, False),
]


@pytest.mark.parametrize(("name", "value", "kept"), GOOD, ids=lambda v: repr(v))
def test_good_values(name: str, value: Any, kept: Any) -> None:
    found = getattr(made(**{name: value}), name)
    assert found == kept
    assert type(found) is type(kept)


def positive(name: str) -> str:
    return f"Invalid value for argument `{name}`. Expected a strictly positive value. Received {name}="


def one_integer(name: str) -> str:
    return f"The `{name}` argument must be a tuple of 1 integers. Received {name}="


BAD = [
    ("filters", 0, positive("filters") + "0."), ("filters", -1, positive("filters") + "-1."),
    ("filters", None, "`filters`"), ("filters", 2.5, "`filters`"), ("filters", "4", "`filters`"),
    ("filters", True, "`filters`"),
    *((name, value, one_integer(name)) for name in TUPLES for value in ((3, 3), 2.5, None, (2.5,), "3")),
    *((name, ("a",), "including element 'a' of type <class 'str'>") for name in TUPLES),
    *((name, 0, one_integer(name) + "0, including values {0} that do not satisfy `value > 0`") for name in TUPLES),
    *((name, -1, one_integer(name) + "-1, including values {-1} that do not satisfy `value > 0`") for name in TUPLES),
    ("padding", "full", "The `padding` argument must be a list/tuple or one of "), ("padding", None, "`padding`"),
    ("padding", 1, "`padding`"), ("padding", [1], "`padding`"), ("padding", (1, 1), "`padding`"),
    ("data_format", "foo", "The `data_format` argument must be one of "), ("data_format", "NHWC", "`data_format`"),
    ("data_format", 1, "`data_format`"),
    ("depth_multiplier", 0, positive("depth_multiplier") + "0."),
    ("depth_multiplier", -1, positive("depth_multiplier") + "-1."), ("depth_multiplier", None, "`depth_multiplier`"),
    ("depth_multiplier", 2.0, "`depth_multiplier`"), ("depth_multiplier", 1.5, "`depth_multiplier`"),
    ("activation", "foo", "Could not interpret activation function identifier: foo"),
    ("activation", 3, "Could not interpret activation function identifier: 3"),
    *((f"{weight}_initializer", value, f"Could not interpret initializer identifier: {value}")
      for weight in WEIGHTS for value in ("foo", 3)),
    *((f"{part}_regularizer", value, f"Could not interpret regularizer identifier: {value}")
      for part in (*WEIGHTS, "activity") for value in ("foo", 0.01)),
    *((f"{weight}_constraint", "foo", "Could not interpret constraint identifier: foo") for weight in WEIGHTS),
    ("foo", 3, "Unrecognized keyword arguments passed to SeparableConv1D: {'foo': 3}"),
    ("groups", 2, "Unrecognized keyword arguments passed to SeparableConv1D: {'groups': 2}"),
    ("trainable", "yes", "Expected `trainable` to be a boolean"),
    ("trainable", 1, "Expected `trainable` to be a boolean"),
    ("name", 3, "Argument `name` must be a string and cannot contain character `/`"),
    ("name", "a/b", "Argument `name` must be a string and cannot contain character `/`"),
    ("dtype", "int32", "dtype='int32'"),
]


@pytest.mark.parametrize(("name", "value", "text"), BAD, ids=lambda v: repr(v)[:30])
def test_bad_values(name: str, value: Any, text: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  the text is compared below, letter by letter
        made(**{name: value})
    assert text in str(error.value)
    assert made().name == "separable_conv1d"  # the failure took no name


def test_a_bad_dtype_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="dtype='foo'"):
        made(dtype="foo")


def test_an_unknown_keyword_is_an_error_of_both_classes() -> None:
    for kind in (ValueError, TypeError):
        with pytest.raises(kind, match="foo"):
            made(foo=3)


def test_required_arguments() -> None:
    with pytest.raises(TypeError, match="kernel_size"):
        SeparableConv1D(4)
    with pytest.raises(TypeError, match="twice"):
        SeparableConv1D(4, 3, filters=4)


def test_strides_and_dilation_together_are_refused_as_in_keras_conv1d() -> None:
    text = "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: strides=(2,) and "
    with pytest.raises(ValueError, match="not supported in conjunction") as error:
        made(strides=2, dilation_rate=2)
    assert str(error.value) == text + "dilation_rate=(2,)"
    y = ops.depthwise_conv1d(Tensor.ones(1, 10, 1), Tensor.ones(3, 1, 1), stride=2, dilation=2)
    assert y.shape == (1, 3, 1)  # the op computes it


def test_the_global_data_format_is_the_default() -> None:
    settings.set_image_data_format("channels_first")
    try:
        layer = made()
    finally:
        settings.set_image_data_format("channels_last")
    assert layer.data_format == "channels_first"
    assert layer(Tensor.ones(2, 3, 10)).shape == (2, 4, 8)


# ---------------------------------------------------------------------- build and inputs


@pytest.mark.parametrize("shape", [(), (3,), (10, 3)])
def test_too_few_axes(shape: tuple[int, ...]) -> None:
    layer = made(name="conv")
    text = (
        f"Input 0 with name 'None' of layer 'conv' is incompatible with the layer: expected min_ndim=3, "
        f"found ndim={len(shape)}. Full shape received: {shape}"
    )
    before = state(layer)
    with pytest.raises(ValueError, match="incompatible") as error:
        layer(Tensor(np.ones(shape)))
    assert str(error.value) == text
    assert state(layer) == before


def test_too_many_axes() -> None:
    layer = made()
    before = state(layer)
    with pytest.raises(ValueError, match=r"3 axes.*\(2, 10, 3, 4\)"):
        layer(Tensor.ones(2, 10, 3, 4))
    assert state(layer) == before
    layer = built()
    with pytest.raises(ValueError, match=r"expected ndim=3, found ndim=4. Full shape received: \(2, 10, 3, 4\)"):
        layer(Tensor.ones(2, 10, 3, 4))


@pytest.mark.parametrize(
    ("data_format", "axis", "shape"), [("channels_last", -1, (2, 10, 5)), ("channels_first", 1, (2, 5, 10))]
)
def test_another_number_of_channels(data_format: str, axis: int, shape: tuple[int, ...]) -> None:
    layer = made(data_format=data_format)
    layer.build((2, 10, 3) if axis == -1 else (2, 3, 10))
    before = state(layer)
    with pytest.raises(ValueError, match="incompatible with the layer") as error:
        layer(Tensor.ones(shape))
    text = f"expected axis {axis} of input shape to have value 3, but received input with shape {shape}"
    assert text in str(error.value)
    assert state(layer) == before


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((2, 10, None), "The channel dimension of the inputs should be defined"),
        ((), "3 axes"), ((10, 3), "3 axes"), ((2, 10, 3, 4), "3 axes"),
        (None, "input_shape=None"), (3, "input_shape=3"), ((2, "a", 3), "input_shape="), ((2, -1, 3), "input_shape="),
        ((2, 2, 3), "output size would be zero or negative. Received `inputs shape=(2, 2, 3)`, `kernel shape=(3,"),
    ],
)
def test_build_for_a_bad_shape(shape: Any, text: str) -> None:
    layer = made()
    before = state(layer)
    with pytest.raises(ValueError) as error:  # noqa: PT011  the text is compared below
        layer.build(shape)
    assert text in str(error.value)
    assert state(layer) == before
    assert not layer.built
    layer.build((2, 10, 3))  # which can still be done


def test_build_twice() -> None:
    layer = built()
    before = state(layer)
    with pytest.raises(ValueError, match=r"must not be built twice. Received: \(2, 10, 3\)"):
        layer.build((2, 10, 3))
    assert state(layer) == before


def test_build_with_unknown_lengths() -> None:
    layer = made()
    layer.build((None, None, 3))
    assert [w.shape for w in layer.weights] == [(3, 3, 1), (1, 3, 4), (4,)]
    assert layer(Tensor.ones(2, 10, 3)).shape == (2, 8, 4)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_kernel_longer_than_the_input(length: int) -> None:
    layer = built()
    with pytest.raises(ValueError, match="Computed output size would be zero or negative"):
        layer(Tensor.ones(2, length, 3))
    with pytest.raises(ValueError, match="Computed output size would be zero or negative"):
        layer.compute_output_shape((None, length, 3))
    unbuilt = made()
    before = state(unbuilt)
    with pytest.raises(ValueError, match="Computed output size would be zero or negative"):
        unbuilt(Tensor.ones(2, length, 3))
    assert state(unbuilt) == before
    for padding in ("same", "causal"):
        assert made(padding=padding)(Tensor.ones(2, length, 3)).shape == (2, length, 4)


def test_an_empty_batch() -> None:
    assert built()(Tensor.ones(0, 10, 3)).shape == (0, 8, 4)


def test_what_is_cast() -> None:
    layer = built()
    x = np.arange(60).reshape(2, 10, 3)
    expected = layer(Tensor(x.astype("float32"))).tolist()
    for inputs in (x, x.astype("float64"), x.tolist(), Tensor(x)):
        y = layer(inputs)
        assert y.dtype == np.float32
        assert y.tolist() == expected
    assert layer(x > 3).dtype == np.float32
    with pytest.raises(TypeError, match="numbers must be given"):
        layer("abc")


def test_call_keywords() -> None:
    layer = built()
    x = Tensor.ones(2, 10, 3)
    assert layer(inputs=x).tolist() == layer(x, training=True).tolist() == layer(x).tolist()
    with pytest.raises(TypeError, match="mask"):
        layer(x, mask=x)


def test_mixed_devices() -> None:
    layer = built()
    with pytest.raises(TypeError, match=r"depthwise_conv1d.*x on 'standin', w on 'cpu'"):
        layer(Tensor.ones(2, 10, 3, device="standin"))
    assert layer.to("standin")(Tensor.ones(2, 10, 3, device="standin")).device == "standin"


# ---------------------------------------------------------------------- forward and weights


def test_output_channels_of_the_depthwise_step_are_channel_major() -> None:
    layer = made(
        filters=6, kernel_size=1, depth_multiplier=3, use_bias=False, pointwise_initializer=np.eye(6)[None],
        depthwise_initializer=np.array([[[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]]),
    )
    assert layer(Tensor.ones(1, 1, 2)).tolist() == [[[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]]]


def test_softmax_is_over_the_last_axis_in_both_formats() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 10))
    y = made(activation="softmax", data_format="channels_first")(x).numpy()
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-5)


def test_weights() -> None:
    layer = built(depth_multiplier=2)
    assert [w.name for w in layer.weights] == ["depthwise_kernel", "pointwise_kernel", "bias"]
    assert [w.path for w in layer.weights] == [f"separable_conv1d/{w.name}" for w in layer.weights]
    assert [w.shape for w in layer.weights] == [(3, 3, 2), (1, 6, 4), (4,)]
    assert layer.weights[0] is layer.depthwise_kernel
    assert all(isinstance(w, Variable) for w in layer.weights)
    assert layer.count_params() == 46
    assert [w.shape for w in layer.get_weights()] == [w.shape for w in layer.weights]
    bare = built(use_bias=False)
    assert bare.bias is None
    assert [w.name for w in bare.weights] == ["depthwise_kernel", "pointwise_kernel"]
    first = made(data_format="channels_first", depth_multiplier=2)
    first.build((2, 3, 10))
    assert [w.shape for w in first.weights] == [w.shape for w in layer.weights]


def test_before_build() -> None:
    layer = made()
    assert layer.get_weights() == layer.weights == layer.losses == []
    with pytest.raises(ValueError, match=r"`count_params`.*'separable_conv1d'.*isn't built"):
        layer.count_params()
    assert repr(layer) == "<SeparableConv1D name=separable_conv1d, built=False>"


def test_the_fans_of_the_kernels() -> None:
    layer = made(filters=64, kernel_size=5, depth_multiplier=2)
    layer.build((1, 10, 32))
    depthwise, pointwise = (6 / (5 * 32 + 5 * 2)) ** 0.5, (6 / (64 + 64)) ** 0.5
    for weight, limit in ((layer.depthwise_kernel, depthwise), (layer.pointwise_kernel, pointwise)):
        assert 0.95 * limit < abs(weight.numpy()).max() <= limit
    assert not layer.bias.numpy().any()


def test_none_as_initializer_is_the_default_of_the_page() -> None:
    layer = built(depthwise_initializer=None, pointwise_initializer=None, bias_initializer=None)
    assert layer.depthwise_kernel.numpy().any()
    assert not layer.bias.numpy().any()


def test_an_array_as_initializer() -> None:
    kernel = np.arange(9.0).reshape(3, 3, 1)
    assert built(depthwise_initializer=kernel).depthwise_kernel.tolist() == kernel.tolist()
    layer = made(depthwise_initializer=kernel[..., 0])
    before = state(layer)
    with pytest.raises(ValueError, match="initializer") as error:
        layer.build((2, 10, 3))
    text = "Expected `shape` to be (3, 3) for direct tensor as initializer. Received shape=(3, 3, 1)"
    assert text in str(error.value)
    assert state(layer) == before


def test_set_weights() -> None:
    layer = built()
    values = [np.full(w.shape, i + 1.0) for i, w in enumerate(layer.weights)]
    layer.set_weights(values)
    assert [w.tolist() for w in layer.weights] == [v.tolist() for v in values]
    before = state(layer)
    with pytest.raises(ValueError, match="set_weights") as error:
        layer.set_weights(values[:1])
    assert str(error.value) == (
        "You called `set_weights(weights)` on layer 'separable_conv1d' with a weight list of length 1, but the layer "
        "was expecting 3 weights."
    )
    with pytest.raises(ValueError, match="compatible") as error:
        layer.set_weights([values[0], values[1] * 2, np.zeros(3)])  # the last one does not fit
    assert str(error.value) == (
        "Layer separable_conv1d weight shape (4,) is not compatible with provided weight shape (3,)."
    )
    assert state(layer) == before


# ---------------------------------------------------------------------- convolution_op


def reference(x: np.ndarray, kernel: np.ndarray, stride: int, dilation: int, padding: tuple[int, int]) -> np.ndarray:
    """A grouped convolution in plain loops, channels last."""
    x = np.pad(x, [(0, 0), padding, (0, 0)])
    taps, inputs, filters = kernel.shape
    groups = x.shape[2] // inputs
    steps = (x.shape[1] - dilation * (taps - 1) - 1) // stride + 1
    y = np.zeros((x.shape[0], steps, filters))
    for t in range(steps):
        for f in range(filters):
            group = f // (filters // groups)
            channels = slice(group * inputs, (group + 1) * inputs)
            for k in range(taps):
                y[:, t, f] += x[:, t * stride + k * dilation, channels] @ kernel[k, :, f]
    return y


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("kernel_shape", [(3, 3, 4), (3, 3, 1), (2, 1, 3), (1, 1, 6)])
@pytest.mark.parametrize(("padding", "strides", "dilation_rate", "zeros"), [
    ("valid", 1, 1, (0, 0)), ("valid", 2, 1, (0, 0)), ("causal", 1, 2, (0, 0)), ("same", 1, 1, None),
])  # fmt: skip
def test_convolution_op(
    data_format: str, kernel_shape: tuple[int, ...], padding: str, strides: int, dilation_rate: int, zeros: Any
) -> None:
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(2, 10, 3)), rng.normal(size=kernel_shape)
    how = {"padding": padding, "strides": strides, "dilation_rate": dilation_rate, "data_format": data_format}
    layer = made(**how, dtype="float64")
    total = kernel_shape[0] - 1
    expected = reference(x, kernel, strides, dilation_rate, zeros or (total // 2, total - total // 2))
    last = data_format == "channels_last"
    y = layer.convolution_op(x if last else x.swapaxes(1, 2), kernel).numpy()
    np.testing.assert_allclose(y if last else y.swapaxes(1, 2), expected, rtol=1e-12, atol=1e-12)
    assert not layer.built  # the layer's own weights have no part in it


def test_convolution_op_refuses_a_kernel_that_does_not_fit() -> None:
    for kernel in (np.ones((3, 2, 4)), np.ones((3, 3)), np.ones((3, 0, 4))):
        with pytest.raises(ValueError, match="convolution_op"):
            made().convolution_op(np.ones((2, 10, 3)), kernel)


# ---------------------------------------------------------------------- losses, constraints, trainable

PENALTIES = {
    "activity_regularizer": "l2", "depthwise_regularizer": regularizers.L1(0.5), "pointwise_regularizer": "l2",
    "bias_regularizer": lambda w: (w * w * w * w).sum(),
}


def ones(**arguments: Any) -> SeparableConv1D:
    return built(
        depthwise_initializer="ones", pointwise_initializer="ones", bias_initializer="ones", **PENALTIES, **arguments
    )


def test_losses_and_their_order() -> None:
    layer = made(depthwise_initializer="ones", pointwise_initializer="ones", bias_initializer="ones", **PENALTIES)
    assert layer.losses == []
    layer.build((2, 10, 3))
    weights = [0.5 * 9, 0.01 * 12, 4.0]
    np.testing.assert_allclose([loss.item() for loss in layer.losses], weights, rtol=1e-6)
    for batch in (2, 5):  # the output is 10 everywhere; the activity loss is divided by N, and replaces the former one
        layer(Tensor.ones(batch, 10, 3))
        np.testing.assert_allclose([loss.item() for loss in layer.losses], [0.01 * 100 * 8 * 4, *weights], rtol=1e-6)


def test_the_activity_loss_is_of_the_output_after_the_activation() -> None:
    layer = ones(activation=lambda x: -2 * x)
    layer(Tensor.ones(2, 10, 3))
    np.testing.assert_allclose(layer.losses[0].item(), 0.01 * 400 * 32, rtol=1e-6)


def test_losses_can_be_differentiated() -> None:
    layer = ones()
    x = Tensor.ones(2, 10, 3, requires_grad=True)
    layer(x)
    activity, depthwise, pointwise, bias = layer.losses
    assert grad(depthwise, layer.depthwise_kernel).tolist() == np.full((3, 3, 1), 0.5).tolist()
    np.testing.assert_allclose(grad(pointwise, layer.pointwise_kernel).numpy(), 0.02, rtol=1e-6)
    assert grad(bias, layer.bias).tolist() == [4.0] * 4
    assert all(g.numpy().all() for g in grad(activity, [x, *layer.weights]))


def test_constraints_are_not_applied_by_the_layer() -> None:
    layer = ones(depthwise_constraint="unit_norm")
    layer(Tensor.ones(2, 10, 3))
    layer.set_weights([w + 1 for w in layer.get_weights()])
    assert layer.depthwise_kernel.numpy().max() == 2
    assert isinstance(layer.depthwise_kernel.constraint, constraints.UnitNorm)
    assert layer.pointwise_kernel.constraint is None


def test_a_layer_that_does_not_train() -> None:
    layer = ones()
    layer(Tensor.ones(2, 10, 3))
    weights = layer.weights
    layer.trainable = False
    assert layer.trainable_weights == []
    assert [id(w) for w in layer.non_trainable_weights] == [id(w) for w in weights]
    assert not any(w.trainable for w in weights)
    assert len(layer.losses) == 1  # the activity loss stays
    layer.trainable = True
    assert [id(w) for w in layer.trainable_weights] == [id(w) for w in weights]
    assert layer.non_trainable_weights == []
    assert len(layer.losses) == 4


def test_a_layer_made_not_to_train() -> None:
    layer = ones(trainable=False)
    assert layer.trainable_weights == layer.losses == []
    assert not layer(Tensor.ones(2, 10, 3)).requires_grad
    layer.trainable = True
    assert len(layer.trainable_weights) == 3


# ---------------------------------------------------------------------- configs

KERAS_2 = {
    "name": "sep", "trainable": True, "dtype": "float32", "filters": 4, "kernel_size": (3,), "strides": (1,),
    "padding": "same", "data_format": "channels_last", "dilation_rate": (1,), "groups": 1, "activation": "relu",
    "use_bias": True, "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
    "bias_initializer": {"class_name": "Zeros", "config": {}}, "kernel_regularizer": None,
    "bias_regularizer": None, "activity_regularizer": None, "kernel_constraint": None, "bias_constraint": None,
    "depth_multiplier": 2,
    "depthwise_initializer": {"class_name": "RandomUniform", "config": {"minval": -0.1, "maxval": 0.1}},
    "pointwise_initializer": {"class_name": "GlorotUniform", "config": {"seed": 7}},
    "depthwise_regularizer": {"class_name": "L2", "config": {"l2": 0.25}}, "pointwise_regularizer": None,
    "depthwise_constraint": {"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}},
    "pointwise_constraint": None,
}  # fmt: skip


def keras_3(value: Any, module: str) -> Any:
    """The form of Keras 3 for one nested object."""
    return {**value, "module": module, "registered_name": None} if isinstance(value, dict) else value


LEFTOVERS = ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")
POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
KERAS_3 = {
    name: POLICY if name == "dtype" else keras_3(value, f"keras.{name.split('_')[-1]}s")
    for name, value in KERAS_2.items() if name not in LEFTOVERS
}  # fmt: skip


@pytest.mark.parametrize("config", [KERAS_2, KERAS_3], ids=["tf.keras 2", "Keras 3"])
def test_reads_configs_of_both_kerases(config: dict[str, Any]) -> None:
    layer = SeparableConv1D.from_config(config)
    assert (layer.name, layer.dtype, layer.padding, layer.depth_multiplier) == ("sep", "float32", "same", 2)
    assert layer.activation.__name__ == "relu"
    assert layer.depthwise_regularizer.l2 == 0.25
    assert layer.depthwise_constraint.max_value == 2
    assert layer.pointwise_initializer.seed == 7
    assert set(layer.get_config()) == set(KERAS_3)
    assert SeparableConv1D.from_config(layer.get_config()).get_config() == layer.get_config()
    assert SeparableConv1D.from_config(json.loads(json.dumps(config))).get_config() == layer.get_config()


def test_config_of_keras_3() -> None:
    config = made(activation=None, data_format=None, bias_regularizer="l2").get_config()
    assert list(config)[:3] == ["name", "trainable", "dtype"]
    assert set(config) == set(KERAS_3)
    assert (config["kernel_size"], config["strides"], config["dilation_rate"]) == ((3,), (1,), (1,))
    assert (config["activation"], config["data_format"], config["dtype"]) == ("linear", "channels_last", "float32")
    assert config["bias_regularizer"] == {
        "module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.01}, "registered_name": None,
    }


def test_a_config_with_other_unknown_keys_is_refused() -> None:
    config = made().get_config() | {"foo": 1}
    for kind in (TypeError, ValueError):
        with pytest.raises(kind, match="foo"):
            SeparableConv1D.from_config(config)


def test_serialize_and_deserialize() -> None:
    layer = made(name="sep")
    assert serialize(layer) == {
        "module": "keras.layers", "class_name": "SeparableConv1D", "config": layer.get_config(),
        "registered_name": None,
    }
    assert not layers.deserialize(serialize(layer)).built
    layer.build((None, 5, 2))
    assert serialize(layer)["build_config"] == {"input_shape": (None, 5, 2)} == layer.get_build_config()
    again = layers.deserialize(serialize(layer))
    assert again.built
    assert [w.shape for w in again.weights] == [w.shape for w in layer.weights]
    assert again.get_config() == layer.get_config()
    assert layers.get({"class_name": "SeparableConvolution1D", "config": {"filters": 1, "kernel_size": 2}}).filters == 1


# ---------------------------------------------------------------------- names, dtypes, shapes


def test_names() -> None:
    assert [made().name for _ in range(3)] == ["separable_conv1d", "separable_conv1d_1", "separable_conv1d_2"]
    clear_session()
    assert made().name == "separable_conv1d"
    assert made(name="own").name == "own"
    assert layers.SeparableConvolution1D is SeparableConv1D


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes(dtype: str) -> None:
    layer = built(dtype=dtype)
    assert {w.dtype for w in layer.weights} == {np.dtype(dtype)}
    assert layer.dtype == layer.compute_dtype == layer.variable_dtype == dtype
    assert layer(Tensor.ones(2, 10, 3)).dtype == dtype


def test_mixed_precision() -> None:
    layer = built(dtype="mixed_float16")
    assert {w.dtype for w in layer.weights} == {np.dtype("float32")}
    y = layer(Tensor.ones(2, 10, 3))
    assert y.dtype == np.float16
    y.sum().backward()
    assert {w.grad.dtype for w in layer.weights} == {np.dtype("float32")}
    assert layer.get_config()["dtype"] == "mixed_float16"


def test_floatx_is_the_default_dtype() -> None:
    settings.set_floatx("float64")
    try:
        layer = made()
    finally:
        settings.set_floatx("float32")
    assert layer.dtype == "float64"


@pytest.mark.parametrize(
    ("arguments", "shape", "expected"),
    [
        ({}, (None, None, 3), (None, None, 4)), ({}, (2, 10, 3), (2, 8, 4)),
        ({"strides": 3}, (2, 10, 3), (2, 3, 4)), ({"dilation_rate": 3}, (2, 10, 3), (2, 4, 4)),
        ({"padding": "same", "strides": 3}, (None, 10, 3), (None, 4, 4)),
        ({"padding": "causal", "strides": 4}, (5, 10, 3), (5, 3, 4)),
        ({"data_format": "channels_first"}, (2, 3, 10), (2, 4, 8)),
        ({"data_format": "channels_first"}, [None, 3, None], (None, 4, None)),
    ],
)
def test_compute_output_shape(arguments: dict[str, Any], shape: Any, expected: tuple[int | None, ...]) -> None:
    layer = made(**arguments)
    assert layer.compute_output_shape(shape) == expected
    assert not layer.built
    with pytest.raises(ValueError, match="3 axes"):
        layer.compute_output_shape((2, 3))
