"""The address of a STUN or TURN server; light enough for the command line to import."""

import re
from dataclasses import dataclass

from streamer.errors import UsageError

# RFC 7064 and RFC 7065, section 3.1 each.
_URI = re.compile(
    r"(stuns?|turns?):(\[[0-9a-fA-F:.]+\]|[^\s:?@\[\]]+)(:\d{1,5})?(\?transport=(udp|tcp))?"
)


@dataclass(frozen=True, slots=True)
class IceServer:
    """`stun:host:port` or `turn:host:port?transport=udp`, without credentials in `url`.

    Raises UsageError for an address that is neither.
    """

    url: str
    username: str | None = None
    credential: str | None = None

    def __post_init__(self) -> None:
        if not _URI.fullmatch(self.url):
            raise UsageError(f"{self.url!r} is not the address of a STUN or TURN server")
