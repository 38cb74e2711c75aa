"""Models: layers that are made of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from minigrad.config import serialize
from minigrad.layers.input_layer import InputLayer
from minigrad.layers.input_spec import InputSpec
from minigrad.layers.layer import Layer
from minigrad.training.trainer import Trainer


class Model(Trainer, Layer):
    """A layer made of layers: assign them as attributes in ``__init__``, call them in ``call``.

    It learns from data with `compile` and `fit`, and is asked with `evaluate` and `predict`.

    >>> from minigrad import Tensor
    >>> from minigrad.layers import Dense
    >>> class Residual(Model):
    ...     def __init__(self, units, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.units = units
    ...         self.dense = Dense(units, "relu")
    ...     def call(self, inputs):
    ...         return inputs + self.dense(inputs)
    >>> Residual(3)(Tensor.ones(2, 3)).shape
    (2, 3)
    """

    _module = "keras"
    autocast = False  # each layer within has a dtype of its own

    @property
    def layers(self) -> list[Any]:
        """The layers assigned as attributes, in that order."""
        return self._children()

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """A layer by its name or its index.

        Raises:
            ValueError: there is none, or not just one of the two was given.
        """
        layers = self.layers
        if (name is None) == (index is None):
            raise ValueError(f"get_layer: a name or an index must be given. Received: name={name!r}, index={index!r}")
        if index is not None and not -len(layers) <= index < len(layers):
            raise ValueError(f"get_layer: index must be below the number of layers, {len(layers)}. Received: {index}")
        for layer in layers if index is None else [layers[index]]:
            if name in (None, layer.name):
                return layer
        raise ValueError(f"No such layer: {name}. Existing layers are: {[layer.name for layer in layers]}.")


class Sequential(Model):
    """Layers one after the other. It is built at the first call, or as it grows when it starts with an InputLayer.

    Raises:
        ValueError: something that is no layer; two layers of one name; a call or `build` without layers.

    >>> from minigrad.layers import Dense, InputLayer
    >>> model = Sequential([InputLayer((4,)), Dense(8, "relu"), Dense(2)])
    >>> model.count_params()
    58
    >>> model.compute_output_shape((None, 4))
    (None, 2)
    """

    _built_by_call = True
    _last_mask: Any = None

    def __init__(
        self, layers: Sequence[Any] | None = None, trainable: bool = True, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(trainable=trainable, name=name, **kwargs)
        self.input_layer: InputLayer | None = None
        self._layers: list[Any] = []
        for layer in layers or ():
            self.add(Layer.deserialize(layer) if isinstance(layer, Mapping) else layer)

    @property
    def layers(self) -> list[Any]:
        """The layers in their order, without the InputLayer."""
        return list(self._layers)

    def add(self, layer: Any) -> None:
        """Put a layer at the end.

        Raises:
            ValueError: no layer, a name that another layer has, an InputLayer that is not first, or a layer that
                does not fit.
        """
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Only instances of `Layer` can be added to a Sequential model. Received: {layer} "
                f"(of type {type(layer)})"
            )
        if any(layer.name == other.name and layer is not other for other in self._children()):
            raise ValueError(
                f"All layers added to a Sequential model should have unique names. Name '{layer.name}' is already the "
                "name of a layer in this model. Update the `name` argument to pass a unique name."
            )
        if not isinstance(layer, InputLayer):
            self._hold([*self._layers, layer])
        elif self._children():
            raise ValueError(
                f"Sequential model '{self.name}' must have one InputLayer, before other layers. Received: {layer!r} "
                f"after {self._children()[-1]!r}"
            )
        else:
            self.input_layer = layer
            known = {i: n for i, n in enumerate(layer.batch_shape or ()) if i and n is not None}  # any batch, as Keras
            self.input_spec = InputSpec(ndim=len(layer.batch_shape or ()), axes=known)

    def pop(self) -> Any:
        """Take the last layer away.

        Raises:
            ValueError: there is none.
        """
        self._require_layers()
        last = self._layers[-1]
        self._hold(self._layers[:-1])
        return last

    def _hold(self, layers: list[Any]) -> None:
        """Take these layers, and build them when the input shape is known."""
        with self._unchanged():
            self._layers, self.built = layers, False
            if self.input_layer is not None and layers:
                self.build(self.input_layer.batch_shape)

    def _require_layers(self) -> None:
        if not self._layers:
            raise ValueError(
                f"Sequential model {self.name} cannot be built because it has no layers. Call `model.add(layer)`."
            )

    def build(self, input_shape: Any) -> None:
        self._require_layers()
        if self.input_spec is not None:
            self.input_spec.check(input_shape, f"Sequential model '{self.name}'")
        for layer in self._layers:
            if not layer.built:
                layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        self._require_layers()
        for layer in self._layers:
            outputs = layer(inputs, mask=mask) if mask is not None and layer._takes_mask else layer(inputs)
            mask, inputs = layer.compute_mask(inputs, mask), outputs
        self._last_mask = mask
        return inputs

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self._last_mask  # of the call just done

    def compute_output_shape(self, input_shape: Any) -> Any:
        self._require_layers()
        for layer in self._layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"name": self.name, "trainable": self.trainable, "dtype": self._policy}
        built = {"build_input_shape": self._build_shape} if self.built else {}
        return own | {"layers": [serialize(layer) for layer in self._children()]} | built

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        model = cls(**{name: value for name, value in config.items() if name != "build_input_shape"})
        model.build_from_config({"input_shape": config.get("build_input_shape")})
        return model
