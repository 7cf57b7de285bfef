"""Which files are made of what was given."""

import os
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from streamer.errors import UsageError
from streamer.files.inputs import CHANGED, items, label, parse_time
from streamer.files.trim import TimeRange
from streamer.frame import Style
from streamer.photo import READS, WRITES, decode_photo
from tests.support.heic import heic
from tests.support.pictures import smooth_rgb

MOSAIC = Style((("mosaic", 1.0),))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1:30", 90), ("0:01:30.5", Fraction(181, 2)), ("100:00", 6000), (".5", None)],
)
def test_time_as_people_write_it(text: str, seconds: Fraction | None) -> None:
    if seconds is None:
        with pytest.raises(UsageError, match="is not a time"):
            parse_time(text)
    else:
        assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1:2:3:4", "1e9", "abc", "1:", "٣"])
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        parse_time(text)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("in.mp4", "in.mosaic.mp4"),
        ("a/in.MKV", "a/in.mosaic.MKV"),
        ("in.avi", "in.mosaic.mkv"),
        ("in.gif", "in.mosaic.mp4"),
        ("in.MOD", "in.mosaic.mkv"),
        ("in.qt", "in.mosaic.mov"),
        ("in.jpg", "in.mosaic.jpg"),
        ("in", "in.mosaic.mkv"),
    ],
)
def test_the_result_goes_beside_the_video(source: str, target: str) -> None:
    assert items([source], None, MOSAIC)[0].target == Path(target)


def test_every_suffix_of_a_format_that_photos_are_read_in_is_known(tmp_path: Path) -> None:
    Pillow.init()
    decode_photo(heic(smooth_rgb(64, 32)), 5000)  # registers HEIF's
    names = [
        f"{kind}-{suffix[1:]}{suffix.upper()}"
        for suffix, kind in Pillow.registered_extensions().items()
        if kind in (*READS, "MPO") and suffix not in CHANGED  # GIF and APNG files are videos
    ]
    assert len(names) >= 18
    files(tmp_path, *names)
    for found in (items([str(tmp_path)], None, MOSAIC), items(map(str, names), "out/", MOSAIC)):
        assert {item.source.name for item in found} == set(names)
        assert all(item.is_photo and item.target.suffix.lower() in WRITES for item in found)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a.jfif", ".jpg"),
        ("a.JPE", ".jpg"),
        ("a.mpo", ".jpg"),
        ("a.dib", ".png"),
        ("a.tif", ".tif"),
    ],
)
def test_the_result_has_a_suffix_that_other_programs_open(source: str, target: str) -> None:
    assert items([source], None, MOSAIC)[0].target.suffix == target


def test_a_blend_and_odd_characters_make_a_name() -> None:
    assert label(Style((("a", 0.5), ("b@x/y", 0.5)))) == "a+b-x-y"


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def made(*inputs: Path, output: str | None = None) -> dict[str, str]:
    """Sources and targets, as far as they differ from their common folder."""
    found = items(map(str, inputs), output, MOSAIC, ["mosaic", "candy", "old oil@v2"])
    base = inputs[0] if inputs[0].is_dir() else inputs[0].parent
    return {
        str(item.source.relative_to(base)): os.path.relpath(item.target, output or base)
        for item in found
    }


def test_a_folder_gives_what_it_holds_but_not_what_we_made(tmp_path: Path) -> None:
    album = files(
        tmp_path, "b.mp4", "a.jpg", "notes.txt", ".hidden.mp4", "b.mosaic.mp4", "b.candy.mp4",
        "a.mosaic+old-oil-v2.jpg", "c.mosaic.mp4", "b.part2.mp4", "deep/er/d.HEIC", ".git/x.jpg",
        "e.m2v", "f.rmvb", "g.Y4M", "h.3g2",
    )  # fmt: skip
    (tmp_path / "folder.mp4").mkdir()
    assert made(album) == {
        "a.jpg": "a.mosaic.jpg",
        "b.mp4": "b.mosaic.mp4",
        "b.part2.mp4": "b.part2.mosaic.mp4",
        "c.mosaic.mp4": "c.mosaic.mosaic.mp4",
        "deep/er/d.HEIC": "deep/er/d.mosaic.jpg",
        "e.m2v": "e.mosaic.mkv",
        "f.rmvb": "f.mosaic.mkv",
        "g.Y4M": "g.mosaic.mkv",
        "h.3g2": "h.mosaic.mp4",
    }


def test_the_tree_of_a_folder_is_kept_elsewhere(tmp_path: Path) -> None:
    album = files(tmp_path / "album", "a.jpg", "x/a.jpg", "x/y/b.mov")
    out = str(tmp_path / "painted")  # need not exist
    tree = {"a.jpg": "a.mosaic.jpg", "x/a.jpg": "x/a.mosaic.jpg", "x/y/b.mov": "x/y/b.mosaic.mov"}
    assert made(album, output=out) == tree
    assert made(album, output=out + "/") == tree


