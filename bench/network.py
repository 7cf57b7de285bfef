"""What bad networks do to a live stream: Chromium through streamer, and through its peers.

    python -m bench.network                       every scenario, streamer, 20 seconds each
    python -m bench.network --short               the three that the tests take
    python -m bench.network rtt200 500k-down --with streamer,aiortc,chromium
    python -m bench.network --list

Needs root, iproute2, /dev/net/tun and Chromium. Two network namespaces are made and taken away
again; the server runs in one, headless Chromium with a camera of numbered frames in the other, and
bench/link.py carries the packets between them. `aiortc` is a bare echo, `chromium` a second
Chromium that sends back what it gets. A row: frames shown per second; freezes over a second and
the longest gap in ms; connections of the page; latency from camera to screen in ms, p50 and p95;
what is sent down and up in kbps; packets lost down; and, down/up, the retransmissions, requests
for them, keyframes asked for and keyframes; how much later sound is than its picture, in ms, and
how much of it had to be concealed.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from bench.lab import (
    ACCEPT,
    ECHO,
    HERE,
    LAB,
    OFFER,
    THERE,
    Lab,
    browser_in,
    missing,
    page_of,
    raw_aiortc,
    server,
)
from bench.link import Conditions

LIVE_S, SETTLE_S = 15, 4
M, K = 1e6, 1e3


@dataclass(frozen=True)
class Scenario:
    """What the network does, from the start on and at later seconds of the measurement."""

    up: Conditions
    down: Conditions
    later: tuple[tuple[float, Conditions], ...] = ()
    seconds: float = 20


def _both(**conditions: float) -> Scenario:
    same = Conditions(delay=20, **conditions)  # type: ignore[arg-type]
    return Scenario(same, same)


def _down(delay: float = 20, **conditions: float) -> Scenario:
    return Scenario(Conditions(delay=delay), Conditions(delay=delay, **conditions))  # type: ignore[arg-type]


def _far(**conditions: float) -> Scenario:
    same = Conditions(delay=100, **conditions)  # type: ignore[arg-type]
    return Scenario(same, same)


SCENARIOS = {
    "clean": Scenario(Conditions(), Conditions()),
    "rtt100": Scenario(Conditions(delay=50), Conditions(delay=50)),
    "loss5": _both(loss=0.05),
    "loss10": _both(loss=0.10),
    "loss10-down": _down(loss=0.10),
    "loss10-down-rtt200": _down(100, loss=0.10),
    "loss5-rtt200": _far(loss=0.05),
    "500k-down": _down(rate=500 * K),
    "1m-down": _down(rate=1 * M),
    "500k-up": Scenario(Conditions(delay=20, rate=500 * K), Conditions(delay=20)),
    "300k": _both(rate=300 * K),
    "500k": _both(rate=500 * K),
    "1m": _both(rate=1 * M),
    "step": replace(
        _both(rate=3 * M),
        later=(
            (4, Conditions(delay=20, rate=500 * K)),
            (16, Conditions(delay=20, rate=3 * M)),
        ),
        seconds=32,
    ),
    "burst30": _both(burst_every=4, burst_len=30),
    "gilbert": _both(bad=0.02, good=0.35),
    "jitter30": Scenario(Conditions(delay=50, jitter=30), Conditions(delay=50, jitter=30)),
    "outage": replace(
        _both(),
        later=((4, Conditions(delay=20, down=True)), (7, Conditions(delay=20))),
    ),
}
SHORT = ("500k-down", "loss5-rtt200", "loss10-down")


TOLD = "({camera: lab.camera, shown: lab.shown, log: lab.log, connections: lab.pcs.length})"


@dataclass
class Seen:
    """What one page saw while it was measured; times in Unix milliseconds."""

    began: float
    ended: float
    camera: list[tuple[float, int, int]]
    shown: list[tuple[float, int, int]]
    log: list[dict[str, Any]]
    connections: int
    down: dict[str, int] = field(default_factory=dict)
    up: dict[str, int] = field(default_factory=dict)

    def row(self) -> dict[str, object]:
        seconds = (self.ended - self.began) / 1000
        frames = [frame for frame in self.shown if self.began <= frame[0] < self.ended]
        times = [self.began, *(frame[0] for frame in frames), self.ended]
        gaps = [b - a for a, b in pairwise(times)]
        taken: dict[int, list[float]] = {}
        for at, number, _ in self.camera:
            taken.setdefault(number, []).append(at)
        latencies = sorted(
            at - max(before)
            for at, number, _ in frames
            if number > 0 and (before := [t for t in taken.get(number, []) if at - 4900 < t <= at])
        )

        def quantile(share: float) -> str:
            return f"{latencies[int(share * len(latencies))]:.0f}" if latencies else "-"

        def both(name: str, theirs: str = "") -> str:
            ours = self._grown("inbound-rtp-video", name)
            return f"{ours}/{self._grown('outbound-rtp-video', theirs or name)}"

        return {
            "fps": f"{len(frames) / seconds:.1f}",
            "frozen": sum(gap > 1000 for gap in gaps),
            "gap": f"{max(gaps):.0f}",
            "conns": self.connections,
            "p50": quantile(0.5),
            "p95": quantile(0.95),
            "down": f"{self.down.get('bytes', 0) * 8 / seconds / K:.0f}",
            "up": f"{self.up.get('bytes', 0) * 8 / seconds / K:.0f}",
            "lost": f"{self.down.get('lost', 0)}/{self.down.get('packets', 0)}",
            "resent": both("retransmittedPacketsReceived", "retransmittedPacketsSent"),
            "nacks": both("nackCount"),
            "plis": both("pliCount"),
            "keys": both("keyFramesDecoded", "keyFramesEncoded"),
            "lips": self._lips_ms(),
            "hidden": self._concealed(),
            "width": frames[-1][2] if frames else 0,
        }

    def _lips_ms(self) -> str:
        """How much later sound is played than the picture it belongs to, the median."""
        name = "estimatedPlayoutTimestamp"
        apart = sorted(
            audio - video
            for seen in self.log
            if self.began <= seen["at"] <= self.ended
            and (audio := seen.get("inbound-rtp-audio", {}).get(name))
            and (video := seen.get("inbound-rtp-video", {}).get(name))
        )
        return f"{-apart[len(apart) // 2]:.0f}" if apart else "-"

    def _concealed(self) -> str:
        """The share of sound that was made up for lack of packets."""
        samples = self._grown("inbound-rtp-audio", "totalSamplesReceived")
        made_up = self._grown("inbound-rtp-audio", "concealedSamples")
        return f"{100 * made_up / samples:.1f} %" if samples else "-"

    def _grown(self, report: str, name: str) -> int:
        """A counter's growth while measured, over all connections."""
        total = 0
        for connection in {seen["connection"] for seen in self.log}:
            values = [
                seen[report].get(name, 0)
                for seen in self.log
                if seen["connection"] == connection
                and report in seen
                and self.began <= seen["at"] <= self.ended
            ]
            total += values[-1] - values[0] if values else 0
        return total


