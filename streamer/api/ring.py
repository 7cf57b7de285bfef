"""program → **ring** → ring, source_sink: the workers, for programs of their own."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Self, overload

from PIL import Image as Pillow

from streamer.api.look import Styled, lines_of, look_of, style_of
from streamer.api.pictures import Picture, from_array, taken
from streamer.engine.backend import Backend, Device
from streamer.errors import RingError
from streamer.files.checkpoint import FRAMES
from streamer.files.decode import DecodedFrame
from streamer.files.scene_statistics import SceneStatistics
from streamer.files.source_sink import FileSource
from streamer.frame import Frame
from streamer.i420 import Pixels, to_rgb
from streamer.pipeline import run as pipeline
from streamer.ring.flow import Flow
from streamer.ring.setup import check_device, resolve
from streamer.ring.start import ring_of
from streamer.styles.catalogue import Catalogue

TIME_BASE = Fraction(1, 30)  # of frames that come without a time
AHEAD = 4  # frames that wait for whoever iterates


class Ring:
    """Worker processes, on this machine or a Ray cluster; use as `async with Ring() as ring`.

    `workers` have `threads` each; by default there is one for each core, or GPU of `torch`.
    `backend` is as of Stylizer; `device` and `ray_address`, of a cluster to join, are as of
    `streamer serve`. Starting takes some seconds. Raises RingError when no worker can be started,
    UsageError.
    """

    def __init__(
        self,
        look: Styled = None,
        *,
        backend: Backend = "auto",
        workers: int | None = None,
        threads: int | None = None,
        gpus: int | None = None,
        device: Device = "auto",
        ray_address: str | None = None,
    ) -> None:
        self._backend = backend
        self._catalogue = Catalogue.load()
        self._look = look_of(look)
        self._carrying: set[asyncio.Task[None]] = set()
        size = resolve(backend, workers, threads, gpus, device)
        if ray_address is None:
            check_device(device, size.gpus)
        warm = style_of(self._look, self._catalogue)
        self._ring = ring_of(
            size, self._catalogue, warm, address=ray_address, follow_catalogue=True
        )

    async def __aenter__(self) -> Self:
        await self._ring.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for one in self._carrying:
            one.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        await self._ring.__aexit__(*exc)

    def __len__(self) -> int:
        """The number of workers."""
        return len(self._ring)

    @overload
    async def stylize(self, picture: Pixels, look: Styled = None) -> Pixels: ...
    @overload
    async def stylize(
        self, picture: Pillow.Image | str | Path, look: Styled = None
    ) -> Pillow.Image: ...

    async def stylize(self, picture: Picture, look: Styled = None) -> Pixels | Pillow.Image:
        """One picture, as Stylizer.stylize; without a look, in that of the ring.

        Several at once (`asyncio.gather`) keep all workers busy. Raises StreamerError.
        """
        wanted = self._look if look is None else look_of(look)
        style = style_of(wanted, Catalogue.load())
        image, back = await asyncio.to_thread(taken, picture)
        stylized = await self._ring.stylize(image, style, lines_of(wanted))
        return await asyncio.to_thread(back, stylized)

    async def stylize_frames(
        self, frames: Iterable[Pixels] | AsyncIterable[Pixels], look: Styled = None
    ) -> AsyncIterator[Pixels]:
        """The frames of one video, in order, by all workers at once.

        `frames` is read a few ahead of what is taken; in a thread, if it is not async. Colours and
        contrast follow the scenes, as in `streamer file`. Raises StreamerError, and what `frames`
        raises.
        """
        wanted = self._look if look is None else look_of(look)
        style = style_of(wanted, Catalogue.load())
        statistics = SceneStatistics(style, FRAMES)
        loop = asyncio.get_running_loop()
        each = _awaited(frames, loop) if isinstance(frames, AsyncIterable) else frames
        decoded = (DecodedFrame(from_array(one), i, 1) for i, one in enumerate(each))
        source = FileSource(
            decoded, TIME_BASE, style, statistics=statistics, height_px=lines_of(wanted)
        )
        sink = _Sink()
        flow = self._ring.open(live=False)
        carrying = asyncio.create_task(self._carry(source, flow, sink, statistics))
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carrying.discard)
        try:
            while isinstance(frame := await sink.take(), Frame):
                yield to_rgb(frame.image)
            if frame is not None:
                raise frame
        finally:
            carrying.cancel()
            flow.close()
            await source.close()

    async def _carry(
        self,
        source: FileSource,
        flow: Flow,
        sink: "_Sink",
        statistics: SceneStatistics,
    ) -> None:
        ended: Exception | None = RingError("the ring is closed")
        try:
            with pipeline.ungrouped():
                await pipeline.run(source, flow, sink, on_stylized=statistics.on_stylized)
            ended = None
        except Exception as error:  # for whoever iterates, if anybody still does
            ended = error
        finally:
            sink.frames.put_nowait(ended)


class _Sink:
    """Frames for whoever iterates, then None, or why there are no more."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Frame | Exception | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(AHEAD)

    async def send(self, frame: Frame) -> None:
        await self._room.acquire()
        self.frames.put_nowait(frame)

    async def take(self) -> Frame | Exception | None:
        self._room.release()
        return await self.frames.get()


def _awaited(frames: AsyncIterable[Pixels], loop: asyncio.AbstractEventLoop) -> Iterator[Pixels]:
    """For a thread: each is made on the event loop."""
    each = aiter(frames)

    async def next_one() -> Pixels | None:
        return await anext(each, None)

    while (frame := asyncio.run_coroutine_threadsafe(next_one(), loop).result()) is not None:
        yield frame
