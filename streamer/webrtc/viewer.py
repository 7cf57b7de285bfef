"""fan_out → **viewer** → browser, player: a WebRTC connection that only watches."""

from streamer.errors import UsageError
from streamer.webrtc.audio import AudioTrack
from streamer.webrtc.codecs import Codec
from streamer.webrtc.endpoint import Endpoint
from streamer.webrtc.fan_out import FanOut, ViewerTrack
from streamer.webrtc.options import PeerOptions
from streamer.webrtc.peer_connection import TransceiverFactories
from streamer.webrtc.red import AudioSender
from streamer.webrtc.sender import VideoSender


class Viewer(Endpoint):
    def __init__(self, options: PeerOptions) -> None:
        self._video = ViewerTrack()
        self.audio = AudioTrack()
        factories = TransceiverFactories(
            receiver={},
            sender={
                "audio": lambda transport: AudioSender(self.audio, transport),
                "video": lambda transport: VideoSender(
                    self._video, transport, options.congestion(), options.memory
                ),
            },
            prefer=options.prefer,
        )
        super().__init__(options, factories, "sendonly")

    @property
    def video_codec(self) -> Codec:
        codec = self.codec("video")
        return "VP8" if codec is not None and codec.name == "VP8" else "H264"

    def agreed(self) -> None:
        if not self._pc.asks_for("video"):
            raise UsageError("a viewer's offer needs a recvonly video section")
        if audio := self.codec("audio"):
            self.audio.negotiated(audio.clockRate)

    def start(self, fan_out: FanOut) -> None:
        """Send packets of `fan_out` once connected."""
        self._video.watch(fan_out)

    def stop(self) -> None:
        self._video.stop()
        self.audio.stop()
