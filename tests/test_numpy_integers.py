"""NumPy's integers are as good as Python's wherever an axis or a length is meant, forward and backward, and in layers.

Made from the samples of all ops: each Python integer among the attributes becomes one of NumPy.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, grad, layers, ops
from tests.samples import SAMPLES, Sample
from tests.test_ops import OPS, as_tensors, differentiable

INTEGERS = [np.int64, np.int32, np.uint8]


def of_numpy(value: Any, kind: type) -> Any:
    """Integers of ``kind`` in the place of Python's, in tuples and lists too; negative ones are no uint8."""
    if isinstance(value, (tuple, list)):
        return type(value)(of_numpy(part, kind) for part in value)
    if isinstance(value, slice):
        return slice(*(of_numpy(part, kind) for part in (value.start, value.stop, value.step)))
    return kind(value) if type(value) is int and (value >= 0 or kind is not np.uint8) else value


def pulled(sample: Sample, attributes: dict[str, Any]) -> tuple[Any, list[Any], list[Any]]:
    """The output, its gradients, and those of the sum of these."""
    inputs = as_tensors(sample)
    y = OPS[sample.op](*inputs, **attributes)
    leaves = [inputs[i] for i in differentiable(sample)]
    if y.node is None:
        return y, [], []
    first = grad(y, leaves, np.ones(y.shape), create_graph=True)
    total = sum((g.sum() for g in first), Tensor(0.0, "float64"))
    return y, first, grad(total, leaves) if total.node is not None else []


def has_integers(sample: Sample) -> bool:
    given = tuple(sample.attributes.values())
    return repr(of_numpy(given, np.int64)) != repr(given)


WITH_INTEGERS = [sample for sample in SAMPLES if has_integers(sample)]


@pytest.mark.parametrize("sample", WITH_INTEGERS, ids=str)
def test_ops_take_integers_of_numpy(sample: Sample) -> None:
    expected = pulled(sample, sample.attributes)
    for kind in INTEGERS:
        attributes = {name: of_numpy(value, kind) for name, value in sample.attributes.items()}
        y, first, second = pulled(sample, attributes)
        np.testing.assert_array_equal(y.numpy(), expected[0].numpy())
        for got, known in zip([*first, *second], [*expected[1], *expected[2]], strict=True):
            np.testing.assert_array_equal(got.numpy(), known.numpy())


def test_most_ops_with_axes_are_among_them() -> None:
    names = {sample.op for sample in WITH_INTEGERS}
    assert names >= {
        "sum", "mean", "max", "min", "logsumexp", "softmax", "log_softmax", "sparsemax", "argmax", "argmin",
        "concatenate", "stack", "reshape", "transpose", "broadcast_to", "getitem", "scatter", "pad", "unfold", "fold",
        "max_pool1d", "max_pool1d_scatter", "max_pool1d_gather", "depthwise_conv1d", "depthwise_conv1d_input_grad",
        "depthwise_conv1d_kernel_grad", "linear", "linear_kernel_grad", "standardize", "standardize_grad",
    }


@pytest.mark.parametrize("one", [np.int64(1), np.int16(-1), np.argmin([5, 1]), Tensor(1)])
def test_methods_of_tensors(one: Any) -> None:
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    for name in ("sum", "mean", "var", "max", "min", "logsumexp", "softmax", "log_softmax", "argmax", "argmin"):
        y = getattr(x, name)(axis=one)
        assert y.shape == ((2, 3) if "soft" in name else (2,))
        if "arg" not in name:
            assert grad(y.sum(), x).shape == (2, 3)
    two = np.int64(2)
    assert Tensor.zeros(two, np.int32(1)).squeeze(one).shape == (2,)
    assert x.swapaxes(np.int8(0), one).shape == (3, 2)
    assert x.expand_dims(one).shape in ((2, 1, 3), (2, 3, 1))
    assert x.reshape(np.array([3, 2])).shape == x.reshape(np.int64(3), two).shape == x.transpose(one, 0).shape == (3, 2)
    assert x.pad(two).shape == x.pad(np.array([2, 2])).shape == x.pad(((two, 2), (2, two))).shape == (6, 7)
    assert x.broadcast_to(two, 2, 3).shape == (2, 2, 3)
    assert x[np.int64(1)].shape == (3,)


