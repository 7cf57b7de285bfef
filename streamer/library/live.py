"""HTTP, sessions → **styles_live** → styles: the catalogue of a server that runs.

A picture that somebody sends becomes a style while everything goes on. It is kept in the data
directory, where the workers of this machine look up a name that is new to them (`stylizer.py`).
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamer.errors import UnavailableError, UsageError
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import Blend

MOST_ADDED = 64  # each takes memory in every worker that stylized it once


class LiveCatalogue:
    """What the catalogue is now; `here`: the workers share this machine's disk.

    Whoever holds it sees a new style at once: the catalogue itself never changes, another one
    takes its place.
    """

    def __init__(self, catalogue: Catalogue, *, max_pixels: int, here: bool = True) -> None:
        self._catalogue = catalogue
        self._max_pixels = max_pixels
        self._here = here

    def parse(self, style: str | Mapping[str, float]) -> Blend:
        """The blend a name or a mapping stands for; raises UnknownStyleError, UsageError."""
        return self._catalogue.parse(style)

    def listing(self) -> dict[str, Any]:
        """What `GET /styles` says."""
        return self._catalogue.listing()

    def add(self, picture: bytes, file_name: str, name: str | None = None) -> dict[str, Any]:
        """Make the picture a style called `name`, else after its file; its entry in the listing.

        Takes seconds; not for two threads at once. Raises UnavailableError, UsageError (a name
        that is taken, too many styles), MediaError, TooLargeError, ModelError.
        """
        from streamer.library import store as library
        from streamer.library.add import PICTURES, adopt
        from streamer.photo import decode_photo

        self._check_room()
        decode_photo(picture, self._max_pixels)  # refuses what is no picture, or too large
        file = Path(file_name)
        called = library.to_name(name) if name else library.free_name(file.stem)
        ending = file.suffix.lower()
        with tempfile.TemporaryDirectory(prefix="streamer-style-") as folder:
            path = Path(folder, called + (ending if ending in PICTURES else ".png"))
            path.write_bytes(picture)
            (style,) = adopt(path, name=called)
        self._catalogue = Catalogue.load()
        return self._catalogue.entry(style)

    def _check_room(self) -> None:
        if not self._here:
            text = "the workers of a cluster read their own disks: use `streamer styles add` there"
            raise UnavailableError(f"{text}, then start the server again")
        if sum(model.added for model in self._catalogue.models) >= MOST_ADDED:
            text = f"there are {MOST_ADDED} styles of your own already"
            raise UsageError(f"{text}; forget one with: streamer styles remove NAME")
