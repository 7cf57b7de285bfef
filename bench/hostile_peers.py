"""Attacks of those that have a token, by offers, messages and packets; see attacks.py."""

import asyncio
import contextlib
import itertools
import json
import re
import struct
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import numpy as np

from bench.hostile import Target, attack, said, tally, until
from tests.support.rtc_client import RtcClient

SDP = {"Content-Type": "application/sdp"}


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
            transport = client.pc.getTransceivers()[0].receiver.transport
            media = re.search(r"a=ssrc:(\d+)", client.pc.remoteDescription.sdp)
            assert media is not None
            kinds = feedback(int(media[1]))
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


# --- offers ------------------------------------------------------------------------------------


def send_offers(target: Target, end: float, change: Callable[[str, int], str]) -> str:
    async def send() -> str:
        client = RtcClient(64, 48)
        offer = await client.offer()
        headers = SDP | {"Authorization": f"Bearer {target.tokens['publish']}"}
        answers = []
        async with httpx.AsyncClient(base_url=target.url, timeout=60, headers=headers) as http:
            for number in until(end):
                answer = await http.post("/whip/evil", content=change(offer, number))
                answers.append(said(answer)[:70])
                if answer.status_code == 201:
                    await http.delete(answer.headers["Location"])
        await client.close()
        return tally(answers)

    return asyncio.run(send())


@attack("P", "offers of 65,000 characters of codecs and feedback (11)")
def _long_offers(target: Target, end: float) -> str:
    numbers = " ".join(str(96 + n % 32) for n in range(400))
    lines = "".join(
        f"a=rtpmap:{96 + n % 32} VP8/90000\r\na=rtcp-fb:* nack x{n}\r\n" for n in range(1200)
    )
    return send_offers(
        target,
        end,
        lambda offer, n: (
            offer.replace("UDP/TLS/RTP/SAVPF", f"UDP/TLS/RTP/SAVPF {numbers}")
            + lines[: 60_000 - len(offer)]
        ),
    )


@attack("P", "offers that contradict themselves (23)")
def _contradictions(target: Target, end: float) -> str:
    def change(offer: str, number: int) -> str:
        lines = offer.splitlines(keepends=True)
        rng = np.random.default_rng(number)
        for _ in range(rng.integers(1, 6)):
            at, to = rng.integers(0, len(lines), 2)
            match rng.integers(0, 3):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(to, lines[at])
                case _:
                    lines[at], lines[to] = lines[to], lines[at]
        return "".join(lines)

    return send_offers(target, end, change)


@attack("P", "offers with a fragment of 9,000 characters and candidates for anywhere (17)")
def _anywhere(target: Target, end: float) -> str:
    places = (
        "255.255.255.255",
        "224.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "::",
        "ff02::1",
        "a.local",
    )

    def change(offer: str, number: int) -> str:
        lines = "".join(
            f"a=candidate:1 1 udp 1 {places[n % 7]} {1 + n} typ host\r\n" for n in range(64)
        )
        return offer.replace("a=ice-ufrag:", "a=ice-ufrag:" + "x" * 9000 * (number % 2)) + lines

    return send_offers(target, end, change)


@attack("P", "control messages: nested, huge, 5,000 a second")
def _control(target: Target, end: float) -> str:
    messages = ["[" * 2000, '{"a":' * 600, "9" * 4000, json.dumps({"id": 1, "set": {"style": "x" * 3000}}),
                '{"id": 1, "set": {"height_px": 1e400}}', '{"set": []}', "\ud7ff", ""]  # fmt: skip

    async def send() -> str:
        client = RtcClient(64, 48, 5)
        headers = SDP | {"Authorization": f"Bearer {target.tokens['publish']}"}
        async with httpx.AsyncClient(base_url=target.url, timeout=60, headers=headers) as http:
            answer = await http.post("/whip/evil", content=await client.offer())
            if answer.status_code != 201:
                return said(answer)
            await client.accept(answer.text)
            while client.channel is None or client.channel.readyState != "open":
                await asyncio.sleep(0.05)
            for number in until(end):
                if client.channel.bufferedAmount < 1_000_000:
                    client.send_message(messages[number % len(messages)])
                await asyncio.sleep(0.0002)
            came = len(client.arrivals)
            await http.delete(answer.headers["Location"])
        await client.close()
        return f"{came} frames of its own came back"

    return asyncio.run(send())


def bodies() -> Iterator[bytes]:
    yield b'{"style": ' + b"[" * 100_000
    yield b'{"strength": ' + b"9" * 5000 + b"}"
    yield b'{"strength": NaN, "height_px": -1, "smooth": 1e999}'
    yield b'{"style": {"none": -1, "mosaic": 1e308}}'
    yield b"\xff\xfe{}"
    yield b'{"style": "' + b"a:1," * 5000 + b'"}'


@attack("P", "changes of a stream: nested, NaN, huge numbers, 5,000 styles")
def _changes(target: Target, end: float) -> str:
    kind = {"Content-Type": "application/json"}
    with target.http("publish") as http:
        return tally(
            said(http.patch("/streams/beside", content=body, headers=kind))[:60]
            for _ in until(end)
            for body in bodies()
        )
