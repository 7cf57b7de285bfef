"""browser ─► **peer** ─► intake … pacer ─► **peer** ─► browser.

One WebRTC connection: its video as frames, stylized frames back on the same connection, its
sound back in step with them, and text on a data channel. aiortc lives here and in the modules
this one is made of (`peer_*`, `rtp*`).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiortc import RTCDtlsTransport, RTCRtpSender

from streamer.errors import UsageError
from streamer.frame import Frame, Sink, AudioPacket, Source
from streamer.pipeline.intake import Intake
from streamer.webrtc.bandwidth import Uplink
from streamer.webrtc.capture_time import CaptureTime
from streamer.webrtc.codecs import Bitrate
from streamer.webrtc.data_channel import ControlChannel
from streamer.webrtc.endpoint import Endpoint, google_bitrate_params, loopback_options
from streamer.webrtc.options import IceServer, PeerOptions, PeerStats
from streamer.webrtc.peer_connection import TransceiverFactories
from streamer.webrtc.receiver import VideoReceiver
from streamer.webrtc.rtp_receive import AudioReceiver
from streamer.webrtc.sender import AudioTrack, VideoSender, VideoTrack

__all__ = ["Bitrate", "IceServer", "Peer", "PeerOptions", "PeerStats", "Uplink"]


class Peer(Endpoint):
    """One WebRTC connection that was offered to us; ask `answer` for one."""

    def __init__(
        self,
        options: PeerOptions,
        on_message: Callable[[str], None],
        on_audio: Callable[[AudioPacket], None] = lambda sound: None,
    ) -> None:
        options = loopback_options(options) if options.loopback else options
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="peer")  # decode and encode
        self._intake: Intake[Frame] = Intake()
        self._video = VideoTrack(options.bitrate, self._threads)
        self._audio = AudioTrack()
        self._on_sound = on_audio
        self._receiver: VideoReceiver | None = None
        self._control = ControlChannel(on_message)
        factories = TransceiverFactories(
            receiver={
                "audio": lambda transport: AudioReceiver(transport, self._heard),
                "video": self._video_receiver,
            },
            sender={
                "audio": lambda transport: RTCRtpSender(self._audio, transport),
                "video": lambda transport: VideoSender(self._video, transport),
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
        on_audio: Callable[[AudioPacket], None] = lambda sound: None,
    ) -> "Peer":
        """The peer for an offer, its `answer_sdp` holding every candidate of ours.

        `on_message` gets the text messages of the data channel "control", `on_audio` the packets
        of Opus. Raises UsageError for an offer that is malformed or has nothing we can use,
        MediaError without a free port.
        """
        peer = cls(options, on_message, on_audio)
        await peer.negotiate(offer_sdp)
        return peer

    @property
    def source(self) -> Source:
        """The other side's video, newest frame first; ends with the connection."""
        return self._intake

    @property
    def sink(self) -> Sink:
        """Frames for the other side; never waits, and drops what there is no time to encode.

        Nothing happens to them when the other side only publishes.
        """
        return self._video

    def send_message(self, text: str) -> None:
        """Send on the data channel; nothing happens when it is not open, or not being read."""
        self._control.send(text)

    def set_latency(self, latency_s: float) -> None:
        """Return sound this much later than it came, as the picture is; the change is gradual."""
        self._audio.set_delay(latency_s)

    def capture_time(self) -> CaptureTime | None:
        """When the browser captured a picture that it is shown; None until that is known."""
        if self._receiver is None or self._video.reported is None:
            return None
        rtp, pts = self._video.reported
        captured_ms = self._receiver.captured_ms(pts)
        return None if captured_ms is None else CaptureTime(rtp, captured_ms)

    def stats(self) -> PeerStats:
        receiver, codec = self._receiver, self.codec("video")
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

    def stop(self) -> None:
        self._intake.close()
        self._video.stop()
        self._audio.stop()

    async def _shut(self) -> None:
        await super()._shut()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def agreed(self) -> None:
        if not (self._pc.gives("video") or self._pc.gives("audio")):
            raise UsageError("this offer sends nothing: a publisher's is sendonly or sendrecv")
        self._video.wanted = self._pc.asks_for("video")
        if video := self.codec("video"):
            self._video.negotiated("VP8" if video.name == "VP8" else "H264")
            video.parameters.update(google_bitrate_params(self._options.uplink))
        if audio := self.codec("audio"):
            self._audio.negotiated(audio.clockRate)

    def _heard(self, sound: AudioPacket) -> None:
        self._audio.put(sound)
        codec = self.codec("audio")
        if codec is not None and codec.name.lower() == "opus":
            self._on_sound(sound)

    def _video_receiver(self, transport: RTCDtlsTransport) -> VideoReceiver:
        self._receiver = VideoReceiver(
            transport,
            self._intake.put,
            self._threads,
            max_pixels=self._options.max_pixels,
            uplink=self._options.uplink,
        )
        return self._receiver
