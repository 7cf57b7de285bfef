"""cluster → **sent files** → worker: files that travel to where a worker is, by their content."""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import ModelError
from streamer.paths import cache_dir, written_whole


@dataclass(frozen=True, slots=True)
class SentFiles:
    """Says where files of the machine that started the workers are on this one.

    `sent` has the SHA-256 of each, and the key that `fetch` takes.
    """

    sent: Mapping[Path, tuple[str, bytes]]
    fetch: Callable[[bytes], bytes | None]

    def __call__(self, path: Path) -> Path:
        """A file here of the same content, which is fetched if need be. Raises ModelError."""
        if path not in self.sent:
            return path
        sha256, key = self.sent[path]
        kept = cache_dir() / "sent" / sha256
        for here in (path, kept):
            with contextlib.suppress(OSError):
                if hashlib.sha256(here.read_bytes()).hexdigest() == sha256:
                    return here
        data = self.fetch(key) or b""
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ModelError(f"{path.name} did not come whole over the cluster")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(kept) as file:
            file.write(data)
        return kept


def read_all(files: Iterable[Path]) -> Iterator[tuple[Path, bytes]]:
    """Each file with its content; without those that cannot be read: who needs one will say so."""
    for path in files:
        with contextlib.suppress(OSError):
            yield path, path.read_bytes()
