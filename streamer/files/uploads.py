"""server → **uploads** → apart.

Of the uploaded videos one is stylized at a time, a few wait, and results are kept for an hour.
All files are in one temporary folder, which is deleted when the server stops.
"""

import asyncio
import logging
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from streamer import temporary
from streamer.errors import MediaError, ServerFullError, StreamerError, UsageError
from streamer.files.apart import transcode_apart
from streamer.files.inputs import CHANGED, KEPT, label
from streamer.files.job import TranscodeOptions
from streamer.files.transcode import Progress
from streamer.frame import Style
from streamer.ring.flow import Flow

log = logging.getLogger(__name__)

JOBS = 8  # uploading, waiting, stylizing and finished ones together
KEPT_S = 3600.0  # then a result is deleted
SPARE_BYTES = 1 << 30  # of the disk that stay free

State = Literal["uploading", "waiting", "stylizing", "done", "failed"]


@dataclass(slots=True, eq=False)
class VideoJob:
    """One video from its upload to its removal."""

    name: str  # the file name on the user's machine
    style: Style
    height_px: int | None
    folder: Path
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "uploading"
    progress: Progress = field(default_factory=lambda: Progress(0, 0, 0.0, None, "ring"))
    message: str = ""
    task: asyncio.Task[None] | None = None

    @property
    def source(self) -> Path:
        """The video as it was uploaded."""
        return self.folder / f"video{Path(self.name).suffix.lower()}"

    @property
    def target(self) -> Path:
        """The stylized video; MP4 plays everywhere."""
        return self.folder / "stylized.mp4"

    @property
    def preview(self) -> Path:
        """Its first stylized frame, which is there long before the video."""
        return self.folder / "preview.jpg"

    @property
    def result_name(self) -> str:
        """The file name that the result is saved under."""
        return f"{Path(self.name).stem}.{label(self.style)}.mp4"

    def as_dict(self) -> dict[str, object]:
        """As `GET /videos/{id}` says it."""
        progress = self.progress
        return {
            "state": self.state,
            "frames": progress.frames,
            "total": progress.total,
            "fps": round(progress.fps, 1),
            "eta_s": None if progress.eta_s is None else round(progress.eta_s, 1),
            "message": self.message,
        }


class VideoJobs:
    """Every uploaded video, at most `JOBS`. Call `aclose` at the end."""

    def __init__(self, open_flow: Callable[[], Flow], kept_s: float = KEPT_S) -> None:
        self._open_flow = open_flow
        self._kept_s = kept_s
        self._home: Path | None = None
        self._jobs: dict[str, VideoJob] = {}
        self._turn = asyncio.Semaphore(1)

    async def upload(
        self,
        name: str,
        style: Style,
        body: AsyncIterable[bytes],
        *,
        height_px: int | None = None,
    ) -> VideoJob:
        """Store a video and queue it, to be stylized at this height or its own.

        Raises ServerFullError, UsageError for an unsupported file type, MediaError when the disk
        is full. An upload that fails leaves nothing behind.
        """
        if Path(name).suffix.lower() not in KEPT | CHANGED.keys():
            raise UsageError(f"{name}: unsupported file type; send {' '.join(sorted(KEPT))}")
        if len(self._jobs) >= JOBS:
            raise ServerFullError(f"{JOBS} videos are here already; remove one or try again later")
        job = VideoJob(name, style, height_px, await asyncio.to_thread(self._new_folder))
        self._jobs[job.id] = job
        try:
            await self._receive(job, body)
        except BaseException:
            await self.remove(job.id)
            raise
        job.state = "waiting"
        job.task = asyncio.create_task(self._run(job))
        return job

    def find(self, job_id: str) -> VideoJob | None:
        return self._jobs.get(job_id)

    async def remove(self, job_id: str) -> bool:
        """Stop it, whatever its state, and delete its files; False when there is none."""
        job = self._jobs.pop(job_id, None)
        if job is None:
            return False
        if job.task is not None:
            job.task.cancel()
            await asyncio.wait([job.task])
        await asyncio.to_thread(shutil.rmtree, job.folder, ignore_errors=True)
        return True

    async def aclose(self) -> None:
        """Stop everything and delete every file."""
        for job_id in list(self._jobs):
            await self.remove(job_id)
        if self._home is not None:
            await asyncio.to_thread(temporary.remove, self._home)

    def _new_folder(self) -> Path:
        if self._home is None:
            self._home = temporary.new_folder("videos")
        return Path(tempfile.mkdtemp(dir=self._home))

    async def _receive(self, job: VideoJob, body: AsyncIterable[bytes]) -> None:
        with job.source.open("wb") as file:
            async for part in body:
                await asyncio.to_thread(_write, file, part)

    async def _run(self, job: VideoJob) -> None:
        """From the queue to the end of the time for which the result is kept."""
        await self._finish(job)
        await asyncio.sleep(self._kept_s)
        self._jobs.pop(job.id, None)
        await asyncio.to_thread(shutil.rmtree, job.folder, ignore_errors=True)

    async def _finish(self, job: VideoJob) -> None:
        try:
            async with self._turn:
                job.state = "stylizing"
                try:
                    await self._stylize(job)
                finally:
                    await asyncio.to_thread(job.source.unlink, missing_ok=True)
            job.state = "done"
        except StreamerError as error:
            job.state, job.message = "failed", _public(job, str(error))
        except Exception:
            log.exception("video %s failed", job.id[:6])
            job.state, job.message = "failed", "internal error; see the server log"

    async def _stylize(self, job: VideoJob) -> None:
        def report(progress: Progress) -> None:
            job.progress = progress

        options = TranscodeOptions(job.style, height_px=job.height_px)
        notes = await transcode_apart(
            job.source,
            job.target,
            options,
            self._open_flow(),
            report=report,
            preview=job.preview,
        )
        job.message = "; ".join(notes)


def _write(file: BinaryIO, part: bytes) -> None:
    try:
        if shutil.disk_usage(file.name).free < SPARE_BYTES + len(part):
            raise MediaError("the server's disk is full; send a shorter video")
        file.write(part)
    except OSError as error:
        raise MediaError(f"the video cannot be stored: {error.strerror}") from None


def _public(job: VideoJob, message: str) -> str:
    """Without the server's paths and the command line's flags."""
    for path in (job.source, job.target, job.folder):
        message = message.replace(str(path), job.name)
    return message.partition(" (what is done is kept")[0]
