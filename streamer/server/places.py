"""Which HTTP connections may stay; pure, so that attacks can be replayed in a test.

A connection begins as *waiting*: it has not yet sent a request that the guard accepts. Of these
there are few places, a share of them for each address, and a newcomer takes the place of the one
that has waited longest. So connections that send nothing, or only requests without a token, keep
nobody else out: an accepted request moves its connection to the places that are kept for those.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

C = TypeVar("C", bound=Hashable)


class Places(Generic[C]):
    """`total` connections, of which `waiting` may be waiting, `per_address` of one address."""

    def __init__(self, total: int, waiting: int, per_address: int) -> None:
        self.total = total
        self._waiting_max = waiting
        self._per_address = per_address
        self._waiting: dict[C, str] = {}  # in order of arrival
        self._accepted: set[C] = set()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._accepted)

    def enter(self, connection: C, address: str) -> C | None:
        """A place for a new connection; returns the one to close, which may be the new one."""
        same = [one for one, theirs in self._waiting.items() if theirs == address]
        leaving: C | None = None
        if len(same) >= self._per_address:
            leaving = same[0]
        elif len(self._waiting) >= self._waiting_max or len(self) >= self.total:
            leaving = next(iter(self._waiting), connection)
        if leaving is not None:
            self._waiting.pop(leaving, None)
        if leaving is not connection:
            self._waiting[connection] = address
        return leaving

    def accept(self, connection: C) -> None:
        """It sent a request that the guard accepts."""
        if self._waiting.pop(connection, None) is not None:
            self._accepted.add(connection)

    def leave(self, connection: C) -> None:
        self._waiting.pop(connection, None)
        self._accepted.discard(connection)
