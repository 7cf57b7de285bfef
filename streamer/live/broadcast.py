"""session → **broadcast** → viewers, snapshots, virtual camera.

Hands the stylized frames of a stream, by its name, to everybody but its own peer. Viewers outlive
publishers: when one comes back, or another takes its name, they keep watching.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from streamer.errors import NotLiveError
from streamer.frame import VIDEO_CLOCK_HZ, VIDEO_TIME_BASE, AudioPacket, Frame, Sink
from streamer.pipeline.intake import Intake

AUDIO_CLOCK_HZ = 48_000  # the clock of Opus, whatever was recorded (RFC 7587)


class AudioSink(Protocol):
    """Takes a stream's audio, to play it later by a delay that may change."""

    def put(self, packet: AudioPacket) -> None: ...
    def set_delay(self, delay_s: float) -> None: ...


class Broadcast:
    """One stream's audience. Of several publishers of one name the newest is active.

    A publisher is known by an id and counts from its first frame on. `now` is monotonic seconds.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.newest: Frame | None = None  # for snapshots; None: no publisher
        self._publishers: list[str] = []  # the active one comes last
        self._taps: set[Intake[Frame]] = set()
        self._audio_sinks: set[AudioSink] = set()
        self._video_time = _Timeline(VIDEO_CLOCK_HZ)
        self._holders = 0
        self._audio_time = _Timeline(AUDIO_CLOCK_HZ)
        self._live, self._empty = asyncio.Event(), asyncio.Event()
        self._empty.set()

    @property
    def idle(self) -> bool:
        """Whether there is neither a publisher nor anybody watching or listening."""
        return not (self._publishers or self._taps or self._audio_sinks or self._holders)

    def is_active(self, publisher: str) -> bool:
        return self._publishers[-1:] == [publisher]

    def publish(self, publisher: str, frame: Frame, now: float) -> None:
        if publisher not in self._publishers:
            self._publishers.append(publisher)
            self._empty.clear()
            self._live.set()
        if not self.is_active(publisher):
            return
        pts = int(frame.pts * frame.time_base * VIDEO_CLOCK_HZ)
        pts = self._video_time.place(publisher, pts, now)
        self.newest = replace(frame, pts=pts, time_base=VIDEO_TIME_BASE)
        for tap in self._taps:
            tap.put(self.newest)

    def publish_audio(self, publisher: str, packet: AudioPacket, now: float) -> None:
        if self._audio_sinks and self.is_active(publisher):
            clock = self._audio_time.place(publisher, packet.clock, now) % (1 << 32)
            for audio_sink in self._audio_sinks:
                audio_sink.put(replace(packet, clock=clock))

    def set_latency(self, publisher: str, latency_s: float) -> None:
        """Delay the audio as long as stylizing delays the video."""
        if self.is_active(publisher):
            for audio_sink in self._audio_sinks:
                audio_sink.set_delay(latency_s)

    def leave(self, publisher: str) -> None:
        """A publisher ends; an older one of that name becomes active again."""
        if publisher in self._publishers:
            self._publishers.remove(publisher)
        if not self._publishers:
            self.newest = None
            self._live.clear()
            self._empty.set()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Inside, the broadcast is not idle, so `Broadcasts.of` keeps returning this one."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1

    @contextlib.contextmanager
    def tap(self, tap: Intake[Frame]) -> Iterator[None]:
        """Inside, every frame is put into `tap`."""
        self._taps.add(tap)
        try:
            yield
        finally:
            self._taps.discard(tap)

    async def forward_to(self, sink: Sink) -> None:
        """Send every frame to a sink, for ever. Raises what the sink raises."""
        tap: Intake[Frame] = Intake()
        with self.tap(tap):
            while await tap.ready():
                await sink.send(tap.take())

    @contextlib.contextmanager
    def listen(self, audio_sink: AudioSink) -> Iterator[None]:
        """Inside, every audio packet is put into `audio_sink`."""
        self._audio_sinks.add(audio_sink)
        try:
            yield
        finally:
            self._audio_sinks.discard(audio_sink)

    async def wait_idle(self, for_s: float) -> None:
        """Wait until there has been no publisher for `for_s` seconds."""
        while True:
            await self._empty.wait()
            try:
                async with asyncio.timeout(for_s):
                    await self._live.wait()
            except TimeoutError:
                return


class Broadcasts:
    """The broadcast of every name that has publishers or viewers."""

    def __init__(self) -> None:
        self._by_name: dict[str, Broadcast] = {}

    def of(self, name: str) -> Broadcast:
        """The broadcast of that name, a new one if need be; do not keep it, idle ones go."""
        if name not in self._by_name:
            self._by_name = {n: a for n, a in self._by_name.items() if not a.idle}
            self._by_name[name] = Broadcast(name)
        return self._by_name[name]

    def is_live(self, name: str) -> bool:
        """Whether a stream has a frame."""
        return name in self._by_name and self._by_name[name].newest is not None

    def live(self, name: str) -> Broadcast:
        """The broadcast of a stream that has a frame. Raises NotLiveError."""
        if not self.is_live(name):
            raise NotLiveError(name)
        return self._by_name[name]


class _Timeline:
    """Joins the times of successive publishers into one that only grows."""

    def __init__(self, hz: int) -> None:
        self._hz = hz
        self._of: str | None = None
        self._shift = self._last = 0
        self._last_at = 0.0

    def place(self, publisher: str, clock: int, now: float) -> int:
        if publisher != self._of:
            passed = int((now - self._last_at) * self._hz) if self._of else 0
            self._of, self._shift = publisher, self._last + max(passed, 1) - clock
        self._last, self._last_at = clock + self._shift, now
        return self._last
