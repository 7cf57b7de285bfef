"""stylizer → **network** → onnx_network, torch_network → **network** → stylizer.

Images are fitted to a network, run together where their sizes agree, and returned at their own.
"""

import math
from collections.abc import Sequence
from typing import Protocol

from streamer.errors import ModelError
from streamer.frame import Image
from streamer.i420 import Pixels, Weights, crop, from_rgb, pad, resize, to_rgb
from streamer.styles.model import LAYOUTS, ModelFile


class Network(Protocol):
    """One loaded model. It stylizes several images of one size, each in its own blend.

    `styles` is the length of each vector of weights, which sums to 1; `batches` says whether
    several images at once are faster than one after the other.
    """

    engine: str
    styles: int
    batches: bool

    def run_rgb(self, images: Sequence[Pixels], weights: Sequence[Weights]) -> list[Pixels]:
        """Stylize RGB images, uint8 (height, width, 3)."""
        ...


def run(
    network: Network, model: ModelFile, images: Sequence[Image], weights: Sequence[Weights]
) -> list[Image]:
    """Stylize each image and return it at its own size. Raises ModelError.

    Images of one size go in one run, of at most as many pixels as one large image may have.
    """
    fitted = [_fit(image, model) for image in images]
    alike: dict[tuple[int, int], list[int]] = {}
    for place, image in enumerate(fitted):
        alike.setdefault(image.size, []).append(place)
    stylized: dict[int, Image] = {}
    for (width, height), places in alike.items():
        room = max(1, LAYOUTS[model.layout].max_pixels // (width * height))
        for some in (places[i : i + room] for i in range(0, len(places), room)):
            chosen = [fitted[i] for i in some], [weights[i] for i in some]
            stylized.update(zip(some, _run_alike(network, model, *chosen), strict=True))
    return [_unfit(stylized[i], image, model) for i, image in enumerate(images)]


def _stylized_size(image: Image, model: ModelFile) -> tuple[int, int]:
    """The size to run the network at: as memory allows."""
    max_pixels = LAYOUTS[model.layout].max_pixels
    scale = min(1.0, math.sqrt(max_pixels / (image.width * image.height)))
    return int(image.width * scale), int(image.height * scale)


def _fit(image: Image, model: ModelFile) -> Image:
    layout = LAYOUTS[model.layout]
    multiple = max(layout.side_multiple, model.multiple)
    return pad(
        resize(image, *_stylized_size(image, model)), multiple, max(layout.min_side_px, multiple)
    )


def _unfit(stylized: Image, image: Image, model: ModelFile) -> Image:
    """The inverse of `_fit`."""
    return resize(crop(stylized, *_stylized_size(image, model)), *image.size)


def _run_alike(
    network: Network, model: ModelFile, images: Sequence[Image], weights: Sequence[Weights]
) -> list[Image]:
    """Stylize images of one size that the network takes unchanged."""
    width, height = images[0].width, images[0].height
    stylized = [from_rgb(p) for p in network.run_rgb([to_rgb(i) for i in images], weights)]
    for image in stylized:
        if image.size != (width, height):
            sizes = f"{image.width}x{image.height} for {width}x{height}"
            raise ModelError(f"model {model.name} returns images of another size: {sizes}")
    return stylized
