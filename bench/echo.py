"""Bare aiortc for bench.network: reads an offer, answers, sends every decoded frame back."""

import asyncio
import json
import sys

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay


async def answer(offer_sdp: str) -> str:
    echo = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    echo.on("track", lambda track: echo.addTrack(MediaRelay().subscribe(track, buffered=False)))
    await echo.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
    await echo.setLocalDescription(await echo.createAnswer())
    return str(echo.localDescription.sdp)


async def main() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
