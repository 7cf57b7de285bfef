"""endpoint → **peer_connection** → aiortc, with our receivers, senders and ICE.

RTCPeerConnection creates its own parts and accepts no others; the private methods overridden here
are where it does so. They are those of aiortc 1.16, which `pyproject.toml` pins.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiortc
from aiortc import (
    RTCCertificate,
    RTCConfiguration,
    RTCDtlsTransport,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    rtp,
)
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcdtlstransport import (
    X509_DIGEST_ALGORITHMS,
    RTCDtlsParameters,
    SRTPProtectionProfile,
    State,
)
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpCodecParameters
from aiortc.rtcsctptransport import DataChunk, RTCSctpTransport
from OpenSSL import SSL, crypto

from streamer.errors import StreamerError, told
from streamer.webrtc.ice import IceConnection, IceScope
from streamer.webrtc.red import is_red
from streamer.webrtc.rtp_sender import RtpSender
from streamer.webrtc.sender import FeedbackTrack
from streamer.webrtc.transport_feedback import URI, split

log = logging.getLogger(__name__)

SUPPORTED = "1.16."
# Browsers have run out of 96 to 127 and take 35 to 63 as well (RFC 5761, 4, leaves them free).
rtp.DYNAMIC_PAYLOAD_TYPES = [*range(35, 64), *range(96, 128)]  # type: ignore[assignment]
WINDOW = 256 * 1024  # bytes of unfinished messages on data channels
SLACK = 64 * 1024  # for a sender that probes a closed window
# aiortc's, and the same for RSA certificates (GStreamer's). All have forward secrecy; the other
# side is authenticated by the fingerprint in its SDP alone. Few, so that a ClientHello stays in
# one datagram: Mbed TLS, in OBS, accepts no other.
CIPHERS = b":".join(
    b"ECDHE-%s-%s" % (signature, cipher)
    for signature in (b"ECDSA", b"RSA")
    for cipher in (b"AES128-GCM-SHA256", b"CHACHA20-POLY1305", b"AES128-SHA", b"AES256-SHA")
)


@dataclass(frozen=True, slots=True)
class TransceiverFactories:
    """What to use in place of aiortc's receivers and senders, by kind ("audio", "video")."""

    receiver: Mapping[str, Callable[[RTCDtlsTransport], Any]]
    sender: Mapping[str, Callable[[RTCDtlsTransport], Any]]
    prefer: str = "H264"  # video codec if both sides have it


