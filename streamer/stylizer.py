"""worker → **stylizer** → worker: an image in, the same image painted out.

A style is a blend of one model's styles (one run of the network), of several models' (one run
each), of the camera picture itself (`none`), or of all of these.
"""

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.errors import ModelError, UnknownStyleError
from streamer.frame import Image, Style
from streamer.planes import Pixels, crop, from_rgb, mix, pad, recolor, resize, to_rgb
from streamer.styles import LAYOUTS, NONE, Catalogue, Layout, ModelFile

Backend = Literal["onnx", "torch", "none"]


class Network(Protocol):
    """One loaded model. `styles` is the length of `weights`, which sum to 1."""

    styles: int

    def rgb(self, picture: Pixels, weights: NDArray[np.float32]) -> Pixels: ...

    def planes(
        self, y: NDArray[np.uint8], uv: NDArray[np.uint8], weights: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]: ...


@dataclass(frozen=True, slots=True)
class StylizerSpec:
    """What a stylizer is made of; travels to the process that will load it."""

    backend: Backend
    threads: int = 1
    device: str = "cpu"  # or cuda, cuda:1, ...; Torch only
    models: tuple[ModelFile, ...] = ()
    grows: bool = False  # paints what is added to this machine's catalogue later on, too

    def load(self) -> "Stylizer":
        """Load every model. Raises ModelError."""
        cv2.setNumThreads(self.threads)
        if self.backend == "none":
            return Identity({})
        open_network = self._engine()
        networks = {model: open_network(model) for model in self.models}
        return Stylizer(networks, _Added(open_network) if self.grows else None)

    def _engine(self) -> Callable[[ModelFile], Network]:
        if self.backend == "onnx":
            from streamer.stylizer_onnx import fastest

            return lambda model: fastest(model, self.threads)
        try:
            importlib.import_module("torch")
            importlib.import_module("onnx")
        except ImportError as missing:
            hint = "pip install 'streamer[torch]'"
            raise ModelError(f"the torch backend needs {missing.name}: {hint}") from None
        from streamer.stylizer_torch import TorchNetwork

        return lambda model: TorchNetwork(model, self.device, self.threads)


@dataclass(frozen=True, slots=True)
class _Added:
    """Finds the network of a style that was added since the catalogue was read."""

    open_network: Callable[[ModelFile], Network]

    def __call__(self, name: str) -> tuple[ModelFile, Network]:
        """Raises UnknownStyleError, ModelError."""
        model, _ = Catalogue.load().find(name)
        return model, self.open_network(model)


class Stylizer:
    """Paints images; not for two threads at once.

    `more` finds the network of a style that is in none of `networks`; raises UnknownStyleError.
    """

    def __init__(
        self,
        networks: Mapping[ModelFile, Network],
        more: Callable[[str], tuple[ModelFile, Network]] | None = None,
    ) -> None:
        self._networks: dict[ModelFile, Network] = {}
        self._places: dict[str, tuple[ModelFile, int]] = {}
        self._more = more
        for model, network in networks.items():
            self._take(model, network)

    def _take(self, model: ModelFile, network: Network) -> None:
        self._networks[model] = network
        for look in model.styles:
            if not 0 <= look.index < network.styles:
                raise ModelError(f"model {model.name} has no style number {look.index}")
            for name in (look.name, f"{look.name}@{model.name}"):
                self._places.setdefault(name, (model, look.index))

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles it can paint, `none` among them."""
        return (NONE, *self._places)

    def stylize(self, image: Image, style: Style) -> Image:
        """`image` in `style`, at its own size. Raises UnknownStyleError."""
        camera, shares = 1 - style.strength, dict[ModelFile, NDArray[np.float32]]()
        for name, weight in style.blend:
            if name == NONE:
                camera += style.strength * weight
            else:
                model, index = self._find(name)
                vector = shares.setdefault(
                    model, np.zeros(self._networks[model].styles, np.float32)
                )
                vector[index] += style.strength * weight
        return self._paint(image, camera, shares, style.preserve_color)

    def _find(self, name: str) -> tuple[ModelFile, int]:
        if name not in self._places and self._more is not None:
            self._take(*self._more(name))
        if name not in self._places:
            raise UnknownStyleError(name, self.styles)
        return self._places[name]

    def _paint(
        self,
        image: Image,
        camera: float,
        shares: Mapping[ModelFile, NDArray[np.float32]],
        preserve_color: bool,
    ) -> Image:
        parts = [(camera, image)] if camera > _NOTHING else []
        for model, vector in shares.items():
            share = float(vector.sum())
            if share > _NOTHING:
                painted = _run(self._networks[model], model, image, vector / np.float32(share))
                parts.append((share, painted))
        if len(parts) == 1 and parts[0][1] is image:
            return image
        painted = mix(parts)
        return recolor(painted, image) if preserve_color else painted


class Identity(Stylizer):
    """Returns every image as it came, whatever the style: the system without a network."""

    def stylize(self, image: Image, style: Style) -> Image:
        """`image` itself."""
        return image


_NOTHING = 1 / 1024  # a smaller share of the picture changes no pixel by more than a quarter


def _scale(layout: Layout, image: Image) -> float:
    """How much smaller to paint: what memory allows, and so that strokes grow with the picture.

    By half at most: larger strokes than that look out of focus.
    """
    memory = math.sqrt(layout.most / (image.width * image.height))
    strokes = 1.0
    if layout.strokes_px is not None:
        strokes = max(0.5, layout.strokes_px / min(image.width, image.height))
    return min(memory, strokes, 1.0)


def _run(network: Network, model: ModelFile, image: Image, weights: NDArray[np.float32]) -> Image:
    """One run of a network, and back to the image's own size."""
    scale = _scale(LAYOUTS[model.layout], image)
    if scale < 1:
        small = resize(image, int(image.width * scale), int(image.height * scale))
        painted = _run_whole(network, model, small, weights)
        return resize(painted, image.width, image.height)
    return _run_whole(network, model, image, weights)


def _run_whole(
    network: Network, model: ModelFile, image: Image, weights: NDArray[np.float32]
) -> Image:
    layout = LAYOUTS[model.layout]
    multiple = max(layout.multiple, model.multiple)
    padded = pad(image, multiple, max(layout.least, multiple))
    width, height = padded.width, padded.height
    if model.layout != "i420":
        painted = from_rgb(network.rgb(to_rgb(padded), weights))
    else:
        luma = padded.data[: width * height].reshape(1, 1, height, width)
        chroma = padded.data[width * height :].reshape(1, 2, height // 2, width // 2)
        planes = network.planes(luma, chroma, weights)
        painted = Image(width, height, np.concatenate([plane.ravel() for plane in planes]))
    if (painted.width, painted.height) != (width, height):
        sizes = f"{painted.width}x{painted.height} for {width}x{height}"
        raise ModelError(f"model {model.name} returns pictures of another size: {sizes}")
    return crop(painted, image.width, image.height)
