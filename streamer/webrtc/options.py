"""peer: what one connection may do, and what it has done."""

from dataclasses import dataclass, field

from aiortc.rtcicetransport import parse_stun_turn_uri

from streamer.errors import UsageError
from streamer.webrtc.bandwidth import Uplink
from streamer.webrtc.codecs import Bitrate


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server: `stun:host:port`, `turn:host:port?transport=udp`.

    Raises UsageError for an address that is neither.
    """

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None

    def __post_init__(self) -> None:
        for url in self.urls:
            try:
                parse_stun_turn_uri(url)
            except ValueError as error:
                raise UsageError(f"{url!r} is no STUN or TURN server: {error}") from error


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
    encode_errors: int
    keyframes_out: int
    bytes_out: int
    encode_s: tuple[float, ...]  # the most recent ones
    bitrate_bps: int  # what the encoder aims at
    uplink_bps: int  # what the browser was told it may send
    messages_refused: int
