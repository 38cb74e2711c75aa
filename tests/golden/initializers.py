"""Make initializers.npz: the distributions, statistics and fans of Keras 3, and the values of what draws nothing.

    KERAS_BACKEND=jax JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 python -m tests.golden.initializers

in an environment with keras and jax (the committed numbers: Keras 3.15.1, JAX 0.10.2, NumPy 2.4.6, on a CPU; the
archive records it). The generators of Keras and minigrad differ, so random numbers are compared by what they are drawn
from. ``cases`` is a JSON list, each entry with ``name``, ``config``, ``shape`` and

* ``drawn``: the function of `keras.random` that was called and its numbers (limits; mean and standard deviation);
* ``mean``, ``std``, ``largest``: of what 50 seeds gave, the last being the largest size.

``fans`` lists shapes and Keras's fans, ``signatures`` every initializer with its arguments, and ``exact`` what draws
nothing: name, config, shape, values in the array ``exact_I``.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
from keras.src.initializers import ALL_OBJECTS_DICT, random_initializers

SHAPES = [(3, 8, 2), (1, 24, 32), (40, 6), (64,), (3, 3, 4, 5)]
RANDOM: list[tuple[str, dict[str, Any]]] = [
    ("RandomNormal", {}), ("RandomNormal", {"mean": 1.0, "stddev": 0.5}), ("RandomUniform", {}),
    ("RandomUniform", {"minval": -1.0, "maxval": 0.5}), ("TruncatedNormal", {}),
    ("TruncatedNormal", {"mean": 1.0, "stddev": 0.5}),
    *[(f"{who}{how}", {}) for who in ("Glorot", "He", "Lecun") for how in ("Uniform", "Normal")],
    *[
        ("VarianceScaling", {"scale": 0.7, "mode": mode, "distribution": distribution})
        for mode in ("fan_in", "fan_out", "fan_avg")
        for distribution in ("normal", "truncated_normal", "untruncated_normal", "uniform")
    ],
]
WITH_AXES: list[tuple[str, dict[str, Any]]] = [
    ("VarianceScaling", {"mode": mode, "distribution": "uniform", "input_axes": [0], "output_axes": [0, 2]})
    for mode in ("fan_in", "fan_out", "fan_avg")
] + [("HeNormal", {"input_axes": [1], "output_axes": [0, 2]})]
EXACT: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("Zeros", {}, (2, 3)), ("Ones", {}, (2, 3)), ("Constant", {}, (2,)), ("Constant", {"value": 2.5}, (2, 3)),
    ("Identity", {}, (3, 3)), ("Identity", {"gain": 2.0}, (2, 4)), ("Identity", {}, (4, 2)),
    *[
        ("STFT", {"side": side, "window": window, "scaling": scaling, "periodic": periodic}, (8, 1, 5))
        for side in ("real", "imag")
        for window in ("hann", "hamming", "blackman", None)
        for scaling in ("density", "spectrum", None)
        for periodic in (False, True)
    ],
    ("STFT", {}, (1, 1, 3)), ("STFT", {"window": [0.5, 1.0, 0.25]}, (3, 1, 4)),
]
FANS = [(), (7,), (3, 4), (3, 8, 2), (1, 24, 32), (3, 3, 4, 5), (2, 3, 4, 5, 6), (0, 3)]


def case(name: str, config: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """What Keras draws from, and what came of 50 seeds."""
    cls = getattr(keras.initializers, name)
    drawn: list[Any] = []

    def recorder(function: str, numbers: tuple[str, str]) -> Any:
        return lambda shape, seed=None, dtype=None, **given: drawn.append([function, *(given[n] for n in numbers)])

    with mock.patch.multiple(
        random_initializers.random,
        uniform=recorder("uniform", ("minval", "maxval")),
        normal=recorder("normal", ("mean", "stddev")),
        truncated_normal=recorder("truncated_normal", ("mean", "stddev")),
    ):
        cls(**config, seed=0)(shape)
    values = np.stack([np.asarray(cls(**config, seed=seed)(shape, "float64")) for seed in range(50)])
    return {
        "name": name, "config": config, "shape": shape, "drawn": drawn[0], "mean": values.mean(), "std": values.std(),
        "largest": abs(values - drawn[0][1] * (drawn[0][0] != "uniform")).max(),
    }


def main() -> None:
    """Compute everything and write the archive."""
    cases = [case(name, config, shape) for name, config in RANDOM for shape in SHAPES]
    cases += [case(name, config, (3, 8, 2)) for name, config in WITH_AXES]
    exact = {
        f"exact_{i}": np.asarray(getattr(keras.initializers, name)(**config)(shape, "float64"))
        for i, (name, config, shape) in enumerate(EXACT)
    }
    signatures = {
        name: [(p.name, p.default) for p in list(inspect.signature(cls).parameters.values())]
        for name, cls in ALL_OBJECTS_DICT.items()
        if name == cls.__name__
    }
    fans = [(shape, random_initializers.compute_fans(shape)) for shape in FANS]
    versions = {"keras": keras.__version__, "backend": keras.backend.backend(), "numpy": np.__version__}
    path = Path(__file__).with_suffix(".npz")
    described = {
        "cases": cases, "exact": EXACT, "signatures": signatures, "names": sorted(ALL_OBJECTS_DICT), "fans": fans,
        "versions": versions,
    }
    np.savez_compressed(path, **exact, **{name: np.array(json.dumps(value)) for name, value in described.items()})
    print(f"{path}: {len(cases)} + {len(exact)} cases, {path.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
