"""pull, add → **store**: the models a user added, their files and manifest, on disk."""

import contextlib
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock

from streamer.errors import ModelError, UsageError
from streamer.paths import data_dir, user_models
from streamer.styles.catalogue import Catalogue
from streamer.styles.manifest import MANIFEST, NAME, read_models, read_table
from streamer.styles.model import LayoutName, StyleEntry

_LOCK_TIMEOUT_S = 20.0
_HEAD = "# Written by `streamer styles`; change it with pull, add and remove.\nformat = 1\n"


def to_name(text: str) -> str:
    """`text` as a style's name, of a-z, 0-9 and single dashes. Raises UsageError."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].strip("-")
    if not NAME.fullmatch(name):
        raise UsageError(f"{text!r} cannot be a name; give one of a-z, 0-9 and dashes with --name")
    return name


def free_name(text: str) -> str:
    """A name after `text` that is not taken: starry-night, else starry-night-2, and so on."""
    try:
        name = to_name(text)[:58].strip("-")
    except UsageError:  # written in other letters
        name = "painting"
    catalogue = Catalogue.load()
    models = {model.name for model in catalogue.models}
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    names = itertools.chain([name], numbered)
    return next(free for free in names if free not in models and free not in catalogue)


def check_free(name: str) -> None:
    """Raise UsageError when a style or model has this name."""
    catalogue = Catalogue.load()
    owners = [m.name for m in catalogue.models if m.name == name]
    if name in catalogue:
        owners = [catalogue.find(name)[0].name] if name != "none" else ["streamer"]
    if owners:
        hint = "choose another with --name"
        raise UsageError(f"the name {name} is taken, by the model {owners[0]}; {hint}")


@dataclass(frozen=True, slots=True)
class NewModel:
    name: str
    data: bytes
    layout: LayoutName
    entries: tuple[StyleEntry, ...]
    license: str
    source: str
    multiple: int = 0  # of both sides of an image; 0: the layout's own


def add(new: NewModel) -> tuple[str, ...]:
    """Keep a model under a name that is free; returns the names of its styles.

    The manifest is written last: until then nobody knows of the new files. Raises UsageError, or
    ModelError when nothing can be written there; then nothing is left behind.
    """
    with _lock():
        check_free(new.name)
        entry = _entry(new)
        read_models(user_models(), {"model": [entry]})  # what cannot be read again is not written
        path = user_models() / entry["file"]
        _write(path, new.data)
        try:
            _write_manifest([*_entries(), entry])
        except ModelError:
            path.unlink(missing_ok=True)
            raise
    catalogue = Catalogue.load()
    return tuple(catalogue.check(f"{style.name}@{new.name}") for style in new.entries)


def _entry(new: NewModel) -> dict[str, Any]:
    """The model in the manifest's form."""
    entry: dict[str, Any] = {
        "name": new.name,
        "file": f"{new.name}.onnx",
        "sha256": hashlib.sha256(new.data).hexdigest(),
        "layout": new.layout,
        "license": new.license,
        "source": new.source,
        "style": [asdict(entry) for entry in new.entries],
    }
    if new.multiple:
        entry["multiple"] = new.multiple
    return entry


def remove(name: str) -> str:
    """Remove the model that was added as `name`, or that has the style; returns its name.

    Raises UnknownStyleError, ModelError, or UsageError for a model that came with streamer.
    """
    with _lock():
        catalogue = Catalogue.load()
        found = [model for model in catalogue.models if model.name == name]
        model = found[0] if found else catalogue.find(name)[0]
        if not model.added:
            text = f"{name} came with streamer; only pulled and added styles can be removed"
            raise UsageError(text)
        _write_manifest([entry for entry in _entries() if entry["name"] != model.name])
    if model.path.parent == user_models():  # not a file of a package
        with contextlib.suppress(OSError):  # nobody knows of it any more
            model.path.unlink()
    return model.name


def rename(name: str, title: str) -> None:
    """Give an added style another title. Raises UnknownStyleError, UsageError, ModelError."""
    with _lock():
        model, style = Catalogue.load().find(name)
        if not model.added:
            raise UsageError(f"{name} came with streamer; only added styles can be renamed")
        entries = _entries()
        for entry in entries:
            if entry["name"] == model.name:
                for own in entry["style"]:
                    if own["name"] == style.name:
                        own["title"] = title
        _write_manifest(entries)


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """Keep other processes from changing the manifest meanwhile. Raises ModelError."""
    path = data_dir() / "models.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path, _LOCK_TIMEOUT_S)
        lock.acquire()
    except filelock.Timeout:
        raise ModelError(f"another process is changing the styles; it holds {path}") from None
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def _entries() -> list[dict[str, Any]]:
    manifest = user_models() / MANIFEST
    entries: list[dict[str, Any]] = (
        read_table(manifest).get("model", []) if manifest.exists() else []
    )
    return entries


def _write_manifest(entries: Iterable[Mapping[str, Any]]) -> None:
    tables = [_HEAD]
    for entry in entries:
        tables.append(_table("model", entry))
        tables += [_table("model.style", style) for style in entry["style"]]
    _write(user_models() / MANIFEST, "\n".join(tables).encode(errors="replace"))


def _table(name: str, values: Mapping[str, Any]) -> str:
    """TOML writes strings, numbers and lists as JSON does, except for the DEL character."""
    lines = [f"[[{name}]]"]
    lines += [
        f"{key} = {json.dumps(value, ensure_ascii=False).replace(chr(127), '')}"
        for key, value in values.items()
        if key != "style"
    ]
    return "\n".join(lines) + "\n"


def _write(path: Path, content: bytes) -> None:
    """Replace a file at once: a reader sees the old one or the new one. Raises ModelError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        if isinstance(error, OSError):
            raise ModelError(f"cannot write {path}: {error.strerror}") from None
        raise
