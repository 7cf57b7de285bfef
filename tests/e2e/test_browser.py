"""The page in a real browser: a camera of numbered frames in, the decoded picture read back.

Screenshots of every state lie in build/screenshots afterwards.
"""

import base64
import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.clips import number_frame, read_number

pytestmark = pytest.mark.e2e

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
WIDTH, HEIGHT, FPS, CLIP_FRAMES = 640, 360, 30, 150
LIVE_MS = 30_000  # two cores that other programs use too
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-loopback-in-peer-connection",
]
SEEN = (160, 24)  # each decoded frame is read back at this size

COUNT_PEERS = """
    window.pcs = [];
    const Real = RTCPeerConnection;
    window.RTCPeerConnection = class extends Real {
      constructor(...options) { super(...options); pcs.push(this); }
    };
"""

# Keeps every frame the <video> gets, small, as base64 of RGBA. (What requestVideoFrameCallback
# draws is not always the frame it was called for: a late call finds the next one already.)
WATCH = """
    async ([width, height]) => {
      const video = document.querySelector('video[aria-label="Stylized picture"]');
      const track = video.srcObject.getVideoTracks()[0].clone();
      const reader = new MediaStreamTrackProcessor({track}).readable.getReader();
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext('2d', {willReadFrequently: true});
      const seen = window.seen = [];
      const read = async () => {
        const {value: frame, done} = await reader.read();
        if (done || seen !== window.seen) return;
        context.drawImage(frame, 0, 0, width, height);
        frame.close();
        const rgba = context.getImageData(0, 0, width, height).data;
        seen.push(btoa(String.fromCharCode(...rgba)));
        read();
      };
      read();
    }
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera: frames that say their number, over and over."""
    path = tmp_path_factory.mktemp("clip") / "numbers.y4m"
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip A1:1 C420\n".encode())
        for n in range(CLIP_FRAMES):
            file.write(b"FRAME\n" + number_frame(n, WIDTH, HEIGHT).data.tobytes())
    return path


class Server:
    """`streamer serve`, which can be killed and started again on the same port."""

    def __init__(self, output: Path, *options: str) -> None:
        self._output = output
        self._options = options
        self.url = ""
        self.start()

    def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "streamer", "serve", "--no-browser", "--port", port]
        with self._output.open("w") as out:
            self._process = subprocess.Popen(
                [*command, *self._options], stdout=out, stderr=subprocess.STDOUT
            )
        self._wait(lambda: "streamer at" in self._output.read_text())
        self.url = self._output.read_text().split()[2].rstrip("/")

    def wait_until_ready(self) -> None:
        self._wait(lambda: httpx.get(f"{self.url}/readyz").status_code == 200)

    def streams(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.url}/stats").json()["streams"]
        return found

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        self._process.kill()
        self._process.wait()

    def _wait(self, there: Any) -> None:
        for _ in range(600):
            assert self._process.poll() is None, self._output.read_text()
            with contextlib.suppress(httpx.TransportError):
                if there():
                    return
            time.sleep(0.1)
        raise AssertionError(self._output.read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server") / "out", "--max-peers", "1")
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playwright: Playwright, clip: Path) -> Iterator[Browser]:
    with launch(
        playwright,
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
    ) as browser:
        yield browser


@contextlib.contextmanager
def launch(playwright: Playwright, *options: str) -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    assert path is not None, "no Chromium here: apt-get install chromium"
    browser = playwright.chromium.launch(executable_path=path, args=[*CHROMIUM, *options])
    try:
        yield browser
    finally:
        browser.close()


@contextlib.contextmanager
def page_at(browser: Browser, url: str, size: Any = DESKTOP, script: str = "") -> Iterator[Page]:
    context = browser.new_context(viewport=size)
    try:
        page = context.new_page()
        page.add_init_script(COUNT_PEERS + script)
        page.goto(url)
        yield page
    finally:
        context.close()


def expect_state(page: Page, state: str) -> None:
    expect(page.locator("main")).to_have_attribute("data-state", state, timeout=LIVE_MS)


def button(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True).first


def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def frames_seen(page: Page, at_least: int) -> list[np.ndarray[Any, Any]]:
    """The frames presented from now on, as RGBA."""
    page.evaluate(WATCH, SEEN)
    wait_until(lambda: page.evaluate("seen.length") >= at_least)
    width, height = SEEN
    return [
        np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
        for text in page.evaluate("seen")
    ]