@pytest.mark.parametrize(
    ("numbers", "dtype", "expected"),
    [
        ((np.int64(3),), "int64", [0, 1, 2]), ((np.float32(2.5),), "float32", [0, 1, 2]),
        ((np.float64(1), np.int32(3)), "float32", [1, 2]), ((0, 1, np.float16(0.5)), "float32", [0, 0.5]),
        ((np.uint8(1), 4, np.int8(2)), "int64", [1, 3]),
    ],
)
def test_ranges_of_numbers_of_numpy(numbers: tuple[Any, ...], dtype: str, expected: list[float]) -> None:
    x = Tensor.arange(*numbers)
    assert x.dtype == dtype
    assert x.tolist() == expected


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda n: layers.Dense(n(3)), (2, 4)), (lambda n: layers.Embedding(n(9), n(3)), None),
        (lambda n: layers.Reshape((n(2), n(3))), (2, 6)), (lambda n: layers.Permute((n(2), n(1))), (2, 3, 4)),
        (lambda n: layers.RepeatVector(n(3)), (2, 4)), (lambda n: layers.UpSampling1D(n(2)), (2, 4, 3)),
        (lambda n: layers.ZeroPadding1D((n(1), n(2))), (2, 4, 3)), (lambda n: layers.Cropping1D(n(1)), (2, 4, 3)),
        (lambda n: layers.Softmax(n(1)), (2, 3)), (lambda n: layers.Softmax([n(0), n(1)]), (2, 3)),
        (lambda n: layers.LayerNormalization(axis=n(1)), (2, 4)), (lambda n: layers.BatchNormalization(n(1)), (5, 4)),
        (lambda n: layers.PReLU(shared_axes=[n(1)]), (2, 3, 4)), (lambda n: layers.MaxPooling1D(n(2), n(1)), (2, 4, 3)),
        (lambda n: layers.AveragePooling1D(n(2)), (2, 4, 3)), (lambda n: layers.Dropout(0.5, (n(2), None)), (2, 4)),
        (lambda n: layers.Conv1D(n(4), n(2), strides=n(2), groups=n(2)), (2, 6, 4)),
        (lambda n: layers.DepthwiseConv1D(n(2), depth_multiplier=n(2)), (2, 6, 4)),
        (lambda n: layers.SeparableConv1D(n(3), n(2), dilation_rate=n(2)), (2, 6, 4)),
    ],
)
def test_layers_take_them(make: Any, shape: Any, kind: Any) -> None:
    layer, known = make(kind), make(int)
    assert json.dumps(layer.get_config() | {"name": ""}) == json.dumps(known.get_config() | {"name": ""})
    x = Tensor(np.zeros(4, int)) if shape is None else Tensor(np.ones(shape, "float32"))
    assert layer(x).shape == known(x).shape == layer.compute_output_shape(x.shape)


def test_joining_along_an_axis_of_numpy() -> None:
    assert layers.Concatenate(np.int64(-1))([Tensor.ones(2, 3), Tensor.ones(2, 1)]).shape == (2, 4)
    assert type(layers.Concatenate(np.int64(-1)).get_config()["axis"]) is int


