"""The depthwise kernels against plain loops, over geometries that reach every path; and the thread pool."""

from __future__ import annotations

import itertools
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, get_num_threads, ops, set_num_threads
from minigrad.kernels import bands, depthwise, parallel, product, scratch, sums, toeplitz, windows
from minigrad.kernels.geometry import Geometry
from minigrad.kernels.memory import keep_freed_memory
from minigrad.kernels.scratch import framed


@pytest.fixture(autouse=True)
def same_number_of_threads() -> Iterator[None]:
    before = get_num_threads()
    yield
    set_num_threads(before)


def convolved(x: np.ndarray, w: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The definition, one tap at a time, channels last."""
    y = np.zeros((len(x), geometry.out_length, w.shape[1] * w.shape[2]))
    for k in range(geometry.taps):
        steps = geometry.stride * np.arange(geometry.out_length) + geometry.dilation * k - geometry.padding[0]
        inside = (steps >= 0) & (steps < geometry.length)
        y[:, inside] += (x[:, steps[inside], :, None] * w[k]).reshape(len(x), inside.sum(), y.shape[2])
    return y


def random_case(rng: np.random.Generator) -> tuple[Geometry, int, int, int]:
    """Short and long inputs and kernels, few and many channels (blocks of many steps, of few, of one), any stride and
    dilation, more padding than taps."""
    while True:
        stride, dilation, taps = (int(n) for n in rng.integers(1, (5, 5, 9)))
        if rng.random() < 0.3:
            taps = int(rng.integers(9, 60))  # by products
        length = int(rng.integers(1, 40) if rng.random() < 0.6 else rng.integers(250, 500))
        stride = 1 if rng.random() < 0.4 else stride
        dilation = 1 if rng.random() < 0.4 else dilation
        channels = int(rng.integers(1, 6)) if length > 40 or rng.random() < 0.8 else int(rng.choice([200, 512, 1100]))
        before, after = (int(n) for n in rng.integers(0, 12 if rng.random() < 0.7 else 150, 2))
        if length + before + after > dilation * (taps - 1):
            geometry = Geometry(length, taps, stride, dilation, (before, after))
            return geometry, channels, int(rng.choice([1, 1, 2, 3])), int(rng.integers(1, 5))


def random_array(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Small integers (all sums of their products are exact) of any dtype, anyhow in memory, and read-only."""
    dtype = rng.choice(["float32", "float64", "float64", "int32"])
    order = [(0, 1, 2), (0, 2, 1), (2, 1, 0), (1, 0, 2)][rng.choice(4, p=[0.4, 0.4, 0.1, 0.1])]
    before = rng.integers(0, 3, 3) * (rng.random() < 0.3)  # of a larger array
    whole = rng.integers(-2, 3, (before + shape)[list(order)]).astype(dtype).transpose(np.argsort(order))
    array = whole[tuple(slice(n, None) for n in before)]
    if rng.random() < 0.2:
        array = np.flip(array, rng.integers(3))
    if rng.random() < 0.1:
        array = np.broadcast_to(array[:, :1], shape)  # as the gradient of a mean over time
    array.flags.writeable = False
    return array


def prefer(way: Any, monkeypatch: pytest.MonkeyPatch) -> list[Geometry]:
    """Let this way seem the fastest, and all convolutions that may go by it do; a list of those."""
    for other in (windows, toeplitz, bands):
        monkeypatch.setattr(other, "cost", lambda *_, price=1.0 if other is way else 2.0, **__: price)
    monkeypatch.setattr(depthwise, "_fastest", depthwise._fastest.__wrapped__)  # which remembers nothing
    taken: list[Geometry] = []
    forward = way.forward

    def noted(x: np.ndarray, w: np.ndarray, y: np.ndarray, geometry: Geometry) -> None:
        taken.append(geometry)
        forward(x, w, y, geometry)

    monkeypatch.setattr(way, "forward", noted)
    return taken


def poisoned(make: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """``make``, but what it leaves uninitialized is nan."""

    def make_poisoned(*args: Any, **kwargs: Any) -> np.ndarray:
        array = make(*args, **kwargs)
        if array.dtype.kind == "f":
            array.fill(np.nan)
        return array

    return make_poisoned


def with_poisoned_steps(*args: Any) -> tuple[np.ndarray, np.ndarray]:
    """`framed`, but the steps between the zeros are nan."""
    whole, steps = framed(*args)
    if steps.dtype.kind == "f":
        steps.fill(np.nan)
    return whole, steps


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("way", [None, windows, toeplitz, bands])
@pytest.mark.parametrize("seed", range(2))
def test_kernels_equal_their_definition(seed: int, way: Any, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "MIN_WORK", 1e-6 if threads > 1 else 1e9)
    monkeypatch.setattr(depthwise, "_FEW", 0)
    monkeypatch.setattr(np, "empty", poisoned(np.empty))
    for kernels in (windows, toeplitz, bands):
        monkeypatch.setattr(kernels, "scratch", poisoned(kernels.scratch))
    monkeypatch.setattr(windows, "framed", with_poisoned_steps)
    if seed:  # many small tiles
        monkeypatch.setattr(windows, "_TILE", 1 << 11)
        monkeypatch.setattr(windows, "_DOT_CALL", 0)  # dot products wherever time lies side by side
        monkeypatch.setattr(windows, "_DOT_CALLS", 0)
        monkeypatch.setattr(toeplitz, "_TILE", 1 << 13)
        for name, value in (("_CACHED", 1 << 11), ("_RUN", 2), ("_FEW", 2)):
            monkeypatch.setattr(bands, name, value)
    taken = prefer(way, monkeypatch) if way else None
    set_num_threads(threads)
    rng = np.random.default_rng(seed)
    for _ in range(150):
        geometry, channels, multiplier, batch = random_case(rng)
        x = random_array(rng, (batch, geometry.length, channels))
        w = random_array(rng, (geometry.taps, channels, multiplier))
        g = random_array(rng, (batch, geometry.out_length, channels * multiplier))
        window = {"stride": geometry.stride, "dilation": geometry.dilation, "padding": geometry.padding}
        expected = convolved(x, w, geometry)
        for layout in ("NLC", "NCL"):
            swap = (lambda a: a) if layout == "NLC" else (lambda a: a.swapaxes(1, 2))
            if layout == "NCL" and way is bands and seed:  # which they take as it lies, all others they copy
                swap = lambda a: np.ascontiguousarray(a.swapaxes(1, 2))
            y = swap(ops.depthwise_conv1d(swap(x), w, layout=layout, **window))
            dx = ops.depthwise_conv1d_input_grad(swap(g), w, length=geometry.length, layout=layout, **window)
            dw = ops.depthwise_conv1d_kernel_grad(swap(x), swap(g), taps=geometry.taps, layout=layout, **window)
            message = f"{geometry}, {channels} channels, multiplier {multiplier}, batch {batch}, {layout}"
            np.testing.assert_array_equal(y, expected, err_msg=message)
            assert (y * g).sum() == (swap(dx) * x).sum() == (dw * w).sum(), message
            dtypes = [np.result_type(*pair) for pair in ((x, w), (g, w), (x, g))]
            assert [y.dtype, dx.dtype, dw.dtype] == dtypes, message
    assert taken is None or len(taken) > 30


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("batch", "length"), [(3, 5), (300, 33), (5, 200), (1, 7), (0, 4), (4, 0)])
def test_products_of_a_linear_layer(batch: int, length: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "MIN_WORK", 1e-6 if threads > 1 else 1e9)
    monkeypatch.setattr(product, "_SMALL", 0)
    set_num_threads(threads)
    rng = np.random.default_rng(0)
    x, g, w = (rng.standard_normal(shape) for shape in ((batch, length, 4), (batch, length, 6), (4, 6)))
    for axis, place in ((-1, lambda a: a), (1, lambda a: np.ascontiguousarray(a.swapaxes(1, 2)))):
        np.testing.assert_allclose(product.linear(place(x), w, w[0], axis), place(x @ w + w[0]), atol=1e-12)
        dw = product.linear_kernel_grad(place(x), place(g), axis)
        np.testing.assert_allclose(dw, np.einsum("nlc,nlf->cf", x, g), atol=1e-10)
        np.testing.assert_allclose(sums.total(place(g), (0, 3 - axis % 3)), g.sum((0, 1)), atol=1e-10)


def test_products_take_any_dtypes() -> None:
    x, w, b, g = np.ones((2, 5, 3), "float32"), np.ones((3, 4), "int16"), np.ones(4), np.ones((2, 5, 4))
    for axis, place in ((-1, lambda a: a), (1, lambda a: a.swapaxes(1, 2))):
        y = product.linear(place(x), w, b, axis)
        assert y.dtype == np.float64
        assert (y == 4).all()
        assert product.linear(place(x), w, None, axis).dtype == np.float32
        dw = product.linear_kernel_grad(place(x), place(g), axis)
        assert dw.dtype == np.float64
        assert (dw == 10).all()


def test_a_frame_keeps_its_zeros() -> None:
    like = np.zeros(1, np.float32)
    whole, steps = framed(like, (2, 3, 4), 1, 2, like.dtype)
    steps.fill(7)
    again, _ = framed(like, (2, 3, 4), 1, 2, like.dtype)
    assert again is whole
    assert whole.dtype == like.dtype
    np.testing.assert_array_equal(whole, np.full((2, 6, 4), np.array([[0], [7], [7], [7], [0], [0]])))
    for shape, before, after, dtype in (
        ((2, 3, 4), 2, 1, "float32"), ((2, 3, 4), 1, 2, "float64"), ((2, 4, 3), 1, 2, "float32")
    ):
        assert not np.shares_memory(whole, framed(like, shape, before, after, np.dtype(dtype))[0])


def test_a_thread_keeps_the_frames_that_it_used_last() -> None:
    def frame(length: int) -> np.ndarray:
        return framed(like, (1, length, 1), 1, 1, like.dtype)[0]

    like = np.zeros(1)
    first, second = frame(1), frame(2)
    for length in range(scratch._FRAMES - 1):
        frame(3 + length)
        assert frame(1) is first
    assert frame(2) is not second
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(frame, 1).result() is not first


@pytest.mark.parametrize("seed", range(3))
def test_tiles_cover_all_windows_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(100):
        batch, stride, threads = (int(n) for n in rng.integers(1, (9, 5, 5)))
        span, length, most = (int(n) for n in rng.integers(1, (30, 2000, 1000)))
        start = -int(rng.integers(0, 200))
        count = int(rng.integers(1, (length - start) // stride + 100))
        tiles = windows._tiles(batch, length, start, count, stride, span, most, threads)
        taken = np.zeros((batch, count), int)
        for sequences, outputs, inputs, zeros in tiles:
            taken[sequences, outputs] += 1
            steps = range(start + stride * outputs.start, start + stride * (outputs.stop - 1) + span)
            assert list(steps[zeros[0] : len(steps) - zeros[1]]) == list(range(length))[inputs]
            assert all(step < 0 for step in steps[: zeros[0]])
            assert all(step >= length for step in steps[len(steps) - zeros[1] :])
        assert (taken == 1).all()


def test_tiles_of_long_sequences_copy_their_ends_alone_and_fit_the_cache() -> None:
    for stride, start, most, threads in itertools.product((1, 3), (0, -9, -10, -11), (500, 2000, 10_000), (1, 2, 3)):
        length, span = 3001, 21
        count = (length + 10 - start - span) // stride + 1
        tiles = windows._tiles(2, length, start, count, stride, span, most, threads)
        beyond = [tile for tile in tiles if any(tile.zeros)]
        assert sum(tile.windows.stop - tile.windows.start for tile in beyond) <= 2 * 22
        seen = [(t.sequences.stop - t.sequences.start) * (t.inputs.stop - t.inputs.start) for t in tiles]
        assert max(seen) <= most + stride + span
        assert len(tiles) >= threads


@pytest.mark.parametrize(("way", "layout"), [(windows, "NLC"), (toeplitz, "NLC"), (bands, "NLC"), (bands, "NCL")])
def test_large_convolutions_run_on_all_threads(way: Any, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_num_threads(3)
    asked: list[int] = []
    over = parallel.over

    def noted(run: Any, total: int, work: float) -> Any:
        asked.append(parallel.parts(total, work))
        return over(run, total, work)

    monkeypatch.setattr(parallel, "over", noted)
    prefer(way, monkeypatch)
    x, w = np.ones((64, 400, 400), np.float32), np.ones((3, 400, 1), np.float32)
    depthwise.forward(x, w, Geometry(400, 3, padding=(1, 1)), layout)
    assert asked == [3]


@pytest.mark.parametrize(
    ("shape", "taps", "dilation", "expected"),
    [
        pytest.param((128, 64, 500), 3, 1, {"NLC": [windows, windows], "NCL": [windows, windows]}, id="sepCNN"),
        pytest.param((64, 128, 128), 39, 1, {"NLC": [bands, bands], "NCL": [bands, bands]}, id="XceptionTime"),
        pytest.param((128, 64, 128), 29, 2, {"NLC": [bands, toeplitz], "NCL": [bands, bands]}, id="MatchboxNet"),
        pytest.param((4, 512, 835), 87, 2, {"NLC": [toeplitz, toeplitz], "NCL": [bands, windows]}, id="QuartzNet C2"),
        pytest.param((1, 64, 4000), 39, 1, {"NLC": [toeplitz, toeplitz], "NCL": [toeplitz, windows]}, id="one"),
    ],
)
def test_the_ways_of_published_layers(
    shape: tuple[int, int, int], taps: int, dilation: int, expected: dict[str, list[Any]]
) -> None:
    """A long kernel goes by products, with bands where the batch is large; a short one by sums. The gradient of the
    kernel needs a larger batch for bands."""
    zeros = dilation * (taps - 1)
    geometry = Geometry(shape[2], taps, 1, dilation, (zeros // 2, zeros - zeros // 2))
    first = np.empty(shape, np.float32)
    arrays = {"NLC": np.ascontiguousarray(first.swapaxes(1, 2)), "NCL": first}
    ways = {
        layout: [depthwise._way(geometry, layout, x, x, x, of_kernel)[0] for of_kernel in (False, True)]
        for layout, x in arrays.items()
    }
    assert ways == expected


def test_the_gradient_of_the_kernel_has_a_cost_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "cost", lambda *_, of_kernel=False: 1e9 if of_kernel else 0.0)
    monkeypatch.setattr(bands, "kernel_grad", None)  # to be called by nobody
    monkeypatch.setattr(depthwise, "_fastest", depthwise._fastest.__wrapped__)
    w, geometry = np.ones((9, 64, 1), np.float32), Geometry(32, 9, padding=(4, 4))
    x = depthwise.forward(np.ones((64, 32, 64), np.float32), w, geometry, "NLC")
    assert depthwise.kernel_grad(x, depthwise.input_grad(x, w, geometry, "NLC"), geometry, "NLC").shape == w.shape


@pytest.mark.parametrize(
    ("length", "taps", "dilation", "multiplier", "dots"),
    [
        (500, 3, 1, 1, 1), (835, 39, 1, 1, 1), (900, 5, 30, 1, 1), (100, 13, 1, 1, 1), (100, 13, 1, 2, 1),
        (20, 3, 1, 1, 0),
    ],
)
def test_kernel_gradients_are_dot_products_where_time_is_long_and_lies_side_by_side(
    length: int, taps: int, dilation: int, multiplier: int, dots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few steps, as at the ends of long sequences, go by channels."""
    zeros = dilation * (taps - 1)
    geometry = Geometry(length, taps, 1, dilation, (zeros // 2, zeros - zeros // 2))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4, length))
    g = rng.standard_normal((3, 4 * multiplier, length))
    by_channels = windows.kernel_grad(
        np.ascontiguousarray(x.swapaxes(1, 2)), np.ascontiguousarray(g.swapaxes(1, 2)), geometry
    )
    found: list[tuple[int, ...]] = []
    matmul = np.matmul
    monkeypatch.setattr(np, "matmul", lambda a, b: found.append(a.shape) or matmul(a, b))
    in_time = windows.kernel_grad(x.swapaxes(1, 2), g.swapaxes(1, 2), geometry)
    np.testing.assert_allclose(in_time, by_channels, rtol=1e-10, atol=1e-10)
    assert [shape[:4] for shape in found] == dots * [(3, 4 * multiplier, taps, 1)]


def test_each_array_is_asked_whether_it_must_be_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(bands, "cost", lambda geometry, batch, size, copies, **_: asked.append(copies) or 0.0)
    monkeypatch.setattr(depthwise, "_fastest", depthwise._fastest.__wrapped__)
    rows, other = np.empty((64, 64, 32), np.float32), np.empty((64, 32, 64), np.float32).swapaxes(1, 2)
    for pair in ((rows, rows), (rows, other), (other, rows), (other, other)):
        depthwise._way(Geometry(32, 9, padding=(4, 4)), "NCL", rows, *pair)
    assert asked == [0, 1, 1, 2]


def test_copies_count() -> None:
    """Bands are the fastest way where they take the steps as they lie; for 9 taps two copies are too much."""
    geometry = Geometry(32, 9, padding=(4, 4))
    x = np.empty((64, 64, 32), np.float32)
    other = np.empty((64, 32, 64), np.float32).swapaxes(1, 2)
    for array, way in ((x, bands), (other, windows)):
        seen = array.swapaxes(1, 2)
        assert depthwise._way(geometry, "NLC", seen, seen, seen)[0] is way
    for array, rows in ((x, True), (other, False), (x[:, :, ::-1], False), (x[:, :, ::2], False), (x[:, :, 3:], True)):
        assert bands.are_rows(array) is rows
    assert not bands.are_rows(np.broadcast_to(x[:1, :1], x.shape))


def test_kernels_for_no_outputs_have_the_gradient_zero() -> None:
    w, g = np.ones((3, 2, 0)), np.ones((1, 5, 0))
    dx = ops.depthwise_conv1d_input_grad(g, w, length=7)
    assert dx.shape == (1, 7, 2)
    assert not dx.any()


def test_products_of_empty_batches_on_another_array_module() -> None:
    x = Tensor(np.zeros((0, 3, 5)), device="standin")
    assert ops.linear_kernel_grad(x, x, axis=1).numpy().tolist() == np.zeros((3, 3)).tolist()


def test_empty_batches_and_lengths() -> None:
    w = np.ones((3, 2, 2))
    for layout, shape, out in [("NLC", (0, 5, 2), (0, 5, 4)), ("NCL", (0, 2, 5), (0, 4, 5))]:
        y = ops.depthwise_conv1d(np.zeros(shape), w, padding=(1, 1), layout=layout)
        assert y.shape == out
        assert ops.depthwise_conv1d_input_grad(y, w, length=5, padding=(1, 1), layout=layout).shape == shape
        dw = ops.depthwise_conv1d_kernel_grad(np.zeros(shape), y, taps=3, padding=(1, 1), layout=layout)
        assert dw.shape == w.shape
        assert not dw.any()


def test_slices_cover_the_whole_and_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    set_num_threads(3)
    meeting = threading.Barrier(3, timeout=10)
    seen: list[slice] = []

    def run(part: slice) -> None:
        meeting.wait()  # passes only if three threads are inside at once
        seen.append(part)

    parallel.over(run, 10, 3 * parallel.MIN_WORK)
    assert sorted(i for part in seen for i in range(part.start, part.stop)) == list(range(10))


def test_this_thread_takes_more_while_others_wake_up() -> None:
    set_num_threads(3)
    for work in (3 * parallel.MIN_WORK, 1e6):
        parts = parallel.over(lambda part: part, 999, work)
        assert [i for part in parts for i in range(part.start, part.stop)] == list(range(999))  # in order
        shares = [part.stop - part.start for part in parts]
        assert shares[0] == max(shares)
        assert shares[0] - shares[1] == pytest.approx(999 * parallel.LEAD / work, abs=2)
        assert shares[1] == pytest.approx(shares[2], abs=1)


def test_threads_of_a_former_number_end() -> None:
    def named() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("minigrad")}

    set_num_threads(4)
    parallel.over(lambda part: part, 10, 4 * parallel.MIN_WORK)
    before = named()
    assert len(before) >= 3
    set_num_threads(2)
    for thread in before:
        thread.join(timeout=10)
    assert not before & named()


def test_little_work_stays_in_this_thread() -> None:
    threads = []
    parallel.over(lambda part: threads.append(threading.current_thread()), 10, 0.9 * parallel.MIN_WORK)
    assert threads == [threading.current_thread()]


def test_an_error_in_a_thread_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    set_num_threads(2)

    def run(part: slice) -> None:
        if part.start:
            raise ValueError("from the other thread")

    with pytest.raises(ValueError, match="from the other thread"):
        parallel.over(run, 10, 2 * parallel.MIN_WORK)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_the_number_of_threads_must_be_positive(count: object) -> None:
    before = get_num_threads()
    with pytest.raises(ValueError, match=r"set_num_threads: count must be a positive integer. Received: count="):
        set_num_threads(count)  # type: ignore[arg-type]
    assert get_num_threads() == before


def test_the_number_of_threads_may_change_while_others_work() -> None:
    running = threading.Event()
    running.set()
    errors: list[Exception] = []

    def work() -> None:
        while running.is_set():
            try:
                parallel.over(lambda part: part, 10, 4 * parallel.MIN_WORK)
            except Exception as error:
                errors.append(error)

    others = [threading.Thread(target=work) for _ in range(2)]
    for other in others:
        other.start()
    for i in range(1000):
        set_num_threads(1 + i % 4)
    running.clear()
    for other in others:
        other.join()
    assert errors == []


FORK = """
import os, threading
from minigrad import set_num_threads
from minigrad.kernels import parallel

set_num_threads(2)
work = lambda: parallel.over(lambda part: part, 10, 2 * parallel.MIN_WORK)
work()
with parallel._lock:  # as if another thread were changing the pool
    child = os.fork()
    if not child:
        os._exit(len(work()))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_kernels_work_in_a_forked_process() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip() == "2"


def test_threads_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGRAD_NUM_THREADS", "3")
    assert parallel._default() == 3
    monkeypatch.setenv("MINIGRAD_NUM_THREADS", "none")
    with pytest.raises(ValueError, match=r"MINIGRAD_NUM_THREADS: must be a positive integer\. Received: 'none'"):
        parallel._default()


def test_blas_is_as_before_after_parallel_work() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    counts = [library["num_threads"] for library in threadpoolctl.threadpool_info()]
    set_num_threads(2)
    during: list[list[int]] = []

    def run(part: slice) -> None:
        during.append([i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == "blas"])

    parallel.over(run, 10, 2 * parallel.MIN_WORK)
    assert all(count == 1 for found in during for count in found)
    assert [library["num_threads"] for library in threadpoolctl.threadpool_info()] == counts


def test_without_threadpoolctl_the_kernels_work_and_leave_blas_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(parallel, "_blas", parallel._Blas())
    set_num_threads(2)
    seen = parallel.over(lambda part: part, 10, 2 * parallel.MIN_WORK)
    assert seen == [slice(0, 6), slice(6, 10)]
    assert parallel._blas._libraries == []


STEP = """
import resource
import numpy as np
import minigrad

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(1 << 23)  # 64 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_there_for_the_next_step() -> None:
    def faults(keep: str) -> int:
        command = [sys.executable, "-c", STEP]
        environment = {**os.environ, "MINIGRAD_KEEP_MEMORY": keep}
        return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    assert faults("1") < 4 < 16 < faults("0")


def test_keeping_memory_is_yes_or_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGRAD_KEEP_MEMORY", "yes")
    with pytest.raises(ValueError, match=r"MINIGRAD_KEEP_MEMORY: must be 0 or 1\. Received: 'yes'"):
        keep_freed_memory()
    monkeypatch.setenv("MINIGRAD_KEEP_MEMORY", "0")
    assert not keep_freed_memory()


@pytest.mark.parametrize("way", [windows, toeplitz, bands])
@pytest.mark.parametrize("geometry", [Geometry(50, 3, stride=3), Geometry(7, 2, dilation=5)], ids=str)
def test_inputs_that_no_window_sees_have_the_gradient_zero(
    geometry: Geometry, way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer(way, monkeypatch)
    monkeypatch.setattr(depthwise, "_FEW", 0)
    starts = range(0, geometry.stride * geometry.out_length, geometry.stride)
    seen = {start + geometry.dilation * k for start in starts for k in range(geometry.taps)}
    unseen = sorted(set(range(geometry.length)) - seen)
    assert unseen
    w, g = np.ones((geometry.taps, 3, 1)), np.ones((2, 3, geometry.out_length))
    monkeypatch.setattr(np, "empty", poisoned(np.empty))
    dx = depthwise.input_grad(g, w, geometry, "NCL")
    monkeypatch.undo()
    assert not dx[:, :, unseen].any()
    assert dx.sum() == g.size * geometry.taps


@pytest.mark.parametrize("threads", [1, 2])
def test_sums_over_many_rows(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "MIN_WORK", 1e-6 if threads > 1 else 1e9)
    set_num_threads(threads)
    x = np.random.default_rng(0).standard_normal((50, 101, 4))
    np.testing.assert_allclose(ops.sum(x, axis=(0, 1)), x.sum(axis=(0, 1)), rtol=0, atol=1e-11)
    whole = np.arange(0, 3_000_000, 100, "int32").reshape(-1, 3)  # whose sums are beyond int32
    assert ops.sum(whole, axis=(0,)).tolist() == whole.sum(axis=0, dtype="int64").tolist()


def test_the_rule_takes_products_for_long_kernels_alone() -> None:
    y = np.zeros((4, 835, 4), np.float32)

    def way(y: np.ndarray, taps: int, stride: int = 1, dilation: int = 1) -> Any:
        padding = dilation * (taps - 1) // 2
        return depthwise._way(Geometry(835, taps, stride, dilation, (padding, padding)), "NLC", y, y, y)[0]

    assert way(y, 9) is windows
    assert way(y, 39) is toeplitz
    assert way(y[:1], 39) is windows
    assert way(y.astype(np.float16), 39) is windows
    assert way(y, 39, stride=2, dilation=2) is windows


def test_kernel_gradients_do_not_depend_on_who_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "MIN_WORK", 1e-6)
    set_num_threads(4)
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 64, 50, 8)).astype(np.float32)
    for taps in (3, 41):
        geometry = Geometry(50, taps, padding=(taps // 2, taps // 2))
        results = {depthwise.kernel_grad(x, g, geometry, "NLC").tobytes() for _ in range(30)}
        assert len(results) == 1
