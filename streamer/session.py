"""server → **session** → pipeline.

One live stream: a peer, its lane through the ring, what it asks for and what it is told.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol, Self

from streamer import pipeline
from streamer.control import Change, Height, read_change, read_id
from streamer.errors import ServerFullError, StreamerError, UnknownStyleError
from streamer.fade import Fade
from streamer.frame import Frame, Style
from streamer.governor import Governor
from streamer.peer import Peer, PeerOptions
from streamer.ring import Ring
from streamer.stats import Stats

log = logging.getLogger(__name__)

STATS_S = 1.0
MAX_WAITING_ANSWERS = 64


class Styles(Protocol):
    """What a session needs of the catalogue."""

    def parse(self, style: str | dict[str, float]) -> tuple[tuple[str, float], ...]:
        """The blend a name or a mapping stands for; raises UnknownStyleError."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """How a stream looks and runs until its client says otherwise."""

    style: Style
    height_px: Height = "auto"
    target_fps: float = 30.0
    deadline_s: float | None = None


class Session:
    """A peer from its offer to its end."""

    def __init__(
        self, name: str, peer: Peer, ring: Ring, styles: Styles, defaults: Defaults
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.name = name
        self.answer_sdp = peer.answer_sdp
        self.stats = Stats()
        self._peer = peer
        self._ring = ring
        self._lane = ring.open(live=True)
        self._styles = styles
        self._fade = Fade(defaults.style)
        self._height = defaults.height_px
        self._governor = Governor(defaults.target_fps)
        self._deadline_s = defaults.deadline_s
        self._size = (0, 0)
        self._asked: deque[object] = deque(
            maxlen=MAX_WAITING_ANSWERS
        )  # ids, until a frame is taken
        self._applied: deque[tuple[int, object]] = deque(maxlen=MAX_WAITING_ANSWERS)  # pts, id

    @classmethod
    async def answer(
        cls,
        name: str,
        offer_sdp: str,
        options: PeerOptions,
        ring: Ring,
        styles: Styles,
        defaults: Defaults,
    ) -> Self:
        """Answer an offer. Raises UsageError when it cannot be answered."""
        early: list[str] = []
        peer = await Peer.answer(offer_sdp, options, on_message=early.append)
        session = cls(name, peer, ring, styles, defaults)
        peer.on_message = session.hear
        for text in early:
            session.hear(text)
        return session

    async def run(self) -> None:
        """Carry the stream until the peer is gone."""
        try:
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(self._tell())
                await pipeline.run(
                    self._peer.source,
                    self._lane,
                    self._peer.sink,
                    stats=self.stats,
                    dress=self._dress,
                    left=self._left,
                    deadline_s=self._deadline_s,
                )
                telling.cancel()
        finally:
            self._lane.close()
            await self._peer.close()

    async def close(self) -> None:
        """Hang up; `run` then returns."""
        await self._peer.close()

    def hear(self, text: str) -> None:
        """A message from the client."""
        asked = read_id(text)
        try:
            self._change(read_change(text))
        except StreamerError as error:
            self._say(id=asked, error={"code": _code(error), "message": str(error)})
        else:
            self._asked.append(asked)

    def as_dict(self) -> dict[str, object]:
        """The stream's numbers, as the page and `/stats` show them."""
        now = time.monotonic()
        self.stats.dropped["intake"] = self._peer.source.dropped
        return {
            "name": self.name,
            **self.stats.as_dict(now),
            "width": self._size[0],
            "height": self._size[1],
            "height_px": self._height_px,
            "height_auto": self._height == "auto",
            "style": dict(self._fade.target.blend),
            "strength": self._fade.target.strength,
            "preserve_color": self._fade.target.preserve_color,
            **self._peer_numbers(),
        }

    @property
    def _height_px(self) -> int:
        wanted = self._governor.height_px if self._height == "auto" else self._height
        assert isinstance(wanted, int)
        return min(wanted, self._size[1] or wanted)

    def _peer_numbers(self) -> dict[str, object]:
        numbers = self._peer.stats()
        return {"bitrate_bps": numbers.bitrate_bps, "codec": numbers.codec}

    def _change(self, wanted: Change) -> None:
        style = self._fade.target
        if wanted.style is not None:
            style = replace(style, blend=self._styles.parse(wanted.style))
        if wanted.strength is not None:
            style = replace(style, strength=wanted.strength)
        if wanted.preserve_color is not None:
            style = replace(style, preserve_color=wanted.preserve_color)
        if wanted.height_px is not None:
            self._height = wanted.height_px
        self._fade.to(style, wanted.transition_s, time.monotonic())

    def _dress(self, frame: Frame) -> Frame:
        """Called with every frame the ring takes."""
        now = time.monotonic()
        self.stats.arrived.tick(now)
        self._size = (frame.image.width, frame.image.height)
        while self._asked:
            self._applied.append((frame.pts, self._asked.popleft()))
        return replace(frame, style=self._fade.at(now), height_px=self._height_px)

    def _left(self, seq: int, frame: Frame) -> None:
        """Called with every frame that goes back to the peer."""
        while self._applied and self._applied[0][0] <= frame.pts:
            _, asked = self._applied.popleft()
            self._say(id=asked, applied={"seq": seq, "pts": frame.pts})

    async def _tell(self) -> None:
        """Once a second: look at the speed, and send the numbers."""
        busy_s, looked_at = self._ring.busy_s, time.monotonic()
        while True:
            await asyncio.sleep(STATS_S)
            now = time.monotonic()
            share = (self._ring.busy_s - busy_s) / (now - looked_at) / max(len(self._ring), 1)
            busy_s, looked_at = self._ring.busy_s, now
            self._govern(share, now)
            self._peer.set_latency(self.stats.latency.quantile(0.5))
            workers = [{"state": worker["state"]} for worker in self._ring.stats()]
            self._say(stats={**self.as_dict(), "workers": workers})

    def _govern(self, busy: float, now: float) -> None:
        camera_fps = self._peer.source.fps(now)
        if self._height == "auto" and self._size[1]:
            self._governor.update(camera_fps, self.stats.left.fps(now), busy, self._size[1])

    def _say(self, **message: object) -> None:
        self._peer.send_message(json.dumps(message))


