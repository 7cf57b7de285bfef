"""Dockerfile and compose.yaml, as far as they can be checked where no image can be built."""

import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
STEPS = [line.split(None, 1) for line in TEXT.splitlines() if line and not line.startswith("#")]


def steps(word: str) -> list[str]:
    return [rest for first, rest in STEPS if first == word]


def stage(name: str) -> list[list[str]]:
    """The steps of one stage."""
    start = next(i for i, (w, rest) in enumerate(STEPS) if w == "FROM" and rest.endswith(name))
    end = (i for i, (w, _) in enumerate(STEPS) if w == "FROM" and i > start)
    return STEPS[start : next(end, len(STEPS))]


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_targets_do_not_run_as_root(target: str) -> None:
    users = [rest for word, rest in stage(f"AS {target}") if word == "USER"]
    assert users == ["streamer"]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    for step in steps("COPY"):
        if not step.startswith("--from"):
            for name in step.split()[:-1]:
                assert (ROOT / name).exists(), name
                assert name in kept, name


def test_everything_is_installed_at_the_versions_that_were_tested() -> None:
    installs = [step for step in steps("RUN") if "pip install" in step]
    assert len(installs) == 2
    assert all("--constraint /tmp/constraints.txt" in step for step in installs)


class Ready(BaseHTTPRequestHandler):
    """Answers /readyz with 200 to those with the token."""

    def do_GET(self) -> None:
        known = self.headers["Authorization"] == "Bearer 0123456789abcdef"
        self.send_response(200 if known and self.path == "/readyz" else 401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def ready() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("token", "healthy"), [("0123456789abcdef", True), ("other", False)])
def test_health_check_asks_the_server_with_its_token(ready: int, token: str, healthy: bool) -> None:
    (check,) = steps("HEALTHCHECK")
    command = re.search(r"CMD (\[.*\])", check)
    assert command is not None
    _, flag, code = yaml.safe_load(command[1])  # as JSON, but for what it may hold
    asked = [sys.executable, flag, code.replace(":8000", f":{ready}")]
    done = subprocess.run(asked, env={"STREAMER_TOKEN": token}, capture_output=True, check=False)
    assert (done.returncode == 0) == healthy


def services() -> dict[str, dict[str, Any]]:
    told: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return dict(told["services"])


def test_cluster_of_compose_has_tokens_and_room_for_frames() -> None:
    assert set(services()) == {"streamer", "worker"}
    for service in services().values():
        assert service["shm_size"] == "1gb"
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN"].startswith("${RAY_AUTH_TOKEN:?")
        assert service["build"]["target"] in {rest.split()[-1] for rest in steps("FROM")}


def check_commands(line: str) -> None:
    """Their options exist: each program is asked for its help, which names all of them."""
    for part in re.split(r"&&|[&;]| do | done", line):
        words = [word for word in shlex.split(part) if word not in ("exec", "until")]
        if not words or words[0] not in ("ray", "streamer"):
            continue
        module = {"ray": "ray.scripts.scripts", "streamer": "streamer"}[words[0]]
        command = words[1:3] if words[1] == "node" else words[1:2]
        asked = [sys.executable, "-m", module, *command, "--help"]
        text = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        for option in words[2:]:
            if option.startswith("--"):
                assert option.partition("=")[0] in text, option


def test_commands_of_compose_are_commands() -> None:
    for service in services().values():
        (line,) = service["command"]
        check_commands(line)


def pods() -> Iterator[dict[str, Any]]:
    """Head and workers of the cluster for Kubernetes."""
    cluster = yaml.safe_load((ROOT / "deploy" / "kuberay.yaml").read_text())
    assert cluster["kind"] == "RayCluster"
    assert cluster["spec"]["authOptions"]["mode"] == "token"
    ray = f"ray=={cluster['spec']['rayVersion']}"
    assert ray in (ROOT / "constraints.txt").read_text().split()
    for group in (cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]):
        yield group["template"]["spec"]


def test_pods_of_kubernetes_run_commands_on_their_node_s_network() -> None:
    for pod in pods():
        assert pod["hostNetwork"] is True
        (container,) = pod["containers"]
        (line,) = container["args"]
        assert "$KUBERAY_GEN_RAY_START_CMD" in line  # which has address, ports and token
        check_commands(line)
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert "/dev/shm" in mounted  # Docker's default is too small for frames
