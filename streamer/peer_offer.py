"""browser → **offer** → peer: what must be true of an offer before anything is set up for it."""

from dataclasses import dataclass

from aiortc.sdp import SessionDescription

from streamer.errors import UsageError

SDP_MAX = 64 * 1024  # characters; Chromium's offers have about 7000


@dataclass(frozen=True, slots=True)
class Fragment:
    """What comes after an offer (RFC 8840, `application/trickle-ice-sdpfrag`)."""

    ufrag: str  # of the ICE session it belongs to; "" when it does not say
    candidates: tuple[str, ...]
    ended: bool  # there will be no more


def read_fragment(text: str) -> Fragment:
    """Raises UsageError for a text that is none."""
    lines = [line.strip() for line in text.splitlines()]
    values = [line[2:].partition(":") for line in lines if line.startswith("a=")]
    ufrag = next((value for key, _, value in values if key == "ice-ufrag"), "")
    candidates = tuple(value for key, _, value in values if key == "candidate")
    ended = any(key == "end-of-candidates" for key, _, _ in values)
    if not (ufrag or candidates or ended):
        raise UsageError("this is no SDP fragment: it has neither candidates nor a=ice-ufrag")
    return Fragment(ufrag, candidates, ended)


def check_offer(sdp: str) -> tuple[str, str]:
    """The ICE user fragment and the mid of the first section.

    Raises UsageError, with what is wrong, for an offer that cannot be answered.
    """
    if len(sdp) > SDP_MAX:
        raise UsageError(f"this is no WebRTC offer: it is longer than {SDP_MAX} characters")
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
        if media.ice is None or not media.ice.usernameFragment or not media.ice.password:
            raise UsageError(f"the {media.kind} of this offer lacks ICE credentials")
        if media.dtls is None or not media.dtls.fingerprints:
            raise UsageError(f"the {media.kind} of this offer lacks a DTLS fingerprint")
    first = offer.media[0]
    assert first.ice is not None and first.ice.usernameFragment is not None
    return first.ice.usernameFragment, first.rtp.muxId
