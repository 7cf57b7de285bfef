"""server → **sessions** → session: the live streams of the server."""

import asyncio
import contextlib
import gc
import logging
import time
from collections import deque

from streamer.errors import NotLiveError, ServerFullError, StreamerError, told
from streamer.frame import AudioPacket
from streamer.live.broadcast import Broadcasts
from streamer.live.session import Defaults, Session
from streamer.pipeline.change import Change
from streamer.pipeline.governor import Costs
from streamer.pipeline.style_control import Parse
from streamer.ring.ring import Ring
from streamer.webrtc.options import PeerOptions
from streamer.webrtc.peer import Peer

log = logging.getLogger(__name__)

REMEMBERED = 64  # ids of ended sessions


class Sessions:
    """At most `max_peers` live streams. Use `aclose` at the end."""

    def __init__(
        self,
        ring: Ring,
        parse: Parse,
        *,
        options: PeerOptions,
        defaults: Defaults,
        max_peers: int = 4,
        broadcasts: Broadcasts | None = None,
    ) -> None:
        self._broadcasts = broadcasts or Broadcasts()
        self._ring = ring
        self._parse = parse
        self._options = options
        self._defaults = defaults
        self._max_peers = max_peers
        self._answering = 0
        self._costs = Costs()  # of all streams: they share the ring
        self._live: dict[str, tuple[Session, asyncio.Task[None]]] = {}
        self._hung_up: deque[str] = deque(maxlen=REMEMBERED)

    async def answer(self, name: str, offer_sdp: str, owner: str = "") -> Session:
        """Start a session, in place of those of that name whose peer has fallen silent.

        `owner` is for `end_of`.

        Raises ServerFullError, UsageError for an offer we cannot answer, and MediaError when no
        UDP port is free.
        """
        await self.end_silent(name)
        if len(self._live) + self._answering >= self._max_peers:
            raise ServerFullError(f"all {self._max_peers} streams are in use; try again later")

        def on_message(text: str) -> None:  # never called before `session` exists
            session.on_message(text)

        def on_audio(packet: AudioPacket) -> None:
            session.on_audio(packet)

        self._answering += 1
        try:
            peer = await Peer.answer(
                offer_sdp, self._options, on_message=on_message, on_audio=on_audio
            )
        finally:
            self._answering -= 1
        session = Session(
            name,
            peer,
            self._ring,
            self._parse,
            self._defaults,
            broadcasts=self._broadcasts,
            costs=self._costs,
            owner=owner,
        )
        task = asyncio.create_task(self._keep(session))
        self._live[session.id] = (session, task)
        return session

    def has(self, session_id: str) -> bool:
        """Whether a session is still there."""
        return session_id in self._live

    async def trickle(self, session_id: str, fragment: str) -> bool | None:
        """More ICE candidates, see `Endpoint.trickle`; None: there is no such session."""
        found = self._live.get(session_id)
        return await found[0].trickle(fragment) if found else None

    async def change(self, name: str, wanted: Change) -> dict[str, object]:
        """Change a stream; its statistics. Raises NotLiveError, UnknownStyleError, UsageError."""
        for session, _ in self._live.values():
            if session.name == name and session.active:
                session.change(wanted)
                return session.as_dict()
        raise NotLiveError(name)

    def active(self) -> dict[str, dict[str, object]]:
        """The statistics of every stream that can be watched, by name."""
        sessions = (session for session, _ in self._live.values())
        return {session.name: session.as_dict() for session in sessions if session.active}

    async def close(self, session_id: str, reason: str = "") -> bool:
        """End a session, whose client is told the reason; False when there is none of that id.

        True once for a session that has already ended: browsers and OBS may disconnect before
        they send DELETE.
        """
        if found := self._live.get(session_id):
            session, task = found
            await session.close(reason)
            await asyncio.wait({task}, timeout=2)
        ended = found is not None or session_id in self._hung_up
        with contextlib.suppress(ValueError):
            self._hung_up.remove(session_id)
        return ended

    async def end_of(self, owner: str) -> None:
        """End the sessions of one whose token was revoked."""
        theirs = [key for key, (session, _) in self._live.items() if session.owner == owner]
        await asyncio.gather(*(self.close(key, "its token was revoked") for key in theirs))

    async def end_silent(self, name: str) -> None:
        """A publisher that crashed and comes back must not find its own place taken."""
        now = time.monotonic()
        for session, _ in list(self._live.values()):
            if session.name == name and session.is_silent(now):
                log.info("- stream %s is silent: its place is given to a new publisher", name)
                await self.close(session.id, "another publisher has taken its place")

    def stats(self) -> dict[str, dict[str, object]]:
        """The statistics of every session, by id."""
        return {key: session.as_dict() for key, (session, _) in self._live.items()}

    async def aclose(self) -> None:
        await asyncio.gather(
            *(self.close(key, "the server is stopping") for key in list(self._live))
        )
        for _, task in list(self._live.values()):
            task.cancel()

    async def _keep(self, session: Session) -> None:
        log.info("- stream %s begins", session.name)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await session.run()
        except* StreamerError as error:
            log.error("x stream %s: %s", session.name, told(error))
        except* Exception:
            log.exception("x stream %s broke", session.name)
        finally:
            del self._live[session.id]
            self._hung_up.append(session.id)
            log.info("- stream %s ends%s", session.name, session.reason and f": {session.reason}")
        del session
        gc.collect()  # a connection is full of reference cycles that hold codecs and frames
