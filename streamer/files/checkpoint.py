"""ring → encode → **checkpoint** → mux: the encoded frames of an unfinished video, on disk.

A hidden folder beside the target holds one file per segment. A segment counts once its .json is
there; anything else left by a crash is ignored and replaced. The target appears only when it is
complete. The folder has to be ours alone: whoever could write to it could plant links in it.
"""

import hashlib
import itertools
import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import MediaError
from streamer.files.encode import Encoding, SegmentWriter
from streamer.frame import Image
from streamer.paths import written_whole
from streamer.pipeline.smoother import Smoother

VERSION = 3  # of the layout of this folder and of what makes two runs alike
FRAMES = 240  # of a segment: the most that an interruption costs; each starts with a keyframe


@dataclass(frozen=True, slots=True)
class Segment:
    """Encoded frames that can be decoded on their own; times in the video's time_base."""

    path: Path
    pts: tuple[int, ...]  # in display order
    last_duration: int  # of the last frame; 0: unknown


class Checkpoint:
    """The folder of one target. Raises MediaError when it cannot be written."""

    def __init__(self, target: Path) -> None:
        # Absolute, for FFmpeg: "a:b" is an address otherwise.
        self.folder = target.absolute().with_name(f".{short(target.name)}.streamer")
        self.unfinished = self.folder / f"whole{target.suffix}"
        self._job = self.folder / "job.json"

    def begin(self, job: dict[str, object]) -> None:
        """Start again: `job` is everything that decides how the frames will look."""
        try:
            self.clear()
            self.folder.mkdir(mode=0o700)
            self._job.write_text(_json(job))
        except OSError as error:
            self.clear()
            raise MediaError(f"{self.folder.parent}: {error.strerror}") from error

    def job(self) -> dict[str, object] | None:
        """What was started here; None: nothing, or by another version of this program.

        Raises MediaError when the folder is a link, or others can write to it.
        """
        self._check_owner()
        try:
            job = json.loads(self._job.read_text())
        except (OSError, ValueError, RecursionError):
            return None
        return job if isinstance(job, dict) and job.get("version") == VERSION else None

    def segments(self) -> list[Segment]:
        """The complete segments, up to the first gap."""
        done: list[Segment] = []
        while (segment := self._read(len(done))) is not None:
            done.append(segment)
        return done

    def _check_owner(self) -> None:
        try:
            status = self.folder.lstat()
        except OSError:
            return
        ours = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
        if not (stat.S_ISDIR(status.st_mode) and ours and not status.st_mode & 0o022):
            raise MediaError(
                f"{self.folder} is not a folder of yours alone, so what is in it is not trusted: "
                "remove it"
            )

    def path(self, number: int) -> Path:
        """The file of a segment."""
        return self.folder / f"{number:06}.nut"

    def close(
        self,
        number: int,
        pts: tuple[int, ...],
        last_duration: int,
        smooth: bytes,
        statistics: bytes,
    ) -> None:
        """The segment is complete, and on disk from now on.

        `smooth` and `statistics` are the states that the next segment begins with.
        """
        record = json.dumps({"pts": pts, "last_duration": last_duration})
        try:
            sync(self.path(number))
            states = {".yuv": smooth, ".npz": statistics, ".json": record.encode()}
            for suffix, content in states.items():  # the record last: then the segment counts
                with written_whole(self.path(number).with_suffix(suffix)) as file:
                    file.write(content)
        except OSError as error:
            raise MediaError(f"{self.folder.parent}: {error.strerror}") from error
        if number > 0:
            for suffix in (".yuv", ".npz"):
                self.path(number - 1).with_suffix(suffix).unlink(missing_ok=True)

    def smooth(self, number: int) -> bytes:
        """The state of smoothing after a segment; empty: none."""
        return self._state(number, ".yuv")

    def statistics(self, number: int) -> bytes:
        """The state of the statistics after a segment; empty: none."""
        return self._state(number, ".npz")

    def _state(self, number: int, suffix: str) -> bytes:
        try:
            return self.path(number).with_suffix(suffix).read_bytes()
        except OSError:
            return b""

    def settle(self) -> bool:
        """After a failure: keep complete segments only. Returns whether there are any."""
        done = len(self.segments())
        if done == 0:
            self.clear()
            return False
        self.unfinished.unlink(missing_ok=True)
        self.path(done).unlink(missing_ok=True)
        return True

    def clear(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, number: int) -> Segment | None:
        path = self.path(number)
        try:
            record = json.loads(path.with_suffix(".json").read_text())
            pts, last_duration = record["pts"], record["last_duration"]
            numbers = all(type(number) is int for number in (*pts, last_duration))
            if not (numbers and pts and all(a < b for a, b in itertools.pairwise(pts))):
                return None
            return Segment(path, tuple(pts), last_duration)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None


class Segments:
    """Encodes frames into segments; complete ones survive whatever happens."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        encoding: Encoding,
        first: int,
        smoother: Smoother,
        smooth: float,
        *,
        statistics_after: Callable[[int], bytes] = lambda pts: b"",
    ) -> None:
        self._statistics_after = statistics_after
        self._checkpoint = checkpoint
        self._encoding = encoding
        self._number = first
        self._smoother = smoother
        self._smooth = smooth
        self._writer: SegmentWriter | None = None
        self._pts: list[int] = []
        self._duration = 0

    def write(self, image: Image, pts: int, duration: int) -> None:
        """Smooth and encode a frame."""
        if self._writer is None:
            path = fresh(self._checkpoint.path(self._number))
            self._writer = SegmentWriter(path, self._encoding)
            self._pts = []
        self._writer.write(self._smoother(image, self._smooth), pts, duration)
        self._pts.append(pts)
        self._duration = duration
        if len(self._pts) == FRAMES:
            self.close()

    def close(self) -> None:
        """Complete the current segment, so that it counts."""
        if self._writer is None:
            return
        with self._writer:
            self._writer = None
        states = self._smoother.state, self._statistics_after(self._pts[-1])
        self._checkpoint.close(self._number, tuple(self._pts), self._duration, *states)
        self._number += 1

    def abandon(self) -> None:
        """Leave the current segment incomplete: it does not count."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None


def short(name: str, most: int = 200) -> str:
    """A file name of at most `most` bytes that still tells it from others."""
    encoded = os.fsencode(name)  # which may be no UTF-8
    if len(encoded) <= most:
        return name
    cut = encoded[: most - 9].decode(errors="ignore") or "_"
    return f"{cut}-{hashlib.sha256(encoded).hexdigest()[:8]}"


def fresh(path: Path) -> Path:
    """`path`, a new and empty file now; a link that was there is gone. Raises MediaError."""
    try:
        path.unlink(missing_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as error:
        raise MediaError(f"{path.parent.parent}: {error.strerror}") from error
    return path


def sync(path: Path) -> None:
    """Wait until a file's bytes are on disk. Raises OSError."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _json(job: dict[str, object]) -> str:
    return json.dumps({"version": VERSION, **job}, indent=1, sort_keys=True)
