"""Videos whose frames change on the way: size, samples, tags, fields, light."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.errors import UsageError
from streamer.files.job import prepare
from tests.support.video_clips import Clip, luma, numbers, write_clip
from tests.support.video_runs import run, times, wanted

BASE = Fraction(1, 90_000)
PLAIN = Clip(
    time_base=BASE, pts=tuple(range(0, 30 * 3600, 3600)), width=320, height=180, colors=(1, 6, 6, 6)
)
QUIET = {"preset": "ultrafast", "x265-params": "log-level=none"}
HEVC = replace(PLAIN, encoder="libx265", options=QUIET)
FIELDS = {"preset": "ultrafast", "crf": "12", "x264-params": "tff=1"}


async def joined(folder: Path, *clips: Clip) -> tuple[Path, tuple[str, ...]]:
    """The clips as one transport stream, stylized."""
    parts = [write_clip(folder / f"{n}.ts", clip) for n, clip in enumerate(clips)]
    source, target = folder / "in.ts", folder / "out.mp4"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    result = await run(wanted(source, target))
    count = sum(len(clip.pts) for clip in clips)
    assert result.frames == count and len(times(target)) == count + 1
    return target, result.notes


def frames(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


async def test_another_size_is_fitted_between_bars(tmp_path: Path) -> None:
    upright = replace(PLAIN, width=180, height=320)
    target, notes = await joined(tmp_path, PLAIN, upright, replace(PLAIN, width=640, height=360))
    assert "the size of its frames changes: all are fitted into 320x180" in notes
    assert {(frame.width, frame.height) for frame in frames(target)} == {(320, 180)}
    assert numbers(target)[:30] == list(range(30)) == numbers(target)[60:]
    second = luma(frames(target)[45])
    assert (second[:, :100] < 25).all() and (second[:, -100:] < 25).all(), "bars"
    assert second[:, 112:208].std() > 20, "and the frame between them"


async def test_other_samples_are_fitted_too(tmp_path: Path) -> None:
    """16:9 and then 4:3, as broadcasts change between films: the same size in samples."""
    wide = replace(PLAIN, width=360, height=288, aspect=Fraction(64, 45))
    target, _ = await joined(tmp_path, wide, replace(wide, aspect=Fraction(16, 15)))
    first, second = luma(frames(target)[5]), luma(frames(target)[45])
    assert (second[:, :40] < 25).all() and (second[:, -40:] < 25).all()
    assert first[:, :40].max() > 60
    with av.open(str(target)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 45)


@pytest.mark.parametrize(
    "colors", [(2, 6, 6, 6), (1, 1, 1, 1), (2, 1, 1, 1)], ids=["full601", "709", "full709"]
)
async def test_other_tags_are_converted(colors: tuple[int, int, int, int], tmp_path: Path) -> None:
    """Each clip has the same codes, so the same codes mean other colours: grey stays grey."""
    target, _ = await joined(tmp_path, PLAIN, replace(PLAIN, colors=colors))
    first, second = frames(target)[5], frames(target)[35]
    assert (second.color_range, second.colorspace) == (1, 6)
    assert np.abs(luma(first).astype(int) - luma(second)).mean() < 3


async def test_hdr_in_the_middle_becomes_sdr(tmp_path: Path) -> None:
    pq = replace(HEVC, pix_fmt="yuv420p10le", colors=(1, 9, 9, 16))
    target, _ = await joined(tmp_path, replace(HEVC, colors=(1, 1, 1, 1)), pq, HEVC)
    assert numbers(target)[:30] == numbers(target)[30:60] == list(range(30))
    sdr, mapped = luma(frames(target)[5]), luma(frames(target)[35])
    white = luma(frames(target)[5]).max()
    assert white > 200 and mapped.max() > white, "what is bright in PQ is white in SDR"
    assert sdr.shape == mapped.shape


async def test_fields_in_parts_only(tmp_path: Path) -> None:
    woven = replace(PLAIN, woven=True, options=FIELDS)
    target, notes = await joined(tmp_path, PLAIN, woven, replace(PLAIN, width=160, height=96))
    assert "deinterlaced: it has interlaced frames" in notes
    assert numbers(target)[:30] == numbers(target)[30:60] == list(range(30))
    lower = [luma(frame)[96:].astype(int) for frame in frames(target)[35:55]]
    near = np.mean([np.abs(np.diff(rows, axis=0)).mean() for rows in lower])
    far = np.mean([np.abs(rows[2:] - rows[:-2]).mean() for rows in lower])
    assert near - far < 10


@pytest.mark.parametrize(("suffix", "start_s"), [("avi", None), ("ts", None), ("ts", Fraction(1))])
async def test_each_field_becomes_a_frame_when_asked(
    suffix: str, start_s: Fraction | None, tmp_path: Path
) -> None:
    """Every 25th of 50 fields a second flashes: by turns the first and the second of a frame."""
    source, target = tmp_path / f"in.{suffix}", tmp_path / "out.mp4"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libx264", 25, options=FIELDS)
        stream.width, stream.height = 160, 96
        for number in range(75):
            both = 2 * number + 1, 2 * number  # PyAV's frames say that the lower field is first
            rows = [220 if field % 25 == 12 else 40 for field in both]
            luma_rows = np.tile(np.array(rows, np.uint8), 48)
            frame = av.VideoFrame.from_ndarray(
                np.repeat(luma_rows[:, None], 160, axis=1), "gray"
            ).reformat(format="yuv420p")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    skipped = 0 if start_s is None else 50
    result = await run(wanted(source, target, fields=True, start_s=start_s))
    assert result.frames == 150 - skipped
    bright = [number for number, frame in enumerate(frames(target)) if luma(frame).mean() > 120]
    assert bright == [field - skipped for field in range(12, 150, 25) if field >= skipped]
    steps = {b - a for a, b in zip(times(target), times(target)[1:], strict=False)}
    assert steps == {Fraction(1, 50)}


def test_fields_are_made_by_deinterlacing(tmp_path: Path) -> None:
    one = wanted(write_clip(tmp_path / "in.ts", PLAIN), tmp_path / "out.mp4")
    with pytest.raises(UsageError, match="leave out --no-deinterlace"):
        prepare(one.source, one.target, replace(one.options, fields=True, deinterlace=False))
