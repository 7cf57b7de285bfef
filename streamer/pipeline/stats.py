"""pipeline → **stats** → page, /stats, /metrics: what a stream does and where its time goes.

The recent past only, in bounded memory. Pure.
"""

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

STAGES = ("wait", "transfer", "inference", "reorder", "pace", "encode")
DROPS = ("intake", "deadline", "lost", "late", "skipped", "encode")


def quantile(values: Collection[float], share: float) -> float:
    """The smallest of the values that `share` of them do not exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


class Rate:
    """Events per second over the last `span_s` seconds."""

    def __init__(self, span_s: float = 2.0) -> None:
        self.count = 0
        self._span_s = span_s
        self._times: deque[float] = deque(maxlen=1000)

    def tick(self, now: float) -> None:
        """One event, at `now`."""
        self.count += 1
        self._times.append(now)

    def fps(self, now: float) -> float:
        """The rate at `now`; 0 once nothing has happened for the whole span."""
        while self._times and self._times[0] < now - self._span_s:
            self._times.popleft()
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / max(now - self._times[0], 1e-9)


class Recent:
    """Quantiles of the last few hundred values of something, in seconds."""

    def __init__(self, memory: int = 300) -> None:
        self._values: deque[float] = deque(maxlen=memory)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, seconds: float) -> None:
        self._values.append(seconds)

    def quantile(self, share: float) -> float:
        """0 without any values; else as `quantile`."""
        return quantile(self._values, share) if self._values else 0.0

    def as_ms(self) -> dict[str, float]:
        """`p50` and `p95` in milliseconds."""
        return {f"p{q}": round(1e3 * self.quantile(q / 100), 2) for q in (50, 95)}


def _per_stage() -> dict[str, Recent]:
    return {stage: Recent() for stage in STAGES}


@dataclass(slots=True)
class Stats:
    """One stream's numbers."""

    delivered: Rate = field(default_factory=Rate)
    latency: Recent = field(default_factory=Recent)
    stages: dict[str, Recent] = field(default_factory=_per_stage)
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DROPS, 0))

    def as_dict(self, now: float) -> dict[str, object]:
        """What the page and `/stats` show; times in milliseconds."""
        return {
            "out_fps": round(self.delivered.fps(now), 1),
            "dropped": dict(self.dropped),
            "latency_ms": self.latency.as_ms(),
            "stages_ms": {stage: recent.as_ms() for stage, recent in self.stages.items()},
        }
