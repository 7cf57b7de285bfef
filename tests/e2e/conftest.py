"""A server for each test, and for the tests of the page a server and browser for each module."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.support.browser import Server, fake_camera, launch, server_with, write_numbers
from tests.support.served import Served, served_with
from tests.support.video_clips import Clip, write_clip


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """With the options of an indirect parameter, if any."""
    with served_with(*getattr(request, "param", ())) as server:
        yield server


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera: frames that say their number, over and over."""
    path = tmp_path_factory.mktemp("clip") / "numbers.y4m"
    write_numbers(path)
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of numbered frames."""
    clip = Clip(tuple(range(0, 25 * 512, 512)), width=320, height=180)
    return write_clip(tmp_path_factory.mktemp("film") / "clip.mp4", clip)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server_with(tmp_path_factory.mktemp("server"), "--max-peers", "1") as server:
        yield server


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playwright: Playwright, clip: Path) -> Iterator[Browser]:
    with launch(playwright, *fake_camera(clip)) as browser:
        yield browser


@pytest.fixture
def streamer(tmp_path: Path) -> Any:
    """Runs the command line with a data folder of its own."""
    own = {**os.environ, "STREAMER_DATA_DIR": str(tmp_path / "data")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "streamer", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, env=own, check=False
        )

    return run
