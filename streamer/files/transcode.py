"""source → **film** → file.

One film from beginning to end.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import MediaError, StreamerError, UsageError
from streamer.files.checkpoint import Checkpoint, Segment
from streamer.files.decode import Decoder
from streamer.files.job import Job, identity
from streamer.files.segments import Segments
from streamer.files.source_sink import FileSink, FileSource, depth_of
from streamer.pipeline import run as pipeline
from streamer.pipeline.smoother import Smoother
from streamer.ring.flow import Flow

REPORT_S = 0.25


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a film is. `total` is what the file promises (0: nothing); `fps` is of this run."""

    frames: int
    total: int
    fps: float
    eta_s: float | None
    bottleneck: str  # decode, ring or encode


@dataclass(frozen=True, slots=True)
class Result:
    """A finished film."""

    target: Path
    frames: int
    resumed: int  # of these, done by runs before
    seconds: float
    damaged: int
    notes: tuple[str, ...]


async def transcode(job: Job, flow: Flow, report: Callable[[Progress], None]) -> Result:
    """Do the job. What is whole when it fails or is cancelled stays for `resume`."""
    checkpoint = Checkpoint(job.order.target)
    started = time.monotonic()
    resumed = await asyncio.to_thread(_begin, job, checkpoint)
    try:
        decoder = await _encode(job, flow, checkpoint, report)
        frames, damaged = await _assemble(job, checkpoint)
    except BaseException as error:
        kept = await asyncio.to_thread(checkpoint.settle)
        if kept and isinstance(error, StreamerError):
            raise type(error)(f"{error} (what is done is kept: --resume goes on)") from error
        raise
    notes = (*job.notes, *_afterthoughts(decoder, damaged))
    seconds = time.monotonic() - started
    return Result(job.order.target, frames, resumed, seconds, decoder.damaged, notes)


def _afterthoughts(decoder: Decoder, damaged_packets: int) -> Iterator[str]:
    if decoder.deinterlaced:
        yield "it was interlaced: fields were made into whole pictures"
    if decoder.damaged:
        yield f"{decoder.damaged} damaged stretches of the picture were skipped"
    if damaged_packets:
        yield f"{damaged_packets} damaged packets of other streams were skipped"


def _begin(job: Job, checkpoint: Checkpoint) -> int:
    """Begin or take up again; returns how many frames are there. Raises StreamerError."""
    wanted = identity(job)
    begun = checkpoint.job()
    if begun is None or not (segments := checkpoint.segments()):
        checkpoint.begin(wanted)
        return 0
    if not job.order.resume:
        if job.order.overwrite:
            checkpoint.begin(wanted)
            return 0
        raise UsageError(
            f"{job.order.target} was begun before: --resume goes on, --overwrite starts anew"
        )
    differing = sorted(key for key, value in wanted.items() if begun.get(key) != value)
    if differing:
        raise UsageError(
            f"{job.order.target} was begun with another {', '.join(differing)}: "
            "--resume needs the same, --overwrite starts anew"
        )
    return _count(segments)


async def _encode(
    job: Job, flow: Flow, checkpoint: Checkpoint, report: Callable[[Progress], None]
) -> Decoder:
    order, film, assembly = job.order, job.film, job.assembly
    done = checkpoint.segments()
    smoother = Smoother(checkpoint.smooth(len(done) - 1))
    decoder = Decoder(
        film,
        assembly.cut,
        deinterlace=order.deinterlace,
        after=done[-1].pts[-1] if done else None,
    )
    depth = depth_of(film.width, film.height)
    segments = Segments(checkpoint, assembly.encoding, len(done), smoother, order.smooth)
    source = FileSource(
        decoder, film.time_base, order.style, height_px=order.height_px, depth=depth
    )
    sink = FileSink(segments.write, depth=depth)
    before = _count(done)
    try:
        async with _reporting(job, source, sink, before, report):
            with _plainly():
                await pipeline.run(source, flow, sink)
            await sink.finish()
        await asyncio.to_thread(segments.close)
    finally:
        flow.close()
        await source.close()
        await sink.close()
        await asyncio.to_thread(segments.abandon)
    return decoder


async def _assemble(job: Job, checkpoint: Checkpoint) -> tuple[int, int]:
    """Returns how many frames the film has, and how many packets of other streams were bad."""
    segments = await asyncio.to_thread(checkpoint.segments)
    if not segments:
        raise UsageError(f"{job.order.source}: no frame lies between --start and --end")
    target, unfinished = job.order.target, checkpoint.unfinished
    damaged = await _in_thread(lambda stop: job.assembly.write(segments, unfinished, stop))
    if target.exists() and not job.order.overwrite:
        raise UsageError(f"{target} appeared meanwhile; --overwrite replaces it")
    try:
        unfinished.replace(target)
    except OSError as error:
        raise MediaError(f"{target}: {error.strerror}") from error
    await asyncio.to_thread(checkpoint.clear)
    return _count(segments), damaged


async def _in_thread(work: Callable[[threading.Event], int]) -> int:
    """The result of `work`, which is asked to stop, and waited for, when we are cancelled."""
    stop = threading.Event()
    task = asyncio.create_task(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        raise


def _count(segments: list[Segment]) -> int:
    return sum(len(segment.pts) for segment in segments)


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """A group of failures is told by its first."""
    try:
        yield
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from group


@contextlib.asynccontextmanager
async def _reporting(
    job: Job, source: FileSource, sink: FileSink, before: int, report: Callable[[Progress], None]
) -> AsyncIterator[None]:
    started = time.monotonic()

    def tell() -> None:
        report(_progress(job, source, sink, before, time.monotonic() - started))

    async def keep_telling() -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            tell()

    task = asyncio.create_task(keep_telling())
    try:
        yield
    finally:
        task.cancel()
    tell()


def _progress(
    job: Job, source: FileSource, sink: FileSink, before: int, elapsed_s: float
) -> Progress:
    frames = before + sink.written
    fps = sink.written / elapsed_s if elapsed_s > 0 else 0.0
    total = max(job.total, frames) if job.total else 0
    eta_s = (total - frames) / fps if total and fps else None
    return Progress(frames, total, fps, eta_s, bottleneck(source.busy.share, sink.busy.share))


def bottleneck(decoding: float, encoding: float) -> str:
    """The stage that never waits for another, from the parts of the time two of them work."""
    if max(decoding, encoding) < 0.9:
        return "ring"
    return "decode" if decoding > encoding else "encode"
