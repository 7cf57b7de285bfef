"""Reports of arrivals: what we write is what we read, and so is what Chromium writes."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from streamer.webrtc.transport_feedback import Arrivals, Feedback, split

NACK = struct.pack("!BBHLLHH", 0x81, 205, 3, 1, 2, 100, 0)


def report(arrivals: dict[int, float]) -> Feedback:
    noted = Arrivals()
    for number, at in sorted(arrivals.items(), key=lambda item: item[1]):
        noted.add(number, at)
    data = noted.report(1, 2)
    assert data is not None and len(data) % 4 == 0
    [feedback], rest = split(data)
    assert rest == b""
    return feedback


def test_arrivals_and_gaps_are_told() -> None:
    feedback = report({65_534: 5.0, 65_535: 5.01, 1: 5.5})
    numbers = [number for number, _ in feedback.arrivals]
    assert numbers == [65_534, 65_535, 0, 1]
    first, second, lost, last = (at for _, at in feedback.arrivals)
    assert lost is None and first and second and last
    assert abs(second - first - 0.01) < 0.001 and abs(last - first - 0.5) < 0.001


@given(
    st.dictionaries(st.integers(0, 1000), st.floats(0, 5), min_size=1, max_size=100),
)
def test_whatever_comes_is_told_within_a_tick(late: dict[int, float]) -> None:
    arrivals = {number: 100 + number * 0.001 + late_s for number, late_s in late.items()}
    noted = Arrivals()
    noted.add(0, 100.0)
    for number, at in arrivals.items():
        noted.add(number, at)
    data = noted.report(1, 2)
    assert data is not None
    [feedback], _ = split(data)
    told = dict(feedback.arrivals)
    zero = told[0]
    assert zero is not None
    for number, at in arrivals.items():
        if number:
            heard = told[number]
            assert heard is not None and abs(heard - zero - (at - 100.0)) < 0.001


def test_each_arrival_is_told_once() -> None:
    noted = Arrivals()
    noted.add(10, 1.0)
    assert noted.report(1, 2)
    assert noted.report(1, 2) is None
    noted.add(12, 1.1)
    noted.add(10, 1.2)  # again, or late: it was told
    data = noted.report(1, 2)
    assert data is not None
    [feedback], _ = split(data)
    assert [number for number, _ in feedback.arrivals] == [11, 12]


def test_chunks_of_one_bit_and_of_runs_are_read() -> None:
    head = struct.pack("!LLHHL", 1, 2, 7, 17, 10 << 8)
    chunks = struct.pack("!HH", 0x2003, 0x8000 | 1 << 13 | 1)  # 3 came; then 1, 12 lost, 1
    deltas = bytes([4, 4, 4, 4, 8])
    body = head + chunks + deltas
    body += bytes(-len(body) % 4)
    data = struct.pack("!BBH", 0x80 | 15, 205, len(body) // 4) + body
    [feedback], _ = split(data)
    came = [number for number, at in feedback.arrivals if at is not None]
    assert came == [7, 8, 9, 10, 23]
    assert feedback.arrivals[0][1] == 10 * 0.064 + 0.001


def test_other_messages_of_a_compound_are_left_alone() -> None:
    noted = Arrivals()
    noted.add(1, 1.0)
    data = noted.report(1, 2)
    assert data is not None
    reports, rest = split(NACK + data + NACK)
    assert len(reports) == 1 and rest == NACK + NACK


@given(st.binary(max_size=200))
def test_nonsense_is_survived(data: bytes) -> None:
    head = struct.pack("!BBH", 0x8F, 205, len(data) // 4)
    split(head + data)
    split(data)
