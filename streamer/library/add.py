"""A user's file → **add** → read, store: any network or picture as a style."""

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from streamer.errors import MediaError, ModelError, StreamerError, TooLargeError, UsageError
from streamer.library import store
from streamer.library.read import ERROR, ImportedModel

MAX_READ_S = 60.0
_ERRORS: dict[str, type[StreamerError]] = {
    kind.__name__: kind for kind in (UsageError, MediaError, TooLargeError, ModelError)
}


def import_model(
    path: Path,
    *,
    name: str | None = None,
    title: str | None = None,
    license: str | None = None,
    values: str | None = None,
) -> tuple[str, ...]:
    """Add an ONNX network, a TransformerNet's state dict or a picture; returns its styles.

    `license` None: what the file says, else unknown. Raises as `read_in_process` does, and
    UsageError for a name that is taken.
    """
    model_name = store.to_name(name or path.stem)
    store.check_free(model_name)
    imported = read_in_process(path, model_name, values)
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


def read_in_process(path: Path, name: str, values: str | None = None) -> ImportedModel:
    """As `read.read`, in a process that ends after MAX_READ_S or beyond its memory.

    Raises UsageError, MediaError, ModelError.
    """
    with tempfile.TemporaryDirectory(prefix="streamer-import-") as folder:
        words = ["-P", "-m", "streamer.library.read", str(path), name, values or "", folder]
        try:
            done = subprocess.run(
                [sys.executable, *words],
                check=False,
                capture_output=True,
                text=True,
                timeout=MAX_READ_S,
            )
        except subprocess.TimeoutExpired:
            text = f"{path.name} is refused: it could not be tried out in {MAX_READ_S:g} s"
            raise ModelError(text) from None
        if (error := Path(folder, ERROR)).exists():
            kind, text = json.loads(error.read_text())
            raise _ERRORS.get(kind, ModelError)(text)
        try:
            return ImportedModel.load(Path(folder))
        except OSError:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ModelError(f"{path.name} is refused: trying it out failed: {last}") from None
