"""No name is looked up and nobody is connected to, by Python or by C++: the whole world listens."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.video_clips import Clip, write_clip

pytestmark = pytest.mark.e2e
STREAMER = (sys.executable, "-m", "streamer")


def recorded(file: Path, *command: str) -> tuple[list[str], str]:
    """What was asked of the world while the command ran, and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.recorder", str(file), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    if "Operation not permitted" in done.stdout and not file.exists():
        pytest.skip(f"this machine has no network namespaces: {done.stdout.splitlines()[0]}")
    assert done.returncode == 0, done.stdout
    return file.read_text().splitlines(), done.stdout


def test_the_recorder_hears_names_and_connections(tmp_path: Path) -> None:
    """Else silence would prove nothing."""
    code = (
        "import socket, contextlib\n"
        "with contextlib.suppress(OSError): socket.getaddrinfo('streamer.example', 80)\n"
        "socket.create_connection(('169.254.169.254', 80)).close()\n"
    )
    heard, _ = recorded(tmp_path / "heard", sys.executable, "-c", code)
    assert "name streamer.example" in heard and "connection 169.254.169.254:80" in heard


def test_files_are_stylized_in_silence(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", Clip(audio=("eng",)))
    command = (*STREAMER, "file", str(clip), "--workers", "1")
    heard, said = recorded(tmp_path / "heard", *command)
    assert heard == [] and "30 frames" in said


def test_doctor_is_silent(tmp_path: Path) -> None:
    heard, said = recorded(tmp_path / "heard", *STREAMER, "doctor", "--quick")
    assert heard == [] and "models" in said


def test_a_server_is_silent(tmp_path: Path) -> None:
    heard, said = recorded(tmp_path / "heard", sys.executable, __file__, str(tmp_path))
    assert heard == [] and "ready in" in said


def serve_for_a_while(home: Path) -> int:
    """Until the workers are warm, and then some seconds more, as far as telemetry waits."""
    words = ("serve", "--port", "0", "--no-browser", "--workers", "1")
    with (home / "out").open("w") as out:
        server = subprocess.Popen([*STREAMER, *words], stdout=out, stderr=out, env=os.environ)
        while "ready in" not in (home / "out").read_text() and server.poll() is None:
            time.sleep(0.1)
        time.sleep(10)
        server.send_signal(signal.SIGINT)
        code = server.wait(60)
    print((home / "out").read_text())
    return code


if __name__ == "__main__":
    sys.exit(serve_for_a_while(Path(sys.argv[1])))
