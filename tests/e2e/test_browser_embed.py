"""`/watch/NAME` in a frame of another site, with a token that only watches."""

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from streamer.server import tokens
from tests.support.browser import LIVE_MS
from tests.support.served import TOKEN, served_with

pytestmark = pytest.mark.e2e

PORT = 9582
SITE = f"http://127.0.0.1:{PORT}"


@pytest.mark.parametrize("allowed", [True, False], ids=["with --embed", "without"])
def test_the_video_page_shows_where_it_may(
    chromium: Browser, tmp_path: Path, allowed: bool
) -> None:
    """The server is at localhost, which is another site than 127.0.0.1 to a browser."""
    _, watch = tokens.add("watch", "page", "")
    command = [sys.executable, "-m", "http.server", str(PORT), "--bind", "127.0.0.1"]
    options = ("--embed", SITE) if allowed else ()
    with (
        subprocess.Popen([*command, "-d", tmp_path], stderr=subprocess.DEVNULL) as site,
        served_with("--token", TOKEN, *options) as server,
    ):
        url = f"{server.url.replace('127.0.0.1', 'localhost')}/watch/page?token={watch}"
        (tmp_path / "index.html").write_text(f"<iframe src='{url}'></iframe>")
        try:
            server.wait_until("/healthz", 60)
            page = chromium.new_page()
            video = page.frame_locator("iframe").locator("video")
            if allowed:
                page.goto(SITE)
                expect(video).to_be_attached(timeout=LIVE_MS)
                script = "document.documentElement.dataset.state"
                frame = page.frames[1]
                frame.wait_for_function(f"{script} === 'connecting'", timeout=LIVE_MS)
                asked = frame.evaluate(
                    "fetch('/whep/page', {method: 'OPTIONS'}).then(a => a.status)"
                )
                assert asked in (200, 204), "the cookie goes with what the page asks for"
            else:
                with page.expect_console_message(lambda one: "frame-ancestors" in one.text):
                    page.goto(SITE)
                expect(video).not_to_be_attached()
            page.close()
        finally:
            site.terminate()
