"""`make screenshots`: every screen of the page as PNG, and the pictures of the README.

python -m tests.support.screenshots [SIZE...] [--readme]: into build/screenshots, by size and theme,
with an index.html to leaf through them; with --readme into docs/ instead. The camera is the face
of web/public/face.webp.
"""

import base64
import html
import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as Picture
from playwright.sync_api import (
    Browser,
    Page,
    Playwright,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.support.browser import (
    LIVE_MS,
    PHONE,
    SCREENSHOTS,
    Server,
    button,
    expect_state,
    fake_camera,
    launch,
    page_at,
    server_with,
)
from tests.support.video_clips import Clip, write_clip

Shoot = Callable[[Page, str], None]
DOCS = Path(__file__).parents[2] / "docs"
FACE = Path(__file__).parents[2] / "web" / "public" / "face.webp"
SIZES: dict[str, ViewportSize] = {
    "390x844": PHONE,
    "844x390": {"width": 844, "height": 390},
    "1280x720": {"width": 1280, "height": 720},
    "1920x1080": {"width": 1920, "height": 1080},
}
SCHEMES = ("light", "dark")
SHEETS = (
    ("look", "Look"),
    ("styles", "All styles"),
    ("captures", "Last picture"),
    ("send", "Send to"),
    ("stage", "On a stage"),
    ("settings", "Settings and shortcuts"),
)
CAPTIONS = {
    "idle": "Before Start: a painted face and a landscape, moving",
    "live": "Live, the controls just used",
    "quiet": "Live, the pointer at rest: the painting alone",
    "divider": "Before and after, at the divider",
    "look": "The look in painters' words",
    "styles": "All styles on one's own picture",
    "captures": "The last pictures and clips",
    "send": "Where the stream can go",
    "stage": "Sound, MIDI, a second window, a kiosk",
    "settings": "Settings and shortcuts",
    "stats": "The numbers",
    "mixture": "Two styles mixed",
    "photo-empty": "A photo, before it is chosen",
    "photo": "A photo, painted and compared",
    "film-empty": "A film, before it is chosen",
    "film-chosen": "A film's first frame in several styles",
    "film": "A film being painted",
}
CAMERA_FPS, CAMERA_FRAMES = 15, 45
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
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        server_with(Path(folder), "--max-peers", "2") as server,
    ):
        readme = "--readme" in sys.argv
        chosen = [size for size in SIZES if size in sys.argv] or ([] if readme else SIZES)
        for size in chosen:
            _size(playwright, server, size, Path(folder))
        if readme:
            clip = write_camera(Path(folder) / "readme.y4m", 1280, 720)
            with launch(playwright, *fake_camera(clip)) as browser:
                _readme(browser, server)
    _index()
    print(f"screenshots are in {SCREENSHOTS}")


def _size(playwright: Playwright, server: Server, size: str, folder: Path) -> None:
    """An upright phone has an upright camera."""
    upright = size == "390x844"
    width, height = (720, 1280) if upright else (1280, 720)
    clip = write_camera(folder / f"{size}.y4m", width, height)
    with launch(playwright, *fake_camera(clip)) as browser:
        for scheme in SCHEMES:
            _screens(browser, server, size, scheme, folder)


def _screens(browser: Browser, server: Server, size: str, scheme: str, folder: Path) -> None:
    def shoot(page: Page, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}-{size}-{scheme}.png")

    touch = size in ("390x844", "844x390")
    options: dict[str, Any] = {"size": SIZES[size], "color_scheme": scheme, "has_touch": touch}
    with page_at(browser, server.url, **options) as page:
        _live_screens(page, shoot)
    with page_at(browser, f"{server.url}/?tab=photo", **options) as page:
        _photo_screens(page, shoot)
    with page_at(browser, f"{server.url}/?tab=video", **options) as page:
        _film_screens(page, shoot, folder)


def _live_screens(page: Page, shoot: Shoot) -> None:
    _thumbnails(page)
    shoot(page, "01-idle")
    button(page, "Start camera").click()
    expect_state(page, "live")
    page.wait_for_timeout(SETTLED_MS)
    _thumbnails(page)
    page.mouse.move(5, 300)
    page.mouse.move(8, 310)
    page.wait_for_timeout(600)
    shoot(page, "02-live")
    expect(page.locator("main.quiet")).to_be_attached(timeout=LIVE_MS)
    page.wait_for_timeout(600)
    shoot(page, "03-quiet")
    page.keyboard.press("c")
    page.wait_for_timeout(600)
    shoot(page, "04-divider")
    page.keyboard.press("c")
    button(page, "Take a picture").click()
    expect(button(page, "Last picture")).to_be_visible(timeout=LIVE_MS)
    for number, (name, label) in enumerate(SHEETS, 5):
        button(page, label).click()
        page.wait_for_timeout(1200)
        shoot(page, f"{number:02d}-{name}")
        page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.wait_for_timeout(1200)
    shoot(page, "11-stats")
    page.keyboard.press("n")
    button(page, "Mix").click()
    page.locator("[data-style]").nth(3).click()
    page.wait_for_timeout(1500)
    shoot(page, "12-mixture")


