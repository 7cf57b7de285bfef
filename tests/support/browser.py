"""A real browser and a real server, for the tests of the page and its screenshots."""

import base64
import contextlib
import os
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
from playwright.sync_api import Browser, Page, Playwright, ViewportSize

from tests.support.clips import number_frame, read_number
from tests.support.waiting import eventually_sync

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
WIDTH, HEIGHT, FPS, CLIP_FRAMES = 640, 360, 30, 150
LIVE_MS = 30_000  # two cores that other programs use too
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
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


@contextlib.contextmanager
def server_with(
    folder: Path, *options: str, environment: dict[str, str] | None = None
) -> Iterator["Server"]:
    """A server that is ready, with these options; what it says goes into the folder."""
    server = Server(folder / "out", *options, environment=environment)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def write_numbers(path: Path) -> None:
    """A film for a camera: frames that say their number."""
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FPS}:1 Ip A1:1 C420\n".encode())
        for n in range(CLIP_FRAMES):
            file.write(b"FRAME\n" + number_frame(n, WIDTH, HEIGHT).data.tobytes())


def fake_camera(clip: Path) -> tuple[str, ...]:
    """Chromium's options for a camera that shows the clip, and is allowed."""
    return (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
    )


class Server:
    """`streamer serve`, which can be killed and started again on the same port."""

    def __init__(
        self, output: Path, *options: str, environment: dict[str, str] | None = None
    ) -> None:
        self._environment = environment
        self._output = output
        self._options = options
        self.url = ""
        self.start()

    def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "streamer", "serve", "--no-browser", "--port", port]
        with self._output.open("w") as out:
            self._process = subprocess.Popen(
                [*command, *self._options],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(self._environment or {})},
            )
        self._wait(lambda: "streamer at" in self._output.read_text())
        self.url = self._output.read_text().split()[2].rstrip("/")

    def wait_until_ready(self) -> None:
        self._wait(lambda: self._get("/readyz").status_code == 200)

    def streams(self) -> dict[str, Any]:
        found: dict[str, Any] = self._get("/stats").json()["streams"]
        return found

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        self._process.kill()
        self._process.wait()

    def _get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", verify=False)  # the certificate may be its own

    def _wait(self, there: Any) -> None:
        for _ in range(600):
            assert self._process.poll() is None, self._output.read_text()
            with contextlib.suppress(httpx.TransportError):
                if there():
                    return
            time.sleep(0.1)
        raise AssertionError(self._output.read_text())


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
def page_at(
    browser: Browser, url: str, size: Any = DESKTOP, script: str = "", **options: Any
) -> Iterator[Page]:
    context = browser.new_context(viewport=size, **options)
    try:
        page = context.new_page()
        page.add_init_script(COUNT_PEERS + script)
        page.goto(url)
        yield page
    finally:
        context.close()


def expect_state(page: Page, state: str) -> None:
    """Waits with the page's own frames; `expect` entries once a second only."""
    page.locator(f'main[data-state="{state}"]').wait_for(state="attached", timeout=LIVE_MS)


def button(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True).first


def faults(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def frames_seen(page: Page, at_least: int) -> list[np.ndarray[Any, Any]]:
    """The frames presented from now on, as RGBA."""
    page.evaluate(WATCH, SEEN)
    eventually_sync(lambda: page.evaluate("seen.length") >= at_least)
    width, height = SEEN
    return [
        np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
        for text in page.evaluate("seen")
    ]


def numbers(frames: list[np.ndarray[Any, Any]]) -> list[int]:
    """Those that can be read, but for 0: Chromium's camera repeats it when the clip begins anew."""
    read = (read_number(frame[..., 1]) for frame in frames)
    return [number for number in read if number]


def color_of(frames: list[np.ndarray[Any, Any]]) -> float:
    """How far from grey the upper half is, where the camera is black and white."""
    upper = np.stack(frames)[:, : SEEN[1] // 2, :, :3].astype(float)
    return float(np.ptp(upper, axis=-1).mean())
