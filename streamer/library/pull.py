"""`models/published.toml` → **styles_pull** → the library: networks that others publish."""

import contextlib
import tomllib
from dataclasses import dataclass

from streamer.engine.onnx_file import free_sides, refuse_external_data
from streamer.errors import ModelError, UsageError
from streamer.library import store as library
from streamer.library.download import DownloadError, Progress, download
from streamer.paths import built_in_models, user_models
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import LayoutName, StyleEntry


@dataclass(frozen=True, slots=True)
class Published:
    """A network somewhere else."""

    name: str
    style: str  # what it will be called here
    bytes: int
    sha256: str
    layout: LayoutName
    license: str
    description: str
    urls: tuple[str, ...]


def published() -> dict[str, Published]:
    """Every network that can be pulled, by name."""
    table = tomllib.loads((built_in_models() / "published.toml").read_text(encoding="utf-8"))
    models = [Published(**{**entry, "urls": tuple(entry["urls"])}) for entry in table["model"]]
    return {model.name: model for model in models}


def find(name: str) -> Published:
    """By the name it is published under or will have here. Raises UsageError."""
    models = published()
    by_style = {model.style: model for model in models.values()}
    model = models.get(name) or by_style.get(name)
    if model is None:
        raise UsageError(f"{name} is not published; there are: {', '.join(models)}")
    return model


def is_here(model: Published) -> bool:
    """Whether it was pulled already."""
    return any(m.added and m.source == model.urls[0] for m in Catalogue.load().models)


def pull(model: Published, name: str | None = None, progress: Progress = lambda _: None) -> str:
    """Fetch a network and add it; returns the name of its style.

    Raises UsageError when the name is taken and ModelError when no mirror has it; then nothing
    is left behind but, of a download that broke off, what the next one can go on from.
    """
    style = library.to_name(name or model.style)
    library.check_free(style)
    part = user_models() / f"{model.sha256}.part"
    try:
        data = download(model.urls, part, model.bytes, model.sha256, progress)
    except DownloadError as error:
        kept = "; pull it again to go on from there" if part.exists() else ""
        raise ModelError(f"cannot fetch {model.name}: {error}{kept}") from None
    finally:
        with contextlib.suppress(OSError):  # it is not there, or not empty
            part.parent.rmdir()
    refuse_external_data(data)
    look = StyleEntry(style, style.replace("-", " ").capitalize(), model.description)
    new = library.NewModel(
        style, free_sides(data), model.layout, (look,), model.license, model.urls[0]
    )
    return library.add(new)[0]
