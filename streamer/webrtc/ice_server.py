"""The address of a STUN or TURN server; light enough for the command line to import."""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

from streamer.errors import UsageError

LIFETIME_S = 24 * 3600
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
    secret: str | None = None  # shared with a TURN server, which it makes credentials for

    def __post_init__(self) -> None:
        if not _URI.fullmatch(self.url):
            raise UsageError(f"{self.url!r} is not the address of a STUN or TURN server")

    def at(self, now: float) -> "IceServer":
        """With credentials for a day from `now`, in seconds since 1970, if it has a secret.

        As coturn's `use-auth-secret` checks them (draft-uberti-behave-turn-rest-00).
        """
        if self.secret is None:
            return self
        username = f"{int(now) + LIFETIME_S}:streamer"
        digest = hmac.new(self.secret.encode(), username.encode(), hashlib.sha1).digest()
        return IceServer(self.url, username, base64.b64encode(digest).decode())
