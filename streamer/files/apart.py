"""uploads → **apart** → job, transcode: a stranger's video in a process that can be ended.

All that reads the file runs there: probing, decoding, encoding, muxing. Only images come out, over
the channel that the ring has to its workers, and go back stylized.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Self

from streamer import bounded
from streamer.bounded import Bounded, EndedError, Limits
from streamer.errors import MediaError
from streamer.files.job import TranscodeOptions, prepare
from streamer.files.source_sink import depth_of
from streamer.files.transcode import Progress, transcode
from streamer.frame import Frame
from streamer.ring.channel import Request, Response, RingEnd, WorkerEnd
from streamer.ring.flow import Completion, Flow, InFlight

# A frame of 8K takes 5 s at most to decode and encode, and 40 of them 4.6 GiB, which 4 GiB refused.
LIMITS: Final = Limits(cpu_s=60.0, memory_bytes=6 << 30)
Report = Callable[[Progress], None]


async def transcode_apart(
    source: Path,
    target: Path,
    options: TranscodeOptions,
    flow: Flow,
    *,
    report: Report,
    preview: Path,
) -> tuple[str, ...]:
    """`prepare` and `transcode` in a process of their own; returns notes. Raises StreamerError."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = Bounded(LIMITS, fds=(theirs.fileno(),))
        arguments = theirs.fileno(), source, target, options, preview
        process.start()  # not in a thread: were we cancelled meanwhile, nobody would end it
    with ThreadPoolExecutor(2, "film") as threads, Connection(ours.detach()) as connection:
        calling = asyncio.get_running_loop().run_in_executor(
            threads, lambda: process.call(_transcode, *arguments)
        )
        carrier = _Carrier(WorkerEnd(connection), flow, report)
        carrying = asyncio.create_task(carrier.run(threads))
        both: set[asyncio.Future[Any]] = {calling, carrying}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if carrying.done():
                carrying.result()  # the ring failed
            return await calling
        except EndedError as error:
            raise MediaError(f"{source} is refused: {error}") from None
        finally:
            flow.close()
            carrying.cancel()
            await asyncio.to_thread(process.close)
            await asyncio.gather(*both, return_exceptions=True)


class _Carrier:
    """Takes images from the process to the ring and back, in order."""

    def __init__(self, end: WorkerEnd, flow: Flow, report: Report) -> None:
        self._end = end
        self._flow = flow
        self._report = report
        self._asked: asyncio.Queue[tuple[Request, Any]] = asyncio.Queue()

    async def run(self, threads: ThreadPoolExecutor) -> None:
        """Until it is cancelled, or the process ends. Raises StreamerError when the ring fails."""
        loop = asyncio.get_running_loop()
        receiving = loop.run_in_executor(threads, self._receive, loop)
        working = [asyncio.create_task(self._submit()), asyncio.create_task(self._respond())]
        try:
            done, _ = await asyncio.wait({receiving, *working}, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            for one in working:
                one.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    def _receive(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: the process gets the processor last, also in the middle of a message."""
        with contextlib.suppress(EOFError, OSError, RuntimeError):  # it ended; `call` knows why
            while True:
                loop.call_soon_threadsafe(self._take, self._end.receive())

    def _take(self, message: Any) -> None:
        if isinstance(message, Progress):
            self._report(message)
        else:
            self._asked.put_nowait(message)

    async def _submit(self) -> None:
        while True:
            request, image = await self._asked.get()
            frame = Frame(
                image, 0, Fraction(1), time.monotonic(), request.style, request.height_px,
                orders=request.orders,
            )  # fmt: skip
            await self._flow.submit(lambda frame=frame: frame)  # type: ignore[misc]

    async def _respond(self) -> None:
        done: dict[int, Completion] = {}
        next_seq = 0
        while True:
            completion = await self._flow.result(None)
            assert completion is not None  # this flow never ends by itself
            done[completion.seq] = completion
            while (ready := done.pop(next_seq, None)) is not None:
                next_seq += 1
                self._flow.advance(next_seq)
                assert ready.frame is not None  # nor does it give up a frame
                frame = ready.frame
                response = Response(ready.inference_s, frame.image, frame.measured, frame.height_px)
                with contextlib.suppress(OSError):
                    self._end.respond(response)


# --- what runs in the other process -----------------------------------------------------------


def _transcode(
    fd: int, source: Path, target: Path, options: TranscodeOptions, preview: Path
) -> tuple[str, ...]:
    with contextlib.ExitStack() as stack:
        plug = stack.enter_context(socket.socket(fileno=fd))
        job = prepare(source, target, options)
        depth = depth_of(job.video.width, job.video.height)
        end = stack.enter_context(contextlib.closing(RingEnd(plug, depth)))

        async def run() -> tuple[str, ...]:
            upstream = _Upstream(end)
            asyncio.get_running_loop().add_reader(end.fileno(), upstream.receive)
            flow = Flow(live=False, window=depth, reserve=upstream.reserve)
            return (await transcode(job, flow, end.tell, preview=preview)).notes

        return asyncio.run(run())


class _Upstream:
    """The way to the ring, as a worker that has room for every frame of the flow's window."""

    def __init__(self, end: RingEnd) -> None:
        self._end = end
        self._sent: deque[InFlight] = deque()

    async def reserve(self, flow: Flow) -> Self:
        return self

    def release(self) -> None:
        pass

    def send(self, frame: InFlight) -> None:
        bounded.progress()
        self._sent.append(frame)
        asked = frame.frame
        self._end.send(asked.image, Request.of(asked))

    def receive(self) -> None:
        """The channel is readable."""
        try:
            response = self._end.receive()
        except (EOFError, OSError):
            os._exit(1)  # nobody is there any more
        assert response.image is not None  # what failed ends this process
        asked = self._sent.popleft()
        frame = replace(
            asked.frame,
            image=response.image,
            height_px=response.height_px,
            measured=response.measured,
            service_s=response.inference_s,
        )
        now = time.monotonic()
        asked.flow.complete(Completion(asked.seq, frame, now, inference_s=response.inference_s))
