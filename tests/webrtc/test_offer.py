"""What aiortc is told of an offer, and what the other side is told of aiortc's answer."""

import re
import time

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription
from hypothesis import example, given
from hypothesis import strategies as st

from streamer.errors import UsageError
from streamer.webrtc.offer import SDP_MAX, Offer, read_fragment

SESSION = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
TRANSPORT = (
    "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\n"
    f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}\r\na=rtcp-mux\r\n"
)


def video(codecs: str, *, mid: str = "0", way: str = "sendonly", payload_types: str = "96") -> str:
    return (
        f"m=video 9 UDP/TLS/RTP/SAVPF {payload_types}\r\nc=IN IP4 0.0.0.0\r\n{TRANSPORT}"
        f"a=mid:{mid}\r\na={way}\r\n{codecs}"
    )


def audio(mid: str = "1") -> str:
    return (
        f"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n{TRANSPORT}"
        f"a=mid:{mid}\r\na=sendonly\r\na=rtpmap:111 opus/48000/2\r\n"
    )


VP8 = "a=rtpmap:96 VP8/90000\r\n"
H264 = "a=rtpmap:96 H264/90000\r\n"


async def answer(text: str) -> str:
    """Ours, with aiortc doing the rest."""
    offer, pc = Offer(text), RTCPeerConnection()
    try:
        await pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        description = await pc.createAnswer()
        return offer.answer(description.sdp)
    finally:
        await pc.close()


@pytest.mark.parametrize("mode", ["", "packetization-mode=0;", "packetization-mode=1;"])
@pytest.mark.parametrize(
    "profile", ["42e01f", "42c01f", "42001f", "428014", "4d001f", "4d0032", "640028", "640c1f"]
)
async def test_h264_of_any_profile_is_agreed_on_as_it_was_offered(profile: str, mode: str) -> None:
    fmtp = f"a=fmtp:96 {mode}profile-level-id={profile}"
    ours = await answer(SESSION + video(H264 + fmtp + "\r\n"))
    assert "a=rtpmap:96 H264/90000" in ours
    [answered] = re.findall(r"a=fmtp:96 (.*)\r\n", ours)
    assert f"profile-level-id={profile[:2]}" in answered or "profile-level-id=42" in answered
    assert ("packetization-mode=1" in answered) == ("packetization-mode=1" in mode)


async def test_h264_without_format_parameters_is_agreed_on() -> None:
    ours = await answer(SESSION + video(H264))
    assert "a=rtpmap:96 H264/90000" in ours and "a=fmtp:96" not in ours


async def test_who_gets_video_back_needs_packetization_mode_1() -> None:
    """Our encoder makes fragments (RFC 6184, 5.8)."""
    with pytest.raises(UsageError, match=r"video codecs \(H264\) none .* packetization mode 1"):
        Offer(SESSION + video(H264, way="sendrecv"))


@pytest.mark.parametrize("name", ["VP9", "AV1", "H265"])
async def test_who_only_sends_may_send_what_only_our_decoder_knows(name: str) -> None:
    codec = f"a=rtpmap:96 {name}/90000\r\na=fmtp:96 profile-id=0\r\n"
    assert Offer(SESSION + video(codec)).alias == name
    ours = await answer(SESSION + video(codec))
    assert codec in ours
    with pytest.raises(UsageError, match=rf"\({name}\) none is supported"):
        Offer(SESSION + video(codec, way="sendrecv"))


async def test_what_can_be_sent_back_comes_first() -> None:
    both = "a=rtpmap:96 VP9/90000\r\na=rtpmap:97 VP8/90000\r\n"
    assert Offer(SESSION + video(both, payload_types="96 97")).alias is None


async def test_what_aiortc_knows_is_left_as_it_is() -> None:
    both = (
        "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=640028\r\n"
        "a=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=1;profile-level-id=42e01f\r\n"
    )
    ours = await answer(SESSION + video(both, payload_types="96 97"))
    assert "a=rtpmap:97 H264/90000" in ours and "a=rtpmap:96" not in ours


async def test_a_rejected_section_needs_no_transport_and_is_answered_in_its_place() -> None:
    rejected = "m=audio 0 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:a\r\na=inactive\r\n"
    group = "a=group:BUNDLE v\r\n"
    ours = await answer(SESSION + group + rejected + video(VP8, mid="v"))
    sections = [line for line in ours.splitlines() if line.startswith("m=")]
    assert sections == ["m=audio 0 UDP/TLS/RTP/SAVPF 111", sections[1]]
    assert sections[1].startswith("m=video 9 ") and "a=group:BUNDLE v\r\n" in ours


