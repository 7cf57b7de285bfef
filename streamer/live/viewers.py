"""server → **viewers** → viewer, fan-out.

The viewers of all streams. A stream is encoded once per codec and rung, however many watch it.
"""

import asyncio
import contextlib
import logging
import math
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from streamer.errors import ServerFullError
from streamer.live.broadcast import Broadcast, Broadcasts
from streamer.webrtc.codecs import Codec
from streamer.webrtc.fan_out import FanOut
from streamer.webrtc.options import PeerOptions
from streamer.webrtc.viewer import Viewer

log = logging.getLogger(__name__)

GRACE_S = 10.0  # for a publisher to come back before its viewers are disconnected
JOINS_AT_ONCE, JOIN_EVERY_S = 5, 0.1  # each costs the event loop 30 ms or so


@dataclass(frozen=True, slots=True)
class Watching:
    """A viewer that was answered, under an id that cannot be guessed."""

    id: str
    viewer: Viewer
    of: tuple[str, Codec]  # what is watched
    owner: str
    task: asyncio.Task[None]

    @property
    def answer_sdp(self) -> str:
        return self.viewer.answer_sdp


class Viewers:
    """At most `max_viewers`, of all streams together. Use `aclose` at the end."""

    def __init__(self, broadcasts: Broadcasts, options: PeerOptions, max_viewers: int = 50) -> None:
        self._broadcasts = broadcasts
        self._options = options
        self._max_viewers = max_viewers
        self._answering = 0
        self._next_at = -math.inf  # when another one may join, by the event loop's clock
        self._live: dict[str, Watching] = {}
        self._fan_outs: dict[tuple[str, Codec], tuple[FanOut, asyncio.Task[None]]] = {}

    async def answer(self, name: str, offer_sdp: str, owner: str = "") -> Watching:
        """Add a viewer to a stream; `owner` is for `end_of`.

        Raises NotLiveError, ServerFullError, UsageError for an offer we cannot answer, and
        MediaError when no UDP port is free.
        """
        broadcast = self._broadcasts.live(name)
        if len(self._live) + self._answering >= self._max_viewers:
            raise ServerFullError(f"all {self._max_viewers} viewers' places are taken; try later")
        with contextlib.ExitStack() as held:
            held.enter_context(broadcast.hold())
            self._answering += 1
            try:
                await self._take_turn()
                viewer = Viewer(self._options)
                await viewer.negotiate(offer_sdp)
            finally:
                self._answering -= 1
            id_ = secrets.token_urlsafe(16)
            task = asyncio.create_task(self._keep(id_, viewer, broadcast, held.pop_all()))
        self._live[id_] = Watching(id_, viewer, (name, viewer.video_codec), owner, task)
        return self._live[id_]

    async def _take_turn(self) -> None:
        """Those that come and go all the time leave the event loop to the streams."""
        now = asyncio.get_running_loop().time()
        self._next_at = max(self._next_at, now - JOINS_AT_ONCE * JOIN_EVERY_S) + JOIN_EVERY_S
        await asyncio.sleep(max(0.0, self._next_at - now))

    def has(self, viewer_id: str) -> bool:
        """Whether a viewer is still there."""
        return viewer_id in self._live

    async def trickle(self, viewer_id: str, fragment: str) -> bool | None:
        """More ICE candidates, see `Endpoint.trickle`; None: there is no such viewer."""
        found = self._live.get(viewer_id)
        return await found.viewer.trickle(fragment) if found else None

    async def close(self, viewer_id: str) -> bool:
        """End a viewer's connection; False when there is none of that id."""
        found = self._live.get(viewer_id)
        if found is None:
            return False
        await found.viewer.close()
        await asyncio.wait({found.task}, timeout=2)
        return True

    async def end_of(self, owner: str) -> None:
        """End the viewers of one whose token was revoked."""
        theirs = [key for key, watching in self._live.items() if watching.owner == owner]
        await asyncio.gather(*(self.close(key) for key in theirs))

    def count(self, name: str) -> int:
        return sum(watching.of[0] == name for watching in self._live.values())

    def stats(self) -> dict[str, dict[str, object]]:
        """By stream and codec: the statistics of the encoder and its viewers."""
        names = {name for name, _ in self._fan_outs}
        return {
            name: {
                codec: fan_out.as_dict()
                for (of, codec), (fan_out, _) in self._fan_outs.items()
                if of == name
            }
            for name in sorted(names)
        }

    async def aclose(self) -> None:
        await asyncio.gather(*(self.close(key) for key in list(self._live)))
        for _, task in self._fan_outs.values():
            task.cancel()

    async def _keep(
        self, id_: str, viewer: Viewer, broadcast: Broadcast, held: contextlib.ExitStack
    ) -> None:
        """Until the connection, the stream or its encoder ends."""
        ends: list[asyncio.Task[None]] = []
        try:
            fan_out, encoding = self._fan_out(broadcast, viewer.video_codec)
            ends.append(asyncio.create_task(_watch(viewer, broadcast, fan_out)))
            ends.append(asyncio.create_task(broadcast.wait_idle(GRACE_S)))
            await asyncio.wait({*ends, encoding}, return_when=asyncio.FIRST_COMPLETED)
        except Exception:
            log.exception("x a viewer of %s cannot be served", broadcast.name)
        finally:
            held.close()
            for task in ends:
                task.cancel()
            await viewer.close()
            del self._live[id_]
            self._tidy()
        for error in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(error, Exception):
                log.error("x a viewer of %s was disconnected", broadcast.name, exc_info=error)

    def _fan_out(self, broadcast: Broadcast, codec: Codec) -> tuple[FanOut, asyncio.Task[None]]:
        key = broadcast.name, codec
        if key not in self._fan_outs:
            threads = ThreadPoolExecutor(2, thread_name_prefix="fan-out")  # one for each rung
            fan_out = FanOut(codec, self._options.bitrate, threads)
            encoding = asyncio.create_task(_run(fan_out, broadcast))
            encoding.add_done_callback(lambda _: threads.shutdown(wait=False, cancel_futures=True))
            encoding.add_done_callback(lambda task: self._ended(key, task))
            self._fan_outs[key] = fan_out, encoding
        return self._fan_outs[key]

    def _ended(self, key: tuple[str, Codec], encoding: asyncio.Task[None]) -> None:
        """An encoder that failed is forgotten, so that viewers who come back get a new one."""
        if encoding.cancelled() or (error := encoding.exception()) is None:
            return
        log.error("x the %s encoder for the viewers of %s failed", *reversed(key), exc_info=error)
        if key in self._fan_outs and self._fan_outs[key][1] is encoding:
            del self._fan_outs[key]

    def _tidy(self) -> None:
        """Stop encoders without viewers."""
        needed = {watching.of for watching in self._live.values()}
        for key in self._fan_outs.keys() - needed:
            _, task = self._fan_outs.pop(key)
            task.cancel()


async def _watch(viewer: Viewer, broadcast: Broadcast, fan_out: FanOut) -> None:
    viewer.start(fan_out)
    with broadcast.listen(viewer.audio):
        await viewer.wait_closed()


async def _run(fan_out: FanOut, broadcast: Broadcast) -> None:
    with contextlib.ExitStack() as taps:
        for rung in fan_out.rungs:
            taps.enter_context(broadcast.tap(rung.frames))
        await fan_out.run()
