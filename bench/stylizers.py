"""Every network side by side in one run: how long one frame takes, planes to planes.

    python bench/stylizers.py                 every engine, 640x360 and 1280x720
    python bench/stylizers.py --threads 1 4   other columns
    python bench/stylizers.py --model FILE    another I420 network as well

The networks take turns, so that whatever else the machine does falls on all of them alike; the
fastest of the rounds counts. TransformerNet is the network of PyTorch's examples (Johnson et
al. 2016) with random weights: they cost what trained ones cost. It and the 26-style network
work in RGB, and the conversion there and back is theirs to pay.
"""

import argparse
import hashlib
import importlib
import math
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from streamer.engine.backend import Backend
from streamer.engine.stylizer import StylizerSpec
from streamer.frame import Image, Style, i420_size
from streamer.library.onnx_graph import Graph
from streamer.styles.manifest import read_all
from streamer.styles.model import ModelFile, StyleEntry
from streamer.training.teachers import from_file

SIZES = ((640, 360), (1280, 720))
TOGETHER = 4  # pictures that Torch stylizes in one run
SLOWEST = "transformernet"
SLOW = ("multistyle26", SLOWEST)
CHANNELS = 32  # of its first layer


def transformer_net(path: Path) -> ModelFile:
    """Write TransformerNet: 9x9, two halvings, five residual blocks, two doublings, 9x9."""
    g, rng = Graph(), np.random.default_rng(0)

    def conv(x: str, inputs: int, outputs: int, size: int, stride: int = 1) -> str:
        pad = size // 2
        kernel = rng.normal(0, 0.05, (outputs, inputs, size, size)).astype(np.float32)
        x = g.add("Pad", x, g.integers(0, 0, pad, pad, 0, 0, pad, pad), mode="reflect")
        bias = g.constant(np.zeros(outputs, np.float32))
        x = g.add("Conv", x, g.constant(kernel), bias, strides=[stride, stride])
        return x

    def normed(x: str, channels: int) -> str:
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        return g.add("InstanceNormalization", x, g.constant(ones), g.constant(zeros))

    def layer(x: str, inputs: int, outputs: int, size: int, stride: int = 1) -> str:
        return g.add("Relu", normed(conv(x, inputs, outputs, size, stride), outputs))

    def doubled(x: str) -> str:
        scales = g.constant(np.array([1, 1, 2, 2], np.float32))
        return g.add(
            "Resize",
            x,
            "",
            scales,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    c = CHANNELS
    x = layer("image", 3, c, 9)
    x = layer(layer(x, c, 2 * c, 3, 2), 2 * c, 4 * c, 3, 2)
    for _ in range(5):
        inner = conv(layer(x, 4 * c, 4 * c, 3), 4 * c, 4 * c, 3)
        x = g.add("Add", x, normed(inner, 4 * c))
    x = layer(doubled(layer(doubled(x), 4 * c, 2 * c, 3)), 2 * c, c, 3)
    g.add("Identity", conv(x, c, 3, 9), output="stylized")
    shape = [1, 3, "height", "width"]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name in ("image", "stylized")
    ]
    onnx.save(g.model(*ends), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ModelFile(SLOWEST, path, digest, "rgb255", (StyleEntry(SLOWEST, SLOWEST),))


def files(model: ModelFile) -> list[ModelFile]:
    """Each file of a model as a model of its own."""
    plain = [replace(model, int8=None)]
    return plain + ([replace(model.int8, name=f"{model.name}-int8")] if model.int8 else [])


@dataclass(frozen=True, slots=True)
class Entry:
    """A network in an engine that runs it, painting `at_once` pictures in one run."""

    backend: Backend
    model: ModelFile
    at_once: int = 1

    def __str__(self) -> str:
        together = f" x{self.at_once}" if self.at_once > 1 else ""
        return f"{self.backend} {self.model.name}{together}"

    def painter(self, threads: int, width: int, height: int) -> Callable[[], object]:
        """What stylizes `at_once` pictures of one size."""
        rng = np.random.default_rng(1)
        image = Image(width, height, rng.integers(16, 235, i420_size(width, height), np.uint8))
        style = Style(((self.model.styles[0].name, 1.0),))
        stylizer = StylizerSpec(self.backend, threads, models=(self.model,)).load()
        return partial(stylizer.stylize_all, [image] * self.at_once, [style] * self.at_once)


def entries(models: list[ModelFile]) -> list[Entry]:
    """Every network in every engine that is here and can run it."""
    found = [Entry("onnx", model) for model in models]
    try:
        importlib.import_module("torch")
    except ImportError:
        print("torch is not installed: ONNX Runtime only")
        return found
    plain = [model for model in models if not model.name.endswith("-int8")]
    return found + [Entry("torch", model) for model in plain] + [Entry("torch", plain[0], TOGETHER)]


def fastest_ms(
    rows: list[Entry], width: int, height: int, threads: int, rounds: int
) -> dict[Entry, float]:
    """Milliseconds a picture in the fastest round of each entry."""
    painters = {entry: entry.painter(threads, width, height) for entry in rows}
    times: dict[Entry, list[float]] = {entry: [] for entry in rows}
    for _ in range(rounds + 1):
        for entry, stylize in painters.items():
            for _ in range(1 if entry.model.name == SLOWEST else 3):
                began = time.perf_counter()
                stylize()
                times[entry].append(1e3 * (time.perf_counter() - began) / entry.at_once)
    return {entry: min(spent) for entry, spent in times.items()}


def multiplications(model: ModelFile, width: int, height: int) -> int:
    """Of all convolutions, for one picture: each output's size, as ONNX Runtime computes it."""
    graph = onnx.load(model.path)
    weights = {w.name: list(w.dims) for w in graph.graph.initializer}
    weights |= {
        node.output[0]: list(node.attribute[0].t.dims)
        for node in graph.graph.node
        if node.op_type == "Constant"
    }
    places = {"Conv": 1, "QLinearConv": 3}
    convs = [node for node in graph.graph.node if node.op_type in places]
    graph.graph.output.extend(onnx.ValueInfoProto(name=node.output[0]) for node in convs)
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = {}
    for tensor in session.get_inputs():
        shape = [dim if isinstance(dim, int) else 1 for dim in tensor.shape]
        if len(shape) == 4:
            shape[2:] = [height // 2, width // 2] if tensor.name == "uv" else [height, width]
        kind = np.uint8 if tensor.type == "tensor(uint8)" else np.float32
        feed[tensor.name] = np.zeros(shape, kind)
    outputs = session.run([node.output[0] for node in convs], feed)
    kernels = [weights[node.input[places[node.op_type]]] for node in convs]
    return sum(o.size * math.prod(k[1:]) for o, k in zip(outputs, kernels, strict=True))


def memory_mb(entry: Entry, width: int, height: int) -> float:
    """What a process of its own needs more at most, once the engine is imported."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_memory_mb, (entry, width, height))


def _memory_mb(entry: Entry, width: int, height: int) -> float:
    importlib.import_module("torch" if entry.backend == "torch" else "onnxruntime")
    before = _status_mb("VmRSS")
    stylize = entry.painter(1, width, height)
    for _ in range(2):
        stylize()
    return _status_mb("VmHWM") - before


def _status_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--model", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    known = [file for m in read_all()[0] if not m.added for file in files(m)]
    models = known + [from_file(p) for p in options.model]
    with tempfile.TemporaryDirectory() as folder:
        models.append(transformer_net(Path(folder) / "transformer.onnx"))
        for width, height in SIZES:
            rows = entries(models)
            times = [fastest_ms(rows, width, height, n, options.rounds) for n in options.threads]
            print(f"{width}x{height:<20} {'MB':>6}", *(f"ms, {n} thr." for n in options.threads))
            for entry in rows:
                spent = (f"{ms[entry]:10.1f}" for ms in times)
                print(f"  {entry!s:26} {memory_mb(entry, width, height):6.0f}", *spent, end="")
                slower = (Entry("onnx", model) for model in models if model.name in SLOW)
                print("", *(f"{times[0][s] / times[0][entry]:5.1f}x" for s in slower), flush=True)
        for model in models:
            print(f"{multiplications(model, *SIZES[0]) / 1e9:6.2f} G multiplications: {model.name}")
    print(f"the ratios: how much faster than {' and '.join(SLOW)} in ONNX Runtime, one thread")


if __name__ == "__main__":
    main()
