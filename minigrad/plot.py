"""Pictures of training: learning curves, confusion matrix, kernels, gradients. They need matplotlib, when called.

The figures are transparent, and their lines and letters of a middling lightness: they read on light pages and on dark
ones. They are not pyplot's: nothing is shown by itself or must be closed. A notebook shows the figure that a cell ends
with; elsewhere `figure.savefig("name.png")`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from minigrad.backend import array_module, asarray, describe, is_array, to_host
from minigrad.config import positive
from minigrad.layers.depthwise_conv1d import DepthwiseConvolution
from minigrad.layers.holder import Holder
from minigrad.tape import Value
from minigrad.variable import Variable

INK = "#7a7a7a"  # as far from white as from the black of dark pages: 4.3 to 1
COLORS = ("#1f7fc4", "#d55e00", "#009e73", "#c0609a", "#a07800")  # after Okabe and Ito; 3 to 1 or more on either
MAX_COUNTS = 30  # classes up to which a confusion matrix has its numbers written


def figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (4.8, 3.4)) -> tuple[Any, list[Any]]:
    """An empty figure in this module's style, and its axes, row by row; each is ``size`` inches.

    Raises:
        ImportError: matplotlib is not installed.
    """
    made = _figure_class()(figsize=(columns * size[0], rows * size[1]), layout="constrained", facecolor="none")
    return made, [_styled(axes) for axes in made.subplots(rows, columns, squeeze=False).flat]


def history(history: Any, validation_freq: int = 1) -> Any:
    """Draw learning curves: a panel for each quantity, with its validation ("val_...") in the same.

    Args:
        history: what `fit` returns, or a dict of one list of numbers per name, a number an epoch.
        validation_freq: what `fit` was given: after every so many epochs there is a number in the lists "val_...".

    Returns:
        The figure.

    Raises:
        ValueError: no epochs, lists of other lengths, or a bad ``validation_freq``.
        TypeError: something else.
    """
    curves = getattr(history, "history", history)
    if not isinstance(curves, Mapping):
        raise TypeError(
            f"plot.history: a History or a dict of lists must be given. Received: {type(history).__name__}"
        )
    count = max(map(len, curves.values()), default=0)
    epochs = [epoch + 1 for epoch in getattr(history, "epoch", range(count))]
    validated = [epoch for epoch in epochs if epoch % positive("validation_freq", validation_freq) == 0]
    steps = {name: validated if name.startswith("val_") else epochs for name in curves}
    if not count or any(len(values) != len(steps[name]) for name, values in curves.items()):
        lengths = {name: len(values) for name, values in curves.items()}
        raise ValueError(
            "plot.history: every list must have a number for each epoch (those of validation one for each "
            f"validation_freq epochs). Received: lengths={lengths}, validation_freq={validation_freq}"
        )
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    columns = min(len(names), 3)
    made, panels = figure(-(-len(names) // columns), columns)
    for axes, name in zip(panels, names, strict=False):
        shown = {}
        for key, label, color, line in ((name, "training", 0, "-"), (f"val_{name}", "validation", 1, "--")):
            if key in curves:
                marker = "o" if len(curves[key]) < 2 else None  # one point makes no line
                shown[key] = axes.plot(steps[key], curves[key], line, color=COLORS[color], marker=marker, label=label)
        words = name.replace("_", " ")
        axes.set(title=words.capitalize(), xlabel="epoch", ylabel=words)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if _spans_decades(value for key in shown for value in curves[key]):
            axes.set_yscale("log")
        axes.grid(color=INK, alpha=0.25)
        if f"val_{name}" in shown:
            axes.legend(frameon=False, labelcolor=INK)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    return made


def confusion_matrix(y_true: Any, y_pred: Any, labels: Sequence[Any] | None = None) -> Any:
    """Draw how often class i (row) was taken for class j (column): counts, colored by their share of the row.

    Args:
        y_true, y_pred: numbers of classes, (N,); of scores take ``.argmax(axis=-1)``.
        labels: the names of the classes 0, 1, ...; their numbers by default.

    Returns:
        The figure.

    Raises:
        ValueError: no samples, lengths that differ, something other than numbers of classes, too few labels.
    """
    true, predicted = _classes("y_true", y_true), _classes("y_pred", y_pred)
    if len(true) != len(predicted) or not len(true):
        raise ValueError(
            "plot.confusion_matrix: y_true and y_pred must be equally long and not empty. "
            f"Received: {len(true)} and {len(predicted)} classes"
        )
    highest = int(max(true.max(), predicted.max()))
    names = [str(label) for label in (range(highest + 1) if labels is None else labels)]
    count = len(names)
    if highest >= count:
        raise ValueError(
            f"plot.confusion_matrix: there must be a label for each class. Received: class {highest}, {count} labels"
        )
    counts = array_module(true).bincount(true * count + predicted, minlength=count * count).reshape(count, count)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1, None)
    side = max(4.2, 0.42 * count + 1.6)
    made, (axes,) = figure(size=(side + 1.2, side))
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in zip(*counts.nonzero(), strict=True) if count <= MAX_COUNTS else ():
        color = "white" if shares[i, j] > 0.71 else "black"  # either is 4.5 to 1 from its cell
        axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", color=color, fontsize=8)
    right = int((true == predicted).sum())
    axes.set(
        title=f"{right / len(true):.1%} right ({right:,} of {len(true):,})", xlabel="predicted class",
        ylabel="true class",
    )
    if count <= MAX_COUNTS or labels is not None:
        long = 0.09 * max(map(len, names)) > (side - 1.6) / count  # inches of a name, and of its cell
        axes.set_xticks(range(count), names, **({"rotation": 45, "ha": "right"} if long else {}))
        axes.set_yticks(range(count), names)
    _colorbar(made, picture, axes, "share of the true class")
    return made


def kernels(layer: Any) -> Any:
    """Draw every kernel of a layer, or of all layers of a model, as a picture of its weights.

    A depthwise kernel has a row for each channel (and multiplier) and a column for each tap; the others have a row for
    each input (tap by tap) and a column for each filter. White is 0; each picture has a scale of its own.

    Returns:
        The figure.

    Raises:
        TypeError: no layer.
        ValueError: a layer that is not built, or has no kernels.
    """
    _require_built("kernels", layer)
    found = [(part, w) for part in layer._family_tree() for w in part._own_weights() if w.ndim > 1 and w.size]
    if not found:
        raise ValueError(f"plot.kernels: the layer must have a kernel. Received: {layer!r}")
    columns = min(len(found), 3)
    made, panels = figure(-(-len(found) // columns), columns)
    for axes, (part, weight) in zip(panels, found, strict=False):
        values = weight.numpy()
        if isinstance(part, DepthwiseConvolution) and weight is part._own_weights()[0]:
            image = values.reshape(len(values), -1).T
            words = "tap, oldest first", "channel" if values.shape[2] == 1 else "channel and multiplier"
        else:
            image = values.reshape(-1, values.shape[-1])
            words = "filter", "input" if values.ndim < 3 or len(values) == 1 else "tap and input"
        sizes = abs(image[array_module(image).isfinite(image)])
        limit = (float(sizes.max()) if sizes.size else 0.0) or 1.0
        picture = axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        axes.set(title=weight.path, xlabel=words[0], ylabel=words[1])
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_locator().set_params(integer=True)
        _colorbar(made, picture, axes, "weight")
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    return made


def gradient_flow(model_or_gradients: Any) -> Any:
    """Draw how large the gradient of each weight is: root mean square and largest element, the first layer on top.

    Sizes that fall by orders of magnitude towards the first layer are a gradient that vanishes. Weights without
    gradients, and gradients of zeros or not finite, are said in words.

    Args:
        model_or_gradients: a layer or model after ``loss.backward()`` and before ``optimizer.step()``, which drops
            gradients; or gradients by name, or a list of them.

    Returns:
        The figure.

    Raises:
        TypeError: something else.
        ValueError: a layer that is not built.
        RuntimeError: no gradients.
    """
    found = _gradients(model_or_gradients)
    if all(gradient is None for _, gradient in found):
        raise RuntimeError(
            "plot.gradient_flow: there must be gradients; call loss.backward() before, and optimizer.step(), which "
            f"drops them, after. Received: {len(found)} weights without"
        )
    made, (axes,) = figure(size=(7.0, 1.3 + 0.28 * len(found)))
    seen: list[float] = []
    for i, (_, gradient) in enumerate(found):
        sizes = None if gradient is None else abs(to_host(gradient.data if isinstance(gradient, Value) else gradient))
        rms, largest = (0.0, 0.0) if sizes is None or not sizes.size else _sizes(sizes)
        if math.isfinite(rms) and rms > 0:
            first = not seen
            seen += [rms, largest]
            axes.plot([rms, largest], [i, i], color=INK, lw=1)
            axes.plot(rms, i, "o", color=COLORS[0], label="root mean square" if first else None)
            axes.plot(largest, i, "|", color=COLORS[1], ms=9, mew=2, label="largest" if first else None)
        else:
            words = "no gradient" if gradient is None else "zero" if rms == 0 else "NaN or infinity"
            axes.text(0.01, i, words, color=COLORS[1], va="center", transform=axes.get_yaxis_transform())
    axes.set_xscale("log")
    if seen:  # whole decades: at least two labels
        axes.set_xlim(10.0 ** (math.ceil(math.log10(min(seen))) - 1), 10.0 ** (math.floor(math.log10(max(seen))) + 1))
    axes.tick_params(axis="x", which="minor", labelbottom=False)
    axes.set_yticks(range(len(found)), [name for name, _ in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set(title="Gradient flow", xlabel="size of the gradient (loss per unit of weight)")
    axes.grid(color=INK, alpha=0.25)
    if seen:
        made.legend(loc="outside lower center", ncols=2, frameon=False, labelcolor=INK)
    return made


@cache
def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plot: matplotlib must be installed, for example with pip install matplotlib, or with minigrad's extra "
            f"'examples'. Received: {error}"
        ) from error

    class Picture(Figure):
        """A figure that notebooks show although pyplot does not know it."""

        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return Picture


def _styled(axes: Any) -> Any:
    """Lines and letters in `INK`, also those still to come."""
    axes.set_facecolor("none")
    axes.tick_params(which="both", colors=INK)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(INK)
    axes.spines[:].set_color(INK)
    return axes


def _colorbar(made: Any, picture: Any, axes: Any, label: str) -> None:
    bar = made.colorbar(picture, ax=axes)
    bar.outline.set_edgecolor(INK)
    bar.set_label(label)
    _styled(bar.ax)


def _spans_decades(values: Iterator[float]) -> bool:
    """Whether values are positive, and better seen on a logarithmic axis."""
    finite = [float(value) for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) > 20 * min(finite)


def _classes(name: str, value: Any) -> Any:
    """Numbers of classes as a NumPy array (N,)."""
    array = to_host(value.data if isinstance(value, Value) else asarray(value))
    if array.ndim != 1 or (array.size and (array.dtype.kind not in "iu" or array.min() < 0)):
        raise ValueError(
            f"plot.confusion_matrix: {name} must be numbers of classes, 0 or higher, of shape (N,); of scores take "
            f".argmax(axis=-1). Received: {name}={describe(array)}"
        )
    return array.astype("int64")


def _require_built(who: str, layer: Any) -> None:
    if not isinstance(layer, Holder):
        raise TypeError(f"plot.{who}: a layer or a model must be given. Received: {type(layer).__name__}")
    if not layer.built:
        raise ValueError(f"plot.{who}: the layer must be built; call it, or build(input_shape). Received: {layer!r}")


def _gradients(source: Any) -> list[tuple[str, Any]]:
    """Names and gradients of what `gradient_flow` is given."""
    if isinstance(source, (Mapping, list, tuple)):
        named = source.items() if isinstance(source, Mapping) else ((f"[{i}]", g) for i, g in enumerate(source))
        found = [(str(name), gradient) for name, gradient in named]
        for name, gradient in found:
            is_gradient = gradient is None or isinstance(gradient, Value) or is_array(gradient)
            if isinstance(gradient, Variable) or not is_gradient:  # weights in the place of their gradients
                raise TypeError(
                    "plot.gradient_flow: gradients must be Tensors, arrays or None. "
                    f"Received: {name}={type(gradient).__name__}"
                )
        return found
    _require_built("gradient_flow", source)
    return [(weight.path, weight.grad) for weight in source.trainable_weights]


def _sizes(sizes: Any) -> tuple[float, float]:
    """Root mean square and maximum, in float64: squares of small gradients are smaller still."""
    sizes = sizes.astype("float64")
    return float((sizes**2).mean() ** 0.5), float(sizes.max())
