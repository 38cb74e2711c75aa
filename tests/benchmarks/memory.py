"""The memory that a training step of one SeparableConv1D takes at its peak, and what the tape holds between its halves.

    python -m tests.benchmarks.memory --peers torch [--threads 2] [--only "QuartzNet C2"] [--json FILE]

Every figure is the peak of a whole process, which makes a few steps (forward, then the gradients of the input and of
every weight) and nothing else. "import" is such a process that only imports the library; what a library loads at its
first call counts as above import. "faults" are the page faults of the last step: pieces of memory that the system had
to hand out again.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import timing
from tests.benchmarks.workloads import WORKLOADS, Workload

MB = 1e6
STEPS = 3
LAYOUTS = {"minigrad": ("NLC", "NCL"), "torch": ("NCL", "NCL, linear", "NLC, conv2d")}
PEERS = [name for name in LAYOUTS if name != "minigrad"]


def minigrad(workload: Workload, layout: str) -> tuple[Any, Any, Any]:
    """The input, the layer and its weights."""
    from minigrad import Tensor
    from minigrad.layers import SeparableConv1D

    w = workload
    layer = SeparableConv1D(
        w.filters, w.taps, strides=w.stride, padding=w.padding, dilation_rate=w.dilation,
        depth_multiplier=w.multiplier, data_format="channels_last" if layout == "NLC" else "channels_first",
    )
    array, *weights = arrays(workload)
    x = Tensor(array if layout == "NLC" else np.ascontiguousarray(array.swapaxes(1, 2)), requires_grad=True)
    layer.build(x.shape)
    layer.set_weights(weights)
    return x, layer, layer.weights


def torch(workload: Workload, layout: str) -> tuple[Any, Any, Any]:
    from tests.benchmarks import in_torch

    x, *weights = arrays(workload)
    layer = in_torch.network(in_torch.separable(workload, layout), layout)
    in_torch.load(layer, weights)
    return in_torch.placed(x, layout).requires_grad_(), layer, list(layer.parameters())


def arrays(workload: Workload) -> list[np.ndarray]:
    """The input and the weights. `Workload.arrays` itself takes as much memory as a step."""
    w = workload
    shapes = [
        (w.batch, w.length, w.channels), (w.taps, w.channels, w.multiplier),
        (1, w.channels * w.multiplier, w.filters), (w.filters,),
    ]
    random = np.random.default_rng(0)
    return [random.standard_normal(shape, np.float32) for shape in shapes]


LIBRARIES = {"minigrad": minigrad, "torch": torch}


def run(library: str, layout: str, name: str) -> None:
    """Make the steps in this process, or only import the library where there is no layout.

    Prints the peak in bytes, the page faults of the last step, and the norms of the output and of every gradient, which
    no layout changes.
    """
    __import__(library)
    results, faults = [], 0
    if layout:
        workload = next(workload for workload in WORKLOADS if workload.name == name)
        x, layer, weights = LIBRARIES[library](workload, layout)
        for _ in range(STEPS):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for leaf in (x, *weights):
                leaf.grad = None
            y = layer(x)
            y.backward(y.detach())
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        results = [y.detach(), *(leaf.grad for leaf in (x, *weights))]
    print(json.dumps([peak(), faults, [float(np.linalg.norm(result.numpy())) for result in results]]))


def peak() -> int:
    """Bytes that this process has taken at most; on Linux without what its parent took before it started."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measured(library: str, layout: str, name: str) -> tuple[float, int, list[float]]:
    """What `run` prints in a process of its own."""
    code = f"from tests.benchmarks import memory; memory.run({library!r}, {layout!r}, {name!r})"
    most, faults, norms = json.loads(
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout
    )
    return most, faults, norms


def peaks(workload: Workload, libraries: list[str], rounds: int) -> dict[str, list[tuple[float, int]]]:
    """Peaks and page faults of every library without and with the steps, in turns."""
    _, _, reference = measured("minigrad", "NLC", workload.name)
    found: dict[str, list[tuple[float, int]]] = {}
    for _ in range(rounds):
        for library in libraries:
            for layout in ("", *LAYOUTS[library]):
                name = f"{library} {layout or 'import'}"
                most, faults, norms = measured(library, layout, workload.name)
                if not np.allclose(norms, reference if layout else [], rtol=1e-4):
                    raise SystemExit(f"{name}: a norm differs from minigrad's. Received: {norms}, {reference}")
                found.setdefault(name, []).append((most, faults))
    return found


def report(workload: Workload, found: dict[str, list[tuple[float, int]]], present: list[str]) -> dict[str, Any]:
    """Print the peaks and faults, and the ratios of minigrad's first layout to the best of each peer."""
    medians = {name: statistics.median(most for most, _ in each) for name, each in found.items()}
    faults = {name: statistics.median(count for _, count in each) for name, each in found.items()}
    imports = {name: medians[f"{name} import"] for name in ("minigrad", *present)}
    print(f"\n{workload.name}: peaks in MB{'':16s}process   above import   faults")
    for name, median in medians.items():
        above = median - imports[name.split(" ")[0]]
        print(f"  {name:32s} {median / MB:9.1f}   {above / MB:12.1f}   {faults[name]:6.0f}")
    ratios = {}
    ours = medians["minigrad NLC"]
    for peer in present:
        best = min((f"{peer} {layout}" for layout in LAYOUTS[peer]), key=medians.__getitem__)
        above = (ours - imports["minigrad"]) / (medians[best] - imports[peer])
        ratios[peer] = {"process": ours / medians[best], "above_import": above}
        print(f"  ratio to {best:23s} {ratios[peer]['process']:9.2f}   {above:12.2f}")
    return {"workload": workload.name, "medians_bytes": medians, "faults": faults, "ratios": ratios}


def held(output: Any) -> list[tuple[str, str, np.ndarray]]:
    """What the tape behind ``output`` holds: each array once, as (op, argument, array), the youngest first.

    Views of one buffer count as one array; "y" stands for the output of an op.
    """
    found: dict[int, tuple[str, str, np.ndarray]] = {}
    stack, seen = [output.node], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen or not node.parents:
            continue
        seen.add(node)
        stack += node.parents
        names = [*node.op.arguments, "y"]
        for i, array in zip(node.plan.keep, node.saved, strict=False):
            buffer = array
            while isinstance(buffer.base, np.ndarray):
                buffer = buffer.base
            found.setdefault(id(buffer), (node.op.name, names[i], array))
    return list(found.values())


def tape(workload: Workload) -> list[dict[str, Any]]:
    """Print what the tape holds between forward and backward."""
    x, layer, _ = minigrad(workload, "NLC")
    output = layer(x)
    print(f"\n{workload.name}: the tape holds, of input {x.shape} and output {output.shape},")
    rows = []
    for op, argument, array in held(output):
        what = "the input" if array is x.data else ""
        print(f"  {op:18s} {argument:3s} {array.shape!s:18s} {array.nbytes / MB:8.3f} MB   {what}")
        rows.append({"op": op, "argument": argument, "shape": array.shape, "bytes": array.nbytes})
    return rows


def main() -> None:
    given = timing.parser(__doc__, peers="torch", threads=2, rounds=3, only="QuartzNet C2").parse_args()
    present = timing.installed(given.peers, PEERS)
    timing.limit_threads(given.threads)
    workloads = timing.chosen(WORKLOADS, given.only)
    for workload in workloads:
        row = report(workload, peaks(workload, ["minigrad", *present], given.rounds), present)
        timing.keep(given.json, row | {"tape": tape(workload)})


if __name__ == "__main__":
    main()
