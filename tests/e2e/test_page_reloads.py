"""What reloads of the page leave behind."""

from pathlib import Path

import numpy as np
import psutil
import pytest
from playwright.sync_api import Browser

from tests.support.browser import Server, button, expect_state, page_at, server_with
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.e2e

RELOADS = 50
# A heap for every thread keeps up to 140 MB that nobody uses, now more and now less: it hid leaks.
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}


def memory(server: Server) -> float:
    """Bytes of the server itself."""
    return float(psutil.Process(server.pid).memory_info().rss)


def test_fifty_reloads_leave_the_server_as_it_was(tmp_path: Path, chromium: Browser) -> None:
    with server_with(tmp_path, "--max-peers", "1", environment=ONE_HEAP) as server:
        sizes = _reload(server, chromium)
    grown = np.mean(sizes[-10:]) - np.mean(sizes[10:20])
    assert grown < 20 * 2**20, [round(size / 2**20) for size in sizes]


def _reload(server: Server, chromium: Browser) -> list[float]:
    with page_at(chromium, f"{server.url}/?style=none") as page:
        page.route("**/stylize/**", lambda route: route.abort())  # thumbnails are not the point
        sizes = []
        button(page, "Use the sample video").click()
        expect_state(page, "live")
        for _ in range(RELOADS):
            page.reload()  # and it goes on by itself
            expect_state(page, "live")
            assert len(server.streams()) == 1
            sizes.append(memory(server))
    eventually_sync(lambda: server.streams() == {})
    return sizes
