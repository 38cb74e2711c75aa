"""Lines for every layer: its arguments and the shapes of its inputs, as plain data.

`golden/layers.py` has Keras compute them; `test_layers.py` and `test_layers_golden.py` make everything else of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Sample(NamedTuple):
    """One layer and one call of it."""

    layer: str
    arguments: dict[str, Any]
    shapes: tuple[tuple[int, ...], ...]
    inputs: str = "normal"  # or "tied", whole numbers that tie often, or "words", integers below 5
    training: bool = False

    def __str__(self) -> str:
        arguments = ",".join(f"{k}={v}" for k, v in self.arguments.items() if not k.endswith(("zer", "aint")))
        shapes = ",".join("x".join(map(str, shape)) for shape in self.shapes)
        return "-".join([self.layer, arguments, shapes, self.inputs, *["training"] * self.training])

    def open_shapes(self) -> Any:
        """What `compute_output_shape` takes, the batch, and the time of inputs with 3 axes, not known."""
        time = 2 if self.arguments.get("data_format") == "channels_first" else 1
        shapes = [
            tuple(None if i == 0 or (i == time and len(shape) == 3) else n for i, n in enumerate(shape))
            for shape in self.shapes
        ]
        return shapes if len(shapes) > 1 else shapes[0]


SAMPLES: list[Sample] = []


def sample(
    layer: str, *shapes: tuple[int, ...], inputs: str = "normal", training: bool = False, **arguments: Any
) -> None:
    SAMPLES.append(Sample(layer, arguments, shapes, inputs, training))


KERNEL = {
    "kernel_regularizer": "l2", "kernel_constraint": {"class_name": "MaxNorm", "config": {"max_value": 0.5, "axis": 0}},
    "bias_constraint": "non_neg", "bias_regularizer": {"class_name": "L1", "config": {"l1": 0.25}},
}
DEPTHWISE = {
    "depthwise_regularizer": {"class_name": "L1", "config": {"l1": 0.5}},
    "depthwise_constraint": {"class_name": "UnitNorm", "config": {"axis": [0, 1]}},
}
FORMATS = ("channels_last", "channels_first")

sample("Dense", (4, 3), units=5)
sample("Dense", (2, 3, 4), units=3, activation="sigmoid", **KERNEL)
sample("Dense", (2, 2, 3, 4), units=1, use_bias=False, activity_regularizer="l2")

for data_format in FORMATS:
    x = (2, 9, 4) if data_format == "channels_last" else (2, 4, 9)
    for padding in ("valid", "same", "causal"):
        for strides, dilation_rate in ((1, 1), (2, 1), (1, 2), (3, 1)):
            sample(
                "Conv1D", x, filters=3, kernel_size=3, strides=strides, dilation_rate=dilation_rate, padding=padding,
                data_format=data_format,
            )
    sample("Conv1D", x, filters=6, kernel_size=2, groups=2, padding="same", data_format=data_format, activation="relu")
    sample("Conv1D", x, filters=4, kernel_size=1, groups=4, data_format=data_format, use_bias=False)
    sample("Conv1D", x, filters=2, kernel_size=12, padding="same", data_format=data_format, **KERNEL)
    sample("Conv1D", x, filters=2, kernel_size=2, activation="softmax", activity_regularizer="l1",
           data_format=data_format)
    for padding in ("valid", "same"):
        for strides, dilation_rate, depth_multiplier in ((1, 1, 1), (2, 1, 2), (1, 3, 1), (3, 1, 3)):
            sample(
                "DepthwiseConv1D", x, kernel_size=3, strides=strides, dilation_rate=dilation_rate, padding=padding,
                depth_multiplier=depth_multiplier, data_format=data_format,
            )
    sample(
        "DepthwiseConv1D", x, kernel_size=4, activation="sigmoid", use_bias=False, data_format=data_format, **DEPTHWISE
    )
    sample(
        "SeparableConv1D", x, filters=3, kernel_size=3, padding="same", depth_multiplier=2, activation="sigmoid",
        pointwise_regularizer="l2", bias_constraint="non_neg", activity_regularizer="l1", data_format=data_format,
        pointwise_constraint={"class_name": "MinMaxNorm", "config": {"axis": 1, "max_value": 0.5}}, **DEPTHWISE,
    )
    for name in ("MaxPooling1D", "AveragePooling1D"):
        for padding in ("valid", "same"):
            for pool_size, strides in ((2, None), (3, 1), (4, 3), (2, 3)):
                sample(name, x, pool_size=pool_size, strides=strides, padding=padding, data_format=data_format)
    sample("MaxPooling1D", x, inputs="tied", pool_size=3, strides=2, padding="same", data_format=data_format)
    for name in ("GlobalMaxPooling1D", "GlobalAveragePooling1D"):
        sample(name, x, data_format=data_format)
        sample(name, x, data_format=data_format, keepdims=True, inputs="tied")
    sample("Flatten", x, data_format=data_format)
    sample("ZeroPadding1D", x, padding=(2, 1), data_format=data_format)

sample("BatchNormalization", (4, 5, 3))
sample("BatchNormalization", (4, 5, 3), training=True)
sample("BatchNormalization", (4, 3, 5), axis=1, momentum=0.5, epsilon=0.1, scale=False, training=True)
sample("BatchNormalization", (6, 3), center=False, gamma_regularizer="l2", gamma_constraint="non_neg", training=True)
sample("BatchNormalization", (6, 3), trainable=False, training=True)
sample("LayerNormalization", (4, 5, 3))
sample("LayerNormalization", (4, 5, 3), axis=1, epsilon=0.1, beta_constraint="non_neg", beta_regularizer="l1")
sample("LayerNormalization", (4, 5, 3), axis=[2, 1], center=False)
sample("LayerNormalization", (4, 3), scale=False)

sample("Dropout", (3, 4), rate=0.5)
sample("Dropout", (3, 4), rate=0.0, training=True)
sample("SpatialDropout1D", (3, 4, 2), rate=0.5)
sample("ActivityRegularization", (3, 4), l1=0.5, l2=0.25)

sample("Activation", (3, 4), activation="sigmoid")
sample("ReLU", (3, 4))
sample("ReLU", (3, 8), max_value=1.0, negative_slope=0.5, threshold=0.25)
sample("LeakyReLU", (3, 4))
sample("ELU", (3, 4), alpha=0.5)
sample("PReLU", (3, 4, 2), alpha_regularizer="l2", alpha_constraint="non_neg")
sample("PReLU", (3, 4, 2), shared_axes=[1])
sample("Softmax", (3, 4))
sample("Softmax", (3, 4, 2), axis=1)
sample("Softmax", (3, 4, 2), axis=[1, 2])

sample("Flatten", (3,))
sample("Flatten", (3, 2, 2, 2))
sample("Reshape", (3, 2, 6), target_shape=(4, -1))
sample("Reshape", (3, 2, 6), target_shape=(12,))
sample("Permute", (3, 2, 4, 5), dims=(3, 1, 2))
sample("RepeatVector", (3, 4), n=3)
sample("UpSampling1D", (3, 4, 2), size=3)
sample("Cropping1D", (3, 6, 2), cropping=(1, 2))
sample("Cropping1D", (3, 6, 2), cropping=(2, 0))
sample("ZeroPadding1D", (3, 6, 2))

sample("Embedding", (3, 4), input_dim=5, output_dim=2, inputs="words", embeddings_constraint="unit_norm")
sample("Embedding", (3,), input_dim=7, output_dim=3, inputs="words", embeddings_regularizer="l2")

for name in ("Add", "Multiply", "Average", "Maximum", "Minimum"):
    sample(name, (2, 3, 4), (2, 3, 4), (2, 3, 4))
    sample(name, (2, 3, 4), (2, 4))
    sample(name, (2, 1, 4), (2, 3, 1))
for name in ("Maximum", "Minimum"):
    sample(name, (4, 8), (4, 8), inputs="tied")
sample("Subtract", (2, 3, 4), (2, 3, 4))
sample("Subtract", (2, 4), (2, 3, 4))
sample("Concatenate", (2, 3, 4), (2, 3, 1))
sample("Concatenate", (2, 3, 4), (2, 1, 4), (2, 2, 4), axis=1)
