"""Receiver reports, and requests for what was lost."""

from types import SimpleNamespace

import pytest
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import RtcpSenderInfo, RtcpSrPacket, RtpPacket

from streamer.webrtc.receiver import AudioReceiver, split_at_wrap


async def test_the_delay_since_a_sender_report_does_not_follow_the_wall_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LSR and DLSR (RFC 3550, 6.4.1), from which the sender computes its round trip."""
    clock = SimpleNamespace(monotonic=lambda: 100.0, time=lambda: 1e9)
    monkeypatch.setattr("streamer.webrtc.rtp_receiver.time", clock)
    receiver = AudioReceiver(None, lambda packet: None)  # type: ignore[arg-type]
    receiver._streams[7] = StreamStatistics(48_000)
    receiver._streams[7].add(RtpPacket(ssrc=7, sequence_number=1))
    info = RtcpSenderInfo(0x0001_2345_6789_0000, 0, 0, 0)
    await receiver._handle_rtcp_packet(RtcpSrPacket(ssrc=7, sender_info=info))
    clock.monotonic = lambda: 100.5
    clock.time = lambda: 1e9 - 3600  # somebody sets it
    report = receiver._receiver_info(7, receiver._streams[7])
    assert (report.lsr, report.dlsr) == (0x2345_6789, 0x8000)


@pytest.mark.parametrize(
    ("seqs", "runs"),
    [
        ([], []),
        ([5, 6, 9], [[5, 6, 9]]),
        ([65_534, 65_535, 0, 3], [[65_534, 65_535], [0, 3]]),
        ([0, 1], [[0, 1]]),
    ],
)
def test_requests_are_split_where_sequence_numbers_wrap(
    seqs: list[int], runs: list[list[int]]
) -> None:
    assert split_at_wrap(seqs) == runs