def numbers(frames: list[np.ndarray[Any, Any]]) -> list[int]:
    """Those that can be read, but for 0: Chromium's camera repeats it when the clip begins anew."""
    read = (read_number(frame[..., 1]) for frame in frames)
    return [number for number in read if number]


def test_a_camera_is_painted_in_order_and_changes_style_on_the_same_connection(
    server: Server, chromium: Browser
) -> None:
    with page_at(chromium, f"{server.url}/?style=none") as page:
        errors: list[str] = []
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        shoot(page, "idle")
        button(page, "Start").click()
        expect_state(page, "live")

        plain = frames_seen(page, at_least=60)
        order = numbers(plain)
        assert len(order) > len(plain) / 2, "the numbers can be read"
        steps = np.diff(order) % CLIP_FRAMES
        assert ((steps > 0) & (steps < CLIP_FRAMES / 2)).all(), order

        page.get_by_role("radio", name="Mosaic").check()
        expect(page.get_by_text("applied at frame")).to_be_attached(timeout=LIVE_MS)
        wait_until(lambda: color_of(frames_seen(page, at_least=5)) > color_of(plain) + 10)
        expect(page.get_by_role("region", name="Numbers")).to_contain_text("Mbit/s")
        assert page.evaluate("pcs.length") == 1
        assert "style=mosaic" in page.url
        shoot(page, "live")

        button(page, "Stop").click()
        expect_state(page, "idle")
        wait_until(lambda: server.streams() == {})
        assert errors == []


def color_of(frames: list[np.ndarray[Any, Any]]) -> float:
    """How far from grey the upper half is, where the camera is black and white."""
    upper = np.stack(frames)[:, : SEEN[1] // 2, :, :3].astype(float)
    return float(np.ptp(upper, axis=-1).mean())


def wait_until(there: Any) -> None:
    deadline = time.monotonic() + LIVE_MS / 1000
    while not there():
        assert time.monotonic() < deadline, "did not come to pass"
        time.sleep(0.1)


def test_the_sample_picture_needs_no_camera_and_a_full_server_says_so(
    server: Server, chromium: Browser
) -> None:
    no_camera = "Object.defineProperty(navigator, 'mediaDevices', {value: undefined});"
    with page_at(chromium, f"{server.url}/?style=none", PHONE, no_camera) as page:
        shoot(page, "phone-idle")
        button(page, "Start").click()
        expect(page.get_by_role("alert")).to_contain_text("gives no camera")
        shoot(page, "phone-insecure")
        button(page, "Use the sample picture").click()
        expect_state(page, "live")
        frames = frames_seen(page, at_least=5)
        assert not np.array_equal(frames[0], frames[-1]), "it moves"
        shoot(page, "phone-live")
        with page_at(chromium, server.url) as other:
            button(other, "Start").click()
            expect_state(other, "failed")
            expect(other.get_by_role("alert")).to_contain_text("server is full")
            shoot(other, "full")
    wait_until(lambda: server.streams() == {})  # closing the page hangs up


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "No camera was found"),
        (("--use-fake-device-for-media-stream", "--deny-permission-prompts"), "not allowed"),
    ],
    ids=["no camera", "denied"],
)
def test_a_camera_that_cannot_be_had_is_explained(
    server: Server, playwright: Playwright, options: tuple[str, ...], says: str
) -> None:
    with launch(playwright, *options) as browser, page_at(browser, server.url) as page:
        if not options:
            page.context.grant_permissions(["camera", "microphone"])
        button(page, "Start").click()
        expect(page.get_by_role("alert")).to_contain_text(says, timeout=LIVE_MS)
        expect_state(page, "failed")
        expect(button(page, "Use the sample picture")).to_be_visible()
        shoot(page, says.lower().replace(" ", "-"))


def test_the_page_comes_back_by_itself_after_a_restart(server: Server, chromium: Browser) -> None:
    with page_at(chromium, f"{server.url}/?style=none") as page:
        button(page, "Start").click()
        expect_state(page, "live")
        server.stop()
        expect(page.get_by_role("alert")).to_be_visible(timeout=LIVE_MS)
        expect_state(page, "connecting")
        shoot(page, "server-gone")
        server.start()  # answers "not ready" while its workers load
        expect_state(page, "live")
        frames_seen(page, at_least=5)
        assert page.evaluate("pcs.length") > 1
