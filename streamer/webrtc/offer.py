"""browser → **offer** → peer: what must be true of an offer before anything is set up for it."""

from aiortc.sdp import SessionDescription

from streamer.errors import UsageError

SDP_MAX = 64 * 1024  # characters; Chromium's offers have about 7000


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
