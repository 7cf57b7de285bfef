"""Config: what cannot be is refused in words, everything else is taken as given."""

from pathlib import Path

import pytest

from streamer.errors import UsageError
from streamer.server.config import Config, is_loopback

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
        ("height_px", 8, "--height"),
        ("smooth", 0.96, "--smooth"),
        ("tone", 1.1, "--tone"),
        ("target_fps", 0.0, "--fps"),
        ("deadline_s", 0.0, "--deadline"),
        ("start_bitrate_bps", 0, "--min-bitrate"),
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
    with pytest.raises(UsageError, match="no such file"):
        Config(tls_cert=Path("/nowhere/cert.pem"), tls_key=Path("/nowhere/key.pem"))