class Sessions:
    """Every live peer of the server; at most `max_peers`. Use `aclose` at the end."""

    def __init__(
        self,
        ring: Ring,
        styles: Styles,
        *,
        options: PeerOptions,
        defaults: Defaults,
        max_peers: int = 4,
    ) -> None:
        self._ring = ring
        self._styles = styles
        self._options = options
        self._defaults = defaults
        self._max_peers = max_peers
        self._answering = 0
        self._live: dict[str, tuple[Session, asyncio.Task[None]]] = {}

    async def answer(self, name: str, offer_sdp: str) -> Session:
        """A new session. Raises ServerFullError, or UsageError for an unfit offer."""
        if len(self._live) + self._answering >= self._max_peers:
            raise ServerFullError(f"all {self._max_peers} places are taken; try again later")
        self._answering += 1
        try:
            session = await Session.answer(
                name, offer_sdp, self._options, self._ring, self._styles, self._defaults
            )
        finally:
            self._answering -= 1
        task = asyncio.create_task(self._keep(session))
        self._live[session.id] = (session, task)
        return session

    async def close(self, session_id: str) -> bool:
        """End a session; False when there is none of that id."""
        found = self._live.get(session_id)
        if found is None:
            return False
        session, task = found
        await session.close()
        await asyncio.wait({task}, timeout=2)
        return True

    def stats(self) -> dict[str, dict[str, object]]:
        """The numbers of every session, by id."""
        return {key: session.as_dict() for key, (session, _) in self._live.items()}

    async def aclose(self) -> None:
        """End every session."""
        await asyncio.gather(*(self.close(key) for key in list(self._live)))
        for _, task in list(self._live.values()):
            task.cancel()

    async def _keep(self, session: Session) -> None:
        log.info("- stream %s begins", session.name)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await session.run()
        except Exception:
            log.exception("x stream %s broke", session.name)
        finally:
            del self._live[session.id]
            log.info("- stream %s ends", session.name)


def _code(error: StreamerError) -> str:
    return "unknown_style" if isinstance(error, UnknownStyleError) else "bad_request"
