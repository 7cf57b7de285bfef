"""The page in a real browser: a camera of numbered frames in, the decoded picture read back.

Screenshots of every state lie in build/screenshots afterwards.
"""

import numpy as np
import pytest
from playwright.sync_api import Browser, Playwright, expect

from tests.support.browser import (
    CLIP_FRAMES,
    LIVE_MS,
    PHONE,
    Server,
    button,
    color_of,
    expect_state,
    frames_seen,
    launch,
    numbers,
    page_at,
    shoot,
)
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.e2e

# How many brightnesses there are in a canvas.
COLOURS = """
    canvas => {
      const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return new Set(data.filter((_, i) => i % 4 === 1)).size;
    }
"""


def test_a_camera_is_painted_in_order_and_changes_style_on_the_same_connection(
    server: Server, chromium: Browser
) -> None:
    with page_at(chromium, f"{server.url}/?style=none") as page:
        errors: list[str] = []
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        shoot(page, "idle")
        button(page, "Start camera").click()
        expect_state(page, "live")
        stage = page.locator('video[aria-label="Stylized picture"]')
        assert stage.evaluate("video => video.clientWidth === video.parentElement.clientWidth")

        plain = frames_seen(page, at_least=60)
        order = numbers(plain)
        assert len(order) > len(plain) / 2, "the numbers can be read"
        steps = np.diff(order) % CLIP_FRAMES
        assert ((steps > 0) & (steps < CLIP_FRAMES / 2)).all(), order

        page.get_by_role("radio", name="Mosaic").check()
        expect(page.locator(".toast")).to_contain_text("Mosaic", timeout=LIVE_MS)
        eventually_sync(lambda: color_of(frames_seen(page, at_least=5)) > color_of(plain) + 10)
        page.keyboard.press("n")
        expect(page.get_by_role("region", name="Stats")).to_contain_text("Mbit/s")
        assert page.evaluate("pcs.length") == 1
        assert "style=mosaic" in page.url
        shoot(page, "live")

        button(page, "Stop").click()
        expect_state(page, "idle")
        eventually_sync(lambda: server.streams() == {})
        assert errors == []


def test_the_sample_picture_needs_no_camera_and_a_full_server_says_so(
    server: Server, chromium: Browser
) -> None:
    no_camera = "Object.defineProperty(navigator, 'mediaDevices', {value: undefined});"
    with page_at(chromium, f"{server.url}/?style=none", PHONE, no_camera) as page:
        shoot(page, "phone-idle")
        expect(page.get_by_text("Browsers allow the camera only on HTTPS")).to_be_visible()
        expect(page.get_by_role("button", name="Start camera")).to_have_count(0)
        shoot(page, "phone-insecure")
        button(page, "Use the sample video").click()
        expect_state(page, "live")
        frames = frames_seen(page, at_least=5)
        assert not np.array_equal(frames[0], frames[-1]), "it moves"
        shoot(page, "phone-live")
        with page_at(chromium, server.url) as other:
            button(other, "Start camera").click()
            expect_state(other, "failed")
            expect(other.get_by_role("alert")).to_contain_text("server is full")
            expect(other.get_by_role("button", name="sample")).to_have_count(0)
            shoot(other, "full")
    eventually_sync(lambda: server.streams() == {})  # closing the page hangs up


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "No camera was found"),
        (("--use-fake-device-for-media-stream", "--deny-permission-prompts"), "access was denied"),
    ],
    ids=["no camera", "denied"],
)
def test_a_camera_that_cannot_be_had_is_explained(
    server: Server, playwright: Playwright, options: tuple[str, ...], says: str
) -> None:
    with launch(playwright, *options) as browser, page_at(browser, server.url) as page:
        if not options:
            page.context.grant_permissions(["camera", "microphone"])
        button(page, "Start camera").click()
        expect(page.get_by_role("alert")).to_contain_text(says, timeout=LIVE_MS)
        expect_state(page, "failed")
        expect(button(page, "Use the sample video")).to_be_visible()
        shoot(page, says.lower().replace(" ", "-"))


def test_the_page_comes_back_by_itself_after_a_restart(server: Server, chromium: Browser) -> None:
    with page_at(chromium, f"{server.url}/?style=none") as page:
        button(page, "Start camera").click()
        expect_state(page, "live")
        frames_seen(page, at_least=1)  # the first packet makes it live, its picture comes later
        server.stop()
        expect(page.get_by_role("alert")).to_be_visible(timeout=LIVE_MS)
        expect_state(page, "connecting")
        last = page.locator("canvas")
        expect(last).to_be_visible()
        assert last.evaluate(COLOURS) > 10, "the last painting stays"
        shoot(page, "server-gone")
        server.start()  # answers "not ready" while its workers load
        server.wait_until_ready()
        expect_state(page, "live")
        frames_seen(page, at_least=5)
        assert page.evaluate("pcs.length") > 1
