"""Layers: functions with weights, under Keras's names."""

from minigrad.layers.activation import Activation
from minigrad.layers.dense import Dense
from minigrad.layers.dropout import Dropout, SpatialDropout1D
from minigrad.layers.input_layer import InputLayer
from minigrad.layers.input_spec import InputSpec
from minigrad.layers.layer import Layer, clear_session
from minigrad.layers.pooling import GlobalAveragePooling1D, MaxPooling1D
from minigrad.layers.separable_conv1d import SeparableConv1D, SeparableConvolution1D
from minigrad.layers.shape import Flatten

__all__ = [
    "Activation", "Dense", "Dropout", "Flatten", "GlobalAveragePooling1D", "InputLayer", "InputSpec", "Layer",
    "MaxPooling1D", "SeparableConv1D", "SeparableConvolution1D", "SpatialDropout1D", "clear_session",
]
