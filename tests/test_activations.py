"""Activations: the numbers of Keras 3 (tests/golden/activations.py), kinks, extremes, derivatives, names."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, activations, grad, gradcheck, ops

with np.load(Path(__file__).parent / "golden" / "activations.npz", allow_pickle=False) as archive:
    GOLDEN = {name: archive[name] for name in archive.files}
CONFIGS = json.loads(str(GOLDEN["configs"]))
ONE_BY_ONE = list(enumerate(CONFIGS["one_by_one"]))
ALONG_AN_AXIS = list(enumerate(CONFIGS["along_an_axis"]))
TOLERANCE = {"float64": 1e-6, "float32": 1e-5}
NEEDED = {"threshold": {"threshold": 0.7, "default_value": 2.0}}  # what has no default
SMOOTH = np.array([[-7.0, -3.3, -1.7, -0.8], [-0.3, 0.2, 0.6, 0.9], [1.3, 2.2, 4.1, 6.6]])  # no kink is near


def name_of(case: Any) -> str:
    name, arguments = case[1]
    return "-".join([name, *(f"{key}={value}" for key, value in arguments.items())])


def close(y: Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(y.numpy(), expected, rtol=TOLERANCE[str(y.dtype)], atol=TOLERANCE[str(y.dtype)])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", ONE_BY_ONE, ids=name_of)
def test_equals_keras(case: Any, dtype: str) -> None:
    row, (name, arguments) = case
    x = Tensor(GOLDEN["x"], dtype, requires_grad=True)
    y = activations.get(name)(x, **arguments)
    assert y.dtype == dtype
    close(y, GOLDEN["y"][row])
    expected = GOLDEN["x_grad"][row].copy()
    if "max_value" in arguments:  # PyTorch 1, JAX 0.5, here 0
        at = GOLDEN["x"] == arguments["max_value"]
        assert (expected[at] == 1).all()
        expected[at] = 0
    close(grad(y.sum(), x), expected)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", ALONG_AN_AXIS, ids=name_of)
def test_equals_keras_along_an_axis(case: Any, dtype: str) -> None:
    index, (name, arguments) = case
    x = Tensor(GOLDEN["table"], dtype, requires_grad=True)
    y = activations.get(name)(x, **arguments)
    close(y, GOLDEN[f"axis_{index}_y"])
    cotangent = GOLDEN["cotangent"][tuple(slice(n) for n in y.shape)]
    close(grad(y, x, cotangent), GOLDEN[f"axis_{index}_grad"])


def test_the_golden_numbers_cover_every_activation() -> None:
    covered = {name for name, _ in CONFIGS["one_by_one"] + CONFIGS["along_an_axis"]}
    assert covered == set(activations.functions) - {"sparsemax"}
    kinks = {-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.5, 3.0, 6.0}
    assert kinks <= set(GOLDEN["x"])


def test_sparsemax_is_the_nearest_point_of_the_simplex() -> None:
    """Keras 3.15.1 gives all 0 here, so the definition is the reference: no other point of the simplex is nearer."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(50, 5))
    y = activations.sparsemax(Tensor(x)).numpy()
    assert (y >= 0).all()
    assert (y == 0).any()
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-12)
    others = rng.dirichlet(np.ones(5), 200)
    nearest = ((x - y) ** 2).sum(-1)
    assert (nearest[:, None] <= ((x[:, None] - others) ** 2).sum(-1)).all()
    np.testing.assert_allclose(activations.sparsemax(Tensor([2.0, 1.5, -1.0])).numpy(), [0.75, 0.25, 0.0], rtol=1e-6)


@pytest.mark.parametrize("name", activations.functions)
def test_gradients(name: str) -> None:
    gradcheck(lambda x: activations.functions[name](x, **NEEDED.get(name, {})), [SMOOTH], order=2)


@pytest.mark.parametrize("name", activations.functions)
def test_runs_on_every_array_module(name: str) -> None:
    results = []
    for device in ("cpu", "standin"):
        x = Tensor(SMOOTH, device=device, requires_grad=True)
        y = activations.functions[name](x, **NEEDED.get(name, {}))
        assert y.device == device
        results.append((y.numpy(), grad(y.sum(), x).numpy()))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("name", activations.functions)
def test_takes_a_bare_array(name: str) -> None:
    arguments = NEEDED.get(name, {})
    y = activations.functions[name](SMOOTH, **arguments)
    assert isinstance(y, np.ndarray)
    np.testing.assert_array_equal(y, activations.functions[name](Tensor(SMOOTH), **arguments).numpy())


@pytest.mark.parametrize("name", sorted(set(activations.functions) - {"glu", "softmax", "log_softmax", "sparsemax"}))
def test_stays_finite_far_from_zero(name: str) -> None:
    """No branch that was not taken spoils the gradient of the one that was."""
    x = Tensor([-1e4, -800.0, 700.0 if name == "exponential" else 800.0], "float64", requires_grad=True)
    first = grad(activations.functions[name](x, **NEEDED.get(name, {})).sum(), x, create_graph=True)
    assert np.isfinite(first.numpy()).all()
    if first.node is not None:
        assert np.isfinite(grad(first.sum(), x).numpy()).all()


