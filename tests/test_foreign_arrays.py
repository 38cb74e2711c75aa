"""A tape holds values that nobody else can change: here others write to their arrays, lists and buffers."""

from __future__ import annotations

import copy
import itertools
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Op, Sequential, Tensor, grad, layers, losses, no_grad, ops
from minigrad.data import Arrays, batches
from minigrad.variable import Variable
from tests import layer_samples
from tests.samples import SAMPLES, Sample


def spoil(value: Any) -> None:
    """Write other numbers into arrays and lists, wherever they lie."""
    if isinstance(value, np.ndarray):
        value[...] = ~value if value.dtype == bool else 0 if value.dtype.kind in "iu" else -3 * value + 7
    elif isinstance(value, list):
        for i, part in enumerate(value):
            if isinstance(part, (list, tuple, np.ndarray)):
                spoil(part)
            else:
                value[i] = not part if isinstance(part, bool) else 0
    elif isinstance(value, tuple):
        for part in value:
            spoil(part)


def changeable(value: Any) -> bool:
    return isinstance(value, (list, np.ndarray)) or (isinstance(value, tuple) and any(map(changeable, value)))


def as_arrays(value: Any) -> Any:
    """Lists as arrays: the other form of an index."""
    if isinstance(value, list):
        return np.array(value)
    return tuple(map(as_arrays, value)) if isinstance(value, tuple) else value


def floating(x: Any) -> bool:
    return isinstance(x, float) or (isinstance(x, np.ndarray) and x.dtype.kind == "f")


def numbers(made: Any) -> list[Any]:
    """What was computed, as copies."""
    return [np.array(part.data) for part in made]


Build = Callable[[], tuple[Tensor, list[Tensor], list[Any]]]


def same_whatever_others_do(build: Build) -> None:
    """``build`` makes an output, its leaves, and what belongs to others; the gradients must be those recorded."""

    def asked(spoils: bool, how: str) -> list[Any]:
        y, leaves, others = build()
        rng = np.random.default_rng(3)
        seed = rng.normal(size=y.shape).astype(y.dtype)
        direction = [rng.normal(size=x.shape).astype(x.dtype) for x in leaves]
        if spoils and how != "second":
            spoil(others)
        if how == "backward":
            y.backward(seed)
            return numbers([y, *(x.grad for x in leaves if x.grad is not None)])
        gradients = grad(y, leaves, seed, create_graph=True)
        if spoils:
            spoil(others)
        total = sum((g * Tensor(v)).sum() for g, v in zip(gradients, direction, strict=True))
        second = grad(total, leaves) if total.requires_grad else []
        return numbers([y, *gradients, *second])

    with np.errstate(all="ignore"):
        for how in ("backward", "first", "second"):
            for expected, actual in zip(asked(False, how), asked(True, how), strict=True):
                np.testing.assert_array_equal(expected, actual, err_msg=how)


# ---------------------------------------------------------------------- every op, every argument, every attribute


def calls() -> Iterator[Any]:
    """Each sample with one argument that is an array of others, and with attributes that are."""
    for number, sample in enumerate(SAMPLES):
        for position, x in enumerate(sample.inputs):
            others = [i for i, part in enumerate(sample.inputs) if i != position and floating(part)]
            if isinstance(x, np.ndarray) and others:
                yield pytest.param(sample, position, False, id=f"{number}-{sample.op}-{position}")
        if any(map(changeable, sample.attributes.values())):
            for arrays in (False, True):
                yield pytest.param(sample, None, arrays, id=f"{number}-{sample.op}-{'arrays' if arrays else 'lists'}")


@pytest.mark.parametrize(("sample", "foreign", "arrays"), list(calls()))
def test_no_array_that_an_op_is_given_reaches_the_tape(sample: Sample, foreign: int | None, arrays: bool) -> None:
    def build() -> tuple[Tensor, list[Tensor], list[Any]]:
        inputs: list[Any] = []
        for i, x in enumerate(sample.inputs):
            inputs.append(Tensor(np.array(x), requires_grad=True) if floating(x) and i != foreign else copy.copy(x))
        attributes = copy.deepcopy(sample.attributes)
        if arrays:
            attributes = {name: as_arrays(value) for name, value in attributes.items()}
        y = Op.registry[sample.op](*inputs, **attributes)
        others = [x for x in inputs if isinstance(x, np.ndarray)] + list(attributes.values())
        return y, [x for x in inputs if isinstance(x, Tensor)], others

    if (y := build()[0]).requires_grad:
        same_whatever_others_do(build)
    else:
        assert y.dtype == bool  # of a comparison


