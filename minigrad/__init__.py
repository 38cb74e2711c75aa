"""minigrad: tensors with a tape, and Keras's SeparableConv1D on top, in NumPy or CuPy."""

from minigrad import (
    activations,
    callbacks,
    constraints,
    cuda,
    data,
    functional,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    plot,
    regularizers,
    settings,
)
from minigrad.anomaly import detect_anomaly
from minigrad.draw import draw
from minigrad.gradcheck import gradcheck
from minigrad.kernels.memory import keep_freed_memory
from minigrad.kernels.parallel import get_num_threads, set_num_threads
from minigrad.layers import Layer, clear_session
from minigrad.models import Model, Sequential
from minigrad.ops.op import Op, op
from minigrad.random import set_random_seed
from minigrad.tape import grad, no_grad
from minigrad.tensor import Tensor

__all__ = [
    "Layer", "Model", "Op", "Sequential", "Tensor", "activations", "callbacks", "clear_session", "constraints", "cuda",
    "data", "detect_anomaly", "draw", "functional", "get_num_threads", "grad", "gradcheck", "initializers", "layers",
    "losses", "metrics", "models", "no_grad", "op", "ops", "optimizers", "plot", "regularizers", "set_num_threads",
    "set_random_seed", "settings",
]

keep_freed_memory()
