"""The peer against a real aiortc client on loopback: pictures, sound, messages, and its end."""

import asyncio
import gc
import itertools
import random
import re
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from statistics import median
from typing import Any

import psutil
import pytest
from aiortc import RTCSessionDescription
from aiortc.rtcsctptransport import SCTP_DATA_UNORDERED, DataChunk
from aiortc.rtp import RtcpRtpfbPacket, RtpPacket

from streamer.errors import MediaError, UsageError
from streamer.frame import VIDEO_TIME_BASE, Frame
from streamer.webrtc.bandwidth import Uplink
from streamer.webrtc.codecs import Decoder, Encoder
from streamer.webrtc.congestion import Bitrate
from streamer.webrtc.ice import IceConnection, own_addresses
from streamer.webrtc.ice_server import IceServer
from streamer.webrtc.jitter_buffer import EncodedFrame
from streamer.webrtc.options import PeerOptions
from streamer.webrtc.peer import Peer
from streamer.webrtc.peer_connection import PeerConnection
from streamer.webrtc.receiver import VideoReceiver
from streamer.webrtc.sender import MEDIA_SHARE
from tests.support.clips import number_frame
from tests.support.rtc_client import RtcClient
from tests.support.waiting import eventually

LOOPBACK = PeerOptions(loopback=True)


def ignore(text: str) -> None:
    """A message nobody is waiting for."""


async def echo(peer: Peer) -> None:
    while await peer.source.ready():
        await peer.sink.send(peer.source.take())


@asynccontextmanager
async def connected(
    client: RtcClient,
    options: PeerOptions = LOOPBACK,
    *,
    candidates: bool = True,
    echoes: bool = True,
) -> AsyncIterator[Peer]:
    """A client and a peer of ours that sends back what it gets."""
    received: list[str] = []
    peer = await Peer.answer(await client.offer(candidates), options, on_message=received.append)
    task = asyncio.create_task(echo(peer)) if echoes else None
    try:
        await client.accept(peer.answer_sdp)
        yield peer
    finally:
        await peer.close()
        await client.close()
        if task:
            await task


@pytest.mark.parametrize("prefer", ["VP8", "H264"])
@pytest.mark.parametrize("marker", [True, False])
async def test_frames_come_back_in_order(prefer: str, marker: bool) -> None:
    client = RtcClient(marker=marker)
    async with connected(client, replace(LOOPBACK, prefer=prefer)) as peer:
        await eventually(lambda: len(client.arrivals) >= 45)
        numbers = client.numbers()
        assert numbers == sorted(set(numbers))
        assert len(numbers) >= 0.9 * len(client.arrivals)
        stats = peer.stats()
        assert (stats.codec, stats.state) == (prefer, "connected")
        assert stats.remote and stats.frames_in >= 45 and stats.decode_errors == 0
        assert stats.keyframes_out <= 3


async def test_a_frame_is_taken_when_its_last_packet_has_come() -> None:
    """Not when the next frame begins, which at 10 fps would be 100 ms later."""
    client = RtcClient(fps=10)
    async with connected(client) as peer:
        await eventually(lambda: len(client.numbers()) >= 30)
        assert median(client.latencies_s()[5:]) < 0.08
        assert peer.stats().frames_in >= 29


async def test_a_frame_knows_when_it_arrived() -> None:
    client = RtcClient(fps=15)
    async with connected(client, echoes=False) as peer:
        for _ in range(10):
            assert await peer.source.ready()
            frame = peer.source.take()
            assert 0 <= time.monotonic() - frame.captured_at < 0.5
        pts_s = [frame.pts_s]
        await peer.source.ready()
        pts_s.append(peer.source.take().pts_s)
        assert pts_s[1] > pts_s[0]


@pytest.mark.parametrize("prefer", ["VP8", "H264"])
async def test_the_size_may_change_and_be_odd(prefer: str) -> None:
    client = RtcClient(320, 180)
    async with connected(client, replace(LOOPBACK, prefer=prefer)) as peer:
        sizes = (
            [(320, 180), (180, 320), (321, 181)] if prefer == "VP8" else [(320, 180), (180, 320)]
        )
        for size in sizes:
            client.track.size = size
            await eventually(lambda: _size(client) == size)  # noqa: B023
        assert peer.stats().decode_errors == 0
        numbers = client.numbers()
        assert numbers == sorted(set(numbers))


