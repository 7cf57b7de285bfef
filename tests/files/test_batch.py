"""`streamer file` from its options to its results, with workers in threads."""

import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from streamer.errors import MediaError, UsageError
from streamer.files import batch, checkpoint, transcode
from streamer.files.batch import BatchOptions
from streamer.files.job import TranscodeOptions
from streamer.files.report import Lines
from streamer.ring.ring import Ring
from streamer.ring.setup import Setup
from tests.support.fakes import ThreadWorkers, leave
from tests.support.heic import heic
from tests.support.pictures import smooth_rgb
from tests.support.video_clips import Clip, luma, numbers, write_clip

PLAIN = TranscodeOptions(encoder="software", crf=12)
EVENTS = Path(__file__).parents[2] / "docs" / "files.md"


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout and stderr."""
    monkeypatch.setattr(
        batch, "ring_of", lambda *args, **options: Ring(lambda: ThreadWorkers(2, leave))
    )

    def run(*inputs: Path, **options: Any) -> tuple[int, str, str]:
        plain: dict[str, Any] = {"style": "none", "setup": Setup("none", 1), "transcode": PLAIN}
        code = batch.run(BatchOptions(tuple(map(str, inputs)), **plain | options))
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    (folder / "deep").mkdir(parents=True)
    (folder / "bad.mp4").write_bytes(b"not a video" * 100)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    write_clip(folder / "deep" / "good.mkv", Clip())
    (folder / "phone.HEIC").write_bytes(heic(smooth_rgb(128, 64), tile_px=64))
    Pillow.new("RGBA", (64, 48), (200, 30, 30, 99)).save(folder / "deep" / "photo.png")
    return folder


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def events(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_an_album_is_done_but_for_what_is_broken(
    run: Callable[..., tuple[int, str, str]], album: Path, tmp_path: Path
) -> None:
    painted = tmp_path / "painted"
    code, out, err = run(album, output=str(painted))
    assert (code, out) == (1, "")
    assert tree(painted) == {"phone.none.jpg", "deep/good.none.mkv", "deep/photo.none.png"}
    assert numbers(painted / "deep" / "good.none.mkv") == list(range(30))
    with Pillow.open(painted / "deep" / "photo.none.png") as photo:
        assert photo.mode == "RGBA" and photo.getpixel((5, 5))[3] == 99  # type: ignore[index]
    lines = err.splitlines()
    at = lines.index("3 done, 2 failed")
    assert [line.partition(": ")[0] for line in lines[at + 1 :]] == [
        f"  {album / 'bad.mp4'}",
        f"  {album / 'broken.jpg'}",
    ]
    assert re.search(r"good\.none\.mkv: 30 frames, [\d.]+ fps", err), "a result line"


def test_resume_takes_up_a_whole_album(
    run: Callable[..., tuple[int, str, str]], album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(album)[0] == 1
    before = {path: path.stat().st_mtime_ns for path in album.rglob("*.none.*")}
    assert len(before) == 3
    (album / "bad.mp4").unlink()
    (album / "broken.jpg").unlink()
    Pillow.fromarray(smooth_rgb(64, 32)).save(album / "new.jpg")
    code, _, err = run(album, transcode=TranscodeOptions(encoder="software", resume=True))
    assert code == 0 and "1 done, 3 done before" in err
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert (album / "new.none.jpg").exists()


def test_json_says_each_thing_once_and_only_what_is_written_down(
    run: Callable[..., tuple[int, str, str]], album: Path
) -> None:
    said = events(run(album, as_json=True)[1])
    kinds = [event["event"] for event in said]
    assert (kinds.count("begin"), kinds.count("done"), kinds.count("error")) == (4, 3, 2)
    assert said[-1] == {"event": "summary", "done": 3, "skipped": 0, "failed": 2}
    again = events(run(album, as_json=True, transcode=TranscodeOptions(resume=True))[1])
    assert [event["event"] for event in again].count("skipped") == 3
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", EVENTS.read_text(), re.MULTILINE))
    for event in said + again:
        fields = event.keys() - {"event"}
        assert fields == set(re.findall(r"`(\w+)`", rows[event["event"]])) - {
            "null", "decode", "ring", "encode"
        }, event  # fmt: skip


def test_the_first_frame_can_be_looked_at_long_before_the_end(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upright, as a player shows it."""
    clip = Clip(rotation=90, pts=tuple(range(0, 200 * 512, 512)))
    source, preview = write_clip(tmp_path / "in.mp4", clip), tmp_path / "now.jpg"
    frames: list[int] = []
    monkeypatch.setattr(transcode, "REPORT_S", 0.001)

    def note(self: Lines, progress: transcode.Progress) -> None:
        if preview.exists():
            frames.append(progress.frames)

    monkeypatch.setattr(Lines, "progress", note)
    code, _, _ = run(source, preview=preview, output=str(tmp_path / "out.mp4"))
    assert code == 0 and frames[0] < 100
    with Pillow.open(preview) as picture:
        assert picture.size == (64, 128)
        shown = np.asarray(picture.convert("L"))
    expected = np.rot90(luma_of_first(source))
    assert np.abs(shown.astype(int) - expected).mean() < 12


