"""Optimizers: rules by which variables follow their gradients, and schedules of the learning rate."""

from minigrad.config import serialize
from minigrad.optimizers import schedules
from minigrad.optimizers.adafactor import Adafactor
from minigrad.optimizers.adagrad import Adadelta, Adagrad, Ftrl, RMSprop
from minigrad.optimizers.adam import Adam, Adamax, AdamW, Lamb, Nadam
from minigrad.optimizers.muon import Muon
from minigrad.optimizers.optimizer import Optimizer
from minigrad.optimizers.sgd import SGD, Lion

get = Optimizer.get
deserialize = Optimizer.deserialize

__all__ = [
    "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "Muon", "Nadam",
    "Optimizer", "RMSprop", "deserialize", "get", "schedules", "serialize",
]
