"""camera, URL, file, screen → **source** → intake: anything FFmpeg opens, as a live source.

Frames come as `streamer file` would show them: upright, with square samples, progressive, in the
range and matrix of Image. Only the newest one counts; what breaks is opened again.
"""

from __future__ import annotations  # Packet takes type arguments in its stub only

import asyncio
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import av
from av.packet import Packet
from av.video.stream import VideoStream

from streamer.camera.dash import check_dash, open_dash
from streamer.errors import UsageError
from streamer.files.animation import video_of
from streamer.files.color import BT601, Shape, ToImage, shape_of
from streamer.files.container import UNKNOWN, decoded_frames, without_guesses
from streamer.files.decode import Deinterlacer
from streamer.frame import VIDEO_CLOCK_HZ, VIDEO_TIME_BASE, Frame, Image
from streamer.pipeline.denoiser import Denoiser
from streamer.pipeline.intake import Intake

OPEN_S, READ_S = 10.0, 5.0
RETRY_S = (0.5, 1.0, 2.0, 4.0)
LATE_S: Final = 0.5  # behind its own time: then a source is not hurried but goes on from now
SEGMENTED: Final = ("dash", "hls")  # give a segment at once
DASH: Final = "dash"
AHEAD: Final = 900  # packets of it that may wait: 30 s at 30 fps
DEVICES: Final = ("v4l2", "dshow", "avfoundation")
_SCREENS = {
    "linux": ("x11grab", ":0"),
    "darwin": ("avfoundation", "Capture screen 0:none"),
    "win32": ("gdigrab", "desktop"),
}
_NAMES = Path("/sys/class/video4linux")


@dataclass(frozen=True, slots=True)
class Address:
    """What to open, and how; of `options` the first that works. `loops`: a file, over and over.

    Options are FFmpeg's; of DASH, headers of HTTP.
    """

    url: str
    format: str | None = None
    options: tuple[dict[str, str], ...] = ({},)
    loops: bool = False


def parse_source(
    text: str, platform: str, token: str | None = None, names: Path = _NAMES
) -> Address:
    """Read what `streamer camera` was given. Raises UsageError."""
    if text == "screen":
        kind, where = _SCREENS.get(platform, _SCREENS["linux"])
        url = os.environ.get("DISPLAY", where) if kind == "x11grab" else where
        return Address(url, kind, ({"framerate": "30"},))
    if text.isdecimal() or text.startswith(("/dev/video", "video=")):
        return _webcam(text, platform)
    if "://" in text:
        return _address(text, token)
    if Path(text).is_file():
        return Address(str(Path(text).resolve()), loops=True)  # "a:b.mp4" stays a file
    if platform == "linux" and (device := _named(text, names)):
        return _webcam(device, platform)
    raise UsageError(f"{text!r} is neither a camera's number or name, a URL, a file nor `screen`")


def _address(url: str, token: str | None) -> Address:
    scheme = url.partition("://")[0]
    if scheme == "rtsp":
        return Address(url, options=({"rtsp_flags": "prefer_tcp"},))  # else UDP
    if urlsplit(url).path.endswith(".mpd"):
        check_dash()
        return Address(url, DASH, ({"Authorization": f"Bearer {token}"} if token else {},))
    if scheme in ("http", "https"):
        headers = {"headers": f"Authorization: Bearer {token}\r\n"} if token else {}
        return Address(url, "mpjpeg" if url.endswith(".mjpeg") else None, (headers,))
    return Address(url)


def name_of(source: str) -> str:
    """What may be shown to everyone in a meeting: no password, no folder."""
    if "://" in source:
        return urlsplit(source).hostname or "its source"
    return Path(source).name


def _webcam(text: str, platform: str) -> Address:
    if platform == "darwin":
        return Address(f"{text}:none", "avfoundation", ({"framerate": "30"}, {}))
    if platform == "win32":
        if not text.startswith("video="):
            raise UsageError('on Windows, name the camera: "video=Integrated Camera"')
        return Address(text, "dshow", ({"vcodec": "mjpeg", "framerate": "30"}, {}))
    url = f"/dev/video{text}" if text.isdecimal() else text
    # Over USB 2, JPEG reaches 30 fps at sizes for which raw frames are too slow.
    fast = {"framerate": "30", "video_size": "1280x720"}
    formats = ({"input_format": "mjpeg", **fast}, {"input_format": "yuyv422", "framerate": "30"})
    return Address(url, "v4l2", (*formats, {}))


def _named(text: str, names: Path) -> str | None:
    """The first device whose name contains `text`."""
    for path in sorted(names.glob("video*/name")):
        if text.casefold() in path.read_text(errors="replace").casefold():
            return f"/dev/{path.parent.name}"
    return None


class Pace:
    """When frames are due that come faster than they are to be shown (pure)."""

    def __init__(self) -> None:
        self._zero_at: float | None = None

    def wait_s(self, shown_s: float, now: float) -> float:
        """Seconds until a frame of that media time; time that jumps begins anew."""
        wait_s = 0.0 if self._zero_at is None else self._zero_at + shown_s - now
        if self._zero_at is None or not -LATE_S < wait_s < READ_S:
            self._zero_at = now - shown_s
            return 0.0
        return max(0.0, wait_s)


