"""Clocks that restart, jump, wrap or say nothing: image and audio keep step, nothing is lost."""

import asyncio
import itertools
from fractions import Fraction
from pathlib import Path

import pytest

from streamer.files import checkpoint, transcode
from streamer.files.clock import BestEffort, growing
from tests.support.flash_beep import FLASH, FPS, beeps, flashes, write
from tests.support.video_runs import Wanted, leftovers, read_back, run, times, wanted

STEP_S = 0.02  # between image and audio
DELAY_S = 1.4  # with which FFmpeg's MPEG-TS muxer begins
WRAP_S = 2**33 / 90_000


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def assert_in_step(path: Path, count: int, seconds: float) -> None:
    """Flashes and beeps a second apart, each pair together, and as long as it should be."""
    seen, heard = flashes(path), beeps(path)
    assert len(seen) == len(heard) == count, (seen, heard)
    assert all(abs(f - b) <= STEP_S for f, b in zip(seen, heard, strict=True)), (seen, heard)
    shown = times(path)
    assert shown[-1] == pytest.approx(seconds, abs=0.15)
    gaps = [b - a for a, b in itertools.pairwise(shown[:-1])]
    assert min(gaps) > 0.4 / FPS, "nothing is squeezed"


async def stylized(source: Path, target: Path, **options: object) -> Path:
    result = await run(wanted(source, target, **options))
    assert not any("packets of other streams" in note for note in result.notes)
    return target


async def test_joined_recordings_whose_clock_restarts(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1.ts", 3), write(tmp_path / "2.ts", 2)
    source = joined(tmp_path / "in.ts", one, two, one)
    target = await stylized(source, tmp_path / "out.mp4")
    assert_in_step(target, 8, 8)
    assert len(times(target)) == 8 * FPS + 1, "every frame"
    assert len({round(f % 1, 2) for f in flashes(target)}) <= 3, "none waits at the joint"


@pytest.mark.parametrize("suffix", ["ts", "vob"])
@pytest.mark.parametrize("sound_s", [1.6, 2.4, 5.0])
async def test_parts_whose_image_and_audio_differ_in_length(
    tmp_path: Path, suffix: str, sound_s: float
) -> None:
    """Before, each joint left image and audio further apart."""
    codecs = ("libx264", "aac") if suffix == "ts" else ("mpeg2video", "mp2")
    part = write(tmp_path / f"part.{suffix}", 2, sound_s=sound_s, codecs=codecs)
    source = joined(tmp_path / f"in.{suffix}", part, part, part)
    target = await stylized(source, tmp_path / "out.mp4")
    seen, heard = flashes(target), beeps(target)
    assert len(seen) == 6
    for flash in seen[1::2]:  # the last of each part, when all streams have passed the joint
        assert min(abs(flash - beep) for beep in heard) <= STEP_S, (seen, heard)


@pytest.mark.parametrize("start_s", [0, 40_000, WRAP_S - DELAY_S - 1.5])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
async def test_any_clock_starts_at_zero(start_s: float, suffix: str, tmp_path: Path) -> None:
    """The last wraps from 2**33 to 0 in the middle of the second second."""
    source = write(tmp_path / "in.ts", 4, start_s=start_s)
    target = await stylized(source, tmp_path / f"out.{suffix}")
    assert_in_step(target, 4, 4)


@pytest.mark.parametrize("starts_s", [(0, 5000), (5000, 0), (0, 100, 50_000, 20)])
async def test_jumps_forward_and_back_are_carried_over(
    starts_s: tuple[float, ...], tmp_path: Path
) -> None:
    parts = [write(tmp_path / f"{n}.ts", 2, start_s=start_s) for n, start_s in enumerate(starts_s)]
    target = await stylized(joined(tmp_path / "in.ts", *parts), tmp_path / "out.mp4")
    assert_in_step(target, 2 * len(parts), 2 * len(parts))


async def test_a_pause_that_is_no_jump_stays(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1.ts", 2), write(tmp_path / "2.ts", 2, start_s=5)
    target = await stylized(joined(tmp_path / "in.ts", one, two), tmp_path / "out.mp4")
    assert times(target)[-1] == pytest.approx(7, abs=0.15)
    assert flashes(target)[2] == pytest.approx(5.5, abs=0.1)


@pytest.mark.parametrize("name", ["in.vob", "in.mpg"])
async def test_program_streams_restart_too(name: str, tmp_path: Path) -> None:
    codecs = ("mpeg2video", "mp2")
    parts = [write(tmp_path / f"{n}-{name}", 2, codecs=codecs) for n in range(2)]
    target = await stylized(joined(tmp_path / name, *parts), tmp_path / "out.mp4")
    assert_in_step(target, 4, 4)


@pytest.mark.parametrize("name", ["in.flv", "in.avi", "in.mkv", "in.mov"])
async def test_frames_that_were_left_out_leave_their_time(name: str, tmp_path: Path) -> None:
    """As recorders do on a slow machine; AVI keeps no times at all but the order of frames."""
    codecs = ("mpeg4", "mp3") if name == "in.avi" else ("libx264", "aac")
    source = write(tmp_path / name, 5, codecs=codecs, keep=lambda n: n % 3 > 0 or n % FPS == FLASH)
    target = await stylized(source, tmp_path / "out.mp4")
    seen, heard = flashes(target), beeps(target)
    assert len(seen) == len(heard) == 5
    late = [f - b for f, b in zip(seen, heard, strict=True)]
    before = [f - b for f, b in zip(flashes(source), beeps(source), strict=True)]
    assert max(abs(a - b) for a, b in zip(late, before, strict=True)) <= STEP_S


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("in.avi", ("libx264", "pcm_s16le")),
        ("in.avi", ("mpeg4", "mp3")),
        ("in.asf", ("libx264", "wmav2")),
    ],
)
async def test_no_times_are_invented(name: str, codecs: tuple[str, str], tmp_path: Path) -> None:
    """FFmpeg's guesses, which PyAV asks for, are a frame late in AVI and one early in ASF."""
    source = write(tmp_path / name, 4, codecs=codecs, reorder=name != "in.avi")
    assert_in_step(await stylized(source, tmp_path / "out.mp4"), 4, 4)


