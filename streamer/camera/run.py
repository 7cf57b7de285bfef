"""command line → **run** → source, ring, virtual: `streamer camera`, put together."""

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from streamer import ending
from streamer.camera.source import CameraSource, name_of, parse_source
from streamer.camera.virtual import VirtualCamera
from streamer.engine.backend import Backend, Device
from streamer.errors import StreamerError
from streamer.frame import Frame, Style
from streamer.look import LIVE_SMOOTH, Brush
from streamer.pipeline import run as pipeline
from streamer.pipeline.change import Change, Height, change
from streamer.pipeline.stats import Stats
from streamer.pipeline.style_control import StyleControl
from streamer.ring.ring import Ring
from streamer.ring.setup import resolve
from streamer.ring.start import ring_of
from streamer.styles.catalogue import Catalogue

REPORT_S = 1.0


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """What the command line was given."""

    source: str
    style: str | None
    strength: float
    tone: float
    brush: Brush
    calm: bool
    width: int
    height: int
    fps: float
    height_px: Height
    device: str | None
    token: str | None
    control: bool
    backend: Backend
    workers: int | None
    threads: int | None
    compute: Device = "auto"  # `device` is the virtual camera's


def run(options: CameraOptions) -> None:
    """Until a signal says to stop. Raises Stopped then, with code 0.

    Raises StreamerError when there is no camera, no source or no ring.
    """
    ending.run(_run(options), code=0)


async def _run(options: CameraOptions) -> None:
    address = parse_source(options.source, sys.platform, options.token)
    catalogue = Catalogue.load()
    blend = catalogue.parse_live(options.style or catalogue.default)
    style = Style(blend, options.strength, smooth=LIVE_SMOOTH, tone=options.tone)
    size = resolve(options.backend, options.workers, options.threads, None, options.compute)
    title = f"waiting for {name_of(options.source)}"
    with VirtualCamera(options.width, options.height, options.fps, options.device, title) as camera:
        print(f"the virtual camera is {camera.device}; Ctrl-C stops", flush=True)
        async with ring_of(size, catalogue, style) as ring:
            control = TextControl(
                catalogue,
                StyleControl(
                    catalogue.parse_live,
                    style,
                    options.height_px,
                    options.fps,
                    brush=options.brush,
                    frame_s=ring.frame_s,
                    workers=len(ring),
                ),
            )
            source = CameraSource(address, _say, calm=options.calm)
            with contextlib.closing(source), _controlled(control, options.control):
                await _carry(source, ring, camera, control)


async def _carry(
    source: CameraSource, ring: Ring, camera: VirtualCamera, control: "TextControl"
) -> None:
    stats = Stats()
    async with asyncio.TaskGroup() as tasks:
        reporting = tasks.create_task(_report(source, ring, camera, control, stats))
        await pipeline.run(
            source.frames,
            ring.open(live=True),
            camera,
            stats=stats,
            waits=control.style.waits,
            apply_style=control.apply,
            on_stylized=control.style.on_stylized,
        )
        reporting.cancel()


class TextControl:
    """The style of the next frame, changed by lines of text."""

    def __init__(self, catalogue: Catalogue, style: StyleControl) -> None:
        self.style = style
        self._catalogue = catalogue

    @property
    def name(self) -> str:
        """The style headed for."""
        return " ".join(name for name, _ in self.style.target.blend)

    def apply(self, frame: Frame) -> Frame:
        """Call when the ring takes a frame: gives it its style and height."""
        return self.style.apply(frame, time.monotonic())

    def on_line(self, line: str) -> None:
        """A style's name or number, a blend, or JSON as PATCH /streams/NAME takes it."""
        try:
            wanted = _read(line.strip(), list(self._catalogue))
            self.style.change(wanted, time.monotonic())
        except StreamerError as failure:
            _say(str(failure))


def _read(line: str, styles: list[str]) -> Change:
    if line.startswith("{"):
        with contextlib.suppress(ValueError):
            return change(json.loads(line))
    if line.isdecimal() and 0 < int(line) <= len(styles):
        line = styles[int(line) - 1]
    return change({"style": line})


@contextlib.contextmanager
def _controlled(control: TextControl, wanted: bool) -> Iterator[None]:
    """Inside, lines from standard input go to `control`."""
    if wanted:
        loop = asyncio.get_running_loop()
        threading.Thread(target=_read_lines, args=(loop, control.on_line), daemon=True).start()
    yield


def _read_lines(loop: asyncio.AbstractEventLoop, on_line: Callable[[str], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        for read in sys.stdin.buffer:
            if line := read.decode(errors="replace").strip():
                loop.call_soon_threadsafe(on_line, line)


async def _report(
    source: CameraSource, ring: Ring, camera: VirtualCamera, control: TextControl, stats: Stats
) -> None:
    style = control.style
    while True:
        await asyncio.sleep(REPORT_S)
        now = time.monotonic()
        out_fps = stats.delivered.fps(now)
        style.update(now, source.frames.received, out_fps, ring.busy_s, len(ring))
        if sys.stderr.isatty():
            line = f"{style.in_fps:.0f} fps in, {out_fps:.0f} stylized, "
            line += f"{camera.sent.fps(now):.0f} out, {camera.latency.as_ms()['p50']:.0f} ms"
            print(f"\r{line}, {control.name}\033[K", end="", file=sys.stderr, flush=True)


def _say(line: str) -> None:
    start = "\r\033[K" if sys.stderr.isatty() else ""
    print(f"{start}{line}", file=sys.stderr, flush=True)
