"""The library with real networks and workers, on an event loop that runs, as in notebooks."""

import ast
import asyncio
import json
from pathlib import Path

import pytest
from PIL import Image

import streamer

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


async def test_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells, one after the other."""
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    notebook = json.loads((ROOT / "examples/notebook.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert len(cells) == 5
    for cell in cells:
        code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)  # the project's own file
        if asyncio.iscoroutine(result):
            await result
    painted = names["painted"]
    assert isinstance(painted, Image.Image) and painted.size == (320, 180)


async def test_a_video_is_stylized_where_an_event_loop_runs_already(
    film: Path, tmp_path: Path
) -> None:
    """As in notebooks; a second run says how to go on."""
    seen: list[int] = []
    done = streamer.stylize_video(
        film,
        tmp_path / "out.mp4",
        streamer.Look("mosaic", smooth=0.3),
        workers=1,
        start=0.2,
        end="0.6",
        progress=lambda progress: seen.append(progress.frames),
    )
    assert done.frames == 10 and seen[-1] == 10
    with pytest.raises(streamer.StreamerError, match="exists already"):
        streamer.stylize_video(film, tmp_path / "out.mp4", backend="none")