def _size(client: RtcClient) -> tuple[int, int] | None:
    """Of the newest picture that came back."""
    return (client.arrivals[-1].width, client.arrivals[-1].height) if client.arrivals else None


async def test_the_picture_returned_has_the_size_given_to_the_sink() -> None:
    client = RtcClient(320, 180)
    async with connected(client, echoes=False) as peer:
        for n in range(200):
            size = (480, 270) if n < 10 else (160, 90)
            frame = Frame(number_frame(n, *size), n * 3000, VIDEO_TIME_BASE, time.monotonic())
            await peer.sink.send(frame)
            await asyncio.sleep(0.02)
            if _size(client) == (160, 90):
                break
        assert _size(client) == (160, 90)


async def test_who_takes_no_frames_gets_the_newest_one_later() -> None:
    client = RtcClient()
    async with connected(client, echoes=False) as peer:
        await eventually(lambda: peer.stats().frames_in >= 40)
        assert await peer.source.ready()
        frame = peer.source.take()
        assert time.monotonic() - frame.captured_at < 0.3
        stats = peer.stats()
        assert stats.dropped_intake >= stats.frames_in - 2


async def test_an_encoder_that_is_overtaken_costs_frames_not_time() -> None:
    client = RtcClient()
    async with connected(client, echoes=False) as peer:
        big = number_frame(1, 1280, 720)
        began = time.monotonic()
        for n in range(200):
            await peer.sink.send(Frame(big, n * 90, VIDEO_TIME_BASE, time.monotonic()))
        assert time.monotonic() - began < 0.1
        await eventually(lambda: peer.stats().frames_out >= 1)
        assert peer.stats().dropped_encoder >= 150


@pytest.mark.parametrize("prefer", ["VP8", "H264"])
async def test_some_loss_costs_few_frames(prefer: str) -> None:
    client, chance = RtcClient(), random.Random(7)
    async with connected(client, replace(LOOPBACK, prefer=prefer)) as peer:
        await eventually(lambda: len(client.arrivals) >= 5)
        client.lose(lambda: chance.random() < 0.03)
        await asyncio.sleep(4)
        numbers = client.numbers()
        assert numbers == sorted(set(numbers))
        assert len(numbers) > 60  # of 120
        assert peer.stats().frames_in > 60


async def test_after_an_interruption_the_picture_comes_back() -> None:
    client, cut = RtcClient(), False
    async with connected(client) as peer:
        client.lose(lambda: cut)
        await eventually(lambda: len(client.arrivals) >= 10)
        cut = True
        await asyncio.sleep(1)
        cut = False
        await eventually(lambda: client.numbers()[-1] > 45, 4)
        numbers = client.numbers()
        assert numbers == sorted(set(numbers)), "what was lost and came again is in its place"
        assert peer.stats().decode_errors == 0


async def test_a_message_without_an_end_is_not_kept() -> None:
    client = RtcClient()
    async with connected(client) as peer:
        await eventually(lambda: client.channel is not None and client.channel.readyState == "open")
        sctp = peer._pc.sctp
        assert sctp is not None
        for i in range(3000):  # from somebody who does not care about windows
            chunk = DataChunk(flags=SCTP_DATA_UNORDERED)
            chunk.tsn = (sctp._last_received_tsn or 0) + 2 + i
            chunk.user_data = b"x" * 1000
            await sctp._receive_data_chunk(chunk)
        kept = [c for stream in sctp._inbound_streams.values() for c in stream.reassembly]
        assert 100_000 < sum(len(chunk.user_data) for chunk in kept) < 400_000
        before = len(client.arrivals)
        await eventually(lambda: len(client.arrivals) > before + 5)


