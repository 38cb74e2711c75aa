"""Steps on a GPU recorded once as a CUDA graph: a replay starts all of their kernels by one call.

A small step takes longer to start from Python, kernel by kernel, than to compute. `capture` records what a step starts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.backend import Array, array_module, at_device_of, capturing, describe, on_gpu
from minigrad.ops.op import Op, watching
from minigrad.tensor import Tensor
from minigrad.variable import Variable


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
        self._cupy: Any = array_module(data[0])
        self._read: dict[Variable, tuple[Array, Any, Any]] = {}
        with at_device_of(data[0]):
            self._inputs = [Tensor(x, requires_grad=x.requires_grad) for x in inputs]
            self._pool = self._cupy.cuda.MemoryPool()  # all that the graph writes to stays its own
            self._graph, self.outputs = self._recorded(step, warmup)

    def _recorded(self, step: Callable[..., Any], warmup: int) -> tuple[Any, Any]:
        cuda = self._cupy.cuda
        cuda.get_current_stream().synchronize()  # the inputs are there
        stream = cuda.Stream(non_blocking=True)
        with stream, cuda.using_allocator(self._pool.malloc):
            for _ in range(warmup):  # kernels are compiled, and the pool filled
                step(*self._inputs)
            stream.synchronize()
            token = capturing.set(True)
            stream.begin_capture()
            try:
                with watching(self._watch):
                    outputs = step(*self._inputs)
                self._check_unchanged()
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
            finally:
                capturing.reset(token)
            return stream.end_capture(), outputs

    def _watch(self, op: Op, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        """Remember the arrays of all variables that the step reads."""
        for x in inputs:
            if isinstance(x, Variable) and x not in self._read and on_gpu(x.data):
                self._read[x] = (x.data, x.node and x.node.birth, x.grad)
        return op(*inputs, **attributes)

    def _check_unchanged(self) -> None:
        for variable, (array, birth, gradient) in self._read.items():
            if variable.data is not array or (variable.node and variable.node.birth) != birth:
                raise RuntimeError(
                    "capture: the step must not assign variables; let it return gradients, and apply them after the "
                    f"replay. Received: a step that assigns {variable.path!r}"
                )
            if variable.grad is not gradient:
                raise RuntimeError(
                    "capture: the step must not call backward(), which adds to what was there; let it return "
                    f"minigrad.grad(loss, weights). Received: a step that adds to the gradient of {variable.path!r}"
                )

    def __call__(self, *inputs: Tensor) -> Any:
        """Copy ``inputs`` into those of the recording, start the graph, and return its outputs.

        Raises:
            TypeError: inputs that are not Tensors on the GPU of the recording.
            ValueError: another number of inputs, or other shapes or dtypes.
        """
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
        with at_device_of(self._inputs[0].data):
            for array, own in zip(arrays, self._inputs, strict=True):
                own.data[...] = array
            for variable, (array, _, _) in self._read.items():
                if variable.data is not array:  # assigned since: back to where the graph reads
                    array[...] = variable.data
                    variable.data = array
            self._graph.launch()
        return self.outputs


def capture(step: Callable[..., Any], *inputs: Tensor, warmup: int = 2) -> Captured:
    """Record what ``step(*inputs)`` starts on the GPU, for replays with other values of the same shapes.

    The step first runs ``warmup`` times for real. It must be a function of its inputs and of variables: it returns
    loss, outputs and gradients (`minigrad.grad`), and an optimizer applies these between replays. Numbers of the host
    that it uses are those of the recording for ever; random numbers and labels must therefore be inputs.

    Args:
        step: takes Tensors on a GPU, returns Tensors in any order and nesting.
        inputs: Tensors on one GPU, of the shapes and dtypes of all replays.

    Raises:
        TypeError: inputs that are not on one GPU.
        RuntimeError: a step that copies between host and GPU, synchronizes, assigns variables or calls backward(); or
            that CuPy cannot capture, as it cannot matrix products.
    """
    return Captured(step, inputs, warmup)


def _on_gpu(who: str, i: int, x: Any) -> Array:
    """The array of a Tensor on a GPU."""
    if not isinstance(x, Tensor) or not on_gpu(x.data):
        received = f"a Tensor on {x.device!r}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{who}: inputs[{i}] must be a Tensor on a GPU; move it with .to('cuda'). Received: {received}")
    return x.data


def _abandon(stream: Any) -> None:
    """End a recording that failed; what ended it may have ended it already."""
    try:
        stream.end_capture()
    except Exception:  # CuPy's own error, which would hide the first
        return
