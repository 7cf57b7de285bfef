"""stylizer → **network** → stylizer_onnx, stylizer_torch → **network** → stylizer.

Images made to fit a network, run by those of one size, and back at their own.
"""

import math
from collections.abc import Sequence
from typing import Protocol

from streamer.errors import ModelError
from streamer.frame import Image
from streamer.i420 import (
    Pixels,
    Planes,
    Weights,
    crop,
    from_rgb,
    from_tensors,
    pad,
    resize,
    to_rgb,
    to_tensors,
)
from streamer.styles.model import LAYOUTS, ModelFile


class Network(Protocol):
    """One loaded model: stylizes pictures of one size, each in a blend of its own.

    `styles` is how many weights it takes; `batches` says whether many at once are faster than
    one after the other.
    """

    styles: int
    batches: bool

    def run_rgb(self, pictures: Sequence[Pixels], weights: Sequence[Weights]) -> list[Pixels]: ...

    def run_i420(self, planes: Sequence[Planes], weights: Sequence[Weights]) -> list[Planes]: ...


def run(
    network: Network, model: ModelFile, images: Sequence[Image], weights: Sequence[Weights]
) -> list[Image]:
    """Each image stylized by a network and back at its own size.

    Those of one size are stylized in one run, as far as the memory for one large picture goes.
    """
    fitted = [_fit(image, model) for image in images]
    alike: dict[tuple[int, int], list[int]] = {}
    for place, image in enumerate(fitted):
        alike.setdefault((image.width, image.height), []).append(place)
    stylized: dict[int, Image] = {}
    for (width, height), places in alike.items():
        room = max(1, LAYOUTS[model.layout].max_pixels // (width * height))
        for some in (places[i : i + room] for i in range(0, len(places), room)):
            chosen = [fitted[i] for i in some], [weights[i] for i in some]
            stylized.update(zip(some, _run_alike(network, model, *chosen), strict=True))
    return [_unfit(stylized[i], image, model) for i, image in enumerate(images)]


def _stylized_size(image: Image, model: ModelFile) -> tuple[int, int]:
    """Smaller by what memory allows, and so that strokes grow with the picture.

    For strokes by half at most: larger ones than that look out of focus.
    """
    layout = LAYOUTS[model.layout]
    scale = min(1.0, math.sqrt(layout.max_pixels / (image.width * image.height)))
    if layout.reference_side_px is not None:
        scale = min(scale, max(0.5, layout.reference_side_px / min(image.width, image.height)))
    return int(image.width * scale), int(image.height * scale)


def _fit(image: Image, model: ModelFile) -> Image:
    """The image at a size that the model takes."""
    layout = LAYOUTS[model.layout]
    multiple = max(layout.side_multiple, model.multiple)
    return pad(
        resize(image, *_stylized_size(image, model)), multiple, max(layout.min_side_px, multiple)
    )


def _unfit(stylized: Image, image: Image, model: ModelFile) -> Image:
    """The inverse of `_fit`."""
    return resize(crop(stylized, *_stylized_size(image, model)), image.width, image.height)


def _run_alike(
    network: Network, model: ModelFile, images: Sequence[Image], weights: Sequence[Weights]
) -> list[Image]:
    """Images of one size that the network takes as it is."""
    width, height = images[0].width, images[0].height
    if model.layout != "i420":
        stylized = [from_rgb(p) for p in network.run_rgb([to_rgb(i) for i in images], weights)]
    else:
        planes = network.run_i420([to_tensors(image) for image in images], weights)
        stylized = [from_tensors(*pair) for pair in planes]
    for image in stylized:
        if (image.width, image.height) != (width, height):
            sizes = f"{image.width}x{image.height} for {width}x{height}"
            raise ModelError(f"model {model.name} returns pictures of another size: {sizes}")
    return stylized
