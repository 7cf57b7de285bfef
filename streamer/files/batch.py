"""command line → **batch** → job, transcode, photo: all inputs, one after the other, one ring."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from streamer import ending, temporary
from streamer.errors import MediaError, StreamerError, UsageError
from streamer.files.inputs import PIPE, SPOOLED, Item, items
from streamer.files.job import TranscodeJob, TranscodeOptions, name_models, prepare
from streamer.files.report import Reporter, Summary, reporter
from streamer.files.transcode import Result, transcode
from streamer.frame import Style
from streamer.look import DEFAULT_TONE, TONES
from streamer.photo import WRITES, read_photo, suffix_of, write_photo
from streamer.ring.ring import Ring
from streamer.ring.setup import Setup, resolve
from streamer.ring.start import ring_of
from streamer.styles.catalogue import Catalogue

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What the command line was given; `transcode` says how each video is done."""

    inputs: tuple[str, ...]
    output: str | None = None
    style: str | None = None
    strength: float = 1.0
    preserve_color: bool = False
    tone: float = TONES[DEFAULT_TONE]
    transcode: TranscodeOptions = field(default_factory=TranscodeOptions)
    preview: Path | None = None
    keep_location: bool = False
    setup: Setup = field(default_factory=lambda: resolve("auto", None, None, None))
    ray_address: str | None = None
    as_json: bool = False
    dry_run: bool = False


def run(options: BatchOptions) -> int:
    """Do all of it; returns the exit code. Raises StreamerError when none of it can be done."""
    if options.preview is not None:
        check_photo_target(options.preview)  # before a pipe is read
    catalogue = Catalogue.load()
    blend = catalogue.parse(options.style or catalogue.default)
    style = Style(blend, options.strength, options.preserve_color, tone=options.tone)
    with _pipes(options) as pipes:
        unreadable: list[OSError] = []
        found = items(pipes.inputs, pipes.output, style, list(catalogue), unreadable=unreadable)
        if options.preview is not None:
            check_preview(options.preview, found)
        reports = reporter(options.as_json, pipes.gives, pipes.names(found))
        with contextlib.closing(reports):
            code = ending.run(_Batch(options, catalogue, style, reports).run(found, unreadable))
        pipes.give(found)
        return code


@dataclass(slots=True)
class _Batch:
    options: BatchOptions
    catalogue: Catalogue
    style: Style
    reports: Reporter
    summary: Summary = field(default_factory=Summary)

    async def run(self, found: list[Item], unreadable: list[OSError]) -> int:
        """Returns the exit code. One file's or folder's failure does not stop the others."""
        for error in unreadable:
            folder = Path(error.filename)
            self._failed(Item(folder, folder, False), _media_error(error, folder))
        try:
            return await self._run(found)
        except asyncio.CancelledError:
            self.reports.note("stopped; the same command with --resume continues")
            raise

    async def _run(self, found: list[Item]) -> int:
        wanted = self.options.transcode
        if wanted.resume and not wanted.overwrite:
            found = [item for item in found if not self._is_done(item)]
        todo = [
            (item, job)
            for item in found
            if not isinstance(job := await self._prepare(item), StreamerError)
        ]
        if self.options.dry_run:
            for item, job in todo:
                self._report_plan(item, job)
        elif todo:
            async with self._ring() as ring:
                for item, job in todo:
                    await self._stylize(item, job, ring)
        if self.summary.total > 1 and not self.options.dry_run:
            self.reports.summary(self.summary)
        return self.summary.exit_code

    def _is_done(self, item: Item) -> bool:
        """By a run before: results appear only when they are complete."""
        if not item.target.exists():
            return False
        self.summary.skipped += 1
        self.reports.skipped(item.source, item.target)
        return True

    def _failed(self, item: Item, error: StreamerError) -> StreamerError:
        """Says which file it is, also where the error is of its folder, the disk or the ring."""
        named = str(error).startswith((*_heads(item.source), *_heads(item.target)))
        message = str(error) if named else f"{item.source}: {error}"
        self.summary.failed.append((message, error))
        self.reports.failed(item.source, message)
        return error

    async def _prepare(self, item: Item) -> TranscodeJob | StreamerError | None:
        """The job; None for a photo; the failure, already reported."""
        wanted = self.options.transcode
        try:
            if item.is_photo:
                check_photo(item.source, item.target, wanted.overwrite)
                return None
            wanted = dataclasses.replace(wanted, style=self.style, models=self._models)
            return await asyncio.to_thread(prepare, item.source, item.target, wanted)
        except StreamerError as error:
            return self._failed(item, error)
        except OSError as error:  # in a folder that one may not look into
            return self._failed(item, _media_error(error, error.filename or item.source))

    async def _stylize(self, item: Item, job: TranscodeJob | None, ring: Ring) -> None:
        self.reports.begin(item.source, item.target)
        started = time.monotonic()
        try:
            make_folder(item.target.parent)
            if job is None:
                keep = self.options.keep_location
                notes = await stylize_photo(
                    item.source,
                    item.target,
                    self.style,
                    ring,
                    height_px=self.options.transcode.height_px,
                    keep_location=keep,
                )
                result = Result(item.target, 1, 0, time.monotonic() - started, 0, notes)
            else:
                preview = self.options.preview
                result = await transcode(
                    job, ring.open(live=False), self.reports.progress, preview=preview
                )
        except StreamerError as error:
            self._failed(item, error)
            return
        except Exception as error:
            log.debug("%s broke", item.source, exc_info=True)
            self._failed(item, StreamerError(f"{item.source}: internal error: {error!r}"))
            return
        for note in result.notes:
            self.reports.note(note)
        self.reports.done(result)
        self.summary.done += 1

    @property
    def _models(self) -> str:
        return name_models(self.catalogue, self.style, self.options.setup.backend)

    def _ring(self) -> Ring:
        address = self.options.ray_address
        return ring_of(self.options.setup, self.catalogue, self.style, address=address)

    def _report_plan(self, item: Item, job: TranscodeJob | None) -> None:
        self.reports.begin(item.source, item.target)
        if job is None:
            self.reports.note(f"a photo, becomes {item.target}")
            return
        shape = f"{job.video.width}x{job.video.height}, {job.total or 'unknown'} frames"
        encoding = job.plan.encoding
        how = f"becomes {item.target}, {encoding.codec} by {encoding.encoder}"
        for note in (shape, how, *job.notes):
            self.reports.note(note)


