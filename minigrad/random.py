"""Random numbers: one global host generator behind `set_random_seed`; both devices start from the same weights."""

from __future__ import annotations

from minigrad.backend import Generator, host_generator

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
