"""peer_connection → **ice** → aioice: which addresses and ports one connection may use.

aioice binds to every address but loopback and to any port, for the whole process, and hands every
datagram on. This subclass decides addresses and ports per connection, and judges each datagram
before aioice and aiortc see it: only who has passed a connectivity check may send DTLS or RTP.
"""

import asyncio
import ipaddress
import logging
import random
import socket
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast

import ifaddr
from aioice import Candidate, Connection, stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, relayed_candidate, server_reflexive_candidate

from streamer.errors import MediaError

log = logging.getLogger(__name__)

RECEIVE_BUFFER = 1 << 20  # bytes; a keyframe comes in one burst
QUEUE_MAX = 4096  # datagrams waiting for the event loop
DATAGRAM_MAX = 1500  # bytes; longer ones are neither RTP nor DTLS of this path
CANDIDATES_MAX = 16  # usable ones; browsers have a handful, each is checked by sending to it
UNPROVEN_CHECKS_MAX = 64  # requests to addresses that have proven nothing yet
PROVEN_MAX = 64  # addresses of the other side
CHECK_RETRIES = 3  # to such an address: 0.5, 1 and 2 s after the first
GATHER_TIMEOUT_S = 3.0  # for STUN and TURN servers

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_WITH_IPV4 = [  # in their last 32 bits
    ipaddress.ip_network("::/96"),  # IPv4-compatible
    ipaddress.ip_network("::ffff:0:0/96"),  # IPv4-mapped
    ipaddress.ip_network("::ffff:0:0:0/96"),  # IPv4-translated (RFC 2765)
    ipaddress.ip_network("64:ff9b::/96"),  # NAT64 (RFC 6052)
]
_REFUSED = [
    ipaddress.ip_network("0.0.0.0/8"),  # this network; Linux takes 0.0.0.0 for itself
    ipaddress.ip_network("64:ff9b:1::/48"),  # NAT64 of one's own (RFC 8215), IPv4 anywhere in it
    # Metadata services of clouds; those of most are link-local.
    ipaddress.ip_network("100.100.100.200/32"),  # Alibaba
    ipaddress.ip_network("168.63.129.16/32"),  # Azure
    ipaddress.ip_network("192.0.0.192/32"),  # Oracle
    ipaddress.ip_network("fd00:ec2::/32"),  # Amazon
    ipaddress.ip_network("fd20:ce::254/128"),  # Google
    ipaddress.ip_network("fd00:42::42/128"),  # Scaleway
]

Refusal = Literal["foreign", "size", "stun", "unchecked", "flood"]


@dataclass(frozen=True, slots=True)
class IceScope:
    """Where media may flow: `loopback`: this machine only; `ports`: local UDP ports."""

    loopback: bool = False
    ports: range | None = None


