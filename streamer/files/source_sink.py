"""decode → **source_sink** → ring → **source_sink** → encode: a video file as Source and Sink.

 Decoding and encoding each have a thread of their own, with
a few frames between it and the event loop: all three work at the same time, memory stays put.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

from streamer.files.decode import DecodedFrame
from streamer.files.scene_statistics import SceneStatistics
from streamer.frame import Frame, Image, Style, i420_size

JOIN_S = 5.0  # for a thread to end that is asked to; one that hangs is left behind
BUFFER_BYTES = 64 << 20  # of frames waiting at either end


def depth_of(width: int, height: int) -> int:
    """How many frames may wait: enough to smooth out keyframes, bounded in memory."""
    return max(2, min(16, BUFFER_BYTES // i420_size(width, height)))


@dataclass(slots=True)
class Busy:
    """Seconds that a thread has worked, and waited for the others."""

    working_s: float = 0.0
    waiting_s: float = 0.0

    @property
    def utilization(self) -> float:
        """Part of the time spent working, 0..1."""
        total = self.working_s + self.waiting_s
        return self.working_s / total if total else 0.0


class FileSource:
    """Decoded frames as frames of one style. Raises what decoding raises."""

    def __init__(
        self,
        decoded: Iterable[DecodedFrame],
        time_base: Fraction,
        style: Style,
        *,
        statistics: SceneStatistics | None = None,
        height_px: int | None = None,
        depth: int = 8,
    ) -> None:
        self.busy = Busy()
        self._statistics = statistics
        self._decoded = decoded
        self._time_base = time_base
        self._style = style
        self._height_px = height_px
        self._frames: deque[Frame] = deque()
        self._room = threading.Semaphore(depth)
        self._closed = self._finished = False
        self._failure: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._decode, name="decode", daemon=True)
        self._thread.start()

    async def ready(self) -> bool:
        """Wait for the next frame; False at the end of the video."""
        while not self._frames and not self._finished:
            self._changed.clear()
            await self._changed.wait()
        if not self._frames and self._failure is not None:
            raise self._failure
        if self._frames and self._statistics is not None:
            await self._statistics.settle(self._frames[0].pts_s)
        return bool(self._frames)

    def take(self) -> Frame:
        """The next frame."""
        self._room.release()
        frame = self._frames.popleft()
        return frame if self._statistics is None else self._statistics.apply(frame)

    async def close(self) -> None:
        """Stop decoding."""
        self._closed = True
        self._room.release()
        await asyncio.to_thread(self._thread.join, JOIN_S)

    def _decode(self) -> None:
        started = time.perf_counter()
        try:
            for frame in self._decoded:
                ready = time.perf_counter()
                self.busy.working_s += ready - started
                self._room.acquire()
                if self._closed:
                    return
                started = time.perf_counter()
                self.busy.waiting_s += started - ready
                _on(self._loop, self._put, self._frame(frame))
        except Exception as error:  # carried to whoever waits in ready()
            self._failure = error
        finally:
            _on(self._loop, self._finish)

    def _frame(self, decoded: DecodedFrame) -> Frame:
        return Frame(
            decoded.image,
            decoded.pts,
            self._time_base,
            time.monotonic(),
            self._style,
            self._height_px,
            decoded.duration,
        )

    def _put(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._changed.set()

    def _finish(self) -> None:
        self._finished = True
        self._changed.set()


class FileSink:
    """Hands frames to `write` in a thread, in order. `send` raises what `write` raised."""

    def __init__(self, write: Callable[[Image, int, int], None], *, depth: int = 8) -> None:
        self.busy = Busy()
        self.written = 0
        self._write = write
        self._depth = depth
        self._queue: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._failure: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._encode, name="encode", daemon=True)
        self._thread.start()

    async def send(self, frame: Frame) -> None:
        """Accept a frame as soon as there is room for it."""
        while self._queue.qsize() >= self._depth and self._failure is None:
            self._changed.clear()
            await self._changed.wait()
        if self._failure is not None:
            raise self._failure
        self._queue.put(frame)

    async def finish(self) -> None:
        """Wait until every frame is written."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Stop after the frame at work; those that wait are forgotten."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, JOIN_S)

    @property
    def hangs(self) -> bool:
        """Whether a frame is still being written, although this is closed."""
        return self._thread.is_alive()

    def _encode(self) -> None:
        done = time.perf_counter()
        while (frame := self._queue.get()) is not None and self._failure is None:
            started = time.perf_counter()
            self.busy.waiting_s += started - done
            try:
                self._write(frame.image, frame.pts, frame.duration)
                self.written += 1
            except Exception as error:  # carried to whoever sends
                self._failure = error
            done = time.perf_counter()
            self.busy.working_s += done - started
            _on(self._loop, self._changed.set)


def _on(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *args: object) -> None:
    """From a thread that may have hung for longer than the loop has lived."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *args)
