"""pipeline, broadcast → **virtual** → Zoom, Meet, OBS.

The operating system's virtual camera by pyvirtualcam (GPL-2.0, the extra `camera`), which is
imported nowhere else and not before a camera is wanted. Programs that read a camera take one
size at one rate: both are kept whatever the stream does.
"""

import sys
import threading
import time
from collections import deque
from typing import Any, Self

import cv2
import numpy as np

from streamer.errors import MediaError, to_install
from streamer.frame import Frame, Image, i420_size
from streamer.i420 import resize
from streamer.pipeline.stats import Rate, Recent

AWAY_S = 2.0  # without a new frame: then the slate is shown
BEHIND_S = 0.5  # a device that blocks for longer costs ticks, not speed afterwards
_BLACK, _GREY, _TEXT = 16, 128, 160


class VirtualCamera:
    """Use as `with`; inside, what `show` was last given is sent at a steady rate by a thread.

    Raises MediaError, with what to do about it, when there is no virtual camera here.
    """

    def __init__(
        self, width: int, height: int, fps: float, device: str | None = None, title: str = ""
    ) -> None:
        self.sent = Rate()
        self.latency = Recent()
        self._size = (width, height)
        self._interval_s = 1 / fps
        self._slate = slate(width, height, title)
        self._newest: deque[Frame] = deque(maxlen=1)
        self._shown, self._shown_at = self._slate, float("-inf")
        self._stop = threading.Event()
        self._failure: Exception | None = None
        self._camera = _open(width, height, fps, device)
        self._thread = threading.Thread(target=self._run, name="virtual camera", daemon=True)

    @property
    def device(self) -> str:
        """What other programs call it."""
        return str(self._camera.device)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(5)
        self._camera.close()

    def show(self, frame: Frame) -> None:
        """From now on this frame, until another one, or until it is too old."""
        self._newest.append(frame)

    async def send(self, frame: Frame) -> None:
        """As a sink: never waits. Raises MediaError once the camera is gone."""
        if self._failure is not None:
            raise MediaError(f"the virtual camera is gone: {self._failure}") from self._failure
        self.show(frame)

    def _run(self) -> None:
        due_at = time.monotonic()
        while not self._stop.wait(max(0.0, due_at - time.monotonic())):
            now = time.monotonic()
            due_at = max(due_at, now - BEHIND_S) + self._interval_s
            try:
                self._camera.send(self._next(now).data)
            except Exception as failure:  # whatever the native code says
                self._failure = failure
                return
            self.sent.tick(now)

    def _next(self, now: float) -> Image:
        try:
            frame = self._newest.popleft()
        except IndexError:
            if now - self._shown_at > AWAY_S:
                self._shown = self._slate
        else:
            self._shown, self._shown_at = fit(frame.image, *self._size), now
            self.latency.add(now - frame.captured_at)
        return self._shown


def fit(image: Image, width: int, height: int) -> Image:
    """The image as large as it goes, in the middle of black; itself when it fits exactly."""
    if image.size == (width, height):
        return image
    scale = min(width / image.width, height / image.height)
    inner = [max(2, round(side * scale / 2) * 2) for side in image.size]
    small = resize(image, min(inner[0], width), min(inner[1], height))
    box = flat(width, height, _BLACK)
    left, top = (width - small.width) // 4 * 2, (height - small.height) // 4 * 2
    for into, plane, halves in zip(box.planes, small.planes, (1, 2, 2), strict=True):
        y, x = top // halves, left // halves
        into[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
    return box


def flat(width: int, height: int, luma: int) -> Image:
    """Grey everywhere."""
    image = Image(width, height, np.full(i420_size(width, height), _GREY, np.uint8))
    image.planes[0][:] = luma
    return image


def slate(width: int, height: int, title: str) -> Image:
    """What is shown while the source is away: `title` on dark grey."""
    image = flat(width, height, 2 * _BLACK)
    luma, text, scale = image.planes[0], title or "no video", height / 480
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    scale *= min(1.0, 0.9 * width / max(wide, 1))
    (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    at = ((width - wide) // 2, (height + high) // 2)
    cv2.putText(luma, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, 1, cv2.LINE_AA)
    return image


def _open(width: int, height: int, fps: float, device: str | None) -> Any:
    try:
        import pyvirtualcam
    except ImportError:
        raise MediaError(f"the virtual camera needs pyvirtualcam; {to_install('camera')}") from None
    i420 = pyvirtualcam.PixelFormat.I420  # what frames are anyway
    try:
        return pyvirtualcam.Camera(width, height, fps, fmt=i420, device=device)
    except RuntimeError as failure:
        raise MediaError(advice(sys.platform, str(failure))) from failure


def advice(platform: str, failure: str) -> str:
    """What to do on this operating system when no virtual camera could be opened."""
    if platform == "linux":
        if "ermission" in failure or "'video' group" in failure:
            return "access denied: sudo usermod -aG video $USER, then log in again"
        if "not found" in failure.lower() or "no v4l2" in failure.lower():
            return (
                "no virtual camera here: sudo modprobe v4l2loopback devices=1 exclusive_caps=1"
                " card_label=streamer (Debian, Ubuntu: first apt-get install v4l2loopback-dkms)"
            )
    if platform == "darwin":
        return (
            "no virtual camera here: in OBS 30 or newer start its virtual camera once and stop it"
        )
    if platform == "win32":
        return "no virtual camera here: install OBS, which brings one, and start this again"
    return f"the virtual camera cannot be opened: {' '.join(failure.split())}"
