"""The HTTP side with fakes behind it: a ring that hands photos back, and one place for a peer."""

import asyncio
import io
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from PIL import Image as Picture

from streamer.errors import (
    MediaError,
    NotLiveError,
    RingError,
    ServerFullError,
    UnavailableError,
    UnknownStyleError,
    UsageError,
)
from streamer.files.uploads import VideoJobs
from streamer.frame import Image, Style
from streamer.live.broadcast import Broadcasts
from streamer.live.pictures import Pictures
from streamer.pipeline.change import Change
from streamer.ring.flow import Flow
from streamer.server.app import create_app
from streamer.server.config import Config
from streamer.server.guard import Guard
from streamer.server.interfaces import Live
from streamer.server.photos import PhotoFiles

HERE = "http://127.0.0.1:8000"
OFFER = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
ANSWER = OFFER.replace("o=- 0", "o=- 1")
SMALL = Config(max_photo_pixels=10_000, max_body_bytes=200_000)
SDP = {"Content-Type": "application/sdp"}
PHOTO_FILES = PhotoFiles()  # its process ends with this one


@dataclass
class FakeRing:
    """Hands every photo back as it came, once `gate` is open."""

    waits_for: str | None = None
    ready: bool = True
    seen: list[Style] = field(default_factory=list)
    heights: list[int | None] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def stylize(self, image: Image, style: Style, height_px: int | None = None) -> Image:
        self.seen.append(style)
        self.heights.append(height_px)
        await self.gate.wait()
        return image

    def stats(self) -> list[dict[str, object]]:
        return [
            {"state": "ready", "frames": 7, "lost": 1},
            {"state": "restarting", "frames": 0, "lost": 0},
        ]


@dataclass(frozen=True)
class FakeSession:
    id: str
    answer_sdp: str = ANSWER


class FakeSessions:
    """Has one place."""

    def __init__(self) -> None:
        self.live: dict[str, str] = {}
        self.owner = ""
        self.trickled: list[str] = []
        self.changes: list[Change] = []

    async def answer(self, name: str, offer_sdp: str, owner: str = "") -> FakeSession:
        if self.live:
            raise ServerFullError("all 1 places are taken; try again later")
        if name == "no-port":
            raise MediaError("no UDP port is free")
        if "m=video" not in offer_sdp:
            raise UsageError("the offer has no video")
        self.live["secret-id"], self.owner = name, owner
        return FakeSession("secret-id")

    async def close(self, session_id: str) -> bool:
        return self.live.pop(session_id, None) is not None

    async def end_of(self, owner: str) -> None:
        if owner == self.owner:
            self.live.clear()

    def has(self, session_id: str) -> bool:
        return session_id in self.live

    async def trickle(self, session_id: str, fragment: str) -> bool | None:
        if session_id not in self.live:
            return None
        if "a=" not in fragment:
            raise UsageError("not an SDP fragment")
        self.trickled.append(fragment)
        return "a=ice-ufrag:restarted" not in fragment

    async def change(self, name: str, wanted: Change) -> dict[str, object]:
        if name not in self.live.values():
            raise NotLiveError(name)
        if isinstance(wanted.style, str):
            FakeCatalogue().parse(wanted.style)
        self.changes.append(wanted)
        return self.active()[name]

    def active(self) -> dict[str, dict[str, object]]:
        return {str(numbers["name"]): numbers for numbers in self.stats().values()}

    def stats(self) -> dict[str, dict[str, object]]:
        latency = {"p50": 31.0, "p95": 38.0}
        return {
            key: {
                "name": name,
                "in_fps": 29.9,
                "out_fps": 29.8,
                "height_px": 360,
                "bitrate_bps": 2_500_000,
                "dropped": {"intake": 3, "lost": 1},
                "latency_ms": latency,
                "stages_ms": {"inference": {"p50": 20.0, "p95": 25.0}},
            }
            for key, name in self.live.items()
        }


class FakeViewers(FakeSessions):
    """Has one place, too, and asks what is on."""

    def __init__(self, sessions: FakeSessions) -> None:
        super().__init__()
        self._sessions = sessions

    async def answer(self, name: str, offer_sdp: str, owner: str = "") -> FakeSession:
        if name not in self._sessions.live.values():
            raise NotLiveError(name)
        return await super().answer(name, offer_sdp, owner)

    def count(self, name: str) -> int:
        return list(self.live.values()).count(name)

    def stats(self) -> dict[str, dict[str, object]]:
        return {name: {"H264": {"viewers": 1}} for name in self.live.values()}


def no_flow() -> Flow:
    raise RingError("there is no ring here")


class FakeCatalogue:
    def listing(self) -> dict[str, object]:
        styles = [{"name": name, "title": name.title()} for name in ("none", "mosaic")]
        return {"default": "mosaic", "styles": styles}

    def add(self, picture: bytes, file_name: str, name: str | None) -> dict[str, object]:
        raise UnavailableError("this catalogue takes no more")

    def rename(self, name: str, title: str) -> dict[str, object]:
        self.parse(name)
        return {"name": name, "title": title}

    def remove(self, name: str) -> None:
        self.parse(name)

    def file_of(self, name: str) -> Path:
        raise UsageError(f"{name} came with streamer")

    def parse(self, style: str | dict[str, float]) -> tuple[tuple[str, float], ...]:
        if style not in ("none", "mosaic"):
            raise UnknownStyleError(str(style), ("none", "mosaic"))
        return ((str(style), 1.0),)


@dataclass
class World:
    ring: FakeRing
    sessions: FakeSessions
    config: Config = SMALL
    broadcasts: Broadcasts = field(default_factory=Broadcasts)

    def app(self, videos: VideoJobs | None = None, phone_url: str | None = None) -> Guard:
        live = Live(self.sessions, FakeViewers(self.sessions), Pictures(self.broadcasts))
        videos = videos or VideoJobs(no_flow)
        return create_app(
            self.config,
            self.ring,
            live,
            FakeCatalogue(),
            videos,
            photo_files=PHOTO_FILES,
            phone_url=phone_url,
        )

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app()), base_url=HERE)


def error_of(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert body.keys() == {"error"} and body["error"].keys() == {"code", "message"}
    assert body["error"]["message"] and "\n" not in body["error"]["message"]
    return response.status_code, body["error"]["code"]


def photo(width: int = 60, height: int = 40, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Picture.new("RGB", (width, height), (200, 30, 30)).save(file, kind)
    return file.getvalue()


def upload(data: bytes, field: str = "image") -> dict[str, tuple[str, bytes, str]]:
    return {field: ("photo.jpg", data, "image/jpeg")}