def luma_of_first(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with av.open(str(path)) as container:
        return luma(next(container.decode(video=0)))


def test_what_cannot_be_a_preview_is_refused_at_once(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, film = given(tmp_path / "a.jpg"), given(tmp_path / "in.mp4")
    (tmp_path / "link.jpg").hardlink_to(photo)
    (tmp_path / "folder.jpg").mkdir()
    before = tree(tmp_path), photo.read_bytes()
    for name, why in {
        "now.txt": "photos can be written as",
        "no/now.jpg": "no: no such folder",
        "a.jpg": "would replace an input or a result",
        "link.jpg": "would replace an input or a result",
        "a.none.jpg": "would replace an input or a result",
        "folder.jpg": "this is a folder",
    }.items():
        with pytest.raises(UsageError, match=why):
            run(film, photo, preview=tmp_path / name, transcode=TranscodeOptions(overwrite=True))
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(UsageError, match="cannot be written here"):
        run(film, preview=tmp_path / "now.jpg")
    assert (tree(tmp_path), photo.read_bytes()) == before


def test_a_preview_replaces_the_one_before(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "now.jpg").write_bytes(b"old")
    assert run(given(tmp_path / "in.mp4"), preview=tmp_path / "now.jpg")[0] == 0
    assert (tmp_path / "now.jpg").read_bytes().startswith(JPEG)


def test_a_preview_may_lie_beside_the_result_in_a_folder_that_is_made(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    new = tmp_path / "new"
    assert run(given(tmp_path / "in.mp4"), output=f"{new}/", preview=new / "now.jpg")[0] == 0
    assert tree(new) == {"in.none.mp4", "now.jpg"}


def test_a_folder_that_cannot_be_written_is_one_line_and_no_trace(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(pts=(0, 512)))
    Pillow.fromarray(smooth_rgb(64, 32)).save(tmp_path / "a.jpg")
    (tmp_path / "taken").write_text("a file, and no folder")
    code, out, err = run(source, tmp_path / "a.jpg", output=str(tmp_path / "taken" / "x"))
    assert (code, out) == (1, "")
    assert err.count("streamer: ") == 2 and "0 done, 2 failed" in err
    assert tree(tmp_path) == {"in.mp4", "a.jpg", "taken"}


@pytest.fixture
def piped(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, bytes, str]]:
    """Exit code, stdout and stderr, with a file's bytes on stdin."""

    def piped(given: Path, *inputs: object, **options: Any) -> tuple[int, bytes, str]:
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.read_bytes())))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
        code, _, err = run(*inputs, **options)
        return code, out.getvalue(), err

    return piped


