"""browser → whip → **trickle** → peer: candidates that come after the offer (RFC 8840). Pure."""

from dataclasses import dataclass

from streamer.errors import UsageError


@dataclass(frozen=True, slots=True)
class Fragment:
    """What an `application/trickle-ice-sdpfrag` says."""

    ufrag: str  # of the ICE session it belongs to; "" when it does not say
    candidates: tuple[str, ...]
    ended: bool  # there will be no more


def read_fragment(text: str) -> Fragment:
    """Raises UsageError for a text that is no fragment."""
    lines = (line.strip() for line in text.splitlines())
    values = [line[2:].partition(":") for line in lines if line.startswith("a=")]
    ufrag = next((value for key, _, value in values if key == "ice-ufrag"), "")
    candidates = tuple(value for key, _, value in values if key == "candidate")
    ended = any(key == "end-of-candidates" for key, _, _ in values)
    if not (ufrag or candidates or ended):
        raise UsageError("this is no SDP fragment: it has neither candidates nor a=ice-ufrag")
    return Fragment(ufrag, candidates, ended)
