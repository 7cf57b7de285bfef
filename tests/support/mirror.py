"""A web server on loopback that has one file, and can misbehave."""

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Mirror:
    """What it serves, how, and what it was asked for."""

    content: bytes
    url: str = ""
    status: int = 200
    ranges: bool = True  # it knows the Range header
    announce: int | None = None  # the Content-Length it claims
    breaks_after: int | None = None  # bytes after which it closes the connection
    silent_s: float = 0.0  # between its headers and the first byte
    asked: list[str] = field(default_factory=list)  # the Range header of each request

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range", "")
        self.asked.append(asked)
        if self.status != 200:
            request.send_error(self.status)
            return
        start = int(asked[6:-1]) if asked and self.ranges else 0
        body = self.content[start:]
        request.send_response(206 if start else 200)
        if start:
            last, size = len(self.content) - 1, len(self.content)
            request.send_header("Content-Range", f"bytes {start}-{last}/{size}")
        request.send_header("Content-Length", str(self.announce or len(body)))
        request.end_headers()
        time.sleep(self.silent_s)
        with contextlib.suppress(ConnectionError):  # whoever asked has gone
            request.wfile.write(body[: self.breaks_after])


@contextmanager
def mirror(content: bytes) -> Iterator[Mirror]:
    """Serve until the block ends."""
    served = Mirror(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/net.onnx"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
