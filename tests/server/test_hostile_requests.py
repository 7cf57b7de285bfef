"""Whatever is sent to whichever route: an answer below 500, or 501 or 503, and no traceback."""

import asyncio
import json
import logging
import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.types import Message

from streamer.server.config import Config
from tests.support.fakes import numbered
from tests.support.http_world import FakeRing, FakeSessions, World

TOKEN = "0123456789abcdef"
EXAMPLES = int(os.environ.get("STREAMER_FUZZ_EXAMPLES", "10"))  # of each route
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "XYZ")
ROUTES = (
    "/", "/docs", "/openapi.json", "/healthz", "/readyz", "/stats", "/metrics", "/phone",
    "/tokens", "/tokens/x", "/styles", "/stylize/mosaic", "/stylize/none", "/videos", "/videos/x",
    "/videos/x/result", "/videos/x/preview", "/whip/cam", "/whip/cam/secret-id",
    "/whep/cam", "/whep/cam/secret-id",
    "/streams", "/streams/cam", "/streams/cam.jpg", "/watch/cam", "/assets/x", "/none-such",
)  # fmt: skip

# What h11 lets through: printable ASCII in targets, any byte from 32 on in header values.
target_text = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"))
header_value = st.binary(max_size=60).map(
    lambda value: bytes(byte for byte in value if byte >= 32 and byte != 127).strip()
)
numbers = st.one_of(
    st.integers(), st.floats().map(repr), st.sampled_from(["9" * 400, "-0", "1e999", "NaN", "½"])
)
query = st.lists(
    st.tuples(
        st.sampled_from(["strength", "preserve_color", "name", "style", "token", "x"]),
        st.one_of(numbers.map(str), st.sampled_from(["mosaic", "a.mp4", "%00", "%ff"]), st.text()),
    ),
    max_size=4,
)
hostile_json = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(), st.just("\ud800")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
    max_leaves=6,
)
changes = st.dictionaries(
    st.sampled_from(
        [
            "style",
            "strength",
            "preserve_color",
            "smooth",
            "tone",
            "brush",
            "height_px",
            "transition_s",
            "\ud800",
        ]
    ),
    hostile_json,
)
form = st.tuples(
    st.sampled_from(["image", "name", "x", '"', "\u00e9"]),
    st.sampled_from(["", '; filename="a.jpg"', '; filename="\\', "; filename*=utf-8''%ff", "=;"]),
    st.binary(max_size=80),
).map(
    lambda part: (
        b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n--x--\r\n'
        % (part[0].encode(), part[1].encode(), part[2])
    )
)
bodies = st.one_of(
    st.binary(max_size=200),
    st.one_of(hostile_json, changes).map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [b"[" * 50_000, b'{"strength": 1' + b"0" * 5000 + b"}", b"v=0\r\nm=video 9\r\n"]
    ),
    form,
)
kinds = st.sampled_from([
    "application/json", "application/sdp", "application/trickle-ice-sdpfrag",
    "multipart/form-data; boundary=x", "multipart/form-data", "multipart/form-data; boundary=",
    "multipart/form-data; boundary=x; charset=nope", "application/x-www-form-urlencoded", "a/b;;=",
])  # fmt: skip
names = st.sampled_from([
    "host", "origin", "authorization", "cookie", "content-type", "content-length", "if-match",
    "range", "if-none-match", "if-modified-since", "accept-encoding", "expect", "x-forwarded-for",
    "access-control-request-method",
])  # fmt: skip
odd = st.sampled_from([
    b"[", b"http://[", b"http://a:99999999", b"http://\xff", b"bytes=" + b"9" * 500 + b"-",
    b"bytes=0-1,2-3", b"Bearer \xff", b'"1"', b"*", b"a=b; token=\xff", b"9" * 400, b"-1", b"",
])  # fmt: skip
headers = st.lists(st.tuples(names, st.one_of(header_value, odd)), max_size=4)


async def answer(
    world: World, method: str, target: str, fields: list[tuple[str, bytes]], body: bytes
) -> int:
    """The status of the whole application's answer; what it raises comes out here."""
    raw, _, query_string = target.encode("ascii").partition(b"?")
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": method, "scheme": "http", "path": unquote(raw.decode()), "raw_path": raw,
        "query_string": query_string, "root_path": "", "client": ("127.0.0.1", 9),
        "server": ("127.0.0.1", 8000), "state": {},
        "headers": [(name.encode(), value) for name, value in fields],
    }  # fmt: skip
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    statuses: list[int] = []

    async def receive() -> Message:
        if messages:
            return messages.pop()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await world.app()(scope, receive, send)
    (status,) = statuses
    return status


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


@dataclass(frozen=True)
class Hostile:
    """One request to a route."""

    method: str = "GET"
    extra: str = ""
    query: list[tuple[str, Any]] = field(default_factory=list)
    fields: list[tuple[str, bytes]] = field(default_factory=list)
    kind: str = "application/json"
    body: bytes = b""
    accepted: bool = True  # by the guard, whatever else it brings


def target(route: str, hostile: Hostile) -> str:
    pairs = [f"{name}={quote(str(v).encode('utf-8', 'replace'))}" for name, v in hostile.query]
    return route + hostile.extra + "?" + "&".join(pairs)


hostile_requests = st.builds(
    Hostile,
    st.sampled_from(METHODS),
    st.one_of(st.just(""), target_text.map(lambda text: "/" + text.replace("?", ""))),
    query, headers, kinds, bodies, st.booleans(),
)  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(hostile=hostile_requests)
@example(hostile=Hostile(fields=[("host", b"[")], accepted=False))
@example(hostile=Hostile(fields=[("origin", b"http://[")]))
@example(hostile=Hostile("PATCH", body=b'{"style": "\\ud800"}'))
@example(hostile=Hostile("PATCH", body=b"[" * 50_000))
@example(hostile=Hostile("PATCH", body=b'{"strength": 1' + b"0" * 400 + b"}"))
@example(hostile=Hostile("POST", query=[("style", "mosaic"), ("name", "\ud800.mp4")]))
def test_no_request_makes_a_500(
    route: str, hostile: Hostile, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    world = World(FakeRing(), FakeSessions(), Config(token=TOKEN, max_photo_pixels=10_000))
    world.ring.gate.set()
    world.sessions.live["secret-id"] = "cam"
    world.broadcasts.of("cam").publish("me", numbered(7, 64, 48), 0.0)
    sent = [("content-type", hostile.kind.encode()), *hostile.fields]
    if hostile.accepted:
        sent = [(name, value) for name, value in sent if name not in ("host", "authorization")]
        sent += [("host", b"127.0.0.1:8000"), ("authorization", b"Bearer " + TOKEN.encode())]
    status = asyncio.run(answer(world, hostile.method, target(route, hostile), sent, hostile.body))
    assert status < 500 or status in (501, 503), status
    assert not caplog.records
