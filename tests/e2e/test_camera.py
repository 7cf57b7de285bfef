"""`streamer camera` into pyvirtualcam's own native code, its device emulated by a shim of ours.

Needs gcc, which builds the shim.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.avframe import to_image
from streamer.camera.virtual import slate
from streamer.engine.stylizer import StylizerSpec
from streamer.frame import Frame, Image, Style, i420_size
from streamer.ring.worker import Worker
from streamer.styles.catalogue import Catalogue
from tests.support.clips import number_frame, read_number, timed_frame
from tests.support.served import publishing, served_with
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.e2e

SHIM = Path(__file__).parents[1] / "support" / "native" / "fake_camera.c"
DEVICE = "/dev/video42"
WIDTH, HEIGHT, FRAMES = 192, 96, 30
LONG_S = 90.0


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("shim") / "fake_camera.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, SHIM], check=True)
    return library


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "in.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=15, options={"crf": "12"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for n in range(FRAMES):
            picture = timed_frame(number_frame(n, WIDTH, HEIGHT), n * 6000)
            out.mux(video.encode(picture))
        out.mux(video.encode())
    return path


def with_device(shim: Path, sink: Path) -> dict[str, str]:
    fake = {"FAKE_CAMERA_DEVICE": DEVICE, "FAKE_CAMERA_FILE": str(sink)}
    return os.environ | fake | {"LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1"}


@contextlib.contextmanager
def running(
    environment: dict[str, str], out: Path, *options: object
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "streamer", "camera", *map(str, options)]
    with out.open("w") as file:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
    try:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(LONG_S) == 0, out.read_text()
        assert "Traceback" not in out.read_text()
    finally:
        process.kill()
        process.communicate()


def written(sink: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> list[Image]:
    """The pictures other programs would have seen."""
    step = i420_size(*size)
    data = np.fromfile(sink, np.uint8) if sink.exists() else np.empty(0, np.uint8)
    return [Image(*size, data[at : at + step]) for at in range(0, len(data) - step + 1, step)]


def originals(clip: Path) -> list[Image]:
    with av.open(str(clip)) as container:
        return [to_image(frame) for frame in container.decode(video=0)]


def stylized(clip: Path, style: str) -> list[Image]:
    """Every frame of the clip as a worker stylizes it on its own."""
    catalogue = Catalogue.load()
    look = Style(catalogue.parse(style))
    worker = Worker(StylizerSpec("onnx", models=catalogue.models).load, look)
    frames = (Frame(one, 0, Fraction(1, 15), 0.0, look, HEIGHT) for one in originals(clip))
    answers = (worker.stylize(frame).image for frame in frames)
    return [image for image in answers if image is not None]


def distance(image: Image, others: list[Image]) -> float:
    """From the nearest of them: mean difference of samples."""
    return min(float(np.abs(image.data.astype(int) - other.data).mean()) for other in others)


def test_what_is_written_are_the_stylized_frames(shim: Path, clip: Path, tmp_path: Path) -> None:
    """Nearly: statistics follow a stream, and a frame on its own has its own."""
    sink, title = tmp_path / "sink", f"waiting for {clip.name}"
    options = (clip, "--style", "mosaic", "--size", f"{WIDTH}x{HEIGHT}", "--virtual-camera", DEVICE)
    expected = stylized(clip, "mosaic")
    away = bytes(slate(WIDTH, HEIGHT, title).data)
    with running(with_device(shim, sink), tmp_path / "out", *options, "--workers", 1):
        eventually_sync(lambda: len({bytes(i.data) for i in written(sink)}) > FRAMES / 3)
    assert bytes(written(sink)[0].data) == away, "while the workers load"
    seen = {bytes(image.data): image for image in written(sink)}
    seen.pop(away)
    distances = [distance(image, expected) for image in seen.values()]
    plain = min(distance(image, expected) for image in originals(clip))
    assert max(distances) < plain / 2, (distances, plain)


def test_a_style_is_changed_by_a_line_and_the_shape_by_nothing(
    shim: Path, clip: Path, tmp_path: Path
) -> None:
    """Another size than the source's; style none, so that the numbers can be read; then mosaic."""
    sink, size = tmp_path / "sink", (320, 240)
    options = (
        clip,
        "--style",
        "none",
        "--size",
        "320x240",
        "--control",
        "--virtual-camera",
        DEVICE,
    )
    with running(with_device(shim, sink), tmp_path / "out", *options) as process:
        eventually_sync(lambda: numbers(sink, size))
        assert process.stdin is not None
        process.stdin.write('nope\n{"style": "mosaic", "strength": 1}\n')
        process.stdin.flush()
        eventually_sync(lambda: colour(written(sink, size)[-1]) > 3 * colour(first(sink, size)) + 1)
    assert "unknown style 'nope'" in (tmp_path / "out").read_text()
    bars = written(sink, size)[-1].planes[0][[0, -1]]
    assert (bars == 16).all(), "black above and below"


def numbers(sink: Path, size: tuple[int, int]) -> list[int]:
    """Of the pictures, without their black bars."""
    found = (read_number(image.planes[0][40:200]) for image in written(sink, size))
    return [number for number in found if number is not None]


def first(sink: Path, size: tuple[int, int]) -> Image:
    return next(i for i in written(sink, size) if read_number(i.planes[0][40:200]) is not None)


def colour(image: Image) -> float:
    upper = image.planes[1][: image.planes[1].shape[0] // 2]
    return float(np.abs(upper.astype(int) - 128).mean())


def test_without_a_device_it_says_what_to_do(shim: Path, clip: Path, tmp_path: Path) -> None:
    for environment, says in (
        (dict(os.environ), "sudo modprobe v4l2loopback"),
        (with_device(shim, tmp_path / "s") | {"FAKE_CAMERA_DENIED": "1"}, "usermod -aG video"),
    ):
        options = () if "LD_PRELOAD" not in environment else ("--virtual-camera", DEVICE)
        done = subprocess.run(
            [sys.executable, "-m", "streamer", "camera", str(clip), *options],
            env=environment, capture_output=True, text=True, timeout=LONG_S, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert says in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_stream_of_the_server_is_on_the_virtual_camera_too(
    shim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, size = tmp_path / "sink", (320, 180)
    for name, value in with_device(shim, sink).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FAKE_CAMERA_DEVICE", "/dev/video0")  # the first that is looked for
    with served_with("--virtual-camera", "cam@320x180", "--workers", "1") as server:
        monkeypatch.delenv("LD_PRELOAD")
        server.wait_until("/readyz", LONG_S)
        with publishing(server, tmp_path):
            eventually_sync(lambda: len(set(seen(sink, size))) > 10)
        away = bytes(slate(*size, "waiting for cam").data)
        eventually_sync(lambda: bytes(written(sink, size)[-1].data) == away)
        assert server.stop() < LONG_S
        assert "the virtual camera /dev/video0 shows the stream cam" in server.output()
        assert "Traceback" not in server.output()
    found = seen(sink, size)
    assert found == sorted(found)


def seen(sink: Path, size: tuple[int, int]) -> list[int]:
    """The numbers on the camera, each as often as it was repeated."""
    found = (read_number(image.planes[0]) for image in written(sink, size))
    return [number for number in found if number is not None]
