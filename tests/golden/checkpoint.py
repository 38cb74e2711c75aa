"""Make checkpoint_1.ckpt and checkpoint_1_run.ckpt: "minigrad checkpoint 1", as that format was first written.

    python -m tests.golden.checkpoint

The committed files are of the commit before files were read within limits (NumPy 2.4.6, Python 3.11.7); whatever comes
later must read them, so they are not made anew.

The first holds `network` with `filled` weights and slots, streams that were moved on, and `STATE`; the second is what
a `fit` left that was cut off; ``checkpoint_1.npz`` what it becomes when it goes on, the weights and the
losses, and the number that the global stream of the first draws next.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minigrad import Sequential, callbacks, layers, losses, optimizers, set_random_seed
from minigrad.random import generator
from minigrad.saving import save_checkpoint

HERE = Path(__file__).parent
STATE: dict[str, Any] = {
    "epoch": 7, "rate": 0.1, "bad": float("-inf"), "none": None, "yes": True, "name": "naïve ☃", "big": -(2**80),
    "tuple": (1, (2.5, [])), "dict": {"a": {"b": [1, 2]}}, "array": np.arange(6, dtype="int16").reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "text": np.array(["é", "longer"]),
    "dates": np.array(["2020-02-29"], "M8[D]"), "fields": np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")]),
}  # fmt: skip
GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


def network() -> Sequential:
    return Sequential([
        layers.SeparableConv1D(3, 2), layers.Dropout(0.25, seed=9), layers.BatchNormalization(),
        layers.GlobalAveragePooling1D(), layers.Dense(2),
    ])  # fmt: skip


def filled(variables: Any, first: int = 0) -> list[np.ndarray]:
    """Another pattern for each: eighths, so that every dtype holds them exactly; counts stay counts."""
    return [
        (np.arange(v.data.size).reshape(v.shape) / 8 + first + i).astype(v.dtype) for i, v in enumerate(variables)
    ]


def streams() -> dict[str, np.random.Generator]:
    """A generator of every kind, in the middle of its numbers."""
    made = {name: np.random.Generator(getattr(np.random, name)(5)) for name in GENERATORS}
    for stream in made.values():
        stream.integers(7, size=3, dtype="uint32")
    return made


def data() -> tuple[np.ndarray, np.ndarray]:
    x = np.sin(np.arange(22 * 5 * 2)).reshape(22, 5, 2).astype("float32")
    return x, (x.sum((1, 2)) > 0).astype(int)


class Crash(callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.model.optimizer.iterations == 5:
            raise ZeroDivisionError


def trained(path: Path, *extra: callbacks.Callback) -> tuple[Sequential, callbacks.History]:
    """A `fit` of 3 steps an epoch that begins anew, or goes on from the file."""
    set_random_seed(2)
    model = network()
    model.compile(optimizers.Adam(0.01), losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    hooks = [callbacks.EarlyStopping("loss", patience=9), *extra, callbacks.BackupAndRestore(path, 2)]
    return model, model.fit(*data(), batch_size=8, epochs=4, verbose=0, callbacks=hooks)


def main() -> None:
    """Write the three files."""
    set_random_seed(4)
    model, optimizer = network(), optimizers.Adam(0.5)
    model.build((None, 5, 2))
    optimizer.build(model.trainable_weights)
    model.set_weights(filled(model.weights))
    optimizer.set_weights(filled(optimizer.variables, 3))
    generator().random(3)
    save_checkpoint(HERE / "checkpoint_1.ckpt", model, optimizer, **STATE, **streams())
    drawn = generator().random()
    path = HERE / "checkpoint_1_run.ckpt"
    try:
        trained(path, Crash())
    except ZeroDivisionError:
        kept = path.read_bytes()
    model, history = trained(path)
    path.write_bytes(kept)
    np.savez_compressed(HERE / "checkpoint_1.npz", *model.get_weights(), loss=history.history["loss"], drawn=drawn)


if __name__ == "__main__":
    main()
