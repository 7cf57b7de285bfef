"""What the norms see on average: a style's steady statistics, over many photographs.

    python -m streamer.engine.steady NETWORK.onnx PHOTOS STATISTICS.npz

writes them for each style of a network with values 0..1, in half precision, and the steps that each
style has in 8 bits, which a worker would else measure. A network that a user adds gets its own
statistics from the few photographs in `models/photos`, which are nearly as good.
"""

import importlib.util
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from streamer.engine.folded_network import MULTIPLE, Engine, FoldedNetwork, Planes
from streamer.statistics import Statistics, average

WIDTH, HEIGHT = 640, 360
PHOTOS = 48
MOST_STYLES = 8  # of a network whose statistics somebody waits for


def read(path: Path) -> tuple[Statistics, ...]:
    """Each style's, in the order of its network."""
    with np.load(path) as saved:
        rows = zip(*(saved[name].astype(np.float32) for name in ("mean", "logs")), strict=True)
        return tuple(Statistics(mean, logs) for mean, logs in rows)


def read_steps(path: Path) -> tuple[tuple[float, ...], ...]:
    """Each style's, for each quantized tensor of its network; empty where they were not written."""
    with np.load(path) as saved:
        return tuple(map(tuple, saved["steps"].tolist())) if "steps" in saved else ()


def write(
    path: Path | io.BytesIO, styles: list[Statistics], steps: Sequence[Sequence[float]] = ()
) -> None:
    """As `read` and `read_steps` read them."""
    mean = np.array([style.mean for style in styles], np.float16)
    logs = np.array([style.log_variance for style in styles], np.float16)
    np.savez_compressed(path, mean=mean, logs=logs, steps=np.array(steps, np.float32))


def of_photos(
    data: bytes, black: float, white: float, folder: Path, multiple: int = MULTIPLE
) -> bytes:
    """A file of a network's steady statistics over the photos in a folder; of none, empty.

    Both sides of a photo become multiples of `multiple`. Raises NotFoldableError, ModelError.
    """
    engine: Engine = "openvino-f32" if importlib.util.find_spec("openvino") else "onnxruntime"
    photos = [photo(file) for file in sorted(folder.glob("*.jpg"))]
    network = FoldedNetwork(data, black, white, engine, multiple=multiple)
    if not photos or (network.styles or 1) > MOST_STYLES:
        return b""
    file = io.BytesIO()
    write(file, steady(network, photos))
    return file.getvalue()


def steady(network: FoldedNetwork, photos: list[Planes]) -> list[Statistics]:
    """Of each of a network's styles."""
    blends = [None] if network.styles is None else list(np.eye(network.styles, dtype=np.float32))
    height, width = (side - side % network.multiple for side in (HEIGHT, WIDTH))
    half = np.s_[: height // 2, : width // 2]
    parts = [(y[:height, :width], u[half], v[half]) for y, u, v in photos]
    return [average([network.measure(p, blend).statistics for p in parts]) for blend in blends]


def photo(path: Path) -> Planes:
    """The middle of a photo, at the size that statistics are taken at."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise SystemExit(f"{path} is not a picture")
    scale = max(HEIGHT / bgr.shape[0], WIDTH / bgr.shape[1])
    size = max(WIDTH, round(bgr.shape[1] * scale)), max(HEIGHT, round(bgr.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    whole = cv2.resize(bgr, size, interpolation=way)
    top, left = (size[1] - HEIGHT) // 2, (size[0] - WIDTH) // 2
    part = whole[top : top + HEIGHT, left : left + WIDTH]
    data = cv2.cvtColor(part, cv2.COLOR_BGR2YUV_I420).ravel()
    u, v = data[WIDTH * HEIGHT :].reshape(2, HEIGHT // 2, WIDTH // 2)
    return data[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH), u, v


def main() -> None:
    network, folder, target = map(Path, sys.argv[1:])
    files = sorted(folder.glob("*.jpg"))
    photos = [photo(file) for file in files[:: max(1, len(files) // PHOTOS)][:PHOTOS]]
    data = network.read_bytes()
    folded = FoldedNetwork(data, 0, 1, "openvino-bf16")
    write(target, steady(folded, photos), FoldedNetwork(data, 0, 1, "openvino-int8").all_steps())


if __name__ == "__main__":
    main()
