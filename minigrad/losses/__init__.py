"""Losses: functions of (y_true, y_pred) with one value per sample, and classes that weigh and reduce them."""

from minigrad.config import serialize
from minigrad.losses.loss import Loss, LossFunctionWrapper
from minigrad.losses.probabilistic import (
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from minigrad.losses.regression import MeanSquaredError, mean_squared_error

get = Loss.get
deserialize = Loss.get

__all__ = [
    "CategoricalCrossentropy", "Loss", "LossFunctionWrapper", "MeanSquaredError", "SparseCategoricalCrossentropy",
    "categorical_crossentropy", "deserialize", "get", "mean_squared_error", "serialize",
    "sparse_categorical_crossentropy",
]
