"""A fault in one call of the live path or of the film path, and what becomes of it.

    python -m tests.support.faults        every fault: what was seen, and how long it took

`Faults.arm` makes the next call of a place raise, hang, be late or return nonsense; the server's
call only, although the client of these tests is made of the same parts.
"""

import asyncio
import contextlib
import functools
import itertools
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aiortc import RTCDtlsTransport

from streamer.errors import StreamerError, UnknownStyleError
from streamer.files import checkpoint, decode, mux
from streamer.files import transcode as films
from streamer.files.job import TranscodeOptions, prepare
from streamer.files.transcode import Result
from streamer.frame import Image, Style
from streamer.live.session import Defaults
from streamer.live.sessions import Sessions
from streamer.ring import supervisor, worker_handle
from streamer.ring.ring import Ring
from streamer.ring.worker_handle import Patience
from streamer.styles.model import Blend
from streamer.webrtc import codecs as live_codecs
from streamer.webrtc import receiver
from streamer.webrtc.options import PeerOptions
from tests.support.fakes import Killed, ThreadWorkers
from tests.support.rtc_client import RtcClient
from tests.support.video_clips import Clip, write_clip

Kind = Literal["raise", "hang", "delay", "nonsense"]
KINDS: tuple[Kind, ...] = ("raise", "hang", "delay", "nonsense")
LATE_S = 0.4
LONG_S = 20.0  # until a fault has had its effect; only a failing run waits it out

# What runs in a live stream: in a thread, or on the event loop (async).
LIVE = [
    (place, kind)
    for place in ("decode", "encode", "send", "receiver", "dtls", "stylize", "timer", "accept")
    for kind in KINDS
    if (place, kind) != ("timer", "hang")  # it holds up the event loop: see tests/test_ending.py
]
FILM = [(place, kind) for place in ("decode", "encode", "stylize", "mux") for kind in KINDS]


class InjectedError(Exception):
    """No code expects it."""


class Faults:
    """Stands before some functions; nothing happens until one is armed."""

    def __init__(self) -> None:
        self.fired = threading.Event()
        self.fired_at = 0.0
        self.clients: set[object] = set()  # transports of the client
        self._armed: tuple[str, Kind] | None = None
        self._released = threading.Event()
        self._undo = contextlib.ExitStack()

    def arm(self, place: str, kind: Kind) -> None:
        """The next call of `place` goes wrong."""
        self.fired.clear()
        self._armed = place, kind

    def close(self) -> None:
        """Let go what hangs, and put everything back."""
        self._armed = None
        self._released.set()
        self._undo.close()

    def before(self, place: str, owner: Any, name: str, nonsense: Callable[[], Any]) -> None:
        """Stand before a function that runs in a thread or as a callback."""
        real = getattr(owner, name)

        @functools.wraps(real)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            kind = self._due(place, args)
            if kind == "delay":
                time.sleep(LATE_S)
            if kind is None or kind == "delay":
                return real(*args, **kwargs)
            if kind == "nonsense":
                return nonsense()
            if kind == "hang":
                self._released.wait(LONG_S)
            raise InjectedError(place)

        self._put(owner, name, real, wrapped)

    def before_async(self, place: str, owner: Any, name: str, garbage: bool = False) -> None:
        """Stand before a coroutine; its nonsense is to do nothing, or to be given garbage."""
        real = getattr(owner, name)

        @functools.wraps(real)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            kind = self._due(place, args)
            if kind == "delay":
                await asyncio.sleep(LATE_S)
            if kind is None or kind == "delay":
                return await real(*args, **kwargs)
            if kind == "nonsense":
                return await real(args[0], os.urandom(100)) if garbage else None
            if kind == "hang":
                await asyncio.Event().wait()
            raise InjectedError(place)

        self._put(owner, name, real, wrapped)

    def act(self, place: str) -> Kind | None:
        """For stand-ins that look by themselves whether they are armed."""
        return self._due(place, ())

    def hang(self) -> None:
        self._released.wait(LONG_S)

    def _put(self, owner: Any, name: str, real: Any, wrapped: Any) -> None:
        setattr(owner, name, wrapped)
        self._undo.callback(setattr, owner, name, real)

    def _due(self, place: str, args: tuple[Any, ...]) -> Kind | None:
        if self._armed is None or self._armed[0] != place or self._is_client(args):
            return None
        kind, self._armed = self._armed[1], None
        self.fired_at = time.monotonic()
        self.fired.set()
        return kind

    def _is_client(self, args: tuple[Any, ...]) -> bool:
        transport = getattr(args[0], "transport", None) if args else None
        both = {args[0] if args else None, transport}
        return bool(both & self.clients) or threading.current_thread().name.startswith("client")


@dataclass(frozen=True, slots=True)
class Row:
    """What became of a fault."""

    path: str
    place: str
    kind: Kind
    seen: str  # "back", or "ended: " and the reason that the client was told
    seconds: float

    def __str__(self) -> str:
        return f"{self.path:5} {self.place:9} {self.kind:9} {self.seconds:5.2f} s  {self.seen}"


