"""Web origins as RFC 6454 defines them: scheme, host and port; compared as such, never as text."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]+", re.ASCII)


class Origin(NamedTuple):
    scheme: str
    host: str
    port: int


def parse_origin(text: str) -> Origin | None:
    """The origin that `text` serializes (RFC 6454, section 6.2), or None."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme, parts.hostname
    whole = text.lower() == f"{scheme}://{parts.netloc}".lower() and "@" not in parts.netloc
    if scheme not in _PORTS or not host or not _HOST.fullmatch(host) or not whole:
        return None
    if port == 0 or parts.netloc.endswith(":"):
        return None
    return Origin(scheme, host, port or _PORTS[scheme])
