"""peer → **intake** → pipeline: one place between a live source and the ring.

It keeps the newest item and counts those it drops.
"""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Intake(Generic[T]):
    """The newest item wins: a slow ring costs frames, never memory or latency.

    Not thread-safe: `put` belongs on the event loop that awaits `ready`.
    """

    def __init__(self) -> None:
        self.received = 0
        self.dropped = 0
        self._newest: T | None = None
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def waits(self) -> bool:
        """Whether an item can be taken."""
        return self._newest is not None

    def put(self, item: T) -> None:
        """Offer an item; one that nobody took before it is dropped."""
        if self._closed:
            return
        self.received += 1
        self.dropped += self._newest is not None
        self._newest = item
        self._changed.set()

    async def ready(self) -> bool:
        """Wait until an item can be taken; False when there will be none."""
        while self._newest is None and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        return self._newest is not None

    def take(self) -> T:
        """The newest item. Raises LookupError when there is none: call `ready` first."""
        if self._newest is None:
            raise LookupError("nothing to take; await ready() first")
        item, self._newest = self._newest, None
        return item

    def close(self) -> None:
        """No more items; one that waits stays, `ready` may have promised it to someone."""
        self._closed = True
        self._changed.set()
