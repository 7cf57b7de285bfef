"""Attacks of those that have a token, over WebRTC; see attacks.py."""

import asyncio
import contextlib
import itertools
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx

from bench.hostile import Target, attack, said, tally, until
from bench.hostile_files import SDP, send_offers
from tests.support.rtc_client import RtcClient

Send = Callable[[bytes], Awaitable[None]]


@contextlib.asynccontextmanager
async def connected(target: Target) -> AsyncIterator[tuple[RtcClient, str]]:
    """A publisher beside the ordinary one, and what its posting gave when that failed."""
    client = RtcClient(320, 180, 15)
    headers = SDP | {"Authorization": f"Bearer {target.tokens['publish']}"}
    async with httpx.AsyncClient(base_url=target.url, timeout=60, headers=headers) as http:
        answer = await http.post("/whip/evil", content=await client.offer())
        if answer.status_code != 201:
            yield client, said(answer)
        else:
            await client.accept(answer.text)
            yield client, ""
            await http.delete(answer.headers["Location"])
    await client.close()


@attack("P", "every packet of a publisher ten times over: SRTP replayed")
def _replay(target: Target, end: float) -> str:
    async def run() -> str:
        async with connected(target) as (client, refused):
            if refused:
                return refused
            ice = client.pc.getTransceivers()[0].receiver.transport.transport
            send, sent = ice._connection.send, itertools.count()

            async def send_often(data: bytes) -> None:
                for _ in range(10 if 127 < data[0] < 192 else 1):
                    next(sent)
                    await send(data)

            ice._send = send_often
            for _ in until(end):
                await asyncio.sleep(0.1)
            return f"{next(sent)} sent, {len(client.arrivals)} frames of its own came back"

    return asyncio.run(run())


@attack("P", "feedback of a publisher: PLI, FIR, NACK, REMB and TWCC, 3,000 a second")
def _feedback(target: Target, end: float) -> str:
    async def run() -> str:
        async with connected(target) as (client, refused):
            if refused:
                return refused
            transceiver = client.pc.getTransceivers()[0]
            transport = transceiver.receiver.transport
            ssrc = next(iter(transceiver.receiver.getSynchronizationSources()), None)
            media = ssrc.source if ssrc else 1
            kinds = feedback(media)
            sent = 0
            for _ in until(end):
                for number in range(30):
                    await transport._send_rtp(kinds[number % len(kinds)])
                    sent += 1
                await asyncio.sleep(0.01)
            return f"{sent} sent, {len(client.arrivals)} frames of its own came back"

    return asyncio.run(run())


def feedback(media: int) -> list[bytes]:
    """RTCP packets about the stream of this SSRC."""

    def packet(form: int, kind: int, body: bytes) -> bytes:
        return struct.pack("!BBHII", 0x80 | form, kind, 2 + len(body) // 4, 1, media) + body

    everything = b"".join(struct.pack("!HH", n * 17 & 0xFFFF, 0xFFFF) for n in range(300))
    status = struct.pack("!HHI", 0, 65535, 0) + struct.pack("!H", 0x7FFF) * 2
    return [
        packet(1, 206, b""),
        packet(4, 206, struct.pack("!II", media, 7 << 24)),
        packet(1, 205, everything),
        packet(15, 206, b"REMB" + struct.pack("!II", 1 << 24 | 1, media)),
        packet(15, 205, status),
    ]


@attack("P", "offers with 20,000 characters of header extensions and sources")
def _extensions(target: Target, end: float) -> str:
    lines = "".join(
        f"a=extmap:{n % 255 + 1} urn:x:{n}\r\na=ssrc:{n + 1} cname:{n}\r\n" for n in range(500)
    )
    return send_offers(target, end, lambda offer, n: offer + lines[: 10_000 + n % 2 * 10_000])


@attack("W", "viewers that come and go, 10 at a time, most of them silent")
def _viewers(target: Target, end: float) -> str:
    headers = SDP | {"Authorization": f"Bearer {target.tokens['watch']}"}

    async def come_and_go(http: httpx.AsyncClient, offer: str) -> str:
        answer = await http.post("/whep/beside", content=offer)
        if answer.status_code == 201:
            await http.delete(answer.headers["Location"])
        return said(answer)

    async def run() -> str:
        client = RtcClient(video="recvonly", channel=False)
        offer = await client.offer()
        answers: list[str] = []
        async with httpx.AsyncClient(base_url=target.url, timeout=60, headers=headers) as http:
            for _ in until(end):
                answers += await asyncio.gather(*(come_and_go(http, offer) for _ in range(10)))
        await client.close()
        return tally(answers)

    return asyncio.run(run())
