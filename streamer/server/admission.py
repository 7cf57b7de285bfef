"""Work that takes long → **turnstile** → so much of it at once, a short line, and a clear no."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from streamer.errors import ServerFullError


class AdmissionLimit:
    """Lets `at_once` through, keeps `waiting` more in line, and turns the rest away."""

    def __init__(self, at_once: int, waiting: int, what: str) -> None:
        self._room = at_once + waiting
        self._turns = asyncio.Semaphore(at_once)
        self._what = what  # in the plural

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Inside it is one's turn. Raises ServerFullError."""
        if self._room == 0:
            raise ServerFullError(f"too many {self._what} at once; try again in a few seconds")
        self._room -= 1
        try:
            async with self._turns:
                yield
        finally:
            self._room += 1
