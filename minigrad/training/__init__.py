"""Training: the loop around the steps, and what it is made of."""

from minigrad.training.trainer import Trainer

__all__ = ["Trainer"]
