"""Attacks of whoever reaches the ports, by datagrams and by HTTP; see attacks.py."""

import contextlib
import functools
import gzip
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator

import httpx

from bench.hostile import Target, at_once, attack, said, status, tally, until

COOKIE = 0x2112A442


def datagrams(target: Target, end: float, kinds: Iterable[bytes], a_second: float = 5000) -> str:
    """Send them to every media port, from ports of ours that nobody knows."""
    ports, sent, began = target.media_ports(), 0, time.monotonic()
    kinds = list(kinds)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(20)]
        for number in until(end):
            for port in ports:
                with contextlib.suppress(OSError):
                    socks[number % 20].sendto(kinds[number % len(kinds)], (target.host, port))
                sent += 1
            time.sleep(max(0.0, began + sent / a_second - time.monotonic()))
    return f"{sent} sent to {len(ports)} ports"


def stun(kind: int, *attributes: tuple[int, bytes], length: int | None = None) -> bytes:
    body = b"".join(struct.pack("!HH", k, len(v)) + v + bytes(-len(v) % 4) for k, v in attributes)
    size = len(body) if length is None else length
    return struct.pack("!HHI", kind, size, COOKIE) + os.urandom(12) + body


@attack("N", "empty datagrams, and some above 1,500 bytes (1)")
def _odd_sizes(target: Target, end: float) -> str:
    return datagrams(target, end, [b"", b"\x80" * 1501, b"\xbf" * 9000, b"\x80" * 65507])


@attack("N", "STUN with attributes of wrong lengths (5)")
def _bad_stun(target: Target, end: float) -> str:
    kinds = [stun(1, (t, os.urandom(n))) for t in (1, 6, 8, 9, 0x20, 0x24, 0x8028) for n in (1, 5)]
    kinds += [stun(1, (6, b"x"), length=n) for n in (0, 1, 4, 65532)]
    return datagrams(target, end, kinds)


@attack("N", "plaintext DTLS alerts (6)")
def _alerts(target: Target, end: float) -> str:
    kinds = [b"\x15\xfe\xfd" + bytes(8) + b"\0\2" + bytes(two) for two in ((2, 0), (2, 40), (1, 0))]
    return datagrams(target, end, kinds)


@attack("N", "well-formed STUN checks with a made-up name and key")
def _forged_checks(target: Target, end: float) -> str:
    name = (6, b"abcd:efgh")
    kinds = [stun(1, name, (0x24, b"\0\0\0\1"), (8, os.urandom(20)), (0x25, b"")) for _ in range(9)]
    return datagrams(target, end, kinds)


@attack("N", "STUN answers and errors that nobody asked for")
def _answers(target: Target, end: float) -> str:
    mapped = (0x20, b"\0\1" + os.urandom(6))
    return datagrams(target, end, [stun(0x101, mapped), stun(0x111, (9, b"\0\0\4\1")), stun(0x11)])


@attack("N", "RTP and RTCP in the clear, BYE among it")
def _rtp(target: Target, end: float) -> str:
    rtp = struct.pack("!BBHII", 0x80, 96, 7, 90_000, 1) + os.urandom(900)
    bye = struct.pack("!BBHI", 0x81, 203, 1, 1)
    fir = struct.pack("!BBHIIIII", 0x84, 206, 4, 1, 0, 1, 1 << 24, 0)
    return datagrams(target, end, [rtp, bye, fir, b"\x80", b"\x80\xc8"])


@attack("N", "first messages of DTLS handshakes, whole and in fragments")
def _hellos(target: Target, end: float) -> str:
    hello = b"\xfe\xfd" + os.urandom(32) + b"\0\0\0\2\xc0\x2b\1\0"
    whole = b"\1" + struct.pack("!I", len(hello))[1:] + bytes(5) + struct.pack("!I", len(hello))[1:]
    record = b"\x16\xfe\xff" + bytes(8)
    kinds = [record + struct.pack("!H", 12 + len(hello)) + whole + hello]
    kinds += [record + b"\0\x0d\1\0\xff\xff\0\0\0\0\0\0\0\1\0"]
    return datagrams(target, end, kinds)


