"""`streamer doctor` and `streamer bench` with real workers; what they find is used."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.pictures import smooth_rgb

pytestmark = pytest.mark.e2e


@pytest.fixture
def streamer(tmp_path: Path) -> Any:
    """Runs the command line with a data folder of its own."""
    own = {**os.environ, "STREAMER_DATA_DIR": str(tmp_path / "data")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "streamer", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, env=own, check=False
        )

    return run


def test_doctor_starts_workers_and_says_what_to_expect(streamer: Any) -> None:
    done = streamer("doctor", "--port", "0", "--workers", "1", "--json")
    told = json.loads(done.stdout)
    states = {one["name"]: one["state"] for one in told["checks"]}
    assert done.returncode == ("fail" in states.values())
    assert states["workers"] == "ok", told
    for row in told["live_fps"]:
        heights = [int(height) for height in row["by_height_px"]]
        assert heights == sorted(heights) and heights[0] == 180
        assert all(fps > 0 for fps in row["by_height_px"].values())


def test_bench_is_taken_over_by_file(streamer: Any, tmp_path: Path) -> None:
    bench = streamer(
        "bench", "--backend", "onnx", "--threads", "1", "--height", "90", "--seconds", "0.2"
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
