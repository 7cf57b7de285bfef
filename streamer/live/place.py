"""placement → **place** → sessions, viewers, pictures: live streams in a process of their own.

Its methods are called from the front door's process: what they take and give back is plain.
"""

import asyncio
import gc
import logging
import os
import resource
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer.errors import UnknownStyleError
from streamer.library.live import LiveCatalogue
from streamer.live.broadcast import Broadcasts
from streamer.live.pictures import Pictures
from streamer.live.session import Defaults
from streamer.live.sessions import Sessions
from streamer.live.viewers import Viewers
from streamer.pipeline.change import Change
from streamer.ring.ring import Ring
from streamer.ring.setup import cores
from streamer.ring.worker_handle import Workers
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import Blend
from streamer.webrtc.options import PeerOptions

LOG_LINES = 200  # that wait for the front door


@dataclass(frozen=True, slots=True)
class Settings:
    """What a place is made of; travels to its process."""

    options: PeerOptions
    defaults: Defaults
    catalogue: Catalogue
    depth: int
    max_peers: int
    max_viewers: int
    here: bool  # on the machine of the front door, whose styles can be added to


@dataclass(frozen=True, slots=True)
class Answer:
    """An offer's answer, and the id of what it began."""

    id: str
    answer_sdp: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a place has and does, since its process began."""

    pid: int
    cores: int  # of its machine
    cpu_s: float
    streams: dict[str, dict[str, object]]  # by a session's id
    active: dict[str, dict[str, object]]  # by a stream's name
    viewers: dict[str, dict[str, object]]
    watching: dict[str, int]  # by a stream's name
    log: list[tuple[int, str]] = field(default_factory=list)


async def open_place(settings: Settings, workers: Workers) -> "Place":
    """A place whose ring has a worker. Raises RingError."""
    lines: deque[tuple[int, str]] = deque(maxlen=LOG_LINES)
    logger = logging.getLogger("streamer")
    logger.addHandler(_Kept(lines))
    logger.setLevel(logging.INFO)
    ring = Ring(lambda: workers, depth=settings.depth, quorum=1, shared=True)
    await ring.__aenter__()  # until the process ends
    gc.collect()
    gc.freeze()  # all this stays; collecting it again took 0.3 s each time
    return Place(settings, ring, lines)


class Place:
    """The streams of one process."""

    def __init__(self, settings: Settings, ring: Ring, lines: deque[tuple[int, str]]) -> None:
        broadcasts = Broadcasts()
        self._catalogue = LiveCatalogue(settings.catalogue, max_pixels=0, here=settings.here)
        self._here = settings.here
        self._lines = lines
        self._ring = ring
        self._sessions = Sessions(
            ring,
            self._parse,
            options=settings.options,
            defaults=settings.defaults,
            max_peers=settings.max_peers,
            broadcasts=broadcasts,
        )
        self._viewers = Viewers(broadcasts, settings.options, settings.max_viewers)
        self._pictures = Pictures(broadcasts)
        self._held: asyncio.StreamWriter | None = None
        self._each: dict[str, AsyncIterator[bytes]] = {}

    async def hold(self, address: str) -> None:
        """Keep a connection to the front door, whose end tells it of this process's death."""
        there = await asyncio.to_thread(Path(address).exists)
        if there:  # else it is on another machine, and Ray tells, seconds later
            _, self._held = await asyncio.open_unix_connection(address)

    async def publish(self, name: str, offer_sdp: str, owner: str) -> Answer:
        """See `Sessions.answer`."""
        session = await self._sessions.answer(name, offer_sdp, owner)
        return Answer(session.id, session.answer_sdp)

    async def watch(self, name: str, offer_sdp: str, owner: str) -> Answer:
        """See `Viewers.answer`."""
        watching = await self._viewers.answer(name, offer_sdp, owner)
        return Answer(watching.id, watching.answer_sdp)

    async def trickle(self, publishes: bool, id_: str, fragment: str) -> bool | None:
        """See `Endpoint.trickle`; None: there is no such connection."""
        taken: bool | None = await self._connections(publishes).trickle(id_, fragment)
        return taken

    async def close(self, publishes: bool, id_: str) -> bool:
        """End a connection; False when there is none of that id."""
        return bool(await self._connections(publishes).close(id_))

    async def end_of(self, publishes: bool, owner: str) -> None:
        """End the connections of one whose token was revoked."""
        await self._connections(publishes).end_of(owner)

    async def end_silent(self, name: str) -> None:
        """See `Sessions.end_silent`."""
        await self._sessions.end_silent(name)

    async def change(self, name: str, wanted: Change) -> dict[str, object]:
        """See `Sessions.change`."""
        return await self._sessions.change(name, wanted)

    async def newest(self, name: str) -> bytes:
        """See `Pictures.newest`."""
        return await self._pictures.newest(name)

    async def next_picture(self, name: str, reader: str) -> bytes | None:
        """The next one that `reader` gets of `Pictures.each`; None: there are no more."""
        each = self._each.setdefault(reader, aiter(self._pictures.each(name)))
        try:
            return await anext(each)
        except StopAsyncIteration:
            del self._each[reader]
            return None
        except BaseException:
            self._each.pop(reader, None)
            raise

    async def end_pictures(self, reader: str) -> None:
        """This reader has gone."""
        if (each := self._each.pop(reader, None)) is not None:
            await each.aclose()  # type: ignore[attr-defined] # it is a generator

    async def report(self) -> Report:
        """What there is, and what was logged since the last report."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        viewers = self._viewers.stats()
        active = self._sessions.active()
        return Report(
            os.getpid(),
            cores(),
            used.ru_utime + used.ru_stime,
            self._sessions.stats(),
            active,
            viewers,
            {name: self._viewers.count(name) for name in viewers.keys() | active.keys()},
            lines,
        )

    async def aclose(self) -> None:
        """End every stream and the ring; nothing of the process is left in any folder."""
        await self._sessions.aclose()
        await self._viewers.aclose()
        await self._ring.__aexit__()

    def _connections(self, publishes: bool) -> Any:
        return self._sessions if publishes else self._viewers

    def _parse(self, style: Any) -> Blend:
        """As the front door's catalogue does, which may have been given a style meanwhile."""
        try:
            return self._catalogue.parse(style)
        except UnknownStyleError:
            if not self._here:
                raise
            self._catalogue = LiveCatalogue(Catalogue.load(), max_pixels=0)
            return self._catalogue.parse(style)


class _Kept(logging.Handler):
    """Keeps lines until the front door asks for them."""

    def __init__(self, lines: deque[tuple[int, str]]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append((record.levelno, self.format(record)))
