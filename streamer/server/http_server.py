"""TCP → **http_server** → guard: uvicorn, with bounds on what a connection may hold and how long.

uvicorn alone waits for ever for the head of a request, reads on for ever after it has answered,
and answers everybody 503 while somebody holds all connections. Its own accept loop gives the TLS
handshake 60 s and fails noisily without file descriptors. So connections are accepted here.
"""

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import h11
import uvicorn
from h11._readers import ChunkedReader
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from streamer.errors import StreamerError
from streamer.server.access import Access
from streamer.server.config import Config
from streamer.server.places import Places

log = logging.getLogger(__name__)

CONNECTIONS = 512
WAITING = 128  # of them may owe their first accepted request,
WAITING_PER_ADDRESS = 32  # so many from one address
DESCRIPTORS = 65_536  # that are asked for; each stream, worker and connection needs some
HANDSHAKE_S = 10.0
HEAD_S = 10.0  # from the connection or the first byte of a request to the end of its head
UNREAD_S = 30.0  # for a client that does not read its answer
CLOSING_S = 2  # for requests in progress when the server stops
HEAD_BYTES, HEAD_LINES = 32 * 1024, 100  # also of trailers; browsers send 1 KiB and 20 or so
FEW_BYTES, MANY_CHUNKS = 256, 256  # more chunks than this with fewer bytes on average: an attack
WARN_AGAIN_S = 60.0
_BLANK_LINE = re.compile(rb"(?:\A|\n)\r?\n")


@contextlib.asynccontextmanager
async def serving(
    config: Config, app: ASGIApp, listener: socket.socket
) -> AsyncIterator[asyncio.Task[None]]:
    """Inside, HTTP is answered on `listener`; the task ends early only when that fails."""
    options = uvicorn.Config(
        app,
        http="h11",
        log_config=None,
        log_level=logging.ERROR,  # a warning for each malformed request would fill the log
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=CLOSING_S,
        ssl_certfile=config.tls_cert,
        ssl_keyfile=config.tls_key,
    )
    options.load()
    server = _Uvicorn(options)
    task = asyncio.create_task(_run(server, listener))
    try:
        yield task
    finally:
        server.should_exit = True
        await task


async def _run(server: "_Uvicorn", listener: socket.socket) -> None:
    listener.setblocking(False)
    accepting = asyncio.create_task(_Acceptor(server).accept(listener))
    answering = asyncio.create_task(server.serve([]))
    try:
        done, _ = await asyncio.wait({accepting, answering}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if (error := task.exception()) is not None:
                log.error("HTTP broke", exc_info=error)
                raise StreamerError(f"HTTP cannot be answered any more: {error!r}")
    finally:
        accepting.cancel()
        server.should_exit = True
        await asyncio.wait({accepting, answering})


class _Uvicorn(uvicorn.Server):
    """Leaves signals alone: `serve` stops more than HTTP."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Connection:
    """One TCP connection, from its acceptance on."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.transport: asyncio.Transport | None = None

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        else:  # in its TLS handshake, which fails now
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)


class _Acceptor:
    def __init__(self, server: _Uvicorn) -> None:
        self._server = server
        self._places: Places[_Connection] = Places(places(), WAITING, WAITING_PER_ADDRESS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._warned_at = -WARN_AGAIN_S

    async def accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listener)
            except ConnectionError:
                continue
            except OSError as failure:  # no descriptors
                self._warn(f"no HTTP connection can be accepted: {failure.strerror}")
                await asyncio.sleep(0.5)
                continue
            connection = _Connection(sock)
            leaving = self._places.enter(connection, str(address[0]))
            if leaving is connection:
                self._warn(f"all {self._places.total} HTTP connections are in use")
                sock.close()
                continue
            if leaving is not None:
                leaving.abort()
            task = asyncio.create_task(self._connect(sock, connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, sock: socket.socket, connection: _Connection) -> None:
        """TLS, if any, and then the protocol. A connection that fails here just ends."""
        context = self._server.config.ssl
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Protocol(self._server, self._places, connection),
                sock,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_S if context else None,
            )
        except Exception as failure:
            self._places.leave(connection)
            sock.close()
            if not isinstance(failure, OSError | ssl.SSLError):
                log.exception("x a connection could not be answered")

    def _warn(self, line: str) -> None:
        if time.monotonic() - self._warned_at >= WARN_AGAIN_S:
            self._warned_at = time.monotonic()
            log.warning("x %s", line)


