"""The order of frames is never wrong, and no frame waits for ever, whatever the ring does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.pipeline.reorder import ReorderBuffer

WAIT_S = 0.2


def buffer(max_wait_s: float | None = WAIT_S, window: int = 8) -> ReorderBuffer[int]:
    return ReorderBuffer(max_wait_s, window)


def test_push_in_order_passes_straight_through() -> None:
    reorder = buffer()
    assert [reorder.push(seq, seq, 0.0) for seq in range(3)] == [[0], [1], [2]]


def test_push_holds_frames_until_the_gap_fills() -> None:
    reorder = buffer()
    assert reorder.push(2, 2, 0.0) == []
    assert reorder.push(1, 1, 0.0) == []
    assert reorder.push(0, 0, 0.0) == [0, 1, 2]
    assert len(reorder) == 0


def test_tombstone_closes_a_gap_at_once() -> None:
    reorder = buffer()
    reorder.push(1, 1, 0.0)
    assert reorder.push(0, None, 0.0) == [1]
    assert reorder.skipped == 0


def test_expire_gives_up_a_gap_after_the_wait_and_not_before() -> None:
    reorder = buffer()
    reorder.push(1, 1, now=5.0)
    assert reorder.next_deadline() == 5.0 + WAIT_S
    assert reorder.expire(5.0 + WAIT_S - 0.001) == []
    assert reorder.expire(5.0 + WAIT_S) == [1]
    assert reorder.skipped == 1
    assert reorder.next_deadline() is None


def test_late_frame_is_counted_and_never_shown() -> None:
    reorder = buffer()
    reorder.push(1, 1, 0.0)
    reorder.expire(1.0)
    assert reorder.push(0, 0, 1.0) == []
    assert reorder.late == 1


def test_late_tombstone_is_no_late_frame() -> None:
    reorder = buffer()
    reorder.push(1, 1, 0.0)
    reorder.expire(1.0)
    reorder.push(0, None, 1.0)
    assert reorder.late == 0


def test_expire_gives_up_every_gap_that_is_due() -> None:
    reorder = buffer()
    reorder.push(4, 4, 0.0)
    reorder.push(2, 2, 0.1)
    assert reorder.expire(WAIT_S) == [2, 4]
    assert reorder.skipped == 3  # 0, 1 and 3


def test_without_a_wait_nothing_is_ever_given_up() -> None:
    reorder = buffer(max_wait_s=None)
    reorder.push(1, 1, 0.0)
    assert reorder.next_deadline() is None
    assert reorder.expire(1e9) == []


def test_the_same_seq_twice_is_an_error() -> None:
    reorder = buffer()
    reorder.push(1, 1, 0.0)
    with pytest.raises(ValueError, match="twice"):
        reorder.push(1, 1, 0.0)


def test_a_seq_beyond_the_window_is_an_error() -> None:
    with pytest.raises(ValueError, match="window"):
        buffer(window=4).push(4, 4, 0.0)


Arrival = tuple[float, int, bool]


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[int, list[Arrival]]:
    """Up to 40 frames: each comes back after a delay of its own, as a tombstone, or never."""
    count = draw(st.integers(1, 40))
    events: list[Arrival] = []
    for seq in range(count):
        fate = draw(st.sampled_from(["back", "back", "back", "tombstone", "never"]))
        if fate != "never":
            delay = draw(st.floats(0, 1.0, allow_nan=False))
            events.append((seq * 0.033 + delay, seq, fate == "back"))
    return count, sorted(events)


@given(arrivals())
def test_output_is_strictly_increasing_complete_and_bounded_in_time(
    case: tuple[int, list[Arrival]],
) -> None:
    count, events = case
    reorder = buffer(window=count)
    shown: list[int] = []
    for now, seq, came_back in events:
        while (deadline := reorder.next_deadline()) is not None and deadline <= now:
            shown += reorder.expire(deadline)
        shown += reorder.push(seq, seq if came_back else None, now)
        held_since = reorder.next_deadline()
        assert held_since is None or held_since > now  # nothing overdue is still held
    while (deadline := reorder.next_deadline()) is not None:
        shown += reorder.expire(deadline)
    assert shown == sorted(set(shown))
    back = {seq for _, seq, came_back in events if came_back}
    assert set(shown) <= back
    assert len(shown) + reorder.late == len(back)  # each is shown once or counted as late
    assert len(reorder) == 0


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_without_a_deadline_every_permutation_comes_out_whole(
    order: list[int], lost: set[int]
) -> None:
    reorder = buffer(max_wait_s=None, window=12)
    shown = [out for seq in order for out in reorder.push(seq, None if seq in lost else seq, 0.0)]
    assert shown == [seq for seq in range(12) if seq not in lost]
