"""Global settings: what they are, what they change, what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, constraints, initializers, losses, settings


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    settings.set_floatx("float32")
    settings.set_epsilon(1e-7)
    settings.set_image_data_format("channels_last")


def test_the_defaults_are_those_of_keras() -> None:
    assert (settings.floatx(), settings.epsilon()) == ("float32", 1e-7)
    assert settings.image_data_format() == "channels_last"


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_floatx_is_the_dtype_of_numbers_weights_and_losses(dtype: str) -> None:
    settings.set_floatx(dtype)
    assert settings.floatx() == dtype
    assert Tensor([1.0]).dtype == dtype
    assert Tensor.zeros(2).dtype == dtype
    assert initializers.get("glorot_uniform")((2, 2)).dtype == dtype
    assert losses.MeanSquaredError()([[1, 2]], [[3, 4]]).dtype == dtype
    assert Tensor(np.float32([1.0])).dtype == np.float32  # an array keeps its own


def test_epsilon_keeps_quotients_finite() -> None:
    settings.set_epsilon(0.5)
    assert settings.epsilon() == 0.5
    np.testing.assert_allclose(constraints.UnitNorm()(np.array([1.0])).numpy(), [1 / 1.5])
    np.testing.assert_allclose(losses.kl_divergence(np.array([1.0]), np.array([0.1])).item(), np.log(2))


@pytest.mark.parametrize("word", ["channels_first", "Channels_First"])
def test_image_data_format_is_what_none_stands_for(word: str) -> None:
    settings.set_image_data_format(word)
    assert settings.image_data_format() == "channels_first"
    assert settings.standardize_data_format(None) == "channels_first"
    assert settings.standardize_data_format("CHANNELS_LAST") == "channels_last"


@pytest.mark.parametrize("dtype", ["int32", "float128", "foo", None, 32])
def test_a_floatx_that_is_none(dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"set_floatx: dtype must be one of .* Received: dtype="):
        settings.set_floatx(dtype)
    assert settings.floatx() == "float32"


@pytest.mark.parametrize("value", [0, -1e-7, float("nan"), float("inf"), "a", None, True])
def test_an_epsilon_that_is_none(value: Any) -> None:
    with pytest.raises(ValueError, match=r"set_epsilon: value must be a positive number\. Received: value="):
        settings.set_epsilon(value)
    assert settings.epsilon() == 1e-7


@pytest.mark.parametrize("word", ["foo", "NHWC", 1])
def test_a_data_format_that_is_none(word: Any) -> None:
    for refuse in (settings.set_image_data_format, settings.standardize_data_format):
        with pytest.raises(ValueError, match=r"The `data_format` argument must be one of \{.*Received: "):
            refuse(word)
    assert settings.image_data_format() == "channels_last"
