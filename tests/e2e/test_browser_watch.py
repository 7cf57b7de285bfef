"""The clean page in a real browser: it sees a stream, and comes back whatever happens to it."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, Playwright

from tests.support.browser import (
    Server,
    frames_seen,
    launch,
    numbers,
    page_at,
    shoot,
)
from tests.support.served import Ffmpeg
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.e2e

TOKEN = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Guarded(Server):
    """On one port from the first, as its cookie is named after it; its URL has no token."""

    def start(self) -> None:
        self.url = self.url or f"http://127.0.0.1:{free_port()}"
        super().start()
        self.url = self.url.partition("/?")[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--backend", "none", "--workers", "1", "--token", TOKEN)
    server = Guarded(tmp_path_factory.mktemp("server") / "out", *options)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def on_air(server: Server, folder: Path) -> Iterator[Ffmpeg]:
    eventually_sync(lambda: answers(server))
    publisher = Ffmpeg(server.url + "/whip/cam", folder, authorization=TOKEN)
    try:
        yield publisher
    finally:
        publisher.stop()


def answers(server: Server) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(server.url + "/readyz", headers=BEARER).status_code == 200
    return False


def state(page: Page) -> object:
    return page.evaluate("document.documentElement.dataset.state")


def test_the_page_shows_the_picture_alone_and_comes_back(
    server: Server, playwright: Playwright, tmp_path: Path
) -> None:
    with launch(playwright) as browser:
        with page_at(browser, f"{server.url}/watch/cam?token={TOKEN}") as page:
            assert page.url == f"{server.url}/watch/cam", "no token in the history"
            assert state(page) == "connecting"
            with on_air(server, tmp_path):
                eventually_sync(lambda: state(page) == "live")
                seen = numbers(frames_seen(page, at_least=20))
                assert len(seen) > 15 and (np.diff(seen) > 0).all(), seen
                shoot(page, "watch")
                connections = page.evaluate("pcs.length")
            time.sleep(1)
            with on_air(server, tmp_path):  # the publisher is back
                frames_seen(page, at_least=10)
                assert page.evaluate("pcs.length") == connections, "on the same connection"
                server.stop()
                eventually_sync(lambda: state(page) == "connecting")
            server.start()
            with on_air(server, tmp_path):  # and so is the server
                eventually_sync(lambda: state(page) == "live")
                frames_seen(page, at_least=5)
        eventually_sync(lambda: viewers(server) == {})  # closing the page hangs up


def viewers(server: Server) -> object:
    return httpx.get(server.url + "/stats", headers=BEARER).json()["viewers"]