def measure(lab: Lab, page: Page, scenario: Scenario, seconds: float | None) -> Seen:
    """Watch a page that is live, or on its way there."""
    with contextlib.suppress(Exception):
        page.wait_for_function("lab.shown.length > 0", timeout=LIVE_S * 1000)
    page.wait_for_timeout(SETTLE_S * 1000)
    lab.counts()
    began, wall = time.monotonic(), time.time() * 1000
    later = list(scenario.later)
    length = min(seconds or scenario.seconds, 1e9) if not later else scenario.seconds
    while (passed := time.monotonic() - began) < length:
        if later and passed >= later[0][0]:
            conditions = later.pop(0)[1]
            lab.set(conditions, conditions)
        page.wait_for_timeout(100)
    counts = lab.counts()
    ended = time.time() * 1000
    told = page.evaluate(TOLD)
    return Seen(wall, ended, **told, down=counts["down"], up=counts["up"])


def through_streamer(
    lab: Lab, browser: Browser, scenario: Scenario, seconds: float | None, url: str
) -> Seen:
    lab.set(Conditions(), Conditions())
    with page_of(browser, url) as page:
        lab.set(scenario.up, scenario.down)
        page.get_by_role("button", name="Start camera").first.click()
        seen = measure(lab, page, scenario, seconds)
        lab.set(Conditions(), Conditions())
        return seen


