"""Embedding: a vector, learned, for each of so many words."""

from __future__ import annotations

from typing import Any

from minigrad import ops
from minigrad.backend import array_module, device_of
from minigrad.config import argument, as_integer, boolean
from minigrad.layers.arguments import constraint, initializer, regularizer
from minigrad.layers.layer import Layer, Shape
from minigrad.tensor import Tensor
from minigrad.variable import Variable


def _positive(name: str, value: Any) -> int:
    number = as_integer(value)
    if number is None or number < 1:
        raise ValueError(
            f"`{name}` must be a positive integer. Received: {name}={value!r} (of type {type(value).__name__})."
        )
    return number


class Embedding(Layer):
    """y[..., d] = embeddings[x[...], d], for integers x; floats are rounded towards 0.

    Weights: ``embeddings`` (input_dim, output_dim). A row that is asked for twice gets the sum of both gradients.

    Args:
        input_dim: how many words there are.
        output_dim: how long a vector is.
        mask_zero: whether the word 0 stands for padding, see `compute_mask`.

    Raises:
        ValueError: a bad argument; a word outside 0 .. input_dim - 1 (on a GPU, its vector is nan instead).

    >>> layer = Embedding(10, 4)
    >>> layer(Tensor([[1, 2, 1]])).shape
    (1, 3, 4)
    """

    input_dim: int = argument(_positive)
    output_dim: int = argument(_positive)
    embeddings_initializer: Any = initializer("uniform")
    embeddings_regularizer: Any = regularizer()
    embeddings_constraint: Any = constraint()
    mask_zero: bool = argument(boolean, False)

    _foreign = {"lora_rank": None, "lora_alpha": None, "quantization_config": None, "input_length": ...}
    autocast = False
    supports_masking = True
    embeddings: Variable

    def build(self, input_shape: Shape) -> None:
        self.embeddings = self.declared_weight("embeddings", (self.input_dim, self.output_dim))

    def call(self, inputs: Tensor) -> Tensor:
        words = inputs.data if inputs.dtype.kind in "iu" else inputs.data.astype("int32")
        if device_of(words) != "cpu":  # asking would wait for it
            there = (words >= 0) & (words < self.input_dim)
            vectors = self.embeddings[array_module(words).where(there, words, 0)]
            return self.cast(ops.where(Tensor._output(there[..., None], None), vectors, float("nan")))
        if words.size and not 0 <= words.min() <= words.max() < self.input_dim:
            raise ValueError(
                f"{self.name}: words must be in 0 .. {self.input_dim - 1}. "
                f"Received: from {words.min()} to {words.max()}"
            )
        return self.cast(self.embeddings[words])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Where the words are not padding, when there is ``mask_zero``."""
        return self._converted(inputs) != 0 if self.mask_zero else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.output_dim)
