"""`models/published.toml` → **published** → catalogue, pull: networks that others publish."""

import tomllib
from dataclasses import dataclass

from streamer.paths import built_in_models
from streamer.styles.model import LayoutName


@dataclass(frozen=True, slots=True)
class Published:
    """A network that can be pulled: `streamer.library.pull` does it."""

    name: str
    style: str  # its name in the catalogue
    bytes: int
    sha256: str
    layout: LayoutName
    license: str
    description: str
    urls: tuple[str, ...]


def published() -> dict[str, Published]:
    """By name."""
    table = tomllib.loads((built_in_models() / "published.toml").read_text(encoding="utf-8"))
    models = [Published(**{**entry, "urls": tuple(entry["urls"])}) for entry in table["model"]]
    return {model.name: model for model in models}


def find_published(name: str) -> Published | None:
    """By the name of the network or of its style."""
    models = published()
    by_style = {model.style: model for model in models.values()}
    return models.get(name) or by_style.get(name)


def titled(style: str) -> str:
    """Its title once it is here."""
    return style.replace("-", " ").capitalize()
