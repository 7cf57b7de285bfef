"""The stack that OBS uses, libdatachannel, connects to us the way OBS does it.

ICE, DTLS and SCTP are libdatachannel's own. Its Python binding sends no media (FFmpeg does that
in test_watch.py), so the media sections of the offer are those of OBS put around its credentials,
and that it is connected shows in what comes over the data channel.
"""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from tests.support.http_world import SDP
from tests.support.served import Served
from tests.support.waiting import eventually

rtc: Any = pytest.importorskip("pylibdatachannel", reason="has no wheel for this Python")

pytestmark = pytest.mark.e2e

# As OBS 30.2 and newer have them: sound first, no candidates and none to come.
SECTIONS = """\
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=ssrc:1001 cname:obs
a=ssrc:1001 msid:obs obs-audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:1
a=sendonly
a=ssrc:1002 cname:obs
a=ssrc:1002 msid:obs obs-video
a=rtcp-mux
a=rtpmap:96 H264/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtcp-fb:96 goog-remb
a=fmtp:96 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1
"""


def as_obs(own: str) -> str:
    """libdatachannel's offer with OBS's sections before its own, and without candidates."""
    head, _, application = own.partition("m=application")
    head = head.replace("BUNDLE 0", "BUNDLE 0 1 2")
    credentials = "".join(
        f"{line}\r\n"
        for line in own.splitlines()
        if line.startswith(("a=setup", "a=ice-ufrag", "a=ice-pwd"))
    )
    media = "".join(
        "m=" + section.replace("\n", "\r\n") + credentials for section in SECTIONS.split("m=")[1:]
    )
    tail = "m=application" + application.replace("a=mid:0", "a=mid:2")
    offer = head + media + tail
    return "".join(
        line for line in offer.splitlines(keepends=True)
        if not line.startswith(("a=candidate", "a=end-of-candidates"))
    )  # fmt: skip


def as_own(answer: str) -> str:
    """The answer to the section that libdatachannel knows of."""
    head = answer[: answer.index("m=audio")]
    sections = re.findall(r"m=.*?(?=m=|\Z)", answer, re.DOTALL)
    first, last = sections[0], sections[-1]
    candidates = "".join(
        line for line in first.splitlines(keepends=True) if line.startswith("a=candidate")
    )
    own = "".join(
        line for line in last.splitlines(keepends=True)
        if not line.startswith(("a=candidate", "a=end-of"))
    )  # fmt: skip
    return head.replace("BUNDLE 0 1 2", "BUNDLE 0") + own.replace("a=mid:2", "a=mid:0") + candidates


async def test_libdatachannel_connects_with_an_offer_as_obs_makes_it(served: Served) -> None:
    served.wait_until("/readyz", 90)
    heard: list[str] = []
    connection = rtc.PeerConnection(rtc.Configuration([]))
    channel = connection.create_data_channel("control")
    channel.on_message(heard.append)
    try:
        await eventually(lambda: "m=application" in description(connection))
        offer = as_obs(description(connection))
        assert "candidate" not in offer
        answer = httpx.post(served.url + "/whip/obs", content=offer, headers=SDP, timeout=8)
        assert answer.status_code == 201, answer.text
        assert "?" not in answer.headers["location"], "OBS drops a query"
        assert answer.text.count("a=recvonly") == 2
        assert "H264/90000" in answer.text and "a=candidate" in answer.text
        connection.set_remote_description(
            rtc.Description(as_own(answer.text), rtc.DescriptionType.ANSWER)
        )
        await eventually(lambda: channel.is_open)
        await eventually(lambda: heard)
        assert json.loads(heard[0])["stats"]["codec"] == "H264"
        ended = httpx.delete(served.url + answer.headers["location"])
        assert ended.status_code == 200, "OBS takes no other"
    finally:
        connection.close()
        # The binding frees a connection with Python's lock held, and waits there for callbacks that
        # wait for that lock: those under way must have ended.
        await asyncio.sleep(1)


def description(connection: Any) -> str:
    found = connection.local_description
    return str(found.description) if found else ""
