"""Temporary folders and files that nobody has to clean up after.

Each is locked as long as it is used. A process that is killed leaves its own behind, without the
lock; the next one that makes some in that place removes them. Those of running processes are
locked, and left alone.
"""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

try:
    import fcntl
except ImportError:  # Windows, where nothing is swept
    fcntl = None  # type: ignore[assignment]

PREFIX = "streamer-"
LOCK = "lock"
SHORT = 16  # characters of a temporary directory; Ray adds 85 to it, and 107 are the most
# Names of files that may be swept: drafts, tokens of servers, pages that open a browser.
FILES = re.compile(r"\.[0-9a-f]{16}\.part|token-\d+|open-[0-9a-f]{8}\.html")
YOUNG_S = 60.0  # a file that is not locked may be about to be, when it is younger than this

_mine: dict[Path, int | None] = {}  # of this process, and the descriptor that holds the lock
_swept: set[Path] = set()  # by this process


def new_folder(kind: str, *, sockets: bool = False) -> Path:
    """A new folder of this user's only, until `remove` or the end of the process.

    `kind` becomes part of its name. With `sockets` its path is short, since theirs are limited,
    and such that Ray, which has them there, can write it as UTF-8.
    Raises OSError.
    """
    root = tempfile.gettempdir()
    unfit = len(root) > SHORT or not root.isascii()
    if sockets and unfit and os.access("/tmp", os.W_OK):
        root = "/tmp"
    sweep_folders(Path(root))
    made = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-", dir=root))
    try:
        draft = made / f".{LOCK}"
        _mine[made] = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        hold(_mine[made])
        draft.rename(made / LOCK)  # it has its name only once it is locked
    except OSError:
        remove(made)
        raise
    return made


@contextlib.contextmanager
def folder(kind: str) -> Iterator[Path]:
    """Inside, a new folder. Raises OSError."""
    made = new_folder(kind)
    try:
        yield made
    finally:
        remove(made)


@contextlib.contextmanager
def used(file: Path) -> Iterator[None]:
    """Inside, this file, which need not be there, is not swept; afterwards it is gone."""
    with contextlib.suppress(OSError):
        _mine[file] = os.open(file, os.O_RDWR)
        hold(_mine[file])
    try:
        yield
    finally:
        remove(file)


def adopt(made: Path) -> None:
    """Have what another program made for this process go with it."""
    _mine[made] = None


def remove(made: Path) -> None:
    """Delete a folder of `new_folder`, or a file; any number of times."""
    if made.is_dir():
        shutil.rmtree(made, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            made.unlink()
    lock = _mine.pop(made, None)
    if lock is not None:
        os.close(lock)


def remove_all() -> None:
    """Delete every folder and file of this process."""
    for made in list(_mine):
        remove(made)


def hold(descriptor: int | None) -> bool:
    """Lock a file as long as it is open; False when another process has it."""
    if fcntl is None or descriptor is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it is locked, or cannot be on this file system
        return False
    return True


def sweep_folders(root: Path) -> None:
    """Delete the folders in `root` that this user's processes left when they were killed."""
    for left in _unswept(root, f"{PREFIX}*"):
        if not left.is_symlink() and _is_unused(left / LOCK):
            _end_helpers_in(left)
            shutil.rmtree(left, ignore_errors=True)


def sweep_files(root: Path) -> None:
    """Delete the files in `root` that this user's processes left when they were killed."""
    for left in _unswept(root, "*"):
        with contextlib.suppress(OSError):
            known = FILES.fullmatch(left.name)
            if known and time.time() - left.stat().st_mtime > YOUNG_S and _is_unused(left):
                left.unlink()


def _end_helpers_in(left: Path) -> None:
    """Ray's agents look for their parent every few minutes only."""
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            if str(process.info["name"]).startswith("ray::") and any(
                Path(file.path).is_relative_to(left) for file in process.open_files()
            ):
                process.kill()


def _unswept(root: Path, pattern: str) -> list[Path]:
    """What is in a place that this process has not swept before."""
    if root in _swept:
        return []
    _swept.add(root)
    return list(root.glob(pattern))


def _is_unused(lock: Path) -> bool:
    """Whether the process that made this is gone."""
    try:
        if lock.stat().st_uid != os.getuid():
            return False
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:  # no lock: it is not ours, or being made
        return False
    try:
        return hold(descriptor)
    finally:
        os.close(descriptor)
