"""receiver, sender → **threads** → codecs: work in threads that may hang, or fail for good."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from streamer.errors import MediaError

T = TypeVar("T")

log = logging.getLogger(__name__)

HANG_S = 1.5  # no codec takes so long for a frame
MAX_FAILURES = 30  # in a row


class BrokenError(MediaError):
    """A codec that hangs or always fails: its connection cannot go on."""


class Threads:
    """Runs the work of one codec in `executor`; `name` is what a message calls it."""

    def __init__(self, executor: Executor, name: str) -> None:
        self.busy = False
        self._executor, self._name = executor, name
        self._failures = 0  # in a row

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """What `work` returns or raises. Raises BrokenError when it hangs."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, work, *args)
        self.busy = True
        try:
            # Half of it, twice: a process that was stopped for long finds the first half over.
            for _ in range(2):
                await asyncio.wait({future}, timeout=HANG_S / 2)
                if future.done():
                    result = future.result()
                    self._failures = 0
                    return result
        finally:
            self.busy = False
            future.cancel()
        raise BrokenError(f"the {self._name} hangs")

    def failed(self, error: Exception) -> None:
        """It raised what no damaged frame explains. Raises BrokenError when it always does."""
        self._failures += 1
        if self._failures == 1:
            log.error("x the %s failed; it starts again", self._name, exc_info=error)
        if self._failures >= MAX_FAILURES:
            raise BrokenError(f"the {self._name} fails again and again: {error!r}")
