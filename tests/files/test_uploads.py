"""Uploaded films: stylized one at a time, bounded, cancelled, and nothing left behind."""

import asyncio
import contextlib
import io
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import av
import httpx
import pytest

from streamer.errors import MediaError, ServerFullError, UsageError
from streamer.files import uploads as film_jobs
from streamer.files.uploads import FilmJobs
from streamer.frame import Image, Style
from streamer.ring.ring import Ring
from streamer.server.config import Config
from tests.support.fakes import Stylize, ThreadWorkers, leave
from tests.support.film_clips import Clip, numbers, write_clip
from tests.support.http_world import HERE, FakeRing, FakeSessions, World, error_of
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
def film(tmp_path: Path) -> bytes:
    clip = Clip(pts=range(0, FRAMES * 512, 512), audio=("eng",))
    return write_clip(tmp_path / "clip.mp4", clip).read_bytes()


@contextlib.asynccontextmanager
async def jobs(stylize: Stylize = leave) -> AsyncIterator[FilmJobs]:
    async with (
        Ring(lambda: ThreadWorkers(1, stylize)) as ring,
        contextlib.aclosing(FilmJobs(lambda: ring.open(live=False))) as jobs,
    ):
        yield jobs


async def body(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 10_000):
        yield data[start : start + 10_000]


def slowly(image: Image) -> Image:
    time.sleep(0.05)
    return image


async def test_a_film_goes_in_and_comes_out_painted_with_its_sound(
    film: bytes, home: Path, tmp_path: Path
) -> None:
    async with jobs() as films:
        job = await films.upload("my film.mp4", Style(), body(film))
        await eventually(lambda: job.state in ("done", "failed"))
        assert job.state == "done", job.message
        assert job.result_name == "my film.none.mp4"
        assert not job.source.exists(), "what was sent is not kept longer than it is needed"
        stylized = tmp_path / "result.mp4"
        stylized.write_bytes(job.target.read_bytes())
    assert numbers(stylized) == list(range(FRAMES))
    with av.open(str(stylized)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
    assert list(home.iterdir()) == []


async def test_what_is_no_film_fails_in_words(home: Path) -> None:
    async with jobs() as films:
        with pytest.raises(UsageError, match=r"notes\.txt is no film"):
            await films.upload("notes.txt", Style(), body(b"words"))
        job = await films.upload("broken.mp4", Style(), body(b"no film at all"))
        await eventually(lambda: job.state in ("done", "failed"))
        assert job.state == "failed"
        assert "broken.mp4" in job.message and str(home) not in job.message


async def test_films_wait_for_each_other_and_any_can_be_stopped(film: bytes, home: Path) -> None:
    async with jobs(slowly) as films:
        first = await films.upload("a.mp4", Style(), body(film))
        second = await films.upload("b.mp4", Style(), body(film))
        await eventually(lambda: first.state == "stylizing")
        assert second.state == "waiting"
        assert await films.remove(first.id)
        assert not first.folder.exists()
        await eventually(lambda: second.state == "stylizing")
        assert await films.remove(second.id)
        assert not await films.remove(second.id)
        assert films.find(second.id) is None
    assert list(home.iterdir()) == []


async def test_there_is_room_for_so_many_films(
    film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_jobs, "JOBS", 1)
    async with jobs() as films:
        job = await films.upload("a.mp4", Style(), body(film))
        with pytest.raises(ServerFullError):
            await films.upload("b.mp4", Style(), body(film))
        await eventually(lambda: job.state == "done")
        monkeypatch.setattr(film_jobs, "KEPT_S", 0.0)
        assert (await films.upload("b.mp4", Style(), body(film))).state == "waiting"
        assert films.find(job.id) is None
        assert not job.folder.exists()


async def test_an_upload_that_breaks_off_leaves_nothing(home: Path) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"the beginning"
        raise ConnectionError

    async with jobs() as films:
        with pytest.raises(ConnectionError):
            await films.upload("a.mp4", Style(), breaks())
        assert [path for path in home.rglob("*") if path.is_file()] == []


async def test_a_full_disk_is_said(film: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_jobs, "SPARE_BYTES", 1 << 60)
    async with jobs() as films:
        with pytest.raises(MediaError, match="disk is full"):
            await films.upload("a.mp4", Style(), body(film))


@contextlib.asynccontextmanager
async def http(config: Config, ring: FakeRing | None = None) -> AsyncIterator[httpx.AsyncClient]:
    async with jobs() as films:
        app = World(ring or FakeRing(), FakeSessions(), config).app(films)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            yield client


async def test_the_way_of_a_film_over_http(film: bytes) -> None:
    async with http(Config()) as client:
        query: dict[str, str | float] = {"name": "x.mp4", "style": "none", "strength": 0.5}
        sent = await client.post("/films", params=query, content=film)
        assert sent.status_code == 201
        url = sent.headers["Location"]
        async with asyncio.timeout(30):
            while (report := (await client.get(url)).json())["state"] != "done":
                assert report["state"] in ("waiting", "stylizing"), report
                await asyncio.sleep(0.05)
        assert report["frames"] == FRAMES == report["total"]
        result = await client.get(f"{url}/result")
        assert 'filename="x.none.mp4"' in result.headers["content-disposition"]
        with av.open(io.BytesIO(result.content)) as container:
            assert container.streams.video[0].frames == FRAMES
        assert (await client.delete(url)).status_code == 200
        assert error_of(await client.get(url)) == (404, "not_found")
        assert error_of(await client.get(f"{url}/result")) == (404, "not_found")


async def test_refusals_over_http(film: bytes) -> None:
    query = {"name": "x.mp4", "style": "none"}
    async with http(Config(max_film_bytes=1000)) as client:
        answer = await client.post("/films", params=query, content=film)
        assert error_of(answer) == (413, "too_large")
        answer = await client.post("/films", params={**query, "style": "nope"}, content=b"")
        assert error_of(answer) == (404, "unknown_style")
        answer = await client.post("/films", params={**query, "name": "x.exe"}, content=b"")
        assert error_of(answer) == (400, "bad_request")
        url = (await client.post("/films", params=query, content=b"none")).headers["Location"]
        assert error_of(await client.get(f"{url}/result")) == (409, "not_done")
    async with http(Config(), FakeRing(ready=False)) as client:
        answer = await client.post("/films", params=query, content=film)
        assert error_of(answer) == (503, "not_ready")
