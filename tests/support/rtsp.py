"""An RTSP server (RFC 2326) of one H.264 stream that sends over UDP only, as some cameras do."""

import contextlib
import re
import socket
import socketserver
import threading
import time
from fractions import Fraction

import av
from av.video.stream import VideoStream

from tests.support.clips import number_frame, timed_frame

FPS = 25
WIDTH, HEIGHT = 128, 64


class UdpCamera(socketserver.ThreadingTCPServer):
    """`with UdpCamera() as camera`; `drop` ends all connections, as a restart does."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.refused = 0  # wishes for TCP
        self.plays = 0
        self.stop = threading.Event()
        self.connections: list[_Session] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.server_address[1]}/x"

    def drop(self) -> None:
        for session in self.connections:
            with contextlib.suppress(OSError):
                session.request.shutdown(socket.SHUT_RDWR)

    def server_close(self) -> None:
        self.stop.set()
        self.shutdown()
        super().server_close()


class _Session(socketserver.StreamRequestHandler):
    server: UdpCamera

    def handle(self) -> None:
        self.server.connections.append(self)
        port, gone = 0, threading.Event()
        try:
            while request := self._read():
                method, head = request[0].split()[0], "\r\n".join(request)
                sequence = re.search(r"CSeq: *(\d+)", head)
                status, more, body = "200 OK", "Session: 1\r\n", ""
                if method == "DESCRIBE":
                    body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\na=control:*\r\n"
                    body += "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:v\r\n"
                    more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
                elif method == "SETUP" and "TCP" in head:
                    self.server.refused += 1
                    status = "461 Unsupported Transport"
                elif method == "SETUP":
                    wanted = re.search(r"client_port=(\d+)-(\d+)", head)
                    assert wanted is not None
                    port = int(wanted[1])
                    more += f"Transport: RTP/AVP;unicast;{wanted[0]};server_port=9998-9999\r\n"
                elif method == "PLAY":
                    self.server.plays += 1
                    threading.Thread(target=self._send, args=(port, gone), daemon=True).start()
                said = (
                    f"CSeq: {sequence[1] if sequence else 0}\r\nPublic: DESCRIBE, SETUP, PLAY\r\n"
                )
                self.wfile.write(f"RTSP/1.0 {status}\r\n{said}{more}\r\n{body}".encode())
        except (OSError, ValueError):
            pass
        finally:
            gone.set()

    def _read(self) -> list[str]:
        lines: list[str] = []
        while line := self.rfile.readline().decode().strip():
            lines.append(line)
        return lines

    def _send(self, port: int, gone: threading.Event) -> None:
        with av.open(f"rtp://127.0.0.1:{port}", "w", format="rtp") as out:
            options = {"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
            stream = out.add_stream("libx264", FPS, options)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, 90_000)
            number = 0
            while not gone.is_set() and not self.server.stop.is_set():
                frame = timed_frame(number_frame(number, WIDTH, HEIGHT), number * 90_000 // FPS)
                out.mux(stream.encode(frame))
                number += 1
                time.sleep(1 / FPS)
