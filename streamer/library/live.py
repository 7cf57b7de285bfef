"""HTTP, sessions → **live** → add, catalogue: the catalogue of a running server.

A picture that somebody sends becomes a style at once. It is kept in the data directory, where the
workers of this machine look up a name that is new to them (`engine/stylizer.py`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamer import temporary
from streamer.errors import UnavailableError, UsageError
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import Blend

MAX_ADDED = 64  # each takes memory in every worker that has stylized with it


class LiveCatalogue:
    """The current catalogue, which is replaced, never changed, when a style is added.

    `here`: the workers share this machine's disk.
    """

    def __init__(self, catalogue: Catalogue, *, max_pixels: int, here: bool = True) -> None:
        self._catalogue = catalogue
        self._max_pixels = max_pixels
        self._here = here

    def parse(self, style: str | Mapping[str, float]) -> Blend:
        """As `Catalogue.parse_live`."""
        return self._catalogue.parse_live(style)

    def listing(self) -> dict[str, Any]:
        """The body of `GET /styles`."""
        return self._catalogue.listing()

    def add(self, picture: bytes, file_name: str, name: str | None = None) -> dict[str, Any]:
        """Make the picture a style called `name`, else after its file; returns its listing entry.

        Takes seconds; not for two threads at once. Raises UnavailableError, UsageError (a name
        that is taken, too many styles), MediaError, TooLargeError, ModelError.
        """
        from streamer.library import store
        from streamer.library.add import import_model
        from streamer.library.read import PICTURES

        self._check_room()
        file = Path(file_name)
        style_name = store.to_name(name) if name else store.free_name(file.stem)
        ending = file.suffix.lower()
        with temporary.folder("style") as folder:
            path = folder / (style_name + (ending if ending in PICTURES else ".png"))
            path.write_bytes(picture)
            (style,) = import_model(path, name=style_name, max_pixels=self._max_pixels)
        self._catalogue = Catalogue.load()
        return self._catalogue.entry(style)

    def rename(self, name: str, title: str) -> dict[str, Any]:
        """Give a style that was added another title; returns its listing entry.

        Raises UnknownStyleError, UsageError for one that came with streamer, ModelError.
        """
        from streamer.library import store

        store.rename(self._catalogue.check(name), title)
        self._catalogue = Catalogue.load()
        return self._catalogue.entry(name)

    def remove(self, name: str) -> None:
        """Forget a style that was added. Raises as `rename`."""
        from streamer.library import store

        store.remove(self._catalogue.check(name))
        self._catalogue = Catalogue.load()

    def file_of(self, name: str) -> Path:
        """The model's file of a style that was added. Raises UnknownStyleError, UsageError."""
        model, _ = self._catalogue.find(name)
        if not model.added:
            raise UsageError(f"{name} came with streamer; only added styles are handed out")
        return model.path

    def _check_room(self) -> None:
        if not self._here:
            text = "the workers are on other machines: run `streamer styles add` there"
            raise UnavailableError(f"{text}, then start the server again")
        if sum(model.added for model in self._catalogue.models) >= MAX_ADDED:
            text = f"you have added {MAX_ADDED} styles, which is the limit"
            raise UsageError(f"{text}; remove one with: streamer styles remove NAME")