@contextlib.contextmanager
def faults() -> Iterator[Faults]:
    made = Faults()
    made.before("decode", live_codecs.Decoder, "decode", lambda: ["nonsense"])
    made.before("encode", live_codecs.Encoder, "encode", lambda: ["nonsense"])
    made.before_async("send", RTCDtlsTransport, "_send_rtp", garbage=True)
    made.before_async("receiver", receiver.VideoReceiver, "_handle_rtp_packet")
    made.before_async("dtls", RTCDtlsTransport, "_recv_next")
    made.before("timer", worker_handle.WorkerHandle, "_overdue", lambda: None)
    made.before("accept", supervisor, "RingEnd", lambda: "nonsense")
    made.before("film decode", decode.Decoder, "__iter__", lambda: iter(["nonsense"]))
    made.before("film encode", checkpoint.Segments, "write", lambda: None)
    made.before("film mux", mux.MuxPlan, "write", lambda: "nonsense")
    try:
        yield made
    finally:
        made.close()


def worker_that_may_fail(made: Faults) -> Callable[[Image], Image]:
    def stylize(image: Image) -> Image:
        kind = made.act("stylize")
        if kind == "raise":
            raise InjectedError("stylize")
        if kind == "hang":
            made.hang()
        if kind == "delay":
            time.sleep(LATE_S)
        if kind == "nonsense":
            return Image(2, 2, image.data[:6])
        if made.act("death"):
            raise Killed
        return image

    return stylize


def only_none(style: Any) -> Blend:
    if style != "none":
        raise UnknownStyleError(str(style), ["none"])
    return (("none", 1.0),)


@contextlib.asynccontextmanager
async def live(made: Faults) -> AsyncIterator[tuple[Sessions, RtcClient, Ring]]:
    """A stream on the air, through real WebRTC on both sides and a ring of two threads."""
    workers = ThreadWorkers(2, worker_that_may_fail(made))
    async with Ring(lambda: workers) as ring:
        sessions = Sessions(
            ring, only_none, options=PeerOptions(loopback=True),
            defaults=Defaults(Style((("none", 1.0),)), height_px=90),
        )  # fmt: skip
        async with contextlib.aclosing(sessions):
            client = RtcClient(160, 90, fps=30, prefer="VP8")
            try:
                session = await sessions.answer("cam", await client.offer())
                made.clients = {t.receiver.transport for t in client.pc.getTransceivers()}
                await client.accept(session.answer_sdp)
                await _until(lambda: len(client.arrivals) > 12 and client.channel_open)
                yield sessions, client, ring
            finally:
                await client.close()


async def live_fault(place: str, kind: Kind) -> Row:
    """One fault in a stream on the air."""
    with faults() as made:
        async with live(made) as (sessions, client, ring):
            if place == "timer":  # of a worker that hangs
                made.arm("stylize", "hang")
                await asyncio.to_thread(made.fired.wait, LONG_S)
            if place == "accept":  # of a worker that comes back
                made.arm("death", "raise")
                await asyncio.to_thread(made.fired.wait, LONG_S)
            made.arm(place, kind)
            await _until(made.fired.is_set)
            began = made.fired_at

            def seen_since() -> list[float]:
                return [arrival.at for arrival in client.arrivals if arrival.at > began]

            def flows() -> bool:
                times = [began, *seen_since()]
                gaps = [b - a for a, b in itertools.pairwise(times)]
                return len(times) > 20 and max(gaps[-15:]) < LATE_S

            await _until(lambda: flows() or not sessions.stats())
            if sessions.stats():
                # A fault that shows late, as a hang does, has shown by now.
                await asyncio.sleep(2.2 if kind == "hang" and place != "stylize" else 0)
            if sessions.stats():
                await _until(lambda: all(one["state"] != "restarting" for one in ring.stats()))
                times = [began, *seen_since()]
                gap = max(b - a for a, b in itertools.pairwise(times))
                return Row("live", place, kind, "back", gap)
            seconds = time.monotonic() - began
            await _until(lambda: client.pc.connectionState == "closed")
            told = [json.loads(text) for text in client.messages]
            reasons = [one["ended"]["message"] for one in told if "ended" in one]
            return Row("live", place, kind, f"ended: {', '.join(reasons)}", seconds)


async def film(source: Path, target: Path, made: Faults) -> Result:
    """By workers that are given up soon."""
    options = TranscodeOptions(encoder="software")
    workers = ThreadWorkers(2, worker_that_may_fail(made))
    async with Ring(lambda: workers, patience=Patience(hung_s=1)) as ring:
        job = prepare(source, target, options)
        return await films.transcode(job, ring.open(live=False), lambda progress: None)


async def film_fault(place: str, kind: Kind, folder: Path) -> Row:
    """One fault in a film that is being made."""
    source = write_clip(folder / "in.mp4", Clip(pts=tuple(range(0, 40 * 512, 512))))
    target = folder / "out.mp4"
    with faults() as made:
        made.arm(place if place == "stylize" else f"film {place}", kind)
        began = time.monotonic()
        try:
            result = await film(source, target, made)
        except StreamerError as error:
            seen = f"ended: {error}"
        except InjectedError as error:
            seen = f"ended: {error!r}"
        except Exception as error:
            seen = f"ended: {type(error).__name__}: {error}"
        else:
            seen = f"whole, {result.frames} frames"
        assert made.fired.is_set()
        return Row("film", place, kind, seen.replace(str(folder), ""), time.monotonic() - began)


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LONG_S):
        while not condition():
            await asyncio.sleep(0.01)


async def main() -> None:
    logging.disable()
    films.FROZEN_S = 2.0
    for place, kind in LIVE:
        print(await live_fault(place, kind), flush=True)
    for place, kind in FILM:
        with tempfile.TemporaryDirectory() as folder:
            print(await film_fault(place, kind, Path(folder)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
