"""The examples run as their first lines say."""

import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.support.browser import LIVE_MS
from tests.support.pictures import smooth_rgb
from tests.support.served import TOKEN, Served, served_with

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(name: str, *arguments: object, program: tuple[str, ...] = ()) -> str:
    done = subprocess.run(
        [*program, sys.executable, EXAMPLES / name, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_picture(tmp_path: Path) -> None:
    Image.fromarray(smooth_rgb(160, 96, 1)).save(tmp_path / "photo.jpg")
    said = run("picture.py", tmp_path / "photo.jpg", tmp_path / "out.jpg")
    assert said.startswith("wrote ") and int(said.split()[-1].rstrip("%")) > 10
    with Image.open(tmp_path / "out.jpg") as painted:
        assert painted.size == (160, 96)


def test_film(film: Path, tmp_path: Path) -> None:
    assert "25 frames in" in run("film.py", film, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(list(container.decode(video=0))) == 25


def test_webcam_window_shows_frames(film: Path) -> None:
    """A video file stands for the camera, Xvfb for the screen."""
    program = ("xvfb-run", "--auto-servernum")
    assert "5 frames shown" in run("webcam_window.py", film, 5, program=program)


def test_whip_client(served: Served, film: Path) -> None:
    served.wait_until("/readyz", 120)
    said = run("whip_client.py", f"{served.url}/whip/example", film)
    assert "first stylized frame: 320x180" in said and "30 stylized frames came back" in said


def test_whip_client_says_why_it_is_refused(film: Path) -> None:
    with served_with("--token", TOKEN) as server:
        server.wait_until("/readyz", 120)
        command = [sys.executable, "whip_client.py", f"{server.url}/whip/one", str(film)]
        done = subprocess.run(
            command, cwd=EXAMPLES, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert "401 Unauthorized: " in done.stderr and "Bearer TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


def test_whip_client_in_a_browser(chromium: Browser) -> None:
    """Its page is of another origin than the server."""
    page_url = "http://127.0.0.1:9581"
    command = [sys.executable, "-m", "http.server", "9581", "--bind", "127.0.0.1"]
    with (
        subprocess.Popen([*command, "--directory", EXAMPLES], stderr=subprocess.DEVNULL) as pages,
        served_with("--allow-origin", page_url) as server,
    ):
        try:
            server.wait_until("/readyz", 120)
            page = chromium.new_page()
            page.goto(f"{page_url}/whip_client.html?server={server.url}")
            page.get_by_role("button", name="Start").click()
            video = page.locator("video")
            expect(page.get_by_role("status")).to_have_text("connected", timeout=LIVE_MS)
            expect(video).to_have_js_property("videoWidth", 640, timeout=LIVE_MS)
            page.get_by_role("button", name="Stop").click()
            expect(page.get_by_role("status")).to_have_text("ended", timeout=LIVE_MS)
            page.close()
        finally:
            pages.terminate()
