"""endpoint → **offer** → peer_connection: the SDP of strangers, bounded, checked and normalized.

aiortc accepts fewer offers than we can serve. What it would refuse is rewritten before it sees
the offer, and written back into its answer: rejected media sections, sections without a mid or a
direction, offers without BUNDLE, and codecs and H.264 profiles that only our decoder must know.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from aiortc.sdp import SessionDescription, parse_h264_profile_level_id

from streamer.errors import UsageError
from streamer.webrtc.depayload import VideoCodec

SDP_MAX = 32 * 1024  # characters; browsers' offers have about 10,000
LINES_MAX = {"m=": 8, "a=rtcp-fb": 500}  # aiortc takes codecs x feedback lines steps
OTHER_LINES_MAX = 100  # of each other kind
UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")  # RFC 8839, 5.4
PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")
# Received only. To aiortc they are VP8; who sends video alone may use them.
_ALIASES: dict[str, VideoCodec] = {
    "VP9/90000": "VP9",
    "AV1/90000": "AV1",
    "H265/90000": "H265",
}
_KINDS = ("audio", "video", "application")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
# What aiortc agrees to, and our encoder makes: Constrained Baseline in packetization mode 1.
_BASELINE = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"


class _Section:
    """One media section, `lines[0]` being its m= line."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.kind, port, self.protocol, *self.formats = [*lines[0][2:].split(), "", "", ""]
        # Port 0 rejects a section (RFC 8866, 5.14), unless it is offered as part of a bundle only.
        self.is_rejected = self.kind not in _KINDS or (
            port == "0" and self.value("bundle-only") is None
        )
        self.mid = self.value("mid")

    def value(self, attribute: str) -> str | None:
        """The value of the first such attribute, "" for a flag; None without one."""
        start = f"a={attribute}"
        rests = (line[len(start) :] for line in self.lines if line.startswith(start))
        return next((rest[1:] for rest in rests if rest[:1] in ("", ":", " ")), None)

    @property
    def direction(self) -> str | None:
        return next((way for way in _DIRECTIONS if self.value(way) is not None), None)

    def set_value(self, attribute: str, payload_type: str, value: str | None) -> None:
        """Replace an attribute of a payload type; None: leave it out."""
        start = f"a={attribute}:{payload_type} "
        self.lines = [line for line in self.lines if not line.startswith(start)]
        if value is not None:
            self.lines.append(start + value)

    def rejection(self) -> list[str]:
        """The section of an answer that rejects this one (RFC 3264, 6)."""
        lines = [f"m={self.kind} 0 {self.protocol} {' '.join(filter(None, self.formats))}"]
        return [*lines, "c=IN IP4 0.0.0.0", *([f"a=mid:{self.mid}"] if self.mid else [])]


@dataclass(frozen=True, slots=True)
class Fragment:
    """An `application/trickle-ice-sdpfrag` (RFC 8840)."""

    ufrag: str  # of its ICE session; "" when left out
    candidates: tuple[tuple[str, str], ...]  # the mid of each, "" before the first, and its value


