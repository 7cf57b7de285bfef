"""Which files are made of what was given."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import UsageError
from streamer.files.inputs import items, label, parse_time
from streamer.files.trim import TimeRange
from streamer.frame import Style

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
        ("in.jpg", "in.mosaic.jpg"),
        ("in", "in.mosaic.mkv"),
    ],
)
def test_the_result_goes_beside_the_video(source: str, target: str) -> None:
    assert items([source], None, MOSAIC)[0].target == Path(target)


def test_a_blend_and_odd_characters_make_a_name() -> None:
    assert label(Style((("a", 0.5), ("b@x/y", 0.5)))) == "a+b-x-y"


def test_a_folder_gives_what_it_holds_but_not_what_we_made(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.jpg", "notes.txt", ".hidden.mp4", "b.mosaic.mp4", "c.mosaic.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "deeper.mp4").mkdir()
    made = items([str(tmp_path)], None, MOSAIC)
    assert [item.source.name for item in made] == ["a.jpg", "b.mp4", "c.mosaic.mp4"]
    assert [item.is_photo for item in made] == [True, False, False]


def test_several_go_into_a_folder_and_one_may_be_named(tmp_path: Path) -> None:
    several = items(["x/a.mp4", "b.mp4"], str(tmp_path), MOSAIC)
    assert [item.target for item in several] == [
        tmp_path / "a.mosaic.mp4",
        tmp_path / "b.mosaic.mp4",
    ]
    assert items(["a.mp4"], "c.mkv", MOSAIC)[0].target == Path("c.mkv")


def test_what_is_not_clear_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        items(["a.mp4", "b.mp4"], "c.mp4", MOSAIC)
    with pytest.raises(UsageError, match="two inputs would both become"):
        items(["x/a.mp4", "y/a.mp4"], str(tmp_path), MOSAIC)
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
