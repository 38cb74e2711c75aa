"""Whole training steps, captured on a fake CuPy: replays equal steps to the bit, and the host does little."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from minigrad import Sequential, Tensor, backend, cuda, grad, layers, losses, optimizers, set_random_seed
from minigrad.optimizers import schedules
from minigrad.variable import Variable
from tests.benchmarks import small_step
from tests.emulation.fake import Copies, FakeStream, installed, with_kernels

NAMES = [name for name, cls in vars(optimizers).items() if isinstance(cls, type) and name != "Optimizer"]
BATCH, LENGTH, CHANNELS, CLASSES = 4, 12, 3, 4


@pytest.fixture(autouse=True)
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with_kernels(monkeypatch)
    yield from installed(monkeypatch)


def batch(seed: int) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    x = random.standard_normal((BATCH, LENGTH, CHANNELS)).astype("float32")
    return Tensor(x, device="cuda"), Tensor(random.integers(0, CLASSES, BATCH), device="cuda")


class Training(NamedTuple):
    """A network, its optimizer, and a step of both."""

    network: Sequential
    optimizer: Any

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)
        loss = loss_of(labels, self.network(x, training=True)) + sum(self.network.losses)
        self.optimizer.scale_loss(loss).backward()
        self.optimizer.step(self.network.trainable_weights)
        return loss

    def by_grad(self, x: Tensor, labels: Tensor) -> Tensor:
        loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)
        loss = loss_of(labels, self.network(x, training=True))
        weights = self.network.trainable_weights
        self.optimizer.apply(grad(loss, weights), weights)
        return loss

    def state(self) -> list[Any]:
        return [v.numpy().tolist() for v in (*self.network.weights, *self.optimizer.variables)]


def training(name: str = "Adam", **options: Any) -> Training:
    """The same at every call, on the GPU."""
    set_random_seed(0)
    network = Sequential([
        layers.SeparableConv1D(
            5, 3, padding="same", activation="relu", depthwise_constraint="max_norm", pointwise_regularizer="l2"
        ),
        layers.BatchNormalization(), layers.Dropout(0.3), layers.SpatialDropout1D(0.2, seed=3),
        layers.SeparableConv1D(6, 3, activation="relu", bias_constraint="non_neg"),
        layers.BatchNormalization(), layers.GlobalAveragePooling1D(), layers.Dense(CLASSES),
    ])  # fmt: skip
    network.build((None, LENGTH, CHANNELS))
    network.to("cuda")
    rate = schedules.CosineDecay(1e-2, 10, warmup_target=2e-2, warmup_steps=2)
    config = {"learning_rate": rate, "weight_decay": 1e-3, **options}
    return Training(network, optimizers.deserialize({"class_name": name, "config": config}))


def run(step: Any, steps: int, first: int = 0) -> list[Any]:
    """The losses of some steps."""
    return [step(*batch(seed)).numpy().tolist() for seed in range(first, first + steps)]


def expected(steps: int = 4, name: str = "Adam", by: str = "step", **options: Any) -> tuple[list[Any], list[Any]]:
    """The losses and the state without a capture."""
    made = training(name, **options)
    return run(getattr(made, by), steps), made.state()


@pytest.mark.parametrize("name", NAMES)
def test_replays_equal_steps_to_the_bit(name: str) -> None:
    wanted = expected(name=name)
    made = training(name)
    weights = [w.numpy().tolist() for w in made.network.weights]
    replay = cuda.capture(made.step, *batch(9))
    assert [w.numpy().tolist() for w in made.network.weights] == weights
    Copies.clear()
    FakeStream.log.clear()
    found = []
    for seed in range(4):
        given = batch(seed)
        Copies.to_device.clear()
        found.append(replay(*given))
        assert sorted(Copies.to_device) == [(4, 1, 5), (4, 12, 5), (64,)]  # the masks, and numbers such as the rate
        assert Copies.to_host == FakeStream.log == []
        found[-1] = found[-1].numpy().tolist()
        Copies.clear()
    assert (found, made.state()) == wanted
    assert made.optimizer.iterations == 4
    assert made.optimizer.learning_rate == training(name).optimizer._learning_rate(4)


@pytest.mark.parametrize("options", [
    {"clipnorm": 0.1}, {"clipvalue": 0.01}, {"global_clipnorm": 0.1, "loss_scale_factor": 8.0}, {"use_ema": True},
    {"learning_rate": 0.01, "weight_decay": None}, {"amsgrad": True},
], ids=lambda options: next(iter(options)))  # fmt: skip
@pytest.mark.parametrize("by", ["step", "by_grad"])
def test_options_and_gradients_by_grad(options: dict[str, Any], by: str) -> None:
    wanted = expected(by=by, **options)
    made = training(**options)
    replay = cuda.capture(getattr(made, by), *batch(9), warmup=1)
    assert (run(replay, 4), made.state()) == wanted


@pytest.mark.parametrize("option", ["gradient_accumulation_steps", "ema_overwrite_frequency"])
def test_optimizers_whose_steps_differ_are_refused(option: str) -> None:
    made = training(**{"use_ema": True, option: 2})
    message = rf"^capture: the optimizer must do the same in every step.*Received: Adam\({option}=2\)"
    with pytest.raises(RuntimeError, match=message):
        cuda.capture(made.step, *batch(0))
    assert not made.optimizer.built


def test_the_whole_step_of_a_compiled_network_with_its_metrics() -> None:
    logs = []
    for captured in (False, True):
        made = training()
        made.network.compile("rmsprop", losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
        step = made.network.train_step
        step = cuda.capture(step, *batch(9)) if captured else step
        logs.append([{name: log.numpy().tolist() for name, log in step(*batch(seed)).items()} for seed in range(3)])
        made.network.reset_metrics()
        logs[-1].append({name: log.numpy().tolist() for name, log in step(*batch(3)).items()})
    assert logs[0] == logs[1]
    assert set(logs[0][0]) == {"loss", "accuracy"}


def test_words_and_means_of_windows_are_captured() -> None:
    random = np.random.default_rng(0)
    batches = [Tensor(random.integers(0, 9, (BATCH, LENGTH)), device="cuda") for _ in range(3)]
    found = []
    for captured in (False, True):
        set_random_seed(0)
        network = Sequential([
            layers.Embedding(9, CHANNELS), layers.AveragePooling1D(3, 2, padding="same"), layers.AveragePooling1D(2),
            layers.GlobalAveragePooling1D(), layers.Dense(CLASSES),
        ])  # fmt: skip
        network.build((None, LENGTH))
        network.to("cuda")
        made = Training(network, optimizers.Adam(0.1))
        step = cuda.capture(made.step, batches[0], batch(0)[1]) if captured else made.step
        found.append([step(words, batch(0)[1]).numpy().tolist() for words in batches] + made.state())
    assert found[0] == found[1]


def test_everything_may_happen_between_replays() -> None:
    """Eager steps, assigned weights and state, other learning rates, another capture: each follows the other."""

    def course(captured: bool) -> list[Any]:
        made = training(learning_rate=0.01)
        small = [Tensor(part.data[:2].copy()) for part in batch(5)]
        steps = [made.step, made.step]
        if captured:
            run(made.step, 1)  # the state is there already
            steps = [cuda.capture(made.step, *batch(9)), cuda.capture(made.step, *small)]
        else:
            run(made.step, 1)
        found = run(steps[0], 2)
        made.optimizer.learning_rate = 0.05
        found += run(made.step, 2)
        kernel = made.network.weights[0]
        kernel.assign(kernel.value * 0.5)
        found += run(steps[0], 2)
        found.append(steps[1](*small).numpy().tolist())
        made.optimizer.set_weights([v.numpy() * 1 for v in made.optimizer.variables])
        found += run(steps[0], 1)
        found += [steps[1](*small).numpy().tolist() for _ in range(2)]
        made.network.set_weights([np.ones(w.shape, "float32") for w in made.network.weights])
        return [*found, *run(steps[0], 1), made.state()]

    assert course(captured=True) == course(captured=False)


def test_numbers_of_the_host_follow() -> None:
    rates = [0.1, 0.2, 0.4]
    w = Variable([1.0, 2.0], device="cuda", name="w")
    optimizer = optimizers.SGD(lambda: rates[0])

    def step(x: Tensor) -> Any:
        before = optimizer.iterations
        optimizer.apply([x], [w])
        return optimizer.iterations - before, optimizer.iterations, optimizer.learning_rate

    x = Tensor([1.0, 1.0], device="cuda")
    replay = cuda.capture(step, x)
    seen = []
    while rates:
        seen.append([float(number) for number in replay(x)])
        rates.pop(0)
    assert seen == [[1, 1, 0.1], [1, 2, 0.2], [1, 3, 0.4]]
    np.testing.assert_allclose(w.numpy(), [0.3, 1.3], rtol=1e-6)


def test_random_tensors_are_drawn_before_every_replay() -> None:
    def step(x: Tensor) -> Tensor:
        return x + Tensor.randn(3, device=x.device) + Tensor.uniform(3, seed=stream, device=x.device)

    x, found = Tensor.zeros(3, device="cuda"), []
    for captured in (False, True):
        set_random_seed(7)
        stream = np.random.default_rng(1)
        made = cuda.capture(step, x) if captured else step
        found.append([made(x).numpy().tolist() for _ in range(3)])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


def failing(made: Training, when: str) -> Any:
    def step(x: Tensor, labels: Tensor) -> Tensor:
        loss = made.step(x, labels)
        if (when == "recording") == (FakeStream.recording is not None):
            raise KeyError(when)
        return loss

    return step


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("when", ["recording", "warm-up"])
def test_a_failure_leaves_everything_as_it_was(when: str, built: bool) -> None:
    wanted = expected(4)
    made = training()
    losses = run(made.step, 2 * built)
    before = [(w, w.data, w.numpy().tolist()) for w in (*made.network.weights, *made.optimizer.variables)]
    with pytest.raises(KeyError if when == "warm-up" else RuntimeError, match=when):
        cuda.capture(failing(made, when), *batch(0))
    assert FakeStream.recording is None
    assert made.optimizer.iterations == 2 * built
    for variable, array, values in before:
        assert variable.data is array
        assert variable.numpy().tolist() == values
        assert variable.grad is None
    assert (losses + run(made.step, 4 - 2 * built, first=2 * built), made.state()) == wanted


def test_a_failure_before_a_replay_starts_changes_nothing() -> None:
    class Ends(schedules.LearningRateSchedule):
        def __call__(self, step: float) -> float:
            if step == 2:
                raise ValueError("the end")
            return 0.1

    made = training(learning_rate=Ends())
    replay = cuda.capture(made.step, *batch(9))
    run(replay, 2)
    before = made.state()
    with pytest.raises(ValueError, match="the end"):
        replay(*batch(2))
    assert made.state() == before
    assert made.optimizer.iterations == 2


HOLDERS = {
    "value": lambda w: w.value,
    "view": lambda w: w[:1],
    "reshaped": lambda w: w.detach().reshape(-1),
    "array": lambda w: w.data.T,
    "tape": lambda w: (w, w * w),
}


def values_of(held: Any) -> Any:
    """What somebody holds, or the derivative by a tape."""
    if isinstance(held, tuple):
        return grad(held[1], held[0], Tensor.ones(held[0].shape, device="cuda")).tolist()
    return held.numpy().tolist() if isinstance(held, Tensor) else held.host.tolist()


@pytest.mark.parametrize(("how", "which"), [
    *((how, "weights") for how in HOLDERS), *((how, "state") for how in HOLDERS if how != "tape"),
])  # fmt: skip
def test_values_that_others_hold_never_change(how: str, which: str) -> None:
    made = training()
    run(made.step, 1)
    variables = made.network.trainable_weights if which == "weights" else made.optimizer.variables[1:]
    early = [HOLDERS[how](v) for v in variables]
    values = [values_of(held) for held in early]
    replay = cuda.capture(made.step, *batch(9))
    if how != "tape":
        run(replay, 2)
        assert [values_of(held) for held in early] == values
    else:
        with pytest.raises(RuntimeError, match="assigned since"):
            values_of(early[0])
    for v in (variables[0], variables[-1]):
        state = made.state()
        held = HOLDERS[how](v)
        with pytest.raises(RuntimeError, match=r"^captured step: nobody else may hold values.*: held values of"):
            replay(*batch(3))
        assert made.state() == state
        del held
        run(replay, 1)


def test_values_of_before_an_assignment_never_change() -> None:
    w = Variable([1.0, 2.0], device="cuda", name="w")
    x = Tensor([1.0, 1.0], device="cuda")
    replay = cuda.capture(lambda x: x * w, x)
    held = w.value
    assert replay(x).tolist() == [1.0, 2.0]  # it is only read
    w.assign(Tensor([3.0, 4.0], device="cuda"))
    with pytest.raises(RuntimeError, match="Received: held values of 'w'"):
        replay(x)
    assert held.tolist() == [1.0, 2.0]
    del held
    assert replay(x).tolist() == [3.0, 4.0]


def test_a_tape_from_before_a_replay_refuses() -> None:
    w = Variable([1.0, 2.0], device="cuda", name="w")
    optimizer = optimizers.SGD(0.5)
    x = Tensor([1.0, 1.0], device="cuda")
    replay = cuda.capture(lambda x: optimizer.apply([x], [w]), x)
    loss = (w + 1.0).sum()  # keeps no values
    replay(x)
    with pytest.raises(RuntimeError, match="assigned since"):
        loss.backward()


def test_values_of_before_the_update_may_be_outputs() -> None:
    w, b = (Variable([1.0, 2.0], device="cuda", name=name) for name in "wb")
    optimizer = optimizers.Adam(0.5)

    def step(x: Tensor) -> Any:
        before = {"w": w.detach(), "b": [b[:1]], "loss": (w * x * b).sum()}
        optimizer.apply(grad(before["loss"], [w, b]), [w, b])
        return before, w, b.value

    x = Tensor([1.0, 1.0], device="cuda")
    replay = cuda.capture(step, x)
    for _ in range(3):
        old = w.tolist(), b.tolist()
        before, new, value = replay(x)
        assert (before["w"].tolist(), before["b"][0].tolist()) == (old[0], old[1][:1])
        assert not before["loss"].requires_grad
        assert new is w
        assert value.tolist() == b.tolist() != old[1]


def test_what_a_graph_reads_is_not_freed() -> None:
    scales = [Tensor([2.0, 3.0], device="cuda")]
    x = Tensor([1.0, 1.0], device="cuda")
    replay = cuda.capture(lambda x: x * scales[0], x)
    scales.clear()
    assert replay(x).tolist() == [2.0, 3.0]


def test_values_and_gradients_from_outside_are_not_freed() -> None:
    given = [Tensor(values, device="cuda") for values in ([2.0, 3.0], [5.0, 7.0])]
    w = Variable([0.0, 0.0], device="cuda", name="w", trainable=False)
    x = Tensor([1.0, 1.0], device="cuda", requires_grad=True)

    def step(x: Tensor) -> Tensor:
        w.assign(given[0])
        return grad(x * 1.0, x, given[1])

    replay = cuda.capture(step, x)
    given.clear()
    assert replay(x).tolist() == [5.0, 7.0]
    assert w.tolist() == [2.0, 3.0]


def test_memory_of_a_graph_is_not_given_back() -> None:
    """A pool that is short of memory gives back blocks that are free, where recorded kernels write."""
    x = Tensor([1.0], device="cuda")
    replay = cuda.capture(lambda x: x * 2.0, x)
    block = weakref.ref(replay._pool.malloc(512).mem.memory)
    replay._pool.free_all_blocks()
    assert block().size == 512
    del replay
    assert block() is None


@pytest.mark.parametrize("kind", ["randn", "rate"])
def test_no_kernel_writes_where_the_host_writes_before_a_replay(kind: str) -> None:
    """What is made and let go of early in a step leaves memory that later arrays get: they must not be the host's."""
    w = Variable([1.0, 2.0, 3.0], device="cuda", name="w")
    optimizer = optimizers.SGD(schedules.PolynomialDecay(0.5, 8, 0.25))
    set_random_seed(3)
    drawn = [Tensor.randn(3).numpy() for _ in range(3)]

    def step(x: Tensor) -> Tensor:
        y = ((x * 2.0) * 3.0).sum()  # two arrays that nobody holds any more
        if kind == "randn":
            return y + Tensor.randn(3, device=x.device)
        optimizer.apply([x], [w])
        return y + w

    set_random_seed(3)
    replay = cuda.capture(step, Tensor([0.0, 0.0, 0.0], device="cuda"))
    state = np.array([1.0, 2.0, 3.0], "float32")
    for i in range(3):
        x = np.array([1.0, -2.0, 2.0 + i], "float32")
        if kind == "rate":
            state = state - np.float32(0.5 - 0.25 * i / 8) * x
        expected = 6 * x.sum() + (drawn[i] if kind == "randn" else state)
        np.testing.assert_allclose(replay(Tensor(x, device="cuda")).numpy(), expected, rtol=1e-6)


