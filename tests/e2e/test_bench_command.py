"""`streamer bench` with real workers; what it finds is used."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.pictures import smooth_rgb

pytestmark = pytest.mark.e2e


def test_bench_is_taken_over_by_file(streamer: Any, tmp_path: Path) -> None:
    bench = streamer(
        "bench",
        "--backend",
        "onnx",
        "--threads",
        "1",
        "--height",
        "90",
        "--seconds",
        "0.2",
        "--save",
    )
    assert bench.returncode == 0, bench.stderr
    assert " fps " in bench.stdout and "both commands use it from now on" in bench.stdout
    picture = tmp_path / "in.png"
    Image.fromarray(smooth_rgb(96, 64)).save(picture)
    target = str(tmp_path / "out.jpg")
    used = streamer("file", str(picture), "-o", target)
    assert used.returncode == 0, used.stderr
    assert "using what `streamer bench` found best on" in used.stderr
    asked = streamer("file", str(picture), "-o", target, "--overwrite", "--workers", "1")
    assert asked.returncode == 0, asked.stderr
    assert "streamer bench" not in asked.stderr
    assert streamer("bench", "--clear").stdout == "deleted\n"
