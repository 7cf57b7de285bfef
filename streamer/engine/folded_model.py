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
from streamer.statistics import Orders, Statistics, average
from streamer.styles.model import LAYOUTS, ModelFile

Measured = Mapping[str, Statistics]
Shares = Mapping[str, tuple[int, float]]  # by a style's name its place in the model, and its share
MIN_SIDE_PX = 32
PHOTO_PIXELS = 500_000  # the memory for a larger photo is given back at once
MAX_PIXELS = 6_000_000  # as one run; larger images are stylized smaller and enlarged


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
    ) -> tuple[Image, Measured]:
        """`shares` has index and share of each style by name; with what was measured of them.

        Without orders the image's own statistics are used, whatever the tone. Raises ModelError.
        """
        alone = orders is None  # a photo
        tone = 0.0 if alone else tone
        width, height = self.size(image)
        fitted = pad(resize(image, width, height), MULTIPLE, MIN_SIDE_PX)
        planes = fitted.planes
        known, found = dict[str, Statistics](), dict[str, Statistics]()
        data = None
        for name, (index, _) in shares.items():
            settled = orders is not None and name in orders.known and name not in orders.measure
            if settled and orders is not None:
                known[name] = orders.known[name]
            elif tone >= 1 and self._steady is not None:
                continue
            else:
                measured = self._network.measure(planes, self._only(index))
                found[name], data = measured.statistics, measured.data
                known[name] = orders.known.get(name, found[name]) if orders else found[name]
        used = [self._toned(known.get(name), index, tone) for name, (index, _) in shares.items()]
        if len(shares) > 1 or data is None or used[0] is not next(iter(found.values())):
            weights = self._weights(shares)
            data = self._network.stylize(
                planes, weights, average(used, [share for _, share in shares.values()])
            )
        if alone and width * height > PHOTO_PIXELS:
            self._network.forget(fitted.width, fitted.height)
        whole = Image(fitted.width, fitted.height, data)
        return resize(crop(whole, width, height), image.width, image.height), found

    def size(self, image: Image) -> tuple[int, int]:
        """Width and height that the network works at."""
        scale = min(1.0, (MAX_PIXELS / (image.width * image.height)) ** 0.5)
        return int(image.width * scale), int(image.height * scale)

    def ready(self, image: Image, shares: Shares) -> bool:
        """Whether an image of this size can be stylized without preparing anything."""
        return self._network.ready(*self._fitted(image), self._weights(shares))

    def prepare(self, image: Image, shares: Shares) -> None:
        """Compile what an image of this size needs; beside `stylize`, in another thread."""
        self._network.prepare(*self._fitted(image), self._weights(shares))

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
