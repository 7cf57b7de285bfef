"""Every network in every engine, in one run: how long one frame takes, planes to planes.

    python -m bench.stylizers                 640x360 and 1280x720, one thread
    python -m bench.stylizers --threads 1 2 --heights 360 --networks multistyle26 picture
    ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI python -m bench.stylizers    as a processor without AMX

The engines of a network take turns, so that whatever else the machine does falls on all of them
alike; the fastest of the rounds counts. The folded engines stylize with given statistics; "own" is
the form that measures those of the picture, of which a stream needs one a second. `onnx` and
`torch` run the networks as they were published. TransformerNet is the network of PyTorch's examples
(Johnson et al. 2016) with random weights: they cost what trained ones cost.
"""

import argparse
import hashlib
import importlib
import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import onnx

from streamer.diagnostics.measure import sample_image
from streamer.engine.folded_network import ENGINES, Engine, FoldedNetwork
from streamer.engine.stylizer import StylizerSpec
from streamer.frame import Style
from streamer.i420 import to_rgb
from streamer.library.from_picture import picture_to_onnx
from streamer.library.from_pytorch import transformer_net as to_onnx
from streamer.styles.manifest import read_all
from streamer.styles.model import LAYOUTS, LayoutName, ModelFile, StyleEntry
from streamer.training.net import TransformerNet

PUBLISHED: tuple[Literal["onnx", "torch"], ...] = ("onnx", "torch")
SLOW_MS = 500.0  # a row that takes longer has one run a round


def transformer_net(path: Path, channels: int = 32) -> ModelFile:
    """Write a TransformerNet."""
    onnx.save(to_onnx(TransformerNet(channels).weights()), path)
    return _model(path, f"transformernet-{channels}", "rgb255")


def picture_net(path: Path) -> ModelFile:
    """Write what a picture becomes as a style."""
    picture = path.with_suffix(".png")
    cv2.imwrite(str(picture), to_rgb(sample_image(256, 256)))
    path.write_bytes(picture_to_onnx(picture))
    return _model(path, "picture", "rgb1")


def _model(path: Path, name: str, layout: LayoutName) -> ModelFile:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ModelFile(name, path, digest, layout, (StyleEntry(name, name),))


@dataclass(frozen=True, slots=True)
class Entry:
    """A network in an engine; `own`: with the picture's own statistics, measured."""

    model: ModelFile
    engine: Engine | Literal["onnx", "torch"]
    own: bool = False

    def __str__(self) -> str:
        return f"{self.model.name}, {self.engine}{', own' if self.own else ''}"

    def load(self, threads: int, width: int, height: int) -> Callable[[], object]:
        """What stylizes a picture. Raises ImportError, ModelError."""
        image = sample_image(width, height)
        if self.engine == "onnx" or self.engine == "torch":  # noqa: PLR1714 - mypy narrows it
            style = Style(((self.model.styles[0].name, 1.0),))
            stylizer = StylizerSpec(self.engine, threads, models=(self.model,)).load()
            return partial(stylizer.stylize, image, style)
        layout = LAYOUTS[self.model.layout]
        data, ends = self.model.read(), (layout.black, layout.white)
        network = FoldedNetwork(data, *ends, self.engine, threads=threads)
        weights = np.eye(network.styles, dtype=np.float32)[0] if network.styles else None
        measure = partial(network.measure, image.planes, weights)
        if self.own:
            return measure
        return partial(network.stylize, image.planes, weights, measure().statistics)


def entries(model: ModelFile) -> list[Entry]:
    """A network in every engine."""
    folded = [Entry(model, engine, own) for engine in ENGINES for own in (False, True)]
    return folded + [Entry(model, engine) for engine in PUBLISHED]


def fastest_ms(
    rows: list[Entry], width: int, height: int, threads: int, rounds: int
) -> dict[Entry, float]:
    """Milliseconds a picture in the fastest round of each entry that this machine can run."""
    times: dict[Entry, list[float]] = {}
    ready: dict[Entry, Callable[[], object]] = {}
    for entry in rows:
        try:
            ready[entry] = entry.load(threads, width, height)
            times[entry] = [_ms(ready[entry]) for _ in range(2)][1:]  # the first one compiles
        except Exception as error:  # whatever an engine says that it cannot
            print(f"  {entry!s:40} {str(error).partition(chr(10))[0]}")
    for _ in range(rounds):
        for entry, spent in times.items():
            spent += [_ms(ready[entry]) for _ in range(1 if spent[0] > SLOW_MS else 3)]
    return {entry: min(spent) for entry, spent in times.items()}


def _ms(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - began)


def memory_mb(entry: Entry, width: int, height: int) -> float:
    """What a process of its own needs more at most, once the engines are imported."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_memory_mb, (entry, width, height))


def _memory_mb(entry: Entry, width: int, height: int) -> float:
    names = {"onnx": "onnxruntime", "torch": "torch", "onnxruntime": "onnxruntime"}
    importlib.import_module(names.get(entry.engine, "openvino"))
    before = _status_mb("VmRSS")
    stylize = entry.load(1, width, height)
    for _ in range(2):
        stylize()
    return _status_mb("VmHWM") - before


def _status_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, nargs="*", default=[1])
    parser.add_argument("--heights", type=int, nargs="*", default=[360, 720], help="16:9")
    parser.add_argument("--networks", nargs="*", help="default: all")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--memory", action="store_true", help="also measure it; takes longer")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = [model for model in read_all()[0] if not model.added]
        models.append(picture_net(folder / "picture.onnx"))
        models += [transformer_net(folder / f"{n}.onnx", n) for n in (8, 16, 32)]
        models = [m for m in models if not options.networks or m.name in options.networks]
        for height, model in itertools.product(options.heights, models):
            width, rows = height * 16 // 9, entries(model)
            times = [fastest_ms(rows, width, height, n, options.rounds) for n in options.threads]
            print(f"{f'{width}x{height}':42}", *(f"ms, {n} thr." for n in options.threads))
            for entry in times[0]:
                spent = (f"{ms[entry]:10.1f}" if entry in ms else " " * 10 for ms in times)
                memory = f"{memory_mb(entry, width, height):6.0f} MB" if options.memory else ""
                print(f"  {entry!s:40}", *spent, memory, flush=True)


if __name__ == "__main__":
    main()
