"""Initializers: what Keras 3 draws from and what comes of it (tests/golden/initializers.py), seeds, names, errors."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, initializers, set_random_seed, settings

with np.load(Path(__file__).parent / "golden" / "initializers.npz", allow_pickle=False) as archive:
    EXACT_VALUES = {name: archive[name] for name in archive.files if name.startswith("exact_")}
    GOLDEN = {name: json.loads(str(archive[name])) for name in archive.files if name not in EXACT_VALUES}
BASES = (initializers.Initializer, initializers.RandomInitializer, initializers.Given)
CLASSES = {name: cls for name, cls in vars(initializers).items() if isinstance(cls, type) and cls not in BASES}
RANDOM = {name: cls for name, cls in CLASSES.items() if issubclass(cls, initializers.RandomInitializer)}
SHAPES = {"Identity": (4, 4), "STFT": (4, 1, 3)}


def name_of(case: Any) -> str:
    if isinstance(case, dict):
        case = [case["name"], case["config"], case["shape"]]
    shape = "x".join(map(str, case[2]))
    return "-".join([case[0], *(f"{key}={value}" for key, value in case[1].items()), shape])


class Told:
    """In place of a random generator: what it was asked for, as numbers at the edge of the distribution."""

    def uniform(self, low: float, high: float, shape: Any) -> Any:
        self.asked = ["uniform", low, high]
        return np.full(shape, high)

    def normal(self, mean: float, stddev: float, shape: Any) -> Any:
        self.asked = ["normal", mean, stddev]
        return np.full(shape, mean + stddev)

    def standard_normal(self, shape: Any) -> Any:
        return np.resize([0.0, 1.5], shape)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=name_of)
def test_draws_from_the_distribution_of_keras(case: dict[str, Any]) -> None:
    random = Told()
    values = CLASSES[case["name"]](**case["config"]).draw(random, tuple(case["shape"]))
    if case["drawn"][0] == "truncated_normal":
        mean = values.flat[0]
        random.asked = ["truncated_normal", mean, (values.flat[1] - mean) / 1.5]
    assert random.asked[0] == case["drawn"][0]
    np.testing.assert_allclose(random.asked[1:], case["drawn"][1:], rtol=1e-12)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=name_of)
def test_statistics_are_those_of_keras(case: dict[str, Any]) -> None:
    cls = CLASSES[case["name"]]
    values = np.stack([cls(**case["config"], seed=seed)(case["shape"], "float64").numpy() for seed in range(50)])
    kind, first, second = case["drawn"]
    middle = (first + second) / 2 if kind == "uniform" else first
    assert abs(values.mean() - case["mean"]) < 0.15 * case["std"]
    assert abs(values.std() / case["std"] - 1) < 0.07
    largest = abs(values - (0 if kind == "uniform" else middle)).max()
    assert abs(largest / case["largest"] - 1) < (0.3 if kind == "normal" else 0.02)
    if kind == "truncated_normal":
        assert largest <= 2 * second * (1 + 1e-12)
    if kind == "uniform":
        assert first <= values.min() < values.max() < second


@pytest.mark.parametrize("case", list(enumerate(GOLDEN["exact"])), ids=lambda case: name_of(case[1]))
def test_equals_keras(case: Any) -> None:
    index, (name, config, shape) = case
    y = CLASSES[name](**config)(shape, "float64")
    assert y.dtype == np.float64
    rounded = 2e-6 if name == "STFT" else 1e-12  # Keras computes the angles of STFT in float32, whatever the dtype
    np.testing.assert_allclose(y.numpy(), EXACT_VALUES[f"exact_{index}"], rtol=1e-6, atol=rounded)


@pytest.mark.parametrize(("shape", "expected"), GOLDEN["fans"])
def test_fans(shape: list[int], expected: list[int]) -> None:
    assert list(initializers.fans(tuple(shape))) == expected


def test_fans_of_named_axes() -> None:
    assert initializers.fans((3, 8, 2), (0,), (0, 2)) == (3, 6)


def test_every_initializer_of_keras_is_there_with_its_arguments() -> None:
    base = {"Initializer"}
    mine = {
        name: [[p.name, p.default] for p in inspect.signature(cls).parameters.values()] for name, cls in CLASSES.items()
    }
    of_the_house = mine.pop("DepthwiseVarianceScaling")
    assert of_the_house == [["scale", 1.0], ["mode", "fan_in"], ["distribution", "uniform"], ["seed", None]]
    assert mine == {name: arguments for name, arguments in GOLDEN["signatures"].items() if name not in base}


# ---------------------------------------------------------------------- orthogonal matrices, depthwise kernels


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (3, 2, 4), (1, 8, 4), (2, 2, 3, 5)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = initializers.Orthogonal(gain=2.0, seed=1)(shape, "float64").numpy().reshape(-1, shape[-1])
    product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(product, 4 * np.eye(min(w.shape)), atol=1e-12)


def test_orthogonal_is_uniform_over_rotations_and_reflections() -> None:
    """Each element has mean 0 and variance 1/n; without the signs of r the diagonal would have one sign."""
    many = np.stack([initializers.Orthogonal(seed=seed)((3, 3), "float64").numpy() for seed in range(2000)])
    assert (abs(many.mean(0)) < 0.05).all()
    np.testing.assert_allclose(many.var(0), 1 / 3, atol=0.03)
    assert 0.4 < (np.linalg.det(many) > 0).mean() < 0.6


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("taps", [3, 12])
def test_depthwise_kernels_count_their_own_taps(taps: int, multiplier: int) -> None:
    """The number of channels does not matter; a channel's output keeps the variance of its input."""
    for channels in (1, 500):
        random = Told()
        initializers.DepthwiseVarianceScaling().draw(random, (taps, channels, multiplier))
        np.testing.assert_allclose(random.asked[1:], [-math.sqrt(3 / taps), math.sqrt(3 / taps)], rtol=1e-12)
        initializers.DepthwiseVarianceScaling(2.0, "fan_out", "untruncated_normal").draw(
            random, (taps, channels, multiplier)
        )
        assert random.asked[0] == "normal"
        np.testing.assert_allclose(random.asked[1:], [0.0, math.sqrt(2 / (taps * multiplier))], rtol=1e-12)
    w = initializers.DepthwiseVarianceScaling(seed=2)((taps, 500, multiplier), "float64").numpy()
    x = np.random.default_rng(8).normal(size=(100, taps, 500))
    assert abs(np.einsum("nkc,kcm->ncm", x, w).var() - 1) < 0.05


