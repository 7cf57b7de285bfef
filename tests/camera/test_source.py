"""Sources of `streamer camera`: a file goes round, an address is tried until it is there."""

from __future__ import annotations  # Packet takes type arguments in its stub only

import asyncio
import contextlib
import http.server
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.camera import source as camera_source
from streamer.camera.source import Address, CameraSource, Pace, ahead, parse_source
from streamer.errors import UsageError
from streamer.files.color import Shape, shape_of
from streamer.frame import Image
from streamer.i420 import to_rgb
from tests.support.clips import number_frame, read_number, timed_frame
from tests.support.rtsp import UdpCamera
from tests.support.video_clips import Clip, luma, write_clip, write_undecodable
from tests.support.waiting import eventually

FRAMES = 6


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=30, options={"crf": "10", "bf": "0"})
        video.width, video.height, video.pix_fmt = 128, 64, "yuv420p"
        for n in range(FRAMES):
            out.mux(video.encode(timed_frame(number_frame(n, 128, 64), n * 3000)))
        out.mux(video.encode())
    return path


async def take(source: CameraSource, count: int) -> list[int]:
    """The numbers of the next frames."""
    numbers: list[int] = []
    async with asyncio.timeout(20):
        while len(numbers) < count and await source.frames.ready():
            frame = source.frames.take()
            number = read_number(frame.image.planes[0])
            assert number is not None
            numbers.append(number)
    return numbers


async def test_a_file_is_played_over_and_over_at_its_own_speed(clip: Path) -> None:
    told: list[str] = []
    began = asyncio.get_running_loop().time()
    with contextlib.closing(CameraSource(Address(str(clip), loops=True), told.append)) as source:
        numbers = await take(source, 2 * FRAMES)
    assert 0 in numbers[1:], "it began anew"
    assert asyncio.get_running_loop().time() - began > (FRAMES - 2) / 30
    assert told == [], "the end of a file is nothing to tell of"


async def test_time_grows_whatever_the_source_says(clip: Path) -> None:
    with contextlib.closing(CameraSource(Address(str(clip), loops=True), print)) as source:
        pts = []
        for _ in range(2 * FRAMES):
            assert await source.frames.ready()
            pts.append(source.frames.take().pts)
    assert pts == sorted(set(pts))


async def test_an_address_that_is_away_is_tried_until_it_is_there_and_again_when_it_ends(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_source, "RETRY_S", (0.05,))
    told: list[str] = []
    later = tmp_path / "later.mp4"
    with contextlib.closing(CameraSource(Address(str(later)), told.append)) as source:
        await eventually(lambda: len(told) >= 2)
        assert "No such file" in told[0] and "trying again" in told[0]
        shutil.copy(clip, tmp_path / "part")
        (tmp_path / "part").rename(later)
        assert await take(source, 2)
        await eventually(lambda: any("it ended" in line for line in told))
        assert await take(source, 2), "opened again"


