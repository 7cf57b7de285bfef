"""peer, viewer → **endpoint** → peer_connection: from an offer to a connection, and to its end."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Literal

from aiortc import RTCConfiguration, RTCIceServer, RTCSessionDescription
from aiortc.exceptions import InvalidStateError, OperationError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.sdp import candidate_from_sdp

from streamer.errors import UsageError
from streamer.webrtc.bandwidth import Uplink
from streamer.webrtc.ice import IceScope
from streamer.webrtc.offer import Offer, read_fragment
from streamer.webrtc.options import PeerOptions
from streamer.webrtc.peer_connection import PeerConnection, TransceiverFactories

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 2.0
CHECK_S = 0.6  # twice, for what is stuck
# What aiortc raises for an offer that it does not understand.
UNUSABLE = (
    OperationError,
    InvalidStateError,
    ValueError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
)


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
        self.reason = ""  # why it was ended from here, if it was
        self._options = options
        self._direction = direction
        self._closing: asyncio.Task[None] | None = None
        self._offer: Offer | None = None
        known = (server.at(time.time()) for server in options.ice_servers)
        servers = [RTCIceServer(s.url, s.username, s.credential) for s in known]
        # An explicit list, empty or not: without one aiortc asks a server of Google's.
        self._pc = PeerConnection(
            RTCConfiguration(iceServers=servers),
            IceScope(options.loopback, options.udp_ports),
            factories,
        )
        self._pc.on("connectionstatechange", self._state_changed)
        self._pc.on("failure", self._start_closing)
        self._timeout = asyncio.get_running_loop().call_later(
            options.connect_timeout_s, self._give_up
        )
        self._checking: asyncio.TimerHandle | None = None

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
        fragment, offer = read_fragment(text), self._offer
        if offer is None or fragment.ufrag not in ("", offer.ufrag):
            return False
        try:
            found = [(mid, candidate_from_sdp(value)) for mid, value in fragment.candidates]
        except (ValueError, AssertionError) as error:
            raise UsageError("the fragment has a candidate that cannot be read") from error
        for mid, candidate in found:
            candidate.sdpMid = offer.transport_mid(mid)
            await self._pc.addIceCandidate(candidate)
        return True

    async def wait_closed(self) -> None:
        await self.closed.wait()

    async def close(self, reason: str = "") -> None:
        """Close the connection, from whatever state; any number of times.

        The other side is told the first `reason`, if it listens.
        """
        self._start_closing(reason)
        assert self._closing is not None
        await asyncio.shield(self._closing)

    async def farewell(self) -> None:
        """Called once, with the connection still open: tell the other side the reason."""

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
            self._offer = Offer(offer_sdp)
            with _refusals():
                await self._pc.setRemoteDescription(RTCSessionDescription(self._offer.sdp, "offer"))
            for transceiver in self._pc.getTransceivers():
                transceiver.direction = self._direction
            self._pc.accept_redundant_audio()
            if self._options.by_delay:
                self._pc.accept_transport_feedback()
            self.agreed()
            with _refusals():
                await self._pc.setLocalDescription(await self._pc.createAnswer())
            self.answer_sdp = self._offer.answer(self._pc.localDescription.sdp)
        except BaseException:
            await self.close()
            raise

    def codec(self, kind: str) -> RTCRtpCodecParameters | None:
        """The codec agreed on for "audio" or "video"; None: there is no such track."""
        return self._pc.codec(kind)

    def _state_changed(self) -> None:
        if self._pc.connectionState == "connected":
            self._timeout.cancel()
            if self._checking is None:
                self._check()
        elif self._pc.connectionState in ("failed", "closed"):
            self._start_closing()

    def _give_up(self) -> None:
        if self.state == "connecting":
            log.info("no connection within %s s of the answer", self._options.connect_timeout_s)
            self._start_closing()

    def _check(self) -> None:
        """Again and again, while connected: what hangs raises nothing."""
        if self._closing is None:
            self._checking = asyncio.get_running_loop().call_later(CHECK_S, self._check)
            if why := self._pc.stuck():
                log.error("x a WebRTC connection hangs: %s", why)
                self._start_closing(why)

    def _start_closing(self, reason: str = "") -> None:
        if self._closing is None:
            self.reason = reason
            self._closing = asyncio.create_task(self._shut())

    async def _shut(self) -> None:
        self._timeout.cancel()
        if self._checking is not None:
            self._checking.cancel()
        self.stop()
        if self.reason:
            await self.farewell()
        try:
            await asyncio.wait_for(self._pc.close(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            log.warning("a WebRTC connection did not close in %s s", CLOSE_TIMEOUT_S)
        except Exception:
            log.exception("a WebRTC connection did not close properly")
        finally:
            self.closed.set()


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Turns what aiortc raises for an offer into UsageError."""
    try:
        yield
    except UNUSABLE as error:
        raise UsageError(f"this offer cannot be answered: {error}") from error


def google_bitrate_params(uplink: Uplink) -> dict[str, str]:
    """SDP parameters, in kbit/s, that only Chromium reads.

    Without them it starts at 300 kbps and a quarter of the pixels, and stays below 1.7 Mbps for
    640x480 and less.
    """
    return {
        "x-google-start-bitrate": str(min(uplink.start, uplink.max) // 1000),
        "x-google-max-bitrate": str(uplink.max // 1000),
    }