class Offer:
    """An offer that was checked; raises UsageError for one that cannot be answered.

    `sdp` is what aiortc is to see; `answer` turns its answer into ours.
    """

    def __init__(self, text: str) -> None:
        _check_bounds(text)
        session, self._sections = _split(text)
        self._active = [section for section in self._sections if not section.is_rejected]
        self._without_mid = [section.mid is None for section in self._active]
        self._fmtp: dict[str, str | None] = {}  # as offered, of payload types that were rewritten
        self._rtpmap: dict[str, str] = {}
        self.alias: VideoCodec | None = None  # the codec that aiortc takes for VP8
        self._normalize(session)
        self._bundle = self._check_groups(session)
        self.sdp = _join(session, (section.lines for section in self._active))
        self.ufrag, self.mid = _check(self.sdp, self._bundle[:1])

    def transport_mid(self, mid: str) -> str:
        """The mid of the section whose transport carries the section `mid`."""
        known = {section.mid for section in self._active}
        return mid if mid in known and mid not in self._bundle else self.mid

    def answer(self, sdp: str) -> str:
        """The answer to this offer, from aiortc's to `sdp`."""
        session, answers = _split(sdp)
        session = [line for line in session if not line.startswith("a=group:BUNDLE")]
        if self._bundle:
            mids = [answer.mid for answer in answers if answer.mid in self._bundle]
            session.append(f"a=group:BUNDLE {' '.join(filter(None, mids))}")
        for answer, is_without_mid in zip(answers, self._without_mid, strict=True):
            if answer.kind == "video":
                for payload_type in self._rtpmap:
                    answer.set_value("rtpmap", payload_type, self._rtpmap[payload_type])
                    answer.set_value("fmtp", payload_type, self._fmtp[payload_type])
            if is_without_mid:
                answer.lines = [li for li in answer.lines if not li.startswith("a=mid:")]
        active = iter(answers)
        return _join(
            session,
            (
                section.rejection() if section.is_rejected else next(active).lines
                for section in self._sections
            ),
        )

    def _normalize(self, session: list[str]) -> None:
        of_all = next((line[2:] for line in session if line[2:] in _DIRECTIONS), "sendrecv")
        for number, section in enumerate(self._active):
            if section.mid is None:
                section.mid = f"m{number}"
                section.lines.append(f"a=mid:{section.mid}")
            if section.kind != "application" and section.direction is None:
                section.lines.append(f"a={of_all}")
            if section.kind == "video":
                self._accept_codecs(section)

    def _accept_codecs(self, section: _Section) -> None:
        """Make aiortc agree to H.264 of any profile, else to a codec that it does not know.

        FFmpeg decodes all of them. What we send is VP8, or Baseline in packetization mode 1: the
        rest needs a peer that only sends.
        """
        names = {p: (section.value(f"rtpmap:{p}") or "").upper() for p in section.formats}
        h264 = {p: section.value(f"fmtp:{p}") for p in names if names[p] == "H264/90000"}
        sends_only = section.direction == "sendonly"
        if any(_is_agreed_by_aiortc(parameters or "") for parameters in h264.values()):
            return
        mode_1 = [p for p, parameters in h264.items() if _mode(parameters or "") == "1"]
        for payload_type in (mode_1 or (list(h264) if sends_only else []))[:1]:
            self._rewrite(section, payload_type, names[payload_type], _BASELINE)
        if self._fmtp or "VP8/90000" in names.values():
            return
        received = [p for p, name in names.items() if name in _ALIASES and sends_only]
        offered = sorted({name.split("/")[0] for name in names.values()} - {"", "RTX"})
        if not received and offered:
            raise UsageError(
                f"this offer cannot be answered: of its video codecs ({', '.join(offered)}) none "
                "is supported; choose H.264 in packetization mode 1 (OBS: Settings, Output, "
                "Encoder: x264) or VP8"
            )
        for payload_type in received[:1]:
            self.alias = _ALIASES[names[payload_type]]
            self._rewrite(section, payload_type, "VP8/90000", None)

    def _rewrite(
        self, section: _Section, payload_type: str, name: str, parameters: str | None
    ) -> None:
        """Show aiortc another codec; `answer` takes it back."""
        self._rtpmap[payload_type] = section.value(f"rtpmap:{payload_type}") or ""
        self._fmtp[payload_type] = section.value(f"fmtp:{payload_type}")
        section.set_value("rtpmap", payload_type, name)
        section.set_value("fmtp", payload_type, parameters)

    def _check_groups(self, session: list[str]) -> list[str]:
        """The mids of the BUNDLE group, rejected sections left out."""
        mids = [section.mid for section in self._sections if section.mid is not None]
        if len(set(mids)) < len(mids):
            raise UsageError("two sections of this offer have the same mid")
        groups = [line.split()[1:] for line in session if line.startswith("a=group:BUNDLE")]
        bundled = [mid for group in groups for mid in group]
        if not set(bundled) <= set(mids) or len(set(bundled)) < len(bundled):
            raise UsageError("the BUNDLE group of this offer does not match its sections")
        rejected = {section.mid for section in self._sections if section.is_rejected}
        if len(groups) > 1:
            raise UsageError("this offer has more than one BUNDLE group; one is supported")
        session[:] = [line for line in session if not line.startswith("a=group:")]
        bundle = [mid for mid in bundled if mid not in rejected]
        if bundle:
            session.append(f"a=group:BUNDLE {' '.join(bundle)}")
        return bundle


