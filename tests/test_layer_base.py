"""Layer: what subclasses rely on, and the arguments and errors of the single layers beside their numbers."""

from __future__ import annotations

import gc
import json
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, clear_session, grad, layers, no_grad
from minigrad.config import serialize
from minigrad.layers import Dense, InputSpec, Layer
from minigrad.regularizers import L2
from minigrad.variable import Variable


@pytest.fixture(autouse=True)
def _fresh_names() -> None:
    clear_session()


class Scaled(Layer):
    """A layer as users write them, with one weight."""

    def __init__(self, start: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight((input_shape[-1],), lambda shape, dtype: Tensor.full(shape, self.start, dtype))

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale


class Block(Layer):
    """A layer made of layers, which says nothing of its shapes."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.hidden = [Dense(2 * units, "relu"), Dense(units)]
        self.shortcut = Dense(units, use_bias=False)

    def call(self, inputs: Any) -> Any:
        x = inputs
        for layer in self.hidden:
            x = layer(x)
        return x + self.shortcut(inputs)


class Watching(Layer):
    """Says whether it trains."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seen: list[Any] = []

    def call(self, inputs: Any, training: bool = False) -> Any:
        self.seen.append(training)
        return inputs


class Wrapper(Layer):
    """Calls another layer, one way or the other."""

    def __init__(self, inner: Any, **how: Any) -> None:
        super().__init__()
        self.inner = inner
        self.how = how

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs, **self.how)


# ---------------------------------------------------------------------- constructor, names, configs


def test_a_subclass_with_its_own_constructor() -> None:
    layer = Scaled(2.0, name="twice", dtype="float64")
    assert layer.get_config() == {"name": "twice", "trainable": True, "dtype": "float64", "start": 2.0}
    assert layer(Tensor([[1.0, 2.0]])).tolist() == [[2.0, 4.0]]
    again = layers.deserialize(json.loads(json.dumps(serialize(layer))))
    assert type(again) is Scaled
    assert again.built
    assert serialize(layer)["registered_name"] == "Scaled"


def test_a_constructor_that_does_not_keep_its_argument() -> None:
    class Forgetful(Layer):
        def __init__(self, size: int) -> None:
            super().__init__()

    with pytest.raises(NotImplementedError, match=r"kept under its own name.*size"):
        Forgetful(3).get_config()


def test_unknown_arguments() -> None:
    with pytest.raises(ValueError, match=r"Unrecognized keyword arguments passed to Scaled: \{'foo': 1\}"):
        Scaled(foo=1)


def test_forgetting_super() -> None:
    class Forgetful(Layer):
        def __init__(self) -> None:
            self.size = 3

        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(RuntimeError, match=r"In layer 'Forgetful', you forgot to call `super\(\).__init__\(\)`"):
        Forgetful()(Tensor([1.0]))


def test_forgetting_call() -> None:
    with pytest.raises(NotImplementedError, match=r"Layer\.call: must be written"):
        Layer()(Tensor([1.0]))


@pytest.mark.parametrize(
    ("cls", "name"),
    [("ReLU", "re_lu"), ("PReLU", "p_re_lu"), ("MaxPooling1D", "max_pooling1d"), ("ELU", "elu"), ("Dense", "dense"),
     ("GlobalAveragePooling1D", "global_average_pooling1d"), ("UpSampling1D", "up_sampling1d")],
)  # fmt: skip
def test_automatic_names(cls: str, name: str) -> None:
    make = {"Dense": lambda: Dense(1)}.get(cls, getattr(layers, cls))
    assert [make().name for _ in range(3)] == [name, f"{name}_1", f"{name}_2"]
    clear_session()
    layer = make()
    assert layer.name == layer.path == name


def test_a_config_with_an_option_that_minigrad_does_not_have() -> None:
    config = layers.BatchNormalization().get_config()
    assert layers.BatchNormalization.from_config(config | {"renorm": False, "renorm_momentum": 0.5}).momentum == 0.99
    with pytest.raises(ValueError, match=r"renorm must be False\. Received: renorm=True"):
        layers.BatchNormalization.from_config(config | {"renorm": True})