class PeerConnection(RTCPeerConnection):
    """An RTCPeerConnection within an `IceScope`, with our receivers and senders.

    Emits "failure", with the reason, when one of its tasks ends that should not. A packet that
    nobody can handle is dropped and counted; aiortc would end the transport.
    """

    def __init__(
        self,
        configuration: RTCConfiguration,
        scope: IceScope,
        factories: TransceiverFactories,
    ) -> None:
        if not aiortc.__version__.startswith(SUPPORTED):
            raise StreamerError(f"aiortc {SUPPORTED}x is needed, not {aiortc.__version__}")
        super().__init__(configuration)
        _set(self, "_RTCPeerConnection__certificates", [Certificate.generateCertificate()])
        self._unhandled = 0  # packets
        self._scope = scope
        self._factories = factories
        self._ice: list[IceConnection] = []
        self._waited: dict[object, int] = {}  # what has work, and how much it had done

    def stuck(self) -> str | None:
        """What has had work since the last call and did none of it; for the endpoint's timer."""
        working: dict[object, tuple[int, str]] = {
            ice: (ice.received, "what it sends is not read any more")
            for ice in self._ice
            if ice.waits
        }
        for sender in self.getSenders():
            if isinstance(sender, RtpSender) and sender.started and _waits(sender.track):
                working[sender] = (sender.put, "nothing can be sent to it any more")
        stuck = [why for one, (done, why) in working.items() if self._waited.get(one) == done]
        self._waited = {one: done for one, (done, _) in working.items()}
        return stuck[0] if stuck else None

    def accept_transport_feedback(self) -> None:
        """Agree to number packets across streams and to report those of the other side.

        Call after `setRemoteDescription`. Both ways or not at all: once it is agreed to, Chromium's
        camera waits for reports.
        """
        for section in self._RTCPeerConnection__remoteDescription().media:  # type: ignore[attr-defined]
            offered = [one for one in section.rtp.headerExtensions if one.uri == URI]
            for transceiver in self.getTransceivers():
                if offered and section.kind == "video" and transceiver.mid == section.rtp.muxId:
                    transceiver._headerExtensions += offered
                    for codec in transceiver._codecs:
                        if not is_rtx(codec):  # Firefox asks for this as well
                            codec.rtcpFeedback.append(RTCRtcpFeedback(type="transport-cc"))

    def accept_redundant_audio(self) -> None:
        """Agree to RED for Opus if it is offered; call after `setRemoteDescription`."""
        for section in self._RTCPeerConnection__remoteDescription().media:  # type: ignore[attr-defined]
            opus = next((c for c in section.rtp.codecs if c.name.lower() == "opus"), None)
            for transceiver in self.getTransceivers():
                ours = transceiver._codecs
                if opus and ours and ours[0].name == opus.name and transceiver.kind == "audio":
                    both = f"{opus.payloadType}/{opus.payloadType}"
                    ours[:0] = [
                        red for red in section.rtp.codecs if is_red(red) and both in red.parameters
                    ]

    def codec(self, kind: str) -> RTCRtpCodecParameters | None:
        """The codec agreed on, both ways; None: there is no such track."""
        agreed = (t._codecs for t in self.getTransceivers() if t.kind == kind)
        return next((one for codecs in agreed for one in codecs if not is_red(one)), None)

    def asks_for(self, kind: str) -> bool:
        """Whether the offer asks to receive that kind."""
        ours = (t._offerDirection for t in self.getTransceivers() if t.kind == kind)
        return any(way in ("sendrecv", "sendonly") for way in ours)

    def gives(self, kind: str) -> bool:
        """Whether the offer sends that kind."""
        ours = (t._offerDirection for t in self.getTransceivers() if t.kind == kind)
        return any(way in ("sendrecv", "recvonly") for way in ours)

    @property
    def refused(self) -> int:
        """Datagrams that were dropped: not from the other side, or impossible to handle."""
        return self._unhandled + sum(ice.refused.total() for ice in self._ice)

    @property
    def heard_at(self) -> float:
        """When the other side last sent anything, monotonic seconds."""
        return max((ice.heard_at for ice in self._ice), default=time.monotonic())

    async def close(self) -> None:
        """Close all sockets, also those of a connection that aiortc cannot close."""
        try:
            await super().close()
        finally:
            for ice in self._ice:
                await ice.close()

    @property
    def remote_address(self) -> str | None:
        """The nominated address of the other side; None before."""
        for transceiver in self.getTransceivers():
            ice = transceiver.receiver.transport.transport._connection
            for pair in ice._nominated.values():
                host, port = pair.remote_addr
                return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return None

    def _RTCPeerConnection__createTransceiver(self, *args: Any, **kwargs: Any) -> RTCRtpTransceiver:
        made = super()._RTCPeerConnection__createTransceiver(*args, **kwargs)  # type: ignore[misc]
        transceiver: RTCRtpTransceiver = made
        transport, kind = transceiver.receiver.transport, transceiver.kind
        if kind in self._factories.sender:
            sender = self._factories.sender[kind](transport)
            sender.on_failure = self._fail
            sender._stream_id = transceiver.sender._stream_id
            _set(transceiver, "_RTCRtpTransceiver__sender", sender)
        if kind in self._factories.receiver:
            receiver = self._factories.receiver[kind](transport)
            receiver.on_failure = self._fail
            _set(transceiver, "_RTCRtpTransceiver__receiver", receiver)
        transceiver.receiver._set_rtcp_ssrc(transceiver.sender._ssrc)
        if kind == "video" and self._factories.prefer:
            known = RTCRtpSender.getCapabilities(kind).codecs
            known.sort(key=lambda codec: codec.name != self._factories.prefer)
            transceiver.setCodecPreferences(known)
        return transceiver

    def _RTCPeerConnection__createDtlsTransport(self) -> RTCDtlsTransport:
        dtls: RTCDtlsTransport = super()._RTCPeerConnection__createDtlsTransport()  # type: ignore[misc]
        ice = dtls.transport
        connection = IceConnection(ice._connection, self._scope)
        self._ice.append(connection)
        ice.iceGatherer._connection = ice._connection = connection
        ice._recv, ice._send = connection.recv, connection.send
        _set(dtls, "_recv_next", partial(self._receive, dtls._recv_next))
        _set(dtls, "_validate_peer_identity", partial(_check_fingerprints, dtls))
        _set(dtls, "_handle_rtp_data", self._isolated(dtls._handle_rtp_data))
        take_rtcp = partial(self._take_rtcp, dtls, dtls._handle_rtcp_data)
        _set(dtls, "_handle_rtcp_data", self._isolated(take_rtcp))
        return dtls

    async def _take_rtcp(
        self, dtls: RTCDtlsTransport, handle: Callable[[bytes], Awaitable[None]], data: bytes
    ) -> None:
        """Transport-wide reports go to our senders; aiortc would take them for malformed NACKs."""
        reports, rest = split(data)
        for sender in self.getSenders():
            if isinstance(sender, RtpSender) and sender.transport is dtls:
                for report in reports:
                    sender.on_feedback(report, time.monotonic())
        if rest:
            await handle(rest)

    def _RTCPeerConnection__createSctpTransport(self) -> None:
        super()._RTCPeerConnection__createSctpTransport()  # type: ignore[misc]
        if self.sctp is not None:
            _bound(self.sctp)
            _set(self.sctp, "_handle_data", self._isolated(self.sctp._handle_data))

    async def _RTCPeerConnection__connect(self) -> None:
        """aiortc starts this as a task that nobody awaits."""
        try:
            await super()._RTCPeerConnection__connect()  # type: ignore[misc]
        except Exception as error:
            self._fail(error)

    async def _receive(self, receive_next: Callable[[], Awaitable[None]]) -> None:
        """In aiortc's loop of a transport, whose end would close it before a word can be said."""
        try:
            await receive_next()
        except ConnectionError:
            raise
        except Exception as error:
            self._fail(error)
            await asyncio.Event().wait()  # until this is closed

    def _isolated(self, handle: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """A handler of packets whose errors cost the packet only, not the transport."""

        async def handle_or_drop(*args: Any, **kwargs: Any) -> None:
            try:
                await handle(*args, **kwargs)
            except ConnectionError:  # the transport is closed
                raise
            except Exception:
                self._unhandled += 1
                if self._unhandled == 1:  # once: a stranger decides how often
                    log.exception("x a packet could not be handled")

        return handle_or_drop

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, StreamerError):
            log.error("x a WebRTC connection failed: %s", error)
        else:
            log.error("x a WebRTC connection failed", exc_info=error)
        self.emit("failure", told(error))


