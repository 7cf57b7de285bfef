"""Opens the page in a browser that the server neither waits for nor ends.

Other users can read command lines, so a URL with a token goes to the browser by a file that only
its user can read, as Jupyter does it.
"""

import contextlib
import html
import secrets
import subprocess
import sys
from collections.abc import Iterator

from streamer import ending, temporary
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
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # no browser, then: the URL is printed anyway
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with written_whole(path, 0o600) as file:
                file.write(_PAGE.format(url=html.escape(url)).encode())
            stack.enter_context(temporary.used(path))
            _open(path.as_uri())
        yield


def _open(url: str) -> None:
    """In a session of its own: Ctrl-C in the terminal is not for the browser."""
    with contextlib.suppress(OSError):
        opener = subprocess.Popen(
            [sys.executable, "-m", "webbrowser", url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _started.append(opener)
        ending.spare(opener.pid)