def test_the_samples_reach_all_that_keep_something() -> None:
    """Each op whose rules ask for another argument, or for an attribute that may be a list, stands above."""
    tried = {call.values[0].op for call in calls()}
    for name, known in Op.registry.items():
        if known.compute.__module__.startswith("minigrad.") and known.rules:
            kept = {asked for names in known.asks.values() for asked in names}
            if len(known.arguments) > 1 and kept.intersection(known.arguments):
                assert name in tried, name
    assert {"getitem", "scatter"} <= tried


@pytest.mark.parametrize("index", [[0, 2], np.array([0, 2]), np.array([True, False, True]), ([0, 2], np.array([1, 0]))])
def test_an_index_of_any_kind(index: Any) -> None:
    def build() -> tuple[Tensor, list[Tensor], list[Any]]:
        x = Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
        own = copy.deepcopy(index)
        return x[own] ** 2, [x], [own]

    same_whatever_others_do(build)


# ---------------------------------------------------------------------- what is copied, and what is not


def saved(y: Any) -> list[Any]:
    return [x for x in y.node.saved if isinstance(x, np.ndarray)]


def test_only_what_a_rule_keeps_is_copied() -> None:
    x, c = Tensor(np.ones(3), requires_grad=True), np.ones(3)
    assert saved(x + c) == []
    (kept,) = saved(x * c)
    assert kept is not c
    assert kept.base is None
    assert saved(ops.where(np.ones(3, bool), x, c))[0].dtype == bool
    (one,) = saved(Tensor(c) * x)
    constant = Tensor(c)
    assert saved(x * constant)[0] is constant.data  # made once, it is never copied again
    assert one.base is None


def test_an_index_that_is_a_tensor_is_not_copied() -> None:
    x, index = Tensor(np.arange(3.0), requires_grad=True), Tensor([2, 0])
    (kept,) = (part for part in x[index].node.saved if isinstance(part, Tensor))  # type: ignore[union-attr]
    assert kept.data is index.data
    assert grad((x[index] * Tensor([1.0, 10.0])).sum(), x).tolist() == [10.0, 0.0, 1.0]
    counter = Variable([2], dtype="int64", trainable=False)
    y = x[counter].sum()
    counter.assign([0])
    assert grad(y, x).tolist() == [0.0, 0.0, 1.0]


def test_nothing_is_copied_where_nothing_is_recorded() -> None:
    c = np.ones(3)
    assert (Tensor(c) * c).node is None
    with no_grad():
        assert (Tensor(c, requires_grad=True) * c).node is None


# ---------------------------------------------------------------------- outputs that others hold


@pytest.mark.parametrize("part", [slice(None), slice(0, 2)])
def test_an_op_that_fills_its_own_buffer_again(made: Any, part: slice) -> None:
    buffer = np.zeros(2)

    @made
    def tenfold(x: Any) -> Any:
        np.multiply(x, 10, out=buffer)
        return buffer if part.stop is None else buffer[part]

    tenfold.backward(x=lambda g, y: g * y)
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    first, second = tenfold(x), tenfold(x + 5)
    assert first.tolist() == [10.0, 20.0]
    assert second.tolist() == [60.0, 70.0]
    assert grad(first.sum(), x).tolist() == [10.0, 20.0]
    assert [tenfold(x.detach() + i).tolist()[0] for i in range(3)] == [10.0, 20.0, 30.0]


def test_a_rule_that_fills_its_own_buffer_again(made: Any) -> None:
    buffer = np.zeros(2)

    @made
    def doubled(x: Any) -> Any:
        return x * 2

    doubled.backward(x=lambda g: np.multiply(g, 2, out=buffer))
    a, b = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    (doubled(a) + 10 * doubled(b)).backward(np.ones(2))
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad.tolist(), b.grad.tolist()) == ([2.0, 2.0], [20.0, 20.0])