def read_fragment(text: str) -> Fragment:
    """Raises UsageError for a text that is not a fragment."""
    _check_bounds(text)
    ufrag, mid, candidates, ended = "", "", [], False
    for line in text.splitlines():
        key, _, value = line.strip().removeprefix("a=").partition(":")
        if key == "ice-ufrag":
            ufrag = ufrag or value
        elif key == "mid":
            mid = value
        elif key == "candidate":
            candidates.append((mid, value))
        ended = ended or key == "end-of-candidates"
    if not (ufrag or candidates or ended):
        raise UsageError("this is not an SDP fragment: it has neither candidates nor a=ice-ufrag")
    return Fragment(ufrag, tuple(candidates))


def _check_bounds(text: str) -> None:
    if len(text) > SDP_MAX:
        raise UsageError(f"this SDP is longer than {SDP_MAX} characters")
    kinds = Counter(
        line.partition(":")[0] if line.startswith("a=") else line[:2] for line in text.splitlines()
    )
    for kind, count in kinds.items():
        if count > (most := LINES_MAX.get(kind, OTHER_LINES_MAX)):
            raise UsageError(f"this SDP has more than {most} lines of the kind {kind[:20]!r}")


def _split(text: str) -> tuple[list[str], list[_Section]]:
    """The lines of the session, and the media sections."""
    session: list[str] = []
    groups: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("m="):
            groups.append([line])
        elif line:
            (groups[-1] if groups else session).append(line.rstrip())
    return session, [_Section(lines) for lines in groups]


def _join(session: list[str], sections: Iterable[list[str]]) -> str:
    lines = [*session, *(line for section in sections for line in section)]
    return "".join(f"{line}\r\n" for line in lines)


def _mode(parameters: str) -> str:
    """The packetization mode (RFC 6184, 8.1)."""
    found = re.search(r"(?:^|;)\s*packetization-mode=(\d)", parameters)
    return found[1] if found else "0"


def _is_agreed_by_aiortc(parameters: str) -> bool:
    found = re.search(r"(?:^|;)\s*profile-level-id=([0-9a-fA-F]{6})", parameters)
    try:
        profile, _ = parse_h264_profile_level_id(found[1] if found else "42e01f")
    except ValueError:
        return False
    return _mode(parameters) == "1" and profile.value in (0, 1)


def _check(sdp: str, primary: list[str]) -> tuple[str, str]:
    """The ICE user fragment and the mid of the section that a bundle uses, or of the first one.

    Raises UsageError for an offer that cannot be answered.
    """
    try:
        offer = SessionDescription.parse(sdp)
    except Exception as error:  # aiortc's parser raises whatever its parts raise
        raise UsageError("the SDP of this offer cannot be read") from error
    kinds = [media.kind for media in offer.media]
    if not {"audio", "video"} & set(kinds):
        raise UsageError("this offer has neither video nor audio")
    for kind in _KINDS:
        if kinds.count(kind) > 1:
            raise UsageError(
                f"this offer has {kinds.count(kind)} {kind} sections; one is supported"
            )
    for media in offer.media:
        ice = media.ice
        if ice is None or not ice.usernameFragment or not ice.password:
            raise UsageError(f"the {media.kind} of this offer lacks ICE credentials")
        if not UFRAG.fullmatch(ice.usernameFragment) or not PASSWORD.fullmatch(ice.password):
            raise UsageError(f"the ICE credentials of the {media.kind} are malformed (RFC 8839)")
        if media.dtls is None or not media.dtls.fingerprints:
            raise UsageError(f"the {media.kind} of this offer lacks a DTLS fingerprint")
    first = next((m for m in offer.media if m.rtp.muxId in primary), offer.media[0])
    assert first.ice is not None and first.ice.usernameFragment is not None
    return first.ice.usernameFragment, first.rtp.muxId
