"""Streams beside the stylized one: kept, converted or left out, and known before any work."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamer.files.job import prepare
from tests.support.flash_beep import beeps, flashes, write
from tests.support.video_clips import Clip, write_clip
from tests.support.video_runs import read_back, run, wanted

STEP_S = 0.02
NO_LAYOUT = {  # containers that name no channel layout, and codecs that MP4 does not hold
    "wma.wmv": ("wmv2", "wmav2"),
    "wma.avi": ("mpeg4", "wmav2"),
    "adpcm.avi": ("mpeg4", "adpcm_ms"),
    "ima.avi": ("mjpeg", "adpcm_ima_wav"),
    "pcm.avi": ("mjpeg", "pcm_s16le"),
    "pcm24.mov": ("libx264", "pcm_s24le"),
    "pcm.mkv": ("libx264", "pcm_s16be"),
    "opus.mkv": ("libx264", "libopus"),
}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm", "ts", "mts"])
@pytest.mark.parametrize("name", NO_LAYOUT)
async def test_any_sound_is_kept_in_step_in_any_format(
    name: str, suffix: str, tmp_path: Path
) -> None:
    source = write(tmp_path / name, 3, codecs=NO_LAYOUT[name])
    target = tmp_path / f"out.{suffix}"
    result = await run(wanted(source, target))
    assert not any("damaged" in note for note in result.notes), result.notes
    before = [f - b for f, b in zip(flashes(source), beeps(source), strict=True)]
    after = [f - b for f, b in zip(flashes(target), beeps(target), strict=True)]
    assert len(after) == 3
    assert all(abs(a - b) <= STEP_S for a, b in zip(before, after, strict=True)), (before, after)
    with av.open(str(target)) as container:
        assert container.streams.audio[0].channels == 2
        codec = container.streams.audio[0].codec_context.codec.canonical_name
        assert suffix != "mp4" or codec in ("aac", "opus")


def test_what_a_file_cannot_hold_is_known_before_the_first_frame(tmp_path: Path) -> None:
    source = write(tmp_path / "in.wmv", 1, codecs=NO_LAYOUT["wma.wmv"])
    one = wanted(source, tmp_path / "out.mp4")
    job = prepare(one.source, one.target, one.options)
    assert [(track.codec, track.action, track.into) for track in job.plan.tracks] == [
        ("wmav2", "convert", "aac")
    ]


async def test_the_sound_of_camcorders_stays_as_it_is(tmp_path: Path) -> None:
    source = write(tmp_path / "in.m2ts", 2, codecs=("libx264", "pcm_bluray"))
    for suffix, codec in (("m2ts", "pcm_bluray"), ("mts", "pcm_bluray"), ("ts", "aac")):
        target = tmp_path / f"out.{suffix}"
        await run(wanted(source, target))
        assert [stream.codec for stream in read_back(target)] == ["h264", codec]


async def test_what_mpeg_ts_has_no_number_for_is_left_out_and_said(tmp_path: Path) -> None:
    """Its muxer takes everything, as private data that nobody reads."""
    clip = Clip(audio=("eng",), subtitles=("a", "b"), cover=True)
    source, target = write_clip(tmp_path / "in.mp4", clip), tmp_path / "out.ts"
    result = await run(wanted(source, target))
    assert [stream.codec for stream in read_back(target)] == ["h264", "aac"]
    dropped = [note.split()[0] for note in result.notes if "is dropped: .ts" in note]
    assert sorted(dropped) == ["cover", "subtitle"]


async def test_sound_that_overlaps_where_files_were_joined_is_not_lost(tmp_path: Path) -> None:
    part = write(tmp_path / "part.ts", 2, sound_s=2.06)
    again = write(tmp_path / "again.ts", 2, sound_s=2.06, start_s=300)
    source = tmp_path / "in.ts"
    source.write_bytes(2 * (again.read_bytes() + part.read_bytes()))
    result = await run(wanted(source, tmp_path / "out.mp4"))
    assert not any("damaged packets" in note for note in result.notes), result.notes


async def test_a_programme_that_begins_later_is_called_so(tmp_path: Path) -> None:
    one = write(tmp_path / "one.ts", 6)
    other = write(tmp_path / "other.ts", 2, container={"mpegts_start_pid": "0x500"})
    source = tmp_path / "in.ts"
    source.write_bytes(one.read_bytes() + other.read_bytes())
    result = await run(wanted(source, tmp_path / "out.mp4"))
    assert any("it begins later; one video stream is stylized" in n for n in result.notes)


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
async def test_a_timecode_stays(suffix: str, tmp_path: Path) -> None:
    clip = Clip(audio=("eng",), metadata={"timecode": "10:00:00:00"})
    source, target = write_clip(tmp_path / "in.mov", clip), tmp_path / f"out{suffix}"
    with av.open(str(source)) as container:
        assert [s.type for s in container.streams] == ["video", "audio", "data"]
    result = await run(wanted(source, target))
    assert result.notes == ()
    with av.open(str(target)) as container:
        assert container.streams.video[0].metadata["timecode"] == "10:00:00:00"


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
async def test_data_of_unknown_kind_is_left_out_and_said(suffix: str, tmp_path: Path) -> None:
    """As phones write it; MP4 would get a track without a description."""
    source = write_clip(tmp_path / "in.mp4", Clip(audio=("eng",), subtitles=("a", "b")))
    data = source.read_bytes().replace(b"sbtl", b"meta").replace(b"tx3g", b"mebx")
    source.write_bytes(data)
    result = await run(wanted(source, tmp_path / f"out{suffix}"))
    assert any("data stream 2 (unknown codec) is dropped" in note for note in result.notes)
    assert [stream.kind for stream in read_back(tmp_path / f"out{suffix}")] == ["video", "audio"]


async def test_a_rate_no_encoder_takes_is_changed(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as out:
        video = out.add_stream("libx264", 25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream("pcm_s16le", 11024)
        audio.layout = "mono"
        for n in range(25):
            out.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
            sound = av.AudioFrame("s16", "mono", 441)
            sound.sample_rate, sound.pts = 11024, n * 441
            out.mux(audio.encode(sound))
        out.mux([*video.encode(None), *audio.encode(None)])
    await run(wanted(source, tmp_path / "out.mp4"))
    sound_made = next(s for s in read_back(tmp_path / "out.mp4") if s.kind == "audio")
    assert sound_made.codec == "aac"


async def test_a_name_of_255_bytes_is_done(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(pts=(0, 512)))
    target = tmp_path / ("ü" * 125 + ".mp4")
    assert len(target.name.encode()) == 254
    assert (await run(wanted(source, target))).frames == 2


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
async def test_sound_whose_times_are_repeated_follows_on(codec: str, tmp_path: Path) -> None:
    """AAC is copied, PCM converted: four packets each say the time of the first of them."""
    source, repeated = write(tmp_path / "a.mkv", 3, codecs=("libx264", codec)), tmp_path / "in.mkv"
    with av.open(str(source)) as old, av.open(str(repeated), "w") as new:
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        said = count = 0
        for packet in old.demux():
            if packet.size and packet.dts is not None:
                if packet.stream.type == "audio":
                    said = packet.dts if count % 4 == 0 else said
                    count += 1
                    packet.pts = packet.dts = said
                packet.stream = streams[packet.stream_index]
                new.mux(packet)
    await run(wanted(repeated, tmp_path / "out.mp4"))
    seen, heard = flashes(tmp_path / "out.mp4"), beeps(tmp_path / "out.mp4")
    assert len(heard) == 3
    assert all(abs(f - b) <= 0.05 for f, b in zip(seen, heard, strict=True)), (seen, heard)
    sound = next(s for s in read_back(tmp_path / "out.mp4") if s.kind == "audio")
    gaps = [b - a for a, b in itertools.pairwise(sound.times) if a is not None and b is not None]
    assert min(gaps) > 0.01


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
async def test_packets_shorter_than_a_tick_do_not_push_each_other_later(
    suffix: str, tmp_path: Path
) -> None:
    """As TrueHD's are in Matroska: 0.83 ms each, in ticks of 1 ms."""
    source = write(tmp_path / "a.mkv", 4, codecs=("libx264", "pcm_s16le"))
    split, target, samples = tmp_path / "in.mkv", tmp_path / f"out{suffix}", 0
    with av.open(str(source)) as old, av.open(str(split), "w") as new:
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        for packet in old.demux():
            parts, data = [packet], bytes(packet)
            if packet.stream.type == "audio":
                parts = [av.Packet(data[i : i + 160]) for i in range(0, len(data), 160)]
            for part in parts if packet.size else ():
                if packet.stream.type == "audio":
                    part.time_base, part.pts = Fraction(1, 1000), samples // 48
                    part.dts = part.pts
                    samples += 40
                part.stream = streams[packet.stream_index]
                new.mux(part)
    result = await run(wanted(split, target))
    assert not any("damaged" in note for note in result.notes), result.notes
    sound = next(s for s in read_back(target) if s.kind == "audio")
    last = sound.times[-1]
    assert last is not None and abs(last - 4) < 0.02
