"""How many sunspots next year, and over the next eleven? A causal network against a line fitted to the past.

Data: yearly mean sunspot numbers, 1700 to 2008 (public domain); see examples/data/README.md. Causal SeparableConv1D
blocks, whose dilation doubles, see 17 years and forecast the next 11 of them at once. They are judged as a forecaster
would be, from a rolling origin: every forecast of the years 1920 to 2008 is made of earlier years alone, by a network
trained (a few times, and averaged) on earlier years alone. Two others do the same: persistence, which repeats the last
year, and an autoregression by least squares, iterated year by year. Its order is chosen on the years before 1920, as
was the network's size.

The autoregression wins: two centuries are little to learn from, and the cycles to come were larger than those before
(190 sunspots against 154). Ten numbers fitted by least squares carry further there than the network's 1,500.

    python examples/sunspots_forecast.py [--steps 80] [--networks 5] [--refit 5] [--seed 0] [--no-plot]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

import minigrad as mg
from minigrad import Tensor, layers, optimizers, plot

DATA = Path(__file__).parent / "data" / "sunspots.csv"
HORIZON = 11  # years: about one cycle of the sun
SHOWN = (1, 2, 3, 5, 8, 11)  # of the horizons, in the table
CHOICE, TEST = 1850, 1920  # the years from which the order is chosen, and all methods are judged
WARM_UP = 16  # the first years, of which the network sees less than it looks back

Forecast = Callable[[np.ndarray], np.ndarray]  # from all numbers up to the origin to the next HORIZON
Fit = Callable[[np.ndarray], Forecast]


def load() -> tuple[np.ndarray, np.ndarray]:
    """Years and sunspot numbers."""
    table = np.loadtxt(DATA, delimiter=",", skiprows=1)
    return table[:, 0].astype(int), table[:, 1]


# ---------------------------------------------------------------------- the network


class Block(mg.Model):
    """A causal separable convolution that looks ``dilation`` years at a time back, added to its input."""

    def __init__(self, filters: int, dilation: int) -> None:
        super().__init__()
        self.convolution = layers.SeparableConv1D(
            filters, kernel_size=3, padding="causal", dilation_rate=dilation, activation="relu"
        )
        self.dropout = layers.Dropout(0.2)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs + self.dropout(self.convolution(inputs))


def build(filters: int = 16) -> mg.Sequential:
    """From (1, L, 1) numbers to (1, L, HORIZON): at each year a forecast of the next ones."""
    return mg.Sequential([
        layers.SeparableConv1D(filters, kernel_size=3, padding="causal", depth_multiplier=filters),
        *(Block(filters, dilation) for dilation in (1, 2, 4)),
        layers.Dense(HORIZON),
    ])


def futures(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What came after each year, (L, HORIZON), and the weight of each of these targets: 0 where it is not known."""
    padded = np.append(z, np.full(HORIZON, np.nan))
    targets = np.lib.stride_tricks.sliding_window_view(padded[1:], HORIZON)
    known = ~np.isnan(targets)
    known[:WARM_UP] = False
    return np.nan_to_num(targets).astype(np.float32), (known / known.sum()).astype(np.float32)


def as_series(z: np.ndarray) -> Tensor:
    return Tensor(z[None, :, None].astype(np.float32))


def train(z: np.ndarray, steps: int, seed: int) -> mg.Sequential:
    """One network; a step of training sees the whole series."""
    mg.set_random_seed(seed)
    network = build()
    x, (targets, weights) = as_series(z), futures(z)
    optimizer = optimizers.AdamW(optimizers.schedules.CosineDecay(5e-3, decay_steps=steps), weight_decay=1e-3)
    for _ in range(steps):
        error = network(x, training=True)[0] - targets
        (error * error * weights).sum().backward()
        optimizer.step(network.trainable_weights)
    return network


