"""Packets over a bad path, in virtual time: what is asked for again, given up, and shown when."""

import heapq
import random
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from bench.link import Conditions, Direction
from streamer.webrtc.jitter_buffer import JitterBuffer, MediaClock, Packet
from streamer.webrtc.playout import Playout

FPS, PACKETS, SECONDS = 30, 6, 20


@dataclass
class Camera:
    """Sends frames up a path, and again what is asked for; notes what the other end makes of it."""

    up: Conditions
    down: Conditions = field(default_factory=Conditions)
    requests: int = 0
    given_up: int = 0
    wants_keyframe: bool = False
    shown: list[tuple[float, float]] = field(default_factory=list)  # captured, shown

    def run(self) -> None:
        up, down = Direction(random.Random(1), self.up), Direction(random.Random(2), self.down)
        buffer = JitterBuffer(lambda data: data.startswith(b"K"), MediaClock())
        playout = Playout()
        sent: list[Packet] = []
        again_at: dict[int, float] = {}
        events: list[tuple[float, int, str, int]] = []  # when, number, what, which packet
        for frame in range(FPS * SECONDS):
            for part in range(PACKETS):
                index = frame * PACKETS + part
                data = (b"K" if frame == 0 else b"P") + bytes(1000)
                is_last = part == PACKETS - 1
                sent.append(Packet(index % 65536, frame * 90_000 // FPS, is_last, data, 0.0))
                events.append((frame / FPS + part * 1e-4, index, "send", index))
        heapq.heapify(events)
        count = len(events)
        while events:
            now, _, what, index = heapq.heappop(events)
            count += 1
            if what in ("send", "again"):
                if (at := up.due(1040, now)) is not None and (index or what == "send"):
                    arrival = "came" if what == "send" else "came again"
                    heapq.heappush(events, (at, count, arrival, index))
                continue
            if what == "asked":
                # As browsers: once in a round trip.
                if now - again_at.get(index, 0.0) > (self.up.delay + self.down.delay) / 1000:
                    again_at[index] = now
                    heapq.heappush(events, (now, count, "again", index))
                continue
            packet = sent[index]
            packet = Packet(
                packet.seq, packet.clock, packet.marker, packet.data, now, what == "came again"
            )
            for whole in buffer.add(packet):
                due = playout.due(whole.pts / 90_000, now)
                self.shown.append((whole.pts / 90_000, max(now, due)))
            for number in buffer.missing(now):
                self.requests += 1
                if (at := down.due(60, now)) is not None:
                    heapq.heappush(events, (at, count, "asked", number))
        self.given_up, self.wants_keyframe = buffer.lost, buffer.wants_keyframe

    def latencies_s(self) -> list[float]:
        """From the camera to what is shown, sorted."""
        return sorted(shown - captured for captured, shown in self.shown)


def both(**conditions: float) -> Camera:
    same = Conditions(**conditions)  # type: ignore[arg-type]
    camera = Camera(same, same)
    camera.run()
    return camera


def test_a_clean_path_costs_nothing() -> None:
    camera = both(delay=10)
    assert camera.requests == 0
    assert camera.latencies_s()[-1] < 0.012


@pytest.mark.parametrize(("delay", "most_s"), [(20, 0.25), (100, 0.6)])
def test_what_is_lost_comes_again_in_time_whatever_the_round_trip(
    delay: float, most_s: float
) -> None:
    camera = both(delay=delay, loss=0.05)
    assert camera.given_up == 0 and not camera.wants_keyframe
    assert len(camera.shown) > FPS * SECONDS - 5
    latencies = camera.latencies_s()
    assert latencies[len(latencies) // 2] < most_s
    lost = 0.05 * FPS * SECONDS * PACKETS
    assert camera.requests < (2.5 if delay > 50 else 1.5) * lost


def test_frames_behind_a_loss_are_spread() -> None:
    camera = both(delay=100, loss=0.05)
    shown = [at for _, at in camera.shown[60:]]
    gaps = [after - before for before, after in pairwise(shown)]
    assert sum(gap > 0.1 for gap in gaps) < 0.02 * len(gaps)


def test_jitter_is_no_loss() -> None:
    camera = both(delay=50, jitter=30)
    assert camera.requests < 30, "until it is known how late packets come"
    assert camera.given_up == 0
