"""cli, server → **options** → peer, viewer: what one connection may do, and what it has done."""

from dataclasses import dataclass, field

from streamer.webrtc.bandwidth import Uplink
from streamer.webrtc.congestion import Bitrate, Congestion, Rates
from streamer.webrtc.ice_server import IceServer


@dataclass(frozen=True, slots=True)
class PeerOptions:
    bitrate: Bitrate = field(default_factory=Bitrate)
    uplink: Uplink = field(default_factory=Uplink)
    ice_servers: tuple[IceServer, ...] = ()
    loopback: bool = False  # media only from and to this machine
    udp_ports: range | None = None
    prefer: str = "H264"  # or "VP8"; the other one if the browser lacks it
    max_pixels: int = 4096 * 2304  # of a frame that is decoded; see also `worked_size`
    calm: bool = True  # removes noise from what comes in
    connect_timeout_s: float = 20.0
    rates: Rates = field(default_factory=Rates)  # shared by all connections

    @property
    def by_delay(self) -> bool:
        """Whether packets that come late mean a full path; on loopback, they mean a busy CPU."""
        return not self.loopback

    @property
    def memory(self) -> Rates | None:
        """What paths took before; None where there is nothing to learn."""
        return None if self.loopback else self.rates

    def congestion(self) -> Congestion:
        """For the stream that one connection sends."""
        return Congestion(self.bitrate, by_delay=self.by_delay)


@dataclass(frozen=True, slots=True)
class PeerStats:
    """Counts since the connection began; times in seconds, rates in bits per second."""

    state: str
    codec: str | None
    remote: str | None
    frames_in: int
    frames_out: int
    dropped_intake: int  # decoded, never taken
    dropped_encoder: int  # given to the sink, replaced before they were encoded
    lost_frames: int  # on the way to us
    decode_errors: int
    encode_errors: int
    keyframes_out: int
    bytes_out: int
    encode_s: tuple[float, ...]  # the most recent ones
    bitrate_bps: int  # target of the encoder
    uplink_bps: int  # REMB sent to the browser
    messages_refused: int
    late_s: float  # how long frames are held up on their way to us, the median
    heard_at: float  # when the other side last sent anything, monotonic
    datagrams_refused: int  # from strangers, malformed, or impossible to handle
