"""`streamer token` → **tokens** → guard: tokens with roles, kept by their SHA-256 alone."""

import contextlib
import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from streamer.errors import StreamerError, UsageError
from streamer.paths import data_dir, written_whole
from streamer.server.access import Access, Role

TOKEN_BYTES = 24


@dataclass(frozen=True, slots=True)
class Token:
    """One token as it is kept; the token itself is shown once, when it is made."""

    id: str
    role: Role
    stream: str | None
    note: str
    created: str
    sha256: str


def path() -> Path:
    return data_dir() / "tokens.json"


def add(role: Role, stream: str | None = None, note: str = "") -> tuple[Token, str]:
    """Make a token and keep its digest; returns both. Raises StreamerError."""
    text = secrets.token_urlsafe(TOKEN_BYTES)
    made = Token(secrets.token_hex(4), role, stream, note, f"{date.today()}", _digest(text))
    _write([*load(), made])
    return made, text


def revoke(id_: str) -> Token:
    """A running server refuses it from now on, and ends what it opened within seconds.

    Raises UsageError for an unknown id.
    """
    found = load()
    for token in found:
        if token.id == id_:
            _write([other for other in found if other is not token])
            return token
    raise UsageError(f"no token has the id {id_!r}; `streamer token list` shows all")


def load() -> list[Token]:
    """Those that are kept. Raises StreamerError when the file is damaged."""
    try:
        entries = json.loads(path().read_text(encoding="utf-8"))
        return [Token(**entry) for entry in entries]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StreamerError(f"cannot read {path()}: {error.strerror}") from None
    except (ValueError, TypeError, RecursionError):
        raise StreamerError(f"{path()} is damaged; delete it and make new tokens") from None


def _write(tokens: list[Token]) -> None:
    try:
        path().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with written_whole(path(), 0o600) as file:
            file.write(json.dumps([asdict(token) for token in tokens], indent=2).encode())
    except OSError as error:
        raise StreamerError(f"cannot write {path()}: {error.strerror}") from None


def _digest(text: str) -> str:
    """Tokens are random, so a plain digest is enough: there is nothing to guess from."""
    return hashlib.sha256(text.encode()).hexdigest()


class Tokens:
    """The kept tokens as a server looks them up; reads the file again when it has changed."""

    def __init__(self, admin: str) -> None:
        self._admin = _digest(admin)
        self._version: tuple[int, int, int] | None = None
        self._kept: dict[str, Access] = {}
        self._revoked: set[str] = set()

    def find(self, text: str) -> Access | None:
        """What the token allows, or None. A damaged file counts as empty: nobody gets in by it."""
        self._refresh()
        digest = _digest(text)  # timing tells about the digest only, which helps no guess
        if secrets.compare_digest(digest, self._admin):
            return Access("admin")
        return self._kept.get(digest)

    def revoked(self) -> set[str]:
        """Digests of the tokens that were revoked since the last call."""
        self._refresh()
        revoked, self._revoked = self._revoked - self._kept.keys(), set()
        return revoked

    def _refresh(self) -> None:
        version = None
        with contextlib.suppress(OSError):
            found = path().stat()
            version = found.st_mtime_ns, found.st_ino, found.st_size
        if version != self._version:
            self._revoked |= self._kept.keys()
            self._version, self._kept = version, {}
            try:
                self._kept = {
                    one.sha256: Access(one.role, one.stream, one.sha256) for one in load()
                }
            except StreamerError:
                self._version = None  # it may be readable the next time
