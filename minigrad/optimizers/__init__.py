"""Optimizers: rules by which variables follow their gradients, and schedules of the learning rate."""

from minigrad.config import serialize
from minigrad.optimizers import schedules
from minigrad.optimizers.adagrad import RMSprop
from minigrad.optimizers.adam import Adam
from minigrad.optimizers.optimizer import Optimizer
from minigrad.optimizers.sgd import SGD

get = Optimizer.get
deserialize = Optimizer.deserialize

__all__ = ["SGD", "Adam", "Optimizer", "RMSprop", "deserialize", "get", "schedules", "serialize"]