# ---------------------------------------------------------------------- what is no axis


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda x: x.squeeze(3), ValueError, r"^squeeze: axis must be from -2 to 1\. Received: axis=3$"),
        (lambda x: x.squeeze(-3), ValueError, r"^squeeze: axis must be from -2 to 1\. Received: axis=-3$"),
        (lambda x: x.squeeze((0, -2)), ValueError, r"^squeeze: every axis must be named once\. Received: axis=\(0, "),
        (lambda x: x.squeeze("0"), TypeError, r"^squeeze: axis must be an integer\. Received: axis='0'$"),
        (lambda x: x.sum().squeeze(0), ValueError, r"^squeeze: axis must be left out.*Received: axis=0$"),
        (lambda x: x.swapaxes(0, 5), ValueError, r"^swapaxes: axis must be from -2 to 1\. Received: axis=5$"),
        (lambda x: x.swapaxes(0, (1,)), TypeError, r"^swapaxes: axis must be one integer\. Received: axis=\(1,\)$"),
        (lambda x: x.expand_dims((0, 0)), ValueError, r"^expand_dims: every axis must be named once"),
        (lambda x: x.transpose("a"), TypeError, r"^transpose: axes must be integers\. Received: axes=\('a',\)$"),
        (lambda x: x.reshape(2.0, 1), TypeError, r"^reshape: shape must be integers\. Received: shape=\(2.0, 1\)$"),
        (lambda x: x.argmax((0, 1)), TypeError, r"^argmax: axis must be one integer\. Received: axis=\(0, 1\)$"),
        (lambda x: x.argmin(1.0), TypeError, r"^argmin: axis must be an integer\. Received: axis=1\.0$"),
        (lambda x: ops.sparsemax(x, axis=(0, 1)), TypeError, r"^sparsemax: axis must be one integer\. Received: axis="),
        (lambda x: ops.sparsemax(x, axis=2), ValueError, r"^sparsemax: axis must be from -2 to 1\. Received: axis=2"),
        (lambda x: ops.stack(x, x, axis=(0,)), TypeError, r"^stack: axis must be one integer\. Received: axis=\(0,\)$"),
        (lambda x: ops.concatenate(x, axis="0"), TypeError, r"^concatenate: axis must be an integer\. Received: axis="),
        (lambda x: x.sum(1.5), TypeError, r"^sum: axis must be an integer, a tuple.* or None\. Received: axis=1.5$"),
        (lambda x: x.mean((0, "1")), TypeError, r"^mean: axis must be .*\. Received: axis=\(0, '1'\)$"),
        (lambda x: x.max({0}), TypeError, r"^max: axis must be .*\. Received: axis=\{0\}$"),
        (lambda x: x.softmax("last"), TypeError, r"^softmax: axis must be .*Received: axis='last'$"),
        (lambda x: x.logsumexp(slice(2)), TypeError, r"^logsumexp: axis must be .*Received: axis=slice"),
        (lambda x: x.pad(-1), ValueError, r"^pad: widths must be one width.*Received: widths=-1$"),
        (lambda x: x.pad(((1, 2), (3,))), ValueError, r"^pad: widths must be one width.*Received: widths=\(\(1, 2"),
        (lambda x: x.pad((1, 2, 3)), ValueError, r"^pad: widths must be one width.*each of 2 axes.*Received: widths="),
        (lambda x: x.pad(0.5), ValueError, r"^pad: widths must be one width.*Received: widths=0.5$"),
        (lambda x: x.clip(Tensor(0.0), 1), TypeError, r"^clip: limits must be .*ops.maximum.*Received: minimum=Tensor"),
        (lambda x: x.clip(0, "1"), TypeError, r"^clip: limits must be .*Received: maximum='1'$"),
        (lambda x: ops.concatenate([x, x]), TypeError,
         r"^concatenate: arrays must be given one by one, as in concatenate\(a, b\).*Received: a list of 2 tensors$"),
        (lambda x: ops.stack((x,)), TypeError, r"^stack: arrays must be given one by one.*Received: a tuple of 1"),
        (lambda x: ops.exp([x, x]), TypeError, r"^exp: .*ops\.stack.*Received: a list of 2 tensors$"),
        (lambda x: ops.exp([[1.0], [1.0, 2.0]]), ValueError, r"^exp: a list must hold numbers, in rows of one length"),
        (lambda x: layers.Concatenate("last"), TypeError, r"`axis` argument must be an integer\. Received: axis="),
    ],
)  # fmt: skip
def test_what_is_no_axis_is_refused_in_a_sentence(f: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        f(Tensor(np.ones((2, 1)), requires_grad=True))


def test_nothing_else_is_squeezed_or_padded() -> None:
    x = Tensor.zeros(1, 3, 1)
    assert x.squeeze().shape == x.squeeze((0, 2)).shape == x.squeeze([-1, 0]).shape == (3,)
    assert x.expand_dims((0, -1)).shape == (1, 1, 3, 1, 1)
    assert x.transpose(None).shape == x.transpose().shape == (1, 3, 1)
    assert Tensor(1.0).pad([]).shape == ()


# ---------------------------------------------------------------------- nothing to compute with


@pytest.mark.parametrize("layout", ["NLC", "NCL"])
@pytest.mark.parametrize(("batch", "channels", "multiplier"), [(2, 0, 3), (0, 2, 3), (0, 0, 0), (2, 2, 0)])
def test_convolutions_of_nothing(batch: int, channels: int, multiplier: int, layout: str) -> None:
    shape = (batch, 7, channels) if layout == "NLC" else (batch, channels, 7)
    x, w = Tensor(np.ones(shape), requires_grad=True), Tensor(np.ones((3, channels, multiplier)), requires_grad=True)
    y = ops.depthwise_conv1d(x, w, stride=2, layout=layout)
    first = grad(y.sum(), [x, w], create_graph=True)
    assert [g.shape for g in first] == [x.shape, w.shape]
    assert not any(g.numpy().any() for g in first)
    again = grad((first[0] * first[0]).sum() + (first[1] * first[1]).sum(), [x, w])
    assert [g.shape for g in again] == [x.shape, w.shape]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_gradients_of_empty_batches(sample: Sample) -> None:
    """What an op takes with an axis of length 0 in front, its rules take too."""
    shapes = [x.shape for x in sample.inputs if isinstance(x, np.ndarray) and x.ndim]
    if not shapes or len({shape[0] for shape in shapes}) > 1:
        return
    inputs = [x[:0] if isinstance(x, np.ndarray) and x.ndim else x for x in sample.inputs]
    empty = Sample(sample.op, tuple(inputs), sample.attributes, sample.reference)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of means of nothing
        try:
            OPS[sample.op](*inputs, **sample.attributes)
        except (ValueError, IndexError, TypeError):
            return  # refused at once
        _, first, second = pulled(empty, sample.attributes)
    leaves = [inputs[i] for i in differentiable(empty)]
    for got in (first, second):
        assert [g.shape for g in got] in ([], [x.shape for x in leaves])
