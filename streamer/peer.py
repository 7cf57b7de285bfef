"""browser ─► **peer** ─► intake … pacer ─► **peer** ─► browser.

One WebRTC connection: its video as frames, stylized frames back on the same connection, its
sound back in step with them, and text on a data channel. aiortc lives here and in the modules
this one is made of (`peer_*`, `rtp*`).
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from aiortc import (
    RTCConfiguration,
    RTCDtlsTransport,
    RTCIceServer,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import OperationError

from streamer.errors import UsageError
from streamer.frame import Frame, Sink, Source
from streamer.intake import Intake
from streamer.peer_control import Control
from streamer.peer_ice import Reach
from streamer.peer_offer import check_offer
from streamer.peer_options import IceServer, PeerOptions, PeerStats
from streamer.rtp_codecs import Bitrate
from streamer.rtp_connection import Connection, Parts
from streamer.rtp_rate import Uplink
from streamer.rtp_receive import AudioReceiver
from streamer.rtp_send import AudioTrack, VideoSender, VideoTrack
from streamer.rtp_stamp import Stamp
from streamer.rtp_video import VideoReceiver

log = logging.getLogger(__name__)

__all__ = ["Bitrate", "IceServer", "Peer", "PeerOptions", "PeerStats", "Uplink"]

CLOSE_TIMEOUT_S = 2.0


class Peer:
    """One WebRTC connection that was offered to us; ask `answer` for one."""

    def __init__(self, options: PeerOptions, on_message: Callable[[str], None]) -> None:
        self.closed = asyncio.Event()
        self.answer_sdp = ""
        self._options = options = unhindered(options) if options.loopback else options
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="peer")  # decode and encode
        self._intake: Intake[Frame] = Intake()
        self._video = VideoTrack(options.bitrate, self._threads)
        self._audio = AudioTrack()
        self._receiver: VideoReceiver | None = None
        self._control = Control(on_message)
        self._closing: asyncio.Task[None] | None = None
        self._pc = self._connection()
        self._timeout = asyncio.get_running_loop().call_later(
            options.connect_timeout_s, self._give_up
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
        self._control.send(text)

    def set_latency(self, latency_s: float) -> None:
        """Return sound this much later than it came, as the picture is; the change is gradual."""
        self._audio.set_delay(latency_s)

    def stamp(self) -> Stamp | None:
        """When the browser captured a picture that it is shown; None until that is known."""
        if self._receiver is None or self._video.reported is None:
            return None
        rtp, pts = self._video.reported
        captured_ms = self._receiver.captured_ms(pts)
        return None if captured_ms is None else Stamp(rtp, captured_ms)

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
            encode_errors=self._video.errors,
            keyframes_out=self._video.keyframes,
            bytes_out=self._video.sent_bytes,
            encode_s=tuple(self._video.encode_s),
            bitrate_bps=self._video.target_bps,
            uplink_bps=receiver.uplink_bps if receiver else 0,
            messages_refused=self._control.refused,
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
        pc.on("datachannel", self._control.opened)
        return pc

    def _video_receiver(self, transport: RTCDtlsTransport) -> VideoReceiver:
        self._receiver = VideoReceiver(
            transport,
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
            video.parameters.update(hints(self._options.uplink))
        if audio := self._pc.codec("audio"):
            self._audio.negotiated(audio.clockRate)
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        self.answer_sdp = self._pc.localDescription.sdp

    def _state_changed(self) -> None:
        if self._pc.connectionState == "connected":
            self._timeout.cancel()
        elif self._pc.connectionState in ("failed", "closed") and self._closing is None:
            self._closing = asyncio.create_task(self._shut())

    def _give_up(self) -> None:
        if self.state == "connecting" and self._closing is None:
            log.info("nobody came within %s s of the answer", self._options.connect_timeout_s)
            self._closing = asyncio.create_task(self._shut())


def unhindered(options: PeerOptions) -> PeerOptions:
    """On loopback nothing can be congested: what looks like it is a busy CPU."""
    bitrate, uplink = options.bitrate, options.uplink
    return replace(
        options,
        bitrate=replace(bitrate, min=bitrate.start),
        uplink=replace(uplink, min=min(uplink.start, uplink.max)),
    )


def hints(uplink: Uplink) -> dict[str, str]:
    """What makes Chromium begin at a rate, in kbit/s, instead of at 300 kbps and a quarter of the
    pixels, and go beyond 1.7 Mbps for 640x480 and less. Others ignore it."""
    return {
        "x-google-start-bitrate": str(min(uplink.start, uplink.max) // 1000),
        "x-google-max-bitrate": str(uplink.max // 1000),
    }
