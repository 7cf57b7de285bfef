"""Publish a video file to a server by WHIP, and count the stylized frames that come back.

python examples/whip_client.py http://127.0.0.1:8000/whip/example clip.mp4 [TOKEN]
"""

import asyncio
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urljoin

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

WANTED = 30


class Film(VideoStreamTrack):
    """A video file over and over, 30 frames a second."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._frames = self._decoded(path)

    async def recv(self) -> av.VideoFrame:
        pts, time_base = await self.next_timestamp()
        frame = await asyncio.to_thread(next, self._frames)
        frame.pts, frame.time_base = pts, time_base
        return frame

    @staticmethod
    def _decoded(path: str) -> Iterator[av.VideoFrame]:
        while True:
            with av.open(path) as container:
                yield from container.decode(video=0)


def http(method: str, url: str, token: str, body: str = "") -> tuple[str, str]:
    """The body of an answer and its Location."""
    headers = {"Content-Type": "application/sdp"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, body.encode() or None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read().decode(), urljoin(url, answer.headers.get("Location", ""))
    except urllib.error.HTTPError as error:
        sys.exit(f"{method} {url}: {error.code} {error.reason}: {error.read().decode()}")


async def main(url: str, clip: str, token: str = "") -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))  # else it asks a STUN server
    peer.addTransceiver(Film(clip), direction="sendrecv")
    received: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()
    peer.on("track", received.set_result)

    await peer.setLocalDescription(await peer.createOffer())
    offer = peer.localDescription.sdp
    answer, session = await asyncio.to_thread(http, "POST", url, token, offer)
    try:
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        track = await received
        for number in range(WANTED):
            frame = await track.recv()
            if number == 0:
                print(f"the first stylized frame: {frame.width}x{frame.height}", flush=True)
        print(f"{WANTED} stylized frames came back")
    except MediaStreamError:
        sys.exit("the server ended the stream")
    finally:
        await asyncio.to_thread(http, "DELETE", session, token)  # so that the name is free at once
        await peer.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
