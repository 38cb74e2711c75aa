"""Threads that add into one leaf, and Ctrl-C amid kernels."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, no_grad
from minigrad.kernels import parallel


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def side_by_side(count: int, work: Any) -> None:
    """Run ``work(i)`` in that many threads, which begin at once; what they raise is raised here."""
    begin, errors = threading.Barrier(count), []

    def run(i: int) -> None:
        begin.wait()
        try:
            work(i)
        except BaseException as error:  # of whatever kind
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_eight_threads_lose_nothing_in_a_thousand_rounds(hurried: None) -> None:
    w = Tensor(np.zeros((30, 20)), requires_grad=True)
    b = Tensor(np.zeros(20), requires_grad=True)
    inputs = [Tensor(np.full((4, 30), 1.0 + i)) for i in range(8)]

    def work(i: int) -> None:
        for _ in range(1000):
            (inputs[i] @ w + b).sum().backward()

    side_by_side(8, work)
    assert w.grad is not None
    assert b.grad is not None
    assert (w.grad.numpy() == 4 * 36 * 1000).all()
    assert (b.grad.numpy() == 4 * 8 * 1000).all()


def test_the_first_gradients_of_threads_are_added_too(hurried: None) -> None:
    """That a leaf has no gradient yet is looked at and acted upon in one go."""
    w = Tensor(np.zeros(2000), requires_grad=True)
    for _ in range(100):
        w.grad = None
        side_by_side(8, lambda i: (w * float(i)).sum().backward())
        assert w.grad is not None
        assert (w.grad.numpy() == 28.0).all()


def test_a_tape_that_two_threads_walk_at_once_is_refused_by_one(hurried: None) -> None:
    w = Tensor(np.ones(3), requires_grad=True)
    for _ in range(200):
        w.grad, refused = None, []
        y = w
        for _ in range(20):
            y = y * w
        loss = y.sum()

        def work(i: int, loss: Tensor = loss, refused: list[str] = refused) -> None:
            try:
                loss.backward()
            except RuntimeError as error:
                refused.append(str(error))

        side_by_side(2, work)
        assert all("the tape must not have been used by backward() before" in message for message in refused)
        assert w.grad is None or w.grad.tolist() in ([21.0] * 3, [42.0] * 3)


def test_one_no_grad_for_many_threads(hurried: None) -> None:
    x, quiet = Tensor([1.0], requires_grad=True), no_grad()

    def work(i: int) -> None:
        for _ in range(200):
            with quiet:
                assert not (x * x).requires_grad
                with quiet:
                    assert not (x * x).requires_grad
                assert not (x * x).requires_grad
            assert (x * x).requires_grad

    side_by_side(4, work)
    assert (x * x).requires_grad


class Library:
    """A BLAS; setting it to one thread is interrupted the first time, when that is done."""

    def __init__(self) -> None:
        self.threads, self.interrupted = 6, False

    def get_num_threads(self) -> int:
        return self.threads

    def set_num_threads(self, count: int) -> None:
        self.threads = count
        if not self.interrupted:
            self.interrupted = True
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", ["going in", "coming out"])
def test_ctrl_c_leaves_blas_its_threads(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_blas", parallel._Blas())
    library, other = Library(), Library()
    other.interrupted = True
    parallel._blas._libraries = [(library, 0), (other, 0)]
    library.interrupted = at == "coming out"

    def held() -> None:
        with parallel.blas_held():
            assert at == "coming out"
            assert library.threads == 1
            library.interrupted = False

    with pytest.raises(KeyboardInterrupt):
        held()
    with parallel.blas_held():
        assert library.threads == 1
        with parallel.blas_held():
            assert library.threads == 1
        assert library.threads == 1
    assert library.threads == other.threads == 6
