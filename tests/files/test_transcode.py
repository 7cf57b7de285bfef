"""Videos, read back stream by stream."""

import asyncio
import itertools
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.colorimetry import IN_RING, MATRICES, Colorimetry
from streamer.errors import MediaError, StreamerError, UsageError
from streamer.files import checkpoint, transcode
from streamer.frame import Image, Style
from streamer.i420 import blank
from tests.support.fakes import Killed
from tests.support.video_clips import (
    Clip,
    luma,
    numbers,
    real_clip,
    write_clip,
    write_undecodable,
)
from tests.support.video_runs import (
    Read,
    Wanted,
    darker,
    files_of_at_most,
    leftovers,
    looks,
    read_back,
    run,
    times,
    uneven,
    wanted,
)

MS = Fraction(1, 1000)
RNG = np.random.default_rng(4)
UNEVEN = tuple(int(x) for x in np.cumsum(RNG.integers(1, 3000, 50)))
HEVC = {"preset": "ultrafast", "x265-params": "log-level=none"}
VP9 = {"deadline": "realtime", "cpu-used": "8"}
IN_MS = tuple(range(0, 1200, 40))

CLIPS = {
    "everything.mp4": Clip(
        pts=tuple(range(0, 75 * 512, 512)),
        audio=("eng", "deu"),
        subtitles=("Hallo", "Welt, ja"),
        chapters=("One", "Two"),
        cover=True,
        rotation=90,
        aspect=Fraction(4, 3),
        colors=(1, 1, 1, 1),
        metadata={"title": "T", "artist": "me", "creation_time": "2020-01-02T03:04:05.000000Z"},
    ),
    "rare.mp4": Clip(metadata={"title": "T", "com.example.camera": "X1"}),
    "everything.mkv": Clip(
        time_base=MS,
        pts=tuple(range(0, 3000, 40)),
        audio=("eng", "deu"),
        audio_codec="libopus",
        subtitles=("Hallo", "Welt"),
        subtitle_codec="ass",
        chapters=("One", "Two"),
        second_video=True,
        attachment=True,
        rotation=180,
        metadata={"title": "T"},
    ),
    "uneven.mp4": Clip(pts=UNEVEN, options={"preset": "veryfast"}),
    "uneven.mkv": Clip(time_base=MS, pts=UNEVEN, options={"preset": "veryfast"}),
    "late.ts": Clip(
        time_base=Fraction(1, 90000), pts=tuple(range(126000, 306000, 3600)), audio=("eng",)
    ),
    "ntsc.mov": Clip(
        time_base=Fraction(1, 30000), pts=tuple(range(0, 40040, 1001)), rate=Fraction(30000, 1001)
    ),
    "one.mp4": Clip(pts=(0,)),
    "two.mp4": Clip(pts=(0, 512)),
    "noise.mp4": Clip(noise=True, colors=(1, 6, 6, 6)),
    "full-range.mp4": Clip(pix_fmt="yuvj420p", colors=(2, 5, 5, 6)),
    "ten-bit.mkv": Clip(
        time_base=MS, pts=IN_MS, encoder="libx265", pix_fmt="yuv420p10le", options=HEVC
    ),
    "odd.webm": Clip(
        time_base=MS, pts=IN_MS, width=131, height=67, encoder="libvpx-vp9", options=VP9
    ),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, clip in CLIPS.items():
        write_clip(folder / name, clip)
    return folder


@pytest.mark.parametrize("name", CLIPS)
async def test_everything_but_the_picture_is_as_it_was(
    name: str, clips: Path, tmp_path: Path
) -> None:
    source, target = clips / name, tmp_path / name
    result = await run(wanted(source, target))
    assert result.frames == len(CLIPS[name].pts)
    last = -1 if name == "uneven.mp4" else None  # MP4 does not say how long that one is shown
    assert times(target)[:last] == times(source)[:last]
    assert looks(target) == looks(source)
    if not CLIPS[name].noise:
        assert numbers(target) == numbers(source) == list(range(result.frames))
    old, new = read_back(source), read_back(target)
    assert [about(stream) for stream in new] == [about(stream) for stream in old]
    assert [s.data for s in new[1:]] == [s.data for s in old[1:]]
    assert [s.times for s in new[1:]] == [s.times for s in old[1:]]
    with av.open(str(source)) as a, av.open(str(target)) as b:
        assert b.chapters() == a.chapters()
        assert without_writer(b.metadata) == without_writer(a.metadata)
    assert not leftovers(tmp_path, target)


def about(stream: Read) -> tuple[object, ...]:
    """What is true of a stream whatever its packets; the stylized one may change its codec."""
    codec = "" if stream.kind == "video" else stream.codec
    return stream.kind, codec, stream.metadata, stream.disposition


def without_writer(metadata: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in metadata.items() if k.lower() not in ("encoder", "compatible_brands")}


@pytest.mark.parametrize("name", ["bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4"])
async def test_a_real_video_keeps_its_picture_sound_and_time(name: str, tmp_path: Path) -> None:
    source, target = real_clip(name), tmp_path / "out.mp4"
    await run(wanted(source, target, end_s=Fraction(2)))
    shown = times(target)
    assert shown[:-1] == times(source)[: len(shown) - 1] and len(shown) > 45
    with av.open(str(source)) as a, av.open(str(target)) as b:
        for old, new in zip(a.decode(video=0), b.decode(video=0), strict=False):
            error = luma(old).astype(float) - luma(new)
            assert 10 * np.log10(255**2 / np.mean(error**2)) > 38
    old_sound = [s for s in read_back(source) if s.kind == "audio"]
    new_sound = [s for s in read_back(target) if s.kind == "audio"]
    assert [s.packets for s in new_sound] == [s.packets[: count(s)] for s in old_sound]


def count(stream: Read) -> int:
    """Packets of the first two seconds."""
    return sum(pts is not None and pts < 2 for pts in stream.times)


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("h264", ".mkv"), ("hevc", ".mp4"), ("av1", ".mp4"), ("vp9", ".mp4"), ("vp9", ".webm")],
)
async def test_pts_survive_every_codec_across_segments(
    codec: str, suffix: str, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FRAMES", 13)
    source, target = clips / "uneven.mkv", tmp_path / f"out{suffix}"
    await run(wanted(source, target, codec=codec, crf=30))
    assert times(target)[:-1] == times(source)[:-1]
    assert numbers(target) == list(range(50))
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert codec in (stream.codec_context.codec.canonical_name, stream.name)
        dts = [p.dts for p in container.demux(stream) if p.size and p.dts is not None]
        assert dts == sorted(set(dts))
        assert stream.codec_context.codec_tag == "hvc1" or codec != "hevc"


async def test_what_a_format_cannot_hold_is_converted_or_dropped_and_said(
    clips: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    result = await run(wanted(clips / "everything.mkv", target))
    text = next(s for s in read_back(target) if s.kind == "subtitle")
    assert (text.codec, text.metadata["language"]) == ("mov_text", "deu")
    assert [data[2:] for data in text.data if data[2:]] == [b"Hallo", b"Welt"]
    assert [pts for pts, data in text.packets if data[2:]] == [0, 1]
    said = "\n".join(result.notes)
    assert "subtitle stream 4 (ass) becomes mov_text" in said
    assert "(font.ttf) is dropped" in said
    assert "video stream 1 (h264) is copied unchanged" in said


async def test_sound_becomes_opus_for_webm_and_stays_in_step(clips: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.webm"
    await run(wanted(clips / "everything.mp4", target))
    first, second = (s for s in read_back(target) if s.kind == "audio")
    assert first.codec == second.codec == "opus" and second.metadata["language"] == "deu"
    with av.open(str(target)) as container:
        sound = [f.to_ndarray() for f in container.decode(audio=0)]
    wave = np.concatenate(sound, axis=1)[0]
    spectrum = np.abs(np.fft.rfft(wave[:48000]))
    assert abs(int(spectrum.argmax()) - 220) <= 1  # hertz
    assert abs(wave.size / 48000 - CLIPS["everything.mp4"].seconds) < 0.1


async def test_more_bits_become_eight_with_one_warning(clips: Path, tmp_path: Path) -> None:
    result = await run(wanted(clips / "ten-bit.mkv", tmp_path / "out.mkv"))
    assert result.notes == ("10 bits become 8",)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


@pytest.mark.parametrize("transfer", [16, 18])
async def test_hdr_becomes_sdr_with_one_warning(transfer: int, tmp_path: Path) -> None:
    clip = Clip(
        encoder="libx265",
        pix_fmt="yuv420p10le",
        options=HEVC,
        colors=(1, 9, 9, transfer),
        pts=tuple(range(0, 5120, 512)),
    )
    source, target = write_clip(tmp_path / "in.mp4", clip), tmp_path / "out.mp4"
    result = await run(wanted(source, target))
    assert result.notes == ("10-bit HDR becomes 8-bit SDR (BT.709)",)
    assert looks(target)[2:] == (1, 1, 1, 1)
    assert numbers(target) == list(range(10))


async def test_odd_sides_become_even_for_h264_and_nothing_is_cut_off(
    clips: Path, tmp_path: Path
) -> None:
    source, target = clips / "odd.webm", tmp_path / "out.mkv"
    result = await run(wanted(source, target))
    assert result.notes == ("131x67 becomes 132x68: h264 needs even sides",)
    with av.open(str(source)) as a, av.open(str(target)) as b:
        old, new = luma(next(a.decode(video=0))), luma(next(b.decode(video=0)))
    assert new.shape == (68, 132)
    assert np.abs(new[:67, :131].astype(int) - old).mean() < 4
    assert np.abs(new[-1].astype(int) - new[-2]).mean() < 8  # the last line, repeated


async def test_fields_become_whole_pictures_unless_told_not_to(tmp_path: Path) -> None:
    clip = Clip(woven=True, options={"preset": "ultrafast", "crf": "12", "x264-params": "tff=1"})
    source = write_clip(tmp_path / "in.mp4", clip)
    made, left = tmp_path / "made.mp4", tmp_path / "left.mp4"
    result = await run(wanted(source, made))
    assert result.notes == ("deinterlaced: it has interlaced frames",)
    assert (await run(wanted(source, left, deinterlace=False))).notes == ()
    assert times(made) == times(left) == times(source)
    assert numbers(made) == numbers(left) == list(range(30))
    assert combing(left) > 20 > 2 * combing(made)


def combing(path: Path) -> float:
    """How much more neighbouring lines differ than those two apart, in the moving lower half."""
    with av.open(str(path)) as container:
        frames = [luma(f)[32:].astype(int) for f in container.decode(video=0)][5:25]
    near = np.mean([np.abs(np.diff(frame, axis=0)).mean() for frame in frames])
    far = np.mean([np.abs(frame[2:] - frame[:-2]).mean() for frame in frames])
    return float(near - far)


async def test_a_part_starts_at_zero_with_its_sound_and_chapters(
    clips: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    part = wanted(clips / "everything.mp4", target, start_s=Fraction("0.99"), end_s=Fraction("2.5"))
    assert (await run(part)).frames == 38
    assert numbers(target) == list(range(25, 63))
    assert times(target)[0] == Fraction("0.01")
    old = next(s for s in read_back(clips / "everything.mp4") if s.kind == "audio")
    new = next(s for s in read_back(target) if s.kind == "audio")
    first = old.data.index(new.data[0])
    moved = [
        (old_at or 0) - (new_at or 0)
        for old_at, new_at in zip(old.times[first:], new.times, strict=False)
    ]
    assert max(abs(shift - Fraction("0.99")) for shift in moved) < Fraction(1, 1000)
    assert new.data == old.data[first : first + len(new.data)]
    with av.open(str(target)) as container:
        titles = [c["metadata"]["title"] for c in container.chapters()]
        assert titles == ["One", "Two"]


async def test_one_worker_and_many_give_the_same_video(clips: Path, tmp_path: Path) -> None:
    one, many = tmp_path / "one.mp4", tmp_path / "many.mp4"
    await run(wanted(clips / "everything.mp4", one), uneven, workers=1)
    await run(wanted(clips / "everything.mp4", many), uneven, workers=5)
    assert one.read_bytes() == many.read_bytes()


async def test_a_dying_worker_costs_no_frame(clips: Path, tmp_path: Path) -> None:
    calls = itertools.count()

    def stylize(image: Image) -> Image:
        if next(calls) in (5, 6, 20, 50):
            raise Killed
        return darker(image)

    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    await run(wanted(clips / "everything.mp4", target), stylize, workers=3)
    assert numbers(target) == list(range(75))
    await run(wanted(clips / "everything.mp4", whole), darker)
    assert target.read_bytes() == whole.read_bytes()


# --- interrupted ---------------------------------------------------------------------------


async def interrupted(one: Wanted, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until some frames are written, then cancel, as Ctrl-C does."""
    monkeypatch.setattr(transcode, "REPORT_S", 0.001)
    task: asyncio.Task[object]

    def stop(progress: transcode.Progress) -> None:
        if progress.frames >= after:
            task.cancel()

    task = asyncio.create_task(run(one, uneven, report=stop))
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("name", ["everything.mp4", "uneven.mkv", "woven.mp4", "late.ts"])
async def test_an_interrupted_video_goes_on_as_if_it_had_not_been(
    name: str, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FRAMES", 10)
    source = clips / name
    if name == "woven.mp4":
        options = {"preset": "ultrafast", "x264-params": "tff=1"}
        source = write_clip(tmp_path / "in.mp4", Clip(woven=True, options=options))
    whole, target = tmp_path / f"whole{source.suffix}", tmp_path / f"out{source.suffix}"
    await run(wanted(source, whole, smooth=0.5), uneven)
    await interrupted(wanted(source, target, smooth=0.5), 13, monkeypatch)
    assert not target.exists()
    result = await run(wanted(source, target, smooth=0.5, resume=True), uneven)
    assert 10 <= result.resumed < result.frames
    assert read_back(target) == read_back(whole)
    assert not leftovers(tmp_path, target, whole, source)


async def test_a_begun_video_is_neither_lost_nor_mixed_up(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FRAMES", 10)
    source, target = clips / "everything.mp4", tmp_path / "out.mp4"
    await interrupted(wanted(source, target), 13, monkeypatch)
    with pytest.raises(UsageError, match="--resume continues, --overwrite starts again"):
        await run(wanted(source, target))
    with pytest.raises(UsageError, match="started with another encoder, smooth"):
        await run(wanted(source, target, resume=True, smooth=0.3, crf=30))
    assert (await run(wanted(source, target, overwrite=True))).resumed == 0
    assert not leftovers(tmp_path, target)


async def test_resume_of_nothing_begins(clips: Path, tmp_path: Path) -> None:
    result = await run(wanted(clips / "two.mp4", tmp_path / "out.mp4", resume=True))
    assert (result.frames, result.resumed) == (2, 0)


async def test_an_interruption_before_the_first_segment_leaves_nothing(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await interrupted(wanted(clips / "everything.mp4", tmp_path / "out.mp4"), 5, monkeypatch)
    assert not leftovers(tmp_path)


# --- what cannot be done ----------------------------------------------------------------------


def truncated(source: Path, target: Path, size: int) -> Path:
    target.write_bytes(source.read_bytes()[:size])
    return target


async def refused(one: Wanted, kind: type[StreamerError], says: str) -> None:
    with pytest.raises(kind, match=says) as caught:
        await run(one)
    assert "\n" not in str(caught.value)
    assert not leftovers(one.target.parent, one.source)


async def test_an_unreadable_video_gives_one_line_and_no_file(clips: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    source = tmp_path / "in.mp4"
    await refused(wanted(source, target), UsageError, "no such file")
    source.touch()
    await refused(wanted(source, target), MediaError, "the file is empty")
    source.write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n" * 50)
    await refused(wanted(source, target), MediaError, "not a video file")
    source.write_bytes(RNG.bytes(5000))
    await refused(wanted(source, target), MediaError, "not a video file")
    truncated(clips / "everything.mp4", source, 3000)
    await refused(wanted(source, target), MediaError, "in.mp4: ")
    with av.open(str(source), "w") as out:
        stream = out.add_stream("aac", 48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), "f4"), "fltp", "mono")
        frame.sample_rate = 48000
        out.mux([*stream.encode(frame), *stream.encode(None)])
    await refused(wanted(source, target), MediaError, "there is no video stream, only sound")
    write_undecodable(source)
    await refused(wanted(source, target), MediaError, "FFmpeg has no decoder for its video")


async def test_a_second_video_of_an_unknown_codec_is_dropped_and_said(tmp_path: Path) -> None:
    source, target = write_undecodable(tmp_path / "in.mkv", "libx264"), tmp_path / "out.mkv"
    result = await run(wanted(source, target))
    assert result.frames == 10 and len(read_back(target)) == 1
    assert "video stream 1 (unknown codec) is dropped" in " ".join(result.notes)


async def test_an_impossible_target_is_refused_before_any_work(clips: Path, tmp_path: Path) -> None:
    source = shutil.copy(clips / "two.mp4", tmp_path / "in.mp4")
    source = Path(source)
    await refused(wanted(source, source), UsageError, "would overwrite its source")
    await refused(wanted(source, tmp_path / "out.xyz"), UsageError, "unsupported file type")
    wrong = wanted(source, tmp_path / "out.webm", codec="h264")
    await refused(wrong, UsageError, "WebM cannot hold h264")
    await refused(
        wanted(source, tmp_path / "out.mp4", start_s=Fraction(9)),
        UsageError,
        "there is no frame between",
    )
    with pytest.raises(MediaError, match=r"nvenc does not work here"):
        await run(wanted(source, tmp_path / "out.mp4", encoder="nvenc"))
    kept = tmp_path / "kept.mp4"
    kept.write_text("mine")
    with pytest.raises(UsageError, match="--overwrite replaces it"):
        await run(wanted(source, kept))
    assert kept.read_text() == "mine"
    await run(wanted(source, kept, overwrite=True))
    assert numbers(kept) == [0, 1]


@pytest.mark.parametrize("room", [40_000, 100_000])
async def test_a_full_disk_gives_one_line_and_no_half_video(
    room: int, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 40 kB no segment fits, in 100 kB some do but not the whole video."""
    monkeypatch.setattr(checkpoint, "FRAMES", 10 if room < 100_000 else 3)
    target = tmp_path / "out.mp4"
    with files_of_at_most(room), pytest.raises(MediaError, match="File too large") as caught:
        await run(wanted(clips / "noise.mp4", target, crf=1))
    assert "\n" not in str(caught.value)
    assert not target.exists()
    if "--resume" in str(caught.value):
        await run(wanted(clips / "noise.mp4", target, crf=1, resume=True))
        assert len(times(target)) == 31
    assert not leftovers(tmp_path, target)


# --- damaged videos --------------------------------------------------------------------------


async def test_damaged_stretches_are_skipped_and_the_rest_stays_in_step(tmp_path: Path) -> None:
    clip = Clip(
        time_base=Fraction(1, 90000),
        pts=tuple(range(0, 100 * 3600, 3600)),
        audio=("eng",),
        options={"preset": "veryfast", "crf": "18"},
    )
    source, target = write_clip(tmp_path / "in.ts", clip), tmp_path / "out.mp4"
    whole_at = dict(zip(numbers(source), times(source), strict=False))
    data = bytearray(source.read_bytes())
    middle = len(data) // 2 // 188 * 188
    data[middle : middle + 188 * 40] = RNG.bytes(188 * 40)
    source.write_bytes(data)
    result = await run(wanted(source, target))
    found = dict(zip(numbers(target), times(target), strict=False))
    found.pop(None, None)
    assert result.damaged > 0 and "damaged in" in " ".join(result.notes)
    assert 60 < len(found) < 100
    start = whole_at[0]
    assert all(found[n] == whole_at[n] for n in found), start
    sound = next(s for s in read_back(target) if s.kind == "audio")
    assert sound.packets[-1][0] == next(s for s in read_back(source) if s.kind == "audio").times[-1]


@pytest.mark.parametrize("name", ["everything.mp4", "everything.mkv", "late.ts"])
async def test_any_damage_ends_in_a_whole_video_or_one_line(
    name: str, clips: Path, tmp_path: Path
) -> None:
    """Fuzz: cut off anywhere, or with bytes changed anywhere."""
    whole = (clips / name).read_bytes()
    source, target = tmp_path / name, tmp_path / f"out{Path(name).suffix}"
    videos = 0
    for trial in range(24):
        data = bytearray(whole)
        if trial % 2:
            del data[int(RNG.integers(1, len(data))) :]
        else:
            for at in RNG.integers(0, len(data), 2 ** int(RNG.integers(0, 9))):
                data[at] = RNG.integers(0, 256)
        source.write_bytes(data)
        try:
            result = await run(wanted(source, target, overwrite=True))
        except StreamerError as error:
            assert "\n" not in str(error), trial
            assert not leftovers(tmp_path, source, target), trial
        else:
            videos += 1
            assert len(times(target)) == result.frames + 1, trial
    assert videos > 6


SKY, RED = np.array([0.3, 0.5, 0.8, 1]), np.array([0.8, 0.2, 0.1, 1])


@dataclass(frozen=True)
class Sky(Clip):
    """A film of one colour."""

    def image(self, number: int) -> Image:
        assert self.colors is not None
        matrix = MATRICES[self.colors[1]]
        return of_one_color(Colorimetry(matrix).to_yuv() @ SKY, (self.width, self.height))


def of_one_color(codes: NDArray[np.float64], size: tuple[int, int]) -> Image:
    image = blank(*size)
    for plane, code in zip(image.planes, codes.round(), strict=True):
        plane[:] = code
    return image


def codes_of(planes: Iterable[Any]) -> list[float]:
    return [float(np.median(np.frombuffer(plane, np.uint8))) for plane in planes]


@pytest.mark.parametrize("colors", [(1, 1, 1, 1), (2, 1, 1, 1), (1, 6, 6, 6)])
@pytest.mark.parametrize("style", ["mosaic", "none"])
def test_networks_see_and_give_bt_601_whatever_a_film_has(
    tmp_path: Path, style: str, colors: tuple[int, int, int, int]
) -> None:
    own = Colorimetry(MATRICES[colors[1]], colors[0] == 2)
    in_ring = IN_RING if style == "mosaic" else replace(own, is_full=False)
    seen: list[list[float]] = []

    def paint(image: Image) -> Image:
        seen.append(codes_of(image.planes))
        return of_one_color(in_ring.to_yuv() @ RED, image.size)

    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, Sky(colors=colors, pix_fmt="yuvj420p" if own.is_full else "yuv420p"))
    asyncio.run(run(wanted(source, target, style=Style(((style, 1.0),))), paint))
    assert np.abs(np.array(seen) - in_ring.to_yuv() @ SKY).max() <= 2
    with av.open(str(target)) as container:
        first = next(container.decode(video=0))
    assert (first.color_range, first.colorspace) == colors[:2]
    assert np.abs(np.array(codes_of(first.planes)) - own.to_yuv() @ RED).max() <= 2
