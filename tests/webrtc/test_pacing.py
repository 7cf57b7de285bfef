"""A frame of usual size leaves at once, a keyframe over some time."""

from streamer.webrtc.pacing import Pacing

PACKET = 1200


def waits(count: int, target_bps: float, is_congested: bool = False) -> list[float]:
    """How long each of `count` packets of one frame waits for its turn."""
    pacing, now = Pacing(), 10.0
    found = []
    for _ in range(count):
        wait_s = pacing.wait_s(PACKET, target_bps, is_congested, now)
        now += wait_s
        found.append(wait_s)
    return found


def test_a_usual_frame_does_not_wait() -> None:
    assert sum(waits(8, 2_500_000)) == 0


def test_a_keyframe_is_spread() -> None:
    spread = sum(waits(40, 500_000))
    assert 0.2 < spread < 40 * PACKET * 8 / (2.5 * 500_000)


def test_no_packet_waits_so_long_that_its_sender_seems_to_hang() -> None:
    assert max(waits(40, 100_000, is_congested=True)) < 0.6


def test_a_queue_is_not_made_longer() -> None:
    assert sum(waits(40, 500_000, is_congested=True)) > 2 * sum(waits(40, 500_000))
