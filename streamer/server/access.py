"""Who may do what: roles of tokens, and the slowing down of those who guess. Pure.

| role | may |
|---|---|
| watch | GET, except /phone; WHEP |
| publish | also WHIP, PATCH /streams/NAME, POST /stylize and /videos |
| admin | everything |

A token for one stream reaches no other stream, and no statistics.
"""

import ipaddress
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal, get_args

Role = Literal["watch", "publish", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

FREE_MISTAKES = 5
DELAY_S, MAX_DELAY_S = 0.5, 5.0  # more for each further wrong token, up to so much
FORGET_S = 600.0
ADDRESSES = 10_000  # that are remembered

_READ = frozenset({"GET", "HEAD", "OPTIONS"})
_STREAM = re.compile(r"/(?:whip|whep|watch|streams)/(?P<name>[^/]*)")
_IMAGE = re.compile(r"/streams/(?P<name>[^/]*)\.(?:jpg|mjpeg)$")
_PHONE = re.compile(r"/phone$")  # of those who may let phones in
_WHEP = re.compile(r"/whep/")
_PUBLISH = re.compile(r"/(?:whip|streams|stylize)/|/videos(?:/|$)")
_ALL_STREAMS = re.compile(r"/(?:streams|stats|metrics)/?$")
_FILES = re.compile(r"/(?:stylize/|videos(?:/|$))")  # of no stream


@dataclass(frozen=True, slots=True)
class Access:
    """What a token allows; `stream`: to one stream only.

    `token` is its digest, "" for those that nobody can revoke.
    """

    role: Role
    stream: str | None = None
    token: str = field(default="", compare=False)

    def allows(self, method: str, path: str) -> bool:
        if self.role == "admin":
            return True
        return self._role_allows(method, path) and self._stream_allows(method, path)

    def _role_allows(self, method: str, path: str) -> bool:
        if _PHONE.match(path):
            return False
        if method in _READ or _WHEP.match(path):
            return True
        return self.role == "publish" and _PUBLISH.match(path) is not None

    def _stream_allows(self, method: str, path: str) -> bool:
        if self.stream is None:
            return True
        if _ALL_STREAMS.match(path) or _FILES.match(path):
            return False
        image = _IMAGE.match(path) if method in _READ else None
        named = image or _STREAM.match(path)
        return named is None or named["name"] == self.stream


class Guesses:
    """Wrong tokens by address: each answer to one takes longer than that before.

    Right tokens are never delayed, so nobody locks out others who share the address.
    """

    def __init__(self) -> None:
        self._mistakes: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def delay_s(self, address: str, now: float) -> float:
        """How long to wait before saying that a token was wrong."""
        key = _network(address)
        count, last = self._mistakes.pop(key, (0, now))
        count = 1 if now - last > FORGET_S else count + 1
        self._mistakes[key] = (count, now)
        if len(self._mistakes) > ADDRESSES:
            self._mistakes.popitem(last=False)
        return min(MAX_DELAY_S, DELAY_S * max(0, count - FREE_MISTAKES))


def _network(address: str) -> str:
    """An IPv6 host has 2**64 addresses to guess from."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    return str(ipaddress.ip_network((int(found), 64), strict=False))