def test_two_captured_steps_in_turns_do_not_write_over_each_other() -> None:
    wanted, made = expected(6, name="RMSprop"), training("RMSprop")
    replays = [cuda.capture(made.step, *batch(seed)) for seed in (9, 11)]
    losses_of_turns = [replays[i % 2](*batch(i)).numpy().tolist() for i in range(6)]
    assert (losses_of_turns, made.state()) == wanted


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_parts_of_a_row_begin_where_kernels_read_sixteen_bytes(dtype: str) -> None:
    """Behind 5 units, too: kernels choose their accesses by where the weights lie."""
    shapes = [(5,), (3, 3), (8,), (1,), (0, 4), (9,), (4, 8)]
    random = np.random.default_rng(0)
    values = [random.normal(size=shape).astype(dtype) for shape in shapes]
    pulls = [random.normal(size=shape).astype(dtype) for shape in shapes]
    results = []
    for device in ("cpu", "cuda"):
        ws = [Variable(value, dtype, device=device, name=f"w{i}") for i, value in enumerate(values)]
        optimizer = optimizers.Ftrl(0.1, global_clipnorm=1.0, initial_accumulator_value=0.0)
        for _ in range(3):
            optimizer.apply([Tensor(pull, device=device) for pull in pulls], ws)
        results.append([w.numpy() for w in ws])
    assert [w.data.data.ptr % 16 for w in ws] == [0] * len(ws)
    if dtype != "float16":  # whose state is float32: each takes its step alone
        assert ws[1].data.base is ws[0].data.base is not None
    for a, b in zip(*results, strict=True):  # the norms are computed in two ways
        np.testing.assert_allclose(a, b, rtol=4 * float(np.finfo(dtype).eps))


