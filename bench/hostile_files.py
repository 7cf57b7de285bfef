"""Attacks of whoever has a token to publish, by pictures and videos; see attacks.py."""

import contextlib
import functools
import io
import struct
import tempfile
import time
import zlib
from pathlib import Path

import av
import httpx
import numpy as np
from av.video.stream import VideoStream
from PIL import Image

from bench.hostile import Target, at_once, attack, said, tally, until

ANIMATED = ("GIF", "WEBP", "AVIF", "PNG")


def jpeg(width: int, height: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(
        buffer, "JPEG", **options
    )
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack("!I", len(body)) + kind + body + struct.pack("!I", zlib.crc32(kind + body))


@functools.cache
def png(width: int, height: int, *more: bytes) -> bytes:
    """One colour; `more` chunks come before the pixels."""
    pixels = zlib.compressobj(9)
    data = b"".join(pixels.compress(bytes(width * 3 + 1)) for _ in range(height)) + pixels.flush()
    head = chunk(b"IHDR", struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def send_photos(target: Target, end: float, pictures: list[bytes], at_a_time: int = 2) -> str:
    answers: list[str] = []

    def send(first: int) -> None:
        with target.http("publish", 120) as http:
            for number in until(end):
                image = {"image": ("a.jpg", pictures[(first + number) % len(pictures)])}
                answers.append(said(http.post("/stylize/none", files=image)))

    at_once([functools.partial(send, first) for first in range(at_a_time)])
    return tally(answers)


@functools.cache
def many_scans(size: int, count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = jpeg(size, size, progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"


@attack("P", "JPEGs of 26,683 scans (12)", functools.partial(many_scans, 64, 26_683))
def _scans(target: Target, end: float) -> str:
    return send_photos(target, end, [many_scans(64, 26_683)])


@attack(
    "P",
    "JPEGs of 49 megapixels in as many scans as are allowed",
    functools.partial(many_scans, 7000, 80),
)
def _some_scans(target: Target, end: float) -> str:
    return send_photos(target, end, [many_scans(7000, 80)])


@attack(
    "P", "ten PNGs of 2 KB with 49 megapixels at once (19)", functools.partial(png, 16383, 3050)
)
def _one_colour(target: Target, end: float) -> str:
    return send_photos(target, end, [png(16383, 3050)], 10)


@attack(
    "P",
    "photos of extreme shapes within the limit of pixels (28)",
    functools.partial(png, 16, 3_000_000),
    functools.partial(png, 3_000_000, 16),
)
def _shapes(target: Target, end: float) -> str:
    return send_photos(target, end, [png(16, 3_000_000), png(3_000_000, 16), png(2, 2)])


@functools.cache
def inflating() -> bytes:
    deflate = zlib.compressobj(9)
    return b"".join(deflate.compress(bytes(1 << 20)) for _ in range(2000)) + deflate.flush()


@attack("P", "PNGs whose texts, profiles and EXIF inflate to 2 GB", inflating)
def _inflating(target: Target, end: float) -> str:
    bomb = inflating()
    extra = (chunk(b"zTXt", b"a\0\0" + bomb), chunk(b"iCCP", b"a\0\0" + bomb),
             chunk(b"iTXt", b"a\0\1\0\0\0" + bomb))  # fmt: skip
    return send_photos(target, end, [png(64, 64, one) for one in extra])


@attack("P", "what Pillow would hand to other programs, or follow: EPS, PDF, SVG, TIFF loops")
def _strange_pictures(target: Target, end: float) -> str:
    loop = b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHII", 256, 3, 1, 64) * 1
    kinds = [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/x)(w)file\n", b"%PDF-1.7\n",
             b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
             loop + struct.pack("<I", 8), b"GIF89a" + b"\xff" * 2000, b"RIFF\xff\xff\xff\xffWEBP",
             jpeg(64, 64)[:200], b"\0\0\0\x18ftypheic" + bytes(3000)]  # fmt: skip
    return send_photos(target, end, kinds)


@functools.cache
def animated(kind: str) -> bytes:
    """A thousand frames of 4 megapixels in one file, each of one colour."""
    first, *rest = (
        Image.new("P", (2048, 2048), n % 2) for n in range(1000 if kind == "GIF" else 60)
    )
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=rest)
    return buffer.getvalue()


@attack(
    "P",
    "animations of many frames as photos: GIF, WebP, AVIF, PNG",
    *(functools.partial(animated, kind) for kind in ANIMATED),
)
def _animations(target: Target, end: float) -> str:
    return send_photos(target, end, [animated(kind) for kind in ANIMATED])


@attack("P", "a form of 100,000 parts, of one endless field, and without an end")
def _forms(target: Target, end: float) -> str:
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    bodies = [part * 100_000, part[:-5] + b"y" * 8_000_000, part.replace(b'"a"', b'"image"'),
              b"--x\r\n" + b"A: b\r\n" * 200_000]  # fmt: skip
    with target.http("publish") as http:
        return tally(_post(http, body, headers) for _ in until(end) for body in bodies)


def _post(http: httpx.Client, body: bytes, headers: dict[str, str]) -> str:
    try:
        return said(http.post("/stylize/none", content=body, headers=headers))
    except httpx.TransportError:  # refused while we were still sending
        return "closed"


@attack("P", "24 photos that are never finished, for a style that is not there (18)")
def _unfinished(target: Target, end: float) -> str:
    lines = "Content-Length: 30000000\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    head = target.head("POST /stylize/nope", lines, role="publish")
    with contextlib.ExitStack() as stack:
        for _ in range(24):
            sock = stack.enter_context(target.connect())
            with contextlib.suppress(OSError):
                sock.sendall(head + bytes(20_000_000))
        time.sleep(max(0.0, end - time.monotonic()))
        used = sum(one.stat().st_size for one in Path(tempfile.gettempdir()).glob("tmp*"))
    return f"{used / 2**20:.0f} MiB of temporary files"


# --- videos ------------------------------------------------------------------------------------


@functools.cache
def film(width: int, height: int, frames: int, rate: int = 25, muxer: str = "mp4") -> bytes:
    """Black."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=muxer) as out:
        stream = out.add_stream("libx264", rate, {"preset": "ultrafast", "crf": "40"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        picture = av.VideoFrame.from_ndarray(
            np.zeros((height * 3 // 2, width), np.uint8), "yuv420p"
        )
        for number in range(frames):
            picture.pts = number
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def send_video(target: Target, end: float, data: bytes, name: str = "a.mp4") -> str:
    """Upload it, wait until `end`, remove it; what became of it, and the memory it took."""
    with target.http("publish") as http:
        sent = http.post("/videos", params={"name": name, "style": "none"}, content=data)
        if sent.status_code != 201:
            return said(sent)
        url, most, report = sent.headers["Location"], 0, sent.json()
        while time.monotonic() < end and report["state"] not in ("done", "failed"):
            time.sleep(0.2)
            report = http.get(url).json()
            most = max(most, _apart_bytes(target))
        http.delete(url)
    return (
        f"{report['state']} {report['frames']} frames, {most / 2**20:.0f} MiB: {report['message']}"
    )


def _apart_bytes(target: Target) -> int:
    total = 0
    for child in target.process.children():
        with contextlib.suppress(Exception):
            if "streamer.bounded" in child.cmdline():
                total += child.memory_info().rss
    return total


@attack("P", "a black film of 7680x4320 (13)", functools.partial(film, 7680, 4320, 60))
def _film_8k(target: Target, end: float) -> str:
    return send_video(target, end + 10, film(7680, 4320, 60))


@attack("P", "a black film of 12288x6912 (13)", functools.partial(film, 12288, 6912, 30))
def _film_12k(target: Target, end: float) -> str:
    return send_video(target, end + 10, film(12288, 6912, 30))


@attack("P", "a film of 20,000 frames at 1000 fps", functools.partial(film, 64, 48, 20_000, 1000))
def _film_fast(target: Target, end: float) -> str:
    return send_video(target, end, film(64, 48, 20_000, 1000))


@attack("P", "films whose tables claim a thousand million entries")
def _tables(target: Target, end: float) -> str:
    good = film(64, 48, 50)
    answers = []
    for name in (b"stts", b"stsz", b"stco", b"stsc", b"ctts", b"elst", b"stss"):
        at = good.find(name)
        if at > 0:  # past the name, version and flags, and the size of all samples of stsz
            at += 12 if name == b"stsz" else 8
            data = good[:at] + struct.pack("!I", 1_000_000_000) + good[at + 4 :]
            answers.append(send_video(target, max(end, time.monotonic() + 5), data)[:60])
    return tally(answers)


@attack("P", "films that are none: playlists, scripts, text, cut and scrambled")
def _no_films(target: Target, end: float) -> str:
    good = film(64, 48, 50, muxer="matroska")
    rng = np.random.default_rng(1)
    scrambled = np.frombuffer(good, np.uint8).copy()
    scrambled[rng.integers(40, len(good), 400)] = rng.integers(0, 256, 400)
    kinds = [b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n",
             b"<MPD><BaseURL>http://127.0.0.1/</BaseURL></MPD>", good[:700], scrambled.tobytes(),
             b"\x1aE\xdf\xa3\x01" + b"\xff" * 20, bytes(100_000)]  # fmt: skip
    answers = []
    for kind, name in zip(
        kinds, ("a.mp4", "a.mkv", "a.mov", "a.mkv", "a.mkv", "a.webm", "a.ts"), strict=True
    ):
        answers.append(send_video(target, max(end, time.monotonic() + 5), kind, name)[:60])
    return tally(answers)


@attack("P", "file names that lead elsewhere, or break headers")
def _names(target: Target, end: float) -> str:
    names = ["../../x.mp4", "/etc/x.mp4", "a\r\nSet-Cookie: x=y.mp4", "\0.mp4", "é" * 95 + ".mp4",
             "concat:a|b.mp4", ".mp4", "-i.mp4", "a.mp4/../../b.mp4", "%2e%2e%2fx.mp4"]  # fmt: skip
    data = film(64, 48, 5)
    return tally(
        send_video(target, max(end, time.monotonic() + 5), data, name)[:30] for name in names
    )


@attack("P", "uploads of videos that stand still, and more than there are places for")
def _slow_uploads(target: Target, end: float) -> str:
    head = target.head(
        "POST /videos?name=a.mp4&style=none", "Content-Length: 1000000\r\n", role="publish"
    )
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(target.connect()) for _ in range(20)]
        for sock in socks:
            sock.sendall(head + b"x")
        time.sleep(max(1.0, end - time.monotonic()))
        answers = []
        for sock in socks:
            sock.settimeout(0.1)
            try:
                answers.append(sock.recv(100)[9:12].decode() or "closed")
            except OSError:
                answers.append("waiting")
        return tally(answers)
