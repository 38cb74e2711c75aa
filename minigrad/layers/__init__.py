"""Layers: functions with weights, under Keras's names."""

from minigrad.layers.input_spec import InputSpec
from minigrad.layers.layer import Layer, clear_session
from minigrad.layers.separable_conv1d import SeparableConv1D, SeparableConvolution1D

__all__ = ["InputSpec", "Layer", "SeparableConv1D", "SeparableConvolution1D", "clear_session"]
