"""Small variables that take their steps in one row, and large ones in pieces: the same bits, and nothing shared."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, constraints, optimizers, set_num_threads
from minigrad.kernels.parallel import get_num_threads
from minigrad.optimizers import SGD, Adam, optimizer
from minigrad.variable import Variable
from tests.standin import kernels_noted

NAMES = [name for name, cls in vars(optimizers).items() if isinstance(cls, type) and name != "Optimizer"]
ELEMENTWISE = [name for name in NAMES if getattr(optimizers, name).elementwise]
SHAPES = [(3, 4, 1), (1, 4, 5), (5,), (), (5, 2), (0, 2)]


def weights(device: str = "cpu", shapes: Any = tuple(SHAPES), **options: Any) -> list[Variable]:
    random = np.random.default_rng(0)
    return [
        Variable(random.standard_normal(shape), "float32", device, name=f"w{i}", **options)
        for i, shape in enumerate(shapes)
    ]


def gradients(of: list[Variable], step: int) -> list[Tensor]:
    random = np.random.default_rng(step)
    return [Tensor(random.standard_normal(w.shape).astype("float32"), device=w.device) for w in of]


def values(of: list[Variable]) -> list[Any]:
    return [variable.tolist() for variable in of]


def test_which_rules_are_elementwise() -> None:
    assert set(NAMES) - set(ELEMENTWISE) == {"Adafactor", "Lamb", "Muon"}

    class Own(Adam):
        def update_step(self, gradient: Any, variable: Any, learning_rate: float, *slots: Any, **named: Any) -> None:
            assert variable.shape in SHAPES

    class Slots(Adam):
        def slot(self, name: str, variable: Variable) -> Any:
            return super().slot(name, variable)

    assert not Own.elementwise
    assert not Slots.elementwise
    assert type("Same", (Adam,), {}).elementwise
    own = weights()
    Own().apply(gradients(own, 0), own)


@pytest.mark.parametrize("config", [
    {"weight_decay": 0.1, "use_ema": True, "ema_overwrite_frequency": 3, "clipvalue": 0.5},
    {"gradient_accumulation_steps": 2, "loss_scale_factor": 3.0, "clipnorm": 0.5},
], ids=["averages", "sums"])  # fmt: skip
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_together_and_alone_are_the_same_to_the_bit(
    name: str, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for small in (1 << 15, -1):
        monkeypatch.setattr(optimizer, "_SMALL", small)
        own = weights(constraint=constraints.MaxNorm(2.0)) if small < 0 else weights()
        for w in own[:2]:
            w.constraint = constraints.NonNeg()
        for w in own[2:]:
            w.constraint = None
        made = optimizers.deserialize({"class_name": name, "config": {"learning_rate": 0.1, **config}})
        made.exclude_from_weight_decay(var_names=["w2"])
        for step in range(6):
            given: list[Any] = gradients(own, step)
            if step == 3:
                given[1] = None
                with pytest.warns(UserWarning, match="Gradients do not exist"):
                    made.apply(given, own)
            else:
                made.apply(given, own)
        assert (len(made._groups) < len(own)) == (small > 0)
        results.append(values([*own, *made.variables]))
    assert results[0] == results[1]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_pieces_are_the_same_to_the_bit(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    results, before = [], get_num_threads()
    monkeypatch.setattr(optimizer, "_MICROSECONDS", 1.0)  # so that the work is worth a thread
    set_num_threads(threads)
    try:
        for piece in (1 << 17, 48):
            monkeypatch.setattr(optimizer, "_PIECE", piece)
            monkeypatch.setattr(optimizer, "_LARGE", piece)
            own = weights(shapes=[(40, 40), (7,)])
            own[0].hold(np.asfortranarray(own[0].data) if piece == 48 and threads == 1 else own[0].data)
            made = optimizers.get(name)
            for step in range(3):
                made.apply(gradients(own, step), own)
            results.append(values([*own, *made.variables]))
    finally:
        set_num_threads(before)
    assert results[0] == results[1]


def test_what_others_hold_never_changes() -> None:
    own, made = weights(), Adam(0.1)
    for step in range(3):
        made.apply(gradients(own, step), own)
    row = made._groups[0].weights._row[0]
    slots = made._groups[0].slots["momentum"]
    for held in (lambda: own[1].value, lambda: own[1].data[0], lambda: own[1].data.T, lambda: row[:2]):
        kept = held()
        before = np.array(kept.data if isinstance(kept, Tensor) else kept)
        made.apply(gradients(own, 5), own)
        np.testing.assert_array_equal(kept.data if isinstance(kept, Tensor) else kept, before)
        del kept
    momentum = slots.variables[0].value
    before = momentum.tolist()
    made.apply(gradients(own, 6), own)
    assert momentum.tolist() == before


def test_a_variable_that_leaves_the_row_is_copied_before_it_is_written() -> None:
    own = weights()
    Adam(0.1).apply(gradients(own, 0), own)
    seen = own[0].data[1:]  # a view of the row, of which the variable's own array does not know
    before = seen.tolist()
    SGD(0.1).apply(gradients(own[:1], 1), own[:1])
    assert seen.tolist() == before
    assert own[0].data[1:].tolist() != before


def test_an_undisturbed_row_is_written_in_place() -> None:
    own, made = weights(), Adam(0.1)
    made.apply(gradients(own, 0), own)
    (group,) = made._groups
    rows = [id(joint._row[0]) for joint in (group.weights, *group.slots.values())]
    for step in range(3):
        made.apply(gradients(own, step), own)
        assert made._groups == [group]
        assert [id(joint._row[0]) for joint in (group.weights, *group.slots.values())] == rows


@pytest.mark.parametrize("of", [lambda w: (w * w).sum(), lambda w: w.sum()], ids=["keeps the weights", "keeps none"])
def test_a_tape_from_before_refuses_and_gradients_stay(of: Any) -> None:
    own, made = weights(), Adam(0.1)
    made.apply(gradients(own, 0), own)
    loss = sum(of(w) for w in own)
    own[0].grad = Tensor(np.ones(own[0].shape, "float32"))
    made.apply(gradients(own, 1), own)
    assert own[0].grad is not None
    with pytest.raises(RuntimeError, match="assigned since"):
        loss.backward()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_go_their_own_way(copied: Any) -> None:
    own, made = weights(), Adam(0.1)
    made.apply(gradients(own, 0), own)
    others, other = copied((own, made))
    for step in range(1, 3):
        made.apply(gradients(own, step), own)
    frozen = values([*own, *made.variables])
    for step in range(1, 3):
        other.apply(gradients(others, step), others)
    assert values([*others, *other.variables]) == frozen == values([*own, *made.variables])


def test_assigned_weights_and_states_count() -> None:
    results = []
    for elementwise in (True, False):
        own, made = weights(), Adam(0.1)
        made.elementwise = elementwise  # type: ignore[misc]
        made.apply(gradients(own, 0), own)
        own[1].assign(np.ones(own[1].shape))
        made.set_weights([np.full(v.shape, 0.5) if v.size > 1 else v.numpy() for v in made.variables])
        made.apply(gradients(own, 1), own)
        results.append(values([*own, *made.variables]))
    assert results[0] == results[1]


def test_groups_follow_their_variables_to_another_device() -> None:
    own, made = weights(), Adam(0.1)
    made.apply(gradients(own, 0), own)
    for w in own[:3]:
        w.replace(w.value.to("standin").data)
    made.apply(gradients(own, 1), own)
    expected, here = weights(), Adam(0.1)
    for step in range(2):
        here.apply(gradients(expected, step), expected)
    assert len(made._groups) == 2
    for a, b in zip(own, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    assert {state.device for state in made._slots[0].values()} == {"standin"}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_kernels_of_a_step_do_not_grow_with_the_number_of_weights(name: str) -> None:
    counts = []
    for count in (2, 30):
        own = weights("standin", [(4, 5)] * count)
        config = {"use_ema": True, "weight_decay": 0.1, "loss_scale_factor": 2.0, "clipvalue": 1.0}
        made = optimizers.deserialize({"class_name": name, "config": config})
        made.apply(gradients(own, 0), own)
        given = gradients(own, 1)
        with kernels_noted() as kernels:
            made.apply(given, own)
        counts.append(len(kernels))
    assert counts[0] == counts[1] < 40
