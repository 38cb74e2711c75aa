"""minigrad: tensors with a tape, and Keras's SeparableConv1D on top, in NumPy or CuPy."""

from minigrad import functional, ops, settings
from minigrad.gradcheck import gradcheck
from minigrad.random import set_random_seed
from minigrad.tape import Op, grad, no_grad, op
from minigrad.tensor import Tensor

__all__ = ["Op", "Tensor", "functional", "grad", "gradcheck", "no_grad", "op", "ops", "set_random_seed", "settings"]