class CameraSource:
    """Frames of `address` into `frames`, from a thread, until `close`.

    `tell` gets a line when it breaks; called on the event loop.
    """

    def __init__(self, address: Address, tell: Callable[[str], None], *, calm: bool = True) -> None:
        self.frames: Intake[Frame] = Intake()
        self._address = address
        self._tell = tell
        self._denoise = Denoiser() if calm else None
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._began_at = time.monotonic()
        self._to_image: tuple[Shape, ToImage] | None = None
        self._ended = False  # properly
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more frames; a read under way is not waited for."""
        self._stop.set()
        self.frames.close()

    def _run(self) -> None:
        tries = 0
        while not self._stop.is_set():
            try:
                for image in self._images():
                    tries, self._ended = 0, False
                    now = time.monotonic()
                    pts = int((now - self._began_at) * VIDEO_CLOCK_HZ)
                    self._on_loop(self.frames.put, Frame(image, pts, VIDEO_TIME_BASE, now))
                    if self._stop.is_set():
                        return
                why, self._ended = "it ended", True
            except Exception as failure:  # whatever a file or device from outside makes fail
                why = _reason(failure)
            if self._address.loops and tries == 0:
                tries = 1
                continue  # from its beginning
            self._on_loop(self._tell, f"{name_of(self._address.url)}: {why}; trying again")
            self._stop.wait(RETRY_S[min(tries, len(RETRY_S) - 1)])
            tries += 1

    def _on_loop(self, call: Callable[[Any], None], argument: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call, argument)

    def _images(self) -> Iterator[Image]:
        deinterlacer = Deinterlacer()
        with contextlib.ExitStack() as closing:
            container, whole = self._open(closing)
            if not container.streams.video:
                raise ValueError("there is no video in it")
            videos = (s for s in container.streams.video if s.codec_context)
            if (stream := next(videos, None)) is None:
                raise ValueError("FFmpeg has no decoder for its video")
            stream.thread_type = "NONE"  # frames at once, not when more come
            segmented = (self._address.format or container.format.name) in SEGMENTED
            loops = self._address.loops
            if segmented and self._ended and not loops and whole:
                return  # the same playlist, with its end: shown already
            paced = loops or segmented
            pace = Pace()
            packets = container.demux(stream)
            if segmented:
                packets = closing.enter_context(contextlib.closing(ahead(packets)))
            for frame in decoded_frames(packets, stream):
                if frame is None:
                    continue  # damaged
                if paced and frame.time is not None:
                    self._stop.wait(pace.wait_s(frame.time, time.monotonic()))
                shape = self._shape(frame, stream)
                for (ready, shape_then), _, _ in deinterlacer.push(frame, shape, frame.pts, 0):
                    yield self._upright(ready, shape_then)

    def _open(self, closing: contextlib.ExitStack) -> tuple[av.container.InputContainer, bool]:
        """And whether it has an end."""
        address = self._address
        if address.format == DASH:
            found = open_dash(address.url, address.options[0])
            closing.enter_context(contextlib.closing(found))
            return closing.enter_context(av.open(found, "r")), found.whole
        for number, options in enumerate(address.options, 1):
            try:
                container = closing.enter_context(
                    av.open(
                        (video_of(Path(address.url)) if address.loops else None) or address.url,
                        mode="r",
                        format=address.format,
                        options=options,
                        timeout=(OPEN_S, READ_S),
                    )
                )
                return without_guesses(container), container.duration is not None
            except av.FFmpegError:
                if number == len(address.options):
                    raise
        raise AssertionError("an address has options")

    def _shape(self, frame: av.VideoFrame, stream: VideoStream) -> Shape:
        shape = shape_of(
            frame, stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio
        )
        if self._address.format in DEVICES and shape.colors.matrix == UNKNOWN:
            return replace(
                shape, colors=replace(shape.colors, matrix=BT601.matrix)
            )  # as UVC has it
        return shape

    def _upright(self, frame: av.VideoFrame, shape: Shape) -> Image:
        if self._to_image is None or self._to_image[0] != shape:
            self._to_image = shape, ToImage(upright(shape))
        image = self._to_image[1](frame, shape)
        return image if self._denoise is None else self._denoise(image)


def ahead(packets: Iterable[Packet[Any]]) -> Generator[Packet[Any]]:
    """The same packets, read as soon as they are there; `close` waits for a read under way.

    A live playlist lets go of segments, whether or not they have been shown.
    """
    waiting: queue.SimpleQueue[Packet[Any] | Exception | None] = queue.SimpleQueue()
    closed = threading.Event()

    def read() -> None:
        end: Exception | None = None
        try:
            for packet in packets:
                waiting.put(packet)
                while waiting.qsize() >= AHEAD and not closed.wait(0.02):
                    pass
                if closed.is_set():
                    return
        except Exception as failure:
            end = failure
        waiting.put(end)

    reader = threading.Thread(target=read, name="ahead", daemon=True)
    reader.start()
    try:
        while (packet := waiting.get()) is not None:
            if isinstance(packet, Exception):
                raise packet
            yield packet
    finally:
        closed.set()
        reader.join()


def upright(shape: Shape) -> Shape:
    """How a player shows such frames: turned, with square samples."""
    width, height = max(2, round(shape.width * shape.aspect / 2) * 2), shape.height
    width = shape.width if shape.aspect == 1 else width
    turned = shape.rotation % 180 == 90
    return Shape(*((height, width) if turned else (width, height)), colors=BT601)


def _reason(failure: Exception) -> str:
    if isinstance(failure, av.error.ExitError):  # how PyAV says that its timeout has passed
        return f"no video for {READ_S:g} s"
    return getattr(failure, "strerror", None) or str(failure) or type(failure).__name__
