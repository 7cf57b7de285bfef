"""stylizer → **folded model** → folded network: one model with its norms as inputs.

A norm uses the statistics that come with the frame, or those of the image itself.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from streamer.engine.canonical import NotFoldableError
from streamer.engine.folded_network import MULTIPLE, Engine, FoldedNetwork
from streamer.engine.probe import probe
from streamer.engine.steady import read, read_steps
from streamer.errors import ModelError
from streamer.frame import Image, Plane, Size
from streamer.i420 import Weights, blank, crop, cut, pad, resize, surround
from streamer.paths import cache_dir
from streamer.statistics import Measurement, Orders, Statistics, average
from streamer.styles.model import LAYOUTS, ModelFile

Shares = Mapping[str, tuple[int, float]]  # by a style's name its place in the model, and its share
MIN_SIDE_PX = 32
PHOTO_PIXELS = 500_000  # the memory for a larger photo is given back at once
WHOLE_PIXELS = 1920 * 1088  # in one run; a larger image is stylized in tiles
_REDUCED = (1, 2, 2)  # Y, U and V
_NOTHING = Orders(0, {}, frozenset())  # known, as of a picture that is no stream's
TILE_PX, MARGIN_PX = 1024, 64  # sides of a tile, of which what is near others is not shown
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
        steps = () if model.statistics is None else read_steps(model.statistics)
        self._multiple = max(MULTIPLE, model.multiple)

        def open_network(engine: Engine) -> FoldedNetwork:
            return FoldedNetwork(
                data,
                layout.black,
                layout.white,
                engine,
                threads=threads,
                device=device,
                steps=steps,
                multiple=self._multiple,
            )

        best = probe(open_network, cache_dir(), threads, engines, device).best
        self.engine = best
        self._model, self._network = model, open_network(best)
        if model.added and model.statistics is None:  # whether it runs was not seen when it came
            self._try_out()
        self._steady = read(model.statistics) if model.statistics is not None else None
        if self._steady is not None and len(self._steady) != self.styles:
            raise ModelError(f"model {model.name}: {model.statistics} is for other styles")

    def _try_out(self) -> None:
        side = max(MIN_SIDE_PX, self._multiple)
        try:
            self._network.prepare(side, side)
        except ModelError as error:  # folded, it has an operator that the engine does not know
            raise NotFoldableError(str(error)) from None

    @property
    def styles(self) -> int:
        return self._network.styles or 1

    def stylize(
        self,
        image: Image,
        shares: Shares,
        tone: float,
        orders: Orders | None,
        photo_threads: int = 1,
    ) -> tuple[Image, Mapping[str, Measurement]]:
        """`shares` has index and share of each style by name; with what was measured of them.

        Without orders the image's own statistics are used, whatever the tone, and one that is
        large runs on `photo_threads`. Raises ModelError.
        """
        if orders is None:  # a photo
            if image.width * image.height > PHOTO_PIXELS:
                return self._photo(image, shares, photo_threads)
            tone, orders = 0.0, _NOTHING
        fitted = pad(image, self._multiple, max(MIN_SIDE_PX, self._multiple))
        whole_run = image.width * image.height <= WHOLE_PIXELS
        seen = (
            fitted
            if whole_run
            else resize(image, *_reduced(image.size, WHOLE_PIXELS, self._multiple))
        )
        used, found, data = list[Statistics](), dict[str, Measurement](), None
        for name, (index, _) in shares.items():
            own, data = orders.known.get(name), None
            if tone < 1 or self._steady is None:
                if own is None or name in orders.exact:
                    measured = self._network.measure(seen.planes, self._only(index))
                    whole, data = measured.statistics, measured.data
                    small = self._small(image, index, whole) if name in orders.measure else whole
                    found[name] = Measurement(small, whole, image.lines)
                    own = own or whole
                elif name in orders.measure:
                    found[name] = Measurement(self._small(image, index), None, image.lines)
            used.append(self._toned(own, index, tone))
        shown = found.get(next(iter(shares)))
        ready = len(shares) == 1 and shown is not None and used[0] is shown.whole
        if data is None or not ready or not whole_run:
            weights = self._weights(shares)
            blend = average(used, [share for _, share in shares.values()])
            data = self._stylized(fitted, weights, blend, whole_run=whole_run)
        return crop(Image(fitted.width, fitted.height, data), *image.size), found

    def _photo(
        self, image: Image, shares: Shares, threads: int
    ) -> tuple[Image, Mapping[str, Measurement]]:
        """Mirrored beyond its border, where networks draw fringes and lines, and cut."""
        wide = surround(image, MARGIN_PX)
        with self._network.spread(_sizes(wide.size, self._multiple), threads):
            stylized, found = self.stylize(wide, shares, 0.0, _NOTHING)
        whole = crop(stylized, image.width + MARGIN_PX, image.height + MARGIN_PX)
        return cut(whole, MARGIN_PX), found

    def _stylized(
        self, image: Image, weights: Weights | None, statistics: Statistics, *, whole_run: bool
    ) -> Plane:
        """As one run, or in tiles that overlap: as fine, in bounded memory."""
        if whole_run:
            return self._network.stylize(image.planes, weights, statistics)
        multiple = self._multiple
        result, width, height = blank(*image.size), *_sizes(image.size, multiple)[1]
        for top, rows in _tiles(image.height, multiple):
            for left, columns in _tiles(image.width, multiple):
                y, u, v = (
                    plane[top // n : (top + height) // n, left // n : (left + width) // n]
                    for plane, n in zip(image.planes, _REDUCED, strict=True)
                )
                data = self._network.stylize((y, u, v), weights, statistics)
                tile = Image(width, height, data)
                for source, target, n in zip(tile.planes, result.planes, _REDUCED, strict=True):
                    target[_part(rows, 0, n), _part(columns, 0, n)] = source[
                        _part(rows, top, n), _part(columns, left, n)
                    ]
        return result.data

    def _small(self, image: Image, index: int, whole: Statistics | None = None) -> Statistics:
        """Statistics of a small copy, or those of the whole image when it is no larger."""
        if whole is not None and image.width * image.height <= SMALL_PIXELS:
            return whole
        return self._network.measure(
            resize(image, *_reduced(image.size, SMALL_PIXELS, self._multiple)).planes,
            self._only(index),
        ).statistics

    def ready(self, size: Size, shares: Shares) -> bool:
        """Whether an image of this size can be stylized without preparing anything."""
        weights = self._weights(shares)
        return all(self._network.ready(*one, weights) for one in _sizes(size, self._multiple))

    def prepare(self, size: Size, shares: Shares) -> None:
        """Compile what an image of this size needs; beside `stylize`, in another thread."""
        small = _reduced(size, SMALL_PIXELS, self._multiple)
        for width, height in (small, *_sizes(size, self._multiple)):
            self._network.prepare(width, height, self._weights(shares))

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


def _sizes(size: Size, multiple: int) -> list[Size]:
    """The sizes that the network runs at for an image of this one."""
    if size[0] * size[1] > WHOLE_PIXELS:
        tile = _side(size[0], multiple), _side(size[1], multiple)
        return [_reduced(size, WHOLE_PIXELS, multiple), tile]
    sides = (max(side, MIN_SIDE_PX) for side in size)
    width, height = (-(-side // multiple) * multiple for side in sides)
    return [(width, height)]


def _side(length: int, multiple: int) -> int:
    """Of a tile of an image with this side."""
    return min(TILE_PX, -(-max(MIN_SIDE_PX, length) // multiple) * multiple)


def _part(shown: slice, start: int, reduced: int) -> slice:
    return slice((shown.start - start) // reduced, (shown.stop - start) // reduced)


def _tiles(length: int, multiple: int) -> Iterator[tuple[int, slice]]:
    """Where tiles begin along a side, and what each of them shows; `length` fits the network."""
    shown = 0
    while shown < length:
        start = min(max(0, shown - MARGIN_PX), length - _side(length, multiple))
        end = length if start + TILE_PX >= length else start + TILE_PX - MARGIN_PX
        yield start, slice(shown, end)
        shown = end


def _reduced(size: Size, pixels: int, multiple: int) -> Size:
    """Of a copy of at most so many pixels, which the network takes."""
    scale = min(1.0, (pixels / (size[0] * size[1])) ** 0.5)
    sides = (round(side * scale / multiple) * multiple for side in size)
    width, height = (max(MIN_SIDE_PX, multiple, side) for side in sides)
    return width, height
