"""peer_connection → **ice** → aioice: which addresses and ports one connection may use.

aioice binds to every address but loopback and to any port, for the whole process. This subclass
decides both per connection, and bounds what strangers can make it keep.
"""

import asyncio
import ipaddress
import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import ifaddr
from aioice import Candidate, Connection, stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, server_reflexive_candidate

from streamer.errors import MediaError

RECEIVE_BUFFER = 1 << 20  # bytes; a keyframe comes in one burst
QUEUE_MAX = 4096  # datagrams waiting for the event loop
CANDIDATES_MAX = 64  # browsers have a handful; each is checked by sending to it
STUN_TIMEOUT_S = 3.0


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
        self._scope = scope
        self._own = own_addresses() if scope.loopback else frozenset()

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = 5,  # noqa: ASYNC109
    ) -> list[Candidate]:
        """Raises MediaError when all ports are taken."""
        if self._scope.loopback or not addresses:
            addresses = ["127.0.0.1", "::1"]
        hosts = [host for a in addresses if (host := await self._bind(component, a))]
        self._protocols += hosts
        reflexive, relayed = await asyncio.gather(
            self._reflexive(hosts), super().get_component_candidates(component, [], timeout)
        )
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
                    lambda: StunProtocol(self), local_addr=(address, port)
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
            asyncio.wait_for(server_reflexive_candidate(host, self.stun_server), STUN_TIMEOUT_S)
            for host in hosts
            if ":" not in host.local_candidate.host
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [answer[0] for answer in answers if isinstance(answer, tuple)]

    async def add_remote_candidate(self, remote_candidate: Candidate | None) -> None:
        """On loopback only addresses of this machine count; `.local` names need multicast."""
        if remote_candidate is not None and (
            len(self._remote_candidates) >= CANDIDATES_MAX
            or (self._scope.loopback and not self._here(remote_candidate.host))
        ):
            return
        await super().add_remote_candidate(remote_candidate)

    def request_received(
        self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol
    ) -> None:
        """A check from another machine could redirect media to it: ignore it on loopback."""
        if not self._scope.loopback or self._here(addr[0]):
            super().request_received(message, addr, protocol)

    def data_received(self, data: bytes, component: int) -> None:
        """Drop datagrams that arrive faster than they are read, as a socket would."""
        if self._queue.qsize() < QUEUE_MAX:
            super().data_received(data, component)

    def _here(self, host: str) -> bool:
        """Whether a host is this machine; browsers send from any of its addresses."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:  # a name
            return False
        return address.is_loopback or str(address) in self._own
