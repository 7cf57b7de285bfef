"""encode → **checkpoint** → mux.

What is done of a film, on disk: a hidden folder beside the target, with one file of encoded
frames for each stretch of the film. A stretch is whole once its .json is there; whatever else
lies around after a crash is ignored and overwritten. The target appears only when it is whole.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import MediaError

VERSION = 1  # of the layout of this folder and of what makes two runs alike


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of encoded frames that can be decoded on its own; times in the film's ticks."""

    path: Path
    pts: tuple[int, ...]  # in display order
    last_duration: int  # of the last frame; 0: unknown


class Checkpoint:
    """The folder of one target. Raises MediaError when it cannot be written."""

    def __init__(self, target: Path) -> None:
        self.folder = target.with_name(f".{target.name}.streamer")
        self.unfinished = self.folder / f"whole{target.suffix}"
        self._job = self.folder / "job.json"

    def begin(self, job: dict[str, object]) -> None:
        """Start anew: `job` is everything that decides how the frames will look."""
        try:
            self.clear()
            self.folder.mkdir()
            self._job.write_text(_json(job))
        except OSError as error:
            raise MediaError(f"{self.folder.parent}: {error.strerror}") from error

    def job(self) -> dict[str, object] | None:
        """What was begun here; None: nothing, or by another version of this program."""
        try:
            job = json.loads(self._job.read_text())
        except (OSError, ValueError):
            return None
        return job if isinstance(job, dict) and job.get("version") == VERSION else None

    def segments(self) -> list[Segment]:
        """All that is done, without a gap."""
        done: list[Segment] = []
        while (segment := self._read(len(done))) is not None:
            done.append(segment)
        return done

    def path(self, number: int) -> Path:
        """Where the frames of a stretch go."""
        return self.folder / f"{number:06}.nut"

    def close(self, number: int, pts: tuple[int, ...], last_duration: int, smooth: bytes) -> None:
        """The file of this stretch is complete; `smooth` is what smoothing goes on from."""
        record = self.path(number).with_suffix(".json")
        unfinished = record.with_suffix(".part")
        try:
            record.with_suffix(".yuv").write_bytes(smooth)
            unfinished.write_text(json.dumps({"pts": pts, "last_duration": last_duration}))
            unfinished.replace(record)
        except OSError as error:
            raise MediaError(f"{self.folder.parent}: {error.strerror}") from error
        if number > 0:
            self.path(number - 1).with_suffix(".yuv").unlink(missing_ok=True)

    def smooth(self, number: int) -> bytes:
        """What smoothing goes on from after a stretch; empty: nothing."""
        try:
            return self.path(number).with_suffix(".yuv").read_bytes()
        except OSError:
            return b""

    def settle(self) -> bool:
        """After a failure: keep whole stretches only. Returns whether there are any."""
        done = len(self.segments())
        if done == 0:
            self.clear()
            return False
        self.unfinished.unlink(missing_ok=True)
        self.path(done).unlink(missing_ok=True)
        return True

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, number: int) -> Segment | None:
        path = self.path(number)
        try:
            record = json.loads(path.with_suffix(".json").read_text())
            return Segment(path, tuple(record["pts"]), record["last_duration"])
        except (OSError, ValueError, KeyError):
            return None


def _json(job: dict[str, object]) -> str:
    return json.dumps({"version": VERSION, **job}, indent=1, sort_keys=True)
