"""The recipe of an update, step by step, what an optimizer keeps, its configs, and every error."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
import warnings
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, constraints, grad, no_grad, optimizers
from minigrad.config import argument, number
from minigrad.layers import Dense, SeparableConv1D
from minigrad.optimizers import SGD, Adam, AdamW, Ftrl, Lion, Muon, Nadam, Optimizer, RMSprop, schedules
from minigrad.variable import Variable

NAMES = [name for name, cls in vars(optimizers).items() if isinstance(cls, type) and cls is not Optimizer]
ONES = np.ones((2, 2), "float32")


def variable(value: Any = ((1.0, 2.0), (3.0, 4.0)), **options: Any) -> Variable:
    return Variable(value, "float32", **{"name": "w", **options})


def close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual.numpy() if isinstance(actual, Tensor) else actual, expected, rtol=1e-6)


# ---------------------------------------------------------------------- two ways to take a step


def test_the_functional_way_and_the_way_of_the_tape() -> None:
    first, second = variable(), variable()
    optimizer = SGD(0.5)
    optimizer.apply(grad((first * first).sum(), [first]), [first])
    (second * second).sum().backward()
    SGD(0.5).step([second])
    assert first.tolist() == second.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert second.grad is None
    assert optimizer.iterations == 1


def test_step_takes_trainable_variables_alone_and_keeps_gradients_of_a_failed_step() -> None:
    trained, frozen = variable(), variable(trainable=False, name="frozen")
    optimizer = SGD(1.0)
    (trained * frozen).sum().backward()
    optimizer.step([trained, frozen])
    assert trained.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert optimizer._trainable_variables == [trained]
    trained.grad = Tensor(ONES)
    other = variable(name="other")
    other.grad = Tensor(ONES)
    with pytest.raises(ValueError, match="Unknown variable: other"):
        optimizer.step([trained, other])
    assert trained.grad is not None
    optimizer.step()
    assert trained.tolist() == [[-1.0, -1.0], [-1.0, -1.0]]


def test_a_network_learns_by_every_optimizer() -> None:
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((32, 4)).astype("float32"))
    y = Tensor((x.numpy() @ rng.standard_normal((4, 2))).astype("float32"))
    for name in NAMES:
        layer = Dense(2, kernel_initializer="zeros")
        losses = []
        optimizer = optimizers.get({"class_name": name, "config": {"learning_rate": 0.05}})
        for _ in range(20):
            error = layer(x) - y
            loss = (error * error).mean()
            loss.backward()
            optimizer.step(layer.trainable_weights)
            losses.append(loss.item())
        assert losses[-1] < losses[0], name
        assert optimizer.iterations == 20


def test_constraints_of_a_layer_hold_after_each_step() -> None:
    layer = SeparableConv1D(
        3, 3, depthwise_constraint="non_neg", pointwise_constraint=constraints.UnitNorm(1), bias_constraint="max_norm"
    )
    x = Tensor(np.random.default_rng(1).standard_normal((2, 8, 4)).astype("float32"))
    optimizer = Adam(0.5)
    for _ in range(3):
        layer(x).sum().backward()
        optimizer.step(layer.trainable_weights)
        depthwise, pointwise, bias = layer.get_weights()
        assert depthwise.min() >= 0
        close((pointwise**2).sum(1), np.ones((1, 3)))
        assert abs(bias).max() <= 2


# ---------------------------------------------------------------------- the recipe


def test_gradients_are_let_alone_and_older_values_stay() -> None:
    w, gradient = variable(), Tensor(ONES)
    before, kept = w.value, w.value.tolist()
    for name in NAMES:
        optimizer = optimizers.get(name)
        optimizer.apply([gradient], [w])
        state = [part.value for part in optimizer.variables]
        values = [part.tolist() for part in state]
        optimizer.apply([gradient], [w])
        assert [part.tolist() for part in state] == values, name
    assert gradient.tolist() == ONES.tolist()
    assert before.tolist() == kept
    assert w.tolist() != kept


def test_a_gradient_that_is_the_variable_itself() -> None:
    w = variable()
    RMSprop(0.5, rho=0.75, momentum=0.5).apply([w.value], [w])
    np.testing.assert_allclose(w.numpy(), [[0.0, 1.0], [2.0, 3.0]], atol=1e-6)


def test_a_tape_from_before_the_update_refuses() -> None:
    w = variable()
    loss = (w * w).sum()
    SGD().apply([ONES], [w])
    with pytest.raises(RuntimeError, match="assigned since"):
        loss.backward()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_dtype_stays_and_a_scalar_weight_will_do(name: str, dtype: str) -> None:
    weights = [Variable(2.0, dtype, name="scalar"), Variable(np.ones((3, 2)), dtype, name="matrix")]
    config = {"learning_rate": 0.1, "clipnorm": 1.0, "weight_decay": 0.1, "use_ema": True, "loss_scale_factor": 2.0,
              "epsilon_1" if name == "Adafactor" else "ema_momentum": 1e-3}  # fmt: skip
    optimizer = optimizers.deserialize({"class_name": name, "config": config})
    for _ in range(2):
        optimizer.apply([np.asarray(0.5, "float64"), np.full((3, 2), 2)], weights)
    assert all(np.isfinite(w.numpy()).all() for w in weights)
    assert weights[0].item() < 2
    assert {w.dtype for w in weights} == {np.dtype(dtype)}
    state = {v.dtype for v in optimizer._state if v.name != "u_product"}
    assert state == {np.dtype("float32" if dtype == "float16" else dtype)}  # half of the moments would be 0 in float16
    assert weights[0].shape == ()


def test_clipping() -> None:
    hundred = [np.array([100.0, 100.0], "float32")]
    close(SGD(clipnorm=1)._clip_gradients(hundred)[0], [0.5**0.5, 0.5**0.5])
    close(SGD(clipvalue=1)._clip_gradients(hundred)[0], [1.0, 1.0])
    both = SGD(global_clipnorm=1.0)._clip_gradients([np.array([3.0]), np.array([[4.0]])])
    close(both[0], [0.6])
    close(both[1], [[0.8]])
    small = [np.array([0.3, -0.4])]
    for limit in ("clipnorm", "clipvalue", "global_clipnorm"):
        close(SGD(**{limit: 1.0})._clip_gradients(small)[0], small[0])
        for none in (0, -1.0):
            close(SGD(**{limit: none})._clip_gradients(hundred)[0], hundred[0])
    close(SGD(global_clipnorm=1.0)._clip_gradients([np.zeros(2)])[0], [0.0, 0.0])


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_common_norm_that_is_not_finite_makes_all_nan(bad: float) -> None:
    clipped = SGD(global_clipnorm=1.0)._clip_gradients([np.array([1.0, bad]), np.array([2.0])])
    assert np.isnan(np.concatenate(clipped)).all()


def test_gradients_of_two_dtypes_are_clipped_together() -> None:
    wide, narrow = Variable([3.0], "float64", name="wide"), Variable([4.0], "float32", name="narrow")
    SGD(1.0, global_clipnorm=1.0).apply([wide.value, narrow.value], [wide, narrow])
    close(wide, [2.4])
    close(narrow, [3.2])
    clipped = SGD(global_clipnorm=1.0)._clip_gradients([wide, narrow])
    assert [g.dtype for g in clipped] == [wide.dtype, narrow.dtype] == [np.float64, np.float32]


def test_a_rule_is_given_the_gradient_in_the_dtype_of_its_variable() -> None:
    class Spy(SGD):
        def update_step(self, gradient: Any, variable: Any, learning_rate: float) -> None:
            assert type(learning_rate) is float
            assert gradient.dtype == variable.dtype == np.float32
            variable -= gradient

    w = variable()
    Spy().apply([np.ones((2, 2), "float64")], [w])
    Spy(learning_rate=lambda: np.float32(1)).apply([np.ones((2, 2), "int8")], [w])
    Spy(loss_scale_factor=np.pi).apply([[[np.pi, np.pi], [np.pi, np.pi]]], [w])
    close(w, [[-2.0, -1.0], [0.0, 1.0]])


def test_weight_decay_takes_the_bias_too_unless_excluded() -> None:
    zeros = np.zeros((2, 2), "float32")
    kernel, bias, listed = variable(name="kernel"), variable(name="bias"), variable(name="listed")
    optimizer = SGD(0.5, weight_decay=0.5)
    optimizer.apply([zeros, zeros], [kernel, bias])
    close(kernel, [[0.75, 1.5], [2.25, 3.0]])
    close(bias, kernel.numpy())
    optimizer = SGD(0.5, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[listed], var_names=["^b.*s$"])
    before = [w.tolist() for w in (bias, listed)]
    optimizer.apply([zeros, zeros, zeros], [kernel, bias, listed])
    assert [w.tolist() for w in (bias, listed)] == before
    close(kernel, [[0.5625, 1.125], [1.6875, 2.25]])
    with pytest.raises(ValueError, match="`exclude_from_weight_decay\\(\\)` can only be configured before"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])


def test_moving_averages() -> None:
    w = variable([[3.0, 4.0], [5.0, 6.0]])
    optimizer = SGD(1.0, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3)
    (average,) = optimizer.build([w]) or optimizer._model_variables_moving_average
    optimizer.apply([ONES], [w])
    close(average, [[2.0, 3.0], [4.0, 5.0]])
    optimizer.apply([ONES], [w])
    close(average, [[1.9, 2.9], [3.9, 4.9]])
    optimizer.apply([ONES], [w])
    close(average, [[1.71, 2.71], [3.71, 4.71]])
    close(w, average.numpy())
    w.assign(ONES)
    optimizer.finalize_variable_values([w])
    close(w, average.numpy())
    with pytest.raises(ValueError, match="Unknown variable: stranger"):
        optimizer.finalize_variable_values([variable(name="stranger")])
    w.assign(ONES)
    SGD().finalize_variable_values([w])
    close(w, ONES)


def test_constraints_come_before_the_average_and_to_updated_variables_alone() -> None:
    seen = []

    def spy(w: Tensor) -> Tensor:
        seen.append(w)
        return w * 0 + 7

    w = variable(constraint=spy)
    other = variable(constraint=spy, name="other")
    optimizer = SGD(1.0, use_ema=True)
    with pytest.warns(UserWarning, match=r"Gradients do not exist for variables \['other'\] when minimizing the loss"):
        optimizer.apply([ONES, None], [w, other])
    for average in optimizer._model_variables_moving_average:
        close(average, 7 * ONES)
    close(w, 7 * ONES)
    close(other, [[1.0, 2.0], [3.0, 4.0]])
    assert len(seen) == 3  # one weight and both averages
    assert not seen[0].requires_grad


def test_accumulation() -> None:
    w = variable()
    optimizer = SGD(1.0, gradient_accumulation_steps=3)
    rates = []
    for call in range(1, 8):
        optimizer.apply([call * ONES], [w])
        rates.append(w.numpy()[0, 0])
        assert optimizer.iterations == call // 3
        assert optimizer._iterations.item() == call
    assert rates == [1.0, 1.0, -1.0, -1.0, -1.0, -6.0, -6.0]
    close(optimizer._accumulated_gradients[0], 7 * ONES)


@pytest.mark.parametrize("name", NAMES)
def test_accumulation_of_means_is_one_step_of_the_mean(name: str) -> None:
    rng = np.random.default_rng(2)
    config = {"weight_decay": 0.05, "clipnorm": 0.5}
    one, three = (optimizers.deserialize({"class_name": name, "config": {**config, **more}})
                  for more in ({}, {"gradient_accumulation_steps": 3}))  # fmt: skip
    w1, w3 = variable(), variable()
    for _ in range(4):
        parts = rng.standard_normal((3, 2, 2)).astype("float32")
        one.apply([parts.mean(0)], [w1])
        for part in parts:
            three.apply([part], [w3])
    np.testing.assert_allclose(w3.numpy(), w1.numpy(), rtol=1e-5)


def test_loss_scale() -> None:
    w = variable()
    optimizer = SGD(1.0, loss_scale_factor=1024.0)
    assert optimizer.scale_loss(1.0) == 1024.0
    assert SGD().scale_loss(1.0) == 1.0
    optimizer.apply(grad(optimizer.scale_loss((w * w).sum() / 2), [w]), [w])
    close(w, np.zeros((2, 2)))


def test_nothing_to_do_and_nothing_given() -> None:
    w = variable()
    optimizer = SGD(1.0)
    optimizer.apply([], [])
    optimizer.apply_gradients([])
    assert (optimizer.iterations, optimizer.built) == (0, False)
    with pytest.raises(ValueError, match="No gradients provided for any variable"):
        optimizer.apply([None], [w])
    assert not optimizer.built
    assert optimizer.apply_gradients(zip([ONES], [w], strict=True)).item() == 1


# ---------------------------------------------------------------------- learning rates


def test_learning_rates_of_three_kinds() -> None:
    w = variable()
    optimizer = SGD(0.5)
    optimizer.learning_rate = 1
    optimizer.apply([ONES], [w])
    close(w, [[0.0, 1.0], [2.0, 3.0]])
    asked = []
    called = SGD(lambda: asked.append(1) or 0.25)
    called.apply([ONES], [w])
    close(w, [[-0.25, 0.75], [1.75, 2.75]])
    assert len(asked) == 1
    scheduled = SGD(schedules.PiecewiseConstantDecay([0, 1], [1.0, 0.5, 0.0]), gradient_accumulation_steps=2)
    assert scheduled.learning_rate == 1.0
    scheduled.apply([ONES], [w])
    scheduled.apply([ONES], [w])  # the second call of two: the schedule counts calls
    close(w, [[-0.75, 0.25], [1.25, 2.25]])
    assert scheduled.learning_rate == 0.0


def test_a_schedule_takes_the_place_of_a_number_but_not_the_reverse() -> None:
    optimizer = Adam(0.001)
    assert [v.name for v in optimizer.variables] == ["iteration", "learning_rate"]
    optimizer.learning_rate = schedules.PolynomialDecay(optimizer.learning_rate, 4)
    assert [v.name for v in optimizer.variables] == ["iteration"]
    with pytest.raises(TypeError, match=r"created with a `LearningRateSchedule` object.*not settable"):
        optimizer.learning_rate = 0.1
    called = SGD(lambda: 0.5)
    called.learning_rate = 0.25
    assert called.get_config()["learning_rate"] == 0.25
    assert [v.name for v in called.variables] == ["iteration", "learning_rate"]


# ---------------------------------------------------------------------- nothing is half changed


@pytest.mark.parametrize(
    ("gradient", "error", "message"),
    [
        (np.ones(2), ValueError, r"gradient of 'second' must have the shape of the variable. Received: gradient=float"),
        (np.ones((2, 2), complex), TypeError, "gradient of 'second' must be of real numbers. Received: gradient=comp"),
        (np.ones((2, 2), bool), TypeError, "gradient of 'second' must be of real numbers. Received: gradient=bool"),
        (Tensor(ONES, device="standin"), TypeError,
         r"gradient of 'second' must be on the device.*\.to\(device\). Received: gradient on 'standin', variable on"),
    ],
)  # fmt: skip
def test_a_gradient_that_does_not_fit_changes_nothing(gradient: Any, error: type[Exception], message: str) -> None:
    first, second = variable(name="first"), variable(name="second")
    optimizer = Adam(weight_decay=0.1, use_ema=True)
    optimizer.apply([ONES, ONES], [first, second])
    before = [v.tolist() for v in (first, second, *optimizer.variables)]
    with pytest.raises(error, match=message):
        optimizer.apply([ONES, gradient], [first, second])
    assert [v.tolist() for v in (first, second, *optimizer.variables)] == before


def test_an_unknown_variable_changes_nothing() -> None:
    known = variable()
    optimizer = SGD(weight_decay=0.5)
    optimizer.apply([ONES], [known])
    before = [v.tolist() for v in (known, *optimizer.variables)]
    with pytest.raises(ValueError, match="Unknown variable: other"):
        optimizer.apply([ONES, ONES], [known, variable(name="other")])
    assert [v.tolist() for v in (known, *optimizer.variables)] == before


def test_a_learning_rate_that_fails_changes_nothing() -> None:
    w = variable()
    optimizer = SGD(lambda: 1 / 0, use_ema=True)
    with pytest.raises(ZeroDivisionError):
        optimizer.apply([ONES], [w])
    assert w.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert optimizer.iterations == 0


def test_wrong_variables() -> None:
    w = variable()
    with pytest.raises(TypeError, match=r"optimizer: variables must be Variables of floats. Received: Tensor"):
        SGD().apply([ONES], [Tensor(ONES)])
    with pytest.raises(TypeError, match=r"optimizer: variables must be Variables of floats. Received: Variable"):
        SGD().build([Variable([1, 2], trainable=False)])
    with pytest.raises(ValueError, match=r"optimizer: a variable must be given once. Received: variables=\['w', 'w'\]"):
        SGD().apply([ONES, ONES], [w, w])
    with pytest.raises(ValueError, match=r"one gradient, or None, for each variable. Received: 2 gradients, 1 var"):
        SGD().apply([ONES, ONES], [w])
    with pytest.raises(ValueError, match=r"When passing `grads` without `variables`.*Call `optimizer.build"):
        SGD().apply([ONES])
    optimizer = SGD()
    optimizer.build([w])
    optimizer.apply([ONES])
    assert optimizer.iterations == 1
    with pytest.raises(ValueError, match=r"Unknown variable: other. This optimizer can only be called for the var"):
        optimizer.apply([ONES], [variable(name="other")])


# ---------------------------------------------------------------------- state


def test_state_can_be_looked_at_and_carried_over() -> None:
    w, copied = variable(), variable()
    source, target = Adam(0.5), Adam()
    source.apply([ONES], [w])
    with pytest.raises(ValueError, match=r"You are calling `set_weights\(\)` on an optimizer that has not yet been"):
        target.set_weights(source.variables)
    target.build([copied])
    copied.assign(w)
    target.set_weights([v.numpy() for v in source.variables])
    for optimizer, weight in ((source, w), (target, copied)):
        optimizer.apply([2 * ONES], [weight])
    assert copied.tolist() == w.tolist()
    assert (target.iterations, target.learning_rate) == (2, 0.5)
    with pytest.raises(ValueError, match=r"set_weights: the weights must have the shapes of `variables`. Received:"):
        target.set_weights(source.variables[:-1])


def test_names_of_the_state() -> None:
    w = variable(path="dense/kernel")
    optimizer = Adam(amsgrad=True, use_ema=True, gradient_accumulation_steps=2)
    optimizer.build([w, variable(path="dense/bias")])
    assert [v.name for v in optimizer.variables] == [
        "iteration", "learning_rate",
        "dense_kernel_average", "dense_bias_average",
        "dense_kernel_gradient_accumulator", "dense_bias_gradient_accumulator",
        "dense_kernel_momentum", "dense_kernel_velocity", "dense_bias_momentum", "dense_bias_velocity",
        "dense_kernel_velocity_hat", "dense_bias_velocity_hat",
    ]  # fmt: skip
    assert not any(v.trainable for v in optimizer.variables)
    optimizer.build([variable(name="too late")])
    assert len(optimizer.variables) == 12


def test_the_state_follows_its_variable() -> None:
    w = variable()
    optimizer = Adam(use_ema=True, gradient_accumulation_steps=2)
    optimizer.apply([ONES], [w])
    w.replace(w.detach().to("standin").data)
    optimizer.apply([Tensor(ONES, device="standin")], [w])
    assert {v.device for v in (w, *optimizer._state)} == {"standin"}
    again = variable()
    reference = Adam(use_ema=True, gradient_accumulation_steps=2)
    for _ in range(2):
        reference.apply([ONES], [again])
    close(w, again.numpy())


def test_what_adafactor_and_muon_keep() -> None:
    matrix, vector = Variable(np.ones((5, 3)), name="w"), Variable(np.ones(3), name="b")
    table = Variable(np.ones((5, 3)), name="t", path="embedding/t")
    adafactor, muon = optimizers.get("adafactor"), Muon(exclude_layers=["^head/"])
    adafactor.build([matrix, vector])
    assert [(v.name, v.shape) for v in adafactor._state] == [("w_r", (5,)), ("w_c", (3,)), ("b_velocity", (3,))]
    head = Variable(np.ones((5, 3)), name="k", path="head/k")
    muon.build([matrix, vector, table, head])
    assert [v.name for v in muon._state] == [
        "w_momentum", "b_momentum", "b_velocity", "embedding_t_momentum", "embedding_t_velocity",
        "head_k_momentum", "head_k_velocity",
    ]  # fmt: skip


def test_nadam_multiplies_its_product_once_a_step() -> None:
    weights = [variable(name="a"), variable(name="b")]
    optimizer = Nadam()
    optimizer.apply([ONES, ONES], weights)
    mu = 0.9 * (1 - 0.5 * 0.96)
    assert optimizer.variables[-1].name == "u_product"
    assert optimizer.variables[-1].item() == pytest.approx(mu, rel=1e-12)


def test_muon_makes_directions_orthogonal() -> None:
    g = np.random.default_rng(3).standard_normal((6, 4))
    for matrix in (g, g.T):
        singular = np.linalg.svd(Muon()._orthogonal(matrix), compute_uv=False)
        assert (abs(singular - 1) < 0.4).all()
    assert Muon()._orthogonal(g).shape == g.shape


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_pickles_go_on_alike(name: str) -> None:
    w = variable()
    optimizer = optimizers.get(name)
    optimizer.apply([ONES], [w])
    pairs = [copy.deepcopy((optimizer, w)), pickle.loads(pickle.dumps((optimizer, w)))]
    optimizer.apply([2 * ONES], [w])
    for other, weight in pairs:
        other.apply([2 * ONES], [weight])
        assert weight.tolist() == w.tolist()
        assert other.get_config() == optimizer.get_config()


# ---------------------------------------------------------------------- names and configs


@pytest.mark.parametrize("name", NAMES)
def test_config_round_trip(name: str) -> None:
    cls = getattr(optimizers, name)
    schedule = schedules.CosineDecay(0.1, 10)
    for rate in (0.25, schedule):
        optimizer = cls(rate, clipnorm=0.5, ema_overwrite_frequency=3, name="mine")
        described = json.loads(json.dumps(optimizers.serialize(optimizer)))
        assert described["module"] == "keras.optimizers"
        again = optimizers.deserialize(described)
        assert type(again) is cls
        assert again.get_config() == optimizer.get_config()
        assert again.learning_rate == optimizer.learning_rate
        assert cls.from_config(optimizer.get_config()).get_config() == optimizer.get_config()
    assert repr(cls(0.25)).startswith(f"{name}(learning_rate=0.25, ")


@pytest.mark.parametrize("name", NAMES)
def test_get_in_any_case(name: str) -> None:
    cls = getattr(optimizers, name)
    for word in (name, name.lower(), name.upper()):
        assert type(optimizers.get(word)) is cls
    assert type(optimizers.get({"class_name": name.lower(), "config": {"name": "mine"}})) is cls
    optimizer = cls()
    assert optimizers.get(optimizer) is optimizer


def test_get_of_other_things() -> None:
    assert optimizers.get(None) is None
    with pytest.raises(ValueError, match="Could not interpret optimizer identifier: 3"):
        optimizers.get(3)
    with pytest.raises(ValueError, match=r"optimizer: class_name must be a known class. Received: class_name='typo'"):
        optimizers.get("typo")
    with pytest.raises(ValueError, match="optimizer: a config must hold class_name and config"):
        optimizers.deserialize({"config": {}})
    with pytest.raises(ValueError, match="optimizer: a config must hold class_name and config"):
        optimizers.deserialize("sgd")


def test_automatic_names() -> None:
    minigrad.clear_session()
    assert [cls().name for cls in (Adam, Adam, SGD, AdamW, RMSprop)] == ["adam", "adam_1", "sgd", "adam_w", "rm_sprop"]
    assert Adam(name="mine").name == "mine"


# ---------------------------------------------------------------------- rules of one's own


def test_a_rule_of_ones_own_in_either_style() -> None:
    class Declared(Optimizer):
        friction: float = argument(number, 0.5)

        def update_step(self, gradient: Any, variable: Any, learning_rate: float, speed: Any) -> None:
            speed *= self.friction
            speed -= learning_rate * gradient
            variable += speed

    class Written(Optimizer):
        def __init__(self, learning_rate: float = 0.001, friction: float = 0.5, **kwargs: Any) -> None:
            super().__init__(learning_rate=learning_rate, **kwargs)
            self.friction = friction

        update_step = Declared.update_step

    for cls in (Declared, Written):
        w = variable()
        optimizer = cls(learning_rate=1.0, clipvalue=10.0)
        for _ in range(2):
            optimizer.apply([ONES], [w])
        close(w, [[-1.5, -0.5], [0.5, 1.5]])
        assert [v.name for v in optimizer.variables] == ["iteration", "learning_rate", "w_speed"]
        again = optimizers.get({"class_name": cls.__name__, "config": optimizer.get_config()})
        assert again.get_config() == optimizer.get_config()
        assert again.get_config()["friction"] == 0.5
    with pytest.raises(NotImplementedError, match=r"Optimizer.update_step: must be written by the subclass"):
        Optimizer().apply([ONES], [variable()])


def test_an_update_records_nothing() -> None:
    w = variable(constraint=lambda w: w * 2)
    SGD().apply([ONES], [w])
    with no_grad():
        SGD().apply([ONES], [w])
    assert w.requires_grad
    assert w.grad is None


# ---------------------------------------------------------------------- errors of the arguments


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(1), "Argument `learning_rate` should be float, or an instance of LearningRateSchedule, or a call"),
        (lambda: SGD("0.1"), "Received instead: learning_rate='0.1'"),
        (lambda: SGD(lr=0.1), "Argument(s) not recognized: {'lr': 0.1}"),
        (lambda: SGD(clipnorm=1.0, clipvalue=1.0),
         "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: clipnorm=1.0, clipvalue=1.0"),
        (lambda: SGD(clipnorm=1.0, global_clipnorm=1.0), "Only one of `clipnorm`, `clipvalue` and `global_clipnorm`"),
        (lambda: SGD(clipnorm="1"), "clipnorm: expected a finite number"),
        (lambda: SGD(use_ema=True, ema_momentum=1.5),
         "`ema_momentum` must be in the range [0, 1]. Received: ema_momentum=1.5"),
        (lambda: SGD(ema_momentum=-0.1), "`ema_momentum` must be in the range [0, 1]. Received: ema_momentum=-0.1"),
        (lambda: SGD(ema_overwrite_frequency=0),
         "`ema_overwrite_frequency` must be an integer >= 1 or None. Received: ema_overwrite_frequency=0"),
        (lambda: SGD(ema_overwrite_frequency=1.5), "`ema_overwrite_frequency` must be an integer >= 1 or None."),
        (lambda: SGD(gradient_accumulation_steps=1),
         "`gradient_accumulation_steps` must be an integer >= 2 or None. Received: gradient_accumulation_steps=1"),
        (lambda: SGD(momentum=1), "`momentum` must be a float between [0, 1]. Received: momentum=1"),
        (lambda: SGD(momentum=1.5), "`momentum` must be a float between [0, 1]. Received: momentum=1.5"),
        (lambda: AdamW(weight_decay=None), "Argument `weight_decay` must be a float. Received: weight_decay=None"),
        (lambda: Lion(beta_1=0), "Argument `beta_1` must be in the [0, 1] range. Otherwise, the optimizer degenerates "
         "to SignSGD. Received: beta_1=0."),
        (lambda: Lion(beta_1=1.5), "Argument `beta_1` must be in the [0, 1] range."),
        (lambda: Ftrl(initial_accumulator_value=-1.0),
         "`initial_accumulator_value` needs to be positive or zero. Received: initial_accumulator_value=-1.0."),
        (lambda: Ftrl(learning_rate_power=0.5),
         "`learning_rate_power` needs to be negative or zero. Received: learning_rate_power=0.5."),
        (lambda: Ftrl(l1_regularization_strength=-1.0), "`l1_regularization_strength` needs to be positive or zero."),
        (lambda: Ftrl(l2_regularization_strength=-1.0), "`l2_regularization_strength` needs to be positive or zero."),
        (lambda: Ftrl(l2_shrinkage_regularization_strength=-1.0),
         "`l2_shrinkage_regularization_strength` needs to be positive or zero."),
        (lambda: Adam(beta_1="0.9"), "beta_1: expected a finite number"),
        (lambda: Muon(ns_steps=0), "Expected a strictly positive value. Received ns_steps=0"),
    ],
)  # fmt: skip
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_ftrl_at_the_end_of_a_schedule_says_what_is_wrong() -> None:
    optimizer = Ftrl(schedules.CosineDecay(0.1, decay_steps=2))
    w = Variable([1.0, 2.0])
    for _ in range(2):
        optimizer.apply([np.ones(2, np.float32)], [w])
    before = w.numpy()
    with pytest.raises(ValueError, match=r"^Ftrl: learning_rate must not be 0.* Received: learning_rate=0\.0$"):
        optimizer.apply([np.ones(2, np.float32)], [w])
    assert (w.numpy() == before).all()
    assert optimizer.iterations == 2


def test_decay_is_no_longer_an_argument() -> None:
    with pytest.warns(UserWarning, match="Argument `decay` is no longer supported and will be ignored."):
        SGD(decay=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SGD(decay=None)


def test_help_shows_the_arguments() -> None:
    assert list(inspect.signature(SGD).parameters)[:4] == ["learning_rate", "momentum", "nesterov", "weight_decay"]