@pytest.mark.parametrize("part", [slice(None), slice(1, None)])
def test_an_op_that_hands_on_what_it_was_given(made: Any, part: slice) -> None:
    @made
    def chosen(x: Any, other: Any) -> Any:
        return other if part.start is None else other[part]

    chosen.backward(x=None, other=None)
    x, theirs, ours = Tensor(np.ones(3)), np.arange(3.0), Tensor(np.arange(3.0))
    y, z = chosen(x, theirs), chosen(x, ours)
    theirs[:] = 9
    assert y.tolist() == np.arange(3.0)[part].tolist()
    assert np.shares_memory(z.data, ours.data)  # a Tensor's own memory is not copied


def test_an_op_of_ones_own_makes_no_copy_of_what_it_made(made: Any) -> None:
    results: list[int] = []

    @made
    def halved(x: Any) -> Any:
        y = x / 2
        results.append(y.ctypes.data)
        return y.reshape(-1)

    halved.backward(x=lambda g: g / 2)
    assert halved(Tensor(np.ones(3))).data.ctypes.data == results[0]


# ---------------------------------------------------------------------- arrays of other kinds


def test_a_matrix_is_an_array_like_any_other() -> None:
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0], [3.0, 5.0]])
    a = np.array([[1.0, 0.5], [2.0, -1.0]])
    x = Tensor(a, requires_grad=True)
    y = x * matrix
    assert y.tolist() == (a * np.asarray(matrix)).tolist()
    assert grad(y.sum(), x).tolist() == matrix.tolist()
    assert type(Tensor(matrix).data) is np.ndarray


def test_a_masked_array_is_refused() -> None:
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    for use in (lambda: Tensor(masked), lambda: Tensor([1.0, 2.0]) * masked):
        with pytest.raises(TypeError, match=r"array: a mask would be lost; give .filled\(value\) or .data"):
            use()


class Stranger:
    """An array of a library that minigrad does not know."""

    def __init__(self, *numbers: Any) -> None:
        self.array = np.array(numbers)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.array


def test_arrays_of_other_libraries() -> None:
    x = Tensor(np.ones(3), requires_grad=True)
    factor, index = Stranger(1.0, 2.0, 3.0), Stranger(0, 2)
    y, z = (x * factor).sum(), x[index].sum()
    factor.array[:], index.array[:] = 9.0, 1
    assert grad(y, x).tolist() == [1.0, 2.0, 3.0]
    assert grad(z, x).tolist() == [1.0, 0.0, 1.0]
    numbers = array("l", [0, 2])
    y = x[numbers].sum()
    numbers[0] = 1
    assert grad(y, x).tolist() == [1.0, 0.0, 1.0]
    numbers = array("l", [5, 6])
    for given in (Stranger(5, 6), Stranger(5.5, 6.5), numbers):
        made = Tensor(given)
        assert made.dtype == np.asarray(given).dtype
        before = made.tolist()
        np.asarray(given)[:] = 0
        assert made.tolist() == before


def test_labels_and_targets_of_other_libraries() -> None:
    scores = Tensor(np.eye(3), requires_grad=True)

    @losses.loss.loss_function(labels=True)
    def picked(y_true: Tensor, y_pred: Tensor) -> Tensor:
        return (y_pred * y_true.expand_dims(-1)).sum(-1)

    for labels in (Stranger(0, 1, 2), np.array([0, 1, 2])):
        loss = picked(labels, scores).sum()
        np.asarray(labels)[:] = 9
        assert grad(loss, scores).numpy()[:, 0].tolist() == [0.0, 1.0, 2.0]
    del losses.loss.functions["picked"]


def test_attributes_of_an_op_of_ones_own(made: Any) -> None:
    @made
    def weighed(x: Any, *, options: Any) -> Any:
        return x * options["by"][0]

    weighed.backward(x=lambda g, options: g * options["by"][0])
    x, options = Tensor(np.ones(2), requires_grad=True), {"by": [np.array([2.0, 3.0])]}
    y = weighed(x, options=options).sum()
    options["by"][0] *= 5
    assert grad(y, x).tolist() == [2.0, 3.0]


def test_memory_mapped_arrays(tmp_path: Any) -> None:
    on_disk = np.memmap(tmp_path / "numbers", "float64", "w+", shape=(3,))
    on_disk[:] = 2.0
    x = Tensor(np.ones(3), requires_grad=True)
    y, t = (x * on_disk).sum(), Tensor(on_disk)
    on_disk[:] = 7.0
    assert grad(y, x).tolist() == t.tolist() == [2.0] * 3


# ---------------------------------------------------------------------- layers and losses


