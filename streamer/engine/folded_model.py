"""stylizer → **folded model** → folded network: one model with its norms as inputs.

A norm uses the statistics that come with the frame, or those of the image itself.
"""

from collections.abc import Mapping

import numpy as np

from streamer.engine.folded_network import MULTIPLE, Engine, FoldedNetwork
from streamer.engine.probe import probe
from streamer.engine.steady import read
from streamer.errors import ModelError
from streamer.frame import Image
from streamer.i420 import Weights, crop, pad, resize
from streamer.paths import cache_dir
from streamer.statistics import Measurement, Orders, Statistics, average
from streamer.styles.model import LAYOUTS, ModelFile

Shares = Mapping[str, tuple[int, float]]  # by a style's name its place in the model, and its share
MIN_SIDE_PX = 32
MAX_PIXELS = 6_000_000  # as one run; larger images are stylized smaller and enlarged
SMALL_PIXELS = 640 * 360  # of the copy that a running stream is measured on


class FoldedModel:
    """Raises NotFoldableError for a network of another family, ModelError for an unreadable one.

    `engines` are those to choose from: the one that is fastest on this machine is taken.
    """

    batches = False

    def __init__(
        self, model: ModelFile, engines: tuple[Engine, ...], threads: int, device: str
    ) -> None:
        data, layout = model.read(), LAYOUTS[model.layout]

        def open_network(engine: Engine) -> FoldedNetwork:
            return FoldedNetwork(
                data, layout.black, layout.white, engine, threads=threads, device=device
            )

        best = probe(open_network, cache_dir(), threads, engines).best
        self.engine = best
        self._model, self._network = model, open_network(best)
        self._steady = read(model.statistics) if model.statistics is not None else None
        if self._steady is not None and len(self._steady) != self.styles:
            raise ModelError(f"model {model.name}: {model.statistics} is for other styles")

    @property
    def styles(self) -> int:
        return self._network.styles or 1

    def stylize(
        self,
        image: Image,
        shares: Shares,
        tone: float,
        orders: Orders | None,
    ) -> tuple[Image, Mapping[str, Measurement]]:
        """`shares` has index and share of each style by name; with what was measured of them.

        Without orders the image's own statistics are used, whatever the tone. Raises ModelError.
        """
        tone = 0.0 if orders is None else tone
        width, height = self.size(image)
        fitted = pad(resize(image, width, height), MULTIPLE, MIN_SIDE_PX)
        planes = fitted.planes
        orders = orders or Orders(0, {}, frozenset())
        used, found, data = list[Statistics](), dict[str, Measurement](), None
        for name, (index, _) in shares.items():
            own, data = orders.known.get(name), None
            if tone < 1 or self._steady is None:
                if own is None or name in orders.exact:
                    measured = self._network.measure(planes, self._only(index))
                    whole, data = measured.statistics, measured.data
                    small = self._small(image, index, whole) if name in orders.measure else whole
                    found[name] = Measurement(small, whole, image.height)
                    own = own or whole
                elif name in orders.measure:
                    found[name] = Measurement(self._small(image, index), None, image.height)
            used.append(self._toned(own, index, tone))
        shown = found.get(next(iter(shares)))
        if len(shares) > 1 or data is None or shown is None or used[0] is not shown.whole:
            weights = self._weights(shares)
            data = self._network.stylize(
                planes, weights, average(used, [share for _, share in shares.values()])
            )
        result = Image(fitted.width, fitted.height, data)
        return resize(crop(result, width, height), image.width, image.height), found

    def _small(self, image: Image, index: int, whole: Statistics | None = None) -> Statistics:
        """Statistics of a small copy, or those of the whole image when it is no larger."""
        if whole is not None and image.width * image.height <= SMALL_PIXELS:
            return whole
        return self._network.measure(
            resize(image, *_reduced(image)).planes, self._only(index)
        ).statistics

    def size(self, image: Image) -> tuple[int, int]:
        """Width and height that the network works at."""
        scale = min(1.0, (MAX_PIXELS / (image.width * image.height)) ** 0.5)
        return int(image.width * scale), int(image.height * scale)

    def ready(self, image: Image, shares: Shares) -> bool:
        """Whether an image of this size can be stylized without preparing anything."""
        return self._network.ready(*self._fitted(image), self._weights(shares))

    def prepare(self, image: Image, shares: Shares) -> None:
        """Compile what an image of this size needs; beside `stylize`, in another thread."""
        for width, height in (_reduced(image), self._fitted(image)):
            self._network.prepare(width, height, self._weights(shares))

    def _fitted(self, image: Image) -> tuple[int, int]:
        sides = (max(side, MIN_SIDE_PX) for side in self.size(image))
        width, height = (-(-side // MULTIPLE) * MULTIPLE for side in sides)
        return width, height

    def _toned(self, own: Statistics | None, index: int, tone: float) -> Statistics:
        if self._steady is None:
            assert own is not None  # it was measured
            return own
        return own.toward(self._steady[index], tone) if own is not None else self._steady[index]

    def _only(self, index: int) -> Weights | None:
        if self._network.styles is None:
            return None
        weights = np.zeros(self._network.styles, np.float32)
        weights[index] = 1
        return weights

    def _weights(self, shares: Shares) -> Weights | None:
        if self._network.styles is None:
            return None
        weights = np.zeros(self._network.styles, np.float32)
        for index, share in shares.values():
            weights[index] += share
        return weights


def _reduced(image: Image) -> tuple[int, int]:
    """Width and height of the small copy, which the network takes."""
    scale = min(1.0, (SMALL_PIXELS / (image.width * image.height)) ** 0.5)
    sides = (round(side * scale / MULTIPLE) * MULTIPLE for side in (image.width, image.height))
    width, height = (max(MIN_SIDE_PX, side) for side in sides)
    return width, height
