"""fit, evaluate and predict: against a loop by hand, with weights, validation, iterables, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad import (
    Sequential,
    Tensor,
    clear_session,
    layers,
    losses,
    optimizers,
    set_random_seed,
)
from minigrad.data import batches

rng = np.random.default_rng(0)
X = rng.normal(size=(22, 6, 3)).astype("float32")
LABELS = rng.integers(0, 4, 22)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    clear_session()
    set_random_seed(0)


def network(**kwargs: Any) -> Sequential:
    return Sequential([
        layers.SeparableConv1D(5, 3, activation="relu", pointwise_regularizer="l2"), layers.Dropout(0.3, **kwargs),
        layers.BatchNormalization(), layers.GlobalAveragePooling1D(), layers.Dense(4),
    ])  # fmt: skip


def crossentropy() -> losses.Loss:
    return losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(**kwargs: Any) -> Sequential:
    model = network(**kwargs)
    model.compile(optimizers.Adam(0.01), crossentropy(), ["accuracy"])
    return model


def test_fit_is_the_loop() -> None:
    """Without shuffling, fit makes the same steps as a loop by hand, to the last bit."""
    model, twin = compiled(seed=1), network(seed=1)
    model.build((None, 6, 3))
    twin.build((None, 6, 3))
    twin.set_weights(model.get_weights())
    history = model.fit(X, LABELS, batch_size=8, epochs=3, shuffle=False, verbose=0)

    optimizer, loss_of = optimizers.Adam(0.01), crossentropy()
    for epoch in range(3):
        total = hits = 0.0
        for x, y in batches(X, LABELS, 8):
            scores = twin(Tensor(x), training=True)
            loss = loss_of(y, scores) + sum(twin.losses)
            loss.backward()
            optimizer.step(twin.trainable_weights)
            total += loss.item() * len(y)
            hits += int((scores.argmax(-1).numpy() == y).sum())
        assert history.history["loss"][epoch] == pytest.approx(total / 22, rel=1e-7)
        assert history.history["accuracy"][epoch] == pytest.approx(hits / 22, rel=1e-12)
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert history.epoch == [0, 1, 2]
