"""Sound that carries its past: written as RFC 2198 says, read whatever comes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.webrtc.red import Unseen, split


def red(clock: int, primary: bytes, *before: tuple[int, bytes]) -> bytes:
    heads = b"".join(
        struct.pack("!L", 0x80000000 | 111 << 24 | (clock - at) << 10 | len(data))
        for at, data in before
    )
    return heads + bytes([111]) + b"".join(data for _, data in before) + primary


def test_packets_come_out_oldest_first() -> None:
    payload = red(5000, b"now", (3080, b"two ago"), (4040, b"one ago"))
    assert split(payload, 5000) == [(3080, b"two ago"), (4040, b"one ago"), (5000, b"now")]


def test_one_alone() -> None:
    assert split(red(7, b"now"), 7) == [(7, b"now")]


def test_times_wrap() -> None:
    payload = struct.pack("!LB", 0x80000000 | 111 << 24 | 960 << 10 | 1, 111) + b"ab"
    assert split(payload, 100) == [((100 - 960) % (1 << 32), b"a"), (100, b"b")]


def test_a_truncated_one_is_refused() -> None:
    with pytest.raises(ValueError, match="truncated"):
        split(red(5000, b"", (4040, b"one ago"))[:-3], 5000)


@given(st.binary(max_size=60))
def test_nonsense_is_refused_or_read(payload: bytes) -> None:
    try:
        assert sum(len(data) for _, data in split(payload, 0)) <= len(payload)
    except ValueError as error:
        assert "truncated" in str(error)


def test_what_was_seen_is_not_new() -> None:
    unseen = Unseen()
    assert unseen.is_new(1) and unseen.is_new(2)
    assert not unseen.is_new(1)
