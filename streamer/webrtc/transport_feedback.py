"""Transport-wide feedback: which packets came, and when.

draft-holmer-rmcat-transport-wide-cc-extensions-01. A sender numbers its packets, whatever stream
they belong to; a receiver reports the arrival of each. aiortc carries the number in a header
extension, but takes the reports for malformed NACKs. Pure: `now` is monotonic seconds.
"""

import struct
from dataclasses import dataclass

URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
RTPFB, FORMAT = 205, 15  # RFC 4585, 6.2; the draft, 3.1
TICK_S = 0.00025
REFERENCE_S = 0.064
PACKETS_MAX = 2000  # in one report


@dataclass(frozen=True, slots=True)
class Feedback:
    """One report: the numbers (16 bits) it is about, each with its arrival in seconds or None.

    The arrival is by a clock of the reporter's, whose beginning is arbitrary.
    """

    arrivals: tuple[tuple[int, float | None], ...]


def split(data: bytes) -> tuple[list[Feedback], bytes]:
    """Take the transport-wide reports out of a compound RTCP packet; the rest as it was.

    Malformed data stays in the rest, for others to refuse.
    """
    found: list[Feedback] = []
    rest, position = b"", 0
    while position + 4 <= len(data):
        first, kind, length = struct.unpack_from("!BBH", data, position)
        end = position + 4 * (length + 1)
        message = data[position:end]
        if kind == RTPFB and first & 0x1F == FORMAT and end <= len(data):
            if (feedback := _parse(message[4:])) is not None:
                found.append(feedback)
        else:
            rest += message
        position = end
    return found, rest + data[position:]


def _parse(body: bytes) -> Feedback | None:
    try:
        base, count, reference = struct.unpack_from("!HHL", body, 8)
        statuses, position = _statuses(body, count)
        clock = (reference >> 8) * REFERENCE_S
        arrivals: list[tuple[int, float | None]] = []
        for index, status in enumerate(statuses):
            number = (base + index) & 0xFFFF
            if status == 1:
                clock += body[position] * TICK_S
                position += 1
            elif status == 2:
                clock += struct.unpack_from("!h", body, position)[0] * TICK_S
                position += 2
            arrivals.append((number, clock if status in (1, 2) else None))
    except (struct.error, IndexError):
        return None
    return Feedback(tuple(arrivals))


def _statuses(body: bytes, count: int) -> tuple[list[int], int]:
    """The status of each packet, and where the deltas begin (the draft, 3.1.1 to 3.1.4)."""
    if count > PACKETS_MAX:
        raise IndexError
    statuses: list[int] = []
    position = 16
    while len(statuses) < count:
        (chunk,) = struct.unpack_from("!H", body, position)
        position += 2
        if not chunk & 0x8000:
            statuses += [chunk >> 13 & 3] * (chunk & 0x1FFF)
        elif chunk & 0x4000:
            statuses += [chunk >> shift & 3 for shift in range(12, -1, -2)]
        else:
            statuses += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    return statuses[:count], position


class Arrivals:
    """Notes arrivals, and reports those since the last report."""

    def __init__(self) -> None:
        self._at: dict[int, float] = {}  # by number, unwrapped
        self._next: int | None = None  # the first one of the next report
        self._reports = 0

    def add(self, number: int, now: float) -> None:
        """A packet of this number (16 bits) has come."""
        if self._next is None:
            self._next = number
        index = self._next + (number - self._next + 0x8000) % 0x10000 - 0x8000
        if index - self._next > PACKETS_MAX:  # a jump: what is between was never sent
            self._at.clear()
            self._next = index
        self._at.setdefault(index, now)

    def report(self, ssrc: int, media_ssrc: int) -> bytes | None:
        """An RTCP packet; None when nothing has come."""
        # One older than the last report is reported no more: it was said to be lost.
        known = sorted(index for index in self._at if index >= (self._next or 0))
        if not known or self._next is None:
            self._at.clear()
            return None
        base, last = self._next, known[-1]
        reference = int(self._at[known[0]] / REFERENCE_S)
        clock, statuses, deltas = reference * REFERENCE_S, list[int](), b""
        for index in range(base, last + 1):
            if (at := self._at.get(index)) is None:
                statuses.append(0)
                continue
            ticks = round((at - clock) / TICK_S)
            clock += ticks * TICK_S
            if 0 <= ticks <= 0xFF:
                statuses.append(1)
                deltas += struct.pack("!B", ticks)
            else:
                statuses.append(2)
                deltas += struct.pack("!h", max(-0x8000, min(ticks, 0x7FFF)))
        self._next = last + 1
        self._at.clear()
        head = struct.pack(
            "!LLHHL", ssrc, media_ssrc, base & 0xFFFF, len(statuses),
            (reference & 0xFFFFFF) << 8 | self._reports & 0xFF,
        )  # fmt: skip
        self._reports += 1
        body = head + _chunks(statuses) + deltas
        padding = -len(body) % 4
        if padding:
            body += bytes(padding - 1) + bytes([padding])
        first = 0x80 | (0x20 if padding else 0) | FORMAT
        return struct.pack("!BBH", first, RTPFB, len(body) // 4) + body


def _chunks(statuses: list[int]) -> bytes:
    """Seven statuses of two bits each (the draft, 3.1.4)."""
    packed = b""
    for start in range(0, len(statuses), 7):
        seven = statuses[start : start + 7]
        packed += struct.pack(
            "!H", 0xC000 | sum(status << 12 - 2 * place for place, status in enumerate(seven))
        )
    return packed