@attack("N", "noise of every first byte, as fast as it goes")
def _noise(target: Target, end: float) -> str:
    kinds = [bytes([first]) + os.urandom(first * 5) for first in range(256)]
    return datagrams(target, end, kinds, a_second=20_000)


@attack("N", "a refused request whose body goes on in tiny chunks (2)")
def _tiny_chunks(target: Target, end: float) -> str:
    heads = [
        target.head("POST /whip/x", "Transfer-Encoding: chunked\r\n"),
        target.head("POST /nope", "Transfer-Encoding: chunked\r\nOrigin: http://evil.example\r\n"),
    ]
    sent = 0
    for number in until(end):
        with contextlib.suppress(OSError), target.connect() as sock:
            sock.sendall(heads[number % 2])
            for _ in range(2000):
                sent += sock.send(b"1\r\nx\r\n" * 1000)
    return f"{sent / 1e6:.1f} MB taken"


@attack("N", "600 silent connections, and heads of one byte a second (3)")
def _silent(target: Target, end: float) -> str:
    with contextlib.ExitStack() as stack, target.http("admin", 5) as http:
        held = []
        for _ in range(600):
            with contextlib.suppress(OSError):
                held.append(stack.enter_context(target.connect(1)))
        codes = []
        for number in until(end, 0.5):
            for sock in held[number % 2 :: 2]:
                with contextlib.suppress(OSError):
                    sock.send(b"GET / HTTP/1.1\r\nX-Slowly: "[number : number + 1])
            codes.append(http.get("/readyz").status_code)
    return f"with the token: {tally(codes)}"


@attack("N", "connections that are reset at once, 1,000 a second")
def _resets(target: Target, end: float) -> str:
    count = 0
    for _ in until(end, 0.001):
        with contextlib.suppress(OSError):
            sock = target.connect()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            count += 1
    return f"{count} connections"


@attack("N", "a head that never ends: lines, one line, and one name")
def _endless_head(target: Target, end: float) -> str:
    return tally(
        status(target.raw(head, 2))
        for number in until(end)
        for head in (
            target.head("GET /", "X: y\r\n" * 20_000),
            target.head("GET /", f"X: {'y' * 2_000_000}\r\n"),
            target.head("GET /" + "a" * 500_000),
        )
    )


@attack("N", "requests that two servers would read differently")
def _smuggling(target: Target, end: float) -> str:
    hidden = "0\r\n\r\nDELETE /whip/beside/x HTTP/1.1\r\nHost: x\r\n\r\n"
    both = f"Content-Length: {len(hidden)}\r\nTransfer-Encoding: chunked\r\n"
    odd = ("Transfer-Encoding: xchunked\r\n", "Transfer-Encoding : chunked\r\n", both,
           "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: +5\r\n",
           "Content-Length: 99999999999999999999999\r\n", "Transfer-Encoding: gzip, chunked\r\n")  # fmt: skip
    return tally(
        status(target.raw(target.head("POST /whip/x", lines) + hidden.encode(), 1))
        for _ in until(end)
        for lines in odd
    )


@attack("N", "what is no HTTP/1.1: TLS, HTTP/2, upgrades, SSH, noise")
def _other_protocols(target: Target, end: float) -> str:
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n"
    kinds = [b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3" + os.urandom(500), b"SSH-2.0-x\r\n",
             b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", os.urandom(5000), b"GET /\r\n\r\n",
             target.head("GET /whip/x", upgrade), b"\0" * 10_000, b"GET / HTTP/9.9\r\n\r\n"]  # fmt: skip
    return tally(status(target.raw(kind, 0.5)) for _ in until(end) for kind in kinds)


@attack("N", "1,000 requests in one segment")
def _pipeline(target: Target, end: float) -> str:
    many = target.head("GET /stats") * 1000
    answers = [target.raw(many, 1).count(b"HTTP/1.1 ") for _ in until(end)]
    return f"{sum(answers)} answers to {len(answers)} x 1000"


