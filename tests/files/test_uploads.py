"""Uploaded videos: stylized one at a time, bounded, cancelled, and nothing left behind."""

import asyncio
import contextlib
import io
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import av
import httpx
import pytest
from PIL import Image as Picture

from streamer.errors import MediaError, ServerFullError, UsageError
from streamer.files import uploads
from streamer.files.uploads import VideoJob, VideoJobs
from streamer.frame import Image, Style
from streamer.ring.ring import Ring
from streamer.server.config import Config
from tests.support.fakes import Stylize, ThreadWorkers, leave
from tests.support.http_world import HERE, FakeRing, FakeSessions, World, error_of
from tests.support.video_clips import Clip, numbers, write_clip
from tests.support.waiting import eventually

FRAMES = 40


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def video(tmp_path: Path) -> bytes:
    clip = Clip(pts=range(0, FRAMES * 512, 512), audio=("eng",))
    return write_clip(tmp_path / "clip.mp4", clip).read_bytes()


@contextlib.asynccontextmanager
async def jobs(stylize: Stylize = leave, kept_s: float = 3600) -> AsyncIterator[VideoJobs]:
    async with (
        Ring(lambda: ThreadWorkers(1, stylize)) as ring,
        contextlib.aclosing(VideoJobs(lambda: ring.open(live=False), kept_s)) as jobs,
    ):
        yield jobs


async def body(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 10_000):
        yield data[start : start + 10_000]


async def until(job: VideoJob, *states: str) -> None:
    await eventually(lambda: job.state in states)


def slowly(image: Image) -> Image:
    time.sleep(0.05)
    return image


async def test_a_video_goes_in_and_comes_out_painted_with_its_sound(
    video: bytes, home: Path, tmp_path: Path
) -> None:
    async with jobs() as videos:
        job = await videos.upload("my video.mp4", Style(), body(video))
        await until(job, "done", "failed")
        assert job.state == "done", job.message
        assert job.result_name == "my video.none.mp4"
        assert not job.source.exists(), "what was sent is not kept longer than it is needed"
        stylized = tmp_path / "result.mp4"
        stylized.write_bytes(job.target.read_bytes())
    assert numbers(stylized) == list(range(FRAMES))
    with av.open(str(stylized)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
    assert list(home.iterdir()) == []


async def test_what_is_no_video_fails_in_words(home: Path) -> None:
    async with jobs() as videos:
        with pytest.raises(UsageError, match=r"notes\.txt: unsupported file type"):
            await videos.upload("notes.txt", Style(), body(b"words"))
        job = await videos.upload("broken.mp4", Style(), body(b"no video at all"))
        await until(job, "done", "failed")
        assert job.state == "failed"
        assert "broken.mp4" in job.message and str(home) not in job.message


async def test_videos_wait_for_each_other_and_any_can_be_stopped(video: bytes, home: Path) -> None:
    async with jobs(slowly) as videos:
        first = await videos.upload("a.mp4", Style(), body(video))
        second = await videos.upload("b.mp4", Style(), body(video))
        await until(first, "stylizing")
        assert second.state == "waiting"
        assert await videos.remove(first.id)
        assert not first.folder.exists()
        await until(second, "stylizing")
        assert await videos.remove(second.id)
        assert not await videos.remove(second.id)
        assert videos.find(second.id) is None
    assert list(home.iterdir()) == []


async def test_the_number_of_videos_is_bounded_and_results_expire(
    video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "JOBS", 1)
    async with jobs(kept_s=0.3) as videos:
        job = await videos.upload("a.mp4", Style(), body(video))
        with pytest.raises(ServerFullError):
            await videos.upload("b.mp4", Style(), body(video))
        await until(job, "done")
        assert videos.find(job.id) is job
        await eventually(lambda: not job.folder.exists())  # though nobody asks for it
        assert videos.find(job.id) is None
        assert (await videos.upload("b.mp4", Style(), body(video))).state == "waiting"


async def test_deleting_large_files_does_not_block_the_event_loop(
    video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleters: list[str] = []
    real = shutil.rmtree

    def rmtree(path: Path, ignore_errors: bool = False) -> None:
        if "streamer-videos-" in str(path):
            deleters.append(threading.current_thread().name)
        real(path, ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    async with jobs() as videos:
        job = await videos.upload("a.mp4", Style(), body(video))
        await until(job, "done")
        await videos.remove(job.id)
    assert len(deleters) > 1 and threading.main_thread().name not in deleters


async def test_an_upload_that_breaks_off_leaves_nothing(home: Path) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"the beginning"
        raise ConnectionError

    async with jobs() as videos:
        with pytest.raises(ConnectionError):
            await videos.upload("a.mp4", Style(), breaks())
        assert [path.name for path in home.rglob("*") if path.is_file()] == ["lock"]


async def test_a_full_disk_is_said(video: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SPARE_BYTES", 1 << 60)
    async with jobs() as videos:
        with pytest.raises(MediaError, match="disk is full"):
            await videos.upload("a.mp4", Style(), body(video))


@contextlib.asynccontextmanager
async def http(config: Config, ring: FakeRing | None = None) -> AsyncIterator[httpx.AsyncClient]:
    async with jobs() as videos:
        app = World(ring or FakeRing(), FakeSessions(), config).app(videos)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            yield client


async def test_the_way_of_a_video_over_http(video: bytes) -> None:
    async with http(Config()) as client:
        query: dict[str, str | float] = {"name": "x.mp4", "style": "none", "strength": 0.5}
        sent = await client.post("/videos", params=query, content=video)
        assert sent.status_code == 201
        url = sent.headers["Location"]
        async with asyncio.timeout(30):
            while (report := (await client.get(url)).json())["state"] != "done":
                assert report["state"] in ("waiting", "stylizing"), report
                await asyncio.sleep(0.05)
        assert report["frames"] == FRAMES == report["total"]
        preview = await client.get(f"{url}/preview")
        assert preview.headers["content-type"] == "image/jpeg"
        assert Picture.open(io.BytesIO(preview.content)).size == (128, 64)
        result = await client.get(f"{url}/result")
        assert 'filename="x.none.mp4"' in result.headers["content-disposition"]
        with av.open(io.BytesIO(result.content)) as container:
            assert container.streams.video[0].frames == FRAMES
        assert (await client.delete(url)).status_code == 200
        assert error_of(await client.get(url)) == (404, "not_found")
        assert error_of(await client.get(f"{url}/result")) == (404, "not_found")


async def test_refusals_over_http(video: bytes) -> None:
    query = {"name": "x.mp4", "style": "none"}
    async with http(Config(max_video_bytes=1000)) as client:
        answer = await client.post("/videos", params=query, content=video)
        assert error_of(answer) == (413, "too_large")
        answer = await client.post("/videos", params={**query, "style": "nope"}, content=b"")
        assert error_of(answer) == (404, "unknown_style")
        answer = await client.post("/videos", params={**query, "name": "x.exe"}, content=b"")
        assert error_of(answer) == (400, "bad_request")
        url = (await client.post("/videos", params=query, content=b"none")).headers["Location"]
        assert error_of(await client.get(f"{url}/result")) == (409, "not_done")
        assert error_of(await client.get(f"{url}/preview")) == (409, "not_ready")
    async with http(Config(), FakeRing(ready=False)) as client:
        answer = await client.post("/videos", params=query, content=video)
        assert error_of(answer) == (503, "not_ready")
