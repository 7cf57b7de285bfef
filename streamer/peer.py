"""browser ─► **peer** ─► intake … pacer ─► **peer** ─► browser.

One WebRTC connection: its video as frames, stylized frames back on the same connection, its
sound back in step with them, and text on a data channel. aiortc lives here and in the modules
this one is made of (`peer_*`, `rtp*`).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import OperationError
from aiortc.sdp import SessionDescription

from streamer.errors import UsageError
from streamer.frame import Frame, Sink, Source
from streamer.intake import Intake
from streamer.peer_ice import Reach
from streamer.rtp_codecs import Bitrate
from streamer.rtp_connection import Connection, Parts
from streamer.rtp_rate import Uplink
from streamer.rtp_receive import AudioReceiver, VideoReceiver
from streamer.rtp_send import AudioTrack, VideoSender, VideoTrack

log = logging.getLogger(__name__)

CONTROL = "control"  # label of the data channel
MESSAGE_MAX = 16 * 1024  # characters
MESSAGES_PER_S = 50.0
MESSAGES_BURST = 100.0
SEND_BUFFER_MAX = 256 * 1024  # bytes the other side has not taken yet
CLOSE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server: `stun:host:port`, `turn:host:port?transport=udp`."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class PeerOptions:
    """How to treat one connection."""

    bitrate: Bitrate = field(default_factory=Bitrate)
    uplink: Uplink = field(default_factory=Uplink)
    ice_servers: tuple[IceServer, ...] = ()
    loopback: bool = False  # media only from and to this machine
    udp_ports: range | None = None
    prefer: str = "H264"  # or "VP8"; the other one when the browser lacks it
    max_pixels: int = 1920 * 1200
    connect_timeout_s: float = 20.0


@dataclass(frozen=True, slots=True)
class PeerStats:
    """Counts since the connection began; times in seconds, rates in bits per second."""

    state: str
    codec: str | None
    remote: str | None
    frames_in: int
    frames_out: int
    dropped_intake: int  # decoded, never taken
    dropped_encoder: int  # given to the sink, overtaken before they could be encoded
    lost_pictures: int  # on the way to us
    decode_errors: int
    keyframes_out: int
    bytes_out: int
    encode_s: tuple[float, ...]  # the most recent ones
    bitrate_bps: int  # what the encoder aims at
    uplink_bps: int  # what the browser was told it may send
    messages_refused: int


class Peer:
    """One WebRTC connection that was offered to us; ask `answer` for one."""

    def __init__(self, options: PeerOptions, on_message: Callable[[str], None]) -> None:
        self.closed = asyncio.Event()
        self.answer_sdp = ""
        self._options = options
        self._on_message = on_message
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="peer")  # decode and encode
        self._intake: Intake[Frame] = Intake()
        self._video = VideoTrack(options.bitrate, self._threads)
        self._audio = AudioTrack()
        self._receiver: VideoReceiver | None = None
        self._channel: RTCDataChannel | None = None
        self._allowance = Allowance(MESSAGES_PER_S, MESSAGES_BURST)
        self._closing: asyncio.Task[None] | None = None
        self._pc = self._connection()
        self._timeout = asyncio.get_running_loop().call_later(
            options.connect_timeout_s, self._connected_in_time
        )

    @classmethod
    async def answer(
        cls, offer_sdp: str, options: PeerOptions, *, on_message: Callable[[str], None]
    ) -> "Peer":
        """The peer for an offer, its `answer_sdp` holding every candidate of ours.

        `on_message` gets the text messages of the data channel "control". Raises UsageError for
        an offer that is malformed or has nothing we can use, MediaError without a free port.
        """
        check_offer(offer_sdp)
        peer = cls(options, on_message)
        try:
            await peer._negotiate(offer_sdp)
        except BaseException as error:
            await peer.close()
            if isinstance(error, OperationError | ValueError | AssertionError):
                raise UsageError(f"this offer cannot be answered: {error}") from error
            raise
        return peer

    @property
    def source(self) -> Source:
        """The other side's video, newest frame first; ends with the connection."""
        return self._intake

    @property
    def sink(self) -> Sink:
        """Frames for the other side; never waits, and drops what there is no time to encode."""
        return self._video

    @property
    def state(self) -> str:
        """`connecting`, `connected` or `closed`."""
        if self._closing is not None:
            return "closed"
        return "connected" if self._pc.connectionState == "connected" else "connecting"

    def send_message(self, text: str) -> None:
        """Send on the data channel; nothing happens when it is not open, or not being read."""
        channel = self._channel
        if channel and channel.readyState == "open" and channel.bufferedAmount < SEND_BUFFER_MAX:
            channel.send(text)

    def set_latency(self, latency_s: float) -> None:
        """Return sound this much later than it came, as the picture is; the change is gradual."""
        self._audio.set_delay(latency_s)

    def stats(self) -> PeerStats:
        receiver, codec = self._receiver, self._pc.codec("video")
        return PeerStats(
            state=self.state,
            codec=codec.name if codec else None,
            remote=self._pc.remote_address,
            frames_in=self._intake.received,
            frames_out=self._video.sent,
            dropped_intake=self._intake.dropped,
            dropped_encoder=self._video.frames.dropped,
            lost_pictures=receiver.lost if receiver else 0,
            decode_errors=receiver.errors if receiver else 0,
            keyframes_out=self._video.keyframes,
            bytes_out=self._video.sent_bytes,
            encode_s=tuple(self._video.encode_s),
            bitrate_bps=self._video.target_bps,
            uplink_bps=receiver.uplink_bps if receiver else 0,
            messages_refused=self._allowance.refused,
        )

    async def wait_closed(self) -> None:
        await self.closed.wait()

    async def close(self) -> None:
        """Close the connection, from whatever state; any number of times."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._shut())
        await asyncio.shield(self._closing)

    async def _shut(self) -> None:
        self._timeout.cancel()
        self._intake.close()
        self._video.stop()
        self._audio.stop()
        try:
            await asyncio.wait_for(self._pc.close(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            log.warning("a WebRTC connection did not close in %s s", CLOSE_TIMEOUT_S)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.closed.set()

    def _connection(self) -> Connection:
        options = self._options
        servers = [
            RTCIceServer(list(s.urls), s.username, s.credential) for s in options.ice_servers
        ]
        parts = Parts(
            receiver={
                "audio": lambda transport: AudioReceiver(transport, self._audio.put),
                "video": self._video_receiver,
            },
            sender={
                "audio": lambda transport: RTCRtpSender(self._audio, transport),
                "video": lambda transport: VideoSender(self._video, transport),
            },
            prefer=options.prefer,
        )
        # An explicit list, empty or not: without one aiortc asks a server of Google's.
        pc = Connection(
            RTCConfiguration(iceServers=servers), Reach(options.loopback, options.udp_ports), parts
        )
        pc.on("connectionstatechange", self._state_changed)
        pc.on("datachannel", self._opened)
        return pc

    def _video_receiver(self, transport: object) -> VideoReceiver:
        self._receiver = VideoReceiver(
            transport,  # type: ignore[arg-type]
            self._intake.put,
            self._threads,
            max_pixels=self._options.max_pixels,
            uplink=self._options.uplink,
        )
        return self._receiver

    async def _negotiate(self, offer_sdp: str) -> None:
        await self._pc.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
        for transceiver in self._pc.getTransceivers():
            transceiver.direction = "sendrecv"
        if video := self._pc.codec("video"):
            self._video.negotiated("VP8" if video.name == "VP8" else "H264")
        if audio := self._pc.codec("audio"):
            self._audio.negotiated(audio.clockRate)
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        self.answer_sdp = self._pc.localDescription.sdp

    def _state_changed(self) -> None:
        if self._pc.connectionState == "connected":
            self._timeout.cancel()
        elif self._pc.connectionState in ("failed", "closed") and self._closing is None:
            self._closing = asyncio.create_task(self._shut())

    def _connected_in_time(self) -> None:
        if self.state == "connecting" and self._closing is None:
            log.info("nobody came within %s s of the answer", self._options.connect_timeout_s)
            self._closing = asyncio.create_task(self._shut())

    def _opened(self, channel: RTCDataChannel) -> None:
        if channel.label != CONTROL or self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._message)

    def _message(self, message: str | bytes) -> None:
        fits = isinstance(message, str) and len(message) <= MESSAGE_MAX
        if self._allowance.ask(time.monotonic(), fits) and isinstance(message, str):
            self._on_message(message)


class Allowance:
    """How often something may happen: so many a second on average, and so many at once."""

    def __init__(self, per_s: float, burst: float) -> None:
        self.refused = 0
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at = 0.0

    def ask(self, now: float, fits: bool = True) -> bool:
        """Whether one more may happen now; one that does not fit never may."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if fits and self._left >= 1:
            self._left -= 1
            return True
        self.refused += 1
        return False


def check_offer(sdp: str) -> None:
    """Raises UsageError, with what is wrong, for an offer that cannot be answered."""
    try:
        offer = SessionDescription.parse(sdp)
    except Exception as error:  # aiortc's parser raises whatever its parts raise
        raise UsageError("this is no WebRTC offer: its SDP cannot be read") from error
    kinds = [media.kind for media in offer.media]
    if not {"audio", "video"} & set(kinds):
        raise UsageError("this offer has neither video nor audio")
    for kind in ("audio", "video", "application"):
        if kinds.count(kind) > 1:
            raise UsageError(
                f"this offer has {kinds.count(kind)} {kind} sections; one is supported"
            )
    for media in offer.media:
        if not media.ice.usernameFragment or not media.ice.password:
            raise UsageError(f"the {media.kind} of this offer lacks ICE credentials")
        if media.dtls is None or not media.dtls.fingerprints:
            raise UsageError(f"the {media.kind} of this offer lacks a DTLS fingerprint")