def test_the_allocator_of_pinned_memory_is_put_back(cupy: Any) -> None:
    x = Tensor([1.0, 2.0], device="cuda")
    for pool in (cupy.cuda.PinnedMemoryPool(), cupy.cuda.PinnedMemoryPool()):
        cupy.cuda.set_pinned_memory_allocator(pool.malloc)
        cuda.capture(lambda x: x * 2.0, x)
        assert cupy.cuda.alloc_pinned_memory(8).mem.pool() is pool
    cupy.cuda.set_pinned_memory_allocator(None)
    cuda.capture(lambda x: x * 2.0, x)
    assert type(cupy.cuda.alloc_pinned_memory(8).mem) is cupy.cuda.PinnedMemory


def test_an_allocator_that_could_not_be_put_back_is_refused(cupy: Any) -> None:
    class Own:
        pass

    cupy.cuda.set_pinned_memory_allocator(lambda size: SimpleNamespace(mem=Own()))
    x = Tensor([1.0, 2.0], device="cuda")
    with pytest.raises(RuntimeError, match=r"^capture: the allocator of pinned memory must be.*of type Own"):
        cuda.capture(lambda x: x * 2.0, x)
    assert FakeStream.recording is None


def test_small_weights_are_updated_where_they_are() -> None:
    """A graph copies no weights and no state, but the gradients into one row."""
    counts = []
    for count in (1, 3, 20):
        ws = [Variable([float(i), 1.0, 2.0, 3.0], device="cuda", name=f"w{i}") for i in range(count)]
        ws[0].constraint = lambda w: w.clip(0.0, 1.0)
        optimizer = optimizers.Adam(0.1, weight_decay=0.1, use_ema=True)
        replay = cuda.capture(lambda x, ws=ws, optimizer=optimizer: optimizer.apply([x] * len(ws), ws), ws[0].value)
        counts.append(len(replay._graph.kernels) - (count if count > 1 else 0))
    assert counts == [counts[0]] * 3
    assert counts[0] < 37  # the averages are projected too