def test_results_inside_the_album_are_no_input(tmp_path: Path) -> None:
    album = files(tmp_path, "a.jpg", "painted/a.mosaic.jpg", "painted/b.jpg")
    assert made(album, output=str(album / "painted")) == {"a.jpg": "a.mosaic.jpg"}


def test_names_that_collide_get_their_own(tmp_path: Path) -> None:
    album = files(tmp_path, "clip.avi", "clip.flv", "clip.wmv", "d.jpg", "d.heic", "e.mp4")
    assert made(album) == {
        "clip.avi": "clip.avi.mosaic.mkv",
        "clip.flv": "clip.flv.mosaic.mkv",
        "clip.wmv": "clip.wmv.mosaic.mkv",
        "d.heic": "d.heic.mosaic.jpg",
        "d.jpg": "d.jpg.mosaic.jpg",
        "e.mp4": "e.mosaic.mp4",
    }
    files(tmp_path, "clip.avi.mosaic.mkv")
    assert "clip.avi.mosaic.mkv" not in made(album), "and are known again"
    two = [files(tmp_path / name, "a.mp4") / "a.mp4" for name in ("x", "y")]
    targets = [item.target.name for item in items(map(str, two), str(tmp_path), MOSAIC)]
    assert len(set(targets)) == 2


def test_the_same_file_is_done_once(tmp_path: Path) -> None:
    album = files(tmp_path, "a.mp4")
    assert len(items([str(album), str(album / "a.mp4")], None, MOSAIC)) == 1


@pytest.mark.parametrize("letter", ["n", "ü", "字", os.fsdecode(b"\xe9")])
def test_long_names_stay_below_255_bytes(letter: str, tmp_path: Path) -> None:
    long = letter * (250 // len(os.fsencode(letter)))
    names = [f"{long}.mp4", f"{long[:-1]}x.mp4"]
    targets = [item.target.name for item in items(names, None, MOSAIC)]
    assert all(len(os.fsencode(name)) <= 255 and name.endswith(".mosaic.mp4") for name in targets)
    assert len(set(targets)) == 2


def test_several_go_into_a_folder_and_one_may_be_named(tmp_path: Path) -> None:
    several = items(["x/a.mp4", "b.mp4"], str(tmp_path), MOSAIC)
    assert [item.target for item in several] == [
        tmp_path / "a.mosaic.mp4",
        tmp_path / "b.mosaic.mp4",
    ]
    assert items(["a.mp4"], "c.mkv", MOSAIC)[0].target == Path("c.mkv")
    assert items(["a.mp4"], "new/", MOSAIC)[0].target == Path("new/a.mosaic.mp4")
    assert items(["a.mp4", "b.mp4"], "new", MOSAIC)[1].target == Path("new/b.mosaic.mp4")


def test_animations_are_videos(tmp_path: Path) -> None:
    still, moving = tmp_path / "still.webp", tmp_path / "moving.webp"
    colours = [Pillow.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    colours[0].save(still)
    colours[0].save(moving, save_all=True, append_images=colours[1:], duration=200)
    found = items([str(still), str(moving), str(tmp_path / "x.gif")], None, MOSAIC)
    assert [(item.target.suffix, item.is_photo) for item in found] == [
        (".webp", True),
        (".mp4", False),
        (".mp4", False),
    ]


def test_what_is_not_clear_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is one file, and 2 files"):
        items(["a.mp4", "b.mp4"], "c.mp4", MOSAIC)
    with pytest.raises(UsageError, match="no such folder"):
        items(["a.mp4"], "no/c.mp4", MOSAIC)
    with pytest.raises(UsageError, match="no video or photo found"):
        items([str(tmp_path)], None, MOSAIC)


times = st.fractions(0, 1000)


@given(start=times, length=st.fractions(Fraction(1, 100), 100), pts=st.integers(0, 90_000_000))
def test_a_part_takes_each_moment_once(start: Fraction, length: Fraction, pts: int) -> None:
    base = Fraction(1, 90000)
    before, part, after = (
        TimeRange(None, start),
        TimeRange(start, start + length),
        TimeRange(start + length, None),
    )
    inside = [
        not c.is_before(pts, base) and not c.is_after(pts, base) for c in (before, part, after)
    ]
    assert inside.count(True) == 1
    assert abs(part.shift(base) * base - start) <= base / 2
    assert before.shift(base) == 0


def test_how_much_of_a_video_is_wanted() -> None:
    assert TimeRange().fraction_of(10.0) == 1
    assert TimeRange(Fraction(5)).fraction_of(10.0) == pytest.approx(0.5)
    assert TimeRange(Fraction(12)).fraction_of(10.0) == 0
    assert TimeRange(Fraction(2), Fraction(4)).fraction_of(10.0) == pytest.approx(0.2)
