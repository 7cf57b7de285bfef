"""receiver → **depayload** → jitter_buffer: RTP payloads → pieces of encoded frames, by codec.

VP8 and H.264 are aiortc's. The others are only received, so aiortc does not know them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from aiortc.codecs.h264 import h264_depayload
from aiortc.codecs.vpx import vp8_depayload

VideoCodec = Literal["VP8", "H264", "VP9", "AV1", "H265"]
START_CODE = b"\0\0\0\1"
_AV1_SEQUENCE_HEADER, _AV1_TEMPORAL_DELIMITER, _AV1_TILE_LIST = 1, 2, 8


@dataclass(frozen=True, slots=True)
class Format:
    """How frames of one codec travel.

    `depayload` gives the part of a payload that is of the frame, and raises ValueError for one
    that is malformed; `join` makes a frame of those parts; `is_keyframe` says whether decoding
    can begin with it.
    """

    depayload: Callable[[bytes], bytes]
    is_keyframe: Callable[[bytes], bool]
    join: Callable[[Sequence[bytes]], bytes] = b"".join


def vp8_is_keyframe(data: bytes) -> bool:
    """By the frame tag (RFC 6386, 9.1)."""
    return len(data) >= 10 and not data[0] & 1 and data[3:6] == b"\x9d\x01\x2a"


def h264_is_keyframe(data: bytes) -> bool:
    """Whether an Annex B access unit has a sequence parameter set or an IDR slice."""
    return any(header & 0x1F in (5, 7) for header in _nal_headers(data))


def h265_is_keyframe(data: bytes) -> bool:
    """Whether an Annex B access unit has a parameter set or a random access point."""
    types = ((header >> 1) & 0x3F for header in _nal_headers(data))
    return any(16 <= nal_type <= 21 or 32 <= nal_type <= 33 for nal_type in types)


def _nal_headers(data: bytes) -> list[int]:
    """The first byte of every NAL unit."""
    headers, at = [], data.find(b"\0\0\1")
    while 0 <= at < len(data) - 3:
        headers.append(data[at + 3])
        at = data.find(b"\0\0\1", at + 3)
    return headers


def h265_depayload(payload: bytes) -> bytes:
    """Single NAL units, aggregation packets and fragments (RFC 7798, 4.4), as Annex B."""
    if len(payload) < 3:
        raise ValueError("an H.265 payload is cut short")
    nal_type = (payload[0] >> 1) & 0x3F
    if nal_type < 48:
        return START_CODE + payload
    if nal_type == 48:
        units, at = b"", 2
        while at + 2 <= len(payload):
            size = int.from_bytes(payload[at : at + 2])
            if not 0 < size <= len(payload) - at - 2:
                raise ValueError("an H.265 aggregation packet is cut short")
            units += START_CODE + payload[at + 2 : at + 2 + size]
            at += 2 + size
        return units
    if nal_type != 49:
        raise ValueError(f"an H.265 payload of the unknown type {nal_type}")
    is_first, of_type = payload[2] & 0x80, payload[2] & 0x3F
    header = bytes([(payload[0] & 0x81) | of_type << 1, payload[1]])
    return (START_CODE + header if is_first else b"") + payload[3:]


def vp9_depayload(payload: bytes) -> bytes:
    """The part behind the payload descriptor (RFC 9628, 4.2)."""
    try:
        flags, at = payload[0], 1
        has_id, predicts, has_layers, flexible = (flags & bit for bit in (128, 64, 32, 16))
        if has_id:
            at += 2 if payload[at] & 0x80 else 1
        if has_layers:
            at += 1 if flexible else 2
        while flexible and predicts:
            at += 1
            if not payload[at - 1] & 1:
                break
        if flags & 2:
            at = _behind_vp9_structure(payload, at)
    except IndexError:
        raise ValueError("a VP9 payload descriptor is cut short") from None
    if at > len(payload):
        raise ValueError("a VP9 payload descriptor is cut short")
    return payload[at:]


def _behind_vp9_structure(payload: bytes, at: int) -> int:
    """The index behind the scalability structure (RFC 9628, 4.2.1)."""
    flags = payload[at]
    at += 1
    if flags & 0x10:
        at += 4 * ((flags >> 5) + 1)
    if flags & 0x08:
        pictures = payload[at]
        at += 1
        for _ in range(pictures):
            at += 1 + ((payload[at] >> 2) & 3)
    return at


def vp9_is_keyframe(data: bytes) -> bool:
    """By the uncompressed header (VP9 bitstream specification, 6.2)."""
    if not data or data[0] >> 6 != 2:
        return False
    is_profile_3 = data[0] & 0x30 == 0x30  # has a reserved bit more
    return not data[0] & (0x06 if is_profile_3 else 0x0C)


def av1_join(payloads: Sequence[bytes]) -> bytes:
    """The OBUs of a temporal unit, each with its size, from its payloads.

    RTP Payload Format For AV1 (Alliance for Open Media, 1.0), 4.4. Raises ValueError.
    """
    obus: list[bytes] = []
    for payload in filter(None, payloads):
        continues = payload[0] & 0x80
        for number, element in enumerate(_av1_elements(payload)):
            if continues and number == 0:
                if not obus:
                    raise ValueError("the first OBU of an AV1 frame is missing")
                obus[-1] += element
            else:
                obus.append(element)
    return b"".join(map(_sized, obus))


def _av1_elements(payload: bytes) -> list[bytes]:
    count, at = (payload[0] >> 4) & 3, 1
    elements: list[bytes] = []
    while at < len(payload):
        if count and len(elements) == count - 1:
            size = len(payload) - at
        else:
            size, at = _leb128(payload, at)
        if size > len(payload) - at:
            raise ValueError("an AV1 payload is cut short")
        elements.append(payload[at : at + size])
        at += size
    return elements


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """A number, and the index behind it (AV1 bitstream specification, 4.10.5)."""
    value = 0
    for i, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << 7 * i
        if not byte & 0x80:
            return value, at + i + 1
    raise ValueError("a number in an AV1 payload is cut short")


def _sized(obu: bytes) -> bytes:
    """An OBU with its size; none for those that have no meaning in RTP."""
    if not obu or _obu_type(obu[0]) in (_AV1_TEMPORAL_DELIMITER, _AV1_TILE_LIST):
        return b""
    if obu[0] & 2:
        return obu
    header = 2 if obu[0] & 4 else 1
    size, body = len(obu) - header, b""
    while size > 0x7F:
        body += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([obu[0] | 2]) + obu[1:header] + body + bytes([max(size, 0)]) + obu[header:]


def _obu_type(header: int) -> int:
    return (header >> 3) & 0xF


def av1_is_keyframe(data: bytes) -> bool:
    """Whether a temporal unit has a sequence header, which comes with every keyframe."""
    at = 0
    try:
        while at < len(data):
            if _obu_type(data[at]) == _AV1_SEQUENCE_HEADER:
                return True
            size, at = _leb128(data, at + (2 if data[at] & 4 else 1))
            at += size
    except ValueError:
        pass
    return False


FORMATS: dict[VideoCodec, Format] = {
    "VP8": Format(vp8_depayload, vp8_is_keyframe),
    "H264": Format(h264_depayload, h264_is_keyframe),
    "VP9": Format(vp9_depayload, vp9_is_keyframe),
    "AV1": Format(bytes, av1_is_keyframe, av1_join),
    "H265": Format(h265_depayload, h265_is_keyframe),
}
