"""Layers: functions with weights, under Keras's names."""

from minigrad.config import serialize
from minigrad.layers.activation import ELU, Activation, ActivityRegularization, LeakyReLU, PReLU, ReLU, Softmax
from minigrad.layers.conv1d import Conv1D
from minigrad.layers.dense import Dense
from minigrad.layers.depthwise_conv1d import DepthwiseConv1D
from minigrad.layers.dropout import Dropout, SpatialDropout1D
from minigrad.layers.embedding import Embedding
from minigrad.layers.input_layer import InputLayer
from minigrad.layers.input_spec import InputSpec
from minigrad.layers.layer import Layer, clear_session
from minigrad.layers.merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from minigrad.layers.normalization import BatchNormalization, LayerNormalization
from minigrad.layers.pooling import AveragePooling1D, GlobalAveragePooling1D, GlobalMaxPooling1D, MaxPooling1D
from minigrad.layers.separable_conv1d import SeparableConv1D
from minigrad.layers.shape import Cropping1D, Flatten, Permute, RepeatVector, Reshape, UpSampling1D, ZeroPadding1D

AvgPool1D, MaxPool1D = AveragePooling1D, MaxPooling1D
GlobalAvgPool1D, GlobalMaxPool1D = GlobalAveragePooling1D, GlobalMaxPooling1D
Convolution1D, SeparableConvolution1D = Conv1D, SeparableConv1D

get = Layer.get
deserialize = Layer.deserialize

__all__ = [
    "ELU", "Activation", "ActivityRegularization", "Add", "Average", "AveragePooling1D", "AvgPool1D",
    "BatchNormalization", "Concatenate", "Conv1D", "Convolution1D", "Cropping1D", "Dense", "DepthwiseConv1D",
    "Dropout", "Embedding", "Flatten", "GlobalAveragePooling1D", "GlobalAvgPool1D", "GlobalMaxPool1D",
    "GlobalMaxPooling1D", "InputLayer", "InputSpec", "Layer", "LayerNormalization", "LeakyReLU", "MaxPool1D",
    "MaxPooling1D", "Maximum", "Minimum", "Multiply", "PReLU", "Permute", "ReLU", "RepeatVector", "Reshape",
    "SeparableConv1D", "SeparableConvolution1D", "Softmax", "SpatialDropout1D", "Subtract", "UpSampling1D",
    "ZeroPadding1D", "clear_session", "deserialize", "get", "serialize",
]
