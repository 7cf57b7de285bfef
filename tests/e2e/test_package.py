"""What users install: the archives, and the wheel alone in an environment of its own."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
MIB = 2**20
IN_WHEEL = re.compile(
    r"streamer/([a-z]+/)?\w+\.py|streamer/py\.typed"
    r"|streamer/web/((index|watch)\.html|favicon\.svg|(face|hero)\.webp|hero\.webm|[\w.-]+\.webmanifest|(assets|[a-z]+)/[\w.-]+)"
    r"|streamer/models/[\w.-]+\.(toml|onnx|npz|md)|streamer/models/photos/\w+\.jpg"
    r"|stylestreamer-[\d.]+\.dist-info/[\w/.]+"
)


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and source archive, as `make dist` builds them."""
    assert (ROOT / "streamer/web/index.html").is_file(), "first: make web"
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    return folder


def test_wheel_holds_page_and_models_and_nothing_else(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if not IN_WHEEL.fullmatch(name)]
    assert {"streamer/web/index.html", "streamer/models/styles.toml"} <= set(names)
    assert [name for name in names if name.startswith("streamer/web/assets/")]
    assert wheel.stat().st_size < 10 * MIB


def test_source_archive_builds_the_same_wheel_without_node(dist: Path, tmp_path: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    run("tar", "-xzf", archive, cwd=tmp_path)
    (source,) = tmp_path.iterdir()
    tops = {path.name for path in source.iterdir()}
    assert not tops & {"tests", "bench", ".ci", "node_modules", ".venv"}
    assert not list(source.rglob("node_modules"))
    nothing = tmp_path / "empty"
    nothing.mkdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", cwd=source, PATH=str(nothing))
    (again,) = (source / "dist").glob("*.whl")
    (first,) = dist.glob("*.whl")
    assert again.read_bytes() == first.read_bytes()


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a new environment; what it needs is taken from this one, which saves minutes."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home / "venv", with_pip=False)
    python = home / "venv/bin/python"
    (wheel,) = dist.glob("*.whl")
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=home)
    packages = run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=home)
    needed = sysconfig.get_path("purelib")
    (Path(packages.strip()) / "needed.pth").write_text(f"{needed}\n")
    return home


def test_installed_wheel_runs_from_any_folder(installed: Path) -> None:
    """`streamer` itself comes from the wheel: what lies in the checkout is not on its path."""
    streamer, python = installed / "venv/bin/streamer", installed / "venv/bin/python"
    own = {"STREAMER_DATA_DIR": str(installed / "data"), "PYTHONPATH": ""}
    where = run(python, "-c", "import streamer; print(streamer.__file__)", cwd=installed, **own)
    assert Path(where.strip()).is_relative_to(installed)
    assert run(streamer, "--version", cwd=installed, **own).startswith("streamer ")
    assert "mosaic" in run(streamer, "styles", "list", cwd=installed, **own)
    told = json.loads(
        run(streamer, "doctor", "--quick", "--json", "--port", "0", cwd=installed, **own)
    )
    states = {one["name"]: one["state"] for one in told["checks"]}
    assert states["page"] == states["models"] == states["onnx"] == "ok"


def test_what_the_wheel_says_it_needs_is_what_was_tested(installed: Path) -> None:
    python = installed / "venv/bin/python"
    code = "from importlib.metadata import requires; print(*requires('stylestreamer'), sep='\\n')"
    needs = run(python, "-c", code, cwd=installed, PYTHONPATH="").splitlines()
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {re.split(r"[<>=!;\[ ]", need)[0] for need in needs} <= pinned
