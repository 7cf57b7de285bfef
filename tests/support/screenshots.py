"""`make screenshots`: every screen of the page as PNG, and the pictures of the README.

python -m tests.support.screenshots [--readme]: into build/screenshots; with --readme also
into docs/.
"""

import base64
import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image as Picture
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.browser import (
    DESKTOP,
    LIVE_MS,
    PHONE,
    SCREENSHOTS,
    Server,
    button,
    expect_state,
    launch,
    page_at,
)
from tests.support.video_clips import Clip, write_clip

DOCS = Path(__file__).parents[2] / "docs"
SIZES = {"desktop": DESKTOP, "phone": PHONE}
SCHEMES = ("light", "dark")
FRAMES, FRAME_MS, WIDTH = 56, 110, 560  # of the animation
FRAME = """
    width => {
      const video = document.querySelector('video[aria-label="Stylized picture"]');
      const canvas = document.createElement('canvas');
      canvas.width = width;
      canvas.height = Math.round(width * video.videoHeight / video.videoWidth);
      canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
      return canvas.toDataURL('image/png');
    }
"""
SETTLED_MS = 4000  # for a height that fits this machine, and numbers to show


def main() -> None:
    """Serve, look, and write."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder) / "out", "--max-peers", "2")
        try:
            server.wait_until_ready()
            with launch(playwright) as browser:
                for size in SIZES:
                    for scheme in SCHEMES:
                        _screens(browser, server, size, scheme, Path(folder))
                if "--readme" in sys.argv:
                    _readme(browser, server)
        finally:
            server.stop()
    print(f"screenshots are in {SCREENSHOTS}")


def _screens(browser: Browser, server: Server, size: str, scheme: str, folder: Path) -> None:
    def shoot(page: Page, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}-{size}-{scheme}.png"
        page.screenshot(path=path, full_page=size == "phone")

    options: dict[str, Any] = {"size": SIZES[size], "color_scheme": scheme}
    with page_at(browser, f"{server.url}/?camera=divider&stats=1", **options) as page:
        _thumbnails(page)
        shoot(page, "idle")
        _live(page)
        shoot(page, "live")
        page.get_by_role("button", name="Blend in").nth(1).click()
        page.get_by_role("radio", name="Side by side").check()
        page.keyboard.press("n")
        page.wait_for_timeout(1000)
        shoot(page, "mixture")
        button(page, "Settings and shortcuts").click()
        shoot(page, "settings")
    with page_at(browser, f"{server.url}/?tab=photo", **options) as page:
        _thumbnails(page)
        shoot(page, "photo-empty")
        page.locator(".drop input[type=file]").set_input_files(
            {"name": "sea.jpg", "mimeType": "image/jpeg", "buffer": _sample(page)}
        )
        expect(page.get_by_role("img", name="Stylized photo")).to_be_visible(timeout=LIVE_MS)
        _thumbnails(page)
        shoot(page, "photo")
    film = write_clip(folder / "dance.mp4", Clip(pts=range(0, 3000 * 512, 512)))
    with page_at(browser, f"{server.url}/?tab=video", **options) as page:
        shoot(page, "film-empty")
        page.locator(".drop input[type=file]").set_input_files(film)
        expect(page.get_by_text("of 3000")).to_be_visible(timeout=LIVE_MS)
        _thumbnails(page)
        shoot(page, "film")
        button(page, "Cancel").click()


def _readme(browser: Browser, server: Server) -> None:
    """A picture of the page, and its picture in motion while styles change."""
    DOCS.mkdir(exist_ok=True)
    size = {"width": 1280, "height": 800}
    url = f"{server.url}/?height=360"  # as sharp as it gets, whatever this machine is busy with
    with page_at(browser, f"{url}&camera=divider", size, color_scheme="dark") as page:
        _thumbnails(page)
        _live(page)
        page.get_by_role("slider", name="Divider").fill("36")
        picture = Picture.open(io.BytesIO(page.screenshot())).convert("RGB")
        picture.save(DOCS / "page.webp", quality=82, method=6)
    with page_at(browser, url, size) as page:
        _live(page)
        first, *rest = _moving(page)
        first.save(
            DOCS / "live.webp",
            save_all=True,
            append_images=rest,
            duration=FRAME_MS,
            loop=0,
            quality=50,
            method=5,
        )


def _moving(page: Page) -> Iterator[Picture.Image]:
    """What the page shows while its style is changed every now and then."""
    for i in range(FRAMES):
        if i % 14 == 13:
            page.keyboard.press("ArrowRight")
        url: str = page.evaluate(FRAME, WIDTH)
        data = base64.b64decode(url.partition(",")[2])
        yield Picture.open(io.BytesIO(data)).convert("RGB")
        page.wait_for_timeout(FRAME_MS)


def _live(page: Page) -> None:
    button(page, "Use the sample video").click()
    expect_state(page, "live")
    page.wait_for_timeout(SETTLED_MS)
    _thumbnails(page)


def _thumbnails(page: Page) -> None:
    """Wait until every style shows what it does."""
    cards = page.locator("[data-style]")
    expect(cards.first).to_be_visible(timeout=LIVE_MS)
    expect(cards.locator("img")).to_have_count(cards.count(), timeout=4 * LIVE_MS)
    expect(page.locator(".refresh:disabled")).to_have_count(0, timeout=4 * LIVE_MS)


def _sample(page: Page) -> bytes:
    """The sample picture, which the page draws itself, as a photo."""
    url: str = page.evaluate("document.querySelector('canvas').toDataURL('image/jpeg')")
    return base64.b64decode(url.partition(",")[2])


if __name__ == "__main__":
    main()
