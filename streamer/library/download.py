"""A file from the first mirror that has it whole: resumed, counted, checked."""

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

Progress = Callable[[int], None]  # bytes there are so far


class DownloadError(StreamerError):
    """No mirror had the file, or not the right one."""


def download(
    urls: Sequence[str], part: Path, size: int, sha256: str, progress: Progress = lambda _: None
) -> bytes:
    """The bytes at one of `urls`, of this size and SHA-256. Raises as `complete` does."""
    complete(urls, part, size, sha256, progress)
    data = part.read_bytes()
    part.unlink()
    return data


def complete(
    urls: Sequence[str], part: Path, size: int, sha256: str, progress: Progress = lambda _: None
) -> None:
    """Make `part` the file at one of `urls`, of this size and SHA-256.

    It keeps what has come so far: an interrupted download goes on there the next time, on
    whichever mirror. It is gone when it is whole and not the file it should be. Raises
    DownloadError, or ModelError when nothing can be written here.
    """
    failures = []
    for url in urls:
        try:
            return _complete(url, part, size, sha256, progress)
        except (DownloadError, OSError, http.client.HTTPException) as error:
            failures.append(f"{urlsplit(url).netloc}: {_reason(error)}")
    raise DownloadError("; ".join(failures))


def _complete(url: str, part: Path, size: int, sha256: str, progress: Progress) -> None:
    if _fetch(url, part, size, progress):
        with contextlib.suppress(DownloadError):
            return _check(part, sha256)
        _fetch(url, part, size, progress)  # the beginning was none of this file: all of it, then
    return _check(part, sha256)


def _fetch(url: str, part: Path, size: int, progress: Progress) -> bool:
    """Complete `part`; returns whether it keeps anything from before."""
    have = part.stat().st_size if part.exists() else 0
    if have >= size:  # whole, or too much; the checksum will tell
        return True
    request = urllib.request.Request(url, headers={"User-Agent": f"streamer/{__version__}"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        resumed = _resumes(response, have)
        start = have if resumed else 0
        _check_length(response, size - start)
        with _written(part, "ab" if resumed else "wb") as write:
            _copy(response, write, start, size, progress)
    return start > 0


def _resumes(response: http.client.HTTPResponse, have: int) -> bool:
    """A server may ignore what it does not know, and send the file from its beginning."""
    span = response.headers.get("Content-Range", "")
    return response.status == http.client.PARTIAL_CONTENT and span.startswith(f"bytes {have}-")


def _check_length(response: http.client.HTTPResponse, expected: int) -> None:
    announced = response.headers.get("Content-Length")
    if announced is not None and announced != str(expected):
        raise DownloadError(f"offers {announced} bytes where {expected} were expected")


@contextlib.contextmanager
def _written(part: Path, mode: str) -> Iterator[Callable[[bytes], None]]:
    """A function that appends to the file. Raises ModelError; a full disk gets its room back."""

    def write(chunk: bytes) -> None:
        try:
            while chunk:
                chunk = chunk[file.write(chunk) :]
        except OSError as error:
            part.unlink(missing_ok=True)
            raise ModelError(f"cannot write {part}: {error.strerror}") from None

    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        file = part.open(mode, buffering=0)
    except OSError as error:
        raise ModelError(f"cannot write {part}: {error.strerror}") from None
    with file:
        yield write


def _copy(
    response: http.client.HTTPResponse,
    write: Callable[[bytes], None],
    have: int,
    size: int,
    progress: Progress,
) -> None:
    progress(have)
    while have < size:
        chunk = response.read1(min(_CHUNK_BYTES, size - have))  # whatever is there
        if not chunk:
            raise DownloadError(f"broke off after {have} of {size} bytes")
        write(chunk)
        have += len(chunk)
        progress(have)


def _check(part: Path, sha256: str) -> None:
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        part.unlink()
        raise DownloadError("the file is not the published one (its SHA-256 differs)")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"answers {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or repr(error)
