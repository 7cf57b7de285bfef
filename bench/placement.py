"""The front door's placement at a size that no test machine has: a simulation.

    python -m bench.placement                      10,000 streams on 500 nodes
    python -m bench.placement --streams 2000 --nodes 100

Streams come one after the other, each of its own cost; nodes have 4 to 16 cores and report every
half second, so that what the front door knows is old. It is `streamer.live.placing.choose` that
places them. Prints how long a decision takes, how evenly the nodes are filled (against chance and
against turns), and what a node that is lost costs the others.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streamer.live.placing import Load, choose

REPORT_S = 0.5
CORES = (4.0, 8.0, 16.0)


@dataclass
class Node:
    room: float
    costs: list[float] = field(default_factory=list)
    reported: Load = field(default_factory=lambda: Load(True))
    since: int = 0

    @property
    def used(self) -> float:
        return sum(self.costs)

    @property
    def load(self) -> Load:
        known = self.reported
        return Load(known.up, known.cpu, known.streams, self.since, self.room)

    def report(self, noise: random.Random) -> None:
        cpu = self.used * noise.uniform(0.9, 1.1)
        self.reported, self.since = Load(self.reported.up, cpu, len(self.costs)), 0

    def take(self, cost: float) -> None:
        self.costs.append(cost)
        self.since += 1


Chooser = Callable[[Sequence[Load]], int | None]


def place(
    nodes: list[Node], costs: list[float], rate: float, chooser: Chooser, seed: int
) -> list[float]:
    """Place every stream; seconds that each decision took."""
    noise, took, due = random.Random(seed), list[float](), 0.0
    for number, cost in enumerate(costs):
        if number / rate >= due:
            for node in nodes:
                node.report(noise)
            due += REPORT_S
        loads = [node.load for node in nodes]
        began = time.perf_counter()
        index = chooser(loads)
        took.append(time.perf_counter() - began)
        assert index is not None
        nodes[index].take(cost)
    return took


def fullness(nodes: list[Node]) -> str:
    """How much of their cores the nodes use."""
    shares = [node.used / node.room for node in nodes if node.reported.up]
    mean = statistics.mean(shares)
    return f"mean {mean:.2f}, fullest {max(shares):.2f} ({max(shares) / mean:.2f} times the mean)"


def turns() -> Chooser:
    """One after the other."""
    count = 0

    def choose_next(loads: Sequence[Load]) -> int:
        nonlocal count
        while not loads[count % len(loads)].up:
            count += 1
        count += 1
        return (count - 1) % len(loads)

    return choose_next


def by_chance(seed: int) -> Chooser:
    noise = random.Random(seed)
    return lambda loads: noise.choice([i for i, load in enumerate(loads) if load.up])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--rate", type=float, default=200.0, help="New streams a second.")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    rooms = [chance.choice(CORES) for _ in range(options.nodes)]
    costs = [min(chance.lognormvariate(-1.9, 0.5), 1.0) for _ in range(options.streams)]
    ways: dict[str, Chooser] = {
        "choose": choose, "turns": turns(), "chance": by_chance(options.seed)
    }  # fmt: skip
    for name, chooser in ways.items():
        nodes = [Node(room) for room in rooms]
        took = sorted(place(nodes, costs, options.rate, chooser, options.seed))
        ms = [1000 * took[int(len(took) * share)] for share in (0.5, 0.99)]
        print(f"{name:7} decision p50 {ms[0]:.2f} ms, p99 {ms[1]:.2f} ms; {fullness(nodes)}")
        if chooser is choose:
            lose(nodes, options)


def lose(nodes: list[Node], options: argparse.Namespace) -> None:
    """The fullest node dies, and its streams come back all at once."""
    lost = max(nodes, key=lambda node: node.used)
    costs, lost.costs, lost.reported = lost.costs, [], Load(up=False)
    before = [len(node.costs) for node in nodes]
    took = place_again(nodes, costs)
    most = max(len(node.costs) - n for node, n in zip(nodes, before, strict=True))
    print(
        f"        a node lost: {len(costs)} of {options.streams} streams placed again in "
        f"{1000 * took:.0f} ms, at most {most} on one node; {fullness(nodes)}"
    )


def place_again(nodes: list[Node], costs: list[float]) -> float:
    """Without any report between; seconds that all decisions took."""
    began = time.perf_counter()
    for cost in costs:
        index = choose([node.load for node in nodes])
        assert index is not None
        nodes[index].take(cost)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
