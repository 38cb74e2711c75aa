"""minigrad: tensors with a tape, and Keras's SeparableConv1D on top, in NumPy or CuPy."""

from minigrad import activations, constraints, functional, initializers, losses, ops, regularizers, settings
from minigrad.gradcheck import gradcheck
from minigrad.random import set_random_seed
from minigrad.tape import Op, grad, no_grad, op
from minigrad.tensor import Tensor

__all__ = [
    "Op", "Tensor", "activations", "constraints", "functional", "grad", "gradcheck", "initializers", "losses",
    "no_grad", "op", "ops", "regularizers", "set_random_seed", "settings",
]