def own_addresses() -> frozenset[str]:
    """The addresses of this machine's interfaces, in canonical form."""
    ips = (ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    return frozenset(_canonical(ip if isinstance(ip, str) else ip[0]) for ip in ips)


def _canonical(address: str) -> str:
    return str(ipaddress.ip_address(address.partition("%")[0]))


def is_unicast(host: str) -> bool:
    """Whether a stranger may have us send to this address, or to the one of IPv4 within it.

    No broadcast, multicast, unspecified or reserved one, no link-local one, and no metadata
    service of a cloud.
    """
    address = _unwrapped(ipaddress.ip_address(host.partition("%")[0]))
    return not (
        address.is_multicast
        or address.is_unspecified
        or address.is_link_local
        or (address.version == 4 and address.is_reserved)
        or any(address in network for network in _REFUSED)
        or str(address) in _directed_broadcasts()
    )


def _unwrapped(address: _Address) -> _Address:
    """Where a packet goes once a socket, a translator or a tunnel has made IPv4 of it."""
    if isinstance(address, ipaddress.IPv4Address) or str(address) == "::1":
        return address
    if any(address in network for network in _WITH_IPV4):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.sixtofour or (address.teredo or (None, address))[1]


def _directed_broadcasts() -> frozenset[str]:
    networks = (
        ipaddress.ip_network(f"{ip.ip}/{ip.network_prefix}", strict=False)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if isinstance(ip.ip, str) and ip.network_prefix < 31
    )
    return frozenset(str(network.broadcast_address) for network in networks)


class _Protocol(StunProtocol):
    """A socket that judges every datagram first; `connection` counts those it refuses."""

    def __init__(self, connection: "IceConnection") -> None:
        super().__init__(connection)
        self._connection = connection

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        refusal = self._connection.judge(cast(bytes, data), (addr[0], addr[1]), self)
        if refusal is not None:
            self._connection.refused[refusal] += 1
            return
        self._connection.heard_at = time.monotonic()
        super().datagram_received(data, addr)

    async def request(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, tuple[str, int]]:
        if integrity_key is not None and addr not in self._connection.proven:
            retransmissions = CHECK_RETRIES
        answer = await super().request(request, addr, integrity_key, retransmissions)
        if integrity_key is not None:
            self._connection.proven.add(answer[1])
        return answer

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        if self._connection.may_send(message, addr):
            super().send_stun(message, addr)


class IceConnection(Connection):
    """aioice's Connection within an `IceScope`; credentials and servers are those of `like`."""

    def __init__(self, like: Connection, scope: IceScope) -> None:
        super().__init__(
            ice_controlling=like.ice_controlling,
            stun_server=None if scope.loopback else like.stun_server,
            turn_server=None if scope.loopback else like.turn_server,
            turn_username=like.turn_username,
            turn_password=like.turn_password,
            turn_ssl=like.turn_ssl,
            turn_transport=like.turn_transport,
            local_username=like.local_username,
            local_password=like.local_password,
        )
        self.refused: Counter[Refusal] = Counter()  # datagrams
        self.heard_at = time.monotonic()  # when the other side last sent anything
        self.received = 0  # datagrams that were taken
        self.proven: set[tuple[str, int]] = set()  # where an authenticated message came from
        self._scope = scope
        self._own = own_addresses() if scope.loopback else frozenset()
        self._unproven_checks = 0
        self._taken = 0  # candidates of the other side
        self._lookups: set[asyncio.Task[None]] = set()

    @property
    def waits(self) -> bool:
        """Whether a datagram can be taken."""
        return not (self._closed or self._queue.empty())

    async def recv(self) -> bytes:
        data = await super().recv()
        self.received += 1
        return data

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = 5,  # noqa: ASYNC109
    ) -> list[Candidate]:
        """Raises MediaError when all ports are taken.

        On loopback the machine's other addresses are offered too, since Firefox and libnice have
        no loopback candidates; packets are accepted from this machine only.
        """
        if self._scope.loopback or not addresses:
            addresses = ["127.0.0.1", "::1", *addresses]
        hosts = [host for a in addresses if (host := await self._bind(component, a))]
        self._protocols += hosts
        reflexive, relayed = await asyncio.gather(self._reflexive(hosts), self._relayed(component))
        candidates = [host.local_candidate for host in hosts] + reflexive + relayed
        if not candidates:
            ports = self._scope.ports
            where = f" between {ports[0]} and {ports[-1]}" if ports else ""
            raise MediaError(f"no free UDP port{where} for another WebRTC connection")
        return candidates

    async def _bind(self, component: int, address: str) -> StunProtocol | None:
        loop = asyncio.get_running_loop()
        for port in self._port_order():
            try:
                transport, protocol = await loop.create_datagram_endpoint(
                    lambda: _Protocol(self), local_addr=(address, port)
                )
            except OSError:  # taken, or no such family here
                continue
            options = transport.get_extra_info("socket")
            options.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            host, bound = transport.get_extra_info("sockname")[:2]
            protocol.local_candidate = Candidate(
                foundation=candidate_foundation("host", "udp", host),
                component=component,
                transport="udp",
                priority=candidate_priority(component, "host"),
                host=host,
                port=bound,
                type="host",
            )
            return protocol
        return None

    def _port_order(self) -> Iterable[int]:
        ports = self._scope.ports
        return random.sample(ports, len(ports)) if ports else (0,)

    async def _reflexive(self, hosts: list[StunProtocol]) -> list[Candidate]:
        """Our addresses as a STUN server sees them; none if it does not answer in time."""
        if self.stun_server is None:
            return []
        asked = [
            asyncio.wait_for(server_reflexive_candidate(host, self.stun_server), GATHER_TIMEOUT_S)
            for host in hosts
            if ":" not in host.local_candidate.host
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [answer[0] for answer in answers if isinstance(answer, tuple)]

    async def _relayed(self, component: int) -> list[Candidate]:
        """Our address at a TURN server; none if it does not answer in time or refuses."""
        if self.turn_server is None:
            return []
        asked = relayed_candidate(
            component=component,
            hide_related_address=False,
            protocol_factory=lambda: _Protocol(self),
            turn_server=self.turn_server,
            turn_username=self.turn_username,
            turn_password=self.turn_password,
            turn_ssl=self.turn_ssl,
            turn_transport=self.turn_transport,
        )
        [answer] = await asyncio.gather(
            asyncio.wait_for(asked, GATHER_TIMEOUT_S), return_exceptions=True
        )
        if not isinstance(answer, tuple):
            return []
        self._protocols.append(answer[1])
        return [answer[0]]

    async def add_remote_candidate(self, remote_candidate: Candidate | None) -> None:
        """Take a candidate that we may send to; a name of mDNS is looked up meanwhile.

        The end of candidates is not passed on: aioice would give up when none of them is usable,
        though the other side's own checks show where it is (peer-reflexive candidates).
        """
        if (
            remote_candidate is None
            or remote_candidate.component != 1
            or remote_candidate.transport.lower() != "udp"
            or self._taken >= CANDIDATES_MAX
        ):
            return
        is_name = remote_candidate.host.endswith(".local")
        # A name is looked up by multicast only, so never on loopback.
        host, port = remote_candidate.host, remote_candidate.port
        if self._scope.loopback if is_name else not self._may_check(host, port):
            return
        self._taken += 1
        if is_name:
            lookup = asyncio.create_task(self._look_up(remote_candidate))
            self._lookups.add(lookup)
            lookup.add_done_callback(self._lookups.discard)
        else:
            await super().add_remote_candidate(remote_candidate)

    async def _look_up(self, candidate: Candidate) -> None:
        try:
            await super().add_remote_candidate(candidate)
        except Exception as error:
            self._taken -= 1
            if not isinstance(error, OSError | ValueError):  # no multicast here, or not a name
                log.exception("x a candidate could not be looked up")

    def _add_remote_candidate(self, remote_candidate: Candidate, network_host: str) -> None:
        """aioice's, which gets the address that a name was answered with, by anybody, too."""
        if self._may_check(network_host, remote_candidate.port):
            super()._add_remote_candidate(remote_candidate, network_host)

    def _may_check(self, host: str, port: int) -> bool:
        try:
            is_allowed = is_unicast(host)
        except ValueError:  # a name
            return False
        on_this_machine = not self._scope.loopback or self._is_here(host)
        return is_allowed and on_this_machine and 0 < port < 1 << 16

    def judge(self, data: bytes, addr: tuple[str, int], protocol: StunProtocol) -> Refusal | None:
        """Why a datagram is dropped; None: it is for aioice. The first byte tells (RFC 7983)."""
        if self._scope.loopback and not self._is_here(addr[0]):
            return "foreign"
        if not 12 <= len(data) <= DATAGRAM_MAX:  # RTP has a header of 12 bytes, DTLS of 13
            return "size"
        if data[0] < 4:
            return None if self._is_fit(data, addr, protocol) else "stun"
        if addr not in self.proven or not (19 < data[0] < 64 or 127 < data[0] < 192):
            return "unchecked"
        return "flood" if self._queue.qsize() >= QUEUE_MAX else None

    def _is_fit(self, data: bytes, addr: tuple[str, int], protocol: StunProtocol) -> bool:
        """Whether it is a response we wait for, or an authenticated check (RFC 8445, 7.3)."""
        try:
            message = stun.parse_message(data)
        except Exception:  # whatever its parser raises: ValueError, IndexError, struct.error, ...
            return False
        if message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            return message.transaction_id in protocol.transactions
        is_check = (
            message.message_class == stun.Class.REQUEST
            and message.message_method == stun.Method.BINDING
            and {"USERNAME", "PRIORITY", "MESSAGE-INTEGRITY"} <= message.attributes.keys()
            and self._valid_username(message.attributes["USERNAME"])
            and message.check_message_integrity(self.local_password.encode())
        )
        if is_check and len(self.proven) < PROVEN_MAX:
            self.proven.add(addr)
        return is_check and addr in self.proven

    def may_send(self, message: stun.Message, addr: tuple[str, int]) -> bool:
        """Bounds what a stranger's candidates make us send; answers are always sent."""
        if message.message_class != stun.Class.REQUEST or addr in self.proven:
            return True
        if addr == self.stun_server or "USERNAME" not in message.attributes:
            return True  # not a check: to a server of ours
        self._unproven_checks += 1
        return self._unproven_checks <= UNPROVEN_CHECKS_MAX

    async def close(self) -> None:
        for lookup in self._lookups:
            lookup.cancel()
        await super().close()

    def _is_here(self, host: str) -> bool:
        """Whether a host is this machine; browsers send from any of its addresses."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:  # a name
            return False
        return address.is_loopback or str(address) in self._own
