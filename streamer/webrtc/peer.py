"""browser ─► **peer** ─► intake … pacer ─► **peer** ─► browser.

One WebRTC connection: its video as frames, stylized frames back on the same connection, its
audio back in step with them, and text on a data channel.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiortc import RTCDtlsTransport

from streamer.errors import UsageError
from streamer.frame import AudioPacket, Frame, Sink, Source
from streamer.pipeline.intake import Intake
from streamer.webrtc.audio import AudioTrack
from streamer.webrtc.capture_time import CaptureTime
from streamer.webrtc.data_channel import ControlChannel
from streamer.webrtc.endpoint import Endpoint, google_bitrate_params
from streamer.webrtc.options import PeerOptions, PeerStats
from streamer.webrtc.peer_connection import TransceiverFactories
from streamer.webrtc.receiver import AudioReceiver, VideoReceiver
from streamer.webrtc.red import AudioSender
from streamer.webrtc.sender import VideoSender, VideoTrack


class Peer(Endpoint):
    """One publisher's WebRTC connection; made by `answer`."""

    def __init__(
        self,
        options: PeerOptions,
        on_message: Callable[[str], None],
        on_audio: Callable[[AudioPacket], None] = lambda packet: None,
    ) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="peer")  # decode and encode
        self._intake: Intake[Frame] = Intake()
        self._video = VideoTrack(options.bitrate, self._threads)
        self._audio = AudioTrack()
        self._on_audio = on_audio
        self._receiver: VideoReceiver | None = None
        self._control = ControlChannel(on_message)
        factories = TransceiverFactories(
            receiver={
                "audio": lambda transport: AudioReceiver(transport, self._on_packet),
                "video": self._video_receiver,
            },
            sender={
                "audio": lambda transport: AudioSender(self._audio, transport),
                "video": lambda transport: VideoSender(
                    self._video, transport, options.congestion(), options.memory
                ),
            },
            prefer=options.prefer,
        )
        super().__init__(options, factories, "sendrecv")
        self._pc.on("datachannel", self._control.opened)

    @classmethod
    async def answer(
        cls,
        offer_sdp: str,
        options: PeerOptions,
        *,
        on_message: Callable[[str], None],
        on_audio: Callable[[AudioPacket], None] = lambda packet: None,
    ) -> "Peer":
        """Answer an offer; `answer_sdp` holds all of our candidates.

        `on_message` gets the text messages of the data channel "control", `on_audio` the Opus
        packets. Raises what `negotiate` raises.
        """
        peer = cls(options, on_message, on_audio)
        await peer.negotiate(offer_sdp)
        return peer

    @property
    def source(self) -> Source:
        """The other side's video; only its newest frame waits. Ends with the connection."""
        return self._intake

    @property
    def sink(self) -> Sink:
        """Frames for the other side; never waits, and drops those it has no time to encode.

        Drops all when the other side only publishes.
        """
        return self._video

    def send_message(self, text: str) -> None:
        """Send on the data channel, see `ControlChannel.send`."""
        self._control.send(text)

    def set_latency(self, latency_s: float) -> None:
        """Return audio this much later than it came, as the video is; gradually."""
        self._audio.set_delay(latency_s)

    def capture_time(self) -> CaptureTime | None:
        """When the browser captured a frame that it was sent; None until that is known."""
        if self._receiver is None or self._video.reported is None:
            return None
        rtp, pts = self._video.reported
        captured_ms = self._receiver.captured_ms(pts)
        return None if captured_ms is None else CaptureTime(rtp, captured_ms)

    def stats(self) -> PeerStats:
        receiver, codec = self._receiver, self.codec("video")
        return PeerStats(
            state=self.state,
            codec=(self._offer and self._offer.alias) or (codec.name if codec else None),
            remote=self._pc.remote_address,
            frames_in=self._intake.received,
            frames_out=self._video.sent,
            dropped_intake=self._intake.dropped,
            dropped_encoder=self._video.frames.dropped,
            lost_frames=receiver.lost if receiver else 0,
            decode_errors=receiver.errors if receiver else 0,
            encode_errors=self._video.errors,
            keyframes_out=self._video.keyframes,
            bytes_out=self._video.sent_bytes,
            encode_s=tuple(self._video.encode_s),
            bitrate_bps=self._video.target_bps,
            uplink_bps=receiver.uplink_bps if receiver else 0,
            messages_refused=self._control.refused,
            late_s=receiver.late_s if receiver else 0.0,
            heard_at=self._pc.heard_at,
            datagrams_refused=self._pc.refused,
        )

    def stop(self) -> None:
        self._intake.close()
        self._video.stop()
        self._audio.stop()

    async def farewell(self) -> None:
        self._control.send(json.dumps({"ended": {"message": self.reason}}))
        await self._control.flush()

    async def _shut(self) -> None:
        await super()._shut()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def agreed(self) -> None:
        if not (self._pc.gives("video") or self._pc.gives("audio")):
            raise UsageError("this offer sends no media; a publisher's is sendonly or sendrecv")
        self._video.wanted = self._pc.asks_for("video")
        if video := self.codec("video"):
            self._video.negotiated("VP8" if video.name == "VP8" else "H264")
            if self._receiver is not None and self._offer is not None:
                self._receiver.alias = self._offer.alias
            video.parameters.update(google_bitrate_params(self._options.uplink))
        if audio := self.codec("audio"):
            self._audio.negotiated(audio.clockRate)

    def _on_packet(self, packet: AudioPacket) -> None:
        self._audio.put(packet)
        codec = self.codec("audio")
        if codec is not None and codec.name.lower() == "opus":
            self._on_audio(packet)

    def _video_receiver(self, transport: RTCDtlsTransport) -> VideoReceiver:
        self._receiver = VideoReceiver(
            transport,
            self._intake.put,
            self._threads,
            max_pixels=self._options.max_pixels,
            uplink=self._options.uplink,
            calm=self._options.calm,
            by_delay=self._options.by_delay,
        )
        return self._receiver
