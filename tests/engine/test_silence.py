"""Nothing is ever sent anywhere by what the engines bring along, in Python or in C++."""

import importlib.metadata
import importlib.util
import platform
import signal
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
# Linux ends the process at its first socket(2), in whatever language that was called: a seccomp
# filter of four instructions, which every thread inherits.
SOCKET = {"x86_64": 41, "aarch64": 198}.get(platform.machine())
GUARDED = f"""
import ctypes
class Filter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte),
                ("k", ctypes.c_uint32)]
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filters", ctypes.POINTER(Filter))]
load, equal, leave = 0x20, 0x15, 0x06
filters = (Filter * 4)((load, 0, 0, 0), (equal, 0, 1, {SOCKET}), (leave, 0, 0, 0x80000000),
                       (leave, 0, 0, 0x7fff0000))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # no new privileges
assert libc.prctl(22, 2, ctypes.byref(Program(4, filters)), 0, 0) == 0, ctypes.get_errno()
import sys
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


on_linux = pytest.mark.skipif(
    sys.platform != "linux" or SOCKET is None, reason="seccomp is Linux's"
)


def ended_by(code: str) -> int:
    run = subprocess.run(
        [sys.executable, "-c", GUARDED + code], capture_output=True, text=True, check=False
    )
    assert run.returncode in (0, -signal.SIGSYS), run.stderr
    return run.returncode


@on_linux
def test_no_engine_asks_the_kernel_for_a_socket() -> None:
    assert ended_by(USE.format(engines=engines)) == 0


@on_linux
@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.socket()",
        "libc.socket(2, 2, 0)",
        "from concurrent.futures import ThreadPoolExecutor as Threads\n"
        "with Threads(1) as one: one.submit(libc.socket, 2, 2, 0).result()",
    ],
)
def test_the_kernel_sees_a_socket_from_python_from_c_and_from_a_thread(code: str) -> None:
    assert ended_by(code) == -signal.SIGSYS
