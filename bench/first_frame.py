"""How long the page keeps people waiting: python -m bench.first_frame [--runs N] [OPTION...]

Chromium on this machine, its camera a face that stands still. From the click on *Start camera* to
the first painted frame, with the steps between; from a key that chooses the next style to the first
frame that looks otherwise. OPTIONs go to `streamer serve`.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.support.browser import LIVE_MS, Server, fake_camera, launch, page_at
from tests.support.screenshots import write_camera

SIZE = {"width": 1280, "height": 720}
SETTLED_MS = 4000
CHANGES = 5  # of the style, in each run

# Notes when each step ends, in ms since the click.
STEPS = """
    window.steps = {};
    const note = name => { steps[name] ??= performance.now() - window.clicked; };
    const media = navigator.mediaDevices, getUserMedia = media.getUserMedia.bind(media);
    media.getUserMedia = async wanted => {
      const stream = await getUserMedia(wanted);
      note('camera');
      return stream;
    };
    const fetching = window.fetch;
    window.fetch = async (...wanted) => {
      const post = wanted[1]?.method === 'POST' && String(wanted[0]).includes('/whip/');
      if (post) note('offer sent');
      const answer = await fetching(...wanted);
      if (post) note('answer');
      return answer;
    };
    const Pc = RTCPeerConnection;
    window.RTCPeerConnection = class extends Pc {
      constructor(...options) {
        super(...options);
        this.addEventListener('connectionstatechange', () =>
          this.connectionState === 'connected' && note('connected'));
        this.addEventListener('track', ({track}) =>
          track.kind === 'video' && track.addEventListener('unmute', () => note('first packet')));
      }
    };
"""
START = """
    () => new Promise(resolve => {
      const video = document.querySelector('video[aria-label="Stylized picture"]');
      video.requestVideoFrameCallback(() =>
        resolve({...steps, 'painted frame': performance.now() - window.clicked}));
      window.clicked = performance.now();
      [...document.querySelectorAll('button')]
        .find(button => button.textContent.trim() === 'Start camera').click();
    })
"""
# The picture stands still: a frame far from the mean of the last ones has the new style.
CHANGE = """
    async () => {
      const video = document.querySelector('video[aria-label="Stylized picture"]');
      const canvas = new OffscreenCanvas(32, 18);
      const context = canvas.getContext('2d', {willReadFrequently: true});
      const next = () => new Promise(resolve => video.requestVideoFrameCallback(() => {
        context.drawImage(video, 0, 0, 32, 18);
        resolve(context.getImageData(0, 0, 32, 18).data);
      }));
      const before = [];
      while (before.length < 15) before.push(await next());
      const mean = [...before[0]].map((_, i) =>
        before.reduce((sum, one) => sum + one[i], 0) / before.length);
      const far = one =>
        one.reduce((sum, value, i) => sum + Math.abs(value - mean[i]), 0) / one.length;
      const noise = Math.max(...before.map(far));
      const pressed = performance.now();
      window.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
      while (far(await next()) < 2 * noise + 1)
        if (performance.now() - pressed > 10_000) throw new Error('the style did not change');
      return performance.now() - pressed;
    }
"""


def main() -> None:
    """Print each run, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    wanted, options = parser.parse_known_args()
    steps: list[dict[str, float]] = []
    changes: list[float] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        camera = write_camera(Path(folder) / "face.y4m", 1280, 720, sway=0)
        server = Server(Path(folder) / "out", "--max-peers", "2", *options)
        try:
            server.wait_until_ready()
            for _ in range(wanted.runs):
                with (
                    launch(playwright, *fake_camera(camera)) as browser,
                    page_at(browser, server.url, SIZE, STEPS) as page,
                ):
                    _run(page, steps, changes)
        finally:
            server.stop()
    for name in sorted(steps[0], key=lambda name: _median([run[name] for run in steps])):
        _print(name, [run.get(name, float("nan")) for run in steps])
    _print("new style seen", changes)


def _run(page: Page, steps: list[dict[str, float]], changes: list[float]) -> None:
    page.locator("[data-style]").first.wait_for(timeout=LIVE_MS)
    page.wait_for_timeout(SETTLED_MS)
    first: dict[str, Any] = page.evaluate(START)
    steps.append(first)
    page.wait_for_timeout(SETTLED_MS)
    for _ in range(CHANGES):
        changes.append(page.evaluate(CHANGE))
        page.wait_for_timeout(1500)


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _print(name: str, values: list[float]) -> None:
    listed = " ".join(f"{value:.0f}" for value in values)
    print(f"{name:>15}: median {_median(values):.0f} ms of {listed}")


if __name__ == "__main__":
    main()
