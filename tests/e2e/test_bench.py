"""The benches run, all side by side and as small as can be; their numbers are worth nothing."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


def peers(folder: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """What bench.peers prints, and what it writes."""
    target = folder / "peers.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench.peers", "--rounds", "1", "--json", str(target), *options],
        cwd=ROOT,
        env={**os.environ, "STREAMER_DATA_DIR": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(target.read_text())


def test_networks_in_every_engine(tmp_path: Path) -> None:
    text, told = peers(tmp_path, "--only", "networks", "--size", "64x48")
    (table,) = told["tables"]
    failed = {row["name"] for row in table["rows"] if row["median"] is None}
    without = (
        set() if find_spec("openvino") else {"TransformerNet, OpenVINO", "26 styles, OpenVINO"}
    )
    assert failed == without
    assert table["rows"][0]["name"].startswith("streamer, ")
    assert "| TransformerNet, Torch |" in text
    assert told["machine"]["cpu"] and told["machine"]["cores"] >= 1


def test_whole_ways(tmp_path: Path) -> None:
    options = ("--frames", "10", "--workers", "1", "--size", "320x180", "--seconds", "2")
    _, told = peers(tmp_path, "--only", "films", "live", *options)
    units = [(table["unit"], table["better"]) for table in told["tables"]]
    assert units == [("fps", "more"), ("ms", "less")]
    for table in told["tables"]:
        assert len(table["rows"]) == 2
        assert all(row["median"] > 0 for row in table["rows"])
