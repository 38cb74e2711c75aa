"""Batches: their order, their lengths, and data that is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad import Tensor
from minigrad.data import Arrays, Stream, batches, class_weights, source_of, train_validation_split

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10)


def labels(*args: Any, **kwargs: Any) -> list[list[int]]:
    return [y.tolist() for _, y in batches(X, Y, *args, **kwargs)]


def flat(parts: list[list[int]]) -> list[int]:
    return [i for part in parts for i in part]


def test_batches_in_order() -> None:
    assert labels(4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    x, y = next(batches(X, Y, 3))
    np.testing.assert_array_equal(x, X[:3])
    assert type(x) is np.ndarray
    assert y.tolist() == [0, 1, 2]


def test_batches_shuffled_by_seed_and_epoch_alone() -> None:
    np.random.seed(1)
    one = labels(4, seed=3, epoch=5)
    np.random.seed(2)
    assert labels(4, seed=3, epoch=5) == one
    assert sorted(flat(one)) == list(range(10))
    assert one not in (labels(4, seed=3, epoch=6), labels(4, seed=4, epoch=5), labels(4))
    assert labels(4, seed=3, epoch=5, start=2) == one[2:]
    assert labels(4, seed=3, epoch=5, start=3) == []
    assert flat(labels(3, seed=3, epoch=5)) == flat(one)  # the order is of samples, not of batches


def test_parts_stay_together() -> None:
    for x, y, weights in batches(X, Y, 4, seed=0, sample_weight=Y * 0.5):
        np.testing.assert_array_equal(x[:, 0], y * 2)
        np.testing.assert_array_equal(weights, y * 0.5)
    assert [len(batch) for batch in batches(X, batch_size=5)] == [1, 1]


@pytest.mark.parametrize("device", ["cpu", "standin"])
def test_tensors_stay_where_they_are(device: str) -> None:
    x, y = next(batches(Tensor(X, device=device), Tensor(Y, device=device), 4, seed=0))
    assert isinstance(x, Tensor)
    assert (x.device, y.device, x.shape) == (device, device, (4, 2))
    np.testing.assert_array_equal(x.numpy()[:, 0], y.numpy() * 2)
    assert not x.requires_grad


def test_several_inputs() -> None:
    (a, b), y = next(batches([X, -X], Y, 4, seed=0))
    np.testing.assert_array_equal(a, -b)
    np.testing.assert_array_equal(a[:, 0], y * 2)


def test_numbers_in_lists() -> None:
    x, y = next(batches([[1.0, 2.0], [3.0, 4.0]], [0, 1], 1))
    assert (x.tolist(), y.tolist()) == ([[1.0, 2.0]], [0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, Y[:9]), r"x, y and sample_weight must have the same number of samples\. Received: x of 10, y of 9"),
        (([X, X[:4]], Y), r"same number of samples\. Received: x\[0\] of 10, x\[1\] of 4, y of 10"),
        ((X[:0], Y[:0]), r"batches: x must hold samples\. Received: x, y of length 0"),
        ((X, Y, 0), r"`batch_size`\. Expected a strictly positive value\. Received batch_size=0"),
        ((X, Y, 2.5), r"`batch_size`\. Expected an integer"),
        ((np.array(3.0), Y), r"batches: x must have an axis of samples\. Received: a single number"),
    ],
)
def test_bad_arrays(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batches(*arguments)


def test_nan_is_found_where_it_is() -> None:
    x = X.astype("float32")
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"fit: x must hold numbers\. Received: 1 NaN in x of shape \(10, 2\)"):
        source_of(x, Y)
    with pytest.raises(ValueError, match=r"the first at \(3, 1\)"):
        source_of(Tensor(x, device="standin"), Y)
    with pytest.raises(ValueError, match=r"1 NaN in y of shape \(10, 2\)"):
        source_of(X, x)
    with pytest.raises(ValueError, match=r"1 NaN in sample_weight"):
        source_of(X, Y, x[:, 1])
    with pytest.raises(ValueError, match=r"1 NaN in x"):
        next(source_of([(x, Y)]).epoch(0, 0))


def test_large_and_infinite_numbers_are_numbers() -> None:
    x = np.full((4, 2), 3e38, "float32")
    assert isinstance(source_of(x), Arrays)  # the sum overflows, in silence
    x[0] = np.inf
    x[1] = -np.inf
    assert isinstance(source_of(x), Arrays)


# ---------------------------------------------------------------------- iterables


def taken(source: Any, epoch: int = 0, start: int = 0) -> list[Any]:
    return [np.asarray(batch.x).tolist() for batch in source.epoch(epoch, 0, start)]


def test_a_list_of_batches() -> None:
    source = source_of([(X[:2], Y[:2]), (X[2:3], Y[2:3])])
    assert isinstance(source, Stream)
    assert source.known == 2
    assert taken(source) == taken(source, 1) == [X[:2].tolist(), X[2:3].tolist()]
    assert taken(source, 0, 1) == [X[2:3].tolist()]


def test_a_generator_goes_on_where_it_stopped() -> None:
    source = source_of((([float(i)], [i]) for i in range(5)), steps=2)
    assert source.first().x.tolist() == [0.0]  # and nothing is lost
    values = [[batch.x.item() for batch in source.epoch(epoch, 0)] for epoch in range(2)]
    assert values == [[0.0, 1.0], [2.0, 3.0]]
    with pytest.warns(UserWarning, match="fit: data ran out after 1 of 2 batches"):
        assert len(list(source.epoch(2, 0))) == 1
    with pytest.raises(ValueError, match=r"an iterator can be walked through only once.*Received: no batch in epoch 3"):
        list(source.epoch(3, 0))


def test_a_function_of_the_epoch() -> None:
    source = source_of(lambda epoch: batches(X, Y, 4, seed=7, epoch=epoch))
    assert taken(source, 2) == [x.tolist() for x, _ in batches(X, Y, 4, seed=7, epoch=2)]
    assert taken(source, 2, 1) == taken(source, 2)[1:]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": 3.5}, ValueError, r"fit: x must have an axis of samples"),
        ({"x": "abc"}, TypeError, r"fit: x must be an array, a list of arrays, or an iterable.*Received: str"),
        ({"x": {"a": X}}, TypeError, r"Received: dict"),
        ({"x": None}, TypeError, r"Received: NoneType"),
        ({"x": [(X, Y)], "y": Y}, ValueError, r"y must be in the batches when x is an iterable"),
        ({"x": [(X, Y)], "batch_size": 4}, ValueError, r"batch_size must be in the batches"),
        ({"x": X, "steps": 3}, ValueError, r"steps must be given for an iterable of batches only\. Received: steps=3"),
    ],
)
def test_what_is_no_source(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        source_of(**arguments)


def test_bad_batches() -> None:
    with pytest.raises(ValueError, match=r"a batch must be x, \(x, y\) or \(x, y, sample_weight\)\. Received: 4 parts"):
        source_of([(X, Y, Y, Y)]).first()
    with pytest.raises(ValueError, match=r"Received: x of 10, y of 3"):
        source_of([(X, Y[:3])]).first()
    with pytest.raises(ValueError, match=r"fit: data must hold a batch\. Received: an iterable without any"):
        source_of(iter([])).first()


# ---------------------------------------------------------------------- parts for validation, weights of classes


def test_the_last_part_is_for_validation() -> None:
    train, validation = train_validation_split((X, Y, None), 0.25)
    assert (train.y.tolist(), validation.y.tolist()) == (list(range(7)), [7, 8, 9])
    assert train.sample_weight is None


@pytest.mark.parametrize("share", [1.5, -0.1, 1.0, True])
def test_bad_shares(share: Any) -> None:
    with pytest.raises(ValueError, match=r"fit: validation_split must be between 0 and 1\. Received: "):
        train_validation_split((X, Y, None), share)


def test_too_few_samples_to_split() -> None:
    with pytest.raises(ValueError, match="Training data contains 1 samples, which is not sufficient to split it"):
        train_validation_split((X[:1], Y[:1], None), 0.5)
    with pytest.raises(TypeError, match=r"validation_split must be given for arrays only"):
        train_validation_split(([(X, Y)], None, None), 0.5)


def test_class_weights() -> None:
    expected = [2.0, 1.0, 0.5, 2.0]
    y = np.array([0, 1, 2, 0])
    for given in (y, y[:, None], y.astype("float32"), np.eye(3)[y], Tensor(y, device="standin")):
        assert class_weights(given, {0: 2.0, 2: 0.5}).tolist() == expected
    with pytest.raises(ValueError, match="class_weight and sample_weight must not be given both"):
        class_weights(y, {}, y)
    with pytest.raises(ValueError, match="class_weight must come with labels y"):
        class_weights(None, {})