async def test_what_is_cut_out_begins_with_a_frame(tmp_path: Path) -> None:
    """In coarse ticks, image and audio would be moved by different times."""
    source = write(tmp_path / "in.avi", 4, codecs=("mpeg4", "pcm_s16le"))
    target = await stylized(source, tmp_path / "out.mkv", start_s=Fraction("1.02"))
    assert_in_step(target, 3, 3)


async def test_h264_in_avi_whose_times_are_wrong(tmp_path: Path) -> None:
    source = write(tmp_path / "in.avi", 4, codecs=("libx264", "mp3"))
    target = await stylized(source, tmp_path / "out.mp4")
    shown = times(target)
    assert len(shown) == 4 * FPS + 1
    gaps = [b - a for a, b in itertools.pairwise(shown)]
    assert sorted(gaps)[-3] == Fraction(1, FPS) == sorted(gaps)[3]
    seen, heard = flashes(target), beeps(target)
    assert all(abs(f - b) <= 0.06 for f, b in zip(seen, heard, strict=True)), "as FFmpeg has it"


async def test_parts_are_cut_out_in_the_time_of_the_whole(tmp_path: Path) -> None:
    one = write(tmp_path / "1.ts", 3, start_s=700)
    source = joined(tmp_path / "in.ts", one, one)
    target = await stylized(
        source, tmp_path / "out.mp4", start_s=Fraction(2), end_s=Fraction("4.2")
    )
    assert times(target)[-1] == pytest.approx(2.2, abs=0.1)
    assert_in_step(target, 2, 2.2)


async def test_an_interrupted_run_goes_on_across_a_joint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FRAMES", 20)
    monkeypatch.setattr(transcode, "REPORT_S", 0.001)
    one = write(tmp_path / "1.ts", 2)
    source = joined(tmp_path / "in.ts", one, one, one)
    whole = await stylized(source, tmp_path / "whole.mp4")
    target = tmp_path / "out.mp4"
    await interrupted(wanted(source, target), 90)
    result = await run(wanted(source, target, resume=True))
    assert 60 <= result.resumed < result.frames
    assert read_back(target) == read_back(whole)
    assert not leftovers(tmp_path, target, whole, source, one)


async def interrupted(one: Wanted, after: int) -> None:
    task: asyncio.Task[object]

    def stop(progress: transcode.Progress) -> None:
        if progress.frames >= after:
            task.cancel()

    task = asyncio.create_task(run(one, report=stop))
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ([0, 10, 20], [0, 10, 20]),
        ([None, None, None], [0, 10, 20]),
        ([5, None, 25], [5, 15, 25]),
        ([0, 0, 20, 20, 40], [0, 10, 20, 30, 40]),
        ([100, 60, 80, 120], [100, 106, 113, 120]),
        ([7, 7, 7], [7, 17, 27]),
        ([7, 7, 7, 8, 9], [7, 8, 9, 10, 20]),
    ],
)
def test_frames_whose_times_are_missing_or_repeated_are_spread(
    said: list[int | None], made: list[int]
) -> None:
    frames = [(number, pts, 0) for number, pts in enumerate(said)]
    found = list(growing(frames, 10))
    assert [frame for frame, _, _ in found] == list(range(len(said))), "in order, none lost"
    assert [pts for _, pts, _ in found] == made


def test_the_time_that_goes_back_less_often_counts() -> None:
    """H.264 in AVI has right dts and, out of order, wrong pts."""
    best_effort = BestEffort()
    stamps = [(1, 2), (3, 3), (4, 4), (2, 5), (6, 6), (7, 7), (5, 8), (9, 9)]
    assert [best_effort(*each) for each in stamps] == [1, 3, 4, 5, 6, 7, 8, 9]
    assert BestEffort()(None, 5) == 5 and BestEffort()(None, None) is None


def test_few_frames_wait_for_a_time(n: int = 100) -> None:
    taken: list[int] = []

    def frames() -> list[tuple[int, int | None, int]]:
        return [(number, 0, 0) for number in range(n)]

    for number, (frame, _, _) in enumerate(growing(frames(), 10)):
        assert frame == number
        taken.append(frame)
    assert len(taken) == n
