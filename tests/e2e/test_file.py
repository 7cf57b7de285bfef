"""`streamer file` as a user runs it: real Ray, a real network, real videos."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from PIL import Image as Pillow

from tests.support.video_clips import Clip, luma, numbers, real_clip, write_clip
from tests.support.video_runs import leftovers, read_back, times

pytestmark = pytest.mark.e2e

LIMIT_S = 150
MIB = 1 << 20
Event = dict[str, object]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "streamer", "file", *map(str, arguments)]


def streamer_file(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), input=stdin, capture_output=True, timeout=LIMIT_S, check=False
    )


def watch(hear: Callable[[Event, psutil.Process], None], *arguments: object) -> tuple[int, str]:
    """Run with --json and hear every event; the exit code, and what went to stderr."""
    with subprocess.Popen(
        command("--json", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            hear(json.loads(line), psutil.Process(process.pid))
        return process.wait(LIMIT_S), process.stderr.read()


def painters(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children(recursive=True) if "Worker" in child.name()]


def test_a_real_video_is_painted_and_its_sound_kept(tmp_path: Path) -> None:
    events: list[Event] = []
    source = real_clip("bigbuckbunny.mp4")
    target = tmp_path / "out.mp4"
    code, errors = watch(
        lambda event, process: events.append(event),
        source, "-o", target, "--style", "mosaic", "--height", 90, "--end", "1.2",
    )  # fmt: skip
    assert (code, errors) == (0, "")
    begin, *_, done = events
    assert begin["event"] == "begin"
    assert (done["event"], done["frames"], done["damaged"]) == ("done", 30, 0)
    progress = [event for event in events if event["event"] == "progress"][-1]
    assert (progress["frames"], progress["total"]) == (30, 30)
    assert progress["bottleneck"] in ("decode", "ring", "encode")
    assert times(target)[:-1] == times(source)[:30]
    sound = next(s for s in read_back(target) if s.kind == "audio")
    whole = next(s for s in read_back(source) if s.kind == "audio")
    assert sound.packets == whole.packets[: len(sound.packets)] and len(sound.packets) > 50
    with av.open(str(source)) as a, av.open(str(target)) as b:
        for old, new in zip(a.decode(video=0), b.decode(video=0), strict=False):
            assert np.abs(luma(old).astype(int) - luma(new)).mean() > 15  # stylized
    assert not leftovers(tmp_path, target)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pts = tuple(range(0, 600 * 512, 512))
    clip = Clip(pts=pts, width=192, height=96, audio=("eng",), gop=100)
    return write_clip(tmp_path_factory.mktemp("video") / "in.mp4", clip)


# Slow enough to be interrupted, and numbers stay readable in it.
PAINT = ("--style", "copper@multistyle26", "--encoder", "software", "--workers", 2)


def test_kill_and_ctrl_c_cost_no_frame(video: Path, tmp_path: Path) -> None:
    """A worker killed in one run, Ctrl-C in the other: both videos have all frames, the same."""
    killed, stopped = tmp_path / "killed.mp4", tmp_path / "stopped.mp4"
    deaths: list[int] = []

    def kill(event: Event, process: psutil.Process) -> None:
        if event["event"] == "progress" and int(str(event["frames"])) > 50 and not deaths:
            victim = painters(process)[0]
            victim.kill()
            deaths.append(victim.pid)

    code, said = watch(kill, video, "-o", killed, *PAINT)
    assert code == 0 and deaths
    assert said.count("\n") == 1 and "is restarted" in said
    assert numbers(killed) == list(range(600))

    def stop(event: Event, process: psutil.Process) -> None:
        if event["event"] == "progress" and int(str(event["frames"])) > 260:
            process.send_signal(signal.SIGINT)

    code, errors = watch(stop, video, "-o", stopped, *PAINT)
    assert (code, errors) == (130, "")
    assert leftovers(tmp_path, killed) == {".stopped.mp4.streamer"}
    done = json.loads(
        streamer_file("--json", "--resume", video, "-o", stopped, *PAINT).stdout.splitlines()[-1]
    )
    assert done["event"] == "done" and done["resumed"] >= 240
    assert stopped.read_bytes() == killed.read_bytes()
    assert not leftovers(tmp_path, killed, stopped)


def test_one_bad_input_does_not_keep_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    (folder / "bad.mp4").write_bytes(b"no video at all" * 100)
    write_clip(folder / "good.mkv", Clip(time_base=Fraction(1, 1000), pts=(0, 40, 90, 95)))
    Pillow.new("RGBA", (64, 48), (200, 30, 30, 99)).save(folder / "photo.png")
    done = streamer_file(folder, "--style", "mosaic")
    assert done.returncode == 1 and done.stdout == b""
    failure = f"{folder / 'bad.mp4'}: not a video file, or too badly damaged"
    said = done.stderr.decode().splitlines()
    assert said[0] == f"streamer: {failure}" and said[-2:] == ["2 done, 1 failed", f"  {failure}"]
    made = {path.name for path in folder.iterdir()} - {"bad.mp4", "good.mkv", "photo.png"}
    assert made == {"good.mosaic.mkv", "photo.mosaic.png"}
    assert times(folder / "good.mosaic.mkv")[:4] == [
        0,
        Fraction(1, 25),
        Fraction(9, 100),
        Fraction(19, 200),
    ]
    with Pillow.open(folder / "photo.mosaic.png") as photo:
        assert photo.size == (64, 48) and photo.getpixel((5, 5))[3] == 99  # type: ignore[index]
    again = streamer_file(folder / "good.mkv", "--style", "mosaic")
    assert again.returncode == 2 and b"--overwrite replaces it" in again.stderr


def test_pipes_and_a_bar_on_a_terminal(video: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with video.open("rb") as given, (tmp_path / "out.mp4").open("wb") as out:
        process = subprocess.Popen(
            command("-", "--end", 8, "--style", "none", "--backend", "none"),
            stdin=given,
            stdout=out,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
        )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # how Linux says that nobody holds the other end
        pass
    assert process.wait(LIMIT_S) == 0
    assert numbers(tmp_path / "out.mp4") == list(range(200))
    assert b"200/200" in shown and b" fps" in shown and b"limited by" in shown


def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    """Twenty minutes: what the second half needs, the first half needed too."""
    pts = tuple(range(0, 20 * 60_000, 400))
    clip = Clip(
        pts=pts,
        width=480,
        height=288,
        time_base=Fraction(1, 1000),
        rate=Fraction("2.5"),
        audio=("eng",),
        audio_codec="flac",
        gop=60,
    )
    source = write_clip(tmp_path / "in.mkv", clip)
    used: list[tuple[int, int]] = []

    def measure(event: Event, process: psutil.Process) -> None:
        if event["event"] == "progress":
            used.append((int(str(event["frames"])), process.memory_info().rss))

    target = tmp_path / "out.mkv"
    assert watch(measure, source, "-o", target, "--style", "none", "--backend", "none") == (0, "")
    assert used[-1][0] == len(pts) and len(used) > 4
    early = max(rss for frames, rss in used if frames < len(pts) / 2)
    late = max(rss for frames, rss in used if frames >= len(pts) / 2)
    assert late < early + 24 * MIB, [(n, rss // MIB) for n, rss in used]
    assert times(target) == times(source)


REFUSED = {
    ("missing.mp4",): (2, "missing.mp4: no such file"),
    ("empty.mp4",): (1, "empty.mp4: the file is empty"),
    ("empty.mp4", "--style", "nobody"): (2, "unknown style 'nobody'"),
    ("empty.mp4", "--start", "x"): (2, "'x' is not a time"),
    ("--gpus", "1", "empty.mp4"): (2, "--gpus needs --backend torch"),
}


def test_a_failure_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    running = [
        subprocess.Popen(command(*arguments), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for arguments in REFUSED
    ]
    for process, (code, says) in zip(running, REFUSED.values(), strict=True):
        _, said = process.communicate(timeout=LIMIT_S)
        assert process.returncode == code
        assert said.count("\n") == 1 and says in said
    assert not leftovers(tmp_path, tmp_path / "empty.mp4")


@pytest.mark.skipif(sys.platform == "darwin", reason="there, names are UTF-8")
def test_names_need_not_be_utf_8(tmp_path: Path) -> None:
    source = tmp_path / os.fsdecode(b"caf\xe9.png")
    Pillow.radial_gradient("L").convert("RGB").resize((64, 64)).save(source)
    done = streamer_file(source, "--style", "none")
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / os.fsdecode(b"caf\xe9.none.png")).exists()


def test_a_dry_run_says_what_would_be_done_and_does_nothing(video: Path, tmp_path: Path) -> None:
    done = streamer_file("--dry-run", video, "-o", tmp_path / "out.mp4", "--encoder", "software")
    assert done.returncode == 0
    assert "192x96, 600 frames" in done.stderr.decode()
    assert f"becomes {tmp_path / 'out.mp4'}, h264 by libx264" in done.stderr.decode()
    assert not leftovers(tmp_path)
