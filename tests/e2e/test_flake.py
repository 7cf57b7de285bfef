"""flake.nix as Nix reads it, with a stand-in for nixpkgs, which no test can fetch.

Every output is evaluated, for every system; nothing is built.
"""

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
LINUX, ARM, MAC = "x86_64-linux", "aarch64-linux", "aarch64-darwin"
SOURCES = ("flake.nix", "flake.lock", "pyproject.toml", "constraints.txt")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flake alone, and a store of its own beside it."""
    assert shutil.which("nix"), "Debian: apt-get install nix-bin; or STREAMER_NO_NIX_TESTS=1"
    world = tmp_path_factory.mktemp("nix")
    (world / "flake").mkdir()
    for name in SOURCES:
        shutil.copy(ROOT / name, world / "flake" / name)
    return world


def nix(world: Path, *arguments: str) -> str:
    places = {f"NIX_{name}_DIR": str(world / name) for name in ("STORE", "STATE", "LOG", "CONF")}
    done = subprocess.run(
        ["nix", "--extra-experimental-features", "nix-command flakes", *arguments],
        env={**os.environ, **places, "NIX_LOCALSTATE_DIR": str(world), "HOME": str(world)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def output(world: Path, path: str, apply: str = "value: value") -> Any:
    """What `path` of the flake evaluates to, through the function `apply`."""
    stub = ["--override-input", "nixpkgs", f"path:{ROOT / 'tests' / 'support' / 'nix'}"]
    flake = f"path:{world / 'flake'}#{path}"
    options = ["--offline", "--no-write-lock-file", "--json", "--apply", apply]
    return json.loads(nix(world, "eval", flake, *stub, *options))


NAMES = "builtins.mapAttrs (system: value: builtins.attrNames value)"


def test_every_system_has_what_it_can_have(world: Path) -> None:
    cuda, plain = ["cuda", "default"], ["default"]
    assert output(world, "packages", NAMES) == {LINUX: cuda, ARM: plain, MAC: plain}
    assert output(world, "devShells", NAMES) == {LINUX: cuda, ARM: plain, MAC: plain}
    assert output(world, "apps", NAMES) == dict.fromkeys((LINUX, ARM, MAC), plain)
    assert output(world, "checks", NAMES) == {key: ["format", "pure"] for key in (LINUX, ARM, MAC)}
    formatters = output(world, "formatter", "builtins.mapAttrs (system: value: value.name)")
    assert formatters == dict.fromkeys((LINUX, ARM, MAC), "nixfmt-tree")


@pytest.mark.parametrize("system", [LINUX, ARM, MAC])
def test_nix_run_starts_streamer(world: Path, system: str) -> None:
    app = output(world, f"apps.{system}.default")
    assert app["type"] == "app"
    assert app["program"].endswith("-streamer/bin/streamer")


def script(world: Path, path: str) -> str:
    return str(output(world, path, "value: value.text"))


def installer(world: Path, system: str) -> str:
    path = f"packages.{system}.default"
    return str(output(world, path, "value: (builtins.head value.runtimeInputs).text"))


@pytest.mark.parametrize(
    ("path", "libraries"),
    [
        (f"{LINUX}.default", "gcc-lib/lib:"),
        (f"{LINUX}.cuda", "/run/opengl-driver/lib:"),
        (f"{MAC}.default", '"${LD_LIBRARY_PATH'),
    ],
)
def test_programs_are_sound_shell_with_their_libraries(
    world: Path, path: str, libraries: str
) -> None:
    text = script(world, f"packages.{path}")
    check_shell(text)
    assert libraries in text
    assert ("opengl-driver" in text) == path.endswith("cuda")
    assert ('"stylestreamer[torch] @' in text) == path.endswith("cuda")


@pytest.mark.parametrize("system", [LINUX, MAC])
def test_installer_takes_the_versions_of_constraints(world: Path, system: str) -> None:
    text = installer(world, system)
    check_shell(text)
    assert re.search(r"--constraint \S+constraints\.txt", text)
    assert ("patchelf --set-interpreter" in text) == (system == LINUX)


@pytest.mark.parametrize(("name", "extras"), [("default", ".[dev]"), ("cuda", ".[dev,torch]")])
def test_shells_install_what_they_are_for(world: Path, name: str, extras: str) -> None:
    path = f"devShells.{LINUX}.{name}"
    hook = str(output(world, path, "value: value.shellHook"))
    check_shell(hook)
    assert f'--editable "{extras}"' in hook
    packages = output(world, path, "value: map (one: one.name) value.packages")
    assert {"python", "nodejs", "gnumake"} <= set(packages)


def test_checks_run_the_tests_of_the_pure_modules(world: Path) -> None:
    text = str(output(world, f"checks.{LINUX}.pure", "value: value.script"))
    check_shell(text)
    named = re.findall(r"tests/\w+/test_\w+\.py", text)
    assert len(named) == 6
    assert all((ROOT / path).is_file() for path in named)


def test_lock_holds_the_one_input_at_one_revision() -> None:
    lock = json.loads((ROOT / "flake.lock").read_text())
    assert set(lock["nodes"]) == {"root", "nixpkgs"}
    node = lock["nodes"]["nixpkgs"]
    asked = node["original"]
    url = f'"github:{asked["owner"]}/{asked["repo"]}/{asked["ref"]}"'
    assert f"inputs.nixpkgs.url = {url};" in (ROOT / "flake.nix").read_text()
    assert re.fullmatch("[0-9a-f]{40}", node["locked"]["rev"])
    assert re.fullmatch("sha256-[A-Za-z0-9+/]{43}=", node["locked"]["narHash"])


def check_shell(text: str) -> None:
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
