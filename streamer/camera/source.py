"""camera, URL, file, screen → **source** → intake: anything FFmpeg opens, as a live source.

Only the newest frame counts; what breaks is opened again.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av

from streamer.avframe import to_image
from streamer.errors import UsageError
from streamer.frame import VIDEO_CLOCK_HZ, VIDEO_TIME_BASE, Frame
from streamer.pipeline.intake import Intake

OPEN_S, READ_S = 10.0, 5.0
RETRY_S = (0.5, 1.0, 2.0, 4.0)
_SCREENS = {
    "linux": ("x11grab", ":0"),
    "darwin": ("avfoundation", "Capture screen 0:none"),
    "win32": ("gdigrab", "desktop"),
}


@dataclass(frozen=True, slots=True)
class Address:
    """What to open, and how. `paced`: a file, played at its own speed and over again."""

    url: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    paced: bool = False


def parse_source(text: str, platform: str, token: str | None = None) -> Address:
    """Read what `streamer camera` was given. Raises UsageError."""
    if text == "screen":
        kind, where = _SCREENS.get(platform, _SCREENS["linux"])
        url = os.environ.get("DISPLAY", where) if kind == "x11grab" else where
        return Address(url, kind, {"framerate": "30"})
    if text.isdecimal() or text.startswith(("/dev/video", "video=")):
        return _webcam(text, platform)
    scheme = text.partition("://")[0] if "://" in text else ""
    if scheme == "rtsp":
        return Address(text, options={"rtsp_transport": "tcp"})
    if scheme in ("http", "https"):
        headers = {"headers": f"Authorization: Bearer {token}\r\n"} if token else {}
        return Address(text, "mpjpeg" if text.endswith(".mjpeg") else None, headers)
    if scheme:
        return Address(text)
    if not Path(text).is_file():
        raise UsageError(f"{text!r} is neither a camera number, a URL, a file nor `screen`")
    return Address(text, paced=True)


def name_of(source: str) -> str:
    """What may be shown to everyone in a meeting: no password, no folder."""
    if "://" in source:
        return urlsplit(source).hostname or "its source"
    return Path(source).name


def _webcam(text: str, platform: str) -> Address:
    if platform == "darwin":
        return Address(f"{text}:none", "avfoundation", {"framerate": "30"})
    if platform == "win32":
        if not text.startswith("video="):
            raise UsageError('on Windows, name the camera: "video=Integrated Camera"')
        return Address(text, "dshow")
    return Address(f"/dev/video{text}" if text.isdecimal() else text, "v4l2")


class CameraSource:
    """Frames of `address` into `frames`, from a thread, until `close`.

    `tell` gets a line when it breaks and when it is there (again); called on the event loop.
    """

    def __init__(self, address: Address, tell: Callable[[str], None]) -> None:
        self.frames: Intake[Frame] = Intake()
        self._address = address
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._began_at = time.monotonic()
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
                for picture in self._pictures():
                    tries = 0
                    self._on_loop(self.frames.put, self._frame(picture))
                    if self._stop.is_set():
                        return
                why = "it ended"
            except (av.FFmpegError, OSError, ValueError) as failure:
                why = getattr(failure, "strerror", None) or str(failure)
            if self._address.paced and tries == 0:
                tries = 1
                continue  # from its beginning
            self._on_loop(self._tell, f"{name_of(self._address.url)}: {why}; trying again")
            self._stop.wait(RETRY_S[min(tries, len(RETRY_S) - 1)])
            tries += 1

    def _pictures(self) -> Iterator[av.VideoFrame]:
        address = self._address
        with av.open(
            address.url, format=address.format, options=address.options, timeout=(OPEN_S, READ_S)
        ) as container:
            if not container.streams.video:
                raise ValueError("there is no video in it")
            container.streams.video[0].thread_type = "NONE"  # frames at once, not when more come
            began_at, first = time.monotonic(), None
            for picture in container.decode(video=0):
                if address.paced and picture.time is not None:
                    first = picture.time if first is None else first
                    self._stop.wait(max(0.0, began_at + picture.time - first - time.monotonic()))
                yield picture

    def _frame(self, picture: av.VideoFrame) -> Frame:
        now = time.monotonic()
        return Frame(
            to_image(picture), int((now - self._began_at) * VIDEO_CLOCK_HZ), VIDEO_TIME_BASE, now
        )

    def _on_loop(self, call: Callable[[Any], None], argument: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call, argument)
