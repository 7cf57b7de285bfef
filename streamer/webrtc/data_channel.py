"""browser ⇄ **data_channel** ⇄ session: short texts on the data channel "control"."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from aiortc import RTCDataChannel

log = logging.getLogger(__name__)

LABEL = "control"
MESSAGE_MAX = 16 * 1024  # characters
FLUSH_S = 0.2
MESSAGES_PER_S = 50.0
MESSAGES_BURST = 100.0
UNREAD_MAX = 256 * 1024  # bytes that the other side has not read yet


class ControlChannel:
    """The first data channel labelled "control"; any other one is closed."""

    def __init__(self, on_message: Callable[[str], None]) -> None:
        self.refused = 0
        self._on_message = on_message
        self._channel: RTCDataChannel | None = None
        self._tokens = TokenBucket(MESSAGES_PER_S, MESSAGES_BURST)

    def opened(self, channel: RTCDataChannel) -> None:
        if channel.label != LABEL or self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._message)

    def send(self, text: str) -> None:
        """Drops the text unless the channel is open and being read."""
        channel = self._channel
        if channel and channel.readyState == "open" and channel.bufferedAmount < UNREAD_MAX:
            channel.send(text)

    async def flush(self) -> None:
        """Wait until all that was sent is on its way, FLUSH_S at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                while self._channel and self._channel.bufferedAmount:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # aiortc tells nobody

    def _message(self, message: str | bytes) -> None:
        short = isinstance(message, str) and len(message) <= MESSAGE_MAX
        if not short or not self._tokens.try_acquire(time.monotonic()):
            self.refused += 1
            return
        try:
            self._on_message(str(message))
        except Exception:  # would end the transport
            self.refused += 1
            log.exception("x a message on the data channel could not be handled")


class TokenBucket:
    """Allows `per_s` events per second on average and `burst` at once. Pure."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at = 0.0

    def try_acquire(self, now: float) -> bool:
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
