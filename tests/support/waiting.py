"""Waits until another task, thread or process has brought something about."""

import asyncio
import time
from collections.abc import Callable

WITHIN_S = 60.0  # generous: the machine may be busy, and only a failing test waits it out


async def eventually(condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
    """Until `condition` holds; the event loop runs on meanwhile."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s"
        await asyncio.sleep(0.01)


def eventually_sync(condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
    """Until `condition` holds, without an event loop."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s"
        time.sleep(0.02)
