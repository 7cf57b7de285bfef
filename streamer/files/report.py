"""transcode → **report** → terminal: a progress bar, lines now and then, or JSON for programs.

docs/files.md describes the JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TextIO

from streamer.errors import StreamerError, UsageError, printable
from streamer.files.transcode import Progress, Result

LINE_S = 30.0  # between lines of progress where there is no terminal
Names = Mapping[str, str]
NO_NAMES: Names = MappingProxyType({})


@dataclass(slots=True)
class Summary:
    """What became of all inputs."""

    done: int = 0
    skipped: int = 0
    failed: list[tuple[str, StreamerError]] = field(default_factory=list)  # what was said of it

    @property
    def total(self) -> int:
        return self.done + self.skipped + len(self.failed)

    @property
    def exit_code(self) -> int:
        """0; 1 when anything failed; 2 when all there was to do was asked for wrongly."""
        usage = self.total == 1 and self.failed and isinstance(self.failed[0][1], UsageError)
        return 2 if usage else 1 if self.failed else 0

    def __str__(self) -> str:
        parts = [f"{self.done} done"]
        parts += [f"{self.skipped} done before"] if self.skipped else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        return ", ".join(parts)


class Reporter(Protocol):
    """What users are told while files are stylized."""

    def begin(self, source: Path, target: Path) -> None:
        """Work on a file begins."""

    def progress(self, progress: Progress) -> None:
        """Of the file at work."""

    def note(self, text: str) -> None:
        """Something to know about the file at work."""

    def done(self, result: Result) -> None:
        """The file is complete."""

    def skipped(self, source: Path, target: Path) -> None:
        """A file was done by a run before."""

    def failed(self, source: Path, message: str) -> None:
        """A file cannot be done; the others may."""

    def summary(self, summary: Summary) -> None:
        """All files are through."""

    def close(self) -> None:
        """Nothing more will come."""


def reporter(as_json: bool, stdout_is_taken: bool, names: Names = NO_NAMES) -> Reporter:
    """JSON lines when asked for, a bar on a terminal, else lines.

    `names` are what users call files of ours that stand for pipes.
    """
    if as_json:
        return JsonLines(sys.stderr if stdout_is_taken else sys.stdout, names)
    return Bar(names) if sys.stderr.isatty() else Lines(names=names)


def _named(text: str, names: Names) -> str:
    for path in sorted(names, key=len, reverse=True):  # what is in a folder before the folder
        text = text.replace(path, names[path])
    return text


class JsonLines:
    """One JSON object a line; `event` says what the rest is about."""

    def __init__(self, out: TextIO, names: Names = NO_NAMES) -> None:
        self._out = out
        self._names = names

    def begin(self, source: Path, target: Path) -> None:
        self._write("begin", source=str(source), target=str(target))

    def progress(self, progress: Progress) -> None:
        self._write(
            "progress",
            frames=progress.frames,
            total=progress.total or None,
            fps=round(progress.fps, 2),
            eta_s=None if progress.eta_s is None else round(progress.eta_s, 1),
            bottleneck=progress.bottleneck,
        )

    def note(self, text: str) -> None:
        self._write("note", text=text)

    def done(self, result: Result) -> None:
        self._write(
            "done",
            target=str(result.target),
            frames=result.frames,
            resumed=result.resumed,
            seconds=round(result.seconds, 3),
            damaged=result.damaged,
        )

    def skipped(self, source: Path, target: Path) -> None:
        self._write("skipped", source=str(source), target=str(target))

    def failed(self, source: Path, message: str) -> None:
        self._write("error", source=str(source), message=message)

    def summary(self, summary: Summary) -> None:
        self._write(
            "summary", done=summary.done, skipped=summary.skipped, failed=len(summary.failed)
        )

    def close(self) -> None:
        pass

    def _write(self, event: str, **rest: object) -> None:
        said = {
            key: _named(value, self._names) if isinstance(value, str) else value
            for key, value in rest.items()
        }
        print(json.dumps({"event": event, **said}), file=self._out, flush=True)


class Lines:
    """Lines on stderr: progress now and then, results, notes and failures."""

    def __init__(self, now: Callable[[], float] = time.monotonic, names: Names = NO_NAMES) -> None:
        self._now = now
        self._names = names
        self._due_at = 0.0
        self._source = ""

    def begin(self, source: Path, target: Path) -> None:
        self._source, self._due_at = f"{source}: ", self._now() + LINE_S

    def progress(self, progress: Progress) -> None:
        if self._now() < self._due_at:
            return
        self._due_at = self._now() + LINE_S
        of = f" of {progress.total}" if progress.total else ""
        left = clock(progress.eta_s)
        line = f"{progress.frames}{of} frames, {progress.fps:.1f} fps"
        self._say(f"{self._source}{line}, {left}" if left else f"{self._source}{line}")

    def note(self, text: str) -> None:
        self._say(f"{self._source}{text}")

    def done(self, result: Result) -> None:
        new = result.frames - result.resumed
        speed = new / result.seconds if result.seconds else 0.0
        frames = f": {result.frames} frames, {speed:.1f} fps" if result.frames > 1 else ""
        self._say(f"{result.target}{frames}")

    def skipped(self, source: Path, target: Path) -> None:
        self._say(f"{target}: done before")

    def failed(self, source: Path, message: str) -> None:
        self._say(f"streamer: {message}")

    def summary(self, summary: Summary) -> None:
        self._say(str(summary))
        for message, _ in summary.failed:
            self._say(f"  {message}")

    def close(self) -> None:
        pass

    def _say(self, line: str) -> None:
        print(self._shown(line), file=sys.stderr, flush=True)

    def _shown(self, text: str) -> str:
        return printable(_named(text, self._names))


class Bar(Lines):
    """A bar with frames, speed, time left and the slowest stage."""

    def __init__(self, names: Names = NO_NAMES) -> None:
        super().__init__(names=names)
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
        )
        from rich.progress import Progress as Bars

        self._console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[fps]:.1f} fps"),
            TextColumn("{task.fields[left]}"),
            TextColumn("limited by {task.fields[stage]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._bars.add_task("", total=None, visible=False, fps=0, left="", stage="")
        self._bars.start()

    def begin(self, source: Path, target: Path) -> None:
        super().begin(source, target)
        shown = Path(self._shown(str(source)))
        self._bars.reset(self._task, description=shown.name, visible=True, total=None)

    def progress(self, progress: Progress) -> None:
        self._bars.update(
            self._task,
            completed=progress.frames,
            total=progress.total or None,
            fps=progress.fps,
            left=clock(progress.eta_s),
            stage=progress.bottleneck,
        )

    def close(self) -> None:
        self._bars.stop()

    def _say(self, line: str) -> None:
        self._console.print(self._shown(line), markup=False, highlight=False, soft_wrap=True)


def clock(seconds: float | None) -> str:
    """`1:02:03 left`; empty when unknown."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"
