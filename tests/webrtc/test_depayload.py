"""Encoded frames through RTP payloads, made here as the specifications say, and decoded again."""

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
import pytest
from aiortc.codecs.h264 import H264Encoder
from av.video.codeccontext import VideoCodecContext
from hypothesis import given
from hypothesis import strategies as st

from streamer.avframe import to_frame, to_image
from streamer.frame import VIDEO_TIME_BASE, Frame
from streamer.webrtc.codecs import DECODERS, Decoder
from streamer.webrtc.depayload import (
    FORMATS,
    VideoCodec,
    av1_is_keyframe,
    av1_join,
    h264_is_keyframe,
    h265_depayload,
    h265_is_keyframe,
    vp8_is_keyframe,
    vp9_depayload,
    vp9_is_keyframe,
)
from streamer.webrtc.jitter_buffer import JitterBuffer, MediaClock, Packet
from tests.support.clips import number_frame, read_number

PIECE = 500  # bytes of a payload
STEP = 3000
FRAMES = 20


def pieces(data: bytes, size: int = PIECE) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def vp9_payloads(frame: bytes) -> list[bytes]:
    """With a picture id of 15 bits and, in the first, a scalability structure (RFC 9628, 4.2)."""
    structure = bytes([0x18, 1, 64, 0, 192, 1, 0b00000100, 1])  # 320x192
    parts = pieces(frame)
    return [
        bytes([0x80 | (0x0A if i == 0 else 0) | (0x04 if i == len(parts) - 1 else 0), 0x81, 2])
        + (structure if i == 0 else b"")
        + part
        for i, part in enumerate(parts)
    ]


def annex_b(frame: bytes) -> list[bytes]:
    """The NAL units."""
    return [
        unit.rstrip(b"\0")
        for unit in frame.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
        if unit
    ]


def h265_payloads(frame: bytes) -> Iterator[bytes]:
    """Small units together, large ones in fragments (RFC 7798, 4.4.2 and 4.4.3)."""
    small = [unit for unit in annex_b(frame) if len(unit) < 200]
    if small:
        yield b"\x60\x01" + b"".join(len(unit).to_bytes(2) + unit for unit in small)
    for unit in annex_b(frame):
        if len(unit) >= 200:
            parts = pieces(unit[2:])
            for i, part in enumerate(parts):
                ends = (0x80 if i == 0 else 0) | (0x40 if i == len(parts) - 1 else 0)
                fragment = bytes([49 << 1 | unit[0] & 0x81, unit[1]])
                yield fragment + bytes([ends | unit[0] >> 1 & 0x3F]) + part


def av1_payloads(frame: bytes) -> Iterator[bytes]:
    """One OBU an element, without sizes of their own, cut where the payload is full (4.4)."""
    obus = [obu for obu in obus_of(frame) if obu[0] >> 3 & 0xF != 2]
    for number, obu in enumerate(obus):
        parts = pieces(obu)
        for i, part in enumerate(parts):
            begins = 0x08 if number == i == 0 and obu[0] >> 3 & 0xF == 1 else 0
            continued = (0x80 if i else 0) | (0x40 if i < len(parts) - 1 else 0)
            yield bytes([continued | 0x10 | begins]) + part


def obus_of(frame: bytes) -> Iterator[bytes]:
    """Of a temporal unit in the low-overhead format, their sizes taken out."""
    at = 0
    while at < len(frame):
        header = 2 if frame[at] & 4 else 1
        size = shift = 0
        i = at + header
        while True:
            size |= (frame[i] & 0x7F) << shift
            shift, i = shift + 7, i + 1
            if not frame[i - 1] & 0x80:
                break
        yield bytes([frame[at] & ~2]) + frame[at + 1 : at + header] + frame[i : i + size]
        at = i + size


def h264_payloads(frame: bytes) -> list[bytes]:
    return H264Encoder._packetize(iter(annex_b(frame)))


PACKETIZERS: dict[VideoCodec, tuple[str, dict[str, str], Callable[[bytes], object]]] = {
    "VP9": ("libvpx-vp9", {"deadline": "realtime", "lag-in-frames": "0"}, vp9_payloads),
    "AV1": (
        "libsvtav1",
        {"preset": "10", "crf": "15", "svtav1-params": "pred-struct=1"},
        av1_payloads,
    ),
    "H265": ("libx265", {"x265-params": "log-level=none:bframes=2"}, h265_payloads),
    "H264": ("libx264", {"bf": "2", "profile": "high"}, h264_payloads),
}


