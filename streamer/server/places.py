"""Which HTTP connections may stay; pure, so that attacks can be replayed in a test.

A connection begins as *waiting*: it has not yet sent a request that the guard accepts. Of these
there are few places, a share of them for each address, and a newcomer takes the place of the one
that has waited longest. So connections that send nothing, or only requests without a token, keep
nobody else out: an accepted request moves its connection to the places that are kept for those.

Of these, too, each role has a share, and each token half of that: who lets others watch can still
publish, and an admin is always served. There a newcomer takes the place of the connection whose
last request is longest ago, unless all are being answered.
"""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from streamer.server.access import Access, Role

C = TypeVar("C", bound=Hashable)

SHARES: Final[dict[Role, float]] = {"watch": 1 / 2, "publish": 1 / 4}  # of all places


class Places(Generic[C]):
    """`total` connections, of which `waiting` may be waiting, `per_address` of one address."""

    def __init__(self, total: int, waiting: int, per_address: int) -> None:
        self.total = total
        self._waiting_max = waiting
        self._per_address = per_address
        self._waiting: dict[C, str] = {}  # in order of arrival
        self._accepted: dict[C, Access] = {}  # in order of their last requests
        self._busy: set[C] = set()  # of these, whose request is not answered yet

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

    def accept(self, connection: C, access: Access) -> C | None:
        """It sent a request that the guard accepts; returns the one to close, as `enter` does."""
        leaving = self._in_the_way(connection, access)
        if leaving is not connection:
            self.leave(connection)
            self._accepted[connection] = access
            self._busy.add(connection)
        if leaving is not None:
            self.leave(leaving)
        return leaving

    def rest(self, connection: C) -> None:
        """Its request is answered."""
        self._busy.discard(connection)

    def leave(self, connection: C) -> None:
        self._waiting.pop(connection, None)
        self._accepted.pop(connection, None)
        self._busy.discard(connection)

    def _in_the_way(self, connection: C, access: Access) -> C | None:
        if connection not in self._waiting and connection not in self._accepted:
            return connection  # it has left meanwhile
        if access.role not in SHARES:
            return None
        share = self.total * SHARES[access.role]
        role = [one for one, its in self._accepted.items() if its.role == access.role]
        token = [one for one in role if self._accepted[one].token == access.token]
        for same, most in ((token, share / 2), (role, share)):
            if connection not in same and len(same) >= most:
                return next((one for one in same if one not in self._busy), connection)
        return None
