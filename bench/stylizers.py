"""Every network side by side in one run: how long one frame takes, planes to planes.

    python bench/stylizers.py                 640x360 and 1280x720, one thread
    python bench/stylizers.py --threads 1 2   more columns
    python bench/stylizers.py --model FILE    another I420 network as well

The networks take turns, so that whatever else the machine does falls on all of them alike; the
fastest of the rounds counts. TransformerNet is the network of PyTorch's examples (Johnson et
al. 2016) with random weights: they cost what trained ones cost. It and the 26-style network
work in RGB, and the conversion there and back is theirs to pay.
"""

import argparse
import hashlib
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from streamer.frame import Image, Style, i420_size
from streamer.manifest import read_all
from streamer.styles import Look, ModelFile
from streamer.stylizer import Stylizer, StylizerSpec
from streamer.training.graph import Graph
from streamer.training.teachers import from_file

SIZES = ((640, 360), (1280, 720))
SLOWEST = "transformernet"
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
    g.add("Identity", conv(x, c, 3, 9), output="painted")
    shape = [1, 3, "height", "width"]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name in ("image", "painted")
    ]
    onnx.save(g.model(*ends), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ModelFile(SLOWEST, path, digest, "rgb255", (Look(SLOWEST, SLOWEST),))


def files(model: ModelFile) -> list[ModelFile]:
    """Each file of a model as a model of its own."""
    plain = [replace(model, int8=None)]
    return plain + ([replace(model.int8, name=f"{model.name}-int8")] if model.int8 else [])


def fastest_ms(
    models: list[ModelFile], width: int, height: int, threads: int, rounds: int
) -> dict[str, float]:
    """Milliseconds of the fastest round of each model."""
    rng = np.random.default_rng(1)
    image = Image(width, height, rng.integers(16, 235, i420_size(width, height), np.uint8))
    loaded: dict[str, Stylizer] = {
        model.name: StylizerSpec("onnx", threads, models=(model,)).load() for model in models
    }
    styles = {model.name: Style(((model.styles[0].name, 1.0),)) for model in models}
    times: dict[str, list[float]] = {name: [] for name in loaded}
    for _ in range(rounds + 1):
        for name, stylizer in loaded.items():
            for _ in range(1 if name == SLOWEST else 3):
                began = time.perf_counter()
                stylizer.stylize(image, styles[name])
                times[name].append(1e3 * (time.perf_counter() - began))
    return {name: min(spent) for name, spent in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, nargs="*", default=[1])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--model", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    known = [file for m in read_all()[0] if not m.added for file in files(m)]
    models = known + [from_file(p) for p in options.model]
    with tempfile.TemporaryDirectory() as folder:
        models.append(transformer_net(Path(folder) / "transformer.onnx"))
        for threads in options.threads:
            for width, height in SIZES:
                print(f"{width}x{height}, threads: {threads}")
                times = fastest_ms(models, width, height, threads, options.rounds)
                for name, ms in times.items():
                    ratios = (f"{times[slow] / ms:5.1f}x" for slow in ("multistyle26", SLOWEST))
                    print(f"  {name:24}{ms:8.1f} ms ", *ratios, flush=True)
    print("the ratios: how much faster than the 26-style network, than TransformerNet")


if __name__ == "__main__":
    main()