async def test_messages_both_ways() -> None:
    client, got = RtcClient(), list[str]()
    peer = await Peer.answer(await client.offer(), LOOPBACK, on_message=got.append)
    peer.send_message("before anybody listens")  # no error
    await client.accept(peer.answer_sdp)
    await eventually(lambda: client.channel is not None and client.channel.readyState == "open")
    client.send_message('{"id": 1}')
    await eventually(lambda: got == ['{"id": 1}'])
    peer.send_message("hello")
    await eventually(lambda: client.messages == ["hello"])
    client.send_message("x" * 20_000)
    for _ in range(300):
        client.send_message("again")
    await eventually(lambda: peer.stats().messages_refused >= 100)
    assert len(got) < 200 and max(map(len, got)) <= 16 * 1024
    await peer.close()
    peer.send_message("too late")
    await client.close()


async def test_an_offer_without_candidates_connects() -> None:
    """As OBS makes it: none in the offer, none later."""
    client = RtcClient()
    async with connected(client, candidates=False):
        await eventually(lambda: len(client.numbers()) >= 5)


async def test_an_offer_without_bundle_connects_each_section_by_itself() -> None:
    """Some encoders know no BUNDLE (RFC 9143); then audio and video have a transport each."""
    client = RtcClient(audio="sendrecv")
    offer = re.sub(r"a=group:BUNDLE.*\r\n", "", await client.offer())
    peer = await Peer.answer(offer, LOOPBACK, on_message=ignore)
    task = asyncio.create_task(echo(peer))
    assert "a=group" not in peer.answer_sdp
    await client.accept(peer.answer_sdp)
    assert len({t.receiver.transport for t in peer._pc.getTransceivers()}) == 2
    await eventually(lambda: len(client.numbers()) >= 10 and len(client.loudness) >= 10)
    await peer.close()
    await client.close()
    await task


async def test_candidates_that_come_later_connect_and_a_restart_is_refused() -> None:
    """A client that binds to what the server cannot guess, and does not begin by itself."""
    client = RtcClient()
    offer = await client.offer()
    candidates = [line for line in offer.splitlines() if "a=candidate" in line]
    peer = await Peer.answer(without(offer), LOOPBACK, on_message=ignore)
    ice = peer._pc.getTransceivers()[0].receiver.transport.transport
    assert ice.getRemoteCandidates() == []
    assert await peer.trickle("\r\n".join([*candidates, "a=end-of-candidates"]))
    assert len(ice.getRemoteCandidates()) == len(candidates) > 0
    assert not await peer.trickle("a=ice-ufrag:another-session")
    with pytest.raises(UsageError, match="cannot be read"):
        await peer.trickle("a=candidate:nonsense")
    with pytest.raises(UsageError, match="not an SDP fragment"):
        await peer.trickle("hello")
    await client.accept(peer.answer_sdp)
    await peer.close()
    await client.close()


def without(offer: str) -> str:
    """An offer that promises candidates and has none."""
    lines = offer.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("a=candidate", "a=end-of")))


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
async def test_a_certificate_with_another_fingerprint_is_not_talked_to(algorithm: str) -> None:
    """Somebody between the two, who has another key."""
    client = RtcClient()
    offer = await client.offer()
    start = f"a=fingerprint:{algorithm} "
    told = next(line for line in offer.splitlines() if line.startswith(start))
    wrong = start + ("00" if told[len(start) :][:2] != "00" else "11") + told[len(start) + 2 :]
    peer = await Peer.answer(offer.replace(told, wrong), LOOPBACK, on_message=ignore)
    with suppress(TimeoutError):  # it may think that it is connected, for a moment
        await client.accept(peer.answer_sdp, 2)
    await eventually(lambda: peer.state == "closed")
    assert peer.stats().frames_in == 0
    await peer.close()
    await client.close()


async def test_an_offer_that_only_watches_is_no_publisher_s() -> None:
    client = RtcClient(video="recvonly", audio="recvonly")
    with pytest.raises(UsageError, match="sends no media"):
        await Peer.answer(await client.offer(), LOOPBACK, on_message=ignore)
    await client.close()


