"""program → **camera** → source, stylizer: a camera's stylized frames, one after the other."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Iterator

from streamer.api.event_loop import event_loop
from streamer.api.look import Styled
from streamer.api.stylizer import Stylizer
from streamer.camera.source import CameraSource, parse_source
from streamer.engine.backend import Backend
from streamer.errors import MediaError
from streamer.i420 import Pixels, to_rgb
from streamer.pipeline.stats import Rate

UPDATE_S = 1.0


class Camera:
    """Iterate, with `for` or `async for`, to get stylized frames: (height, width, 3), uint8, RGB.

    Each is the newest one: what is slow costs frames, not time. The end of the iteration closes
    the camera; with `async for`, `contextlib.aclosing(aiter(camera))` says when that is. Raises
    MediaError when the source cannot be opened; one that breaks later is opened again.
    """

    def __init__(
        self, source: str, look: Styled, stylizer: Stylizer, *, calm: bool, token: str | None
    ) -> None:
        self._address = parse_source(source, sys.platform, token)
        self._stream = stylizer.stream(look)
        self._calm = calm

    def change(self, look: Styled, *, transition_s: float = 0.5) -> None:
        """From now on another look, by a cross-fade. Raises UnknownStyleError, UsageError."""
        self._stream.change(look, transition_s=transition_s)

    def __iter__(self) -> Iterator[Pixels]:
        with event_loop() as run:
            frames = self._frames()
            while (frame := run(_next(frames))) is not None:
                yield frame

    def __aiter__(self) -> AsyncGenerator[Pixels, None]:
        return self._frames()

    async def _frames(self) -> AsyncGenerator[Pixels, None]:
        refusal, works = "", False

        def tell(line: str) -> None:
            nonlocal refusal
            if not works:  # one that has worked is opened again
                refusal = line.removesuffix("; trying again")
                source.close()

        source = CameraSource(self._address, tell, calm=self._calm)
        delivered = Rate()
        updated_at, busy_s = time.monotonic(), 0.0
        with contextlib.closing(source):
            while await source.frames.ready():
                image = source.frames.take().image
                works = True
                began = time.monotonic()
                stylized = await asyncio.to_thread(self._stream._stylize, image)
                now = time.monotonic()
                busy_s += now - began
                delivered.tick(now)
                if now - updated_at >= UPDATE_S:
                    updated_at, out_fps = now, delivered.fps(now)
                    self._stream._control.update(now, source.frames.received, out_fps, busy_s, 1)
                yield to_rgb(stylized)
        if refusal:
            raise MediaError(refusal)


async def _next(frames: AsyncGenerator[Pixels, None]) -> Pixels | None:
    return await anext(frames, None)


def open_camera(
    source: int | str = 0,
    look: Styled = None,
    *,
    backend: Backend = "auto",
    threads: int | None = None,
    calm: bool = True,
    token: str | None = None,
) -> Camera:
    """Stylize a camera in this process; iterate over what it returns.

    `source` is a camera's number or name, a URL (RTSP, HLS, `/streams/NAME.mjpeg` of a server,
    whose `token` it may need), a file (over and over), or `screen`. The height to stylize at
    follows, so that the frame rate holds. `calm` removes the camera's noise first. Raises
    UsageError for what is no source, StreamerError for the rest.
    """
    stylizer = Stylizer(backend=backend, threads=threads)
    return Camera(str(source), look, stylizer, calm=calm, token=token)
