"""The page at every size: how much of the painting is seen, how little is sent, who is let in."""

import gzip
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, expect

from streamer.server.pages import PAGE
from tests.support.browser import (
    LIVE_MS,
    PHONE,
    Server,
    button,
    expect_state,
    faults,
    launch,
    page_at,
    server_with,
    shoot,
)
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.e2e

SIZES = {
    "phone": PHONE,
    "phone-lying": {"width": 844, "height": 390},
    "small": {"width": 320, "height": 568},
    "720p": {"width": 1280, "height": 720},
    "1080p": {"width": 1920, "height": 1080},
    "4k": {"width": 3840, "height": 2160},
}
LEAST_SHOWN_AWAKE = 0.85  # all of it while the controls have faded
FIRST_LOAD_BYTES = 60_000
MOST_STOPS = 30  # of the tab key, through the page while it is live
TOKEN = "0123456789abcdef"

# The share of the window in which the painting is what one would click on.
SHOWN = """
    () => {
      const [steps, all] = [60, 60 * 60];
      let seen = 0;
      for (let i = 0; i < all; i++) {
        const x = (i % steps + 0.5) * innerWidth / steps;
        const y = (Math.floor(i / steps) + 0.5) * innerHeight / steps;
        const covers = '.float :is(.chip, button, label), .sheet';
        if (!document.elementFromPoint(x, y)?.closest(covers)) seen++;
      }
      return seen / all;
    }
"""
# What is cut off, or can only be reached by scrolling the page.
OUTSIDE = """
    () => [...document.querySelectorAll('header button, .dock .bar button, .dock .ends button')]
      .map((one) => [one.ariaLabel ?? one.textContent.trim(), one.getBoundingClientRect()])
      .filter(([, {width}]) => width > 0)
      .filter(([, {left, top, right, bottom}]) =>
        left < 0 || top < 0 || right > innerWidth || bottom > innerHeight)
      .map(([name]) => name)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--backend", "none", "--workers", "1")
    with server_with(tmp_path_factory.mktemp("server"), *options) as server:
        yield server


@pytest.mark.parametrize("size", SIZES)
def test_the_painting_is_the_page(server: Server, chromium: Browser, size: str) -> None:
    with page_at(chromium, f"{server.url}/?style=none", SIZES[size]) as page:
        expect(page.locator("[data-style]").first).to_be_visible(timeout=LIVE_MS)
        assert page.evaluate(OUTSIDE) == [], "idle"
        button(page, "Start camera").click()
        expect_state(page, "live")
        expect(page.locator("main.quiet")).to_be_attached(timeout=LIVE_MS)
        page.wait_for_timeout(500)
        opaque = page.locator(".float").evaluate_all(
            "all => all.filter((one) => getComputedStyle(one).opacity > 0.05).length"
        )
        assert opaque == 0, "all controls have faded"
        shoot(page, f"quiet-{size}")
        page.mouse.move(100, 200)
        page.mouse.move(120, 220)
        expect(page.locator("main.quiet")).to_have_count(0)
        assert page.evaluate(OUTSIDE) == [], "live"
        if size in ("720p", "1080p", "4k"):
            assert page.evaluate(SHOWN) > LEAST_SHOWN_AWAKE, "even with all controls shown"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shoot(page, f"live-{size}")
    eventually_sync(lambda: server.streams() == {})


def test_a_key_alone_brings_back_what_it_is_meant_for(server: Server, chromium: Browser) -> None:
    with page_at(chromium, f"{server.url}/?style=none") as page:
        button(page, "Start camera").click()
        expect_state(page, "live")
        page.keyboard.press(" ")
        expect(page.locator(".toast")).to_contain_text("Paused")
        video = page.locator('video[aria-label="Stylized picture"]')
        assert video.evaluate("video => video.paused")
        assert len(server.streams()) == 1, "a pause ends nothing"
        button(page, "Continue").click()
        eventually_sync(lambda: not video.evaluate("video => video.paused"))
        button(page, "Photo").click()
        button(page, "Film").click()
        page.go_back()
        page.go_back()
        expect(video).to_be_visible()
        assert len(server.streams()) == 1, "going back goes through the tabs"
        button(page, "Stop").click()
        eventually_sync(lambda: server.streams() == {})
        button(page, "Undo").click()
        expect_state(page, "live")
        page.reload()
        expect_state(page, "live")
    eventually_sync(lambda: server.streams() == {})


def test_a_window_zoomed_to_400_percent_can_be_used(server: Server, chromium: Browser) -> None:
    with page_at(chromium, f"{server.url}/?style=none", {"width": 320, "height": 180}) as page:
        button(page, "Start camera").click()
        expect_state(page, "live")
        for name in ("Before and after", "Take a picture", "Look", "Stop"):
            control = button(page, name)
            control.scroll_into_view_if_needed()
            box = control.bounding_box()
            assert box and box["y"] >= 0 and box["y"] + box["height"] <= 180, name
            assert box["x"] >= 0 and box["x"] + box["width"] <= 320, name
        shoot(page, "zoom-400")
        assert faults(page) == []
        button(page, "Stop").click()
    eventually_sync(lambda: server.streams() == {})


def test_a_keyboard_needs_few_steps(server: Server, chromium: Browser) -> None:
    with page_at(chromium, f"{server.url}/?style=none") as page:
        expect(page.locator("[data-style]").first).to_be_visible(timeout=LIVE_MS)
        button(page, "Start camera").click()
        expect_state(page, "live")
        page.evaluate("document.activeElement.blur()")
        stops: list[str] = []
        while len(stops) < MOST_STOPS:
            page.keyboard.press("Tab")
            at = page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
            if at in stops or at.startswith("<body"):
                break
            stops.append(at)
        assert 10 < len(stops) < MOST_STOPS
    eventually_sync(lambda: server.streams() == {})


def test_a_kiosk_shows_nothing_but_the_painting(server: Server, chromium: Browser) -> None:
    with page_at(chromium, f"{server.url}/?style=none&kiosk") as page:
        expect_state(page, "live")
        assert page.evaluate(SHOWN) == 1
    eventually_sync(lambda: server.streams() == {})


def test_no_more_is_sent_than_is_needed(server: Server, chromium: Browser) -> None:
    sent: list[str] = []
    with page_at(chromium, "about:blank") as page:
        page.on("response", lambda answer: sent.append(answer.url))
        page.goto(server.url)
        expect(page.locator("[data-style]").first).to_be_visible(timeout=LIVE_MS)
        names = [url.removeprefix(server.url) for url in sent]
    code = [name for name in names if re.search(r"^/$|\.(js|css|svg)$", name)]
    assert any(name.endswith(".js") for name in code)
    sizes = {name: packed(name) for name in code}
    assert sum(sizes.values()) < FIRST_LOAD_BYTES, sizes
    assert not [name for name in names if name.startswith("http")], "nothing comes from elsewhere"


def packed(name: str) -> int:
    """Bytes of a file of the page, as it is sent."""
    path = PAGE / ("index.html" if name == "/" else name.removeprefix("/"))
    return len(gzip.compress(path.read_bytes(), mtime=0))


def test_forced_colours_tell_what_is_chosen(server: Server, chromium: Browser) -> None:
    with page_at(chromium, f"{server.url}/?style=none", forced_colors="active") as page:
        chosen = page.locator("[data-style=none]")
        expect(chosen).to_be_visible(timeout=LIVE_MS)
        other = page.locator("[data-style]").nth(1)
        outline = "card => getComputedStyle(card).outlineStyle"
        assert chosen.evaluate(outline) == "solid" != other.evaluate(outline)
        shoot(page, "forced-colours")


def test_whoever_has_no_token_is_asked_for_it(
    playwright: Playwright, tmp_path_factory: pytest.TempPathFactory
) -> None:
    output = tmp_path_factory.mktemp("guarded") / "out"
    server = Server(output, "--backend", "none", "--workers", "1", "--token", TOKEN)
    try:
        home = server.url.partition("/?")[0]
        with launch(playwright) as browser, page_at(browser, f"{home}/?style=none") as page:
            shoot(page, "token")
            assert faults(page) == []
            field = page.get_by_label("Token")
            field.fill("wrong")
            field.press("Enter")
            expect(page.get_by_role("alert")).to_be_visible()
            page.get_by_label("Token").fill(TOKEN)
            page.get_by_label("Token").press("Enter")
            expect(page.locator("main[data-state]")).to_be_attached(timeout=LIVE_MS)
            assert page.url == f"{home}/?style=none", "no token in the history, and the same look"
    finally:
        server.stop()
