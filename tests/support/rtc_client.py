"""A WebRTC client for tests and benches: sends numbered frames, records what comes back.

It sends with aiortc's own encoder and sender, and receives with aiortc's own path, or with ours
(`marker=True`), which hands a frame over when its last packet has come.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from aiortc import RTCConfiguration, RTCDataChannel, RTCDtlsTransport, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from streamer.avframe import to_image
from streamer.frame import Frame, Image
from streamer.webrtc.bandwidth import Uplink
from streamer.webrtc.ice import IceScope
from streamer.webrtc.peer_connection import PeerConnection, TransceiverFactories
from streamer.webrtc.receiver import VideoReceiver
from tests.support.clips import number_frame, read_number, timed_frame

SAMPLE_RATE = 48_000
SAMPLES = 960
FAST = Uplink(8_000_000, 300_000, 8_000_000)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One picture that came back; `number` is None when it could not be read."""

    number: int | None
    at: float  # monotonic seconds
    width: int
    height: int
    pts: int


class NumberTrack(MediaStreamTrack):
    """Numbered pictures at a steady rate; `size` may change at any time."""

    kind = "video"

    def __init__(self, width: int, height: int, fps: float) -> None:
        super().__init__()
        self.size = (width, height)
        self.fps = fps
        self.sent_at: dict[int, float] = {}
        self._began = 0.0

    async def recv(self) -> av.VideoFrame:
        n = len(self.sent_at)
        self._began = self._began or time.monotonic()
        await asyncio.sleep(max(0.0, self._began + n / self.fps - time.monotonic()))
        picture = timed_frame(number_frame(n, *self.size), int(n / self.fps * 90_000))
        self.sent_at[n] = time.monotonic()
        return picture


class ToneTrack(MediaStreamTrack):
    """AudioPacket that is loud in the first half of every second of the monotonic clock."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._n = 0
        self._began = 0.0

    async def recv(self) -> av.AudioFrame:
        self._began = self._began or time.monotonic()
        await asyncio.sleep(max(0.0, self._began + self._n * 0.02 - time.monotonic()))
        loud = time.monotonic() % 1 < 0.5
        wave = np.sin(np.arange(SAMPLES) * 2 * np.pi * 440 / SAMPLE_RATE) * (12_000 if loud else 0)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], "s16", "mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, self._n * SAMPLES
        frame.time_base = Fraction(1, SAMPLE_RATE)
        self._n += 1
        return frame


class RtcClient:
    """One client: `answer = ...(await client.offer())`, `await client.accept(answer)`."""

    def __init__(
        self,
        width: int = 320,
        height: int = 180,
        fps: float = 30,
        *,
        video: str | None = "sendrecv",
        audio: str | None = None,
        marker: bool = True,
        prefer: str = "",
        loopback: bool = True,
        channel: bool = True,
        accepts: Uplink = FAST,
    ) -> None:
        self.arrivals: list[Arrival] = []
        self.images: list[Image] = []  # the newest one only
        self.loudness: list[tuple[float, float]] = []  # (monotonic seconds, RMS) of sound
        self.messages: list[str] = []
        self._accepts = accepts
        self.track = NumberTrack(width, height, fps)
        self.tone = ToneTrack()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="client")
        self._tasks: list[asyncio.Task[None]] = []
        receiver = {"video": self._receiver} if marker else {}
        self.pc = PeerConnection(
            RTCConfiguration(iceServers=[]),
            IceScope(loopback),
            TransceiverFactories(receiver, {}, prefer),
        )
        self._connected = asyncio.Event()
        self.pc.on("connectionstatechange", self._state_changed)
        self.pc.on("track", self._on_track if not marker else self._on_track_of_sound)
        for direction, track in ((audio, self.tone), (video, self.track)):
            if direction is not None:
                self.pc.addTransceiver(
                    track if "send" in direction else track.kind, direction=direction
                )
        self.channel: RTCDataChannel | None = None
        if channel:
            self.channel = self.pc.createDataChannel("control")
            self.channel.on("message", self.messages.append)

    def _receiver(self, transport: RTCDtlsTransport) -> VideoReceiver:
        return VideoReceiver(
            transport,
            self._take,
            self._threads,
            max_pixels=1 << 24,
            uplink=self._accepts,
        )

    async def offer(self, candidates: bool = True) -> str:
        """The offer; without `candidates` it is like that of OBS, which never sends any."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        lines = self.pc.localDescription.sdp.splitlines(keepends=True)
        hidden = () if candidates else ("a=candidate", "a=end-of-candidates")
        return "".join(line for line in lines if not line.startswith(hidden or "\0"))

    async def accept(self, answer_sdp: str, timeout_s: float = 10) -> None:
        """Take the answer and wait for the connection."""
        await self.pc.setRemoteDescription(RTCSessionDescription(answer_sdp, "answer"))
        await asyncio.wait_for(self._connected.wait(), timeout_s)

    @property
    def channel_open(self) -> bool:
        return self.channel is not None and self.channel.readyState == "open"

    def send_message(self, text: str) -> None:
        assert self.channel is not None
        self.channel.send(text)

    def lose(self, lost: Callable[[], bool]) -> None:
        """From now on, lose every media packet on its way to the peer for which `lost` says so."""
        ice = self.pc.getTransceivers()[0].receiver.transport.transport
        send = ice._connection.send

        async def send_some(data: bytes) -> None:
            if not 127 < data[0] < 192 or not lost():
                await send(data)

        ice._send = send_some

    def numbers(self) -> list[int]:
        """Of the pictures that came back and could be read, in order of arrival."""
        return [a.number for a in self.arrivals if a.number is not None]

    def latencies_s(self) -> list[float]:
        """From the picture's birth here to its arrival here, in order of arrival."""
        return [a.at - self.track.sent_at[a.number] for a in self.arrivals if a.number is not None]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.pc.close()
        self._threads.shutdown(wait=False)

    def _state_changed(self) -> None:
        if self.pc.connectionState == "connected":
            self._connected.set()

    def _take(self, frame: Frame) -> None:
        self._record(frame.image, time.monotonic(), frame.pts)

    def _record(self, image: Image, at: float, pts: int) -> None:
        number = read_number(image.planes[0])
        self.arrivals.append(Arrival(number, at, image.width, image.height, pts))
        self.images[:] = [image]

    def _on_track(self, track: MediaStreamTrack) -> None:
        read = self._read_sound if track.kind == "audio" else self._read_video
        self._tasks.append(asyncio.create_task(read(track)))

    def _on_track_of_sound(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._on_track(track)

    async def _read_video(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                picture = await track.recv()
                assert isinstance(picture, av.VideoFrame)
                self._record(to_image(picture), time.monotonic(), picture.pts or 0)

    async def _read_sound(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.AudioFrame)
                samples = frame.to_ndarray().astype(np.float64)
                self.loudness.append((time.monotonic(), float(np.sqrt((samples**2).mean()))))
