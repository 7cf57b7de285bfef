"""`streamer status`, against a server that answers what it is told."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from streamer.cli.status import status
from streamer.errors import UnavailableError, UsageError

ABOUT = {
    "host": "node-1",
    "pid": 7,
    "cpu": "fast",
    "instructions": ["avx2"],
    "engine": "openvino-int8",
    "frame_ms": 9.5,
    "address": "10.0.0.2",
}
STATS: dict[str, Any] = {
    "version": "1",
    "ready": True,
    "waits_for": "the cluster has no free CPU",
    "workers": [
        {"state": "busy", "frames": 5, "lost": 1, "failure": None, "about": ABOUT},
        {"state": "waiting", "frames": 0, "lost": 0, "failure": None, "about": None},
    ],
    "processes": [{"up": True, "streams": 1, "cpu": 0.25, "deaths": 2}],
    "streams": {
        "x": {
            "name": "[red]cam",
            "process": 0,
            "in_fps": 30.0,
            "out_fps": 29.0,
            "latency_ms": {"p50": 31.5},
            "height_px": 360,
            "codec": "H264",
            "style": {"mosaic": 1.0},
        }
    },
}


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.headers["Authorization"] == "Bearer let-me-in"
        self.send_response(200 if known else 401)
        self.end_headers()
        if known:
            self.wfile.write(json.dumps(STATS).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_it_says_which_worker_is_where_doing_what(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    status(url, "let-me-in")
    said = capsys.readouterr().out
    for words in (
        "node-1 (10.0.0.2)",
        "openvino-int8",
        "waiting",
        "no free CPU",
        "[red]cam",
        "0.25",
    ):
        assert words in said
    status(url, "let-me-in", as_json=True)
    assert json.loads(capsys.readouterr().out) == STATS


def test_it_says_why_it_cannot(url: str) -> None:
    with pytest.raises(UsageError, match="needs a token"):
        status(url, None)
    with pytest.raises(UnavailableError, match="no server answers at"):
        status("http://127.0.0.1:1", None)