def _photo_screens(page: Page, shoot: Shoot) -> None:
    _thumbnails(page)
    shoot(page, "13-photo-empty")
    page.locator(".drop input[type=file]").set_input_files(FACE)
    expect(page.get_by_role("img", name="Stylized photo")).to_be_visible(timeout=LIVE_MS)
    _thumbnails(page)
    shoot(page, "14-photo")


def _film_screens(page: Page, shoot: Shoot, folder: Path) -> None:
    film = write_clip(folder / "dance.mp4", Clip(pts=range(0, 3000 * 512, 512)))
    page.wait_for_timeout(500)
    shoot(page, "15-film-empty")
    page.locator(".drop input[type=file]").set_input_files(film)
    previews = page.get_by_role("img", name="The first frame in")
    expect(previews).to_have_count(4, timeout=4 * LIVE_MS)
    shoot(page, "16-film-chosen")
    button(page, "Paint the film").click()
    expect(page.get_by_text("of 3000")).to_be_visible(timeout=LIVE_MS)
    page.wait_for_timeout(SETTLED_MS)
    shoot(page, "17-film")
    with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        button(page, "Cancel").click()  # else the server goes on painting it


def write_camera(path: Path, width: int, height: int, sway: float = 0.02) -> Path:
    """A camera that sees the face, swaying by this share of the width."""
    with Picture.open(FACE) as picture:
        face = cv2.cvtColor(np.asarray(picture.convert("RGB")), cv2.COLOR_RGB2BGR)
    down, across = face.shape[:2]
    scale = max(width / across, height / down) * 1.08
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{CAMERA_FPS}:1 Ip A1:1 C420\n".encode())
        for i in range(CAMERA_FRAMES):
            turn = 2 * np.pi * i / CAMERA_FRAMES
            x = (width - scale * across) / 2 + sway * width * np.sin(turn)
            y = (height - scale * down) / 2
            move = np.array([[scale, 0, x], [0, scale, y]], np.float32)
            frame = cv2.warpAffine(
                face, move, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes())
    return path


def _index() -> None:
    """A page to leaf through all of them."""
    pictures = ""
    for size in (f"{size}-{scheme}" for size in SIZES for scheme in SCHEMES):
        found = sorted(SCREENSHOTS.glob(f"[0-9][0-9]-*-{size}.png"))
        pictures += f"<h2>{size.replace('-', ', ')}</h2>" if found else ""
        for path in found:
            number, name = path.name.removesuffix(f"-{size}.png").split("-", 1)
            caption = f"{int(number)}. {html.escape(CAPTIONS.get(name, name))}"
            pictures += f'<figure><img src="{path.name}" alt="" loading="lazy">'
            pictures += f"<figcaption>{caption}</figcaption></figure>"
    style = (
        "body{font:14px system-ui;background:#777;color:#fff}h2{clear:both}figure{margin:0 0 2em}"
        "img{max-width:100%;max-height:85vh}"
    )
    text = f'<!doctype html><meta charset="utf-8"><style>{style}</style>{pictures}'
    (SCREENSHOTS / "index.html").write_text(text, encoding="utf-8")


def _readme(browser: Browser, server: Server) -> None:
    """A picture of the page, and its picture in motion while styles change."""
    DOCS.mkdir(exist_ok=True)
    size = SIZES["1280x720"]
    url = server.url
    with page_at(browser, f"{url}/?camera=divider", size, color_scheme="dark") as page:
        _thumbnails(page)
        _live(page)
        page.get_by_role("slider", name="Divider").fill("36")
        page.mouse.move(640, 300)  # the controls are there, and do not fade
        page.wait_for_timeout(600)
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
    button(page, "Start camera").click()
    expect_state(page, "live")
    page.wait_for_timeout(SETTLED_MS)
    _thumbnails(page)


def _thumbnails(page: Page) -> None:
    """Wait until every style shows what it does."""
    cards = page.locator("[data-style]")
    expect(cards.first).to_be_visible(timeout=LIVE_MS)
    expect(cards.locator("img")).to_have_count(cards.count(), timeout=6 * LIVE_MS)


if __name__ == "__main__":
    main()
