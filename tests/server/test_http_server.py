"""The HTTP port under attack, over real sockets on loopback."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import h11._readers
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from streamer.server import http_server, tokens
from streamer.server.config import Config
from streamer.server.guard import Guard
from streamer.server.http_server import serving
from streamer.server.listen import bind
from tests.support.certificates import certificate
from tests.support.fakes import numbered
from tests.support.http_world import World
from tests.support.waiting import eventually

TOKEN = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
CHUNKED = "Transfer-Encoding: chunked\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    body = await request.body() if request.method == "POST" else b""
    await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)


class Port:
    """The port of a server, and how to talk to it byte by byte."""

    def __init__(self, number: int, scheme: str) -> None:
        self.number = number
        self.url = f"{scheme}://127.0.0.1:{number}"
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number, limit=2**16)
        self._writers.append(writer)
        return reader, writer

    async def disconnect(self) -> None:
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def head(self, line: str, rest: str = "") -> bytes:
        return f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{self.number}\r\n{rest}\r\n".encode()


@contextlib.asynccontextmanager
async def port(config: Config | None = None, answer: ASGIApp = app) -> AsyncIterator[Port]:
    config = config or Config(token=TOKEN)
    with bind("127.0.0.1", 0) as listener:
        number = listener.getsockname()[1]
        async with serving(config, Guard(answer, config), listener):
            there = Port(number, config.scheme)
            try:
                yield there
            finally:
                await there.disconnect()


async def ends(reader: asyncio.StreamReader, within_s: float = 5.0) -> bytes:
    """What is read until the server closes."""
    with contextlib.suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), within_s)
    return b""


async def test_requests_are_answered_one_after_the_other() -> None:
    async with port() as there, httpx.AsyncClient(base_url=there.url, headers=BEARER) as http:
        for size in (0, 1, 100_000):
            response = await http.post("/", content=bytes(size))
            assert (response.status_code, response.text) == (200, f"{size} bytes")
            assert "close" not in response.headers.get("connection", "")


@pytest.mark.parametrize(
    "rest", ["", "Origin: https://evil.example\r\n", "Content-Length: 9999999\r\n", "Host: x\r\n"]
)
async def test_a_refusal_ends_the_connection_and_reads_no_more(rest: str) -> None:
    async with port() as there:
        reader, writer = await there.connect()
        writer.write(there.head("POST /whip/a", rest + ("" if "Length" in rest else CHUNKED)))
        answer = await ends(reader)
        assert answer.split()[1] in (b"401", b"403", b"413", b"400")
        assert b"connection: close" in answer.lower()


async def test_an_answer_before_the_end_of_the_body_ends_the_connection() -> None:
    async with port(Config()) as there:
        reader, writer = await there.connect()
        writer.write(there.head("GET /", CHUNKED) + b"1\r\nx\r\n")
        assert (await ends(reader)).startswith(b"HTTP/1.1 200")


async def test_a_body_in_tiny_chunks_is_refused() -> None:
    async with port(Config()) as there:
        reader, writer = await there.connect()
        writer.write(there.head("POST /", CHUNKED) + b"1\r\nx\r\n" * 1000)
        answer = await ends(reader)
        assert answer.startswith(b"HTTP/1.1 400"), answer
        ordinary = [bytes(1000)] * 300

        async def chunks() -> AsyncIterator[bytes]:
            for part in ordinary[:100]:
                yield part

        async with httpx.AsyncClient(base_url=there.url) as http:
            assert (await http.post("/", content=chunks())).text == "100000 bytes"


@pytest.mark.parametrize("trailers", [b"a:\r\n" * 102, b"a: " + b"b" * 33_000 + b"\r\n"])
async def test_trailers_are_bounded_before_they_are_parsed(
    trailers: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[int] = []
    decode = h11._readers._decode_header_lines

    def counted(lines: Iterable[bytes]) -> Iterable[tuple[bytes, bytes]]:
        lines = list(lines)
        parsed.append(len(lines))
        return decode(lines)

    monkeypatch.setattr("h11._readers._decode_header_lines", counted)
    async with port(Config()) as there:
        reader, writer = await there.connect()
        head = there.head("POST /", CHUNKED)
        writer.write(head + b"1\r\nx\r\n0\r\n" + trailers + b"\r\n")
        assert (await ends(reader)).startswith(b"HTTP/1.1 400")
        assert parsed == [2], "the head alone"


async def test_a_few_trailers_and_the_next_request_are_welcome() -> None:
    async with port(Config()) as there:
        for trailers in (b"", b"a: b\r\n" * 100):
            reader, writer = await there.connect()
            body = b"1\r\nx\r\n0\r\n" + trailers + b"\r\n"
            fields = "X: y\r\n" * 98 + "Connection: close\r\n"
            writer.write(there.head("POST /", CHUNKED) + body + there.head("GET /", fields))
            answers = await ends(reader)
            assert answers.count(b"HTTP/1.1 200") == 2, answers


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a"])
async def test_a_head_that_does_not_come_whole_ends(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "HEAD_S", 0.2)
    async with port() as there:
        reader, writer = await there.connect()
        writer.write(sent)
        assert await ends(reader) == b""


async def test_a_second_head_has_no_more_time_than_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "HEAD_S", 0.3)
    async with port(Config()) as there:
        reader, writer = await there.connect()
        writer.write(there.head("GET /"))
        assert (await reader.readuntil(b"bytes")).startswith(b"HTTP/1.1 200")

        async def trickle() -> None:
            for _ in range(100):
                writer.write(b"G")
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        await ends(reader)
        trickling.cancel()


async def test_silent_connections_keep_nobody_out() -> None:
    """As many as one address can hold, and then some: the one with a token is always served."""
    async with port() as there, httpx.AsyncClient(headers=BEARER) as http:
        held = [await there.connect() for _ in range(http_server.WAITING_PER_ADDRESS + 20)]
        for _ in range(3):
            assert (await http.get(there.url)).status_code == 200
        early = held[:20]
        for reader, _ in early:
            assert await ends(reader) == b"", "the oldest have left"


async def test_preflights_keep_nobody_out() -> None:
    """They need no token, so their connections are those that wait."""
    page = "https://page.example"
    asks = f"Origin: {page}\r\nAccess-Control-Request-Method: GET\r\n"
    async with port(Config(token=TOKEN, allowed_origins=(page,))) as there:
        held = [await there.connect() for _ in range(http_server.WAITING_PER_ADDRESS + 5)]
        for reader, writer in held[5:]:
            writer.write(there.head("OPTIONS /", asks))
            assert (await reader.readuntil(b"bytes")).startswith(b"HTTP/1.1 200")
        for _ in range(5):
            await there.connect()
        for reader, _ in held[:10]:
            assert await ends(reader, 2) == b"", "the oldest have left"


async def test_a_token_that_only_watches_cannot_take_all_places(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "CONNECTIONS", 40)
    _, viewer = tokens.add("watch")
    watches = f"Authorization: Bearer {viewer}\r\n"
    async with port() as there:
        held = [await there.connect() for _ in range(15)]
        for reader, writer in held:
            writer.write(there.head("GET /", watches))
            assert (await reader.readuntil(b"bytes")).startswith(b"HTTP/1.1 200")
        for reader, _ in held[:5]:
            assert await ends(reader, 2) == b"", "the longest idle have left"
        busy = [await there.connect() for _ in range(11)]
        for _, writer in busy:
            writer.write(there.head("POST /whep/cam", watches + "Content-Length: 2\r\n"))
            await asyncio.sleep(0.01)
        assert (await ends(busy[10][0])).startswith(b"HTTP/1.1 503"), "all are busy"
        busy[0][1].write(b"hi")
        assert (await busy[0][0].readuntil(b"bytes")).startswith(b"HTTP/1.1 200")
        async with httpx.AsyncClient(headers=BEARER) as http:
            assert (await http.get(there.url)).status_code == 200


async def test_a_client_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "UNREAD_S", 0.3)
    ended = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        listening = asyncio.ensure_future(receive())  # says when the client is gone
        while not listening.done():
            await send({"type": "http.response.body", "body": bytes(2**16), "more_body": True})
            await asyncio.sleep(0)
        ended.set()

    async with port(Config(), endless) as there:
        _, writer = await there.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(there.head("POST /", "Content-Length: 9\r\n"))
        await asyncio.wait_for(ended.wait(), 20)


async def test_a_handshake_that_does_not_come_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "HANDSHAKE_S", 0.3)
    cert, key = certificate(tmp_path)
    async with port(Config(tls_cert=cert, tls_key=key)) as there:
        reader, _ = await there.connect()
        assert await ends(reader) == b""
        async with httpx.AsyncClient(verify=False) as http:
            assert (await http.get(there.url)).status_code == 200


async def test_without_descriptors_the_port_waits_and_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, 3

    async def scarce(sock: socket.socket) -> object:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(24, "Too many open files")
        return await accept(sock)

    monkeypatch.setattr(loop, "sock_accept", scarce)
    with caplog.at_level(logging.WARNING):
        async with port(Config()) as there, httpx.AsyncClient() as http:
            await eventually(lambda: failures == 0)
            assert (await http.get(there.url)).status_code == 200
    assert [record.message for record in caplog.records] == [
        "x no HTTP connection can be accepted: Too many open files"
    ]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /  HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 100_000,
        # Whole, and so within what h11 itself allows:
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
    ],
)
async def test_malformed_requests_are_400_without_a_word_in_the_log(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with port(Config()) as there:
        reader, writer = await there.connect()
        writer.write(sent)
        assert (await ends(reader)).startswith(b"HTTP/1.1 400")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("limits", "many"),
    [((1024, 4096), http_server.CONNECTIONS), ((256, 256), 128), ((-1, -1), 512)],
)
def test_connections_leave_descriptors_for_everything_else(
    limits: tuple[int, int], many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda kind: limits)
    monkeypatch.setattr("resource.setrlimit", lambda kind, wanted: asked.append(wanted))
    assert http_server.places() == many
    assert asked == ([(4096, 4096)] if limits[0] == 1024 else [])


async def test_eight_read_mjpeg_however_many_ask_at_once(world: World) -> None:
    await world.sessions.answer("cam", "m=video")
    world.broadcasts.of("cam").publish("me", numbered(7, 64, 48), 0.0)
    with bind("127.0.0.1", 0) as listener:
        number = listener.getsockname()[1]
        async with serving(Config(), world.app(), listener):
            there = Port(number, "http")
            asked = [await there.connect() for _ in range(30)]
            for _, writer in asked:
                writer.write(there.head("GET /streams/cam.mjpeg"))
            statuses = [(await reader.readline()).split()[1] for reader, _ in asked]
            await there.disconnect()
    assert (statuses.count(b"200"), statuses.count(b"503")) == (8, 22)
