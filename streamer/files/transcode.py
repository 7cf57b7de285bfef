"""job → **transcode** → mux: one video from beginning to end, with progress, resumable."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.colorimetry import IN_RING, Colorimetry, recoded
from streamer.errors import MediaError, StreamerError, UsageError
from streamer.files.checkpoint import FRAMES, Checkpoint, Segment, Segments, fresh, sync
from streamer.files.color import BT601, shape_of_result
from streamer.files.container import VideoInfo
from streamer.files.decode import Decoder
from streamer.files.job import TranscodeJob, fingerprint
from streamer.files.scene_statistics import SceneStatistics
from streamer.files.source_sink import FileSink, FileSource, depth_of
from streamer.frame import Image
from streamer.i420 import from_rgb, resize, to_rgb
from streamer.photo import Photo, write_photo
from streamer.pipeline import run as pipeline
from streamer.pipeline.smoother import Smoother
from streamer.ring.flow import Flow
from streamer.styles.model import is_painted

REPORT_S = 0.25
FROZEN_S = 300.0  # without any progress; longer than the ring tries a frame
Write = Callable[[Image, int, int], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a video is. `total` is what its file promises (0: unknown); `fps` is of this run."""

    frames: int
    total: int
    fps: float
    eta_s: float | None
    bottleneck: str  # decode, ring or encode


@dataclass(frozen=True, slots=True)
class Result:
    """A finished video."""

    target: Path
    frames: int
    resumed: int  # of these, done by runs before
    seconds: float
    damaged: int
    notes: tuple[str, ...]


async def transcode(
    job: TranscodeJob,
    flow: Flow,
    report: Callable[[Progress], None],
    *,
    preview: Path | None = None,
) -> Result:
    """Do the job; the first stylized frame is written to `preview`, a picture file, at once.

    When it fails or is cancelled, complete segments stay for `resume`. Raises StreamerError.
    """
    checkpoint = Checkpoint(job.target)
    started = time.monotonic()
    resumed = await asyncio.to_thread(_begin, job, checkpoint)
    try:
        decoder = await _encode(job, flow, checkpoint, report, preview)
        frames, damaged = await _assemble(job, checkpoint)
    except BaseException as error:
        kept = await asyncio.to_thread(checkpoint.settle)
        if kept and isinstance(error, StreamerError):
            raise type(error)(f"{error} (finished frames are kept: --resume continues)") from error
        raise
    notes = (*job.notes, *_afterthoughts(job, decoder, damaged))
    seconds = time.monotonic() - started
    return Result(job.target, frames, resumed, seconds, decoder.damaged, notes)


def _afterthoughts(job: TranscodeJob, decoder: Decoder, damaged_packets: int) -> Iterator[str]:
    if decoder.fits:
        size = f"{job.video.width}x{job.video.height}"
        yield f"the size of its frames changes: all are fitted into {size}"
    if decoder.deinterlaced:
        yield "deinterlaced: it has interlaced frames"
    if decoder.damaged:
        places = "one place" if decoder.damaged == 1 else f"{decoder.damaged} places"
        yield f"the video is damaged in {places}"
    if damaged_packets:
        yield f"{damaged_packets} damaged packets of other streams were left out"


def _begin(job: TranscodeJob, checkpoint: Checkpoint) -> int:
    """Start, or resume; returns how many frames are there already. Raises StreamerError."""
    wanted = fingerprint(job)
    begun = checkpoint.job()
    if begun is None or not (segments := checkpoint.segments()):
        checkpoint.begin(wanted)
        return 0
    if not job.options.resume:
        if job.options.overwrite:
            checkpoint.begin(wanted)
            return 0
        raise UsageError(
            f"{job.target} was started before: --resume continues, --overwrite starts again"
        )
    differing = sorted(key for key, value in wanted.items() if begun.get(key) != value)
    if differing:
        raise UsageError(
            f"{job.target} was started with another {', '.join(differing)}: "
            "--resume needs the same, --overwrite starts again"
        )
    return _count(segments)


async def _encode(
    job: TranscodeJob,
    flow: Flow,
    checkpoint: Checkpoint,
    report: Callable[[Progress], None],
    preview: Path | None,
) -> Decoder:
    options, video, plan = job.options, job.video, job.plan
    done = checkpoint.segments()
    smoother = Smoother(checkpoint.smooth(len(done) - 1))
    painted = is_painted(options.style)
    decoder = Decoder(
        video,
        plan.trim,
        deinterlace=options.deinterlace,
        after=done[-1].pts[-1] if done else None,
        device=job.device,
        colors=BT601 if painted else None,
    )
    depth = depth_of(video.width, video.height)
    statistics = SceneStatistics(options.style, FRAMES, checkpoint.statistics(len(done) - 1))
    segments = Segments(
        checkpoint,
        plan.encoding,
        len(done),
        smoother,
        options.smooth,
        statistics_after=statistics.state_after,
    )
    source = FileSource(
        decoder,
        video.time_base,
        options.style,
        statistics=statistics,
        height_px=options.height_px,
        depth=depth,
    )
    wanted = shape_of_result(video).as_image
    write: Write = segments.write
    if painted:
        write = _recoded(write, wanted)
    if preview is not None:
        write = _previewed(write, video, preview, IN_RING if painted else wanted)
    sink = FileSink(write, depth=depth)
    before = _count(done)
    try:
        async with _reporting(job, source, sink, before, report):
            with pipeline.ungrouped():
                await pipeline.run(source, flow, sink, on_stylized=statistics.on_stylized)
            await sink.finish()
        await asyncio.to_thread(segments.close)
        if _count(checkpoint.segments()) != before + sink.written:
            raise MediaError(f"{job.source}: frames got lost on their way to the disk")
    finally:
        flow.close()
        await source.close()
        await sink.close()
        if not sink.hangs:
            await asyncio.to_thread(segments.abandon)
    return decoder