@pytest.mark.parametrize("sample", layer_samples.SAMPLES, ids=str)
def test_a_layer_keeps_no_batch_of_others(sample: layer_samples.Sample) -> None:
    kind = getattr(layers, sample.layer)
    arguments = sample.arguments | ({"seed": 1} if "Dropout" in sample.layer else {})
    layer = kind(**arguments)
    rng = np.random.default_rng(5)
    first = [
        rng.integers(0, 5, shape) if sample.inputs == "words" else rng.normal(size=shape).astype("float32")
        for shape in sample.shapes
    ]
    layer(first[0] if len(first) == 1 else first)
    if not layer.trainable_weights:
        minigrad.set_random_seed(0)
        given = [x.copy() for x in first]
        y = layer(given[0] if len(given) == 1 else given)
        before = y.numpy()
        spoil(given)
        np.testing.assert_array_equal(y.numpy(), before)
        return

    def build() -> tuple[Tensor, list[Tensor], list[Any]]:
        given = [x.copy() for x in first]
        y = layer(given[0] if len(given) == 1 else given, training=False)
        for weight in layer.trainable_weights:
            weight.grad = None
        return y * y, layer.trainable_weights, given

    same_whatever_others_do(build)


LOSSES = {name: kind for name, kind in vars(losses).items() if isinstance(kind, type) and kind._function is not None}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_keeps_no_targets_of_others(name: str, weighted: bool) -> None:
    rng = np.random.default_rng(6)
    labels = getattr(LOSSES[name]._function, "labels", False)

    def build() -> tuple[Tensor, list[Tensor], list[Any]]:
        x = Tensor(np.linspace(0.1, 0.9, 12, dtype="float32").reshape(4, 3), requires_grad=True)
        targets: Any = np.array([0, 2, 1, 2]) if labels else np.eye(3, dtype="float32")[[0, 2, 1, 0]]
        weights = np.array([1.0, 2.0, 0.5, 3.0], "float32") if weighted else None
        loss = LOSSES[name]()(targets, x.softmax(), weights) * float(rng.integers(1, 2))
        return loss, [x], [targets, *([weights] if weighted else [])]

    same_whatever_others_do(build)


# ---------------------------------------------------------------------- batches


def refilled(count: int) -> Iterator[Any]:
    """What many loaders do: one buffer for all batches."""
    x, y = np.zeros((2, 3), "float32"), np.zeros((2, 1), "float32")
    for k in range(count):
        x[...], y[...] = k + 1, 10 * k
        yield x, y