@pytest.mark.parametrize("codec", PACKETIZERS)
def test_frames_come_through_whole_and_in_the_order_they_are_shown_in(codec: VideoCodec) -> None:
    packets = encoded(codec)
    direct = av.CodecContext.create(DECODERS[codec], "r")
    assert isinstance(direct, VideoCodecContext)
    expected = [to_image(frame) for packet in packets for frame in direct.decode(packet)]
    frames = through_rtp(codec, packets)
    assert len(frames) >= FRAMES - 6
    for frame, image in zip(frames, expected, strict=False):
        assert np.array_equal(frame.image.data, image.data)
    first = frames[0].pts
    assert [frame.pts - first for frame in frames] == [n * STEP for n in range(len(frames))]
    assert read_number(frames[8].image.planes[0]) == 8


def encoded(codec: VideoCodec) -> "list[av.Packet[Any]]":
    encoder, options, _ = PACKETIZERS[codec]
    context = cast(VideoCodecContext, av.CodecContext.create(encoder, "w"))
    context.width, context.height, context.pix_fmt = 320, 192, "yuv420p"
    context.time_base, context.framerate = VIDEO_TIME_BASE, Fraction(30)
    context.options = options
    packets = []
    for n in range(FRAMES):
        picture = to_frame(number_frame(n, 320, 192))
        picture.pts, picture.time_base = n * STEP, VIDEO_TIME_BASE
        packets += context.encode(picture)
    return packets + context.encode(None)


def through_rtp(codec: VideoCodec, packets: "list[av.Packet[Any]]") -> list[Frame]:
    _, _, packetize = PACKETIZERS[codec]
    form, decoder = FORMATS[codec], Decoder(codec, 1 << 24)
    buffer = JitterBuffer(
        form.is_keyframe, MediaClock(), join=form.join, reorders=codec in ("H264", "H265")
    )
    frames: list[Frame] = []
    seq = 0
    for packet in packets:
        payloads = list(cast("list[bytes]", packetize(bytes(packet))))
        for i, payload in enumerate(payloads):
            data = form.depayload(payload)
            part = Packet(seq, packet.pts or 0, i == len(payloads) - 1, data, seq / 1000)
            seq = (seq + 1) % 2**16
            for frame in buffer.add(part):
                frames += decoder.decode(frame)
    return frames


def test_keyframes_are_known_by_their_first_bytes() -> None:
    assert vp8_is_keyframe(b"\x10\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00")
    assert not vp8_is_keyframe(b"\x11\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00")
    assert not vp8_is_keyframe(b"\x10\x00\x00")
    assert h264_is_keyframe(b"\0\0\0\x01\x09\xf0\0\0\0\x01\x67\x42")
    assert h264_is_keyframe(b"\0\0\x01\x65\x88")
    assert not h264_is_keyframe(b"\0\0\0\x01\x41\x9a\0\0\0\x01\x41\x9a")
    assert not h264_is_keyframe(b"") and not h264_is_keyframe(b"\0\0\x01")
    assert h265_is_keyframe(b"\0\0\x01\x26\x01") and not h265_is_keyframe(b"\0\0\x01\x02\x01")
    assert vp9_is_keyframe(b"\x82\x49") and not vp9_is_keyframe(b"\x86\x00")
    assert (
        vp9_is_keyframe(b"\xb0\x49") and not vp9_is_keyframe(b"\xb2") and not vp9_is_keyframe(b"")
    )
    assert av1_is_keyframe(b"\x0a\x01\x00") and not av1_is_keyframe(b"\x32\x01\x00")
    assert not av1_is_keyframe(b"\x32\xff")


def test_an_obu_that_began_in_a_lost_packet_is_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        av1_join([b"\x90\x32"])


@given(st.binary(max_size=60), st.lists(st.binary(max_size=30), max_size=4))
def test_malformed_payloads_raise_nothing_but_value_errors(
    payload: bytes, payloads: list[bytes]
) -> None:
    for read in (vp9_depayload, h265_depayload):
        with contextlib.suppress(ValueError):
            read(payload)
    with contextlib.suppress(ValueError):
        av1_is_keyframe(av1_join(payloads))
    for form in FORMATS.values():
        form.is_keyframe(payload)
