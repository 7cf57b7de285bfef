"""command line → **batch** → film, still.

Everything that was given, one after the other, through one ring.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from streamer.engine.backend import Backend
from streamer.errors import StreamerError, UsageError
from streamer.files.inputs import PIPE, Item, items
from streamer.files.job import Job, Order, prepare
from streamer.files.report import Reporter, reporter
from streamer.files.transcode import transcode
from streamer.frame import Style
from streamer.photo import FORMATS, Photo, read_photo, write_photo
from streamer.ring.ring import Ring
from streamer.ring.setup import resolve
from streamer.ring.start import ring_of
from streamer.styles.catalogue import Catalogue
from streamer.styles.model import NONE

INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line was told."""

    inputs: tuple[str, ...]
    output: str | None = None
    style: str | None = None
    strength: float = 1.0
    preserve_color: bool = False
    smooth: float = 0.0
    height_px: int | None = None
    start_s: Fraction | None = None
    end_s: Fraction | None = None
    codec: str | None = None
    crf: int | None = None
    encoder: str = "auto"
    deinterlace: bool = True
    backend: Backend = "onnx"
    workers: int | None = None
    threads: int = 1
    gpus: int = 0
    ray_address: str | None = None
    overwrite: bool = False
    resume: bool = False
    as_json: bool = False
    dry_run: bool = False


def run(wish: Wish) -> int:
    """Do all of it; returns the exit code. Raises StreamerError when none of it can be done."""
    catalogue = Catalogue.load()
    blend = catalogue.parse(wish.style or catalogue.default)
    style = Style(blend, wish.strength, wish.preserve_color)
    with _pipes(wish) as (inputs, output):
        made = items(inputs, output, style)
        telling = reporter(wish.as_json, wish.output == PIPE)
        with contextlib.closing(telling):
            try:
                return asyncio.run(_Batch(wish, catalogue, style, telling).run(made))
            except (KeyboardInterrupt, asyncio.CancelledError):
                telling.note("stopped; the same command with --resume goes on")
                return INTERRUPTED


@dataclass(frozen=True, slots=True)
class _Batch:
    wish: Wish
    catalogue: Catalogue
    style: Style
    telling: Reporter

    async def run(self, made: list[Item]) -> int:
        """Returns the exit code. A file that cannot be done does not keep the others from it."""
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        outcomes = [await self._prepare(item) for item in made]
        todo = [
            (item, outcome)
            for item, outcome in zip(made, outcomes, strict=True)
            if not isinstance(outcome, StreamerError)
        ]
        failures = [outcome for outcome in outcomes if isinstance(outcome, StreamerError)]
        if self.wish.dry_run:
            for item, job in todo:
                self._tell_plan(item, job)
        elif todo:
            async with self._ring() as ring:
                failures += [
                    error for item, job in todo if (error := await self._do(item, job, ring))
                ]
        return _exit_code(failures, alone=len(made) == 1)

    async def _prepare(self, item: Item) -> Job | StreamerError | None:
        """The job; None for a photo; the failure, told already."""
        self.telling.begin(item.source, item.target)
        try:
            if item.is_photo:
                check_photo(item.source, item.target, self.wish.overwrite)
                return None
            return await asyncio.to_thread(prepare, self._order(item))
        except StreamerError as error:
            self.telling.failed(item.source, str(error))
            return error

    async def _do(self, item: Item, job: Job | None, ring: Ring) -> StreamerError | None:
        """Returns the failure, told already."""
        self.telling.begin(item.source, item.target)
        try:
            if job is None:
                await stylize_photo(item.source, item.target, self.style, ring)
            else:
                await self._film(job, ring)
        except StreamerError as error:
            self.telling.failed(item.source, str(error))
            return error
        return None

    async def _film(self, job: Job, ring: Ring) -> None:
        result = await transcode(job, ring.open(live=False), self.telling.progress)
        for note in result.notes:
            self.telling.note(note)
        self.telling.done(result)

    def _order(self, item: Item) -> Order:
        names = {field.name for field in dataclasses.fields(Order)}
        same = {field.name for field in dataclasses.fields(Wish)} & names - {"style"}
        options = {name: getattr(self.wish, name) for name in same}
        return Order(item.source, item.target, self.style, self._look(), **options)

    def _look(self) -> str:
        """Names the bytes that stylize: other weights or another engine give other frames."""
        named = [name for name, _ in self.style.blend if name != NONE]
        models = sorted({self.catalogue.find(name)[0].sha256 for name in named})
        return hashlib.sha256(" ".join([self.wish.backend, *models]).encode()).hexdigest()[:16]

    def _ring(self) -> Ring:
        wish = self.wish
        made = resolve(wish.backend, wish.workers, wish.threads, wish.gpus)
        return ring_of(made, self.catalogue, self.style, address=wish.ray_address)

    def _tell_plan(self, item: Item, job: Job | None) -> None:
        self.telling.begin(item.source, item.target)
        if job is None:
            self.telling.note(f"a photo, becomes {item.target}")
            return
        shape = f"{job.film.width}x{job.film.height}, {job.total or 'unknown'} frames"
        encoding = job.assembly.encoding
        how = f"becomes {item.target}, {encoding.codec} by {encoding.encoder}"
        for note in (shape, how, *job.notes):
            self.telling.note(note)


