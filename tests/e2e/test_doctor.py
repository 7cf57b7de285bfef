"""`streamer doctor` with real workers and a live stream."""

import json
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


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
