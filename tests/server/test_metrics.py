"""Health, statistics and metrics, against a fake of the ring."""

import httpx

from tests.support.http_world import OFFER, SDP, World, error_of, photo, upload


async def test_alive_before_ready(world: World, http: httpx.AsyncClient) -> None:
    world.ring.ready = False
    assert (await http.get("/healthz")).status_code == 200
    assert error_of(await http.get("/readyz")) == (503, "not_ready")
    world.ring.ready = True
    assert (await http.get("/readyz")).status_code == 200


async def test_stats_show_workers_and_streams(http: httpx.AsyncClient) -> None:
    await http.post("/whip/me", content=OFFER, headers=SDP)
    stats = (await http.get("/stats")).json()
    assert stats.keys() >= {"version", "ready", "waits_for", "workers", "streams", "viewers"}
    assert [worker["state"] for worker in stats["workers"]] == ["ready", "restarting"]
    assert [stream["name"] for stream in stats["streams"].values()] == ["me"]


async def test_metrics_are_prometheus_text(http: httpx.AsyncClient) -> None:
    await http.post("/whip/me", content=OFFER, headers=SDP)
    await http.post("/whep/me", content=OFFER, headers=SDP)
    await http.post("/stylize/mosaic", files=upload(photo()))
    response = await http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = set(response.text.splitlines())
    stream = 'name="me",quantile="0.5",stage="inference",stream="0"'
    assert {
        "streamer_ready 1.0",
        "streamer_peers 1.0",
        'streamer_viewers{codec="H264",name="me"} 1.0',
        'streamer_worker_up{worker="1"} 0.0',
        'streamer_worker_frames_total{worker="0"} 7.0',
        'streamer_stream_fps{direction="in",name="me",stream="0"} 29.9',
        'streamer_stream_dropped_total{name="me",reason="intake",stream="0"} 3.0',
        f"streamer_stream_latency_seconds{{{stream}}} 0.02",
        "streamer_photo_seconds_count 1.0",
    } <= lines


async def test_session_ids_stay_out_of_the_metrics(http: httpx.AsyncClient) -> None:
    """Whoever knows a session's id can hang it up; scrapers have no need to."""
    await http.post("/whip/me", content=OFFER, headers=SDP)
    assert "secret-id" not in (await http.get("/metrics")).text