async def test_a_publisher_gets_a_recvonly_answer() -> None:
    client = RtcClient(video="sendonly", channel=False)
    async with connected(client) as peer:
        assert "a=recvonly" in peer.answer_sdp
        assert "a=sendrecv" not in peer.answer_sdp
        await eventually(lambda: peer.stats().frames_in >= 20)
        assert peer.stats().frames_out == peer.stats().dropped_encoder == 0
        assert client.arrivals == []


async def test_sound_alone_comes_back() -> None:
    client = RtcClient(video=None, audio="sendrecv", channel=False)
    async with connected(client):
        await eventually(lambda: sum(rms > 1000 for _, rms in client.loudness) > 5)


async def test_sound_is_as_late_as_it_is_told() -> None:
    early, late = [await _sound_latency_s(wanted_s) for wanted_s in (0.0, 0.4)]
    assert late - early == pytest.approx(0.4, abs=0.1)


async def _sound_latency_s(wanted_s: float) -> float:
    """From the beginning of a tone (at every full second) to hearing it."""
    client = RtcClient(video=None, audio="sendrecv", channel=False)
    async with connected(client) as peer:
        peer.set_latency(wanted_s)
        began = time.monotonic()
        await eventually(lambda: time.monotonic() > began + 3.2)
        quiet_then_loud = [
            at
            for (_, before), (at, rms) in zip(client.loudness, client.loudness[1:], strict=False)
            if before < 500 <= rms and at > began + 1
        ]
        return median(at % 1 for at in quiet_then_loud)


async def test_media_of_a_loopback_peer_stays_on_this_machine() -> None:
    client = RtcClient()
    async with connected(client) as peer:
        addresses = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+)", peer.answer_sdp)
        assert addresses and set(addresses) <= own_addresses()
        assert peer.stats().remote is not None


def _udp_sockets() -> set[tuple[str, int]]:
    return {(c.laddr.ip, c.laddr.port) for c in psutil.Process().net_connections("udp")}


ATTACKS = [
    b"",
    b"\x80",
    b"\x80" * 1501,
    b"\x16" * 9000,
    b"\x00\x01\x00\x04\x21\x12\xa4\x42" + bytes(12),
]


@pytest.mark.parametrize("by_the_publisher_itself", [False, True])
async def test_no_datagram_ends_a_stream(by_the_publisher_itself: bool) -> None:
    client = RtcClient()
    async with connected(client) as peer:
        await eventually(lambda: len(client.numbers()) >= 10)
        [pair] = _ice(client.pc)._nominated.values()
        refused = peer.stats().datagrams_refused
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for attack in ATTACKS * 20:
                theirs = pair.protocol.transport._sock  # type: ignore[attr-defined]
                (theirs if by_the_publisher_itself else stranger).sendto(attack, pair.remote_addr)
        await eventually(lambda: peer.stats().datagrams_refused >= refused + 90)
        seen = len(client.numbers())
        await eventually(lambda: len(client.numbers()) >= seen + 20)
        assert peer.state == "connected"


def _ice(pc: PeerConnection) -> IceConnection:
    [ice] = {t.receiver.transport.transport._connection for t in pc.getTransceivers()}
    assert isinstance(ice, IceConnection)
    return ice


async def test_packets_lost_on_both_sides_of_the_wrap_are_asked_for_again() -> None:
    """Three at once, which aiortc cannot pack into one NACK (RFC 4585, 6.2.1)."""
    client = RtcClient()
    async with connected(client) as peer:
        await eventually(lambda: len(client.numbers()) >= 5)
        receiver = peer._receiver
        assert receiver is not None
        sent: list[RtcpRtpfbPacket] = []

        async def keep(packet: object) -> None:
            if isinstance(packet, RtcpRtpfbPacket):
                sent.append(RtcpRtpfbPacket.parse(bytes(packet)[4:], packet.fmt))

        receiver._send_rtcp = keep  # type: ignore[method-assign]
        receiver._buffer.missing = lambda now: [65_533, 65_535, 1]  # type: ignore[method-assign]
        await receiver._repair(0.0)
        assert [packet.lost for packet in sent] == [[65_533, 65_535], [1]]


