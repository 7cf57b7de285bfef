"""What the routes need of the rest of the program; tests put fakes in its place."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from streamer.errors import RingError
from streamer.frame import Image, Style
from streamer.pipeline.change import Change


class Ring(Protocol):
    """See `streamer.ring.ring.Ring`."""

    @property
    def ready(self) -> bool: ...
    @property
    def waits_for(self) -> str | None: ...
    async def stylize(self, image: Image, style: Style, height_px: int | None = None) -> Image: ...
    def stats(self) -> list[dict[str, object]]: ...


class Catalogue(Protocol):
    """See `streamer.library.live.LiveCatalogue`."""

    def listing(self) -> dict[str, Any]: ...
    def parse(self, style: str) -> tuple[tuple[str, float], ...]: ...
    def add(self, picture: bytes, file_name: str, name: str | None) -> dict[str, Any]: ...
    def rename(self, name: str, title: str) -> dict[str, Any]: ...
    def remove(self, name: str) -> None: ...
    def file_of(self, name: str) -> Path: ...


class Answered(Protocol):
    """A connection whose offer was answered."""

    @property
    def id(self) -> str: ...
    @property
    def answer_sdp(self) -> str: ...


class Connections(Protocol):
    """All publishers or all viewers, as WHIP and WHEP see them."""

    async def answer(self, name: str, offer_sdp: str, owner: str, /) -> Answered: ...
    def has(self, session_id: str, /) -> bool: ...
    async def trickle(self, session_id: str, fragment: str, /) -> bool | None: ...
    async def close(self, session_id: str, /) -> bool: ...
    async def end_of(self, owner: str, /) -> None: ...


class Publishers(Connections, Protocol):
    """See `streamer.live.sessions.Sessions`."""

    async def change(self, name: str, wanted: Change) -> dict[str, object]: ...
    def active(self) -> dict[str, dict[str, object]]: ...
    def stats(self) -> dict[str, dict[str, object]]: ...


class Viewers(Connections, Protocol):
    """See `streamer.live.viewers.Viewers`."""

    def count(self, name: str) -> int: ...
    def stats(self) -> dict[str, dict[str, object]]: ...


class Pictures(Protocol):
    """See `streamer.live.pictures.Pictures`."""

    async def newest(self, name: str) -> bytes: ...
    def each(self, name: str) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Live:
    """Everyone who publishes or watches."""

    publishers: Publishers
    viewers: Viewers
    pictures: Pictures
    processes: Callable[[], list[dict[str, object]]] = list  # that carry streams, if not this one


def require(ring: Ring) -> None:
    """Raise RingError until the workers are warm, so that the client comes back later."""
    if not ring.ready:
        lacks = ring.waits_for or "the workers are still loading"
        raise RingError(f"{lacks}; try again in a few seconds")
