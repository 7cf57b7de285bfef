"""`streamer token revoke` → **revoking** → guard, live: what a token opened ends with it.

The file of the tokens is looked at, whoever has changed it: a command, or the page. Ended are the
requests that are being answered, such as motion JPEG and uploads, and what publishes and watches.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

from streamer.server.tokens import Tokens

log = logging.getLogger(__name__)

LOOK_S = 1.0

EndOf = Callable[[str], Awaitable[None]]  # ends all that this token, a digest, has opened
Abort = Callable[[], None]


class Revoking:
    """`tokens`: None where no request needs one."""

    def __init__(self, tokens: Tokens | None, ends: Sequence[EndOf]) -> None:
        self._tokens = tokens
        self._ends = ends
        self._answering: defaultdict[str, set[Abort]] = defaultdict(set)

    @contextlib.contextmanager
    def answering(self, token: str, abort: Abort) -> Iterator[None]:
        """Inside, a request with this token is answered; `abort` ends its connection."""
        self._answering[token].add(abort)
        try:
            yield
        finally:
            self._answering[token].discard(abort)
            if not self._answering[token]:
                del self._answering[token]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Inside, what a token opened ends a second or two after it is revoked."""
        task = asyncio.create_task(self._run(self._tokens)) if self._tokens else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()

    async def _run(self, tokens: Tokens) -> None:
        left: set[str] = set()
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                left |= tokens.revoked()
                await asyncio.gather(*(self._end(token, left) for token in left))
            except Exception:  # such as a process that does not answer: once more
                log.exception("x what a revoked token opened could not be ended yet")

    async def _end(self, token: str, left: set[str]) -> None:
        for abort in [*self._answering.get(token, ())]:
            abort()
        # A connection that is only being agreed on lacks its answer, so nobody can use it.
        await asyncio.gather(*(end_of(token) for end_of in self._ends))
        left.discard(token)
