"""models/styles.toml and the user's own → **manifest** → catalogue: models by their descriptions.

Both files have one form, `format = 1`; `models/styles.toml` explains it.
"""

import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any

from streamer.errors import ModelError
from streamer.paths import built_in_models, user_models
from streamer.styles.model import LAYOUTS, ModelFile, StyleEntry

MANIFEST = "styles.toml"
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def read_all() -> tuple[list[ModelFile], str]:
    """Every model, built-in ones first, and the default style. Raises ModelError."""
    shipped = read_table(built_in_models() / MANIFEST)
    models = read_models(built_in_models(), shipped)
    own = user_models() / MANIFEST
    if own.exists():
        models += read_models(own.parent, read_table(own), added=True)
    return models, str(shipped.get("default", ""))


def read_table(path: Path) -> dict[str, Any]:
    """The TOML of a manifest. Raises ModelError."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read the manifest {path}: {error}") from None
    if table.get("format") != 1:
        raise ModelError(f"the manifest {path} does not have format 1")
    return table


def read_models(folder: Path, table: dict[str, Any], *, added: bool = False) -> list[ModelFile]:
    """The models of a manifest; their files lie in `folder` or in an installed package."""
    models = []
    for entry in table.get("model", []):
        try:
            models.append(_model(folder, entry, added))
        except (KeyError, TypeError, ValueError) as error:
            name = entry.get("name", "without a name")
            raise ModelError(f"{folder / MANIFEST}: model {name}: {error!r}") from None
    return models


def _model(folder: Path, entry: dict[str, Any], added: bool) -> ModelFile:
    if entry["layout"] not in LAYOUTS:
        raise ValueError(f"layout {entry['layout']} is not one of {', '.join(LAYOUTS)}")
    return ModelFile(
        name=_named(entry["name"]),
        path=_locate(folder, entry),
        sha256=_digest(entry["sha256"]),
        layout=entry["layout"],
        styles=tuple(_entry(style) for style in entry["style"]),
        license=entry.get("license", ""),
        source=entry.get("source", ""),
        added=added,
        listed=entry.get("listed", True),
        multiple=int(entry.get("multiple", 0)),
        statistics=folder / Path(entry["statistics"]).name if "statistics" in entry else None,
    )


def _entry(entry: dict[str, Any]) -> StyleEntry:
    return StyleEntry(
        name=_named(entry["name"]),
        title=entry.get("title") or entry["name"].replace("-", " ").capitalize(),
        description=entry.get("description", ""),
        index=int(entry.get("index", 0)),
        aliases=tuple(_named(alias) for alias in entry.get("aliases", ())),
    )


def _named(name: str) -> str:
    if not NAME.fullmatch(name) or len(name) > 64:
        raise ValueError(f"{name!r} is not a name: use a-z, 0-9 and single dashes")
    return name


def _digest(sha256: str) -> str:
    if not _SHA256.fullmatch(sha256):
        raise ValueError("a SHA-256 is 64 lower-case hexadecimal digits")
    return sha256


def _locate(folder: Path, entry: dict[str, Any]) -> Path:
    """A file beside the manifest, or in an installed distribution, whose code is not run."""
    package = entry.get("package")
    if package is None:
        return folder / Path(entry["file"]).name
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(f"the package {package} is not installed") from None
    return Path(str(distribution.locate_file(entry["file"])))