@pytest.mark.parametrize("identifier", ["nothing", {"class_name": "Nothing"}, {"config": {}}, 3])
def test_identifiers_that_name_no_layer(identifier: Any) -> None:
    with pytest.raises(ValueError, match="layer"):
        layers.get(identifier)


# ---------------------------------------------------------------------- build and call


def test_a_failed_call_leaves_all_as_it_was() -> None:
    block = Block(3)
    block.hidden.append(layers.Reshape((7,)))
    with pytest.raises(ValueError, match="total size"):
        block(Tensor.ones(2, 4))
    assert not any(layer.built for layer in block._family_tree() if isinstance(layer, Dense))
    assert not block.built
    assert block.weights == []
    block.hidden.pop()
    assert block(Tensor.ones(2, 5)).shape == (2, 3)  # another number of channels than in the failed call


def test_a_failed_first_call_does_not_choose_the_device() -> None:
    class Choosy(Dense):
        def call(self, inputs: Any) -> Any:
            if len(inputs) > 1:
                raise ValueError("one sample")
            return super().call(inputs)

    layer = Choosy(2)
    with pytest.raises(ValueError, match="one sample"):
        layer(Tensor.ones(2, 3, device="standin"))
    assert layer.device == "cpu"
    assert layer(Tensor.ones(1, 3)).device == "cpu"


def test_build_and_shapes_of_a_layer_that_says_nothing_of_them() -> None:
    block = Block(3)
    assert block.compute_output_shape((None, None, 4)) == (None, None, 3)
    assert block.compute_output_shape([5, 4]) == (5, 3)
    assert not block.built
    assert block.weights == []
    block.build((None, None, 4))
    assert block.count_params() == (4 * 6 + 6) + (6 * 3 + 3) + 4 * 3
    assert block.get_build_config() == {"input_shape": (None, None, 4)}
    assert block(Tensor.ones(2, 7, 4)).shape == (2, 7, 3)


def test_shapes_found_by_trying_follow_unknown_lengths() -> None:
    class Shortened(Layer):
        def call(self, inputs: Any) -> Any:
            return inputs[:, 1:, :2]

    assert Shortened().compute_output_shape((None, None, 5)) == (None, None, 2)
    assert Shortened().compute_output_shape((None, 9, 5)) == (None, 8, 2)
    assert Shortened().compute_output_shape((4, None, 5)) == (4, None, 2)


def test_shapes_found_by_trying_leave_losses_and_random_state_alone() -> None:
    layer = Wrapper(layers.Dropout(0.5, seed=1))
    layer.inner.activity_regularizer = L2(1.0)
    y = layer(Tensor.ones(2, 4), training=True)
    before = [loss.item() for loss in layer.losses]
    layer.compute_output_shape((None, 4))
    assert [loss.item() for loss in layer.losses] == before
    again = Wrapper(layers.Dropout(0.5, seed=1))
    again.compute_output_shape((None, 4))
    assert again(Tensor.ones(2, 4), training=True).tolist() == y.tolist()