class Branching(optimizers.Optimizer):
    """A rule that asks for a number."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: float) -> None:
        variable -= (learning_rate if self.iterations < 3 else 0.5 * learning_rate) * gradient


class Lifting(optimizers.Optimizer):
    """The same with a function."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: float) -> None:
        variable -= halved(learning_rate, self.iterations) * gradient
        variable[...] = variable * (1 - abs(-learning_rate) % 0.5 // 2 + 2**learning_rate - 2**learning_rate)


@cuda.lifted
def halved(rate: float, count: int) -> float:
    return rate if count < 3 else 0.5 * rate


def test_rules_of_ones_own() -> None:
    x = Tensor([1.0, 1.0], device="cuda")
    ws = [Variable([1.0, 2.0], device="cuda", name="w") for _ in range(3)]
    with pytest.raises(RuntimeError, match=r"^capture: the step must not depend on.*Received: a question for a number"):
        cuda.capture(lambda x: Branching(0.1).apply([x], ws[:1]), x)
    branching, lifting = Branching(0.1), Lifting(0.1)
    replay = cuda.capture(lambda x: lifting.apply([x], ws[1:2]), x)
    for _ in range(5):
        branching.apply([x], ws[:1])
        replay(x)
    np.testing.assert_allclose(ws[1].numpy(), ws[0].numpy(), rtol=1e-6)


class Counting(optimizers.Optimizer):
    """A rule in which numbers meet booleans and integers."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: float) -> None:
        variable -= (gradient > 0) * learning_rate + learning_rate * (gradient > 1).astype("int32")
        variable -= (gradient > 0) * self.iterations + (gradient > 0).astype("int16") / (self.iterations + 1)


def test_numbers_keep_their_fractions_beside_integers() -> None:
    x = Tensor([2.0, 1.0, -1.0], device="cuda")
    ws = [Variable([1.0, 2.0, 3.0], device="cuda", name="w") for _ in range(2)]
    eager, captured = Counting(0.25), Counting(0.25)
    replay = cuda.capture(lambda x: captured.apply([x], ws[1:]), x)
    for _ in range(3):
        eager.apply([x], ws[:1])
        replay(x)
    assert ws[0].tolist() == ws[1].tolist()
    assert ws[0].tolist()[2] == 3.0


@pytest.mark.parametrize("rule", [
    lambda w, rate: w.__imul__(1 - rate), lambda w, rate: w.__setitem__(..., rate),
    lambda w, rate: backend.array_module(w).maximum(w, rate),
])  # fmt: skip
def test_numbers_that_cupy_would_be_given_are_refused(rule: Any) -> None:
    """In place and in its functions: CuPy leaves nothing to the number there."""

    class Own(optimizers.Optimizer):
        def update_step(self, gradient: Any, variable: Any, learning_rate: float) -> None:
            rule(variable, learning_rate)

    x, w = (Tensor([1.0, 2.0], device="cuda") for _ in range(2))
    message = r"^capture: a number of the host.*not in place and not in functions of CuPy.*: the number, now 0\."
    with pytest.raises(RuntimeError, match=message):
        cuda.capture(lambda x: Own(0.5).apply([x], [Variable(w, name="w")]), x)


def test_steps_must_be_the_same_at_every_call() -> None:
    w, others = Variable([1.0], device="cuda", name="w"), [Variable([1.0], device="cuda", name="v") for _ in range(2)]
    counted = Variable(0, "int64", trainable=False, name="counted")
    x = Tensor([1.0], device="cuda")

    def recording() -> bool:
        return FakeStream.recording is not None

    for step, message in (
        (lambda x: x * others[recording()], "'v' as it did not when it was tried out"),
        (lambda x: others[recording()].assign(x), "'v' as it did not when it was tried out"),
        (lambda x: w.assign(w + x) if recording() else x * w, "'w' as it did not when it was tried out"),
        (lambda x: counted.assign(counted.data + 1), "'counted' on the host, as no replay would"),
    ):
        with pytest.raises(RuntimeError, match=f"^capture: the step must do the same at every call.*{message}"):
            cuda.capture(step, x)
    with pytest.raises(RuntimeError, match="must not capture another"):
        cuda.capture(lambda x: cuda.capture(lambda y: y, x), x)
    replay = cuda.capture(lambda x: x * w, x)
    with pytest.raises(RuntimeError, match="must not be replayed within a step that is being captured"):
        cuda.capture(lambda x: replay(x), x)
    assert (w.item(), counted.item()) == (1.0, 0)


def test_gradients_that_were_there_stay_and_are_refused() -> None:
    made = training()
    kernel = made.network.weights[0]
    kernel.grad = Tensor(np.ones(kernel.shape, "float32"), device="cuda")
    pending = kernel.grad
    with pytest.raises(RuntimeError, match="must find no gradients"):
        cuda.capture(made.step, *batch(0))
    assert kernel.grad is pending


def test_variables_that_left_are_refused() -> None:
    w = Variable([1.0, 2.0], device="cuda", name="w")
    x = Tensor([1.0, 1.0], device="cuda")
    replay = cuda.capture(lambda x: x * w, x)
    w.replace(w.value.to("cpu").data)
    with pytest.raises(RuntimeError, match=r"must be where they were recorded.*'w' on 'cpu', recorded on 'cuda:0'"):
        replay(x)


def test_variables_outlive_their_graph() -> None:
    wanted = expected(6)
    made = training()
    replay = cuda.capture(made.step, *batch(9))
    losses = run(replay, 3)
    del replay
    joints = [joint for group in made.optimizer._groups for joint in group.slots.values()]
    rows = [id(joint._row[0]) for joint in joints]
    losses += run(made.step, 3, first=3)
    assert (losses, made.state()) == wanted
    assert rows == [id(joint._row[0]) for joint in joints]


def test_other_threads_copy_as_before() -> None:
    copied: list[Any] = []

    def step(x: Tensor) -> Tensor:
        recorded, FakeStream.recording = FakeStream.recording, None  # it belongs to this thread
        thread = threading.Thread(target=lambda: copied.append(Tensor([1.0], device="cuda")))
        thread.start()
        thread.join()
        FakeStream.recording = recorded
        return x * 2.0

    x = Tensor([1.0], device="cuda")
    cuda.capture(step, x)
    assert len(copied) == 3


def test_threads_capture_one_after_the_other() -> None:
    x, made = Tensor([1.0], device="cuda"), []
    thread = threading.Thread(target=lambda: made.append(cuda.capture(lambda x: x * 3.0, x)))

    def step(x: Tensor) -> Tensor:
        if FakeStream.recording is not None:
            thread.start()
            thread.join(0.1)
            assert thread.is_alive()
        return x * 2.0

    replay = cuda.capture(step, x)
    thread.join()
    assert (replay(x).tolist(), made[0](x).tolist()) == ([2.0], [3.0])


def test_the_small_step_of_the_benchmark_is_captured_as_a_whole(capsys: pytest.CaptureFixture[str]) -> None:
    task = small_step.TASK._replace(samples=8, batch=8, length=6, filters=(4, 4))
    steps = small_step.steps_of(task, "cuda", [])  # which compares their losses
    assert list(steps) == ["minigrad", "minigrad captured"]
    assert capsys.readouterr().out == ""
    Copies.clear()
    steps["minigrad captured"]()
    assert (Copies.to_device, Copies.to_host) == ([(64,)], [])
