"""Opens the page in a browser that the server neither waits for nor ends.

Other users can read command lines, so a URL with a token goes to the browser by a file that only
its user can read, as Jupyter does it.
"""

import contextlib
import html
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

from streamer.paths import data_dir, written_whole

_PAGE = '<!doctype html><meta http-equiv="refresh" content="0; url={url}"><title>streamer</title>'

_started: list[subprocess.Popen[bytes]] = []


@contextlib.contextmanager
def opened(url: str) -> Iterator[None]:
    """Inside, the browser shows `url`, if there is one; afterwards the file is gone."""
    if "?" not in url:
        _open(url)
        yield
        return
    path = data_dir() / f"open-{secrets.token_hex(4)}.html"
    try:
        with contextlib.suppress(OSError):  # no browser, then: the URL is printed anyway
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with written_whole(path, 0o600) as file:
                file.write(_PAGE.format(url=html.escape(url)).encode())
            _open(path.as_uri())
        yield
    finally:
        path.unlink(missing_ok=True)


def _open(url: str) -> None:
    """In a session of its own: Ctrl-C in the terminal is not for the browser."""
    with contextlib.suppress(OSError):
        _started.append(
            subprocess.Popen(
                [sys.executable, "-m", "webbrowser", url],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )


def is_browser(pid: int) -> bool:
    """Whether a process belongs to a browser that was started here."""
    try:
        return os.getsid(pid) in {process.pid for process in _started}
    except (OSError, AttributeError):  # gone, or Windows
        return False