@pytest.mark.parametrize("name", sorted(set(activations.functions) - {"glu", "softmax", "log_softmax", "sparsemax"}))
def test_not_a_number_stays_visible(name: str) -> None:
    y = activations.functions[name](Tensor([np.nan]), **NEEDED.get(name, {})).item()
    assert np.isnan(y)


@pytest.mark.parametrize(
    ("name", "arguments", "at", "slope"),
    [
        ("relu", {}, 0.0, 0.0), ("relu", {"max_value": 2.0}, 2.0, 0.0),
        ("relu6", {}, 0.0, 0.0), ("relu6", {}, 6.0, 0.0), ("leaky_relu", {}, 0.0, 0.2),
        ("elu", {}, 0.0, 1.0), ("selu", {}, 0.0, 1.7580993408473766),
        ("celu", {"alpha": 0.5}, 0.0, 1.0), ("hard_sigmoid", {}, -3.0, 0.0), ("hard_sigmoid", {}, 3.0, 0.0),
        ("hard_sigmoid", {}, 2.5, 1 / 6), ("hard_tanh", {}, 1.0, 0.0), ("sparse_sigmoid", {}, -1.0, 0.0),
    ],
)
def test_derivative_at_a_kink(name: str, arguments: dict[str, float], at: float, slope: float) -> None:
    x = Tensor(at, "float64", requires_grad=True)
    np.testing.assert_allclose(grad(activations.get(name)(x, **arguments), x).item(), slope, rtol=1e-12)


def test_derivative_of_abs_at_0_is_0() -> None:
    x = Tensor(0.0, requires_grad=True)
    assert grad(ops.abs(x), x).item() == 0


def test_error_of_glu() -> None:
    with pytest.raises(ValueError, match=r"glu: the length of the axis must be even\. Received: shape=\(2, 3\)"):
        activations.glu(Tensor.zeros(2, 3))


# ---------------------------------------------------------------------- names


def test_get() -> None:
    assert activations.get(None) is activations.linear
    assert activations.get("swish") is activations.silu
    assert activations.get("hard_swish") is activations.hard_silu
    assert activations.get(np.tanh) is np.tanh
    assert activations.get({"class_name": "function", "config": "relu", "module": "builtins"}) is activations.relu
    assert activations.get({"class_name": "relu"}) is activations.relu


@pytest.mark.parametrize("identifier", ["foo", "ReLu", 3, {"class_name": "foo"}, {}])
def test_get_of_what_is_no_activation(identifier: Any) -> None:
    with pytest.raises(ValueError, match="Could not interpret activation function identifier: "):
        activations.get(identifier)


@pytest.mark.parametrize("name", activations.functions)
def test_round_trip(name: str) -> None:
    function = activations.get(name)
    written = activations.serialize(function)
    assert written == {"swish": "silu", "hard_swish": "hard_silu"}.get(name, name)
    assert activations.deserialize(written) is function


def test_every_activation_of_keras_is_there_with_its_arguments() -> None:
    signatures = {
        name: [[p.name, "required" if p.default is p.empty else p.default] for p in parameters][1:]
        for name, f in activations.functions.items()
        for parameters in [inspect.signature(f).parameters.values()]
    }
    assert signatures == CONFIGS["signatures"]


@pytest.mark.parametrize(("slope", "limit", "threshold", "expected"), [  # Keras 3.15.1 on JAX
    (0.0, 0.75, 1.0, [0.0, 0.0, 0.0, 0.75, 0.75, 0.75]), (0.25, 2.0, 3.0, [-1.0, -0.75, -0.5, -0.25, 0.0, 2.0]),
    (0.0, 2.0, -1.0, [0.0, 0.0, 1.0, 2.0, 2.0, 2.0]), (0.25, None, 1.0, [-0.5, -0.25, 0.0, 2.0, 3.0, 4.0]),
    (0.0, None, -1.0, [0.0, 0.0, 1.0, 2.0, 3.0, 4.0]),
])  # fmt: skip
def test_relu_up_to_its_threshold(slope: float, limit: Any, threshold: float, expected: list[float]) -> None:
    x = np.array([-1.0, 0.0, 1.0, 2.0, 3.0, 4.0], "float32")
    assert activations.relu(Tensor(x), slope, limit, threshold).tolist() == expected


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_relu_at_a_threshold_that_is_rounded(dtype: str) -> None:
    x = np.array([0.1, 0.7], dtype)
    assert activations.relu(Tensor(x), threshold=0.1).tolist() == [0.0, float(x[1])]
    assert activations.relu(Tensor(x), threshold=0.7, max_value=0.5).tolist() == [0.0, 0.0]