def test_shapes_found_by_trying_teach_nothing() -> None:
    class Eager(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = layers.BatchNormalization()

        def call(self, inputs: Any, training: bool = True) -> Any:
            return self.inner(inputs)

    layer = Eager()
    layer.build((None, 3))
    layer.compute_output_shape((None, 3))
    assert layer.inner.moving_variance.tolist() == [1.0] * 3


def test_the_activity_loss_of_a_scalar() -> None:
    class Total(Layer):
        def call(self, inputs: Any) -> Any:
            return inputs.sum()

    layer = Total(activity_regularizer="l2")
    layer(Tensor([1.0, 2.0]))
    assert layer.losses[0].item() == pytest.approx(0.09)


@pytest.mark.parametrize("shape", [None, 3, (2, "a"), (2, -1), (2, 1.5)])
def test_bad_shapes(shape: Any) -> None:
    for layer in (Dense(3), Block(3)):
        with pytest.raises(ValueError, match="input_shape must be a tuple of integers and None"):
            layer.build(shape)
        assert not layer.built


def test_training_comes_from_the_argument_then_from_the_layer_around_then_from_the_default() -> None:
    x = Tensor([1.0])
    inner = Watching()
    inner(x)
    inner(x, training=True)
    Wrapper(inner)(x, training=True)
    Wrapper(Wrapper(inner))(x, training=True)
    Wrapper(inner)(x)
    Wrapper(inner, training=False)(x, training=True)
    Wrapper(Wrapper(inner, training=True))(x)
    inner(x)
    assert inner.seen == [False, True, True, True, False, False, True, False]


def test_the_default_of_training_is_that_of_call() -> None:
    class Eager(Watching):
        def call(self, inputs: Any, training: bool = True) -> Any:
            return super().call(inputs, training)

    layer = Eager()
    layer(Tensor([1.0]))
    Wrapper(layer)(Tensor([1.0]))
    assert layer.seen == [True, False]  # in another layer, that one decides


def test_training_does_not_outlive_a_failure() -> None:
    class Failing(Layer):
        def call(self, inputs: Any) -> Any:
            raise KeyError("no")

    with pytest.raises(KeyError):
        Failing()(Tensor([1.0]), training=True)
    inner = Watching()
    Wrapper(inner)(Tensor([1.0]))
    assert inner.seen == [False]


def test_input_spec() -> None:
    def message(spec: InputSpec, shape: tuple[int, ...], dtype: Any = None) -> str:
        with pytest.raises(ValueError, match=r"^x is incompatible with the layer: expected ") as error:
            spec.check(shape, "x", dtype)
        return str(error.value).removeprefix("x is incompatible with the layer: expected ")

    assert message(InputSpec(ndim=2), (3,)) == "ndim=2, found ndim=1. Full shape received: (3,)"
    assert message(InputSpec(min_ndim=2), (3,)) == "min_ndim=2, found ndim=1. Full shape received: (3,)"
    assert message(InputSpec(max_ndim=2), (3, 3, 3)) == "max_ndim=2, found ndim=3. Full shape received: (3, 3, 3)"
    assert message(InputSpec(axes={-1: 4}), (2, 3)) == (
        "axis -1 of input shape to have value 4, but received input with shape (2, 3)"
    )
    assert message(InputSpec(shape=(None, 4)), (2, 3)) == "shape=(None, 4), found shape=(2, 3)"
    assert message(InputSpec(dtype="float32"), (2,), np.dtype("float64")) == "dtype=float32, found dtype=float64"
    InputSpec(shape=(None, 4), axes={-1: 4}, min_ndim=2, max_ndim=2, ndim=2).check((None, None), "x", "int8")


# ---------------------------------------------------------------------- weights and losses


def test_weights_are_found_in_order_of_assignment_and_once() -> None:
    class Holder(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.pair = {"a": Dense(1, use_bias=False), "b": [Dense(2, use_bias=False)]}
            self.again = self.pair["a"]
            self.frozen = self.add_weight((4,), trainable=False, name="frozen")
            self.own = self.add_weight((3,), name="own")
            self.shared = self.own

        def call(self, inputs: Any) -> Any:
            return self.pair["b"][0](self.again(inputs)) + self.own.sum()

    layer = Holder()
    layer(Tensor.ones(2, 5))
    assert [w.shape for w in layer.weights] == [(3,), (4,), (5, 1), (1, 2)]  # own that train, own others, others
    assert [w.shape for w in layer.trainable_weights] == [(3,), (5, 1), (1, 2)]
    assert [w.shape for w in layer.non_trainable_weights] == [(4,)]
    assert layer.variables == layer.weights
    assert layer.count_params() == 14


def test_a_layer_that_does_not_train_hides_what_is_in_it() -> None:
    block = Block(2)
    block(Tensor.ones(1, 3))
    block.hidden[0].trainable = False
    assert len(block.trainable_weights) == 3
    block.trainable = False
    assert block.trainable_weights == []
    assert not block.shortcut.trainable
    block.shortcut.trainable = True
    assert block.shortcut.trainable_weights
    assert block.trainable_weights == []  # it is still frozen itself
    block.trainable = True
    assert block.hidden[0].trainable
    assert len(block.trainable_weights) == 5
    frozen = Dense(2, trainable=False)
    outer = Wrapper(frozen)
    assert not frozen.trainable  # a constructor leaves what it is given alone
    outer(Tensor.ones(1, 3))
    assert outer.trainable_weights == []


def test_trainable_must_be_a_boolean() -> None:
    layer = Dense(2)
    with pytest.raises(ValueError, match="Expected `trainable` to be a boolean"):
        layer.trainable = 1
    assert layer.trainable is True


def test_losses_of_sublayers_come_with_the_last_outermost_call() -> None:
    inner = layers.ActivityRegularization(l2=1.0)
    dense = Dense(1, kernel_regularizer="l2", kernel_initializer="ones", use_bias=False)
    outer = Wrapper(layers.Dropout(0.0))
    outer.first, outer.last = inner, dense
    outer.call = lambda inputs: dense(inner(inputs) + inner(inputs))
    outer(Tensor([[2.0], [2.0]]))
    assert [loss.item() for loss in outer.losses] == [4.0, 4.0, pytest.approx(0.01)]  # inner was called twice
    outer(Tensor([[1.0]]))
    assert [loss.item() for loss in outer.losses] == [1.0, 1.0, pytest.approx(0.01)]
    inner(Tensor([[3.0]]))
    assert [loss.item() for loss in inner.losses] == [9.0]
    assert [loss.item() for loss in outer.losses] == [pytest.approx(0.01)]  # its last call is past


def test_add_loss() -> None:
    class Penalized(Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss([inputs.sum(), 2 * inputs.sum()])
            return inputs

    layer = Penalized()
    x = Tensor([1.0, 2.0], requires_grad=True)
    for _ in range(2):
        layer(x)
    assert [loss.item() for loss in layer.losses] == [3.0, 6.0]
    assert grad(layer.losses[1], x).tolist() == [2.0, 2.0]
    for wrong in (1.0, [x, 3]):
        with pytest.raises(ValueError, match="add_loss"):
            layer.add_loss(wrong)
    assert len(layer.losses) == 2


def test_add_weight() -> None:
    layer = Layer(dtype="float64", name="own")
    weight = layer.add_weight((2, 3), name="w", regularizer=L2(), constraint="max_norm")
    assert (weight.dtype, weight.path, weight.trainable) == (np.float64, "own/w", True)
    assert weight.numpy().any()  # glorot_uniform
    counter = layer.add_weight((), dtype="int64", trainable=False)
    assert counter.item() == 0
    assert layer.add_weight((2,), "ones", "float32").dtype == np.float32
    with pytest.raises(ValueError, match="add_weight: shape must be a tuple"):
        layer.add_weight("w", (2, 3))
    with pytest.raises(TypeError, match="positional"):
        layer.add_weight((2,), "ones", "float32", True)


def test_variables_are_no_truth_values() -> None:
    with pytest.raises(TypeError, match="must not stand for true or false"):
        bool(Variable(1.0))


def test_to_moves_all_weights() -> None:
    block = Block(2)
    block(Tensor.ones(1, 3))
    values = block.get_weights()
    assert block.to("standin") is block
    assert {w.device for w in block.weights} == {"standin"}
    y = block(Tensor.ones(1, 3, device="standin"))
    y.sum().backward()
    assert {w.grad.device for w in block.weights} == {"standin"}
    block.to("cpu")
    assert all(np.array_equal(a, b) for a, b in zip(block.get_weights(), values, strict=True))
    before = [w.data for w in block.weights]
    with pytest.raises(ValueError, match="device"):
        block.to("nowhere")
    assert all(w.data is data for w, data in zip(block.weights, before, strict=True))


def test_weights_not_built_yet_are_made_where_the_layer_was_moved_to() -> None:
    block = Block(2).to("standin")
    block.build((None, 3))
    assert {w.device for w in block.weights} == {"standin"}


def test_no_cycles_are_left_behind() -> None:
    model = Block(4)
    x = Tensor.ones(3, 5)
    model(x)
    while gc.collect():
        pass  # what other tests left behind
    gc.disable()
    try:
        for _ in range(3):
            y = model(x, training=True)
            y.sum().backward()
            del y
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_nothing_is_recorded_without_gradients() -> None:
    model = Block(4)
    with no_grad():
        assert not model(Tensor.ones(3, 5)).requires_grad
    assert all(w.requires_grad for w in model.weights)


# ---------------------------------------------------------------------- errors of the single layers

BAD_ARGUMENTS = [
    ("Dense", {"units": 0}, "Expected a strictly positive value. Received units=0."),
    ("Dense", {"units": "3"}, "`units`"), ("Dense", {"units": 2.5}, "`units`"), ("Dense", {"units": True}, "`units`"),
    ("Conv1D", {"filters": 3, "kernel_size": 2, "groups": 0}, "The number of groups must be a positive integer"),
    ("Conv1D", {"filters": 3, "kernel_size": 2, "groups": 2},
     "The number of filters must be evenly divisible by the number of groups. Received: groups=2, filters=3."),
    ("Conv1D", {"filters": 3, "kernel_size": 2, "strides": 2, "dilation_rate": 2}, "`strides > 1` not supported"),
    ("DepthwiseConv1D", {"kernel_size": 2, "padding": "causal"}, "Causal padding is only supported for "),
    ("DepthwiseConv1D", {"kernel_size": 2, "filters": 3}, "Unrecognized keyword arguments"),
    ("BatchNormalization", {"axis": [1, 2]}, "`axis`"), ("BatchNormalization", {"momentum": "x"}, "momentum"),
    ("LayerNormalization", {"epsilon": None}, "epsilon"),
    ("Dropout", {"rate": -0.1}, "Invalid value received for argument `rate`. Expected a float value between 0 and 1."),
    ("Dropout", {"rate": 1.1}, "`rate`"), ("Dropout", {"rate": "x"}, "`rate`"),
    ("Dropout", {"rate": 0.5, "noise_shape": 3}, "noise_shape"),
    ("Dropout", {"rate": 0.5, "noise_shape": (0, None)}, "noise_shape"),
    ("Dropout", {"rate": 0.5, "noise_shape": "ab"}, "noise_shape"), ("Dropout", {"rate": 0.5, "seed": -1}, "seed"),
    ("MaxPooling1D", {"pool_size": 0}, "`pool_size`"), ("MaxPooling1D", {"strides": 0}, "`strides`"),
    ("MaxPooling1D", {"padding": "causal"}, "`padding`"), ("AveragePooling1D", {"data_format": "x"}, "`data_format`"),
    ("Activation", {"activation": "foo"}, "Could not interpret activation function identifier: foo"),
    *(("ReLU", {name: -1.0}, f"{name} cannot be None or a negative value")
      for name in ("max_value", "negative_slope", "threshold")),
    ("ReLU", {"negative_slope": None}, "cannot be None"), ("ReLU", {"threshold": None}, "cannot be None"),
    ("LeakyReLU", {"negative_slope": -1.0}, "cannot be None or a negative value"),
    ("LeakyReLU", {"alpha": None}, "cannot be None or a negative value"),
    ("PReLU", {"shared_axes": [0]}, "`shared_axes`"), ("Softmax", {"axis": "x"}, "`axis`"),
    ("ActivityRegularization", {"l1": -1.0}, "l1"),
    ("Embedding", {"input_dim": 0, "output_dim": 2}, "`input_dim` must be a positive integer. Received: input_dim=0"),
    ("Embedding", {"input_dim": 2, "output_dim": True}, "`output_dim` must be a positive integer"),
    ("Reshape", {"target_shape": (-1, -1)}, "`target_shape`"), ("Reshape", {"target_shape": (1.5,)}, "`target_shape`"),
    ("Permute", {"dims": (0, 1)}, "Invalid permutation argument `dims` for Permute Layer"),
    ("Permute", {"dims": (1, 3)}, "must be consecutive and start from 1"), ("Permute", {"dims": 1}, "`dims`"),
    ("RepeatVector", {"n": 0}, "Argument `n` should be a positive integer. Received: n=0"),
    ("UpSampling1D", {"size": -1}, "Argument `size` should be a positive integer"),
    ("ZeroPadding1D", {"padding": -1}, "The `padding` argument must be a tuple of 2 integers"),
    ("ZeroPadding1D", {"padding": (1, -1)}, "including values {-1} that do not satisfy `value >= 0`"),
    ("Cropping1D", {"cropping": (1, 2, 3)}, "The `cropping` argument must be a tuple of 2 integers"),
    ("InputLayer", {}, "You must pass a `shape` argument."),
    ("InputLayer", {"shape": (2,), "batch_shape": (1, 2)}, "You cannot pass both `shape` and `batch_shape`"),
    ("InputLayer", {"batch_size": 2, "batch_shape": (1, 2)}, "You cannot pass both `batch_size` and `batch_shape`"),
    ("InputLayer", {"shape": 3}, "input_shape must be a tuple"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "arguments", "text"), BAD_ARGUMENTS, ids=lambda v: str(v)[:40])
def test_bad_arguments(layer: str, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  the text is compared below
        getattr(layers, layer)(**arguments)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("layer", "arguments", "text"),
    [
        ("RepeatVector", {"n": 1.5}, "Expected an integer value for `n`, got <class 'float'>."),
        ("UpSampling1D", {"size": True}, "Expected an integer value for `size`, got <class 'bool'>."),
        ("LayerNormalization", {"axis": "x"}, "`axis`"), ("LayerNormalization", {"axis": [1.5]}, "`axis`"),
        ("Dense", {}, "Missing: ['units']"), ("Concatenate", {"axis": 1, "name": "a", "axes": 2}, "axes"),
    ],
)
def test_bad_kinds_of_arguments(layer: str, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError) as error:
        getattr(layers, layer)(**arguments)
    assert text in str(error.value)


BAD_INPUTS = [
    ("Dense", {"units": 2}, [(3,)], "expected min_ndim=2, found ndim=1"),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "groups": 2}, [(2, 9, 3)],
     "The number of input channels must be evenly divisible by the number of groups. Received groups=2, but the input "
     "has 3 channels (full input shape is (2, 9, 3))."),
    ("Conv1D", {"filters": 4, "kernel_size": 5}, [(2, 4, 3)], "Computed output size would be zero or negative"),
    ("MaxPooling1D", {"pool_size": 5}, [(2, 4, 3)], "Computed output size would be zero or negative"),
    ("AveragePooling1D", {"pool_size": 2}, [(4, 3)], "expected ndim=3, found ndim=2"),
    ("GlobalMaxPooling1D", {}, [(4, 3)], "expected ndim=3, found ndim=2"),
    ("SpatialDropout1D", {"rate": 0.5}, [(4, 3)], "expected ndim=3, found ndim=2"),
    ("BatchNormalization", {"axis": 3}, [(4, 3)], "Axis 3 is out of bounds for input shape (4, 3). Received: axis=3"),
    ("LayerNormalization", {"axis": [1, 2]}, [(4, 3)], "Axis 2 is out of bounds for input shape (4, 3)"),
    ("LayerNormalization", {"axis": [1, -1]}, [(4, 3)], "an axis must be given once"),
    ("PReLU", {"shared_axes": [3]}, [(4, 3)], "shared_axes must be axes of the input"),
    ("Embedding", {"input_dim": 3, "output_dim": 2}, [(4, 3)], "words must be in 0 .. 2. Received: from 3 to 3"),
    ("Reshape", {"target_shape": (5,)}, [(4, 3)], "The total size of the tensor must be unchanged"),
    ("Reshape", {"target_shape": (2, -1)}, [(4, 3)], "The total size of the tensor must be unchanged"),
    ("Permute", {"dims": (2, 1)}, [(4, 3)], "expected ndim=3, found ndim=2"),
    ("RepeatVector", {"n": 2}, [(4, 3, 2)], "expected ndim=2, found ndim=3"),
    ("Cropping1D", {"cropping": (2, 2)}, [(4, 4, 2)],
     "`cropping` parameter of `Cropping1D` layer must be smaller than the input length"),
    ("Add", {}, [(2, 3), (2, 4)], "Inputs have incompatible shapes. Received shapes [(2, 3), (2, 4)]"),
    ("Add", {}, [(2, 3), (1, 3)], "Cannot merge tensors with different batch sizes"),
    ("Add", {}, (2, 3), "A `Add` layer should be called on a list of at least 1 input"),
    ("Concatenate", {}, (2, 3), "A `Concatenate` layer should be called on a list of at least 1 input"),
    ("Subtract", {}, [(2, 3)] * 3, "A `Subtract` layer should be called on exactly 2 inputs"),
    ("Concatenate", {}, [(2, 3, 4), (2, 2, 4)], "A `Concatenate` layer requires inputs with matching shapes except"),
    ("Concatenate", {}, [(2, 3), (2, 3, 4)], "A `Concatenate` layer requires inputs with matching shapes except"),
    ("Concatenate", {"axis": 2}, [(2, 3), (2, 3)], "A `Concatenate` layer requires inputs with matching shapes except"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "arguments", "shapes", "text"), BAD_INPUTS, ids=lambda v: str(v)[:40])
def test_bad_inputs(layer: str, arguments: dict[str, Any], shapes: Any, text: str) -> None:
    made = getattr(layers, layer)(**arguments)
    before = {name: value for name, value in vars(made).items() if name != "_checked"}
    xs = [Tensor.full(shape, 3.0) for shape in (shapes if isinstance(shapes, list) else [shapes])]
    with pytest.raises(ValueError) as error:  # noqa: PT011  the text is compared below
        made(xs if len(xs) > 1 or layer == "Subtract" else xs[0])
    assert text in str(error.value)
    assert {name: value for name, value in vars(made).items() if name != "_checked"} == before


def test_inputs_of_another_shape_after_the_first() -> None:
    add = layers.Add()
    add([Tensor.ones(2, 3), Tensor.ones(2, 3)])
    with pytest.raises(ValueError, match="different batch sizes"):
        add([Tensor.ones(2, 3), Tensor.ones(1, 3)])
    for layer in (Dense(2), layers.BatchNormalization(), layers.LayerNormalization(), layers.PReLU()):
        layer(Tensor.ones(2, 3))
        with pytest.raises(ValueError, match="expected axis"):
            layer(Tensor.ones(2, 4))


@pytest.mark.parametrize("layer", [Dense(2), layers.BatchNormalization(), layers.LayerNormalization(), layers.PReLU()])
def test_a_length_that_decides_a_weight_must_be_known(layer: Any) -> None:
    with pytest.raises(ValueError, match=r"the length of axis -?1 must be known"):
        layer.build((2, None))
    assert not layer.built


def test_the_mask_of_batch_normalization() -> None:
    layer = layers.BatchNormalization(momentum=0.0, epsilon=0.0, dtype="float64")
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    mask = np.arange(5) < np.array([[2], [4]])
    layer(x, training=True, mask=mask)
    np.testing.assert_allclose(layer.moving_mean.numpy(), x[mask].mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), x[mask].var(0), rtol=1e-6)
    with pytest.raises(ValueError, match="The mask provided should be one dimension less"):
        layer(x, training=True, mask=mask[0])