def places() -> int:
    """How many HTTP connections this process may have: half of its descriptors at most."""
    try:
        import resource
    except ImportError:  # Windows
        return CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return CONNECTIONS if soft == resource.RLIM_INFINITY else min(CONNECTIONS, soft // 2)


class _Protocol(H11Protocol):
    """uvicorn's, which also notices those that send or read too slowly, or too much."""

    def __init__(
        self, server: _Uvicorn, places: Places[_Connection], connection: _Connection
    ) -> None:
        state: dict[str, Any] = {"accept": self._accept, "abort": connection.abort}
        super().__init__(server.config, server.server_state, state)
        self.conn = _H11(h11.SERVER)
        self._places = places
        self._connection = connection
        self._head = _Timer(HEAD_S, self)
        self._unread = _Timer(UNREAD_S, self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._connection.transport = transport
        super().connection_made(transport)
        self._head.start()

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.leave(self._connection)
        self._head.stop()
        self._unread.stop()
        super().connection_lost(exc)

    def _accept(self, access: Access) -> bool:
        """The guard accepts a request of this connection; False: there is no place for it."""
        leaving = self._places.accept(self._connection, access)
        if leaving is not None and leaving is not self._connection:
            leaving.abort()
        return leaving is not self._connection

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head.stop()
        else:
            self._head.start()

    def on_response_complete(self) -> None:
        self._places.rest(self._connection)
        if self.conn.their_state is h11.SEND_BODY:  # nobody will read the rest of the body
            self.transport.close()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Also for a body that is malformed, whose request the application may have answered."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.start()

    def resume_writing(self) -> None:
        self._unread.stop()
        super().resume_writing()


class _H11(h11.Connection):
    """Refuses what takes long to parse: large heads and trailers, and bodies in tiny chunks."""

    _chunks = _bytes = 0

    def next_event(self) -> Any:
        if self.their_state is h11.IDLE:
            _check_lines(self.trailing_data[0])
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
            if isinstance(self._reader, ChunkedReader):
                self._reader = _Chunked()
        elif isinstance(event, h11.Data):
            self._chunks += 1
            self._bytes += len(event.data)
            if self._chunks > MANY_CHUNKS and self._bytes < self._chunks * FEW_BYTES:
                raise h11.RemoteProtocolError("the chunks of the body are too small")
        return event


class _Chunked(ChunkedReader):
    """h11's own goes on to the trailers by itself, as soon as it has read the last chunk."""

    def __call__(self, buf: Any) -> Any:
        if self._reading_trailer:
            _check_lines(bytes(buf))
        return super().__call__(buf)


def _check_lines(waiting: bytes) -> None:
    """h11 itself bounds only heads and trailers that come in several parts."""
    waiting = waiting[: HEAD_BYTES + 1]
    end = _BLANK_LINE.search(waiting)
    lines = waiting if end is None else waiting[: end.start()]
    if len(lines) > HEAD_BYTES or lines.count(b"\n") > HEAD_LINES:
        raise h11.RemoteProtocolError("the head or the trailers of the request are too large")


class _Timer:
    """Ends a connection, unless it is stopped in time."""

    def __init__(self, seconds: float, protocol: H11Protocol) -> None:
        self._seconds = seconds
        self._protocol = protocol
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Does nothing while it runs already."""
        if self._handle is None:
            abort = self._protocol.transport.abort
            self._handle = self._protocol.loop.call_later(self._seconds, abort)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
