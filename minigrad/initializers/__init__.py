"""Initializers: the first values of weights. Numbers are drawn on the host, so every device starts from the same."""

from minigrad.config import serialize
from minigrad.initializers.distributions import (
    Orthogonal,
    RandomInitializer,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    truncated_normal,
)
from minigrad.initializers.initializer import Constant, Given, Identity, Initializer, Ones, Zeros
from minigrad.initializers.stft import STFT
from minigrad.initializers.variance_scaling import (
    DepthwiseVarianceScaling,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    VarianceScaling,
    fans,
)

get = Initializer.get
deserialize = Initializer.deserialize

__all__ = [
    "STFT", "Constant", "DepthwiseVarianceScaling", "Given", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform",
    "Identity", "Initializer", "LecunNormal", "LecunUniform", "Ones", "Orthogonal", "RandomInitializer",
    "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros", "deserialize", "fans", "get",
    "serialize", "truncated_normal",
]
