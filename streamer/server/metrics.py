"""Health, statistics, and metrics for Prometheus, read from ring and sessions on request."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fastapi import APIRouter
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from streamer import __version__
from streamer.server.interfaces import Live, Ring, require

_PHOTO_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

Snapshot = Callable[[], Mapping[str, Any]]  # what GET /stats answers


class Metrics:
    """In its own registry, so that several servers in one process do not mix."""

    def __init__(self, ring: Ring, live: Live) -> None:
        self._ring = ring
        self._live = live
        self._registry = CollectorRegistry()
        self._registry.register(_Streams(self.snapshot))
        ProcessCollector(registry=self._registry)
        self.photo_s = Histogram(
            "streamer_photo_seconds",
            "Time from a photo's last byte to its answer",
            buckets=_PHOTO_BUCKETS_S,
            registry=self._registry,
        )

    def snapshot(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "ready": self._ring.ready,
            "waits_for": self._ring.waits_for,
            "workers": self._ring.stats(),
            # Who knows a session's own id can end it; these are for telling streams apart.
            "streams": {public_id(key): one for key, one in self._live.publishers.stats().items()},
            "viewers": self._live.viewers.stats(),
            "processes": self._live.processes(),
        }

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)


def public_id(session_id: str) -> str:
    """Always the same for a session, and of no use to end it."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:8]


def metric_routes(ring: Ring, metrics: Metrics) -> APIRouter:
    routes = APIRouter(tags=["monitoring"])

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process is alive."""
        return {"status": "alive"}

    @routes.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Whether frames can be stylized; 503 until the workers are warm."""
        require(ring)
        return {"status": "ready"}

    @routes.get("/stats")
    async def stats() -> Mapping[str, Any]:
        """Workers, live streams and viewers."""
        return metrics.snapshot()

    @routes.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """The same for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return routes


class _Streams(Collector):
    """Turns one snapshot into metric families; a stream that ended is gone with the next."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        now = self._snapshot()
        yield GaugeMetricFamily("streamer_ready", "1 once the workers are warm", int(now["ready"]))
        yield GaugeMetricFamily("streamer_peers", "Connected peers", len(now["streams"]))
        yield from _worker_metrics(now["workers"])
        yield from _stream_metrics(now["streams"])
        yield _viewers(now["viewers"])


def _viewers(streams: Mapping[str, Mapping[str, Any]]) -> Metric:
    watching = GaugeMetricFamily("streamer_viewers", "Viewers by WHEP", labels=["name", "codec"])
    for name, codecs in streams.items():
        for codec, numbers in codecs.items():
            watching.add_metric([name, codec], numbers["viewers"])
    return watching


def _worker_metrics(workers: list[Mapping[str, Any]]) -> Iterator[Metric]:
    up = GaugeMetricFamily("streamer_worker_up", "0 while restarting", labels=["worker"])
    frames = CounterMetricFamily("streamer_worker_frames", "Frames done", labels=["worker"])
    lost = CounterMetricFamily("streamer_worker_lost", "Frames lost", labels=["worker"])
    for index, worker in enumerate(workers):
        label = [str(index)]
        up.add_metric(label, worker["state"] in ("ready", "busy"))
        frames.add_metric(label, worker["frames"])
        lost.add_metric(label, worker["lost"])
    yield from (up, frames, lost)


def _stream_metrics(streams: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    of = ["stream", "name"]
    fps = GaugeMetricFamily("streamer_stream_fps", "Frame rate", labels=[*of, "direction"])
    height = GaugeMetricFamily(
        "streamer_stream_height_px", "Height at which it is stylized", labels=of
    )
    bitrate = GaugeMetricFamily("streamer_stream_bitrate_bps", "Bit rate sent back", labels=of)
    dropped = CounterMetricFamily(
        "streamer_stream_dropped", "Frames dropped", labels=[*of, "reason"]
    )
    latency = GaugeMetricFamily(
        "streamer_stream_latency_seconds", "Latency by stage", labels=[*of, "stage", "quantile"]
    )
    numbers: Counter[str] = Counter()
    for stats in streams.values():
        # Not the id: a publisher that comes back continues its series.
        label = [str(numbers[stats["name"]]), stats["name"]]
        numbers[stats["name"]] += 1
        fps.add_metric([*label, "in"], stats["in_fps"])
        fps.add_metric([*label, "out"], stats["out_fps"])
        height.add_metric(label, stats["height_px"])
        bitrate.add_metric(label, stats["bitrate_bps"])
        for reason, count in stats["dropped"].items():
            dropped.add_metric([*label, reason], count)
        for stage, spread in {"total": stats["latency_ms"], **stats["stages_ms"]}.items():
            latency.add_metric([*label, stage, "0.5"], spread["p50"] / 1000)
            latency.add_metric([*label, stage, "0.95"], spread["p95"] / 1000)
    yield from (fps, height, bitrate, dropped, latency)