def fit_networks(numbers: np.ndarray, steps: int, count: int, seed: int) -> Forecast:
    """The mean forecast of ``count`` networks, made in standardized square roots: large numbers scatter more."""
    roots = np.sqrt(numbers)
    mean, std = roots.mean(), roots.std()
    networks = [train((roots - mean) / std, steps, seed * count + i) for i in range(count)]

    def forecast(past: np.ndarray) -> np.ndarray:
        x = as_series((np.sqrt(past) - mean) / std)
        with mg.no_grad():
            outputs = [network(x).numpy()[0, -1] for network in networks]
        return squared(np.mean(outputs, axis=0) * std + mean)

    return forecast


# ---------------------------------------------------------------------- what it must beat


def fit_persistence(numbers: np.ndarray) -> Forecast:
    """Next year will be like this one."""
    return lambda past: np.full(HORIZON, past[-1])


def fit_autoregression(numbers: np.ndarray, order: int) -> Forecast:
    """The square root of a year as a linear function of those of the ``order`` years before it."""
    roots = np.sqrt(numbers)
    lags = np.lib.stride_tricks.sliding_window_view(roots[:-1], order)
    design = np.column_stack([lags, np.ones(len(lags))])
    *weights, offset = np.linalg.lstsq(design, roots[order:])[0]

    def forecast(past: np.ndarray) -> np.ndarray:
        known = list(np.sqrt(past[-order:]))
        for _ in range(HORIZON):
            known.append(np.dot(weights, known[-order:]) + offset)  # a forecast is taken for the truth
        return squared(np.array(known[-HORIZON:]))

    return forecast


def squared(roots: np.ndarray) -> np.ndarray:
    """Sunspot numbers of their square roots, of which a forecast may be negative."""
    return np.maximum(roots, 0) ** 2


# ---------------------------------------------------------------------- who is right


def roll(fit: Fit, numbers: np.ndarray, origins: range, refit: int, title: str = "") -> np.ndarray:
    """Forecasts (origins, HORIZON): row i is made of ``numbers[:origins[i]]``, by a fit at most ``refit`` years old."""
    forecasts = []
    for origin in tqdm(origins, desc=title, unit="year", disable=not title):
        if (origin - origins.start) % refit == 0:
            forecast = fit(numbers[:origin])
        forecasts.append(forecast(numbers[:origin]))
    return np.array(forecasts)


def errors(forecasts: np.ndarray, numbers: np.ndarray, origins: range) -> np.ndarray:
    """Forecast minus truth, (origins, HORIZON); NaN for years after the last one of ``origins``."""
    truth = np.append(numbers[: origins.stop], np.full(HORIZON, np.nan))
    return forecasts - np.stack([truth[origin : origin + HORIZON] for origin in origins])


def rmse(error: np.ndarray) -> np.ndarray:
    """The root mean square error at each horizon."""
    return np.sqrt(np.nanmean(error**2, axis=0))


