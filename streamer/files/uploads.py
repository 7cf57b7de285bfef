"""page → **film_jobs** → film.

Films that were uploaded: one is stylized at a time, a few wait, results are kept for a while.
All of them lie in one temporary folder that goes when the server stops.
"""

import asyncio
import contextlib
import logging
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from streamer.errors import MediaError, ServerFullError, StreamerError, UsageError
from streamer.files.inputs import CHANGED, KEPT, label
from streamer.files.job import Order, prepare
from streamer.files.transcode import Progress, transcode
from streamer.frame import Style
from streamer.ring.flow import Flow

log = logging.getLogger(__name__)

JOBS = 8  # uploading, waiting, stylizing and finished ones together
KEPT_S = 3600.0  # a result nobody fetches is removed after this
SPARE_BYTES = 1 << 30  # of the disk that is left alone

State = Literal["uploading", "waiting", "stylizing", "done", "failed"]


@dataclass(slots=True, eq=False)
class FilmJob:
    """One film from its upload to its removal."""

    name: str  # as the person called the file
    style: Style
    folder: Path
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "uploading"
    progress: Progress = field(default_factory=lambda: Progress(0, 0, 0.0, None, "ring"))
    message: str = ""
    finished_at: float = 0.0  # monotonic
    task: asyncio.Task[None] | None = None

    @property
    def source(self) -> Path:
        """The film as it was sent."""
        return self.folder / f"film{Path(self.name).suffix.lower()}"

    @property
    def target(self) -> Path:
        """The stylized one; an MP4 plays everywhere."""
        return self.folder / "stylized.mp4"

    @property
    def result_name(self) -> str:
        """What the stylized one is called where it is saved."""
        return f"{Path(self.name).stem}.{label(self.style)}.mp4"

    def as_dict(self) -> dict[str, object]:
        """As `GET /films/{id}` says it."""
        progress = self.progress
        return {
            "state": self.state,
            "frames": progress.frames,
            "total": progress.total,
            "fps": round(progress.fps, 1),
            "eta_s": None if progress.eta_s is None else round(progress.eta_s, 1),
            "message": self.message,
        }


class FilmJobs:
    """Every uploaded film; at most `JOBS`. Use `aclose` at the end."""

    def __init__(self, open_lane: Callable[[], Flow]) -> None:
        self._open_flow = open_lane
        self._home: Path | None = None
        self._jobs: dict[str, FilmJob] = {}
        self._turn = asyncio.Semaphore(1)

    async def upload(self, name: str, style: Style, body: AsyncIterable[bytes]) -> FilmJob:
        """Take a film in and have it stylized.

        Raises ServerFullError, UsageError for a file that is no film by its name, and MediaError
        when the disk is full; whatever stops the upload leaves nothing behind.
        """
        if Path(name).suffix.lower() not in KEPT | CHANGED.keys():
            raise UsageError(f"{name} is no film by its name: {' '.join(sorted(KEPT))} are")
        self._forget_old()
        if len(self._jobs) >= JOBS:
            raise ServerFullError(f"{JOBS} films are here already; remove one, or try again later")
        job = FilmJob(name, style, Path(tempfile.mkdtemp(dir=self._folder())))
        self._jobs[job.id] = job
        try:
            await self._receive(job, body)
        except BaseException:
            await self.remove(job.id)
            raise
        job.state = "waiting"
        job.task = asyncio.create_task(self._stylize(job))
        return job

    def find(self, job_id: str) -> FilmJob | None:
        """The film of that id, if it is still here."""
        self._forget_old()
        return self._jobs.get(job_id)

    async def remove(self, job_id: str) -> bool:
        """Stop it, wherever it is, and delete its files; False when there is none."""
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
            shutil.rmtree(self._home, ignore_errors=True)

    def _folder(self) -> Path:
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="streamer-films-"))
        return self._home

    def _forget_old(self) -> None:
        now = time.monotonic()
        for job in list(self._jobs.values()):
            if job.finished_at and now - job.finished_at > KEPT_S:
                del self._jobs[job.id]
                shutil.rmtree(job.folder, ignore_errors=True)

    async def _receive(self, job: FilmJob, body: AsyncIterable[bytes]) -> None:
        with job.source.open("wb") as file:
            async for part in body:
                await asyncio.to_thread(_write, file, part)

    async def _stylize(self, job: FilmJob) -> None:
        try:
            async with self._turn:
                job.state = "stylizing"
                await self._run(job)
            job.state = "done"
        except StreamerError as error:
            job.state, job.message = "failed", _for_the_page(job, str(error))
        except Exception:
            log.exception("x film %s broke", job.id[:6])
            job.state, job.message = "failed", "the server made a mistake; its log tells which"
        finally:
            job.finished_at = time.monotonic()
            with contextlib.suppress(OSError):
                job.source.unlink()

    async def _run(self, job: FilmJob) -> None:
        def report(progress: Progress) -> None:
            job.progress = progress

        order = Order(job.source, job.target, job.style)
        prepared = await asyncio.to_thread(prepare, order)
        result = await transcode(prepared, self._open_flow(), report)
        job.message = "; ".join(result.notes)


def _write(file: BinaryIO, part: bytes) -> None:
    try:
        if shutil.disk_usage(file.name).free < SPARE_BYTES + len(part):
            raise MediaError("the server's disk is full; send a shorter film")
        file.write(part)
    except OSError as error:
        raise MediaError(f"the film cannot be kept: {error.strerror}") from None


def _for_the_page(job: FilmJob, message: str) -> str:
    """Without the server's paths and the command line's flags."""
    for path in (job.source, job.target):
        message = message.replace(str(path), job.name)
    return message.partition(" (what is done is kept")[0]
