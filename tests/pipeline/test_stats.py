import pytest

from streamer.pipeline.stats import DROPS, STAGES, Rate, Recent, Stats


def test_rate_counts_intervals_of_the_last_seconds() -> None:
    rate = Rate(span_s=2.0)
    for number in range(100):
        rate.tick(number / 25)
    assert rate.fps(99 / 25) == pytest.approx(25, rel=0.05)
    assert rate.count == 100


def test_rate_falls_to_zero_when_nothing_comes() -> None:
    rate = Rate(span_s=2.0)
    for number in range(10):
        rate.tick(number / 10)
    assert rate.fps(10.0) == 0.0


def test_recent_forgets_the_distant_past() -> None:
    recent = Recent(memory=10)
    for value in [9.0] * 50 + [0.001] * 10:
        recent.add(value)
    assert recent.as_ms() == {"p50": 1.0, "p95": 1.0}
    assert len(recent) == 10


def test_quantiles() -> None:
    recent = Recent()
    for value in range(1, 101):
        recent.add(value / 1000)
    assert recent.as_ms() == {"p50": 50.0, "p95": 95.0}
    assert Recent().quantile(0.5) == 0.0


def test_stats_show_every_stage_and_every_reason() -> None:
    told = Stats().as_dict(now=1.0)
    assert set(told) == {"out_fps", "dropped", "latency_ms", "stages_ms"}
    assert told["dropped"] == dict.fromkeys(DROPS, 0)
    stages = told["stages_ms"]
    assert isinstance(stages, dict) and tuple(stages) == STAGES