def through_peer(
    lab: Lab,
    browser: Browser,
    scenario: Scenario,
    seconds: float | None,
    answer: Callable[[str], str],
) -> Seen:
    lab.set(Conditions(), Conditions())
    with page_of(browser, LAB) as page:
        sdp = answer(page.evaluate(OFFER))
        lab.set(scenario.up, scenario.down)
        page.evaluate(ACCEPT, sdp)
        seen = measure(lab, page, scenario, seconds)
        lab.set(Conditions(), Conditions())
        return seen


def slow_viewer(
    lab: Lab, far: Browser, near: Browser, scenario: Scenario, url: str
) -> dict[str, Seen]:
    """One viewer behind the bad link, another beside the server; the camera is there too."""
    watch = url.replace("/?", "/watch/page?")
    lab.set(Conditions(), Conditions())
    with page_of(near, url) as camera:
        camera.get_by_role("button", name="Start camera").first.click()
        camera.wait_for_function("lab.shown.length > 0", timeout=2 * LIVE_S * 1000)
        with page_of(near, watch) as good, page_of(far, watch) as slow:
            lab.set(scenario.up, scenario.down)
            seen = measure(lab, slow, scenario, None)
            taken = camera.evaluate("lab.camera")
            told = good.evaluate(TOLD)
            lab.set(Conditions(), Conditions())
    seen.camera = taken
    return {"slow": seen, "good": Seen(seen.began, seen.ended, **{**told, "camera": taken})}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS])
    parser.add_argument("--with", dest="ways", default="streamer", help="streamer,aiortc,chromium")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--viewer", action="store_true", help="the link is a viewer's alone")
    parser.add_argument("--list", action="store_true", help="print the names of all scenarios")
    asked = parser.parse_args()
    if asked.list:
        print(*SCENARIOS, sep="\n")
        return
    if reason := missing():
        sys.exit(reason)
    names = asked.scenario or (SHORT if asked.short else list(SCENARIOS))
    ways = ["viewer"] if asked.viewer else asked.ways.split(",")
    for way in ways:
        for name, seen in series(way, names, asked.seconds):
            row = seen.row()
            if name == names[0] or name.endswith("slow"):
                print(f"{'':28}" + "".join(f"{key:>11}" for key in row))
            print(f"{way:<9}{name:<19}" + "".join(f"{value!s:>11}" for value in row.values()))
            sys.stdout.flush()


def series(
    way: str, names: Sequence[str], seconds: float | None = None
) -> Iterator[tuple[str, Seen]]:
    """Measure scenarios one after the other: through `way`, in a lab of its own."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        playwright = stack.enter_context(sync_playwright())
        lab = stack.enter_context(Lab())
        if way in ("streamer", "viewer"):
            if way == "viewer":
                far = stack.enter_context(browser_in(playwright, THERE[0], folder))
        elif way == "aiortc":
            answer = stack.enter_context(raw_aiortc())
        elif way == "chromium":
            far = stack.enter_context(browser_in(playwright, THERE[0], folder))
            page = stack.enter_context(page_of(far, LAB))
            answer = partial(page.evaluate, ECHO)
        else:
            raise ValueError(f"{way}: not one of streamer, aiortc, chromium, viewer")
        browser = stack.enter_context(browser_in(playwright, HERE[0], folder))
        for name in names:
            scenario = SCENARIOS[name]
            if way == "streamer":
                with server() as url:  # a new one, which remembers no rate
                    yield name, through_streamer(lab, browser, scenario, seconds, url)
            elif way == "viewer":
                with server() as url:
                    both = slow_viewer(lab, browser, far, scenario, url)
                yield from ((f"{name} {who}", seen) for who, seen in both.items())
            else:
                yield name, through_peer(lab, browser, scenario, seconds, answer)


if __name__ == "__main__":
    main()
