"""Addresses of STUN and TURN servers, and credentials that end by themselves."""

import base64
import hashlib
import hmac

import pytest

from streamer.cli.options import parse_ice_server
from streamer.errors import UsageError
from streamer.webrtc.ice_server import LIFETIME_S, IceServer


def test_a_secret_makes_credentials_for_a_day() -> None:
    """As coturn computes them: the base64 of HMAC-SHA1 of the user's name, which is an end time."""
    server = parse_ice_server("turn:turn.example:3478?transport=udp", "north")
    made = server.at(1_000_000.9)
    assert made.url == server.url and made.secret is None
    assert made.username == f"{1_000_000 + LIFETIME_S}:streamer"
    expected = hmac.new(b"north", made.username.encode(), hashlib.sha1).digest()
    assert made.credential == base64.b64encode(expected).decode()
    assert server.at(2_000_000).username != made.username


def test_what_has_no_secret_stays_as_it_is() -> None:
    for text in "stun:stun.example:3478", "turn:me:pass@turn.example:3478":
        server = parse_ice_server(text, "north")
        assert server.at(0) is server and server.secret is None


def test_turn_without_user_needs_a_secret() -> None:
    with pytest.raises(UsageError, match="turn:USER:PASSWORD@HOST:PORT"):
        parse_ice_server("turn:turn.example:3478")


def test_the_secret_is_not_among_what_clients_get() -> None:
    assert "north" not in repr(IceServer("turn:turn.example:3478", secret="north").at(0))