async def stylize_photo(
    source: Path,
    target: Path,
    style: Style,
    ring: Ring,
    *,
    height_px: int | None = None,
    keep_location: bool = False,
) -> tuple[str, ...]:
    """Write `target`, replacing what is there; returns notes. Raises StreamerError."""
    photo = await asyncio.to_thread(read_photo, source, keep_location=keep_location)
    image = await ring.stylize(photo.image, style, height_px)
    photo = dataclasses.replace(photo, image=image)
    return *photo.notes, *await asyncio.to_thread(write_photo, target, photo)


def check_photo(source: Path, target: Path, overwrite: bool) -> None:
    """Raises UsageError when it cannot be done at all."""
    if not source.exists():
        raise UsageError(f"{source}: no such file")
    check_photo_target(target)
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already; --overwrite replaces it")


def check_photo_target(target: Path) -> None:
    """Raises UsageError for a suffix that photos are not written with."""
    if target.suffix.lower() not in WRITES:
        raise UsageError(f"{target}: photos can be written as {' '.join(WRITES)}")


def check_preview(preview: Path, found: list[Item]) -> None:
    """Raises UsageError when it cannot be written, or would replace an input or a result.

    Another file may be there: it is the preview of a run before.
    """
    taken = {path.resolve() for item in found for path in (item.source, item.target)}
    if preview.resolve() in taken or any(_same(preview, item.source) for item in found):
        raise UsageError(f"{preview}: the preview would replace an input or a result")
    if preview.is_dir():
        raise UsageError(f"{preview}: the preview is a file, and this is a folder")
    folder, to_be_made = preview.parent, {item.target.parent.resolve() for item in found}
    if not folder.is_dir() and folder.resolve() not in to_be_made:
        raise UsageError(f"{folder}: no such folder")
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise UsageError(f"{folder}: the preview cannot be written here")


def _same(one: Path, other: Path) -> bool:
    """By another name, too: a link, or letters of another case."""
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return False


def make_folder(folder: Path) -> None:
    """Raises MediaError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _media_error(error, folder) from error


def _heads(path: Path) -> tuple[str, str]:
    """How messages about a file begin."""
    return f"{path}:", f"{path} "


def _media_error(error: OSError, where: Path | str) -> MediaError:
    return MediaError(f"{where}: {error.strerror}")


@dataclass(frozen=True, slots=True)
class _Pipes:
    """Inputs and output, with files in place of pipes: videos are read and written in any order."""

    inputs: tuple[str, ...]
    output: str | None
    takes: bool = False
    gives: bool = False
    home: Path | None = None  # of these files

    def names(self, found: list[Item]) -> dict[str, str]:
        """What these files are to the user. Raises UsageError when one pipe is for several."""
        if self.home is None:
            return {}
        if self.gives and len(found) > 1:
            raise UsageError(f"a pipe gives one output, and {len(found)} files would be written")
        ours = [item.source for item in found if self.takes]
        ours += [item.target for item in found if self.gives]
        return {str(self.home): str(self.home.parent)} | dict.fromkeys(map(str, ours), PIPE)

    def give(self, found: list[Item]) -> None:
        """Write what was made to standard output."""
        for target in [item.target for item in found if self.gives and item.target.exists()]:
            with target.open("rb") as file, contextlib.suppress(BrokenPipeError):
                shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.buffer.flush()


@contextlib.contextmanager
def _pipes(options: BatchOptions) -> Iterator[_Pipes]:
    """Raises UsageError."""
    takes = PIPE in options.inputs
    gives = options.output == PIPE or (takes and options.output is None)
    if not takes and not gives:
        yield _Pipes(options.inputs, options.output)
        return
    if len(options.inputs) > 1:
        raise UsageError("a pipe takes one input and gives one output")
    with temporary.folder("pipe") as home:
        inputs = (str(_spool(home / "stdin")),) if takes else options.inputs
        # A folder: the result gets the suffix that it has anywhere else.
        yield _Pipes(inputs, f"{home}{os.sep}" if gives else options.output, takes, gives, home)


def _spool(path: Path) -> Path:
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path.rename(path.with_suffix(suffix_of(path) or SPOOLED))
