"""Texts of options: read back as they were meant, or refused in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.cli.options import (
    choose_setup,
    parse_bitrate,
    parse_height,
    parse_ice_server,
    parse_ports,
    parse_size,
    parse_virtual_camera,
)
from streamer.diagnostics import saved
from streamer.errors import UsageError
from streamer.ring.setup import Setup
from streamer.webrtc.ice_server import IceServer


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("stun:stun.example.org:3478", IceServer("stun:stun.example.org:3478")),
        ("turn:u:p@t.example.org:3478", IceServer("turn:t.example.org:3478", "u", "p")),
        (
            "turns:u:p%40:%3A@t.example.org?transport=tcp",
            IceServer("turns:t.example.org?transport=tcp", "u", "p@::"),
        ),
        ("turn:u:p@ss@t.example.org", IceServer("turn:t.example.org", "u", "p@ss")),
    ],
)
def test_ice_servers(text: str, server: IceServer) -> None:
    assert parse_ice_server(text) == server


@pytest.mark.parametrize(
    "text", ["", "stun:", "http://x", "turn:t.example.org", "turn:u@t.example.org", "stun:u:p@h"]
)
def test_wrong_ice_servers_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="turn:USER:PASSWORD@HOST:PORT"):
        parse_ice_server(text)


def test_refusal_of_an_ice_server_keeps_its_password_to_itself() -> None:
    with pytest.raises(UsageError) as refusal:
        parse_ice_server("stun:user:secret@stun.example.org")
    assert "secret" not in str(refusal.value)


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_ports_are_read_back(low: int, high: int) -> None:
    assert parse_ports(f"{low}-{high}") == (low, high)


@pytest.mark.parametrize("text", ["", "40000", "-", "a-b", "40000-", "1-2-3", "²-³"])
def test_wrong_ports_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_ports(text)


@pytest.mark.parametrize(
    ("text", "bps"), [("800k", 800_000), ("2.5M", 2_500_000), ("2500000", 2_500_000)]
)
def test_bitrates(text: str, bps: int) -> None:
    assert parse_bitrate(text) == bps


@pytest.mark.parametrize("text", ["", "fast", "-1", "1G", "1e6"])
def test_wrong_bitrates_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_bitrate(text)


def test_heights() -> None:
    assert parse_height("auto") == "auto"
    assert parse_height("360") == 360
    with pytest.raises(UsageError):
        parse_height("tall")


def test_sizes() -> None:
    assert parse_size("1280x720") == (1280, 720)
    assert parse_virtual_camera("page") == ("page", 1280, 720)
    assert parse_virtual_camera("obs@1920x1080") == ("obs", 1920, 1080)


@pytest.mark.parametrize("text", ["", "1280", "1281x720", "8x8", "1280x720x3", "axb"])
def test_wrong_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a size"):
        parse_size(text)


PARSERS: tuple[Callable[[str], object], ...] = (
    parse_bitrate,
    parse_height,
    parse_ice_server,
    parse_ports,
    parse_size,
    parse_virtual_camera,
)


@given(st.text(max_size=40), st.sampled_from(PARSERS))
def test_any_text_is_read_or_refused(text: str, parse: Callable[[str], object]) -> None:
    try:
        parse(text)
    except UsageError as refusal:
        assert str(refusal)


def test_the_bench_decides_only_when_nothing_is_given(data_dir: Path) -> None:
    given_ = choose_setup("live", None, 3, None, None, None)
    assert given_ == (Setup("auto", 3), "")
    saved.save(Setup("onnx", 5), Setup("onnx", 6), "2026-01-31")
    assert choose_setup("live", None, None, None, None, None)[0] == Setup("onnx", 5)
    found, note = choose_setup("file", None, None, None, None, None)
    assert found == Setup("onnx", 6) and "--workers 6" in note
    assert choose_setup("live", None, 3, None, None, None) == given_
    with pytest.raises(UsageError, match="--backend torch"):
        choose_setup("live", "onnx", None, None, 1, None)


def test_a_wrong_size_of_a_virtual_camera_is_its_own_fault() -> None:
    with pytest.raises(UsageError, match=r"^--virtual-camera page@WxH: 'foo' is not a size"):
        parse_virtual_camera("page@foo")
