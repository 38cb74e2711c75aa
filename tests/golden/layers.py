"""Make layers.npz: what Keras 3 computes for every line of tests/layer_samples.py.

    KERAS_BACKEND=jax JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 python -m tests.golden.layers

in an environment with keras and jax; the archive records the versions. All is computed in float64, from numbers that
float32 holds exactly, so that both precisions can be compared with it. (JAX because, of the three backends, only it
computes all lines in float64 and both data formats; but Keras's tanh is float32 even there, so no line has it.)

The archive holds:

* ``samples``: a JSON list. Each entry gives ``sample``, the line; ``config``, Keras's serialization of the layer;
  ``output_shape``, what Keras computes for a batch (and a time) of unknown length; and
  ``shapes``, the names and shapes of the arrays: the inputs ``x0, x1, ...``, the weights, ``cotangent``, the output
  ``y``, ``..._grad``, the gradients of sum(cotangent * y), ``losses``, and ``..._after``, each weight after the call
  and one step of SGD with learning rate 0.5, constraints included.
* ``numbers``: all these arrays, one after the other.
* ``versions``: a JSON object.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np

from tests.layer_samples import SAMPLES, Sample

keras.config.set_floatx("float64")


def numbers(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Inputs that float32 holds exactly."""
    if kind == "words":
        return rng.integers(0, 5, shape)
    if kind == "tied":
        return rng.integers(-2, 3, shape).astype(float)
    return rng.standard_normal(shape).astype(np.float32).astype(float)


def computed(sample: Sample, rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Keras's layer as a description, and all arrays."""
    xs = [numbers(rng, sample.inputs, shape) for shape in sample.shapes]
    layer = getattr(keras.layers, sample.layer)(**sample.arguments)
    shapes = list(sample.shapes) if len(xs) > 1 else sample.shapes[0]
    layer.build(shapes)
    state = [v for v in layer.variables if "seed" not in v.name]
    for variable in state:
        values = numbers(rng, "normal", variable.shape)
        variable.assign(abs(values) + 0.5 if variable.name == "moving_variance" else values)
    weights = {v.name: np.array(v.value) for v in state}
    training = {"training": True} if sample.training else {}
    floating = sample.inputs != "words"
    trained = layer.trainable_variables
    kept = [v.value for v in layer.non_trainable_variables]
    inputs = [jax.numpy.asarray(x) for x in xs]

    def output(weights: list[Any], xs: list[Any]) -> Any:
        return layer.stateless_call(weights, kept, xs if len(xs) > 1 else xs[0], **training)[0]

    sources = [[jax.numpy.asarray(v.value) for v in trained], *([inputs] if floating else [])]
    y, pull_back = jax.vjp(lambda weights, xs=inputs: output(weights, xs), *sources)
    cotangent = numbers(rng, "normal", y.shape)
    weight_gradients, input_gradients = (*pull_back(jax.numpy.asarray(cotangent)), [])[:2]
    eager = layer(xs if len(xs) > 1 else xs[0], **training)  # which sets the losses and the moving weights
    np.testing.assert_allclose(np.asarray(eager), np.asarray(y), rtol=1e-12)
    losses = np.array([float(loss) for loss in layer.losses])
    if trained:
        keras.optimizers.SGD(0.5).apply(weight_gradients, trained)
    arrays = {
        **{f"x{i}": x for i, x in enumerate(xs)}, **weights, "cotangent": cotangent,
        "y": np.asarray(y), **{f"x{i}_grad": np.asarray(g) for i, g in enumerate(input_gradients)},
        **{f"{v.name}_grad": np.asarray(g) for v, g in zip(trained, weight_gradients, strict=True)},
        "losses": losses,
        **{f"{v.name}_after": np.array(v.value) for v in state},
    }
    output_shape = layer.compute_output_shape(sample.open_shapes())
    description = {
        "sample": sample, "config": keras.saving.serialize_keras_object(layer), "output_shape": output_shape,
        "shapes": {name: array.shape for name, array in arrays.items()},
    }
    return description, arrays


def main() -> None:
    """Compute all samples and write the archive."""
    rng = np.random.default_rng(4)
    descriptions, parts = [], []
    for sample in SAMPLES:
        description, arrays = computed(sample, rng)
        assert arrays["y"].dtype == np.float64
        assert all(np.isfinite(array).all() for array in arrays.values()), sample
        descriptions.append(description)
        parts += [array.astype(float).ravel() for array in arrays.values()]
    versions = {
        "keras": keras.__version__, "backend": keras.backend.backend(), "jax": jax.__version__,
        "numpy": np.__version__, "python": platform.python_version(),
    }
    path = Path(__file__).with_suffix(".npz")
    np.savez_compressed(
        path,
        samples=np.array(json.dumps(descriptions)),
        numbers=np.concatenate(parts),
        versions=np.array(json.dumps(versions)),
    )
    print(f"{path}: {len(descriptions)} samples, {path.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
