"""A model as a plain table: its layers, the shapes of their outputs, how many numbers they learn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from minigrad.variable import Variable


def summary(model: Any) -> str:
    """The table of a model, and the totals as Keras gives them."""
    shapes = _output_shapes(model)
    rows = [("Layer (type)", "Output Shape", "Param #")]
    for layer in model.layers:
        params = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
        rows.append((f"{layer.name} ({type(layer).__name__})", shapes.get(layer, "?"), params))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in rows]
    rule = "-" * (sum(widths) + 4)
    trainable, others = model.trainable_weights, model.non_trainable_weights
    kept = [] if model.optimizer is None else model.optimizer.variables
    totals = [("Total", [*model.weights, *kept]), ("Trainable", trainable), ("Non-trainable", others)]
    if kept:
        totals.append(("Optimizer", kept))
    return "\n".join([
        f'Model: "{model.name}"', rule, lines[0], rule, *lines[1:], rule,
        *(f"{name} params: {_count(variables):,} ({_size(variables)})" for name, variables in totals),
    ])  # fmt: skip


def _output_shapes(model: Any) -> dict[Any, str]:
    """The output shape of each layer that is built, by the shape that it was built for."""
    return {
        layer: _text(layer.compute_output_shape(_any_batch(layer.get_build_config()["input_shape"])))
        for layer in model.layers if layer.built and layer.get_build_config()["input_shape"] is not None
    }


def _any_batch(shape: Any) -> Any:
    if isinstance(shape, list):
        return [_any_batch(part) for part in shape]
    return (None, *shape[1:])


def _text(shape: Any) -> str:
    return str(tuple(shape)) if not isinstance(shape, list) else ", ".join(map(_text, shape))


def _count(variables: Iterable[Variable]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def _size(variables: Iterable[Variable]) -> str:
    size = float(sum(math.prod(variable.shape) * variable.dtype.itemsize for variable in variables))
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"
