"""The ops: documented functions of arrays, each with one explicit backward rule per argument beneath it."""

from minigrad.ops.arithmetic import (
    add,
    divide,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    power_base_grad,
    power_exponent_grad,
    subtract,
)
from minigrad.ops.comparison import equal, greater, greater_equal, less, less_equal, not_equal, where
from minigrad.ops.convolution import conv1d, fold, unfold
from minigrad.ops.depthwise import depthwise_conv1d, depthwise_conv1d_input_grad, depthwise_conv1d_kernel_grad
from minigrad.ops.elementwise import abs, astype, clip, erf, exp, expm1, log, relu, sigmoid, sign, softplus, sqrt, tanh
from minigrad.ops.linalg import linear, linear_kernel_grad, matmul
from minigrad.ops.movement import broadcast_to, concatenate, getitem, pad, reshape, scatter, stack, transpose
from minigrad.ops.pooling import max_pool1d, max_pool1d_gather, max_pool1d_scatter
from minigrad.ops.reduction import argmax, argmin, log_softmax, logsumexp, max, mean, min, softmax, sparsemax, sum
from minigrad.ops.standardization import standardize, standardize_grad

__all__ = [
    "abs", "add", "argmax", "argmin", "astype", "broadcast_to", "clip", "concatenate", "conv1d", "depthwise_conv1d",
    "depthwise_conv1d_input_grad", "depthwise_conv1d_kernel_grad", "divide", "equal", "erf", "exp", "expm1", "fold",
    "getitem", "greater", "greater_equal", "less", "less_equal", "linear", "linear_kernel_grad", "log", "log_softmax",
    "logsumexp", "matmul", "max", "max_pool1d", "max_pool1d_gather", "max_pool1d_scatter", "maximum", "mean", "min",
    "minimum", "multiply", "negative", "not_equal", "pad", "power", "power_base_grad", "power_exponent_grad", "relu",
    "reshape", "scatter", "sigmoid", "sign", "softmax", "softplus", "sparsemax", "sqrt", "stack", "standardize",
    "standardize_grad", "subtract", "sum", "tanh", "transpose", "unfold", "where",
]
