"""server → **session** → pipeline.

One live stream: a peer, its flow through the ring, its style, and its broadcast to viewers.
"""

import asyncio
import json
import secrets
import time
from collections import deque
from dataclasses import asdict, dataclass

from streamer.errors import StreamerError, UnknownStyleError, told
from streamer.frame import AudioPacket, Frame, Style
from streamer.live.broadcast import Broadcast, Broadcasts
from streamer.look import Brush
from streamer.pipeline import run as pipeline
from streamer.pipeline.change import Change, Height, read_change, read_id
from streamer.pipeline.governor import Costs
from streamer.pipeline.stats import Stats
from streamer.pipeline.style_control import Parse, StyleControl
from streamer.ring.ring import Ring
from streamer.webrtc.options import PeerStats
from streamer.webrtc.peer import Peer

STATS_S = 1.0
SILENT_S = 7.0  # we check every connection every 6 s or less (RFC 7675); a live peer answers
MAX_WAITING_ANSWERS = 64


@dataclass(frozen=True, slots=True)
class Defaults:
    """The settings of a stream until its client changes them."""

    style: Style
    height_px: Height = "auto"
    target_fps: float = 30.0
    deadline_s: float | None = None
    brush: Brush = "medium"


class Session:
    """A peer from its offer to its end; await `run`."""

    def __init__(
        self,
        name: str,
        peer: Peer,
        ring: Ring,
        parse: Parse,
        defaults: Defaults,
        *,
        broadcasts: Broadcasts,
        costs: Costs | None = None,
        owner: str = "",
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.name = name
        self.owner = owner
        self.answer_sdp = peer.answer_sdp
        self.stats = Stats()
        self._peer = peer
        self._broadcasts = broadcasts
        self._ring = ring
        self._flow = ring.open(live=True)
        self._style = StyleControl(
            parse,
            defaults.style,
            defaults.height_px,
            defaults.target_fps,
            brush=defaults.brush,
            costs=costs,
            frame_s=ring.frame_s,
            workers=len(ring),
        )
        self._deadline_s = defaults.deadline_s
        self._encoded = self._sent_bytes = 0
        self._sent_bps = 0.0
        self._began_at = self._updated_at = time.monotonic()
        # Ids of changes: first those that no frame has taken up, then (pts, id).
        self._asked: deque[object] = deque(maxlen=MAX_WAITING_ANSWERS)
        self._applied: deque[tuple[int, object]] = deque(maxlen=MAX_WAITING_ANSWERS)

    @property
    def reason(self) -> str:
        """Why it was ended from here, if it was."""
        return self._peer.reason

    async def run(self) -> None:
        """Carry the stream until the peer is gone. Raises what the pipeline raises."""
        reason = ""
        try:
            async with asyncio.TaskGroup() as tasks:
                reporting = tasks.create_task(self._report_loop())
                await pipeline.run(
                    self._peer.source,
                    self._flow,
                    self,
                    stats=self.stats,
                    waits=self._style.waits,
                    apply_style=self._apply_style,
                    on_stylized=self._style.on_stylized,
                    on_delivered=self._on_delivered,
                    deadline_s=self._deadline_s,
                )
                reporting.cancel()
        except Exception as error:
            reason = told(error)
            raise
        finally:
            self._broadcast.leave(self.id)
            self._flow.close()
            await self._peer.close(reason)

    async def send(self, frame: Frame) -> None:
        """The pipeline's sink: to the peer and to all viewers."""
        await self._peer.sink.send(frame)
        self._broadcast.publish(self.id, frame, time.monotonic())

    async def trickle(self, fragment: str) -> bool:
        """More ICE candidates, see `Endpoint.trickle`."""
        return await self._peer.trickle(fragment)

    async def close(self, reason: str = "") -> None:
        """Close the connection; `run` then returns. Its client is told the reason."""
        await self._peer.close(reason)

    def on_message(self, text: str) -> None:
        """Handle a message of the data channel; its sender gets any error as an answer."""
        asked = read_id(text)
        try:
            self.change(read_change(text))
        except StreamerError as error:
            self._send_json(id=asked, error={"code": _code(error), "message": str(error)})
        else:
            if len(self._asked) == MAX_WAITING_ANSWERS:
                overrun = {"code": "bad_request", "message": "too many changes at a time"}
                self._send_json(id=self._asked[0], error=overrun)
            self._asked.append(asked)

    def change(self, wanted: Change) -> None:
        """Change the style, once it is prepared. Raises UnknownStyleError, UsageError."""
        self._style.change(wanted, time.monotonic())

    def on_audio(self, packet: AudioPacket) -> None:
        self._broadcast.publish_audio(self.id, packet, time.monotonic())

    def is_silent(self, now: float) -> bool:
        """Whether the peer has probably crashed: one that is muted still answers ICE's checks."""
        return now - self._peer.stats().heard_at > SILENT_S

    @property
    def active(self) -> bool:
        """Whether viewers of this name see this stream."""
        return self._broadcast.is_active(self.id)

    def as_dict(self) -> dict[str, object]:
        """The stream's statistics, as the page and `/stats` show them."""
        peer, style = self._peer.stats(), self._style.target
        self.stats.dropped["intake"] = peer.dropped_intake
        self.stats.dropped["encode"] = peer.dropped_encoder + peer.encode_errors
        return {
            "name": self.name,
            "age_s": round(time.monotonic() - self._began_at, 1),
            "in_fps": round(self._style.in_fps, 1),
            **self.stats.as_dict(time.monotonic()),
            "width": self._style.size[0],
            "height": self._style.size[1],
            "height_px": self._style.stylized_px or self._style.height_px,
            "height_auto": self._style.height_auto,
            "style": dict(style.blend),
            "strength": style.strength,
            "preserve_color": style.preserve_color,
            "smooth": style.smooth,
            "tone": style.tone,
            "brush": self._style.brush,
            "codec": peer.codec,
            "bitrate_bps": round(self._sent_bps),
            "target_bps": peer.bitrate_bps,
            "uplink_bps": peer.uplink_bps,
            "keyframes": peer.keyframes_out,
            "lost_frames": peer.lost_frames,
            "decode_errors": peer.decode_errors,
            "refused": {"datagrams": peer.datagrams_refused, "messages": peer.messages_refused},
        }

    @property
    def _broadcast(self) -> Broadcast:
        return self._broadcasts.of(self.name)

    def _apply_style(self, frame: Frame) -> Frame:
        """Called for every frame that enters the ring."""
        frame = self._style.apply(frame, time.monotonic())
        while self._asked and frame.upcoming is None:
            self._applied.append((frame.pts, self._asked.popleft()))
        return frame

    def _on_delivered(self, seq: int, frame: Frame) -> None:
        """Called for every frame that goes back to the peer."""
        while self._applied and self._applied[0][0] <= frame.pts:
            _, asked = self._applied.popleft()
            self._send_json(id=asked, applied={"seq": seq, "pts": frame.pts})

    async def _report_loop(self) -> None:
        """Once a second, adjust the working height and send statistics."""
        while True:
            await asyncio.sleep(STATS_S)
            self._update(self._peer.stats(), time.monotonic())

    def _update(self, peer: PeerStats, now: float) -> None:
        encoded = peer.frames_out - self._encoded
        self._encoded = peer.frames_out
        self._sent_bps = (peer.bytes_out - self._sent_bytes) * 8 / (now - self._updated_at)
        self._sent_bytes, self._updated_at = peer.bytes_out, now
        for seconds in peer.encode_s[max(len(peer.encode_s) - encoded, 0) :]:
            self.stats.stages["encode"].add(seconds)
        self._style.update(
            now, peer.frames_in, self.stats.delivered.fps(now), self._ring.busy_s, len(self._ring)
        )
        latency_s = self.stats.latency.quantile(0.5) + peer.late_s
        self._peer.set_latency(latency_s)
        self._broadcast.set_latency(self.id, latency_s)
        workers = [{"state": worker["state"]} for worker in self._ring.stats()]
        captured = self._peer.capture_time()
        stats = {
            **self.as_dict(),
            "workers": workers,
            "capture_time": captured and asdict(captured),
        }
        self._send_json(stats=stats)

    def _send_json(self, **message: object) -> None:
        self._peer.send_message(json.dumps(message))


def _code(error: StreamerError) -> str:
    return "unknown_style" if isinstance(error, UnknownStyleError) else "bad_request"
