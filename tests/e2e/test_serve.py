"""`streamer serve` as a process: how fast it is there, what it refuses, and how it goes."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from streamer.server import tokens
from tests.support.certificates import certificate
from tests.support.rtc_client import RtcClient
from tests.support.served import LONG_S, TOKEN, Served, served_with
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

READY_S = 10.0
STOP_S = 5.0


def slack() -> float:
    """What is promised holds on an idle machine; on a busy one it takes its share longer."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def assert_nothing_left(family: list[psutil.Process], home: Path) -> None:
    _, alive = psutil.wait_procs(family, timeout=2)
    assert not alive
    assert [path.name for path in home.iterdir()] == ["out"]


def test_is_ready_soon_and_stops_without_a_trace(served: Served) -> None:
    assert served.wait_until("/readyz", LONG_S) < READY_S * slack()
    family = served.family()
    assert len(family) > 2, "Ray and its workers"
    assert served.stop() < STOP_S * slack()
    assert served.process.returncode == 0
    assert_nothing_left(family, served.home)
    assert "Traceback" not in served.output()


def test_is_alive_before_it_is_ready(served: Served) -> None:
    served.wait_until("/healthz", LONG_S)
    response = httpx.get(served.url + "/readyz")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    served.wait_until("/readyz", LONG_S)


def test_ctrl_c_reaches_the_whole_group_and_all_end(served: Served) -> None:
    """A terminal sends SIGINT to Ray's processes, too."""
    served.wait_until("/readyz", LONG_S)
    family = served.family()
    os.killpg(served.process.pid, signal.SIGINT)
    assert served.process.wait(LONG_S) == 0
    assert_nothing_left(family, served.home)


def test_taken_port_is_told_and_the_first_server_lives_on(served: Served) -> None:
    port = httpx.URL(served.url).port
    second = subprocess.run(
        [sys.executable, "-m", "streamer", "serve", "--no-browser", "--port", str(port)],
        capture_output=True,
        check=False,
        text=True,
        timeout=20,
    )
    line = f"streamer: port {port} is taken; choose another with --port\n"
    assert (second.returncode, second.stderr) == (1, line)
    served.wait_until("/healthz", LONG_S)


def test_endless_chunked_body_is_cut_off(served: Served) -> None:
    """Over a real socket: the answer comes while the client still sends."""
    served.wait_until("/readyz", LONG_S)
    port = httpx.URL(served.url).port
    assert port is not None
    head = (
        f"POST /stylize/none HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode() + b"%x\r\n%s\r\n" % (len(part), part))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 200:
                connection.sendall(chunk)
                sent += 1
    assert 32 <= sent < 64, f"{sent} MiB were taken, 32 are allowed"


@pytest.mark.parametrize("served", [("--host", "0.0.0.0", "--token", TOKEN)], indirect=True)
def test_open_server_asks_for_its_token(served: Served) -> None:
    served.wait_until("/healthz", LONG_S)
    assert httpx.get(served.url + "/healthz").status_code == 401
    with httpx.Client(follow_redirects=True) as browser:
        assert browser.get(f"{served.url}/?token={TOKEN}").url == f"{served.url}/"
        assert browser.get(f"{served.url}/stats").status_code == 200


@pytest.mark.parametrize("options", [(), ("--peer-processes", "1")])
async def test_what_a_token_publishes_ends_when_it_is_revoked(options: tuple[str, ...]) -> None:
    token, text = tokens.add("publish")
    client = RtcClient()
    with served_with("--token", TOKEN, *options) as server:
        server.wait_until("/readyz", LONG_S)
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {text}"}
        async with httpx.AsyncClient(base_url=server.url, timeout=20, headers=headers) as http:
            answer = await http.post("/whip/test", content=await client.offer())
            await client.accept(answer.text)
            await eventually(lambda: client.arrivals)
            tokens.revoke(token.id)
            ended = json.dumps({"ended": {"message": "its token was revoked"}})
            await eventually(lambda: ended in client.messages)
            await client.close()


def test_https_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    options = ("--host", "0.0.0.0", "--token", TOKEN)
    with served_with(*options, "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        assert server.url.startswith("https://")
        trusted = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(verify=trusted, follow_redirects=True) as browser:
            browser.get(f"{server.url}/?token={TOKEN}")
            assert browser.get(f"{server.url}/healthz").status_code == 200
        (cookie,) = browser.cookies.jar
        assert cookie.secure