def moving(path: Path) -> Path:
    frames = [Pillow.new("RGB", (48, 32), color) for color in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    return path


def given(path: Path) -> Path:
    """A file of the kind that its suffix says."""
    match path.suffix:
        case ".gif" | ".webp":
            return moving(path)
        case ".jpg" | ".bmp":
            Pillow.fromarray(smooth_rgb(64, 32)).save(path)
            return path
        case _:
            return write_clip(path, Clip(pts=(0, 512, 1024)))


MP4, MKV, JPEG, PNG = b"....ftyp", b"\x1aE\xdf\xa3", b"\xff\xd8\xff", b"\x89PNG"
MADE = {
    "in.mp4": MP4, "in.avi": MKV, "in.wmv": MKV, "in.gif": MP4, "in.webp": MP4, "in.jpg": JPEG,
    "in.bmp": PNG,
}  # fmt: skip


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("name", MADE)
def test_a_pipe_gets_what_a_file_would_be_and_is_called_so(
    name: str, as_json: bool, piped: Callable[..., tuple[int, bytes, str]], tmp_path: Path
) -> None:
    source = given(tmp_path / name)
    code, made, err = piped(source, source, output="-", as_json=as_json)
    assert code == 0 and re.match(MADE[name], made, re.DOTALL) and b'"event"' not in made
    assert "streamer-pipe" not in err
    if as_json:
        begin, *_, done = events(err)
        assert begin["source"] == str(source) and begin["target"] == done["target"] == "-"
    else:
        assert err.splitlines()[-1].partition(":")[0] == "-"


@pytest.mark.parametrize("name", MADE)
def test_what_comes_by_a_pipe_is_called_so(
    name: str, piped: Callable[..., tuple[int, bytes, str]], tmp_path: Path
) -> None:
    """Nobody knows its name: a video becomes an MP4."""
    code, made, err = piped(given(tmp_path / name), "-", as_json=True)
    begins = MADE[name] if MADE[name] in (JPEG, PNG) else MP4
    assert code == 0 and re.match(begins, made, re.DOTALL) and b'"event"' not in made
    assert events(err)[0] == {"event": "begin", "source": "-", "target": "-"}
    assert "streamer-pipe" not in err


def test_what_fails_with_pipes_is_told_by_their_name(
    piped: Callable[..., tuple[int, bytes, str]], album: Path
) -> None:
    bad = album / "bad.mp4"
    assert piped(bad, "-") == (1, b"", "streamer: -: not a video file, or too badly damaged\n")
    with pytest.raises(UsageError, match="a pipe gives one output, and 5 files would be written"):
        piped(bad, album, output="-")


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Keeps the user, who may be root, from looking into a folder."""

    def lock(folder: Path) -> None:
        def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(path: Any, *args: Any, **options: Any) -> Any:
                if str(path).startswith(f"{folder}/") or (
                    function is scandir and path == str(folder)
                ):
                    raise PermissionError(13, "Permission denied", str(path))
                return function(path, *args, **options)

            return call

        scandir = os.scandir
        monkeypatch.setattr(os, "scandir", guarded(os.scandir))
        monkeypatch.setattr(os, "stat", guarded(os.stat))

    return lock


@pytest.mark.parametrize("only", [False, True])
def test_a_folder_that_cannot_be_read_is_a_failure(
    run: Callable[..., tuple[int, str, str]],
    album: Path,
    locked: Callable[[Path], None],
    only: bool,
) -> None:
    """It was left out without a word."""
    locked(album / "deep")
    given = album / "deep" if only else album
    code, _, err = run(given, output=str(album.parent / "new"))
    said = f"{album / 'deep'}: Permission denied"
    assert code == 1 and f"streamer: {said}" in err
    assert only or f"  {said}" in err.splitlines()[err.splitlines().index("1 done, 3 failed") :]
    (error,) = [event for event in events(run(given, as_json=True)[1]) if said in event.values()]
    assert error == {"event": "error", "source": str(album / "deep"), "message": said}


def test_a_file_that_cannot_be_reached_is_a_failure(
    run: Callable[..., tuple[int, str, str]], album: Path, locked: Callable[[Path], None]
) -> None:
    locked(album / "deep")
    files = album / "deep" / "photo.png", album / "deep" / "good.mkv", album / ("x" * 300 + ".jpg")
    code, _, err = run(*files, album / "phone.HEIC")
    assert code == 1 and "1 done, 3 failed" in err
    for file, why in zip(files, ["Permission denied"] * 2 + ["File name too long"], strict=True):
        assert f"streamer: {file}: {why}" in err


@pytest.mark.parametrize(
    ("where", "what"),
    [(Path, "mkdir"), (Path, "write_text"), (checkpoint, "sync"), (transcode, "sync")],
)
def test_what_fails_of_the_disk_names_the_film(
    run: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    what: str,
) -> None:
    """The folder alone says nothing to who gave an album."""

    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    film, target = given(tmp_path / "in.mp4"), tmp_path / "new" / "in.none.mp4"
    with monkeypatch.context() as patched:
        patched.setattr(where, what, full)
        code, _, err = run(film, film.parent / "no.jpg", output=str(target.parent))
    said = next(line for line in err.splitlines() if "No space left on device" in line)
    assert code == 1 and said.startswith((f"streamer: {film}: ", f"streamer: {target}: "))
    assert f"  {said.removeprefix('streamer: ')}" in err.splitlines(), "in the summary, too"


def test_a_dry_run_makes_nothing(
    run: Callable[..., tuple[int, str, str]], album: Path, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    code, _, err = run(album, output=str(tmp_path / "new"), dry_run=True)
    assert code == 1 and "128x64, 30 frames" in err and "a photo, becomes" in err
    assert tree(tmp_path) == before and not (tmp_path / "new").exists()


def test_nothing_of_a_photo_is_left_when_its_folder_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mkdir(self: Path, *args: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(MediaError, match="Read-only file system"):
        batch.make_folder(tmp_path / "new")
