"""Where media may flow. Real sockets of this machine, nothing beyond it."""

import asyncio
import errno
import ipaddress
import socket

import pytest
from aioice import Candidate, Connection

from streamer.errors import MediaError
from streamer.webrtc.ice import CANDIDATES_MAX, QUEUE_MAX, IceConnection, IceScope, own_addresses


def connection(scope: IceScope, stun: tuple[str, int] | None = None) -> IceConnection:
    return IceConnection(Connection(ice_controlling=True, stun_server=stun), scope)


def host(address: str, port: int = 40_000) -> Candidate:
    return Candidate(
        foundation="1",
        component=1,
        transport="udp",
        priority=1,
        host=address,
        port=port,
        type="host",
    )


def free_ports(count: int) -> range:
    """Ports next to each other that nobody uses."""
    for first in range(42_000, 60_000, count):
        try:
            for port in range(first, first + count):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError as error:
            assert error.errno == errno.EADDRINUSE
            continue
        return range(first, first + count)
    raise AssertionError("no free ports")


async def test_on_loopback_only_loopback_is_gathered() -> None:
    ice = connection(IceScope(loopback=True))
    await ice.gather_candidates()
    hosts = {candidate.host for candidate in ice.local_candidates}
    assert "127.0.0.1" in hosts
    assert all(ipaddress.ip_address(host).is_loopback for host in hosts)
    await ice.close()


async def test_on_loopback_no_server_is_asked_and_no_name_looked_up() -> None:
    ice = connection(IceScope(loopback=True), stun=("198.51.100.1", 3478))
    assert ice.stun_server is None
    await ice.add_remote_candidate(host("a2b4c6d8-0000-4000-8000-123456789abc.local"))
    await ice.add_remote_candidate(host("198.51.100.7"))
    assert ice.remote_candidates == []


async def test_on_loopback_other_addresses_of_this_machine_are_welcome() -> None:
    """A browser's check may come from the address of its network card."""
    ice = connection(IceScope(loopback=True))
    own = sorted(own_addresses())
    for address in own:
        await ice.add_remote_candidate(host(address))
    assert [candidate.host for candidate in ice.remote_candidates] == own


async def test_beyond_loopback_the_usual_candidates() -> None:
    ice = connection(IceScope())
    await ice.gather_candidates()
    await ice.add_remote_candidate(host("198.51.100.7"))
    assert len(ice.remote_candidates) == 1
    outside = {a for a in own_addresses() if not ipaddress.ip_address(a).is_loopback}
    gathered = {candidate.host for candidate in ice.local_candidates}
    assert gathered <= (outside or {"127.0.0.1", "::1"}) and gathered
    await ice.close()


async def test_ports_come_from_the_range_until_there_are_none() -> None:
    ports = free_ports(2)
    held = [connection(IceScope(loopback=True, ports=ports)) for _ in range(2)]
    for ice in held:
        await ice.gather_candidates()
    used = [c.port for ice in held for c in ice.local_candidates if c.host == "127.0.0.1"]
    assert sorted(used) == list(ports)
    with pytest.raises(MediaError, match=f"{ports[0]} and {ports[-1]}"):
        await connection(IceScope(loopback=True, ports=ports)).gather_candidates()
    await held[0].close()
    again = connection(IceScope(loopback=True, ports=ports))
    await again.gather_candidates()
    for ice in (held[1], again):
        await ice.close()


async def test_a_stun_server_that_is_silent_does_not_hold_the_answer_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        ice = connection(IceScope(), stun=silent.getsockname())
        async with asyncio.timeout(4.5):
            await ice.gather_candidates()
        assert all(candidate.type == "host" for candidate in ice.local_candidates)
        await ice.close()


async def test_what_strangers_can_make_it_keep_is_bounded() -> None:
    ice = connection(IceScope())
    for i in range(3 * CANDIDATES_MAX):
        await ice.add_remote_candidate(host("127.0.0.1", 10_000 + i))
    assert len(ice.remote_candidates) == CANDIDATES_MAX
    for _ in range(2 * QUEUE_MAX):
        ice.data_received(b"\x80noise", 1)
    assert ice._queue.qsize() == QUEUE_MAX
