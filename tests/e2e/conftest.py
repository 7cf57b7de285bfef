"""A server for each test, and for the tests of the page a server and browser for each module."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.support.browser import Server, fake_camera, launch, write_numbers
from tests.support.served import Served, served_with


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
    with launch(playwright, *fake_camera(clip)) as browser:
        yield browser
