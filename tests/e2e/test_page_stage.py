"""The page and others: controllers and sound that move it, loops, phones and viewers let in."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from PIL import ImageSequence
from playwright.sync_api import Browser, Route, expect

from streamer.server import qr
from tests.support.browser import (
    LIVE_MS,
    Server,
    button,
    expect_state,
    faults,
    page_at,
    shoot,
)
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.e2e

ADMIN = "an-admin-0123456789"

# A controller with knobs and keys, plugged in.
MIDI = """
    window.controller = {onmidimessage: null};
    window.midi = (...data) => controller.onmidimessage({data: new Uint8Array(data)});
    navigator.requestMIDIAccess = async () => ({inputs: new Map([['one', controller]])});
"""


def look(server: Server) -> dict[str, Any]:
    """The one stream's look, as the server has it; of none while the page connects again."""
    found: dict[str, Any] = next(iter(server.streams().values()), {"strength": -1, "style": None})
    return found


def test_a_stage_is_moved_by_controllers_and_sound(server: Server, chromium: Browser) -> None:
    with page_at(chromium, f"{server.url}/?style=none", script=MIDI) as page:
        button(page, "Use the sample video").click()
        expect_state(page, "live")
        button(page, "On a stage").click()
        button(page, "Listen to MIDI controllers").click()
        button(page, "Learn: Strength").click()
        page.evaluate("midi(0xB0, 21, 3)")
        expect(page.get_by_text("cc:0:21")).to_be_visible()
        button(page, "Learn: Next style").click()
        page.evaluate("midi(0x90, 36, 100)")
        expect(page.get_by_text("note:0:36")).to_be_visible()
        page.evaluate("midi(0xB0, 21, 127)")
        eventually_sync(lambda: look(server)["strength"] == 1)
        page.evaluate("midi(0xB0, 21, 0)")
        eventually_sync(lambda: look(server)["strength"] == 0)
        page.evaluate("midi(0x90, 36, 100)")
        eventually_sync(lambda: look(server)["style"] == {"autumn": 1.0})
        assert faults(page) == []

        # Chromium's microphone beeps once a second.
        page.get_by_role("combobox", name="Sound moves").select_option("strength")
        heard: set[float] = set()

        def hear() -> set[float]:
            heard.add(look(server)["strength"])
            return heard

        eventually_sync(lambda: max(hear()) > 0.2 and len(heard) > 3)
        page.get_by_role("combobox", name="Sound moves").select_option("beat")
        eventually_sync(lambda: look(server)["style"] not in (None, {"autumn": 1.0}))
        page.get_by_role("combobox", name="Sound moves").select_option("off")

        page.reload()  # what was learnt is kept
        expect_state(page, "live")
        button(page, "On a stage").click()
        button(page, "Listen to MIDI controllers").click()
        expect(page.get_by_text("cc:0:21")).to_be_visible()
    eventually_sync(lambda: server.streams() == {})


def test_a_loop_of_the_painting_is_a_gif(server: Server, chromium: Browser, tmp_path: Path) -> None:
    with page_at(chromium, f"{server.url}/?style=none", accept_downloads=True) as page:
        button(page, "Use the sample video").click()
        expect_state(page, "live")
        page.get_by_title("Pictures and clips").click()
        button(page, "Three-second loop (GIF)").click()
        loop = page.get_by_role("img", name="Picture 1")
        loop.wait_for(timeout=LIVE_MS)
        with page.expect_download() as saved:
            button(page, "Save").click()
        assert saved.value.suggested_filename.startswith("streamer-none-loop-")
        with Picture.open(saved.value.path()) as gif:
            assert (gif.format, max(gif.size), gif.info["loop"]) == ("GIF", 400, 0)
            frames = [frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(gif)]
            assert gif.info["duration"] == 100
        assert len(frames) == 30 and len(set(frames)) > 3, "it moves"
    eventually_sync(lambda: server.streams() == {})


def test_a_phone_is_shown_the_way(server: Server, chromium: Browser) -> None:
    url = "https://192.0.2.7:8000/?token=0123456789abcdef"

    def answer(route: Route) -> None:
        invited = {"id": "1", "url": url, "qr": qr.svg(url)}
        there = {"url": url.partition("?")[0], "closed": True}
        route.fulfill(json=invited if route.request.method == "POST" else there)

    with page_at(chromium, server.url) as page:
        page.route("**/phone", answer)
        button(page, "Send to").click()
        button(page, "Show a code for a phone").click()
        expect(page.get_by_text(url, exact=True)).to_be_visible()
        eventually_sync(lambda: page.locator("img.qr").evaluate("image => image.naturalWidth") > 0)
        assert faults(page) == []
        shoot(page, "on-a-phone")


def test_viewers_are_let_in_by_https_and_a_token_that_can_be_revoked(
    chromium: Browser, tmp_path: Path
) -> None:
    environment = {"STREAMER_DATA_DIR": str(tmp_path)}
    options = ("--https", "--host", "127.0.0.1", "--backend", "none", "--workers", "1")
    server = Server(tmp_path / "out", *options, "--token", ADMIN, environment=environment)
    insecure: dict[str, Any] = {"ignore_https_errors": True}
    try:
        with page_at(chromium, f"{server.url}/?token={ADMIN}", **insecure) as page:
            assert page.evaluate("isSecureContext") and page.url.startswith("https:")
            button(page, "Start camera").click()
            expect_state(page, "live")
            button(page, "Send to").click()
            expect(page.get_by_text("Only this machine reaches the address")).to_be_visible()
            button(page, "Make addresses that may only watch").click()
            address = page.locator("code").filter(has_text="/watch/page?token=").inner_text()
            assert ADMIN not in page.content()
            shoot(page, "viewers")
            with page_at(chromium, address, **insecure) as viewer:
                video = viewer.locator("video")
                eventually_sync(lambda: video.evaluate("video => video.videoWidth") > 0)
            with page_at(chromium, f"{server.url}/?token={ADMIN}", **insecure) as other:
                other.goto(address)  # an admin who tries it stays one
                other.goto(server.url)
                button(other, "Send to").click()
                expect(button(other, "Make addresses that may only watch")).to_be_visible()
            button(page, "Revoke").click()
            expect(button(page, "Make addresses that may only watch")).to_be_visible()
            with page_at(chromium, address, **insecure) as stranger:
                expect(stranger.get_by_label("Token")).to_be_visible()
    finally:
        server.stop()
