"""HTTP → **pictures** → broadcast: live streams as JPEGs, the newest or one after the other."""

import asyncio
from collections.abc import AsyncIterator

from streamer.frame import Frame
from streamer.live.broadcast import Broadcast, Broadcasts
from streamer.photo import encode_jpeg
from streamer.pipeline.intake import Intake

PATIENCE_S = 10.0  # without a frame


class Pictures:
    """Every frame is encoded once, however many want it."""

    def __init__(self, broadcasts: Broadcasts) -> None:
        self._broadcasts = broadcasts
        self._newest: dict[str, _NewestJpeg] = {}

    async def newest(self, name: str) -> bytes:
        """The newest frame. Raises NotLiveError."""
        broadcast = self._broadcasts.live(name)
        assert broadcast.newest is not None
        return await self._of(broadcast).of(broadcast.newest)

    async def each(self, name: str) -> AsyncIterator[bytes]:
        """As fast as they are taken; those in between are skipped. Ends when no more come.

        Raises NotLiveError.
        """
        broadcast = self._broadcasts.live(name)
        tap: Intake[Frame] = Intake()
        with broadcast.tap(tap):
            while await _ready(tap):
                yield await self._of(broadcast).of(tap.take())

    def _of(self, broadcast: Broadcast) -> "_NewestJpeg":
        for name in [name for name in self._newest if not self._broadcasts.is_live(name)]:
            del self._newest[name]
        return self._newest.setdefault(broadcast.name, _NewestJpeg())


class _NewestJpeg:
    """The newest frame of one stream as a JPEG."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._encoding: asyncio.Future[bytes] | None = None

    async def of(self, frame: Frame) -> bytes:
        if self._encoding is None or frame is not self._frame:
            self._frame = frame
            self._encoding = asyncio.ensure_future(asyncio.to_thread(encode_jpeg, frame.image))
        return await asyncio.shield(self._encoding)


async def _ready(tap: Intake[Frame]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await tap.ready()
    except TimeoutError:
        return False