async def test_a_section_that_is_only_offered_in_a_bundle_is_no_rejected_one() -> None:
    bundle_only = audio().replace("m=audio 9", "m=audio 0") + "a=bundle-only\r\n"
    ours = await answer(SESSION + "a=group:BUNDLE 0 1\r\n" + video(VP8) + bundle_only)
    assert "m=audio 9 " in ours and "a=group:BUNDLE 0 1" in ours


async def test_an_unknown_kind_of_media_is_rejected_and_the_rest_is_answered() -> None:
    text = "m=text 9 UDP/TLS/RTP/SAVPF 98\r\nc=IN IP4 0.0.0.0\r\na=mid:t\r\n"
    ours = await answer(SESSION + video(VP8) + text)
    assert "m=video 9 " in ours and "m=text 0 UDP/TLS/RTP/SAVPF 98\r\n" in ours


async def test_without_a_bundle_offered_none_is_answered() -> None:
    ours = await answer(SESSION + video(VP8) + audio())
    assert "BUNDLE" not in ours and "a=mid:0" in ours and "a=mid:1" in ours


async def test_sections_without_mid_and_direction_are_answered_without_mid() -> None:
    section = video(VP8).replace("a=mid:0\r\n", "").replace("a=sendonly\r\n", "")
    ours = await answer(SESSION + "a=sendonly\r\n" + section)
    assert "a=mid" not in ours
    assert Offer(SESSION + "a=sendonly\r\n" + section).sdp.count("a=sendonly") == 2


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("a=rtcp-fb", "a=rtcp-fb:* nack\r\n"),
        ("a=rtpmap", "a=rtpmap:97 VP8/90000\r\n"),
        ("a=fmtp", "a=fmtp:96 x=1\r\n"),
        ("a=ssrc", "a=ssrc:1 cname:x\r\n"),
        ("a=x", "a=x\r\n"),
        ("b=", "b=AS:1\r\n"),
        ("m=", "m=audio 0 X 0\r\n"),
    ],
)
def test_lines_are_bounded_by_kind(kind: str, line: str) -> None:
    with pytest.raises(UsageError, match=f"more than .* lines of the kind '{kind}'"):
        Offer(SESSION + video(VP8) + line * 600)


def test_the_most_expensive_offer_within_the_bounds_is_read_quickly() -> None:
    """Codecs x feedback lines; 65,000 characters of them once took 7 s."""
    codecs = "".join(f"a=rtpmap:{n} VP8/90000\r\n" for n in range(96, 196))
    types = " ".join(map(str, range(96, 196)))
    text = SESSION + video(codecs + "a=rtcp-fb:* nack pli\r\n" * 500, payload_types=types)
    assert len(text) < SDP_MAX
    began = time.process_time()
    Offer(text)
    assert time.process_time() - began < 2


def test_fragments_name_the_section_of_each_candidate() -> None:
    line = "a=candidate:1 1 udp 1 10.0.0.1 1 typ host\r\n"
    fragment = read_fragment("a=ice-ufrag:abcd\r\nm=video 9 X 0\r\na=mid:1\r\n" + line)
    assert fragment.ufrag == "abcd"
    assert fragment.candidates == (("1", "1 1 udp 1 10.0.0.1 1 typ host"),)
    with pytest.raises(UsageError, match="more than 100 lines"):
        read_fragment(line * 101)


def test_candidates_go_to_the_transport_of_their_section() -> None:
    bundled = Offer(SESSION + "a=group:BUNDLE 1 0\r\n" + video(VP8) + audio())
    assert (bundled.transport_mid("0"), bundled.transport_mid("")) == ("1", "1")
    apart = Offer(SESSION + video(VP8) + audio())
    assert (apart.transport_mid("1"), apart.transport_mid("?")) == ("1", "0")
    assert SessionDescription.parse(apart.sdp).group == []


LINES = (SESSION + video(VP8 + H264) + audio()).splitlines(keepends=True)
cut_and_shuffled = st.lists(
    st.one_of(st.sampled_from(LINES), st.text(max_size=40).map(lambda text: f"a={text}\r\n")),
    max_size=60,
).map("".join)


@given(st.one_of(cut_and_shuffled, st.text(max_size=400)))
@example(SESSION + video(VP8) * 3)
@example(SESSION + "m=\r\n")
@example(SESSION + video(VP8).replace("m=video 9", "m=video 99999999999999999999"))
@example(SESSION + video("a=rtpmap:x\r\na=fmtp:\r\na=mid:\r\n"))
def test_whatever_comes_is_an_offer_or_refused_in_a_line(text: str) -> None:
    for read in (Offer, read_fragment):
        try:
            read(text)
        except UsageError as error:
            assert "\n" not in str(error)
