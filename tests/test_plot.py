"""Pictures: what they show, that they read on light and on dark pages, and what they refuse."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, layers, plot

pytest.importorskip("matplotlib")
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

ROOT = Path(__file__).parent.parent
PAGES = ("#ffffff", "#0d1117")


@pytest.fixture
def network() -> mg.Sequential:
    mg.set_random_seed(0)
    mg.clear_session()
    network = mg.Sequential([
        layers.SeparableConv1D(4, 3, depth_multiplier=2, activation="relu"), layers.Conv1D(5, 2),
        layers.DepthwiseConv1D(3), layers.GlobalAveragePooling1D(), layers.Dense(2),
    ])
    network.build((None, 12, 3))
    return network


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def panel(figure: Any, title: str) -> Any:
    (found,) = [axes for axes in figure.axes if axes.get_title() == title]
    return found


def contrast(color: Any, page: str) -> float:
    """The ratio of WCAG 2, from 1 to 21."""

    def luminance(rgb: Any) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted([luminance(to_rgb(color)), luminance(to_rgb(page))])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("page", PAGES)
def test_colors_read_on_light_and_dark_pages(page: str) -> None:
    assert contrast(plot.INK, page) > 4
    assert min(contrast(color, page) for color in plot.COLORS) > 3


def pictures(network: mg.Sequential) -> dict[str, Any]:
    network(Tensor.ones(2, 12, 3)).sum().backward()
    return {
        "history": plot.history({"loss": [3.0, 2.0], "val_loss": [3.5, 2.5], "accuracy": [0.5, 0.6]}),
        "confusion_matrix": plot.confusion_matrix([0, 1, 1], [0, 1, 0]),
        "kernels": plot.kernels(network),
        "gradient_flow": plot.gradient_flow(network),
    }


def test_every_letter_outside_a_cell_reads_on_either_page(network: mg.Sequential) -> None:
    for name, figure in pictures(network).items():
        assert isinstance(figure, Figure)
        figure.draw_without_rendering()
        assert figure.get_facecolor()[3] == 0, name
        cells = {text for axes in figure.axes for text in axes.texts}
        letters = [text for text in figure.findobj(Text) if text.get_text() and text not in cells]
        assert len(letters) > 10
        assert {to_rgb(text.get_color()) for text in letters} == {to_rgb(plot.INK)}, name


def test_every_panel_says_what_it_shows(network: mg.Sequential) -> None:
    for name, figure in pictures(network).items():
        for axes in figure.axes:
            if axes.get_visible():
                assert axes.get_xlabel() or axes.get_ylabel(), name
                assert axes.get_title() or axes.get_label() == "<colorbar>", name


def test_pictures_are_not_pyplots(network: mg.Sequential) -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    for figure in pictures(network).values():
        assert figure._repr_png_().startswith(b"\x89PNG")
    assert plt.get_fignums() == before


def test_matplotlib_is_imported_at_first_use() -> None:
    code = "import sys, minigrad; assert 'matplotlib' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True)


def test_without_matplotlib_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plot._figure_class.cache_clear()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"^plot: matplotlib must be installed, .* pip install matplotlib, "):
        plot.history({"loss": [1.0]})


# ---------------------------------------------------------------------- history


def test_history_has_a_panel_for_each_quantity() -> None:
    figure = plot.history({"loss": [3.0, 2.0, 1.5], "val_loss": [3.0, 2.5, 2.0], "top_k_accuracy": [0.1, 0.5, 0.4]})
    loss, accuracy = panel(figure, "Loss"), panel(figure, "Top k accuracy")
    assert [list(line.get_ydata()) for line in loss.lines] == [[3.0, 2.0, 1.5], [3.0, 2.5, 2.0]]
    assert list(loss.lines[0].get_xdata()) == [1, 2, 3]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "validation"]
    assert loss.lines[0].get_linestyle() != loss.lines[1].get_linestyle()  # told apart without colors too
    assert accuracy.get_legend() is None
    assert (loss.get_xlabel(), accuracy.get_ylabel()) == ("epoch", "top k accuracy")


def test_history_takes_what_fit_returns() -> None:
    class History:
        history = {"loss": [1.0, 0.5]}
        epoch = [4, 5]

    (axes,) = plot.history(History()).axes
    assert list(axes.lines[0].get_xdata()) == [5, 6]


def test_history_of_what_fit_did_itself() -> None:
    network = mg.Sequential([layers.Dense(1)])
    network.compile("sgd", "mse", ["mae"])
    x = np.ones((10, 3), "f")
    trained = network.fit(x, x[:, :1], epochs=5, validation_split=0.2, validation_freq=2, verbose=0)
    figure = plot.history(trained, validation_freq=2)
    assert [list(line.get_xdata()) for line in panel(figure, "Loss").lines] == [[1, 2, 3, 4, 5], [2, 4]]
    assert len(panel(figure, "Mae").lines) == 2
    with pytest.raises(ValueError, match=r"'val_mae': 2\}, validation_freq=1$"):
        plot.history(trained)


@pytest.mark.parametrize(
    ("values", "scale"),
    [([1.0, 0.01], "log"), ([1.0, 0.5], "linear"), ([1.0, 0.0], "linear"), ([math.nan] * 2, "linear")],
)
def test_history_shows_decades_as_such(values: list[float], scale: str) -> None:
    (axes,) = plot.history({"loss": values}).axes
    assert axes.get_yscale() == scale


def test_history_of_one_epoch_is_a_point() -> None:
    (axes,) = plot.history({"loss": [1.0]}).axes
    assert axes.lines[0].get_marker() == "o"


def test_history_errors() -> None:
    with pytest.raises(TypeError, match=r"^plot\.history: a History or a dict of lists must be .* Received: list$"):
        plot.history([1.0])
    for bad in ({}, {"loss": []}, {"loss": [1.0, 2.0], "val_loss": [1.0]}):
        with pytest.raises(ValueError, match=r"^plot\.history: every list must have a number for each epoch "):
            plot.history(bad)
    with pytest.raises(ValueError, match="validation_freq"):
        plot.history({"loss": [1.0]}, validation_freq=0)


# ---------------------------------------------------------------------- confusion matrix


def test_confusion_matrix_counts() -> None:
    figure = plot.confusion_matrix(Tensor([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 2, 0]), labels=["a", "b", "gamma"])
    axes = panel(figure, "66.7% right (4 of 6)")
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.5, 0.5, 0], [0, 1, 0], [1 / 3, 0, 2 / 3]])
    cells = {text.get_position()[::-1]: text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "1", (0, 1): "1", (1, 1): "1", (2, 0): "1", (2, 2): "2"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "gamma"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


def test_numbers_in_cells_read_on_their_cells() -> None:
    true = np.repeat(range(25), 100)
    predicted = [i if j < 4 * i else (i + 1) % 25 for i in range(25) for j in range(100)]  # shares of 0, 4, ... 100 %
    axes = plot.confusion_matrix(true, predicted).axes[0]
    image = axes.images[0]
    assert len(axes.texts) == 49
    for text in axes.texts:
        column, row = text.get_position()
        cell = image.cmap(image.norm(image.get_array()[row, column]))[:3]
        assert contrast(text.get_color(), cell) > 4.5  # type: ignore[arg-type]


def test_confusion_matrix_of_many_classes_writes_no_numbers() -> None:
    axes = plot.confusion_matrix(range(100), range(100)).axes[0]
    assert not axes.texts
    assert axes.images[0].get_array().shape == (100, 100)


def test_a_class_without_samples_is_empty() -> None:
    axes = plot.confusion_matrix([0, 2], [0, 2]).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array()[1], 0)


def test_confusion_matrix_errors() -> None:
    with pytest.raises(ValueError, match=r"must be equally long and not empty\. Received: 2 and 1 classes$"):
        plot.confusion_matrix([0, 1], [0])
    with pytest.raises(ValueError, match=r"must be equally long and not empty\. Received: 0 and 0 classes$"):
        plot.confusion_matrix([], [])
    with pytest.raises(ValueError, match=r"a label for each class\. Received: class 2, 2 labels$"):
        plot.confusion_matrix([0, 2], [0, 1], labels="ab")
    for bad in (np.zeros((2, 3)), np.zeros(2), [-1, 0], 3):
        with pytest.raises(ValueError, match=r"^plot\.confusion_matrix: y_pred must be numbers of classes, .*argmax"):
            plot.confusion_matrix([0, 1], bad)


# ---------------------------------------------------------------------- kernels


def test_kernels_are_shown_as_they_are(network: mg.Sequential) -> None:
    separable = network.layers[0]
    axes = panel(plot.kernels(separable), "separable_conv1d/depthwise_kernel")
    kernel = separable.depthwise_kernel.numpy()
    image = np.asarray(axes.images[0].get_array())
    assert image.shape == (6, 3)
    np.testing.assert_array_equal(image[2 * 1 + 1], kernel[:, 1, 1])  # channel 1, multiplier 1: a row of taps
    assert axes.images[0].norm.vmax == -axes.images[0].norm.vmin == abs(kernel).max()  # white is 0
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("tap, oldest first", "channel and multiplier")
    pointwise = panel(plot.kernels(separable), "separable_conv1d/pointwise_kernel")
    np.testing.assert_array_equal(pointwise.images[0].get_array(), separable.pointwise_kernel.numpy()[0])
    assert (pointwise.get_xlabel(), pointwise.get_ylabel()) == ("filter", "input")


def test_kernels_of_a_model(network: mg.Sequential) -> None:
    figure = plot.kernels(network)
    shown = {axes.get_title(): np.shape(axes.images[0].get_array()) for axes in figure.axes if axes.get_title()}
    assert shown == {
        "separable_conv1d/depthwise_kernel": (6, 3), "separable_conv1d/pointwise_kernel": (6, 4),
        "conv1d/kernel": (8, 5), "depthwise_conv1d/kernel": (5, 3), "dense/kernel": (5, 2),
    }
    assert panel(figure, "conv1d/kernel").get_ylabel() == "tap and input"
    assert panel(figure, "depthwise_conv1d/kernel").get_ylabel() == "channel"


@pytest.mark.parametrize("value", [0.0, math.nan])
def test_kernels_of_nothing_to_see(value: float) -> None:
    dense = layers.Dense(2)
    dense.build((None, 3))
    dense.kernel.assign(Tensor.full((3, 2), value))
    plot.kernels(dense).draw_without_rendering()


def test_kernels_errors() -> None:
    with pytest.raises(TypeError, match=r"^plot\.kernels: a layer or a model must be given\. Received: ndarray$"):
        plot.kernels(np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"^plot\.kernels: the layer must be built; .*<Dense name=d, built=False>$"):
        plot.kernels(layers.Dense(2, name="d"))
    dropout = layers.Dropout(0.5)
    dropout(Tensor.ones(2, 2))
    with pytest.raises(ValueError, match=r"^plot\.kernels: the layer must have a kernel\. Received: <Dropout "):
        plot.kernels(dropout)


# ---------------------------------------------------------------------- gradient flow


def test_gradient_flow_of_a_model(network: mg.Sequential) -> None:
    network(Tensor.ones(2, 12, 3)).sum().backward()
    (axes,) = plot.gradient_flow(network).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [w.path for w in network.trainable_weights]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first layer on top
    stems = {line.get_ydata()[0]: line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2}
    for i, weight in enumerate(network.trainable_weights):
        assert weight.grad is not None
        g = weight.grad.numpy().astype(float)
        np.testing.assert_allclose(stems[i], [np.sqrt((g**2).mean()), abs(g).max()])
        low, high = axes.get_xlim()
        assert low <= stems[i][0] <= stems[i][1] <= high


def test_gradient_flow_says_what_it_cannot_draw() -> None:
    gradients = {"small": np.array([1e-30], "f"), "zero": Tensor([0.0]), "none": None, "bad": np.array([1.0, math.nan])}
    (axes,) = plot.gradient_flow(gradients).axes
    assert [text.get_text() for text in axes.texts] == ["zero", "no gradient", "NaN or infinity"]
    assert axes.lines[0].get_xdata()[0] == pytest.approx(1e-30)  # its square is 0 in float32
    plot.gradient_flow([Tensor([0.0]), np.zeros(0)]).draw_without_rendering()


def test_gradient_flow_takes_what_grad_returns() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    (axes,) = plot.gradient_flow([mg.grad((x * x).sum(), x)]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["[0]"]


def test_gradient_flow_errors(network: mg.Sequential) -> None:
    with pytest.raises(RuntimeError, match=r"^plot\.gradient_flow: there must be gradients; .* 9 weights without$"):
        plot.gradient_flow(network)
    with pytest.raises(RuntimeError, match="0 weights without"):
        plot.gradient_flow({})
    with pytest.raises(TypeError, match=r"must be Tensors, arrays or None\. Received: \[0\]=Variable$"):
        plot.gradient_flow(network.weights)
    with pytest.raises(TypeError, match=r"^plot\.gradient_flow: a layer or a model must be given\. Received: int$"):
        plot.gradient_flow(3)
    with pytest.raises(ValueError, match=r"^plot\.gradient_flow: the layer must be built"):
        plot.gradient_flow(layers.Dense(2))