# ---------------------------------------------------------------------- seeds


@pytest.mark.parametrize("name", RANDOM)
def test_seeds(name: str) -> None:
    cls, shape = RANDOM[name], (3, 4, 2)
    one, other = cls(seed=1), cls(seed=2)
    np.testing.assert_array_equal(one(shape).numpy(), one(shape).numpy())  # as in Keras 3
    np.testing.assert_array_equal(one(shape).numpy(), cls(seed=1)(shape).numpy())
    assert (one(shape).numpy() != other(shape).numpy()).any()
    unseeded = cls()
    np.testing.assert_array_equal(unseeded(shape).numpy(), unseeded(shape).numpy())
    assert (unseeded(shape).numpy() != cls()(shape).numpy()).any()
    assert (unseeded(shape).numpy() != unseeded.clone()(shape).numpy()).any()
    stream = cls(seed=np.random.default_rng(3))
    assert (stream(shape).numpy() != stream(shape).numpy()).any()


def test_the_global_seed_decides_what_has_none() -> None:
    set_random_seed(4)
    first = [initializers.get("glorot_uniform")((3, 3)).numpy() for _ in range(2)]
    set_random_seed(4)
    again = [initializers.get("glorot_uniform")((3, 3)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize("seed", ["a", 1.5, True, [1]])
@pytest.mark.parametrize("name", ["RandomNormal", "HeUniform"])
def test_a_seed_of_another_kind(name: str, seed: Any) -> None:
    with pytest.raises(ValueError, match=r"Argument `seed` must be an integer, a Generator or None\. Received: seed="):
        CLASSES[name](seed=seed)


# ---------------------------------------------------------------------- dtypes, arrays, functions


@pytest.mark.parametrize("name", CLASSES)
def test_dtypes(name: str) -> None:
    shape = SHAPES.get(name, (3, 4, 2))
    assert CLASSES[name]()(list(shape)).dtype == settings.floatx()
    for dtype in ("float16", "float64"):
        y = CLASSES[name]()(shape, dtype)
        assert (y.dtype, y.shape) == (dtype, shape)
    with pytest.raises(ValueError, match=r"dtype must be (floating|a number type)\. Received: dtype="):
        CLASSES[name]()(shape, "int32" if name in RANDOM else "bool")


def test_an_array_as_initializer() -> None:
    array = np.arange(6.0).reshape(2, 3)
    for given in (array, Tensor(array), Tensor(array, device="standin")):
        initializer = initializers.get(given)
        y = initializer((2, 3), "float32")
        assert y.dtype == np.float32
        np.testing.assert_array_equal(Tensor(y, device="cpu").numpy(), array)
        message = r"Expected `shape` to be \(2, 3\) for direct tensor as initializer\. Received shape=\(3, 2\)"
        with pytest.raises(ValueError, match=message):
            initializer((3, 2))
    again = initializers.deserialize(initializers.serialize(initializers.get(array)))
    np.testing.assert_array_equal(again((2, 3)).numpy(), array)


def test_a_function_as_initializer() -> None:
    def mine(shape: Any, dtype: Any = None) -> Tensor:
        return Tensor.full(shape, 7.0, dtype)

    assert initializers.get(mine) is mine


class Sevens(initializers.Initializer):
    """An initializer of a user."""

    def values(self, shape: tuple[int, ...]) -> Any:
        return np.full(shape, 7.0)


def test_an_initializer_of_a_user() -> None:
    assert initializers.get("Sevens")((2,)).tolist() == [7.0, 7.0]
    with pytest.raises(NotImplementedError, match=r"Initializer: values\(\) must be written"):
        initializers.Initializer()((2,))
    with pytest.raises(NotImplementedError, match=r"RandomInitializer: draw\(\) must be written"):
        initializers.RandomInitializer()((2,))


# ---------------------------------------------------------------------- names, configs, errors


def test_every_name_of_keras_is_known() -> None:
    for name in GOLDEN["names"]:
        found = initializers.get(name)
        assert type(found).__name__ in GOLDEN["signatures"]
    assert [type(initializers.get(name)).__name__ for name in ("normal", "uniform", "one", "zero")] == [
        "RandomNormal", "RandomUniform", "Ones", "Zeros",
    ]  # fmt: skip
    assert initializers.get(None) is None
    assert isinstance(initializers.get(initializers.Zeros), initializers.Zeros)


@pytest.mark.parametrize("name", CLASSES)
def test_round_trip(name: str) -> None:
    initializer = CLASSES[name]()
    config = initializer.get_config()
    assert list(config) == list(inspect.signature(CLASSES[name]).parameters)
    for written in (initializers.serialize(initializer), {"class_name": name, "config": config}):
        again = initializers.deserialize(written)
        assert type(again) is CLASSES[name]
        assert again.get_config() == config
    assert initializer.clone().get_config() == config
    json.dumps(initializers.serialize(initializer))


def test_normal_means_truncated() -> None:
    assert initializers.VarianceScaling(distribution="normal").get_config()["distribution"] == "truncated_normal"


def test_a_config_may_be_left_out() -> None:
    assert isinstance(initializers.get({"class_name": "Zeros"}), initializers.Zeros)


@pytest.mark.parametrize("identifier", ["foo", 3, 0.5, [1.0]])
def test_get_of_what_is_no_initializer(identifier: Any) -> None:
    with pytest.raises(ValueError, match="Could not interpret initializer identifier: "):
        initializers.get(identifier)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.VarianceScaling(0.0), r"Argument `scale` must be positive float\. Received: scale=0\.0"),
        (lambda: initializers.VarianceScaling(-1.0), r"Argument `scale` must be positive float\. Received: scale=-1"),
        (lambda: initializers.VarianceScaling(mode="fan"), r"The `mode` argument must be one of \{.*Received: mode="),
        (
            lambda: initializers.VarianceScaling(distribution="cauchy"),
            r"The `distribution` argument must be one of \{.*Received: distribution='cauchy'",
        ),
        (
            lambda: initializers.VarianceScaling(input_axes=(0,)),
            r"VarianceScaling: input_axes and output_axes must be given together\. Received: input_axes=\(0,\)",
        ),
        (
            lambda: initializers.Identity()((2, 3, 4)),
            r"Identity matrix initializer can only be used for 2D matrices\. Received: shape=\(2, 3, 4\) of rank 3",
        ),
        (
            lambda: initializers.Orthogonal()((5,)),
            r"The tensor to initialize must be at least two-dimensional\. Received: shape=\(5,\) of rank 1",
        ),
        (
            lambda: initializers.DepthwiseVarianceScaling()((5, 4)),
            r"DepthwiseVarianceScaling: shape must be \(K, C, M\)\. Received: shape=\(5, 4\)",
        ),
        (lambda: initializers.Constant("a"), r"Invalid value for argument value: expected a finite number"),
        (lambda: initializers.STFT("left"), r"The `side` argument must be one of \{"),
        (lambda: initializers.STFT(window="mine"), r"The `window` argument must be one of \{"),
        (lambda: initializers.STFT(scaling="mine"), r"The `scaling` argument must be one of \{"),
        (lambda: initializers.STFT()((8, 2, 5)), r"STFT: shape must be \(T, 1, F\), with F at least 2\. Received:"),
        (
            lambda: initializers.STFT(window=[1.0, 2.0])((8, 1, 5)),
            r"The shape of `window` must be equal to \[frame_length\]\. Received: window shape=\(2,\)",
        ),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