async def shown(source: Path) -> Image:
    with contextlib.closing(CameraSource(Address(str(source), loops=True), print)) as camera:
        async with asyncio.timeout(20):
            assert await camera.frames.ready()
            return camera.frames.take().image


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
async def test_a_turned_video_stands_upright(rotation: int, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(rotation=rotation))
    image = await shown(source)
    with av.open(str(source)) as container:
        frame = next(container.decode(video=0))
        expected = np.rot90(luma(frame), frame.rotation // 90 % 4)
    assert image.planes[0].shape == expected.shape
    assert np.abs(image.planes[0].astype(int) - expected).mean() < 12


async def test_samples_become_square(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", Clip(aspect=Fraction(64, 45)))
    image = await shown(source)
    assert (image.width, image.height) == (182, 64)


@pytest.mark.parametrize("colors", [(2, 5, 5, 6), (1, 1, 1, 1), (2, 1, 1, 1), (1, 6, 6, 6)])
async def test_colours_are_those_of_the_source(
    colors: tuple[int, int, int, int], tmp_path: Path
) -> None:
    pix_fmt = "yuvj420p" if colors[0] == 2 else "yuv420p"
    source = write_clip(tmp_path / "in.mp4", Clip(colors=colors, pix_fmt=pix_fmt))
    rgb = to_rgb(await shown(source)).astype(int)
    with av.open(str(source)) as container:
        right = rgb_of(next(container.decode(video=0)), full=colors[0] == 2, bt709=colors[1] == 1)
    for part in (slice(2, 12), slice(40, 60)):
        assert np.abs(rgb[part].mean(axis=(0, 1)) - right[part].mean(axis=(0, 1))).max() < 1.5


def rgb_of(frame: av.VideoFrame, *, full: bool, bt709: bool) -> NDArray[np.float64]:
    """R'G'B' 0..255 by the formulas of ITU-R BT.601 and BT.709."""
    planes = frame.to_ndarray(format="yuv444p").astype(float)
    luma = planes[0] if full else (planes[0] - 16) * 255 / 219
    blue, red = (planes[n] - 128 if full else (planes[n] - 128) * 255 / 224 for n in (1, 2))
    kr, kb = (0.2126, 0.0722) if bt709 else (0.299, 0.114)
    red, blue = luma + (2 - 2 * kr) * red, luma + (2 - 2 * kb) * blue
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.stack([red, green, blue], 2).clip(0, 255)


async def test_fields_are_made_whole(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "crf": "12", "x264-params": "tff=1"}
    source = write_clip(tmp_path / "in.mp4", Clip(woven=True, options=options))
    rows = (await shown(source)).planes[0][34:].astype(int)
    near, far = np.abs(np.diff(rows, axis=0)).mean(), np.abs(rows[2:] - rows[:-2]).mean()
    assert near < far + 8


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of an HTTP server of `tmp_path`."""
    handler = partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    seen: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization"))
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


SEGMENTS = {
    "x.m3u8": ("hls", {"hls_time": "0.4", "hls_list_size": "0"}),
    "x.mpd": ("dash", {"seg_duration": "0.4"}),
}


def playlist(folder: Path, name: str) -> None:
    """Thirty frames in segments, and their end."""
    clip = Clip(pts=tuple(range(0, 30 * 3600, 3600)), time_base=Fraction(1, 90_000), gop=10)
    part = write_clip(folder / "part.ts", clip)
    with av.open(str(part)) as old:
        kind, options = SEGMENTS[name]
        with av.open(str(folder / name), "w", format=kind, options=options) as out:
            stream = out.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
    assert len([*folder.glob("x*.ts"), *folder.glob("chunk*.m4s")]) >= 2


@pytest.mark.parametrize("name", SEGMENTS)
async def test_segments_are_shown_at_their_own_pace(web: str, tmp_path: Path, name: str) -> None:
    """Before, one frame a segment was left of each, the newest."""
    playlist(tmp_path, name)
    address = parse_source(f"{web}/{name}", "linux")
    with contextlib.closing(CameraSource(address, print)) as source:
        numbers = await take(source, 15)
    assert numbers == sorted(set(numbers)), "more than the newest of each of three segments"


@pytest.mark.parametrize("name", SEGMENTS)
async def test_a_playlist_that_ended_is_not_shown_again(
    web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    playlist(tmp_path, name)
    told: list[str] = []
    shown = 0

    def count(self: CameraSource, *frame: Any) -> Any:
        nonlocal shown
        shown += 1
        return upright_of(self, *frame)

    upright_of = CameraSource._upright
    monkeypatch.setattr(CameraSource, "_upright", count)
    address = parse_source(f"{web}/{name}", "linux")
    with contextlib.closing(CameraSource(address, told.append)):
        await eventually(lambda: len(told) >= 3)
    assert told == ["127.0.0.1: it ended; trying again"] * 3 and shown == 30


async def test_segments_are_read_before_a_live_playlist_lets_go_of_them(clip: Path) -> None:
    """Before, a segment was asked for when the one before had been shown."""
    with av.open(str(clip)) as container:
        taken = 0

        def counted() -> Iterator[av.Packet[Any]]:
            nonlocal taken
            for packet in container.demux(video=0):
                taken += 1
                yield packet
            raise RuntimeError("the server is gone")

        packets = ahead(counted())
        next(packets)
        await eventually(lambda: taken > FRAMES)
        with pytest.raises(RuntimeError, match="server is gone"):
            assert len(list(packets)) == FRAMES
        half = ahead(container.demux(video=0))
        container.seek(0)
        next(half)
        half.close()


def test_without_streamlink_dash_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streamlink", None)
    with pytest.raises(UsageError, match=r"DASH needs streamlink; .*pip install '\.\[dash\]'"):
        parse_source("http://127.0.0.1/live/x.mpd?key=secret", "linux")


@pytest.mark.parametrize("text", ["", "<MPD/>", "<?xml version='1.0'?><MPD><Period/></MPD>"])
async def test_what_is_no_dash_is_told(web: str, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.mpd").write_text(text)
    told: list[str] = []
    with contextlib.closing(CameraSource(parse_source(f"{web}/x.mpd", "linux"), told.append)):
        await eventually(lambda: told)
    assert told[0].startswith("127.0.0.1: ") and told[0].endswith("; trying again")
    assert "\n" not in told[0] and "Traceback" not in told[0]


async def test_a_token_goes_to_the_server_of_dash(web: str, tmp_path: Path) -> None:
    playlist(tmp_path, "x.mpd")
    address = parse_source(f"{web}/x.mpd", "linux", "secret")
    QuietHandler.seen.clear()
    with contextlib.closing(CameraSource(address, print)) as source:
        await take(source, 1)
    assert set(QuietHandler.seen) == {"Bearer secret"}


def test_pace_holds_frames_back_and_never_hurries() -> None:
    pace = Pace()
    assert pace.wait_s(100.0, now=7.0) == 0
    assert pace.wait_s(100.04, now=7.01) == pytest.approx(0.03)
    assert pace.wait_s(100.08, now=7.3) == 0, "late: at once"
    assert pace.wait_s(100.12, now=9.0) == 0, "too late: from now on"
    assert pace.wait_s(100.16, now=9.0) == pytest.approx(0.04)
    assert pace.wait_s(0.0, now=9.1) == 0, "time jumps: from now on"
    assert pace.wait_s(0.04, now=9.1) == pytest.approx(0.04)


async def test_the_first_format_that_works_is_taken(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, str]] = []
    real = av.open

    def opener(url: str, **options: Any) -> Any:
        asked.append(options["options"])
        if len(asked) < 3:
            raise av.error.InvalidDataError(22, "no such format", url)
        return real(str(clip))

    monkeypatch.setattr(av, "open", opener)
    address = parse_source("0", "linux")
    with contextlib.closing(CameraSource(address, print)) as source:
        assert await take(source, 1)
    assert [options.get("input_format") for options in asked] == ["mjpeg", "yuyv422", None]


def test_a_camera_is_found_by_name(tmp_path: Path) -> None:
    for number, name in ((0, "Integrated Webcam"), (2, "Logitech BRIO")):
        (tmp_path / f"video{number}").mkdir()
        (tmp_path / f"video{number}" / "name").write_text(f"{name}\n")
    address = parse_source("brio", "linux", names=tmp_path)
    assert (address.url, address.format) == ("/dev/video2", "v4l2")
    with pytest.raises(UsageError, match="neither a camera's number or name"):
        parse_source("other", "linux", names=tmp_path)


async def test_rtsp_over_udp_where_tcp_is_refused_and_again_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(camera_source, "READ_S", 1.0)
    told: list[str] = []
    with UdpCamera() as camera:
        address = parse_source(camera.url, "linux")
        with contextlib.closing(CameraSource(address, told.append)) as source:
            numbers = await take(source, 5)
            assert numbers == sorted(set(numbers)) and camera.refused > 0
            camera.drop()
            await eventually(lambda: camera.plays > 1)
            assert await take(source, 5)
    assert told and "trying again" in told[0]


async def test_a_failure_nobody_thought_of_is_said_and_tried_again(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_source, "RETRY_S", (0.01,))
    failures = iter([RuntimeError("broken")])

    def once(frame: av.VideoFrame, aspect: Fraction | None) -> Shape:
        for failure in failures:
            raise failure
        return shape_of(frame, aspect)

    monkeypatch.setattr(camera_source, "shape_of", once)
    told: list[str] = []
    with contextlib.closing(CameraSource(Address(str(clip)), told.append)) as source:
        assert await take(source, 1)
    assert told[0] == "clip.mp4: broken; trying again"


async def test_video_that_cannot_be_decoded_is_said(tmp_path: Path) -> None:
    film, told = write_undecodable(tmp_path / "in.mkv"), list[str]()
    with contextlib.closing(CameraSource(Address(str(film)), told.append)):
        await eventually(lambda: bool(told))
    assert told[0] == "in.mkv: FFmpeg has no decoder for its video; trying again"


async def test_a_source_that_pauses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_source, "READ_S", 0.3)
    monkeypatch.setattr(camera_source, "OPEN_S", 0.3)
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.ts"
        with contextlib.closing(CameraSource(Address(url), told.append)):
            await eventually(lambda: told)
    assert told[0] == "127.0.0.1: no video for 0.3 s; trying again"


async def test_what_has_no_video_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with contextlib.closing(CameraSource(Address(str(path)), told.append)):
        await eventually(lambda: told)
    assert "Invalid data" in told[0]
