"""What is said while a file is at work."""

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.errors import MediaError, printable
from streamer.files import report
from streamer.files.report import LINE_S, Bar, JsonLines, Lines, Summary, clock
from streamer.files.transcode import Progress, Result

HALF = Progress(300, 600, 150.0, 2.0, "ring")
DONE = Result(Path("out.mp4"), 600, 0, 4.0, 0, ())


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [100.0]
    lines = Lines(lambda: now[0])
    lines.begin(Path("in.mp4"), Path("out.mp4"))
    for now[0] in (101.0, 100.0 + LINE_S, 101.0 + LINE_S, 100.0 + 2 * LINE_S):
        lines.progress(HALF)
    lines.progress(Progress(7, 0, 3.0, None, "ring"))
    lines.done(DONE)
    assert capsys.readouterr().err.splitlines() == [
        *["in.mp4: 300 of 600 frames, 150.0 fps, 0:02 left"] * 2,
        "out.mp4: 600 frames, 150.0 fps",
    ]


def test_what_is_unknown_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(lambda: 0.0)
    lines.progress(Progress(7, 0, 3.0, None, "ring"))
    assert capsys.readouterr().err == "7 frames, 3.0 fps\n"


NASTY = "a\nb\r\x1b[2Jc\x85\u2028\u202eg"
SHOWN = r"a\nb\r\x1b[2Jc\x85\u2028\u202eg"


@pytest.mark.parametrize("lines", [Lines, Bar])
def test_a_name_is_shown_and_not_obeyed(
    lines: type[Lines], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "LINE_S", 0.0)
    reports, path = lines(), Path(f"{NASTY}.mp4")
    with contextlib.closing(reports):
        reports.begin(path, path)
        reports.progress(HALF)
        reports.note("a note")
        reports.done(replace(DONE, target=path))
        reports.skipped(path, path)
        reports.failed(path, f"{path}: broken")
        reports.summary(Summary(failed=[(f"{path}: broken", MediaError("broken"))]))
    said = capsys.readouterr().err
    assert [line for line in said.splitlines() if ".mp4" in line][-4:] == [
        f"{SHOWN}.mp4: 600 frames, 150.0 fps",
        f"{SHOWN}.mp4: done before",
        f"streamer: {SHOWN}.mp4: broken",
        f"  {SHOWN}.mp4: broken",
    ]
    assert not set(NASTY) & set(said) & {"\r", "\x1b", "\x85", "\u2028", "\u202e"}


def test_other_letters_are_shown_as_they_are() -> None:
    name = "Blümlisalp 山 \N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER} \\ [b].jpg"
    assert printable(name) == name


def test_json_has_null_for_what_is_unknown() -> None:
    out = io.StringIO()
    JsonLines(out).progress(Progress(7, 0, 3.0, None, "encode"))
    assert json.loads(out.getvalue()) == {
        "event": "progress", "frames": 7, "total": None, "fps": 3.0, "eta_s": None,
        "bottleneck": "encode",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (5, "0:05 left"), (65.4, "1:05 left"), (3700, "1:01:40 left")]
)
def test_time_left(seconds: float | None, text: str) -> None:
    assert clock(seconds) == text
