"""Config: what cannot be is refused in words, everything else is taken as given."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import UsageError
from streamer.server.config import (
    Config,
    is_loopback,
    parse_bitrate,
    parse_height,
    parse_ice_server,
    parse_ports,
)
from streamer.webrtc.ice_server import IceServer

TOKEN = "0123456789abcdef"


def test_defaults_are_valid_and_for_this_machine_only() -> None:
    assert Config().loopback
    assert Config().token is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "localhost.example.org", ""])
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_open_host_without_token_is_refused() -> None:
    with pytest.raises(UsageError, match="--token"):
        Config(host="0.0.0.0")
    assert not Config(host="0.0.0.0", token=TOKEN).loopback


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("port", 65536, "--port"),
        ("port", -1, "--port"),
        ("max_peers", 0, "--max-peers"),
        ("token", "short", "16 characters"),
        ("token", "sixteen letters, a space", "letters"),
        ("token", "sixteen-letters-and-a-newline\n", "letters"),
        ("allowed_origins", ("*",), "--allow-origin"),
        ("allowed_origins", ("https://example.org/",), "--allow-origin"),
        ("allowed_origins", ("example.org",), "--allow-origin"),
        ("tls_cert", Path(__file__), "--tls-key"),
        ("backend", "tensorrt", "--backend"),
        ("workers", 0, "--workers"),
        ("threads", 0, "--threads"),
        ("gpus", 1, "--backend torch"),
        ("height_px", 8, "--height"),
        ("smooth", 0.96, "--smooth"),
        ("target_fps", 0.0, "--fps"),
        ("deadline_s", 0.0, "--deadline"),
        ("start_bitrate_bps", 1, "--min-bitrate"),
        ("udp_ports", (40100, 40000), "--udp-ports"),
        ("udp_ports", (80, 90), "--udp-ports"),
    ],
)
def test_impossible_values_are_refused_by_name(option: str, value: object, named: str) -> None:
    with pytest.raises(UsageError, match=named) as refusal:
        Config(**{option: value})  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value).strip()


def test_missing_certificate_is_refused() -> None:
    with pytest.raises(UsageError, match="no file"):
        Config(tls_cert=Path("/nowhere/cert.pem"), tls_key=Path("/nowhere/key.pem"))


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