async def test_a_decoder_that_fails_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    decode, calls = Decoder.decode, itertools.count()

    def fail_once(self: Decoder, encoded: EncodedFrame) -> list[Frame]:
        if next(calls) == 20:
            raise RuntimeError("out of luck")
        return decode(self, encoded)

    monkeypatch.setattr(Decoder, "decode", fail_once)
    client = RtcClient(marker=False)  # whose decoder is aiortc's
    async with connected(client) as peer:
        await eventually(lambda: peer.stats().decode_errors == 1)
        frames = peer.stats().frames_in
        await eventually(lambda: peer.stats().frames_in >= frames + 20)


async def test_frames_that_are_too_large_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    client = RtcClient(640, 360, marker=False)
    async with connected(client, replace(LOOPBACK, max_pixels=320 * 200)) as peer:
        await eventually(lambda: "larger than 64000 pixels" in caplog.text)
        assert peer.stats().decode_errors >= 5 and peer.stats().frames_in == 0


async def test_an_encoder_that_fails_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    encode, calls = Encoder.encode, itertools.count()

    def fail_once(self: Encoder, frame: Frame, bps: int, keyframe: bool) -> list[Any]:
        if next(calls) == 20:
            raise RuntimeError("out of luck")
        return encode(self, frame, bps, keyframe)

    monkeypatch.setattr(Encoder, "encode", fail_once)
    client = RtcClient()
    async with connected(client) as peer:
        await eventually(lambda: peer.stats().encode_errors == 1)
        frames = len(client.numbers())
        await eventually(lambda: len(client.numbers()) >= frames + 20)


async def test_a_task_that_fails_ends_the_connection_on_both_sides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(self: VideoReceiver) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(VideoReceiver, "_decode_loop", fail)
    client = RtcClient(marker=False)
    async with connected(client) as peer:
        async with asyncio.timeout(5):
            await peer.wait_closed()
        await eventually(lambda: client.pc.connectionState in ("closed", "failed"), 5)


async def test_a_handler_that_fails_costs_its_packet_only(monkeypatch: pytest.MonkeyPatch) -> None:
    handle, calls = VideoReceiver._handle_rtp_packet, itertools.count()

    async def fail_once(self: VideoReceiver, packet: RtpPacket, arrival_time_ms: int) -> None:
        if next(calls) == 30:
            raise RuntimeError("out of luck")
        await handle(self, packet, arrival_time_ms)

    client = RtcClient(marker=False)
    monkeypatch.setattr(VideoReceiver, "_handle_rtp_packet", fail_once)
    async with connected(client) as peer:
        await eventually(lambda: next(calls) > 30)
        frames = peer.stats().frames_in
        await eventually(lambda: peer.stats().frames_in >= frames + 20)
        assert peer.state == "connected"


async def test_a_message_that_cannot_be_handled_costs_itself_only() -> None:
    def refuse(text: str) -> None:
        raise RecursionError(text)

    client = RtcClient()
    peer = await Peer.answer(await client.offer(), LOOPBACK, on_message=refuse)
    await client.accept(peer.answer_sdp)
    await eventually(lambda: client.channel is not None and client.channel.readyState == "open")
    client.send_message("[" * 4000)
    await eventually(lambda: peer.stats().messages_refused == 1)
    frames = peer.stats().frames_in
    await eventually(lambda: peer.stats().frames_in >= frames + 10)
    await peer.close()
    await client.close()


async def test_udp_ports_are_those_of_the_range() -> None:
    options = replace(LOOPBACK, udp_ports=range(47_100, 47_101))
    client, other = RtcClient(), RtcClient()
    async with connected(client, options) as peer:
        found = re.findall(r"a=candidate:\S+ 1 udp \d+ \S+ (\d+)", peer.answer_sdp)
        assert set(found) == {"47100"}
        with pytest.raises(MediaError, match="no free UDP port"):
            await Peer.answer(await other.offer(), options, on_message=ignore)
    again = await Peer.answer(await other.offer(), options, on_message=ignore)
    await again.close()
    await other.close()


