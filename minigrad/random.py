"""Random numbers: one global host generator behind `set_random_seed`; both devices start from the same weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from minigrad.backend import Array, Generator, capturing, host_generator, move

_global = host_generator()


def set_random_seed(seed: int) -> None:
    """Start the global random stream again from ``seed``: weights, dropout masks and `Tensor.randn` follow it.

    Raises:
        ValueError: not a non-negative integer.

    >>> from minigrad import Tensor
    >>> set_random_seed(0); a = Tensor.randn(3)
    >>> set_random_seed(0); b = Tensor.randn(3)
    >>> a.tolist() == b.tolist()
    True
    """
    global _global
    _global = generator(seed)


def generator(seed: int | Generator | None = None) -> Generator:
    """The generator of ``seed``: a new one for an integer, the same one for a generator, the global one for None.

    Raises:
        ValueError: something else.
    """
    if seed is None:
        return _global
    if isinstance(seed, Generator):
        return seed
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0:
        raise ValueError(f"seed: must be a non-negative integer, a Generator or None. Received: seed={seed!r}")
    return host_generator(seed)


def new_seed() -> int:
    """A seed drawn from the global stream, for an object that wants a stream of its own."""
    return int(_global.integers(2**31))


def drawn(draw: Callable[[Generator], Array], seed: int | Generator | None, device: str) -> Array:
    """What ``draw`` draws on the host from the `generator` of ``seed``, on ``device``.

    In a captured step every replay draws again, from the same stream as a step that is not captured.

    >>> drawn(lambda stream: stream.integers(10, size=3), 0, "cpu").tolist()
    [8, 6, 5]
    """
    if device == "cpu" or (recording := capturing.get()) is None:
        return move(draw(generator(seed)), device)
    return recording.drawn(lambda: draw(generator(seed)), generator(seed), device)


def bernoulli(stream: Generator, chance: float, shape: Sequence[int]) -> Array:
    """Booleans on the host, each true with probability ``chance``, which is rounded to a multiple of 1/65536.

    Four come from one draw of 64 bits: a third of the time that comparing random floats takes.

    >>> int(bernoulli(generator(0), 0.25, (1000,)).sum())
    252
    """
    count = math.prod(shape)
    draws = stream.integers(0, 2**64, -(-count // 4), dtype="uint64").view("uint16")
    return (draws[:count] < round(chance * 65536)).reshape(shape)
