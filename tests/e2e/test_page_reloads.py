"""What reloads of the page leave behind."""

import numpy as np
import psutil
import pytest
from playwright.sync_api import Browser

from tests.support.browser import Server, button, expect_state, page_at
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.e2e

RELOADS = 50


def memory(server: Server) -> float:
    """Bytes of the server itself."""
    return float(psutil.Process(server.pid).memory_info().rss)


def test_fifty_reloads_leave_the_server_as_it_was(server: Server, chromium: Browser) -> None:
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
    grown = np.mean(sizes[-5:]) - np.mean(sizes[10:15])
    assert grown < 40 * 2**20, [round(size / 2**20) for size in sizes]
