"""peer, viewer → **endpoint** → peer_connection: from an offer to a connection, and to its end."""

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Literal

from aiortc import RTCConfiguration, RTCIceServer, RTCSessionDescription
from aiortc.exceptions import OperationError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.sdp import SessionDescription, candidate_from_sdp

from streamer.errors import UsageError
from streamer.webrtc.bandwidth import Uplink
from streamer.webrtc.ice import IceScope
from streamer.webrtc.options import PeerOptions
from streamer.webrtc.peer_connection import PeerConnection, TransceiverFactories

log = logging.getLogger(__name__)

SDP_MAX = 64 * 1024  # characters; Chromium's offers have about 7000
CLOSE_TIMEOUT_S = 2.0


class Endpoint:
    """One connection that was offered to us; subclasses give it `factories` and `stop`."""

    def __init__(
        self,
        options: PeerOptions,
        factories: TransceiverFactories,
        direction: Literal["sendrecv", "sendonly"],
    ) -> None:
        self.closed = asyncio.Event()
        self.answer_sdp = ""
        self._options = options
        self._direction = direction
        self._closing: asyncio.Task[None] | None = None
        self._ufrag, self._mid = "", ""  # of the other side
        servers = [RTCIceServer(s.url, s.username, s.credential) for s in options.ice_servers]
        # An explicit list, empty or not: without one aiortc asks a server of Google's.
        self._pc = PeerConnection(
            RTCConfiguration(iceServers=servers),
            IceScope(options.loopback, options.udp_ports),
            factories,
        )
        self._pc.on("connectionstatechange", self._state_changed)
        self._timeout = asyncio.get_running_loop().call_later(
            options.connect_timeout_s, self._give_up
        )

    @property
    def state(self) -> str:
        """`connecting`, `connected` or `closed`."""
        if self._closing is not None:
            return "closed"
        return "connected" if self._pc.connectionState == "connected" else "connecting"

    async def trickle(self, text: str) -> bool:
        """Add the other side's later candidates, an SDP fragment (RFC 8840).

        False: they belong to an ICE restart, which is not supported. Raises UsageError for a
        text that is not a fragment and for unreadable candidates.
        """
        fragment = _read_fragment(text)
        if fragment.ufrag not in ("", self._ufrag):
            return False
        try:
            found = [candidate_from_sdp(line) for line in fragment.candidates]
            for candidate in found:
                candidate.sdpMid = self._mid  # everything is bundled
                await self._pc.addIceCandidate(candidate)
        except (ValueError, AssertionError) as error:
            raise UsageError("the fragment has a candidate that cannot be read") from error
        if fragment.ended:
            await self._pc.addIceCandidate(None)
        return True

    async def wait_closed(self) -> None:
        await self.closed.wait()

    async def close(self) -> None:
        """Close the connection, from whatever state; any number of times."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._shut())
        await asyncio.shield(self._closing)

    def stop(self) -> None:
        """Called once when the connection ends: stop tracks and threads."""

    def agreed(self) -> None:
        """Called when codecs are agreed on, before the answer is made."""

    async def negotiate(self, offer_sdp: str) -> None:
        """Make `answer_sdp`, which holds all of our candidates.

        Raises UsageError for an offer that is malformed or has nothing we can use, MediaError
        when no UDP port is free; the endpoint is then closed.
        """
        try:
            self._ufrag, self._mid = _check_offer(offer_sdp)
            await self._pc.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
            for transceiver in self._pc.getTransceivers():
                transceiver.direction = self._direction
            self.agreed()
            await self._pc.setLocalDescription(await self._pc.createAnswer())
            self.answer_sdp = self._pc.localDescription.sdp
        except BaseException as error:
            await self.close()
            if isinstance(error, OperationError | ValueError | AssertionError):
                raise UsageError(f"this offer cannot be answered: {error}") from error
            raise

    def codec(self, kind: str) -> RTCRtpCodecParameters | None:
        """The codec agreed on for "audio" or "video"; None: there is no such track."""
        return self._pc.codec(kind)

    def _state_changed(self) -> None:
        if self._pc.connectionState == "connected":
            self._timeout.cancel()
        elif self._pc.connectionState in ("failed", "closed") and self._closing is None:
            self._closing = asyncio.create_task(self._shut())

    def _give_up(self) -> None:
        if self.state == "connecting" and self._closing is None:
            log.info("no connection within %s s of the answer", self._options.connect_timeout_s)
            self._closing = asyncio.create_task(self._shut())

    async def _shut(self) -> None:
        self._timeout.cancel()
        self.stop()
        try:
            await asyncio.wait_for(self._pc.close(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            log.warning("a WebRTC connection did not close in %s s", CLOSE_TIMEOUT_S)
        self.closed.set()


def loopback_options(options: PeerOptions) -> PeerOptions:
    """Without congestion control: on loopback, what looks like congestion is a busy CPU."""
    bitrate, uplink = options.bitrate, options.uplink
    return replace(
        options,
        bitrate=replace(bitrate, min=bitrate.start),
        uplink=replace(uplink, min=min(uplink.start, uplink.max)),
    )


def google_bitrate_params(uplink: Uplink) -> dict[str, str]:
    """SDP parameters, in kbit/s, that only Chromium reads.

    Without them it starts at 300 kbps and a quarter of the pixels, and stays below 1.7 Mbps for
    640x480 and less.
    """
    return {
        "x-google-start-bitrate": str(min(uplink.start, uplink.max) // 1000),
        "x-google-max-bitrate": str(uplink.max // 1000),
    }


def _check_offer(sdp: str) -> tuple[str, str]:
    """The ICE user fragment and the mid of the first section.

    Raises UsageError for an offer that cannot be answered.
    """
    if len(sdp) > SDP_MAX:
        raise UsageError(f"this offer is longer than {SDP_MAX} characters")
    try:
        offer = SessionDescription.parse(sdp)
    except Exception as error:  # aiortc's parser raises whatever its parts raise
        raise UsageError("the SDP of this offer cannot be read") from error
    kinds = [media.kind for media in offer.media]
    if not {"audio", "video"} & set(kinds):
        raise UsageError("this offer has neither video nor audio")
    for kind in ("audio", "video", "application"):
        if kinds.count(kind) > 1:
            raise UsageError(
                f"this offer has {kinds.count(kind)} {kind} sections; one is supported"
            )
    for media in offer.media:
        if media.ice is None or not media.ice.usernameFragment or not media.ice.password:
            raise UsageError(f"the {media.kind} of this offer lacks ICE credentials")
        if media.dtls is None or not media.dtls.fingerprints:
            raise UsageError(f"the {media.kind} of this offer lacks a DTLS fingerprint")
    first = offer.media[0]
    assert first.ice is not None and first.ice.usernameFragment is not None
    return first.ice.usernameFragment, first.rtp.muxId


@dataclass(frozen=True, slots=True)
class _Fragment:
    """An `application/trickle-ice-sdpfrag`."""

    ufrag: str  # of its ICE session; "" when left out
    candidates: tuple[str, ...]
    ended: bool  # no more will follow


def _read_fragment(text: str) -> _Fragment:
    """Raises UsageError for a text that is not a fragment."""
    lines = (line.strip() for line in text.splitlines())
    values = [line[2:].partition(":") for line in lines if line.startswith("a=")]
    ufrag = next((value for key, _, value in values if key == "ice-ufrag"), "")
    candidates = tuple(value for key, _, value in values if key == "candidate")
    ended = any(key == "end-of-candidates" for key, _, _ in values)
    if not (ufrag or candidates or ended):
        raise UsageError("this is not an SDP fragment: it has neither candidates nor a=ice-ufrag")
    return _Fragment(ufrag, candidates, ended)
