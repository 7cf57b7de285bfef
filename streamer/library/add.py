"""A user's file → **add** → read, store: any network or picture as a style."""

import contextlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Final

from streamer.bounded import Bounded, EndedError, Limits
from streamer.errors import ModelError
from streamer.library import store
from streamer.library.from_picture import MAX_PIXELS
from streamer.library.read import ImportedModel, read

log = logging.getLogger(__name__)

LIMITS: Final = Limits(cpu_s=60.0, memory_bytes=4 << 30, wall_s=120.0)


def import_model(
    path: Path,
    *,
    name: str | None = None,
    title: str | None = None,
    license: str | None = None,
    values: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> tuple[str, ...]:
    """Add an ONNX network, a TransformerNet's state dict or a picture; returns its styles.

    `license` None: what the file says, else unknown. Raises as `read_in_process` does, and
    UsageError for a name that is taken.
    """
    model_name = store.to_name(name or path.stem)
    store.check_free(model_name)
    imported = read_in_process(path, model_name, values, max_pixels)
    if imported.unfolded:
        why = imported.unfolded
        log.warning("%s runs as it was published, which is slower: %s", model_name, why)
    entries = imported.entries
    if title:
        entries = (replace(entries[0], title=title), *entries[1:])
    return store.add(
        store.NewModel(
            model_name,
            imported.data,
            imported.layout,
            entries,
            license or imported.facts.get("license", "unknown"),
            imported.facts.get("source", f"added from {path.name}"),
            imported.multiple,
            imported.statistics,
        )
    )


def read_in_process(
    path: Path, name: str, values: str | None = None, max_pixels: int = MAX_PIXELS
) -> ImportedModel:
    """As `read.read`, in a process that is ended beyond LIMITS.

    Raises UsageError, MediaError, ModelError.
    """
    with contextlib.closing(Bounded(LIMITS)) as process:
        try:
            return process.call(read, path, name, values, max_pixels)
        except EndedError as error:
            raise ModelError(f"{path.name} is refused: {error}") from None
        except RuntimeError as error:  # whatever a library raises
            raise ModelError(f"{path.name} is refused: trying it out failed: {error}") from None
