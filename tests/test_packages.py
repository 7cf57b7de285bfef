"""What streamer is made of: the licences, and the versions in constraints.txt."""

import json
import re
import tomllib
from email.message import Message
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import cast

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import packages

ROOT = Path(__file__).parents[1]


class Installed:
    """A package that says this of itself."""

    version = "1.0+cpu"

    def __init__(self, requires: list[str] | None = None, **told: str) -> None:
        self.requires = requires
        self.metadata = Message()
        for key, value in told.items():
            self.metadata[key.replace("_", "-")] = value


World = dict[str, Installed]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """`one` always comes, and brings `three` for its own extra; `two` is of an extra of ours."""
    made = {
        "stylestreamer": Installed(
            ["one[more]>=1", 'two; extra == "camera"'],
            Name="stylestreamer",
            Provides_Extra="camera",
        ),
        "one": Installed(
            ['Three; extra == "more"', 'absent; extra == "less"'],
            Name="one",
            License_Expression="MIT",
        ),
        "two": Installed(Name="two", License_Expression="GPL-2.0-only"),
        "three": Installed(["one"], Name="Three", License_Expression="MIT"),
    }

    def distribution(name: str) -> Installed:
        if name not in made:
            raise PackageNotFoundError(name)
        return made[name]

    monkeypatch.setattr(packages, "distribution", distribution)
    return made


def test_everything_that_always_comes_is_permitted(capsys: pytest.CaptureFixture[str]) -> None:
    assert packages.main(["licences"]) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert {"aiortc", "av", "numpy", "onnxruntime", "ray", "starlette"} <= listed
    assert not {"stylestreamer", "pytest", "torch"} & listed


@pytest.mark.parametrize(
    ("package", "licence"),
    [
        (Installed(Name="a", License_Expression="MIT", License="GPL"), "MIT"),
        (Installed(Name="a", Classifier="License :: OSI Approved :: BSD License"), "BSD License"),
        (Installed(Name="a", License="Apache 2.0\nand its text"), "Apache 2.0"),
        (Installed(Name="Flatbuffers"), "Apache-2.0"),
        (Installed(Name="a"), "not said"),
    ],
)
def test_licence_is_what_the_package_says(package: Installed, licence: str) -> None:
    assert packages.licence_of(cast(Distribution, package)) == licence


def test_copyleft_is_refused_unless_it_was_asked_for(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert packages.main(["licences", "camera"]) == 0
    assert "look at this one" in capsys.readouterr().out
    world["stylestreamer"].requires = ["one", "two"]
    assert packages.main(["licences"]) == 1
    assert "two" in capsys.readouterr().err


def test_constraints_name_every_extra_and_no_local_version(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert packages.main(["constraints"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["one==1.0", "three==1.0", "two==1.0"]
    del world["two"]
    assert packages.main(["constraints"]) == 1
    assert "not installed here: two" in capsys.readouterr().err


def test_unknown_command_is_answered_with_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert packages.main(["liances"]) == 2
    assert "packages.py constraints" in capsys.readouterr().err


def constrained() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins == sorted(pins, key=lambda pin: pin.split("==")[0])
    for pin in pins:  # so neither address nor path, nor a build that only one index has
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", pin), pin
    return dict(pin.split("==") for pin in pins)


def test_constraints_hold_what_streamer_needs_in_versions_it_takes() -> None:
    pins = constrained()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    for line in (*project["dependencies"], *(one for extra in extras for one in extra)):
        need = Requirement(line)
        assert pins.get(canonicalize_name(need.name), "none") in need.specifier, line


def test_constraints_hold_what_is_installed_here() -> None:
    installed, _ = packages.closure({"dev", "torch"})
    assert installed <= set(constrained())


def test_vulnerabilities_fail_the_audit_and_silence_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = {
        "pip": {"dependencies": [{"name": "one", "version": "1", "vulns": []}]},
        "npm": {"vulnerabilities": {"two": {"severity": "moderate", "range": "<2"}}},
        "bad": {
            "dependencies": [
                {"name": "x", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
            ]
        },
        "worse": {"vulnerabilities": {"y": {"severity": "high", "range": "<3"}}},
        "error": {"message": "request failed", "error": {}},
    }
    paths = {name: str(tmp_path / f"{name}.json") for name in (*reports, "none")}
    for name, report in reports.items():
        Path(paths[name]).write_text(json.dumps(report))
    Path(tmp_path, "empty.json").touch()
    unknown = [paths["error"], paths["none"], str(tmp_path / "empty.json")]
    assert packages.main(["audited", paths["pip"], paths["npm"], *unknown]) == 0
    assert capsys.readouterr().out.count("nothing is known") == 3
    assert packages.main(["audited", paths["bad"], *unknown]) == 1
    assert "x 1: CVE-1, fixed in 2" in capsys.readouterr().out
    assert packages.main(["audited", paths["pip"], paths["worse"]]) == 1
    assert "y <3: high" in capsys.readouterr().out


def test_packages_that_were_skipped_do_not_read_as_a_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = [
        {"name": name, "skip_reason": f"{name} is not on PyPI"} for name in ("three", "four")
    ]
    clean = {"name": "one", "version": "1", "vulns": []}
    bad = {"name": "x", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": []}]}
    report = tmp_path / "pip.json"

    def said(*dependencies: object) -> tuple[int, str]:
        report.write_text(json.dumps({"dependencies": dependencies}))
        return packages.main(["audited", str(report)]), capsys.readouterr().out

    for none in ((), skipped):
        code, out = said(*none)
        assert code == 0 and "so nothing is known" in out and "no known" not in out
    code, out = said(clean, *skipped)
    assert code == 0 and out.splitlines() == [
        "pip: nothing is known of 2: three, four",
        "pip: no known vulnerability in the others",
    ]
    code, out = said(bad, *skipped)
    assert code == 1 and "three, four" in out and "CVE-1, fixed in no version yet" in out
