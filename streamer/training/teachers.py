"""Slow networks to learn from: anything the catalogue can paint, or a file that could be added."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamer.engine.network import Network
from streamer.engine.onnx_network import OnnxNetwork, fastest
from streamer.engine.stylizer import Stylizer
from streamer.errors import ModelError, UsageError
from streamer.frame import Style
from streamer.i420 import from_rgb, to_rgb
from streamer.library.read import CHECKPOINTS, PICTURES, read
from streamer.library.store import to_name
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import ModelFile, StyleEntry
from streamer.training.data import Picture

FILES = (".onnx", *CHECKPOINTS, *PICTURES)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a style comes from, for whoever asks what a student may be used for."""

    style: str
    source: str
    license: str


class CatalogueTeacher:
    """Paints with any style streamer knows, and as networks and pictures in files: `data.Teacher`.

    `sources`: style names, or paths. Raises UnknownStyleError, UsageError, ModelError, MediaError.
    """

    def __init__(self, sources: Sequence[str], threads: int = 1) -> None:
        catalogue = Catalogue.load()
        networks: dict[ModelFile, Network] = {}
        found: list[tuple[ModelFile, StyleEntry, str]] = []
        for source in sources:
            if Path(source).suffix.lower() in FILES:
                model, network = _open(Path(source), threads)
                networks[model] = network
                found += [(model, look, model.source) for look in model.styles]
            else:
                model, look = catalogue.find(source)
                if model not in networks:
                    networks[model] = fastest(model, threads)
                found.append((model, look, f"{look.name} of {model.name}"))
        self._stylizer = Stylizer(networks)
        self._blends = [Style(((f"{look.name}@{model.name}", 1.0),)) for model, look, _ in found]
        self.styles = tuple(look.name for _, look, _ in found)
        if len(set(self.styles)) < len(self.styles):
            raise UsageError(f"two of the styles have one name: {', '.join(self.styles)}")
        self.origins = tuple(Origin(o.name, source, model.license) for model, o, source in found)

    def paint(self, picture: Picture, style: int) -> Picture:
        """The picture in the style with this index, at its own size."""
        return to_rgb(self._stylizer.stylize(from_rgb(picture), self._blends[style]))


def _open(path: Path, threads: int) -> tuple[ModelFile, Network]:
    """A file as a model of its own, which is not in the catalogue."""
    name = to_name(path.stem)
    network = read(path, name)
    license = network.facts.get("license", "unknown")
    model = replace(network.model(name), license=license, source=path.name)
    return model, OnnxNetwork(model, network.data, threads)


def from_file(path: Path) -> ModelFile:
    """A network of streamer's own kind in a file. Raises UsageError, ModelError."""
    network = read(path, to_name(path.stem))
    if network.layout != "i420":
        raise ModelError(f"{path} is no network in I420 planes")
    digest = hashlib.sha256(network.data).hexdigest()
    return replace(network.model(to_name(path.stem)), path=path, sha256=digest)