def _recoded(write: Write, colorimetry: Colorimetry) -> Write:
    """`write` for images as the ring has them."""
    return lambda image, pts, duration: write(recoded(image, IN_RING, colorimetry), pts, duration)


def _previewed(write: Write, video: VideoInfo, preview: Path, colorimetry: Colorimetry) -> Write:
    """`write`, which also shows its first image as a player would."""
    waiting = [preview]

    def write_both(image: Image, pts: int, duration: int) -> None:
        if waiting:
            wide = round(image.width * (video.aspect or 1))
            seen = recoded(resize(image, wide, image.height), colorimetry, IN_RING)
            lying = np.flipud(to_rgb(seen)) if video.mirrored else to_rgb(seen)
            rgb = np.rot90(lying, video.rotation // 90)
            shown = from_rgb(np.ascontiguousarray(rgb))
            write_photo(waiting.pop(), Photo(shown, None, {}))
        write(image, pts, duration)

    return write_both


async def _assemble(job: TranscodeJob, checkpoint: Checkpoint) -> tuple[int, int]:
    """Returns how many frames the video has, and how many packets of other streams were bad."""
    segments = await asyncio.to_thread(checkpoint.segments)
    if not segments:
        raise UsageError(f"{job.source}: there is no frame between --start and --end")
    target, unfinished = job.target, fresh(checkpoint.unfinished)
    damaged = await _in_thread(
        lambda stop: job.plan.write(segments, unfinished, stop),
        lambda: unfinished.stat().st_size if unfinished.exists() else 0,
        job,
    )
    if target.exists() and not job.options.overwrite:
        raise UsageError(f"{target} exists already; --overwrite replaces it")
    try:
        await asyncio.to_thread(sync, unfinished)
        if unfinished.stat().st_size == 0:
            raise MediaError(f"{target}: nothing of it was written")
        unfinished.replace(target)
    except OSError as error:
        raise MediaError(f"{target}: {error.strerror}") from error
    await asyncio.to_thread(checkpoint.clear)
    return _count(segments), damaged


async def _in_thread(
    work: Callable[[threading.Event], int], progress: Callable[[], int], job: TranscodeJob
) -> int:
    """The result of `work`, which is asked to stop, and waited for, when we are cancelled.

    Raises MediaError when its `progress` does not change any more.
    """
    stop = threading.Event()
    task = asyncio.create_task(asyncio.to_thread(work, stop))
    seen, moved_at = progress(), time.monotonic()
    try:
        while not (await asyncio.wait([task], timeout=REPORT_S))[0]:
            now, before = time.monotonic(), seen
            if before != (seen := progress()):
                moved_at = now
            elif now - moved_at > FROZEN_S:
                stop.set()
                raise _frozen(job)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        raise
    return task.result()


def _frozen(job: TranscodeJob) -> MediaError:
    return MediaError(f"{job.source}: nothing has moved for {FROZEN_S:g} s, so it is given up")


def _count(segments: list[Segment]) -> int:
    return sum(len(segment.pts) for segment in segments)


@contextlib.asynccontextmanager
async def _reporting(
    job: TranscodeJob,
    source: FileSource,
    sink: FileSink,
    before: int,
    report: Callable[[Progress], None],
) -> AsyncIterator[None]:
    started = time.monotonic()

    def report_now() -> None:
        report(_progress(job, source, sink, before, time.monotonic() - started))

    async def keep_reporting() -> None:
        moved: tuple[float, int] | None = None
        while True:
            if moved != (moved := (source.busy.working_s, sink.written)):
                patience.reschedule(asyncio.get_running_loop().time() + FROZEN_S)
            await asyncio.sleep(REPORT_S)
            report_now()

    try:
        with pipeline.ungrouped():
            async with asyncio.timeout(None) as patience, asyncio.TaskGroup() as tasks:
                reporting = tasks.create_task(keep_reporting())
                yield
                reporting.cancel()
    except TimeoutError:
        raise _frozen(job) from None
    report_now()


def _progress(
    job: TranscodeJob, source: FileSource, sink: FileSink, before: int, elapsed_s: float
) -> Progress:
    frames = before + sink.written
    fps = sink.written / elapsed_s if elapsed_s > 0 else 0.0
    total = max(job.total, frames) if job.total else 0
    eta_s = (total - frames) / fps if total and fps else None
    return Progress(
        frames, total, fps, eta_s, bottleneck(source.busy.utilization, sink.busy.utilization)
    )


def bottleneck(decoding: float, encoding: float) -> str:
    """The stage that never waits for another, from the parts of the time two of them work."""
    if max(decoding, encoding) < 0.9:
        return "ring"
    return "decode" if decoding > encoding else "encode"