@attack("N", "tokens guessed by 8 at once, as fast as it goes")
def _guesses(target: Target, end: float) -> str:
    codes: list[int] = []

    def guess() -> None:
        with httpx.Client(base_url=target.url, timeout=30) as http:
            for number in until(end):
                bearer = {"Authorization": f"Bearer {number:024}"}
                codes.append(http.get("/stats", headers=bearer).status_code)

    at_once([guess] * 8)
    return tally(codes)


@attack("N", "tokens guessed from 200 addresses")
def _guesses_from_everywhere(target: Target, end: float) -> str:
    codes: list[str] = []
    head = "GET /stats HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n"

    def guess(first: int) -> None:
        for number in until(end):
            source = (f"127.0.{1 + first}.{1 + number % 25}", 0)
            with (
                contextlib.suppress(OSError),
                socket.create_connection((target.host, target.port), 5, source) as sock,
            ):
                sock.sendall(head.format(target.host, f"{number:024}").encode())
                codes.append(status(sock.recv(100)))

    at_once(functools.partial(guess, first) for first in range(8))
    return tally(codes)


@attack("P", "bodies that are compressed: offers, changes and photos that inflate")
def _compressed(target: Target, end: float) -> str:
    bomb = gzip.compress(bytes(20_000_000))
    with target.http("publish") as http:
        return tally(
            said(http.request(method, path, content=bomb, headers=headers | {"Content-Type": kind}))
            for _ in until(end)
            for headers in ({"Content-Encoding": "gzip"}, {"Content-Encoding": "gzip, br, gzip"})
            for method, path, kind in (
                ("POST", "/whip/x", "application/sdp"),
                ("PATCH", "/streams/beside", "application/json"),
                ("POST", "/stylize/none", "multipart/form-data; boundary=x"),
            )
        )


@attack("P", "names of streams and styles in odd characters and encodings")
def _odd_names(target: Target, end: float) -> str:
    names = ("%00", "%ff", "%ed%a0%80", "..", "%2e%2e", "a%2fb", "%e2%80%ae", "a%0d%0aX:%20y", "%25%30",
             "%C0%AF", "beside%00", "b%CC%A7eside", "x" * 5000, "%F0%9F%98%80" * 200, "%", "%zz")  # fmt: skip
    lines = "Connection: close\r\nContent-Length: 0\r\n"
    return tally(
        status(target.raw(target.head(f"{way}{name}", lines, role="publish"), 1))
        for _ in until(end)
        for name in names
        for way in (
            "POST /whip/",
            "POST /whep/",
            "PATCH /streams/",
            "POST /stylize/",
            "GET /watch/",
        )
    )


@attack("N", "Host and Origin that lie, and cookies and queries for tokens")
def _origins(target: Target, end: float) -> str:
    lines = ("Origin: http://127.0.0.1.evil.example\r\n", "Origin: null\r\n", "Origin: ://\r\n",
             "Cookie: streamer_token=x; streamer_token=y\r\n", "Authorization: Basic YTpi\r\n",
             "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: localhost\r\n", "Origin: \xff\r\n")  # fmt: skip
    requests = [target.head("GET /stats?token=%ff", one) for one in lines]
    requests += [b"GET /stats HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                 b"GET http://evil.example/stats HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]  # fmt: skip
    return tally(status(target.raw(one, 0.5)) for _ in until(end) for one in requests)


def _by_eight(target: Target, end: float, request: bytes) -> str:
    answers: list[str] = []

    def send() -> None:
        for _ in until(end):
            answers.append(status(target.raw(request, 20)))

    at_once([send] * 8)
    return tally(answers)


@attack("N", "31 KB of backslashes in a cookie (33)")
def _cookies(target: Target, end: float) -> str:
    cookie = f'Cookie: streamer_{target.port}="{31_000 * chr(92)}"\r\n'
    return _by_eight(target, end, target.head("GET /stats", cookie))


@attack("N", "15,000 trailers of a body (34)")
def _trailers(target: Target, end: float) -> str:
    head = target.head("POST /stats", "Transfer-Encoding: chunked\r\n")
    return _by_eight(target, end, head + b"0\r\n" + 15_000 * b"a:\r\n" + b"\r\n")


@attack("N", "5,000 fields in a query (39)")
def _queries(target: Target, end: float) -> str:
    query = "&".join(f"a{number}" for number in range(5000))
    return _by_eight(target, end, target.head(f"GET /?{query}", "Accept: text/html\r\n"))


@attack("W", "540 connections that are kept alive (36)")
def _places(target: Target, end: float) -> str:
    ask = target.head("GET /healthz", role="watch")
    answers = []
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(target.connect()) for _ in range(540)]
        for _ in until(end, 0.5):
            for sock in socks:
                with contextlib.suppress(OSError):  # it had to leave
                    sock.sendall(ask)
            with target.http("admin", 2.0) as http:
                answers.append(f"with the admin's token: {http.get('/healthz').status_code}")
    return tally(answers)


