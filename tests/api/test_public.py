"""The public names: all there, typed, and cheap to import."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import streamer


@pytest.mark.parametrize("name", streamer.__all__)
def test_public_names_are_there_and_documented(name: str) -> None:
    found = getattr(streamer, name)
    assert isinstance(found, str) or inspect.getdoc(found)


def test_type_checkers_see_the_same_names_in_the_same_places() -> None:
    tree = ast.parse(Path(streamer.__file__).read_text())
    typed = {
        alias.name: (node.module or "").removeprefix("streamer.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("streamer.")
        for alias in node.names
    }
    assert typed == streamer._HOMES
    assert set(typed) == set(streamer.__all__) - {"__version__"}
    assert dir(streamer) == sorted(streamer.__all__)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'paint'"):
        streamer.paint  # noqa: B018


@pytest.mark.parametrize(
    ("use", "heavy"),
    [
        ("", {"numpy", "cv2", "ray", "av", "aiortc", "onnx", "openvino", "PIL"}),
        ("streamer.Look('mosaic')", {"ray", "av", "aiortc", "openvino", "onnxruntime"}),
        ("streamer.Stylizer(backend='none')", {"ray", "av", "aiortc", "openvino", "torch"}),
        ("streamer.Ring, streamer.open_camera", {"ray", "aiortc", "openvino", "fastapi"}),
    ],
)
def test_only_what_is_used_is_imported(use: str, heavy: set[str]) -> None:
    code = f"import sys, streamer; {use}\nprint(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
