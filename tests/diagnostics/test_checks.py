"""What the doctor finds, on machines that lack something."""

import json
import socket
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamer.cli.main import main
from streamer.diagnostics import checks
from streamer.errors import ModelError
from streamer.server.config import Config
from streamer.styles.model import ModelFile
from tests.support.certificates import certificate

TOKEN = "0123456789abcdef"


def test_python_of_another_version_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.python().state == "ok"
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    assert checks.python().state == "fail"


def test_what_is_not_installed_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(checks, "version", version)
    found = checks.ray_version()
    assert (found.state, found.found) == ("fail", "ray is not installed")
    assert found.fix.endswith("pip install --force-reinstall ray")


def test_two_onnx_runtimes_in_one_folder_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.onnx().state == "ok"
    monkeypatch.setattr(checks, "version", lambda package: "1.0")
    assert "onnxruntime-gpu" in checks.onnx().found


def test_idle_gpus_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.gpu("onnx").state == "ok"
    monkeypatch.setattr(checks, "gpus", lambda: 2)
    found = checks.gpu("onnx")
    assert found.state == "note" and "--backend torch" in found.fix


def test_torch_that_does_not_reach_the_gpu_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing falls back to the CPU unsaid: the device there is must stylize."""
    pytest.importorskip("torch")
    monkeypatch.setattr(checks, "gpus", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = checks.gpu("torch")
    assert found.state == "fail" and "Torch finds no cuda" in found.found


def test_codecs_work_here() -> None:
    assert checks.codecs().state == "ok"


def test_a_damaged_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.models().state == "ok"

    def read(self: ModelFile) -> bytes:
        raise ModelError("model fast: fast.onnx is damaged (its SHA-256 differs)")

    monkeypatch.setattr(ModelFile, "read", read)
    found = checks.models()
    assert found.state == "fail" and "damaged" in found.found


def test_a_page_that_is_not_built_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(checks, "PAGE", tmp_path)
    assert checks.page().fix == "make web"
    (tmp_path / "index.html").touch()
    assert checks.page().state == "ok"


def test_small_shared_memory_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1))
    found = checks.memory()
    assert found.state == "fail" and "--shm-size" in found.fix


def test_little_memory_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(available=2**20)
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    assert checks.memory().state == "note"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_taken_port_is_a_failure(taken: int) -> None:
    assert checks.port(Config(port=taken)).state == "fail"
    assert checks.port(Config(port=0)).state == "ok"


def test_udp_is_tried_on_the_ports_that_were_asked_for() -> None:
    assert checks.udp(Config()).state == "ok"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        found = checks.udp(Config(udp_ports=(port, port)))
    assert found.state == "fail" and "--udp-ports" in found.fix


def test_a_page_for_others_needs_a_certificate() -> None:
    assert checks.certificate(Config()).state == "ok"
    found = checks.certificate(Config(host="0.0.0.0", token=TOKEN))
    assert found.state == "note" and "--tls-cert" in found.fix


@pytest.mark.parametrize(("days", "state"), [(-1, "fail"), (3, "note"), (100, "ok")])
def test_a_certificate_is_looked_at(tmp_path: Path, days: float, state: str) -> None:
    cert, key = certificate(tmp_path, days)
    assert checks.certificate(Config(tls_cert=cert, tls_key=key)).state == state


def test_what_is_no_certificate_is_a_failure(tmp_path: Path) -> None:
    cert, _ = certificate(tmp_path)
    found = checks.certificate(Config(tls_cert=cert, tls_key=cert))
    assert found.state == "fail"


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One camera on USB, one of v4l2loopback."""
    links = tmp_path / "class"
    links.mkdir()
    for place in ("pci/usb1/video0", "virtual/video4linux/video9"):
        device = tmp_path / place
        device.mkdir(parents=True)
        (links / device.name).symlink_to(device)
    monkeypatch.setattr(checks, "VIDEO", links)
    monkeypatch.setattr(checks, "find_spec", lambda name: object())
    return links


def test_cameras_are_told_from_virtual_ones(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: True)
    assert checks.camera().found == "/dev/video0"
    assert checks.virtual_camera().found == "/dev/video9"


def test_cameras_that_may_not_be_opened(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    for found in (checks.camera(), checks.virtual_camera()):
        assert found.state == "note" and "usermod" in found.fix


def test_no_cameras_are_no_failure(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for device in video.iterdir():
        device.unlink()
    assert checks.camera().state == "ok"
    assert "modprobe v4l2loopback" in checks.virtual_camera().fix
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert "'.[camera]'" in checks.virtual_camera().fix


def test_command_shows_fixes_and_exits_with_1(
    taken: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["streamer", "doctor", "--quick", "--port", str(taken)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    text = capsys.readouterr().out
    assert f"port {taken} is taken" in text and "→" in text
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--json"])
    with pytest.raises(SystemExit):
        main()
    told = json.loads(capsys.readouterr().out)
    (port,) = (one for one in told["checks"] if one["name"] == "port")
    assert port["state"] == "fail" and port["fix"]
