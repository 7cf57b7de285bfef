"""The browser is neither waited for nor ended, and gets no token by its command line."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from streamer import ending
from streamer.server import browser
from tests.support.waiting import eventually_sync

URL = "https://127.0.0.1:8000/?token=0123456789abcdef"


def started_since(before: set[int]) -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if p.pid not in before]


def test_it_is_not_waited_for_and_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER", f"{sys.executable} -c 'import time; time.sleep(30)' %s")
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    began_at = time.monotonic()
    with browser.opened("http://127.0.0.1:8000/"):
        pass
    assert time.monotonic() - began_at < 5
    eventually_sync(lambda: len(started_since(before)) == 2)  # the opener and the browser
    started = started_since(before)
    try:
        assert all(ending.is_spared(process.pid) for process in started)
        assert not ending.is_spared(os.getpid())
    finally:
        for process in started:
            process.kill()
        psutil.wait_procs(started)
        for one in browser._started:
            one.wait()


def test_a_token_goes_by_a_file_that_only_its_user_can_read(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(browser, "_open", opened.append)
    with browser.opened(URL):
        (file,) = data_dir.iterdir()
        assert opened == [file.as_uri()]
        assert file.stat().st_mode & 0o077 == 0
        assert URL in file.read_text()
    assert list(data_dir.iterdir()) == []