async def test_servers_that_are_named_are_used_and_others_refused() -> None:
    named = (
        IceServer("stun:127.0.0.1:9"),
        IceServer("turn:127.0.0.1:9?transport=udp", "user", "secret"),
    )
    client = RtcClient(channel=False)
    peer = Peer(replace(PeerOptions(), ice_servers=named), ignore)
    await peer._pc.setRemoteDescription(RTCSessionDescription(await client.offer(), "offer"))
    ice = peer._pc.getTransceivers()[0].receiver.transport.transport._connection
    assert (ice.stun_server, ice.turn_server) == (("127.0.0.1", 9), ("127.0.0.1", 9))
    assert (ice.turn_username, ice.turn_password) == ("user", "secret")
    await peer.close()
    await client.close()
    with pytest.raises(UsageError, match="http://x"):
        IceServer("http://x")


async def test_no_server_is_contacted_unless_one_is_named() -> None:
    client = RtcClient()
    peer = await Peer.answer(await client.offer(), PeerOptions(), on_message=ignore)
    assert "typ srflx" not in peer.answer_sdp and "typ relay" not in peer.answer_sdp
    [ice] = {t.receiver.transport.transport._connection for t in peer._pc.getTransceivers()}
    assert (ice.stun_server, ice.turn_server) == (None, None)
    await peer.close()
    await client.close()


async def test_what_we_cannot_do_is_not_agreed_on() -> None:
    """A phone that may say "turn this picture" (CVO) would send it lying on its side."""
    client = RtcClient()
    offer = (await client.offer()).replace(
        "a=extmap:3 ", "a=extmap:9 urn:3gpp:video-orientation\r\na=extmap:3 "
    )
    assert "video-orientation" in offer
    peer = await Peer.answer(offer, LOOPBACK, on_message=ignore)
    assert "video-orientation" not in peer.answer_sdp
    assert "abs-send-time" in peer.answer_sdp
    await peer.close()
    await client.close()


def _second_video(sdp: str) -> str:
    return sdp + sdp[sdp.index("m=video") :].replace("a=mid:0", "a=mid:1")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda sdp: "", "neither video nor audio"),
        (lambda sdp: "hello", "neither video nor audio"),
        (lambda sdp: "v=0\r\nm=video\r\n", "cannot be read"),
        (lambda sdp: "v=0\r\n" * 20_000, "longer than"),
        (lambda sdp: re.sub(r"a=fingerprint.*\r\n", "", sdp), "fingerprint"),
        (lambda sdp: re.sub(r"a=ice-pwd.*\r\n", "", sdp), "ICE credentials"),
        (lambda sdp: re.sub(r"VP8|H264", "AV1", sdp), "cannot be answered"),
        (lambda sdp: re.sub(r"a=rtcp-mux\r\n", "", sdp), "cannot be answered"),
        (_second_video, "video sections"),
        (lambda sdp: sdp + sdp[sdp.index("m=video") :], "same mid"),
        (lambda sdp: sdp.replace("BUNDLE 0", "BUNDLE 0 7"), "BUNDLE group"),
        (lambda sdp: sdp.replace("BUNDLE 0", "BUNDLE 0 0"), "BUNDLE group"),
        (lambda sdp: re.sub(r"ice-ufrag:.*", "ice-ufrag:" + "u" * 257, sdp), "malformed"),
        (lambda sdp: re.sub(r"ice-ufrag:.*", "ice-ufrag:u u u", sdp), "malformed"),
        (lambda sdp: sdp + "a=rtcp-fb:* nack\r\n" * 501, "more than 500 lines"),
        (lambda sdp: sdp + "a=candidate:1 1 udp 1 10.0.0.1 1 typ host\r\n" * 101, "more than 100"),
    ],
)
async def test_offers_that_cannot_be_answered(spoil: object, says: str) -> None:
    assert callable(spoil)
    client = RtcClient(channel=False)
    offer = spoil(await client.offer())
    with pytest.raises(UsageError, match=says) as caught:
        await Peer.answer(offer, LOOPBACK, on_message=ignore)
    assert "\n" not in str(caught.value)
    await client.close()


