"""Nothing is ever sent anywhere by what the engines bring along."""

import importlib.metadata
import importlib.util
import subprocess
import sys

import pytest

WATCHED = """
import sys
seen = []
def watch(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
                 "socket.gethostbyname", "urllib.Request", "http.client.connect"):
        seen.append((event, repr(args)))
    if event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec"):
        seen.append((event, repr(args)))
sys.addaudithook(watch)
"""
USE = """
import os, time
from streamer.engine.folded_network import FoldedNetwork
from streamer.engine.pictures import pictures
from tests.engine.small_networks import network
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
for engine in {engines}:
    FoldedNetwork(network(), 0, 1, engine).measure(pictures(64, 64)[0], None)
assert "onnxruntime" in sys.modules
assert sys.modules["openvino_telemetry"] is None
time.sleep(0.5)
"""
REPORT = "\nprint(seen)\n"
engines = ["onnxruntime"] + ["openvino-f32"] * bool(importlib.util.find_spec("openvino"))


def events(code: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", WATCHED + code + REPORT], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("first", ["", "import openvino_telemetry"])
def test_no_engine_opens_a_socket_or_starts_a_process(first: str) -> None:
    """Nor where something else has imported OpenVINO's telemetry before."""
    try:
        importlib.metadata.version("openvino-telemetry")
    except importlib.metadata.PackageNotFoundError:
        first = ""
    assert events(f"{first}\n{USE.format(engines=engines)}") == "[]"


def test_the_watch_sees_a_socket() -> None:
    send = "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))"
    code = f"import socket\n{send}"
    assert "socket.sendto" in events(code)