class Certificate(RTCCertificate):
    """A P-256 certificate whose context also accepts peers with RSA."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(CIPHERS)
        return context


def _check_fingerprints(dtls: RTCDtlsTransport, remote: RTCDtlsParameters) -> None:
    """The other side's certificate must match every fingerprint of its SDP (RFC 8122, 5).

    Unlike aiortc's, this does not parse the certificate, of which nothing else matters: those of
    libdatachannel (in OBS) claim a version of X.509 that `cryptography` refuses.
    """
    certificate = dtls._ssl.get_peer_certificate() if dtls._ssl else None
    claimed = [f for f in remote.fingerprints if f.algorithm.lower() in X509_DIGEST_ALGORITHMS]
    if (
        certificate is None
        or not claimed
        or any(_digest(certificate, f.algorithm) != f.value.upper() for f in claimed)
    ):
        dtls._set_state(State.FAILED)


def _digest(certificate: crypto.X509, algorithm: str) -> str:
    """Its bytes in upper case hexadecimal, with colons between them."""
    return certificate.digest(algorithm.lower().replace("-", "")).decode()


def _bound(sctp: RTCSctpTransport) -> None:
    """Enforce a receive window: aiortc announces one and then accepts anything."""
    take = sctp._receive_data_chunk
    sctp._advertised_rwnd = WINDOW

    async def take_within_window(chunk: DataChunk) -> None:
        if sctp._advertised_rwnd > -SLACK:
            await take(chunk)

    _set(sctp, "_receive_data_chunk", take_within_window)


def _waits(track: MediaStreamTrack | None) -> bool:
    return isinstance(track, FeedbackTrack) and track.waits


def _set(owner: object, private: str, value: object) -> None:
    """Replace a private attribute; fails if this aiortc does not have it."""
    getattr(owner, private)
    setattr(owner, private, value)