async def test_nobody_comes() -> None:
    client = RtcClient()
    peer = await Peer.answer(
        await client.offer(), replace(LOOPBACK, connect_timeout_s=0.3), on_message=ignore
    )
    async with asyncio.timeout(3):
        await peer.wait_closed()
    assert not await peer.source.ready()
    await client.close()


async def test_the_other_side_leaves() -> None:
    client = RtcClient()
    async with connected(client) as peer:
        await eventually(lambda: peer.stats().frames_in >= 3)
        await client.close()
        async with asyncio.timeout(5):
            await peer.wait_closed()
        assert peer.state == "closed"
        assert not await peer.source.ready()
        await peer.sink.send(Frame(number_frame(0, 64, 64), 0, Fraction(1, 30), 0.0))


async def test_twenty_connections_leave_nothing_behind() -> None:
    async def once() -> None:
        client = RtcClient(audio="sendrecv")
        async with connected(client) as peer:
            await eventually(lambda: client.arrivals)
            began = time.monotonic()
            await peer.close()
            await peer.close()
            assert time.monotonic() - began < 1

    await once()
    sockets, tasks = _udp_sockets(), len(asyncio.all_tasks())
    for _ in range(20):
        await once()
    await eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("peer")])
    assert _udp_sockets() <= sockets
    assert len(asyncio.all_tasks()) == tasks
    gc.collect()
    assert sum(type(thing) is Peer for thing in gc.get_objects()) <= 1


async def test_closing_does_not_hold_the_loop_up() -> None:
    """While the decoder has a backlog, which aiortc would join its thread for."""
    client = RtcClient(1280, 720)
    async with connected(client, echoes=False) as peer:
        await eventually(lambda: peer.stats().frames_in >= 3)
        worst_s, done = 0.0, asyncio.Event()

        async def watch() -> None:
            nonlocal worst_s
            while not done.is_set():
                before = time.monotonic()
                await asyncio.sleep(0.005)
                worst_s = max(worst_s, time.monotonic() - before)

        watching = asyncio.create_task(watch())
        await peer.close()
        done.set()
        await watching
        assert worst_s < 0.15


async def test_the_return_stream_keeps_to_its_maximum() -> None:
    bounds = Bitrate(start=500_000, min=200_000, max=600_000)
    client = RtcClient(640, 360)
    async with connected(client, replace(LOOPBACK, bitrate=bounds)) as peer:
        await eventually(lambda: peer.stats().frames_out >= 20)
        began, before = time.monotonic(), peer.stats().bytes_out
        await asyncio.sleep(2)
        bps = (peer.stats().bytes_out - before) * 8 / (time.monotonic() - began)
        assert peer.stats().bitrate_bps <= bounds.max
        assert bps < 1.5 * bounds.max


async def test_the_return_stream_gives_way_to_the_other_side() -> None:
    client = RtcClient(640, 360, loopback=False, accepts=Uplink(400_000, 300_000, 400_000))
    async with connected(client, PeerOptions()) as peer:
        await eventually(lambda: peer.stats().bitrate_bps <= 400_000)
        await eventually(lambda: peer.stats().frames_out >= 20)
        began, before = time.monotonic(), peer.stats().bytes_out
        await asyncio.sleep(2)
        assert (peer.stats().bytes_out - before) * 8 / (time.monotonic() - began) < 800_000


async def test_on_loopback_a_busy_cpu_is_not_taken_for_a_thin_path() -> None:
    client = RtcClient(accepts=Uplink(400_000, 300_000, 400_000))
    async with connected(client) as peer:
        await eventually(lambda: len(client.arrivals) >= 20)
        assert peer.stats().bitrate_bps >= MEDIA_SHARE * LOOPBACK.bitrate.start
        assert peer.stats().uplink_bps >= LOOPBACK.uplink.start


async def test_the_answer_makes_chromium_begin_at_a_good_rate() -> None:
    client = RtcClient()
    options = replace(LOOPBACK, uplink=Uplink(start=2_000_000, max=3_000_000))
    async with connected(client, options) as peer:
        assert "x-google-start-bitrate=2000" in peer.answer_sdp
        assert "x-google-max-bitrate=3000" in peer.answer_sdp
