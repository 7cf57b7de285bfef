"""command line → **camera run** → source, ring, virtual camera.

`streamer camera`, put together: any source through a ring of its own into the virtual camera.
"""

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from streamer.camera.source import CameraSource, name_of, parse_source
from streamer.camera.virtual import VirtualCamera
from streamer.engine.backend import Backend
from streamer.errors import StreamerError
from streamer.frame import Frame, Style
from streamer.pipeline import run as pipeline
from streamer.pipeline.change import Change, Height, change
from streamer.pipeline.stats import Stats
from streamer.pipeline.style_control import StyleControl
from streamer.ring.ring import Ring
from streamer.ring.setup import setup
from streamer.ring.start import ring_of
from streamer.styles.catalogue import Catalogue

TELL_S = 1.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line was told."""

    source: str
    style: str | None
    strength: float
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


def run(wish: Wish) -> None:
    """Until Ctrl-C. Raises StreamerError when there is no camera, no source or no ring."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(wish))


async def _run(wish: Wish) -> None:
    address = parse_source(wish.source, sys.platform, wish.token)
    catalogue = Catalogue.load()
    style = Style(catalogue.parse_live(wish.style or catalogue.default), wish.strength)
    look = Look(catalogue, StyleControl(catalogue.parse_live, style, wish.height_px, wish.fps))
    size = setup(wish.backend, wish.workers, wish.threads, None)
    title = f"waiting for {name_of(wish.source)}"
    with VirtualCamera(wish.width, wish.height, wish.fps, wish.device, title) as camera:
        print(f"the virtual camera is {camera.device}; Ctrl-C stops", flush=True)
        async with ring_of(size, catalogue, style) as ring:
            source = CameraSource(address, _say)
            with contextlib.closing(source), _controlled(look, wish.control):
                await _carry(source, ring, camera, look)


async def _carry(source: CameraSource, ring: Ring, camera: VirtualCamera, look: "Look") -> None:
    stats = Stats()
    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(_tell(source, ring, camera, look, stats))
        await pipeline.run(
            source.frames, ring.open(live=True), camera, stats=stats, dress=look.dress
        )
        telling.cancel()


class Look:
    """How the next frame is to look, changed by lines of text."""

    def __init__(self, catalogue: Catalogue, control: StyleControl) -> None:
        self.control = control
        self._catalogue = catalogue

    @property
    def name(self) -> str:
        """The style headed for."""
        return " ".join(name for name, _ in self.control.target.blend)

    def dress(self, frame: Frame) -> Frame:
        """Give a frame its style and height, the moment the ring takes it."""
        return self.control.apply(frame, time.monotonic())

    def hear(self, line: str) -> None:
        """A style's name or number, a blend, or JSON as PATCH /streams/NAME takes it."""
        try:
            wanted = _read(line.strip(), list(self._catalogue))
            self.control.change(wanted, time.monotonic())
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
def _controlled(look: Look, wanted: bool) -> Iterator[None]:
    """Lines from stdin go to `look`, inside."""
    if wanted:
        loop = asyncio.get_running_loop()
        threading.Thread(target=_listen, args=(loop, look.hear), daemon=True).start()
    yield


def _listen(loop: asyncio.AbstractEventLoop, hear: Callable[[str], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        for line in sys.stdin:
            if line.strip():
                loop.call_soon_threadsafe(hear, line)


async def _tell(
    source: CameraSource, ring: Ring, camera: VirtualCamera, look: Look, stats: Stats
) -> None:
    control = look.control
    while True:
        await asyncio.sleep(TELL_S)
        now = time.monotonic()
        out_fps = stats.left.fps(now)
        control.update(now, source.frames.received, out_fps, ring.busy_s, len(ring))
        if sys.stderr.isatty():
            line = f"{control.in_fps:.0f} fps in, {out_fps:.0f} stylized, "
            line += f"{camera.sent.fps(now):.0f} out, {camera.latency.as_ms()['p50']:.0f} ms"
            print(f"\r{line}, {look.name}\033[K", end="", file=sys.stderr, flush=True)


def _say(line: str) -> None:
    start = "\r\033[K" if sys.stderr.isatty() else ""
    print(f"{start}{line}", file=sys.stderr, flush=True)