async def stylize_photo(source: Path, target: Path, style: Style, ring: Ring) -> None:
    """Write `target`, replacing what is there. Raises StreamerError."""
    photo = await asyncio.to_thread(read_photo, source)
    image = await ring.stylize(photo.image, style)
    await asyncio.to_thread(write_photo, target, Photo(image, photo.alpha, photo.extra))


def check_photo(source: Path, target: Path, overwrite: bool) -> None:
    """Whether it can be done at all. Raises UsageError."""
    if not source.exists():
        raise UsageError(f"{source}: there is no such file")
    if target.suffix.lower() not in FORMATS:
        raise UsageError(f"{target}: a photo becomes one of {' '.join(FORMATS)}")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} is there already; --overwrite replaces it")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: there is no such folder")


def _exit_code(failures: list[StreamerError], *, alone: bool) -> int:
    """0, or 1 when anything failed; 2 when all there was to do was asked for wrongly."""
    if alone and failures and isinstance(failures[0], UsageError):
        return 2
    return 1 if failures else 0


@contextlib.contextmanager
def _pipes(wish: Wish) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """Inputs and output with files in place of pipes: films are read and written in any order."""
    takes, gives = PIPE in wish.inputs, wish.output == PIPE
    gives = gives or (takes and wish.output is None)
    if not takes and not gives:
        yield wish.inputs, wish.output
        return
    if len(wish.inputs) > 1:
        raise UsageError("a pipe takes one input and gives one output")
    with tempfile.TemporaryDirectory(prefix="streamer-pipe-") as home:
        inputs, output = wish.inputs, wish.output
        if takes:
            inputs = (str(_spool(Path(home) / "stdin")),)
        if gives:
            suffix = Path(inputs[0]).suffix if not takes or _is_photo(inputs[0]) else ".mp4"
            output = str(Path(home) / f"stdout{suffix or '.mp4'}")
        yield inputs, output
        if gives and Path(output or "").exists():
            with Path(output or "").open("rb") as file, contextlib.suppress(BrokenPipeError):
                shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.buffer.flush()


def _is_photo(path: str) -> bool:
    return Item(Path(path), Path()).is_photo


def _spool(path: Path) -> Path:
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    with path.open("rb") as file:
        start = file.read(12)
    magic = {b"\xff\xd8\xff": ".jpg", b"\x89PN": ".png"}
    suffix = ".webp" if start[8:] == b"WEBP" else magic.get(start[:3], ".film")
    return path.rename(path.with_suffix(suffix))
