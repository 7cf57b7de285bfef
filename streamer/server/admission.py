"""Bounds work that takes long: a few at once, a few more waiting, the rest refused at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from streamer.errors import ServerFullError


class AdmissionLimit:
    """`at_once` requests may work and `waiting` more may wait; `what` names them in the plural."""

    def __init__(self, at_once: int, waiting: int, what: str) -> None:
        self._free = at_once + waiting
        self._at_once = asyncio.Semaphore(at_once)
        self._what = what

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[asyncio.Semaphore]:
        """Hold a place, to read the body in; work only inside of the semaphore it gives.

        Raises ServerFullError when all places are taken.
        """
        if self._free == 0:
            raise ServerFullError(f"too many {self._what} at once; try again in a few seconds")
        self._free -= 1
        try:
            yield self._at_once
        finally:
            self._free += 1
