"""Origins are compared as scheme, host and port, however they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.server.origin import Origin, parse_origin


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://127.0.0.1:8000", Origin("http", "127.0.0.1", 8000)),
        ("https://Example.ORG", Origin("https", "example.org", 443)),
        ("https://example.org:443", Origin("https", "example.org", 443)),
        ("http://[::1]:8000", Origin("http", "::1", 8000)),
    ],
)
def test_origins(text: str, origin: Origin) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "*", "example.org", "//example.org", "ftp://example.org", "http://",
        "https://example.org/", "https://example.org#x", "https://example.org?x",
        "https://user@example.org", "https://example.org:", "https://example.org:0",
        "https://example.org:99999", "https://example.org:x", "http://[", "http://[::1",
        "http://exa\tmple.org", "http://example.org\n", "http://example.org\\@evil.example",
    ],
)  # fmt: skip
def test_what_is_not_an_origin(text: str) -> None:
    assert parse_origin(text) is None


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    found = parse_origin(text)
    if found is not None:
        host = f"[{found.host}]" if ":" in found.host else found.host
        assert parse_origin(f"{found.scheme}://{host}:{found.port}") == found


@given(st.text(), st.text())
def test_a_host_header_names_one_host(host: str, rest: str) -> None:
    """What comes after a path, a user or a fragment does not count as the host."""
    for mark in "/@#?\\":
        found = parse_origin(f"http://{host}{mark}{rest}")
        assert found is None or mark not in found.host