def choose_order(numbers: np.ndarray, origins: range, refit: int) -> int:
    """The order with the smallest mean error over all horizons, on years before the test."""

    def score(order: int) -> float:
        forecasts = roll(lambda known: fit_autoregression(known, order), numbers, origins, refit)
        return float(rmse(errors(forecasts, numbers, origins)).mean())

    return min(range(1, 23), key=score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=80, help="training steps of a network")
    parser.add_argument("--networks", type=int, default=5, help="networks whose forecasts are averaged")
    parser.add_argument("--refit", type=int, default=5, help="years after which all methods are fitted again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-plot", action="store_true", help="save no picture")
    options = parser.parse_args()
    for name in ("steps", "networks", "refit"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be a positive integer. Received: {getattr(options, name)}")

    start = time.perf_counter()
    years, numbers = load()
    first = int(years[0])
    order = choose_order(numbers, range(CHOICE - first, TEST - first), options.refit)
    methods: dict[str, Fit] = {
        "persistence": fit_persistence,
        f"autoregression({order})": lambda known: fit_autoregression(known, order),
        "network": lambda known: fit_networks(known, options.steps, options.networks, options.seed),
    }
    origins = range(TEST - first, len(numbers))
    rolled = {
        name: roll(fit, numbers, origins, options.refit, "network" if name == "network" else "")
        for name, fit in methods.items()
    }
    missed = {name: errors(forecasts, numbers, origins) for name, forecasts in rolled.items()}
    report(missed, years[origins.start], years[-1])
    print(f"{options.networks} networks fitted every {options.refit} years, {time.perf_counter() - start:.1f} s")
    if not options.no_plot:
        ahead = {name: fit(numbers)(numbers) for name, fit in methods.items() if name != "persistence"}
        draw(Path("sunspots_forecast.png"), years, numbers, origins, rolled, missed, ahead)


def report(missed: dict[str, np.ndarray], first: int, last: int) -> None:
    """The table, and who wins."""
    print(f"root mean square error of the forecasts for {first} to {last}, in sunspots\n")
    print(f"{'years ahead':20}" + "".join(f"{horizon:8}" for horizon in SHOWN))
    for name, error in missed.items():
        print(f"{name:20}" + "".join(f"{rmse(error)[horizon - 1]:8.1f}" for horizon in SHOWN))
    *_, rival, network = missed
    size, other = abs(missed[network]), abs(missed[rival])
    nearer = np.nanmean(np.where(np.isnan(size), np.nan, size < other), axis=0)
    print(f"{'network is nearer':20}" + "".join(f"{nearer[horizon - 1]:8.0%}" for horizon in SHOWN))
    better = rmse(size) < rmse(other)
    won = [str(horizon) for horizon in SHOWN if better[horizon - 1]]
    verdict = f"at {', '.join(won)} years ahead, of {', '.join(map(str, SHOWN))}" if won else "at no horizon shown"
    print(f"\nthe network beats {rival} {verdict}")


def draw(
    path: Path, years: np.ndarray, numbers: np.ndarray, origins: range, rolled: dict[str, np.ndarray],
    missed: dict[str, np.ndarray], ahead: dict[str, np.ndarray],
) -> None:
    """One year ahead, one cycle ahead, and the error of each horizon."""
    figure, (near, far, error) = plot.figure(3, 1, size=(9, 2.9))
    colors = dict(zip(missed, (plot.COLORS[2], plot.COLORS[1], plot.COLORS[0]), strict=True))
    styles = dict(zip(missed, (":", "--", "-"), strict=True))
    tested = slice(origins.start, origins.stop)
    for axes in (near, far):
        axes.plot(years[tested], numbers[tested], color=plot.INK, lw=1.2, marker=".", ms=5, label="observed")
        axes.set(xlabel="year", ylabel="sunspot number", ylim=(0, 250))
    near.plot(years[tested], rolled["network"][:, 0], color=colors["network"], label="network")
    near.set_title("One year ahead")
    last = int(years[-1])
    starts = range(0, len(origins) - HORIZON + 1, HORIZON)
    for name in list(missed)[1:]:
        for i in starts:
            span = np.arange(HORIZON) + years[origins[i]]
            far.plot(span, rolled[name][i], styles[name], color=colors[name], label=name if i == 0 else None)
        far.plot(last + 1 + np.arange(HORIZON), ahead[name], styles[name], color=colors[name])
    for i in starts:
        far.axvline(years[origins[i]] - 0.5, color=plot.INK, lw=0.6, alpha=0.5)
    far.axvspan(last + 0.5, last + HORIZON + 0.5, color=plot.INK, alpha=0.12, lw=0)
    far.set_title(f"Eleven years ahead, from each vertical line; gray: after the last observation, {last}")
    for name, values in missed.items():
        error.plot(range(1, HORIZON + 1), rmse(values), styles[name], color=colors[name], marker="o", ms=4, label=name)
    error.set(
        title=f"Error by horizon, {years[origins.start]} to {last}", xlabel="years ahead",
        ylabel="RMSE (sunspots)", xticks=range(1, HORIZON + 1), ylim=(0, None),
    )
    for axes in (near, far, error):
        axes.grid(color=plot.INK, alpha=0.2)
        axes.legend(frameon=False, labelcolor=plot.INK, ncols=3, loc="upper left" if axes is not error else "best")
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