@attack("W", "paths that lead out of the page's folder")
def _paths(target: Target, end: float) -> str:
    ways = ("/assets/../../../etc/passwd", "/assets/%2e%2e/%2e%2e/config.py", "/assets/..%2f..%2fx",
            "/assets/%00", "//etc/passwd", "/assets/" + "../" * 2000, "/watch/..%2f..%2fetc",
            "/streams/..%5c..%5cx.jpg", "/videos/..%2f..%2f/result", "/" + "%2f" * 3000)  # fmt: skip
    return tally(
        status(target.raw(target.head(f"GET {way}", "Connection: close\r\n", role="watch"), 1))
        for _ in until(end)
        for way in ways
    )


@attack("W", "200 ranges of one file, and one of each of its bytes")
def _ranges(target: Target, end: float) -> str:
    with target.http("watch") as http:
        many = ",".join(f"{n}-{n}" for n in range(2000))
        return tally(
            http.get(
                "/openapi.json" if n % 2 else "/", headers={"Range": f"bytes={many}"}
            ).status_code
            for n in until(end)
        )


@attack("W", "60 motion JPEGs at once that are never read (20)")
def _mjpegs(target: Target, end: float) -> str:
    head = target.head("GET /streams/beside.mjpeg", role="watch")
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(target.connect()) for _ in range(60)]
        for sock in socks:
            sock.sendall(head)
        time.sleep(max(0.0, end - time.monotonic()))
        return tally(_first(socks))


def _first(socks: Iterable[socket.socket]) -> Iterator[str]:
    for sock in socks:
        try:
            yield status(sock.recv(100))
        except OSError:
            yield "closed"


@attack("W", "snapshots by 8 at once, as fast as it goes")
def _snapshots(target: Target, end: float) -> str:
    codes: list[int] = []

    def fetch() -> None:
        with target.http("watch") as http:
            for _ in until(end):
                codes.append(http.get("/streams/beside.jpg").status_code)

    at_once([fetch] * 8)
    return tally(codes)


@attack("W", "ending, changing and publishing with a token to watch (14)")
def _rights(target: Target, end: float) -> str:
    with target.http("watch") as http:
        ids = http.get("/stats").json()
        known = [str(key) for key in ids.get("sessions", ids)] + ["beside", "x"]
        answers = []
        for number in until(end, 0.01):
            key = known[number % len(known)]
            for method, path in (
                ("DELETE", f"/whip/beside/{key}"), ("PATCH", "/streams/beside"),
                ("POST", "/whip/beside"), ("POST", "/stylize/none"), ("POST", "/videos?name=a.mp4"),
                ("POST", "/styles"), ("DELETE", f"/whep/beside/{key}"), ("GET", "/phone"),
            ):  # fmt: skip
                answers.append(f"{method} {said(http.request(method, path))[:3]}")
        return tally(answers)
