"""pull, training → **download**: a file from the first mirror that has it, checked by SHA-256."""

import contextlib
import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from streamer import __version__
from streamer.errors import ModelError, StreamerError

TIMEOUT_S = 20.0  # without a byte
_CHUNK_BYTES = 64 * 1024

Progress = Callable[[int], None]  # bytes received so far


class DownloadError(StreamerError):
    """No mirror had the file, or not the right one."""


def download(
    urls: Sequence[str], part: Path, size: int, sha256: str, progress: Progress = lambda _: None
) -> None:
    """Make `part` the file at one of `urls`, of this size and SHA-256.

    `part` keeps what an interrupted download received, and the next one resumes there, on any
    mirror; a whole file that is not the right one is deleted. Raises DownloadError, or ModelError
    when nothing can be written here.
    """
    failures = []
    for url in urls:
        try:
            while True:
                resumed = _receive(url, part, size, progress)
                if _sha256(part) == sha256:
                    return
                part.unlink()
                if not resumed:
                    raise DownloadError("the file is not the published one (its SHA-256 differs)")
        except (DownloadError, OSError, http.client.HTTPException) as error:
            failures.append(f"{urlsplit(url).netloc}: {_reason(error)}")
    raise DownloadError("; ".join(failures))


def _receive(url: str, part: Path, size: int, progress: Progress) -> bool:
    """Complete `part`; returns whether its beginning was there before."""
    have = part.stat().st_size if part.exists() else 0
    if have >= size:
        return True
    headers = {"User-Agent": f"streamer/{__version__}", "Range": f"bytes={have}-"}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        resumed: bool = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if resumed else 0  # else the server sends the whole file
        announced = response.headers.get("Content-Length", str(size - have))
        if announced != str(size - have):
            raise DownloadError(f"offers {announced} bytes where {size - have} were expected")
        with _appending(part, have) as write:
            progress(have)
            while have < size:
                chunk = response.read1(min(_CHUNK_BYTES, size - have))
                if not chunk:
                    raise DownloadError(f"broke off after {have} of {size} bytes")
                write(chunk)
                have += len(chunk)
                progress(have)
    return resumed


@contextlib.contextmanager
def _appending(part: Path, have: int) -> Iterator[Callable[[bytes], None]]:
    """A function that appends to `part`. Raises ModelError, and frees a full disk."""

    def write(chunk: bytes) -> None:
        try:
            while chunk:
                chunk = chunk[file.write(chunk) :]
        except OSError as error:
            part.unlink(missing_ok=True)
            raise ModelError(f"cannot write {part}: {error.strerror}") from None

    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("ab", buffering=0)
        file.truncate(have)
    except OSError as error:
        raise ModelError(f"cannot write {part}: {error.strerror}") from None
    with file:
        yield write


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def progress_bar(label: str, total: int) -> Iterator[Progress]:
    """A function that shows on the terminal how many bytes were received."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        progress.TextColumn(label),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
    )
    quiet = not console.is_terminal
    with progress.Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task(label, total=total)
        yield lambda have: bar.update(task, completed=have)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or repr(error)
