"""Firefox, which has no loopback candidates and hides its own behind names of mDNS."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Server, server_with
from tests.support.firefox import Firefox, firefox
from tests.support.served import Ffmpeg
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.e2e

# The frames that each playing video presents in a second. (Its own statistics count none.)
SHOWN = """
    const videos = [...document.querySelectorAll('video')]
      .filter((video) => video.srcObject?.getVideoTracks().length);
    const counts = videos.map(() => 0);
    videos.forEach((video, i) => {
      const next = () => { counts[i] += 1; video.requestVideoFrameCallback(next); };
      video.requestVideoFrameCallback(next);
    });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return [...counts];
"""
PRESS = """
    [...document.querySelectorAll('button')]
      .find((button) => [button.textContent.trim(), button.ariaLabel].includes('%s')).click();
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--backend", "none", "--workers", "1")
    with server_with(tmp_path_factory.mktemp("server"), *options) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with firefox(tmp_path_factory.mktemp("firefox") / "profile") as browser:
        yield browser


@pytest.mark.parametrize("source", ["Start camera", "Use the sample video"])
def test_the_page_is_live(server: Server, browser: Firefox, source: str) -> None:
    browser.open(server.url)
    eventually_sync(lambda: browser.run("return document.querySelector('main').dataset.state"))
    browser.run(PRESS % source)
    eventually_sync(
        lambda: browser.run("return document.querySelector('main').dataset.state") == "live"
    )
    # The camera's own picture, and the stylized one.
    eventually_sync(lambda: len(shown := browser.run(SHOWN)) == 2 and min(shown) > 5)
    [stream] = server.streams().values()
    assert stream["out_fps"] > 10
    browser.run(PRESS % "Stop")
    eventually_sync(lambda: not server.streams())


def test_it_watches_a_stream_of_another_publisher(
    server: Server, browser: Firefox, tmp_path: Path
) -> None:
    publisher = Ffmpeg(server.url + "/whip/cam", tmp_path)
    try:
        eventually_sync(lambda: any(s["name"] == "cam" for s in server.streams().values()))
        browser.open(f"{server.url}/watch/cam")
        eventually_sync(lambda: max(browser.run(SHOWN), default=0) > 5)
        browser.open("about:blank")
    finally:
        assert publisher.stop() == ""
