"""A bad network, for bench.network: packets between two namespaces, delayed, lost and queued.

    python -m bench.link NAMESPACE_A ADDRESS_A NAMESPACE_B ADDRESS_B

makes a TUN device in each namespace and carries packets between them (`up` is from A to B).
Commands come as lines of JSON on its input: `{"up": {...}, "down": {...}}` with the fields of
`Conditions`, answered by `{}`, and `{}`, answered by the counts since the last such question. In
user space, since not every kernel has netem.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
IPV4, TCP = 4, 6
PACKET_MAX = 65536
BURST_S = 0.15  # a burst of losses ends after that long, whatever it has lost by then


@dataclass(frozen=True, slots=True)
class Conditions:
    """One direction: times in milliseconds, rate in bits per second (0: no limit)."""

    delay: float = 0
    jitter: float = 0  # more or less than `delay`, evenly; packets overtake each other
    loss: float = 0  # share of packets
    rate: float = 0
    queue: float = 200  # of a limited rate; what does not fit is lost
    burst_every: float = 0  # seconds
    burst_len: int = 0  # packets lost in a row
    bad: float = 0  # chance that a bad spell begins (Gilbert), in which every packet is lost ...
    good: float = 1  # ... and that it ends
    down: bool = False  # nothing passes


@dataclass(slots=True)
class Direction:
    """What becomes of the packets of one direction. Pure: `now` is in seconds."""

    dice: random.Random
    conditions: Conditions = field(default_factory=Conditions)
    counts: Counter[str] = field(default_factory=Counter)
    _busy_until: float = 0
    _last_out: float = 0
    _is_bad: bool = False
    _burst_at: float = 0  # the next one
    _burst_end: float = 0
    _burst_left: int = 0

    def due(self, size: int, now: float) -> float | None:
        """When a packet of `size` bytes comes out; None: it is lost."""
        c = self.conditions
        self.counts["packets"] += 1
        self.counts["bytes"] += size
        if self._is_lost(now):
            self.counts["lost"] += 1
            return None
        at = now
        if c.rate:
            if (self._busy_until - now) * 1000 > c.queue:
                self.counts["lost"] += 1
                return None
            self._busy_until = max(self._busy_until, now) + size * 8 / c.rate
            at = self._busy_until
        at += max(0.0, c.delay + c.jitter * self.dice.uniform(-1, 1)) / 1000
        if not c.jitter:
            at = max(at, self._last_out)
        self._last_out = at
        return at

    def _is_lost(self, now: float) -> bool:
        c, dice = self.conditions, self.dice
        if c.down:
            return True
        if c.bad:
            self._is_bad = dice.random() >= c.good if self._is_bad else dice.random() < c.bad
        if c.burst_every:
            self._burst_at = self._burst_at or now + c.burst_every
            if now >= self._burst_at:
                self._burst_left, self._burst_end = c.burst_len, now + BURST_S
                self._burst_at = now + c.burst_every
            if self._burst_left and now < self._burst_end:
                self._burst_left -= 1
                return True
        return self._is_bad or dice.random() < c.loss


def run(ends: list[tuple[str, str]]) -> None:
    """Carry packets until the input ends."""
    devices = [_open(*end) for end in ends]
    directions = {"up": Direction(random.Random(1)), "down": Direction(random.Random(2))}
    ways = list(directions.values())
    waiting: list[tuple[float, int, int, bytes]] = []
    count, commands = 0, b""
    print("{}", flush=True)
    while True:
        wait_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for ready in select.select([*devices, 0], [], [], wait_s)[0]:
            if ready == 0:
                read = os.read(0, PACKET_MAX)
                if not read:
                    return
                *lines, commands = (commands + read).split(b"\n")
                for line in lines:
                    print(_command(json.loads(line), directions), flush=True)
                continue
            way = devices.index(ready)
            for packet in _read(ready):
                now = time.monotonic()
                # TCP, which carries the page and the signalling, is only delayed.
                if packet[9] == TCP:
                    at: float | None = now + ways[way].conditions.delay / 1000
                else:
                    at = ways[way].due(len(packet), now)
                if at is not None:
                    count += 1
                    heapq.heappush(waiting, (at, count, 1 - way, packet))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, to, packet = heapq.heappop(waiting)
            os.write(devices[to], packet)


def _command(asked: dict[str, dict[str, float]], directions: dict[str, Direction]) -> str:
    told: dict[str, dict[str, int]] = {}
    for name, way in directions.items():
        if asked:
            way.conditions = Conditions(**asked.get(name, {}))  # type: ignore[arg-type]
        else:
            told[name] = dict(way.counts)
            way.counts.clear()
    return json.dumps(told)


def _read(device: int) -> list[bytes]:
    packets: list[bytes] = []
    try:
        for _ in range(64):
            packets.append(os.read(device, PACKET_MAX))
    except BlockingIOError:
        pass
    return [packet for packet in packets if packet[0] >> 4 == IPV4]


def _open(namespace: str, address: str) -> int:
    """A TUN device inside `namespace`, which has `address` there."""
    device = "lab0"
    own, other = Path("/proc/self/ns/net"), Path("/var/run/netns", namespace)
    with own.open() as ours, other.open() as theirs:
        _enter(theirs.fileno())
        opened = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(opened, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
        for words in (
            "link set lo up",
            f"addr replace {address}/24 dev {device}",
            f"link set {device} up txqueuelen 2000",
            f"route replace default dev {device}",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        _enter(ours.fileno())
    return opened


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


if __name__ == "__main__":
    a, b = sys.argv[1:3], sys.argv[3:5]
    run([(a[0], a[1]), (b[0], b[1])])
