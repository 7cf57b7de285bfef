"""program → **ring** → ring, source_sink: the workers, for programs of their own."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Self, overload

from PIL import Image as Pillow

from streamer.api.look import Styled, lines_of, look_of, style_of
from streamer.api.pictures import Picture, from_array, taken
from streamer.engine.backend import Backend
from streamer.files.checkpoint import FRAMES
from streamer.files.decode import DecodedFrame
from streamer.files.scene_statistics import SceneStatistics
from streamer.files.source_sink import FileSource
from streamer.frame import Frame
from streamer.i420 import Pixels, to_rgb
from streamer.pipeline import run as pipeline
from streamer.ring.flow import Flow
from streamer.ring.setup import resolve
from streamer.ring.start import ring_of
from streamer.styles.catalogue import Catalogue

TIME_BASE = Fraction(1, 30)  # of frames that come without a time


class Ring:
    """Worker processes, on this machine or a Ray cluster; use as `async with Ring() as ring`.

    `workers` have `threads` each; by default there is one for each core, or GPU of `torch`.
    `backend` is as of Stylizer. `ray_address` joins a cluster, as `streamer serve` does. Starting
    takes some seconds. Raises RingError when no worker can be started, UsageError.
    """

    def __init__(
        self,
        look: Styled = None,
        *,
        backend: Backend = "auto",
        workers: int | None = None,
        threads: int | None = None,
        gpus: int | None = None,
        ray_address: str | None = None,
    ) -> None:
        self._backend = backend
        self._catalogue = Catalogue.load()
        self._look = look_of(look)
        size = resolve(backend, workers, threads, gpus)
        warm = style_of(self._look, self._catalogue)
        self._ring = ring_of(
            size, self._catalogue, warm, address=ray_address, follow_catalogue=True
        )

    async def __aenter__(self) -> Self:
        await self._ring.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
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
        self, frames: Iterable[Pixels], look: Styled = None
    ) -> AsyncIterator[Pixels]:
        """The frames of one video, in order, by all workers at once.

        `frames` is read in a thread, a few ahead of what is taken. Colours and contrast follow
        the scenes, as in `streamer file`. Raises StreamerError, and what `frames` raises.
        """
        wanted = self._look if look is None else look_of(look)
        style = style_of(wanted, Catalogue.load())
        statistics = SceneStatistics(style, FRAMES)
        decoded = (DecodedFrame(from_array(one), i, 1) for i, one in enumerate(frames))
        source = FileSource(
            decoded, TIME_BASE, style, statistics=statistics, height_px=lines_of(wanted)
        )
        sink = _Sink()
        flow = self._ring.open(live=False)
        carrying = asyncio.create_task(self._carry(source, flow, sink, statistics))
        try:
            while (frame := await sink.frames.get()) is not None:
                yield to_rgb(frame.image)
            await carrying
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
        try:
            with pipeline.ungrouped():
                await pipeline.run(source, flow, sink, on_stylized=statistics.on_stylized)
        finally:
            await sink.frames.put(None)


class _Sink:
    """Frames for whoever iterates."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Frame | None] = asyncio.Queue(4)

    async def send(self, frame: Frame) -> None:
        await self.frames.put(frame)
