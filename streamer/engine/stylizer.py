"""worker → **stylizer** → network → **stylizer** → worker: an image in, a stylized one out.

A style is a blend of one model's styles (one run of the network), of several models' (one run
each), of the camera picture itself (`none`), or of all of these.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from streamer.engine.backend import Backend
from streamer.engine.network import Network, run
from streamer.errors import ModelError, UnknownStyleError
from streamer.frame import Image, Style
from streamer.i420 import Weights, mix, recolor
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import NONE, ModelFile

_NOTHING = 1 / 1024  # a smaller share of the picture changes no pixel by more than a quarter


@dataclass(frozen=True, slots=True)
class StylizerSpec:
    """What a stylizer is made of; travels to the process that will load it."""

    backend: Backend
    threads: int = 1
    device: str = "cpu"  # or cuda, cuda:1, ...; Torch only
    models: tuple[ModelFile, ...] = ()
    follow_catalogue: bool = False  # finds styles that are added on this machine later on, too

    def load(self) -> "Stylizer":
        """Load every model. Raises ModelError."""
        cv2.setNumThreads(self.threads)
        if self.backend == "none":
            return Identity()
        open_network = self._engine()
        networks = {model: open_network(model) for model in self.models}
        return Stylizer(networks, _Added(open_network) if self.follow_catalogue else None)

    def _engine(self) -> Callable[[ModelFile], Network]:
        if self.backend == "onnx":
            from streamer.engine.onnx_network import fastest

            return lambda model: fastest(model, self.threads)
        try:
            importlib.import_module("torch")
            importlib.import_module("onnx")
        except ImportError as missing:
            hint = "pip install 'streamer[torch]'"
            raise ModelError(f"the torch backend needs {missing.name}: {hint}") from None
        from streamer.engine.torch_network import TorchNetwork

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
    """Stylizes images; not for two threads at once.

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
        """The styles it can stylize, `none` among them."""
        return (NONE, *self._places)

    @property
    def batches(self) -> bool:
        """Whether `stylize_all` is faster than `stylize` for each."""
        return any(network.batches for network in self._networks.values())

    def stylize(self, image: Image, style: Style) -> Image:
        """`image` in `style`, at its own size. Raises UnknownStyleError."""
        return self.stylize_all([image], [style])[0]

    def stylize_all(self, images: Sequence[Image], styles: Sequence[Style]) -> list[Image]:
        """Each image in its style; those of one size and model together. Raises as `stylize`."""
        parts: list[list[tuple[float, Image]]] = [[] for _ in images]
        runs: dict[ModelFile, list[tuple[int, float, Weights]]] = {}
        for place, (image, style) in enumerate(zip(images, styles, strict=True)):
            camera, shares = self._shares(style)
            if camera > _NOTHING:
                parts[place].append((camera, image))
            for model, vector in shares.items():
                share = float(vector.sum())
                if share > _NOTHING:
                    runs.setdefault(model, []).append((place, share, vector / np.float32(share)))
        for model, wishes in runs.items():
            seen, vectors = [images[place] for place, _, _ in wishes], [v for _, _, v in wishes]
            stylized = run(self._networks[model], model, seen, vectors)
            for (place, share, _), image in zip(wishes, stylized, strict=True):
                parts[place].append((share, image))
        return [_finish(*one) for one in zip(images, styles, parts, strict=True)]

    def _shares(self, style: Style) -> tuple[float, dict[ModelFile, Weights]]:
        """The camera picture's share, and those of each model's styles."""
        camera, shares = 1 - style.strength, dict[ModelFile, Weights]()
        for name, weight in style.blend:
            if name == NONE:
                camera += style.strength * weight
            else:
                model, index = self._find(name)
                blank = np.zeros(self._networks[model].styles, np.float32)
                vector = shares.setdefault(model, blank)
                vector[index] += style.strength * weight
        return camera, shares

    def _find(self, name: str) -> tuple[ModelFile, int]:
        if name not in self._places and self._more is not None:
            self._take(*self._more(name))
        if name not in self._places:
            raise UnknownStyleError(name, self.styles)
        return self._places[name]


class Identity(Stylizer):
    """Returns every image as it came, whatever the style: the system without a network."""

    def __init__(self) -> None:
        super().__init__({})

    @property
    def batches(self) -> bool:
        return False

    def stylize(self, image: Image, style: Style) -> Image:
        """The image itself."""
        return image

    def stylize_all(self, images: Sequence[Image], styles: Sequence[Style]) -> list[Image]:
        """Each image, one after the other."""
        return [self.stylize(*one) for one in zip(images, styles, strict=True)]


def _finish(image: Image, style: Style, parts: Sequence[tuple[float, Image]]) -> Image:
    """What an image's parts make together."""
    if len(parts) == 1 and parts[0][1] is image:
        return image
    stylized = mix(parts)
    return recolor(stylized, image) if style.preserve_color else stylized
