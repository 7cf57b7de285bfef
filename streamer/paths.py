"""Where files lie: the models that come with streamer, and the user's data directory."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import platformdirs

from streamer import temporary


def built_in_models() -> Path:
    """The folder of the models that come with streamer: in the wheel, else in the checkout."""
    here = Path(__file__).parent
    packaged = here / "models"
    return packaged if packaged.is_dir() else here.parent / "models"


def data_dir() -> Path:
    """`$STREAMER_DATA_DIR`, else the platform's usual place; it need not exist yet."""
    if chosen := os.environ.get("STREAMER_DATA_DIR"):
        return Path(chosen)
    return platformdirs.user_data_path("streamer", appauthor=False)


def cache_dir() -> Path:
    """For what can be made again: `$STREAMER_CACHE_DIR`, else the platform's usual place."""
    if chosen := os.environ.get("STREAMER_CACHE_DIR"):
        return Path(chosen)
    return platformdirs.user_cache_path("streamer", appauthor=False)


def config_file() -> Path:
    """`$STREAMER_CONFIG`, else config.toml in the platform's usual place; it need not exist."""
    if chosen := os.environ.get("STREAMER_CONFIG"):
        return Path(chosen)
    return platformdirs.user_config_path("streamer", appauthor=False) / "config.toml"


def user_models() -> Path:
    """The folder of the models that were pulled or added; it need not exist yet."""
    return data_dir() / "models"


def another_streamer() -> str | None:
    """How to end it that another program called `streamer` shares our folder and command.

    One on the package index does. What is installed later overwrites files of what was there.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("streamer")
    except PackageNotFoundError:
        return None
    both = "pip uninstall streamer stylestreamer"
    return f"the package `streamer` {found} overwrites this one's files; {both}, then install anew"


@contextmanager
def written_whole(target: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Write a file that appears at `target` once it is complete and on disk, or not at all.

    0o600 keeps other users from reading it, at any time. Raises OSError.
    """
    temporary.sweep_files(target.parent)
    draft = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        # Not tempfile, whose files are 0o600 always.
        with os.fdopen(os.open(draft, flags, mode), "wb") as file:
            temporary.hold(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
