"""Whole training steps on a GPU, recorded once as a CUDA graph: a replay starts all of their kernels by one call.

A small step takes longer to start from Python, kernel by kernel, than to compute. `capture` records what it starts:
forward, loss, gradients, the optimizer's update, running statistics. What the host does in a step is done again before
every replay (`minigrad.replay`). The graph has memory of its own for variables, which they hold from then on
(`minigrad.recording`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minigrad.backend import Array, array_module, at_device_of, capturing, describe, on_gpu
from minigrad.ops.op import watching
from minigrad.recording import Recording
from minigrad.replay import HostNumber, lifted
from minigrad.tensor import Tensor

__all__ = ["Captured", "HostNumber", "capture", "lifted"]

_one_at_a_time = threading.Lock()  # CuPy has one allocator of pinned memory for all threads


class Captured:
    """A recorded step; see `capture`. Called with inputs of the recorded shapes, it returns the step's outputs.

    The outputs are the same Tensors at every call, with new values: copy those that must last.
    """

    def __init__(self, step: Callable[..., Any], inputs: tuple[Tensor, ...], warmup: int) -> None:
        data = [_on_gpu("capture", i, x) for i, x in enumerate(inputs)]
        if not data or len({x.device.id for x in data}) > 1:
            raise TypeError(
                "capture: the inputs must be Tensors on one GPU. "
                f"Received: {', '.join(x.device for x in inputs) or 'no inputs'}"
            )
        if isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 1:
            raise ValueError(f"capture: warmup must be a positive integer. Received: warmup={warmup!r}")
        if capturing.get() is not None:
            raise RuntimeError("capture: a step that is being captured must not capture another. Received: such a step")
        self._cupy: Any = array_module(data[0])
        with _one_at_a_time, at_device_of(data[0]):
            self._inputs = [Tensor(x, requires_grad=x.requires_grad) for x in inputs]
            self._pool = self._cupy.cuda.MemoryPool(_kept(self._cupy.cuda))  # what the graph writes to stays its own
            self._recording = Recording(self._cupy)
            try:
                self._graph, self.outputs = self._recorded(step, warmup)
            except BaseException:
                self._recording.undo()
                raise

    def _recorded(self, step: Callable[..., Any], warmup: int) -> tuple[Any, Any]:
        cuda, recording = self._cupy.cuda, self._recording
        cuda.get_current_stream().synchronize()  # the inputs are there
        stream = cuda.Stream(non_blocking=True)
        with stream, cuda.using_allocator(self._pool.malloc):
            for _ in range(warmup):  # kernels are compiled, and the pool filled
                recording.begin()
                with _under(recording):
                    step(*self._inputs)
            recording.settle()
            stream.synchronize()
            stream.begin_capture()
            try:
                with _under(recording), self._nothing_from_the_host():
                    recording.records = True
                    outputs = step(*self._inputs)
                    recording.close(outputs)
                graph = stream.end_capture()
            except BaseException as error:
                _abandon(stream)
                if isinstance(error, RuntimeError) and str(error).startswith("capture: "):
                    raise
                if not isinstance(error, Exception):
                    raise
                raise RuntimeError(
                    "capture: all that the step starts must be kernels: no synchronization, no copy to the host, and "
                    f"no matrix product that CuPy leaves to cuBLAS, which it refuses to capture. Received: {error}"
                ) from error
            recording.finish()
            return graph, outputs

    @contextmanager
    def _nothing_from_the_host(self) -> Iterator[None]:
        """CuPy copies lists to the GPU here and there, by way of memory that it uses again at once: a graph would read
        there whatever lies there then. So it gets no such memory while the graph is recorded.
        """
        allocate = _pinned_allocator(self._cupy.cuda)

        def refuse(size: int) -> Any:
            if capturing.get() is not self._recording:  # another thread
                return allocate(size)
            raise RuntimeError(
                "capture: the step must not copy from the host to the GPU, as an index that is a list does, or joining "
                f"more than 8 arrays by CuPy. Received: a copy of {size} bytes"
            )

        self._cupy.cuda.set_pinned_memory_allocator(refuse)
        try:
            yield
        finally:
            self._cupy.cuda.set_pinned_memory_allocator(allocate)

    def __call__(self, *inputs: Tensor) -> Any:
        """Copy ``inputs`` into those of the recording, start the graph, and return its outputs.

        Raises:
            TypeError: inputs that are not Tensors on the GPU of the recording.
            ValueError: another number of inputs, or other shapes or dtypes.
            RuntimeError: a replay while a step is captured; values of a variable that the replay would change in place,
                held by somebody else; a variable that has left the GPU.
        """
        if capturing.get() is not None:
            raise RuntimeError(
                "captured step: must not be replayed within a step that is being captured; call the step itself there. "
                "Received: a replay in such a step"
            )
        if len(inputs) != len(self._inputs):
            raise ValueError(
                f"captured step: as many inputs as recorded must be given. "
                f"Received: {len(inputs)} inputs, recorded {len(self._inputs)}"
            )
        arrays = [_on_gpu("captured step", i, x) for i, x in enumerate(inputs)]
        for i, (array, own) in enumerate(zip(arrays, self._inputs, strict=True)):
            if array.shape != own.shape or array.dtype != own.dtype or array.device.id != own.data.device.id:
                raise ValueError(
                    f"captured step: inputs[{i}] must have the shape, dtype and device of the recording; capture the "
                    f"step again for others. Received: {describe(array)} on {inputs[i].device!r}, "
                    f"recorded {describe(own.data)} on {own.device!r}"
                )
        homes = self._recording.homes
        for home in homes:
            home.check()
        with at_device_of(self._inputs[0].data):
            self._recording.replay()
            for home in homes:
                home.bring()
            for array, own in zip(arrays, self._inputs, strict=True):
                own.data[...] = array
            self._graph.launch()
        for home in homes:
            home.changed()
        return self.outputs


def capture(step: Callable[..., Any], *inputs: Tensor, warmup: int = 2) -> Captured:
    """Record a step, up to a whole training step, for replays with other inputs of the same shapes.

    >>> def train(x, labels):
    ...     loss = loss_of(labels, network(x, training=True))
    ...     loss.backward()
    ...     optimizer.step(network.trainable_weights)
    ...     return loss
    >>> replay = capture(train, x, labels)  # doctest: +SKIP
    >>> for x, labels in batches:  # doctest: +SKIP
    ...     loss = replay(x, labels)

    Replays equal as many calls of the step. The step first runs ``warmup`` times for real; then, and if anything fails,
    weights, the optimizer's state, running statistics and random streams are put back. What changes from step to step
    on the host follows: learning rates, counts, and masks of `Dropout` or `Tensor.randn` on the GPU, drawn before every
    replay. Any other number or array of the host is that of the recording for ever; so is what Python decides.

    Variables that the step reads or changes move to memory of the graph. They can be read and assigned between replays.
    But a replay changes them in place: while somebody holds values of one without a copy (`Variable.value`, a view, a
    tape), the next replay refuses.

    Args:
        step: takes Tensors on a GPU, returns Tensors in lists, tuples and dicts; they come without a history. It may
            call backward(), if it clears the gradients too, as `Optimizer.step` does.
        inputs: Tensors on one GPU, of the shapes and dtypes of all replays.

    Raises:
        TypeError: inputs that are not on one GPU.
        RuntimeError: a step that copies between host and GPU, synchronizes, keeps gradients of backward(), does not do
            the same at every call, or has an optimizer with ``gradient_accumulation_steps`` or
            ``ema_overwrite_frequency``; or that CuPy cannot capture, as it cannot products by cuBLAS.
    """
    return Captured(step, inputs, warmup)


@contextmanager
def _under(recording: Recording) -> Iterator[None]:
    """The step runs under the eyes of the recording."""
    token = capturing.set(recording)
    try:
        with watching(recording.watch):
            yield
    finally:
        capturing.reset(token)


def _on_gpu(who: str, i: int, x: Any) -> Array:
    """The array of a Tensor on a GPU."""
    if not isinstance(x, Tensor) or not on_gpu(x.data):
        received = f"a Tensor on {x.device!r}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{who}: inputs[{i}] must be a Tensor on a GPU; move it with .to('cuda'). Received: {received}")
    return x.data


def _kept(cuda: Any) -> Callable[[int], Any]:
    """What gets memory for a pool, and holds it as long as the pool lives. By itself a pool that is short of memory
    gives back all that is free, although kernels that were recorded before write there.
    """
    blocks: list[Any] = []

    def allocate(size: int) -> Any:
        blocks.append(cuda.Memory(size))
        return cuda.MemoryPointer(blocks[-1], 0)

    return allocate


def _pinned_allocator(cuda: Any) -> Callable[[int], Any]:
    """What gives CuPy pinned memory at present. CuPy does not say, but the memory tells of which pool it is."""
    memory = cuda.alloc_pinned_memory(1).mem
    if (pool := getattr(memory, "pool", lambda: None)()) is not None:
        return pool.malloc
    if type(memory) is cuda.PinnedMemory:  # of no pool
        return lambda size: cuda.PinnedMemoryPointer(cuda.PinnedMemory(size), 0)
    raise RuntimeError(
        "capture: the allocator of pinned memory must be a cupy.cuda.PinnedMemoryPool or CuPy's own, for another could "
        "not be put back after the recording; set one by cupy.cuda.set_pinned_memory_allocator. "
        f"Received: memory of type {type(memory).__name__}"
    )


def _abandon(stream: Any) -> None:
    """End a recording that failed; what ended it may have ended it already."""
    try:
        stream.end_capture()
    except Exception:  # CuPy's own error, which would hide the first
        return
