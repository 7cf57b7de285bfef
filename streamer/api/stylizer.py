"""program → **stylizer** → worker, engine: pictures and streams in this very process.

No server, no Ray, no other process: for single pictures, one camera, notebooks.
"""

import functools
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import overload

from PIL import Image as Pillow

from streamer.api.look import DEFAULT_BRUSH, Look, Styled, lines_of, look_of, style_of
from streamer.api.pictures import Picture, from_array, taken
from streamer.engine.backend import Backend
from streamer.engine.stylizer import StylizerSpec
from streamer.frame import VIDEO_CLOCK_HZ, VIDEO_TIME_BASE, Frame, Image
from streamer.i420 import Pixels, size_at, to_rgb
from streamer.pipeline.change import Change
from streamer.pipeline.smoother import Smoother
from streamer.pipeline.style_control import StyleControl
from streamer.ring.setup import cores, resolve
from streamer.ring.worker import Worker
from streamer.styles.catalogue import Catalogue


class Stylizer:
    """Stylizes in this process, with all its cores unless `threads` says how many.

    `backend` is what runs the networks: `auto` is the fastest here, `openvino`, `onnx` and
    `torch` (which uses a GPU, if there is one) are one of them, `none` returns every picture as
    it came. A network is loaded when one of its styles is used, which takes some seconds: keep a
    Stylizer. Threads may share one; it stylizes one picture at a time.
    """

    def __init__(self, *, backend: Backend = "auto", threads: int | None = None) -> None:
        device = resolve(backend, None, threads, None).device
        spec = StylizerSpec(backend, threads or cores(), device, follow_catalogue=True)
        self._engine = spec.load()
        self._lock = threading.RLock()

    @overload
    def stylize(self, picture: Pixels, look: Styled = None) -> Pixels: ...
    @overload
    def stylize(self, picture: Pillow.Image | str | Path, look: Styled = None) -> Pillow.Image: ...

    def stylize(self, picture: Picture, look: Styled = None) -> Pixels | Pillow.Image:
        """One picture, at its own size: an array of an array, else a Pillow image.

        Arrays are (height, width, 3), uint8, RGB. Raises StreamerError: UnknownStyleError,
        UsageError for an array of another shape, MediaError for what is no picture, ModelError.
        """
        wanted = look_of(look)
        style = style_of(wanted, Catalogue.load())
        image, back = taken(picture)
        with self._lock:
            return back(self._engine.stylize(image, style, size_at(image, lines_of(wanted))))

    def stream(self, look: Styled = None) -> "Stream":
        """For the frames of one camera or video, in order. Raises StreamerError."""
        return Stream(self, look_of(look))


class Stream:
    """One stream of frames: a Stylizer makes it, with `stream`.

    Colours and contrast follow the scene without flicker, and looks change by a cross-fade.
    """

    def __init__(self, stylizer: Stylizer, look: Look) -> None:
        self._lock = stylizer._lock
        style = style_of(look, Catalogue.load())
        self._control = StyleControl(
            lambda blend: Catalogue.load().parse(blend),
            style,
            "auto",
            30.0,
            brush=look.brush or DEFAULT_BRUSH,
        )
        self._smoother = Smoother()
        self._began_at = time.monotonic()
        with self._lock:
            self._worker = Worker(lambda: stylizer._engine, style)

    def stylize(self, pixels: Pixels) -> Pixels:
        """The next frame, and the result: (height, width, 3), uint8, RGB. Raises StreamerError."""
        return to_rgb(self._stylize(from_array(pixels)))

    def change(self, look: Styled, *, transition_s: float = 0.5) -> None:
        """Another look, by a cross-fade, as soon as it is prepared.

        Raises UnknownStyleError, UsageError.
        """
        wanted = look_of(look)
        style = style_of(wanted, Catalogue.load())
        change = Change(
            style=dict(style.blend),
            strength=style.strength,
            preserve_color=style.preserve_color,
            smooth=style.smooth,
            tone=style.tone,
            transition_s=transition_s,
            brush=wanted.brush,
        )
        with self._lock:
            self._control.change(change, time.monotonic())

    def _stylize(self, image: Image) -> Image:
        with self._lock:
            now = time.monotonic()
            pts = int((now - self._began_at) * VIDEO_CLOCK_HZ)
            frame = self._control.apply(Frame(image, pts, VIDEO_TIME_BASE, now), now)
            response = self._worker.stylize(frame)
            assert response.image is not None  # a worker in this process raises instead
            done = replace(
                frame,
                image=response.image,
                height_px=response.height_px or frame.height_px,
                measured=response.measured,
                service_s=response.inference_s,
                upcoming_ready=response.upcoming_ready,
            )
            self._control.on_stylized(done, time.monotonic())
            return self._smoother(done.image, frame.style.smooth)


@functools.cache
def _shared(backend: Backend) -> Stylizer:
    return Stylizer(backend=backend)


@overload
def stylize(picture: Pixels, look: Styled = None, *, backend: Backend = "auto") -> Pixels: ...
@overload
def stylize(
    picture: Pillow.Image | str | Path, look: Styled = None, *, backend: Backend = "auto"
) -> Pillow.Image: ...


def stylize(
    picture: Picture, look: Styled = None, *, backend: Backend = "auto"
) -> Pixels | Pillow.Image:
    """Stylize one picture in this process, by a Stylizer that is kept for the next one.

    Returns an array for an array, else a Pillow image. In a coroutine:
    `await asyncio.to_thread(streamer.stylize, ...)`. Raises StreamerError, as Stylizer.stylize.
    """
    return _shared(backend).stylize(picture, look)
