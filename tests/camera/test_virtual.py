"""The virtual camera: what fits how, what is advised, which sources there are."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from streamer.camera import virtual as camera_module
from streamer.camera.source import name_of, parse_source
from streamer.camera.virtual import VirtualCamera, advice, fit, flat, slate
from streamer.errors import MediaError, UsageError
from streamer.frame import Image, Plane
from tests.support.fakes import numbered
from tests.support.waiting import eventually_sync


class FakeDevice:
    """Keeps what it is sent; breaks after `lives`."""

    device = "/dev/fake"

    def __init__(self, lives: int = 1 << 30) -> None:
        self.sent: list[Plane] = []
        self.closed = False
        self._lives = lives

    def send(self, data: Plane) -> None:
        if len(self.sent) >= self._lives:
            raise OSError("unplugged")
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    fake = FakeDevice()
    monkeypatch.setattr(camera_module, "_open", lambda *arguments: fake)
    return fake


def test_a_frame_that_fits_is_sent_as_it_is_and_again_until_the_next(device: FakeDevice) -> None:
    frame = numbered(7, 64, 48)
    with VirtualCamera(64, 48, 100) as camera:
        camera.show(frame)
        eventually_sync(lambda: len(device.sent) > 20)
    mine = [data for data in device.sent if data is frame.image.data]
    assert len(mine) >= len(device.sent) - 2, "the very same bytes, none converted"
    assert device.closed


def test_a_source_that_is_away_is_told_by_the_slate(
    device: FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "AWAY_S", 0.1)
    with VirtualCamera(64, 48, 100, title="waiting") as camera:
        eventually_sync(lambda: device.sent)
        camera.show(numbered(7, 64, 48))
        eventually_sync(lambda: device.sent[-1][0] == 7)
        eventually_sync(lambda: device.sent[-1][0] != 7)
    expected = slate(64, 48, "waiting").data
    assert (device.sent[0] == expected).all() and (device.sent[-1] == expected).all()


async def test_a_camera_that_is_gone_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeDevice(lives=3)
    monkeypatch.setattr(camera_module, "_open", lambda *arguments: fake)
    with VirtualCamera(64, 48, 100) as camera:
        eventually_sync(lambda: camera._failure)
        with pytest.raises(MediaError, match="gone: unplugged"):
            await camera.send(numbered(1))


def test_the_rate_is_steady_whatever_comes(device: FakeDevice) -> None:
    with VirtualCamera(64, 48, 50) as camera:
        began = time.monotonic()
        eventually_sync(lambda: len(device.sent) >= 50)
        took = time.monotonic() - began
        assert camera.sent.count == pytest.approx(len(device.sent), abs=1)
    assert took > 0.9, "not faster than asked for"


@pytest.mark.parametrize(
    ("size", "inner"),
    [((32, 18), (0, 0, 64, 36)), ((18, 32), (22, 0, 20, 36)), ((640, 90), (0, 14, 64, 8))],
)
def test_another_shape_is_put_in_the_middle_of_black(
    size: tuple[int, int], inner: tuple[int, int, int, int]
) -> None:
    white = flat(*size, 235)
    fitted = fit(white, 64, 36)
    left, top, width, height = inner
    expected = np.full((36, 64), 16, np.uint8)
    expected[top : top + height, left : left + width] = 235
    assert np.abs(fitted.planes[0].astype(int) - expected).max() <= 1
    assert (fitted.planes[1] == 128).all()


@pytest.mark.parametrize("size", [(2, 400), (401, 3), (63, 35), (1, 1)])
def test_any_shape_fits(size: tuple[int, int]) -> None:
    fitted = fit(flat(*size, 200), 64, 36)
    assert (fitted.width, fitted.height) == (64, 36)
    assert fitted.planes[0].max() >= 190


def test_the_slate_has_a_text_that_fits() -> None:
    for width, height in ((1280, 720), (64, 36), (320, 1000)):
        luma = slate(width, height, "waiting for rtsp://192.168.1.20/a/long/address").planes[0]
        assert luma.max() > 60
        assert (luma[:, 0] == luma[0, 0]).all() and (luma[:, -1] == luma[0, 0]).all()


@pytest.mark.parametrize(
    ("platform", "failure", "says"),
    [
        ("linux", "No v4l2 loopback device found at /dev/video[0-99].", "modprobe v4l2loopback"),
        ("linux", "due to missing permissions. Did you add your user to the 'video' group?",
         "usermod -aG video"),
        ("linux", "device busy", "cannot be opened: device busy"),
        ("darwin", "anything", "start its virtual camera once"),
        ("win32", "anything", "install OBS"),
    ],
)  # fmt: skip
def test_advice_is_for_this_system(platform: str, failure: str, says: str) -> None:
    assert says in advice(platform, failure)
    assert "\n" not in advice(platform, failure)


def test_without_pyvirtualcam_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MediaError, match=r"pip install '\.\[camera\]'"):
        VirtualCamera(64, 48, 30)


@pytest.mark.parametrize(
    ("text", "platform", "url", "kind"),
    [
        ("0", "linux", "/dev/video0", "v4l2"),
        ("/dev/video3", "linux", "/dev/video3", "v4l2"),
        ("1", "darwin", "1:none", "avfoundation"),
        ("video=Cam", "win32", "video=Cam", "dshow"),
        ("screen", "win32", "desktop", "gdigrab"),
        ("rtsp://h/x", "linux", "rtsp://h/x", None),
        ("srt://h:9", "linux", "srt://h:9", None),
        ("http://h/streams/cam.mjpeg", "linux", "http://h/streams/cam.mjpeg", "mpjpeg"),
    ],
)
def test_sources(text: str, platform: str, url: str, kind: str | None) -> None:
    address = parse_source(text, platform, "secret")
    assert (address.url, address.format, address.loops) == (url, kind, False)
    assert ("secret" in str(address.options)) == text.startswith("http")


def test_a_file_is_played_at_its_own_speed_and_what_is_no_source_is_refused(
    tmp_path: Path,
) -> None:
    file = tmp_path / "clip.mp4"
    file.touch()
    assert parse_source(str(file), "linux").loops
    for text, platform in ((str(tmp_path / "none.mp4"), "linux"), ("0", "win32")):
        with pytest.raises(UsageError):
            parse_source(text, platform)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://me:secret@10.0.0.5:554/live?key=secret", "10.0.0.5"),
        ("/home/me/private/clip.mp4", "clip.mp4"),
        ("0", "0"),
        ("srt://", "its source"),
    ],
)
def test_a_meeting_is_shown_no_password_and_no_folder(source: str, shown: str) -> None:
    assert name_of(source) == shown


def test_black_is_video_black() -> None:
    image: Image = flat(4, 2, 16)
    assert image.planes[0].max() == 16 and image.planes[2].min() == 128