class Recorder(Sequential):
    """It trains with the tapes of two batches at once."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.pending: list[Any] = []
        self.seen: list[Any] = []

    def train_step(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        loss = ((self(x) - y) ** 2).sum()
        self.pending.append((loss, grad(loss, self.trainable_weights)[0].tolist()))
        self.seen.append((x, y))
        for loss, before in self.pending:
            assert grad(loss, self.trainable_weights)[0].tolist() == before
        return {"loss": loss.detach()}


def test_fit_with_a_buffer_that_is_refilled() -> None:
    model = Recorder([layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    model.fit(refilled(3), verbose=0)
    assert [x.tolist()[0][0] for x, _ in model.seen] == [1.0, 2.0, 3.0]
    assert [y.tolist()[0][0] for _, y in model.seen] == [0.0, 10.0, 20.0]


@pytest.mark.parametrize("shuffle", [False, True])
def test_fit_copies_each_batch_of_arrays_once(shuffle: bool) -> None:
    x, y = np.arange(12.0, dtype="float32").reshape(6, 2), np.arange(6.0, dtype="float32").reshape(6, 1)
    model = Recorder([layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    cut: list[Any] = []
    whole = Arrays._rows

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        batch = whole(self, *args, **kwargs)
        cut.append(batch.x)
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Arrays, "_rows", watched)
        model.fit(x, y, batch_size=2, shuffle=shuffle, verbose=0)
    for (seen, _), made in zip(model.seen, cut[1:], strict=True):  # the first was a sample to look at
        assert seen.data is made
        assert not np.shares_memory(made, x)


@pytest.mark.parametrize(
    "layer", [layers.Flatten(), layers.Reshape((3,)), layers.Dropout(0.3), layers.Activation("linear")]
)
def test_predict_with_a_buffer_that_is_refilled(layer: Any) -> None:
    model = Sequential([layer])
    assert model.predict((x for x, _ in refilled(3)), verbose=0)[:, 0].tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    outputs = [model(x) for x, _ in refilled(2)]
    assert [y.tolist()[0][0] for y in outputs] == [1.0, 2.0]


def test_batches_are_copies() -> None:
    x = np.arange(6.0)
    for (part,) in batches(x, batch_size=4):
        part *= 0
    assert x.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


# ---------------------------------------------------------------------- gradients that are handed out


def given_and_shared() -> Iterator[Any]:
    seeds = {"array": lambda: np.ones((2, 2)), "tensor": lambda: Tensor(np.ones((2, 2)))}
    uses: dict[str, Callable[..., Any]] = {
        "sum": lambda a, b: a + b, "view": lambda a, b: a.T + b.reshape(2, 2), "same": lambda a, b: a + b + a,
        "broadcast": lambda a, b: (a + b).broadcast_to(2, 2),
    }  # fmt: skip
    for (kind, seed), (name, use) in itertools.product(seeds.items(), uses.items()):
        yield pytest.param(seed, use, id=f"{name}-{kind}")


@pytest.mark.parametrize(("seed", "use"), list(given_and_shared()))
def test_a_gradient_is_nobody_elses_array(seed: Any, use: Any) -> None:
    a, b = (Tensor(np.zeros((2, 2)), requires_grad=True) for _ in range(2))
    given = seed()
    use(a, b).backward(given)
    assert a.grad is not None
    assert b.grad is not None
    arrays = [a.grad.data, b.grad.data, given if isinstance(given, np.ndarray) else given.data]
    for one, other in itertools.combinations(arrays, 2):
        assert not np.shares_memory(one, other)
    before = b.grad.tolist()
    a.grad.data[...] = 5.0  # always writable
    assert b.grad.tolist() == before


def test_gradients_are_writable_and_not_copied_without_need() -> None:
    x = Tensor(np.zeros(3), requires_grad=True)
    x.sum().backward()
    assert x.grad is not None
    x.grad.data *= 2.0
    x.sum().backward()
    assert x.grad.tolist() == [3.0] * 3
    leaf = Tensor(np.zeros((2, 3)), requires_grad=True)
    made: list[int] = []

    def rule(g: Any) -> Any:
        made.append((fresh := g * 2).ctypes.data)
        return fresh

    known = Op(lambda x: x * 2, broadcasts=False)
    known.arguments, known.theirs = ["x"], False
    known.backward(x=rule)
    known(leaf).sum().backward()
    del Op.registry["<lambda>"]
    assert leaf.grad is not None
    assert leaf.grad.data.ctypes.data == made[0]


def test_a_gradient_that_is_set_is_copied() -> None:
    a, b = (Tensor(np.zeros(2), requires_grad=True) for _ in range(2))
    given = Tensor(np.ones(2, "float32"))
    a.grad = b.grad = given
    assert a.grad is not None
    a.grad.data[:] = 7.0
    assert b.grad is not None
    assert b.grad.tolist() == given.tolist() == [1.0, 1.0]
    assert b.grad.dtype == np.float64
    with pytest.raises(ValueError, match=r"grad: must be None or a Tensor of shape \(2,\) on 'cpu'\. Received: grad="):
        a.grad = Tensor(np.ones(2), device="standin")


def test_a_gradient_asked_for_does_not_follow_the_seed() -> None:
    x, seed = Tensor(np.zeros(2), requires_grad=True), np.ones(2)
    g = grad(x + 1, x, seed)
    seed[:] = 9
    assert g.tolist() == [1.0, 1.0]


# ---------------------------------------------------------------------- exports


def test_exports_cannot_reach_the_tape() -> None:
    x, c = Tensor(np.ones(2), requires_grad=True), Tensor(np.full(2, 3.0))
    y = (x * c).sum()
    exported = np.from_dlpack(c)
    with pytest.raises(ValueError, match="read-only"):
        exported[:] = 0
    np.from_dlpack(c, copy=True)[:] = 0
    c.numpy()[:] = 0
    assert grad(y, x).tolist() == [3.0, 3.0]
    message = r"dlpack: a tensor must require no gradients, and may be copied.*Received: shape="
    for use in (lambda: np.from_dlpack(x), lambda: np.from_dlpack(y), lambda: np.from_dlpack(c, copy=False)):
        with pytest.raises(BufferError, match=message):
            use()
    with pytest.raises(TypeError, match="numpy"):
        np.asarray(x)
