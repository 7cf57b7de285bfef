"""Ports that are open: found in processes, and tried from outside."""

import socket
from collections.abc import Iterator

import psutil
import pytest

from streamer.diagnostics import ports
from streamer.webrtc.ice import own_addresses


@pytest.fixture
def listeners(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """This process stands for Ray's: one port on loopback, one on all addresses."""
    monkeypatch.setattr(psutil.Process, "children", lambda self, recursive: [self])
    with socket.create_server(("127.0.0.1", 0)) as inner, socket.create_server(("", 0)) as outer:
        yield inner.getsockname()[1], outer.getsockname()[1]


def test_ports_on_loopback_are_no_ones_business(
    listeners: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, _ = listeners
    monkeypatch.setattr(ports, "listening", lambda processes: [(inner, "raylet")])
    found = ports.ray_ports(cluster=False)
    assert found.state == "ok" and f"{inner} raylet" in found.found


def test_ports_that_others_reach_are_a_failure(
    listeners: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, outer = listeners
    monkeypatch.setattr(ports, "own_addresses", lambda: frozenset({"127.0.0.1", "192.0.2.7"}))
    monkeypatch.setattr(ports, "answers", lambda *tried: tried == ("192.0.2.7", outer))
    found = ports.ray_ports(cluster=False)
    assert found.state == "fail" and str(outer) in found.found and str(inner) not in found.found
    monkeypatch.setattr(ports, "_of_a_cluster", lambda: [psutil.Process()])
    assert ports.ray_ports(cluster=True).state == "note", "a cluster's machines need each other"


def test_a_port_is_tried_and_not_looked_up(listeners: tuple[int, int]) -> None:
    inner, outer = listeners
    assert ports.answers("127.0.0.1", inner) and ports.answers("127.0.0.1", outer)
    others = [address for address in own_addresses() if not address.startswith(("127.", "::1"))]
    for address in (one for one in others if "." in one):
        assert ports.answers(address, outer) and not ports.answers(address, inner)
