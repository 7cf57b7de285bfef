"""Pictures out of packets: at the marker bit, in order, and never stuck."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streamer.webrtc.jitter_buffer import (
    CAPACITY,
    PATIENCE_S,
    EncodedFrame,
    JitterBuffer,
    MediaClock,
    Packet,
)
from streamer.webrtc.repair import RETRY, RETRY_S, Repair

FRAME = 3000  # 1/90000 s at 30 fps


def buffer() -> JitterBuffer:
    return JitterBuffer(lambda data: data.startswith(b"K"), MediaClock())


def packets(
    sizes: Iterable[int], first_seq: int = 100, clock: int = 5000, keyframes: tuple[int, ...] = (0,)
) -> list[Packet]:
    """Pictures of so many packets each; picture i says `K` or `P`, its number, and its parts."""
    made: list[Packet] = []
    for i, size in enumerate(sizes):
        for part in range(size):
            head = b"K" if i in keyframes else b"P"
            data = (head if part == 0 else b"") + b"%d.%d " % (i, part)
            seq, rtp = (first_seq + len(made)) % 2**16, (clock + i * FRAME) % 2**32
            made.append(Packet(seq, rtp, part == size - 1, data, len(made) * 0.001))
    return made


def feed(target: JitterBuffer, sequence: Iterable[Packet]) -> list[EncodedFrame]:
    return [picture for packet in sequence for picture in target.add(packet)]


def names(pictures: Iterable[EncodedFrame]) -> list[str]:
    return [picture.data.split(b".")[0].decode() for picture in pictures]


def test_a_picture_is_handed_over_with_its_last_packet() -> None:
    target, sent = buffer(), packets([3, 2])
    assert target.add(sent[0]) == target.add(sent[1]) == []
    [picture] = target.add(sent[2])
    assert picture == EncodedFrame(b"K0.0 0.1 0.2 ", 0, sent[2].arrived_at, True)
    assert target.add(sent[3]) == []
    [second] = target.add(sent[4])
    assert (second.pts, second.keyframe) == (FRAME, False)


def test_a_sender_without_markers_is_understood_one_packet_later() -> None:
    bare = [Packet(p.seq, p.clock, False, p.data, p.arrived_at) for p in packets([2, 2, 1])]
    assert names(feed(buffer(), bare)) == ["K0", "P1"]


def test_sequence_numbers_and_clock_wrap() -> None:
    sent = packets([2] * 50, first_seq=65_500, clock=2**32 - 10 * FRAME)
    pictures = feed(buffer(), sent)
    assert [picture.pts for picture in pictures] == [i * FRAME for i in range(50)]


@given(st.lists(st.integers(1, 5), min_size=2, max_size=20), st.data())
def test_any_order_within_the_hold_gives_the_same_pictures(
    sizes: list[int], data: st.DataObject
) -> None:
    sent = packets(sizes)
    later = data.draw(st.permutations(sent[1:]))  # the first one says where the stream begins
    assert feed(buffer(), [sent[0], *later]) and names(feed(buffer(), sent)) == names(
        feed(buffer(), [sent[0], *later])
    )


@given(st.lists(st.integers(0, 199), max_size=40, unique=True))
def test_whatever_is_lost_order_is_kept_and_the_stream_goes_on(lost: list[int]) -> None:
    sent = packets([2] * 300, keyframes=tuple(range(0, 300, 10)))
    slow = [Packet(p.seq, p.clock, p.marker, p.data, i / 60) for i, p in enumerate(sent)]
    pictures = feed(buffer(), (p for i, p in enumerate(slow) if i not in lost))
    numbers = [int(name[1:]) for name in names(pictures)]
    assert numbers == sorted(set(numbers))
    assert set(range(150, 300)) <= set(numbers)


def test_a_lost_packet_is_asked_for_and_its_picture_is_saved() -> None:
    target, sent = buffer(), packets([2, 3, 2])
    feed(target, sent[:3])
    assert feed(target, [sent[4], sent[5]]) == []
    assert target.missing(1.0) == [sent[3].seq]
    assert target.missing(1.0) == []  # asked for already
    assert target.missing(1.0 + Repair().rtt_s * RETRY + RETRY_S) == [sent[3].seq]
    assert names(target.add(sent[3])) == ["P1"]
    assert target.missing(2.0) == [] and target.lost == 0


def test_two_pictures_wait_for_one_packet_and_both_are_handed_over() -> None:
    target, sent = buffer(), packets([1, 1, 1, 1])
    feed(target, [sent[0], sent[2], sent[3]])
    assert names(target.add(sent[1])) == ["P1", "P2", "P3"]


def test_a_packet_that_never_comes_costs_the_hold_and_then_needs_a_keyframe() -> None:
    sent = packets([2] * 60, keyframes=(0, 40))
    target, out = buffer(), []
    for i, packet in enumerate(sent):
        if i != 5:
            at = i / 60  # 30 fps
            out += target.add(Packet(packet.seq, packet.clock, packet.marker, packet.data, at))
        if i == int((5 / 60 + Repair().hold_s) * 60) + 2:
            assert target.wants_keyframe
    assert names(out) == ["K0", "P1", "K40", *(f"P{i}" for i in range(41, 60))]
    assert not target.wants_keyframe


def test_a_sender_that_knows_no_keyframes_on_demand_is_shown_again_in_time() -> None:
    sent = packets([1] * 90)
    late = [Packet(p.seq, p.clock, p.marker, p.data, i / 30) for i, p in enumerate(sent)]
    target = buffer()
    shown = feed(target, late[:10] + late[11:])
    gap_s = max(b.arrived_at - a.arrived_at for a, b in pairwise(shown))
    assert gap_s < Repair().hold_s + PATIENCE_S + 5 / 30
    assert target.wants_keyframe  # still asking


def test_nothing_before_the_first_keyframe() -> None:
    target = buffer()
    assert feed(target, packets([2] * 100, keyframes=())) == []
    assert target.wants_keyframe


def test_a_decoder_error_closes_the_gate_until_a_keyframe() -> None:
    target, sent = buffer(), packets([1] * 6, keyframes=(0, 4))
    feed(target, sent[:2])
    target.broke(sent[1].arrived_at)
    assert names(feed(target, sent[2:])) == ["K4", "P5"]


def test_a_keyframe_of_1500_packets_is_put_together() -> None:
    [picture] = feed(buffer(), packets([1500]))
    assert picture.keyframe


def test_a_picture_without_an_end_is_given_up() -> None:
    target = buffer()
    for i in range(3 * CAPACITY):
        target.add(Packet(i % 2**16, 7, False, b"x" * 1200, 0.0))
    assert len(target._parts) <= CAPACITY + 1  # what it holds is bounded
    assert target.lost >= 1


def test_a_sender_that_starts_afresh_is_followed() -> None:
    target = buffer()
    feed(target, packets([2, 2]))
    again = feed(target, packets([2, 2, 2], first_seq=40_000, clock=10**9))
    assert names(again) == ["K0", "P1", "P2"]
    assert [picture.pts for picture in again] == [2 * FRAME, 3 * FRAME, 4 * FRAME]


def test_another_stream_goes_on_where_the_first_one_stopped() -> None:
    clock = MediaClock()
    one, two = (JitterBuffer(lambda data: data.startswith(b"K"), clock) for _ in range(2))
    first = feed(one, packets([1, 1]))
    second = feed(two, packets([1, 1], clock=4_000_000_000))
    assert [p.pts for p in first + second] == [0, FRAME, 2 * FRAME, 3 * FRAME]


def test_padding_between_pictures_is_no_picture() -> None:
    sent = packets([1, 1, 1])
    padding = Packet(sent[1].seq, sent[0].clock, False, b"", 0.0)
    moved = [Packet(p.seq + 1, p.clock, p.marker, p.data, p.arrived_at) for p in sent[1:]]
    assert names(feed(buffer(), [sent[0], padding, *moved])) == ["K0", "P1", "P2"]


def test_old_and_repeated_packets_change_nothing() -> None:
    sent = packets([2, 2, 2])
    twice = [packet for packet in sent for _ in range(2)]
    assert names(feed(buffer(), [*twice, sent[0]])) == ["K0", "P1", "P2"]


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1))
def test_media_time_only_grows_and_never_leaps(clocks: list[int]) -> None:
    clock = MediaClock()
    pts = [clock.pts(value) for value in clocks]
    assert pts[0] == 0
    assert all(0 < b - a < 10 * 90_000 for a, b in pairwise(pts))


def test_b_frames_get_the_time_they_are_shown_at() -> None:
    """Sent as I P B B: the B-frames' time lies before that of the P they need."""
    clock = MediaClock()
    order = [0, 3, 1, 2, 6, 4, 5]
    assert [clock.pts(2**32 - 9000 + n * FRAME, reorders=True) for n in order] == [
        n * FRAME for n in order
    ]


def test_a_clock_set_back_is_not_taken_for_b_frames_for_long() -> None:
    clock = MediaClock()
    pts = [clock.pts(10**6 + n * FRAME, reorders=True) for n in range(30)]
    pts += [clock.pts(10**6 - 10 * FRAME + n * FRAME, reorders=True) for n in range(60)]
    assert all(a < b for a, b in pairwise(pts[-40:])) and pts[-40] > pts[29]


def test_a_frame_whose_parts_do_not_fit_together_is_lost_and_a_keyframe_wanted() -> None:
    def join(parts: Sequence[bytes]) -> bytes:
        if len(parts) == 2:
            raise ValueError("they do not fit")
        return b"".join(parts)

    target = JitterBuffer(lambda data: data.startswith(b"K"), MediaClock(), join=join)
    assert names(feed(target, packets([1, 2, 1]))) == ["K0"]
    assert target.wants_keyframe and target.lost == 2
