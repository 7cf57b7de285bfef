"""What each role may do, and how wrong tokens are slowed down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.server.access import MAX_DELAY_S, ROLES, Access, Guesses

# method, path, the roles that may
TABLE = [
    ("GET", "/", "watch publish admin"),
    ("GET", "/stats", "watch publish admin"),
    ("GET", "/streams/cam.mjpeg", "watch publish admin"),
    ("GET", "/watch/cam", "watch publish admin"),
    ("POST", "/whep/cam", "watch publish admin"),
    ("DELETE", "/whep/cam/id", "watch publish admin"),
    ("POST", "/whip/cam", "publish admin"),
    ("DELETE", "/whip/cam/id", "publish admin"),
    ("PATCH", "/streams/cam", "publish admin"),
    ("POST", "/stylize/mosaic", "publish admin"),
    ("POST", "/videos", "publish admin"),
    ("DELETE", "/videos/id", "publish admin"),
    ("POST", "/styles", "admin"),
    ("GET", "/phone", "admin"),
    ("POST", "/phone", "admin"),
    ("POST", "/tokens", "admin"),
    ("DELETE", "/tokens/id", "admin"),
    ("POST", "/whepx", "admin"),
]


@pytest.mark.parametrize(("method", "path", "roles"), TABLE)
def test_roles(method: str, path: str, roles: str) -> None:
    assert {role for role in ROLES if Access(role).allows(method, path)} == set(roles.split())


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/whip/cam", True),
        ("DELETE", "/whip/cam/id", True),
        ("GET", "/streams/cam.jpg", True),
        ("GET", "/watch/cam", True),
        ("GET", "/assets/page.js", True),
        ("POST", "/whip/other", False),
        ("DELETE", "/whip/other/id", False),
        ("GET", "/streams/other.jpg", False),
        ("GET", "/watch/other", False),
        ("POST", "/whip/cam.jpg", False),
        ("PATCH", "/streams/cam.jpg", False),
        ("GET", "/streams", False),
        ("GET", "/stats", False),
        ("GET", "/metrics", False),
        ("POST", "/stylize/mosaic", False),
        ("POST", "/videos", False),
        ("GET", "/videos/id/preview", False),
    ],
)
def test_a_token_for_one_stream_reaches_no_other(method: str, path: str, allowed: bool) -> None:
    assert Access("publish", "cam").allows(method, path) is allowed


def test_guesses_become_slow_and_only_those_of_the_address() -> None:
    guesses = Guesses()
    delays = [guesses.delay_s("192.0.2.1", float(n)) for n in range(100)]
    assert delays == sorted(delays)
    assert delays[0] == 0 and delays[-1] == MAX_DELAY_S
    assert guesses.delay_s("192.0.2.2", 100.0) == 0
    assert guesses.delay_s("192.0.2.1", 10_000.0) == 0, "forgotten"


def test_a_host_has_many_ipv6_addresses() -> None:
    guesses = Guesses()
    delays = [guesses.delay_s(f"2001:db8::{n:x}", 0.0) for n in range(50)]
    assert delays[-1] == MAX_DELAY_S


@given(st.lists(st.text(max_size=9), max_size=50))
def test_any_address_will_do(addresses: list[str]) -> None:
    guesses = Guesses()
    assert all(0 <= guesses.delay_s(address, 0.0) <= MAX_DELAY_S for address in addresses)
