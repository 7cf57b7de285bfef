"""transcode → **report** → terminal: a progress bar, JSON lines for programs, or only warnings."""

import json
import sys
from pathlib import Path
from typing import Protocol, TextIO

from streamer.files.transcode import Progress, Result


class Reporter(Protocol):
    """What users are told while videos are transcoded."""

    def begin(self, source: Path, target: Path) -> None:
        """A file is next."""

    def progress(self, progress: Progress) -> None:
        """It got this far."""

    def done(self, result: Result) -> None:
        """It is finished."""

    def note(self, text: str) -> None:
        """The user should know this about it."""

    def failed(self, source: Path, message: str) -> None:
        """It cannot be done; the next file may."""

    def close(self) -> None:
        """Nothing more will come."""


def reporter(as_json: bool, stdout_is_taken: bool) -> Reporter:
    """JSON lines when asked for, a bar on a terminal, else only what must be known."""
    if as_json:
        return JsonLines(sys.stderr if stdout_is_taken else sys.stdout)
    return Bar() if sys.stderr.isatty() else Quiet()


class JsonLines:
    """One JSON object a line; `event` says what the rest is about."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

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

    def done(self, result: Result) -> None:
        self._write(
            "done",
            target=str(result.target),
            frames=result.frames,
            resumed=result.resumed,
            seconds=round(result.seconds, 3),
            damaged=result.damaged,
        )

    def note(self, text: str) -> None:
        self._write("note", text=text)

    def failed(self, source: Path, message: str) -> None:
        self._write("error", source=str(source), message=message)

    def close(self) -> None:
        pass

    def _write(self, event: str, **rest: object) -> None:
        print(json.dumps({"event": event, **rest}), file=self._out, flush=True)


class Quiet:
    """Not on a terminal: warnings and failures only, on stderr."""

    def begin(self, source: Path, target: Path) -> None:
        self._source = source

    def progress(self, progress: Progress) -> None:
        pass

    def done(self, result: Result) -> None:
        pass

    def note(self, text: str) -> None:
        self._say(f"{self._source}: {text}")

    def failed(self, source: Path, message: str) -> None:
        self._say(f"streamer: {message}")

    def close(self) -> None:
        pass

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class Bar(Quiet):
    """A bar with frames, speed, time left and the slowest stage."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
        )
        from rich.progress import Progress as Bars

        self._console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
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
        self._bars.reset(self._task, description=source.name, visible=True, total=None)

    def progress(self, progress: Progress) -> None:
        self._bars.update(
            self._task,
            completed=progress.frames,
            total=progress.total or None,
            fps=progress.fps,
            left=clock(progress.eta_s),
            stage=progress.bottleneck,
        )

    def done(self, result: Result) -> None:
        new = result.frames - result.resumed
        speed = new / result.seconds if result.seconds else 0.0
        self._say(f"{result.target}: {result.frames} frames, {speed:.1f} fps")

    def close(self) -> None:
        self._bars.stop()

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def clock(seconds: float | None) -> str:
    """`1:02:03 left`; empty when unknown."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"
