"""Where media may flow. Real sockets of this machine, nothing beyond it."""

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import AsyncIterator

import ifaddr
import pytest
from aioice import Candidate, Connection, stun
from aioice.ice import StunProtocol
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import MediaError
from streamer.webrtc.ice import (
    CANDIDATES_MAX,
    QUEUE_MAX,
    UNPROVEN_CHECKS_MAX,
    IceConnection,
    IceScope,
    is_unicast,
    own_addresses,
)

LOOPBACK = IceScope(loopback=True)


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


async def test_on_loopback_the_other_addresses_of_this_machine_are_offered_too() -> None:
    """Firefox and libnice have no loopback candidates, and cannot reach ours."""
    ice = connection(IceScope(loopback=True))
    await ice.gather_candidates()
    hosts = {candidate.host for candidate in ice.local_candidates}
    reachable = {a for a in own_addresses() if not ipaddress.ip_address(a).is_link_local}
    assert "127.0.0.1" in hosts and hosts <= own_addresses()
    assert reachable <= hosts
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
    own = sorted(a for a in own_addresses() if not ipaddress.ip_address(a).is_link_local)
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
    await ice.close()


@contextlib.asynccontextmanager
async def bound(scope: IceScope = LOOPBACK) -> AsyncIterator[tuple[IceConnection, StunProtocol]]:
    """A connection and its socket at 127.0.0.1."""
    ice = connection(scope)
    await ice.gather_candidates()
    [protocol] = [p for p in ice._protocols if p.local_candidate.host == "127.0.0.1"]
    yield ice, protocol
    await ice.close()


def check(ice: IceConnection, password: str | None = None, **attributes: object) -> bytes:
    """A connectivity check as the other side sends it (RFC 8445, 7.2.2)."""
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes |= {"USERNAME": f"{ice.local_username}:them", "PRIORITY": 1, **attributes}
    message.add_message_integrity((password or ice.local_password).encode())
    return bytes(message)


RTP = b"\x80\x60" + bytes(50)
ALERT = b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28"  # DTLS, in plaintext
STUN = b"\x00\x01\x00\x04\x21\x12\xa4\x42" + bytes(12)  # then 4 bytes of attributes


@pytest.mark.parametrize(
    ("datagram", "refusal"),
    [
        (b"", "size"),
        (b"\x80", "size"),
        (b"\x80" * 1501, "size"),
        (b"\x16" * 60_000, "size"),
        (STUN + b"\x00\x24\x00\x02", "stun"),  # a number cut short
        (STUN + b"\x80\x28\x00\x00", "stun"),
        (STUN + b"\x00\x09\x00\x00", "stun"),
        (STUN[:3] + b"\x00" + STUN[4:], "stun"),  # without any attribute
        (b"\x01\x01" + STUN[2:] + bytes(4), "stun"),  # an answer nobody waits for
        (RTP, "unchecked"),
        (ALERT, "unchecked"),
        (b"\x50" * 100, "unchecked"),
    ],
)
async def test_a_stranger_s_datagram_is_dropped_and_counted(datagram: bytes, refusal: str) -> None:
    async with bound() as (ice, protocol):
        protocol.datagram_received(datagram, ("127.0.0.1", 40_000))
        assert dict(ice.refused) == {refusal: 1}
        assert ice._queue.empty()


@given(datagram=st.binary(max_size=200), looks_like_stun=st.booleans())
@settings(max_examples=300)
def test_no_datagram_raises(datagram: bytes, looks_like_stun: bool) -> None:
    async def receive() -> None:
        async with bound() as (ice, protocol):
            data = STUN[:2] + len(datagram).to_bytes(2) + STUN[4:] + datagram
            protocol.datagram_received(data if looks_like_stun else datagram, ("127.0.0.1", 9))
            assert ice.refused.total() == 1

    asyncio.run(receive())


async def test_an_authenticated_check_opens_the_way_for_its_address_only() -> None:
    them = ("127.0.0.1", 40_000)
    async with bound() as (ice, protocol):
        protocol.datagram_received(check(ice, "x" * 22), them)
        protocol.datagram_received(RTP, them)
        assert (ice.refused["stun"], ice.refused["unchecked"]) == (1, 1)
        protocol.datagram_received(check(ice), them)
        for _ in range(QUEUE_MAX + 7):
            protocol.datagram_received(RTP, them)
        protocol.datagram_received(RTP, ("127.0.0.1", 40_001))
        assert (ice.refused["flood"], ice.refused["unchecked"]) == (7, 2)
        assert ice._queue.qsize() == QUEUE_MAX
        protocol.datagram_received(b"", them)
        assert ice.refused["size"] == 1


