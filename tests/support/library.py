"""What a user's library holds, seen from outside."""

from pathlib import Path

from streamer.engine.backend import Backend
from streamer.engine.stylizer import StylizerSpec
from streamer.frame import Image, Style
from streamer.styles.catalogue import Catalogue


def stylized(style: str, image: Image, backend: Backend = "onnx") -> Image:
    """The image, stylized by the catalogue as it is on disk now."""
    model, _ = Catalogue.load().find(style)
    stylizer = StylizerSpec(backend, models=(model,)).load()
    return stylizer.stylize(image, Style(((style, 1.0),)))


def nothing_is_left(folder: Path) -> bool:
    return not folder.exists() or not list(folder.iterdir())
