"""worker → **stylizer** → network → **stylizer** → worker: an image in, a stylized one out.

A style is a blend of one model's styles (one run of the network), of several models' (one run
each), of the source image itself (`none`), or of all of these.
"""

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

_NEGLIGIBLE = 1 / 1024  # a smaller share of the image changes no pixel by more than a quarter


@dataclass(frozen=True, slots=True)
class StylizerSpec:
    """What a stylizer is made of; travels to the process that will load it."""

    backend: Backend
    threads: int = 1
    device: str = "cpu"  # or cuda, cuda:1, ...; Torch only
    models: tuple[ModelFile, ...] = ()
    follow_catalogue: bool = False  # find styles that are added on this machine later on, too

    def load(self) -> "Stylizer":
        """Load every model. Raises ModelError."""
        cv2.setNumThreads(self.threads)
        if self.backend == "none":
            return Identity()
        open_network = self._engine()
        networks = {model: open_network(model) for model in self.models}
        return Stylizer(networks, CatalogueLookup(open_network) if self.follow_catalogue else None)

    def _engine(self) -> Callable[[ModelFile], Network]:
        if self.backend == "onnx":
            from streamer.engine.onnx_network import fastest

            return lambda model: fastest(model, self.threads)
        try:
            from streamer.engine.torch_network import TorchNetwork
        except ModuleNotFoundError as missing:
            hint = "pip install 'streamer[torch]'"
            raise ModelError(f"the torch backend needs {missing.name}: {hint}") from None
        return lambda model: TorchNetwork(model, self.device, self.threads)


@dataclass(frozen=True, slots=True)
class CatalogueLookup:
    """Opens the network of a style that was added since the catalogue was read."""

    open_network: Callable[[ModelFile], Network]

    def __call__(self, name: str) -> tuple[ModelFile, Network]:
        """Raises UnknownStyleError, ModelError."""
        model, _ = Catalogue.load().find(name)
        return model, self.open_network(model)


class Stylizer:
    """Stylizes images; not for two threads at once.

    `lookup` opens the network of a style that is in none of `networks`; raises UnknownStyleError.
    """

    def __init__(
        self,
        networks: Mapping[ModelFile, Network],
        lookup: Callable[[str], tuple[ModelFile, Network]] | None = None,
    ) -> None:
        self._networks: dict[ModelFile, Network] = {}
        self._entries: dict[str, tuple[ModelFile, int]] = {}
        self._lookup = lookup
        for model, network in networks.items():
            self._add(model, network)

    def _add(self, model: ModelFile, network: Network) -> None:
        self._networks[model] = network
        for entry in model.styles:
            if not 0 <= entry.index < network.styles:
                raise ModelError(f"model {model.name} has no style number {entry.index}")
            for name in (entry.name, f"{entry.name}@{model.name}"):
                self._entries.setdefault(name, (model, entry.index))

    @property
    def styles(self) -> tuple[str, ...]:
        """The styles it can stylize with, `none` among them."""
        return (NONE, *self._entries)

    @property
    def batches(self) -> bool:
        """Whether `stylize_all` is faster than `stylize` for each."""
        return any(network.batches for network in self._networks.values())

    def stylize(self, image: Image, style: Style) -> Image:
        """`image` in `style`, at its own size. Raises UnknownStyleError, ModelError."""
        return self.stylize_all([image], [style])[0]

    def stylize_all(self, images: Sequence[Image], styles: Sequence[Style]) -> list[Image]:
        """Each image in its style; those of one size and model together. Raises as `stylize`."""
        parts: list[list[tuple[float, Image]]] = [[] for _ in images]
        runs: dict[ModelFile, list[tuple[int, float, Weights]]] = {}
        for i, (image, style) in enumerate(zip(images, styles, strict=True)):
            source_share, vectors = self._shares(style)
            if source_share > _NEGLIGIBLE:
                parts[i].append((source_share, image))
            for model, vector in vectors.items():
                share = float(vector.sum())
                if share > _NEGLIGIBLE:
                    runs.setdefault(model, []).append((i, share, vector / np.float32(share)))
        for model, requests in runs.items():
            chosen, weights = [images[i] for i, _, _ in requests], [w for _, _, w in requests]
            stylized = run(self._networks[model], model, chosen, weights)
            for (i, share, _), image in zip(requests, stylized, strict=True):
                parts[i].append((share, image))
        return [_finish(*one) for one in zip(images, styles, parts, strict=True)]

    def _shares(self, style: Style) -> tuple[float, dict[ModelFile, Weights]]:
        """The share of the source image, and for each model that of each of its styles."""
        source_share, vectors = 1 - style.strength, dict[ModelFile, Weights]()
        for name, weight in style.blend:
            if name == NONE:
                source_share += style.strength * weight
            else:
                model, index = self._find(name)
                zeros = np.zeros(self._networks[model].styles, np.float32)
                vectors.setdefault(model, zeros)[index] += style.strength * weight
        return source_share, vectors

    def _find(self, name: str) -> tuple[ModelFile, int]:
        if name not in self._entries and self._lookup is not None:
            self._add(*self._lookup(name))
        if name not in self._entries:
            raise UnknownStyleError(name, self.styles)
        return self._entries[name]


class Identity(Stylizer):
    """Returns every image unchanged, whatever the style: the system without a network."""

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
    """Mix an image's parts, whose shares sum to 1."""
    if len(parts) == 1 and parts[0][1] is image:
        return image
    stylized = mix(parts)
    return recolor(stylized, image) if style.preserve_color else stylized