async def test_on_loopback_nothing_from_another_machine_is_read() -> None:
    async with bound() as (ice, protocol):
        protocol.datagram_received(check(ice), ("198.51.100.7", 40_000))
        assert (dict(ice.refused), ice.proven) == ({"foreign": 1}, set())


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("0.0.0.0", 9),
        ("255.255.255.255", 9),
        ("224.0.0.251", 5353),
        ("ff02::1", 9),
        ("::ffff:224.0.0.1", 9),
        ("169.254.169.254", 80),
        ("fe80::1", 9),
        ("0.1.2.3", 9),
        ("100.100.100.200", 80),
        ("fd00:ec2::254", 80),
        ("::ffff:169.254.169.254", 80),
        ("::169.254.169.254", 80),
        ("::ffff:0:169.254.169.254", 80),
        ("64:ff9b::169.254.169.254", 80),
        ("64:ff9b::100.100.100.200", 80),
        ("64:ff9b:1::a9fe:a9fe", 80),
        ("2002:a9fe:a9fe::1", 80),
        ("2001:0:1:2:3:4:5601:5601", 80),  # Teredo, of 169.254.169.254
        ("198.51.100.7", 0),
        ("not an address", 9),
    ],
)
async def test_where_a_stranger_cannot_make_us_send(address: str, port: int) -> None:
    ice = connection(IceScope())
    await ice.add_remote_candidate(host(address, port))
    await ice.add_remote_candidate(host("198.51.100.7", 7))
    assert [(c.host, c.port) for c in ice.remote_candidates] == [("198.51.100.7", 7)]


@pytest.mark.parametrize(
    "address", ["::1", "127.0.0.1", "2001:db8::7", "64:ff9b::198.51.100.7", "2002:c633:6407::1"]
)
def test_where_a_stranger_may_make_us_send(address: str) -> None:
    assert is_unicast(address)


@pytest.mark.parametrize(
    ("answer", "taken"),
    [("198.51.100.7", True), ("169.254.169.254", False), ("224.0.0.251", False)],
)
async def test_an_address_that_mdns_tells_is_judged_like_any_other(
    answer: str, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answers:
        async def resolve(self, hostname: str) -> str:
            return answer

    async def answers(_: object) -> Answers:
        return Answers()

    monkeypatch.setattr("aioice.ice.get_or_create_mdns_protocol", answers)
    ice = connection(IceScope())
    await ice.add_remote_candidate(host("a2b4c6d8-0000-4000-8000-123456789abc.local", 80))
    await asyncio.gather(*ice._lookups)
    assert len(ice.remote_candidates) == taken


async def test_directed_broadcasts_are_not_sent_to() -> None:
    networks = [
        ipaddress.ip_network(f"{ip.ip}/{ip.network_prefix}", strict=False)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if isinstance(ip.ip, str)
    ]
    ice = connection(IceScope())
    for network in networks:
        if network.num_addresses > 2:
            await ice.add_remote_candidate(host(str(network.broadcast_address)))
    assert ice.remote_candidates == []


async def test_the_checks_of_a_stranger_s_candidates_are_few() -> None:
    ice = connection(IceScope())
    sent = stun.parse_message(check(ice))
    silent, there = ("198.51.100.7", 7), ("198.51.100.8", 8)
    ice.proven.add(there)
    assert [ice.may_send(sent, silent) for _ in range(100)].count(True) == UNPROVEN_CHECKS_MAX
    assert ice.may_send(sent, there)


async def test_candidates_that_end_without_a_usable_one_keep_ours() -> None:
    """A list of names of mDNS only, or of another network, as Firefox's and a VPN's."""
    for candidate in (host("a2b4c6d8-0000-4000-8000-123456789abc.local"), host("10.9.8.7")):
        ice = connection(LOOPBACK)
        await ice.add_remote_candidate(candidate)
        await ice.add_remote_candidate(None)
        await ice.gather_candidates()
        assert "127.0.0.1" in {candidate.host for candidate in ice.local_candidates}
        await ice.close()
