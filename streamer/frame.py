"""What travels, an image with its time and style, and the sources and sinks it travels between."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamer.statistics import Measurement, Orders

Plane = NDArray[np.uint8]
Size = tuple[int, int]  # width, height
VIDEO_CLOCK_HZ = 90_000  # RTP clock of video (RFC 3551)
VIDEO_TIME_BASE = Fraction(1, VIDEO_CLOCK_HZ)
SMOOTHEST = 0.95  # more would freeze the video


def i420_size(width: int, height: int) -> int:
    """Bytes of one I420 image; odd sides round the chroma planes up, as FFmpeg does."""
    return width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)


@dataclass(frozen=True, slots=True)
class Image:
    """An I420 image: luma, then both chroma planes at half size, in one flat uint8 buffer.

    BT.601 in video range where a network sees it; a video that no network paints keeps the matrix
    it has. `data` is C-contiguous, of `i420_size(width, height)` bytes.
    """

    width: int
    height: int
    data: Plane

    def __post_init__(self) -> None:
        if self.data.shape != (i420_size(self.width, self.height),):
            raise ValueError(
                f"{self.data.shape} is not an I420 buffer of {self.width}x{self.height}"
            )

    @property
    def size(self) -> Size:
        return self.width, self.height

    @property
    def lines(self) -> int:
        """Of its shorter side, as in 720p: an upright picture counts as if it lay."""
        return min(self.size)

    @property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        """Views (no copies) of Y (height, width) and U, V (⌈height/2⌉, ⌈width/2⌉)."""
        rows, columns = (self.height + 1) // 2, (self.width + 1) // 2
        luma, chroma = self.width * self.height, rows * columns
        return (
            self.data[:luma].reshape(self.height, self.width),
            self.data[luma : luma + chroma].reshape(rows, columns),
            self.data[luma + chroma :].reshape(rows, columns),
        )


@dataclass(frozen=True, slots=True)
class Style:
    """How one frame is to look: styles with their weights (sum 1), and how strongly.

    `strength` mixes with the source image: 0 leaves it as it came, 1 shows the style alone.
    `preserve_color` keeps the source's chroma under the style's brush strokes. `smooth` (0..0.95)
    calms flicker: that much of what hardly changes comes from the frame shown before. `tone` is
    where the statistics of the network's norms come from: 0 from the scene itself, 1 from the
    average of many photos.
    """

    blend: tuple[tuple[str, float], ...] = (("none", 1.0),)
    strength: float = 1.0
    preserve_color: bool = False
    smooth: float = 0.0
    tone: float = 0.25


@dataclass(frozen=True, slots=True)
class Frame:
    """One image on its way; `pts * time_base` is its media time in seconds."""

    image: Image
    pts: int
    time_base: Fraction
    captured_at: float  # monotonic seconds on this machine; only for latency
    style: Style = field(default=Style())
    height_px: int | None = None  # lines to stylize at, as `Image.lines`; None: the image's own
    duration: int = 0  # in time_base units; 0: unknown
    orders: Orders | None = None  # statistics of its stream; None: the image's own
    measured: Mapping[str, Measurement] = field(default_factory=dict)  # comes back with it
    service_s: float = 0.0  # comes back with it: seconds of its worker's time
    upcoming: Style | None = None  # what its stream will be asked for next, to be prepared
    upcoming_ready: bool = True  # comes back with it: whether the worker has that prepared

    @property
    def pts_s(self) -> float:
        """Media time in seconds."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """One packet of encoded sound; `clock` counts samples, 32 bits."""

    data: bytes
    clock: int
    arrived_at: float


class Source(Protocol):
    """Where frames come from. Pulled: `ready` first, then a slot in the ring, then `take`."""

    async def ready(self) -> bool:
        """Wait until a frame can be taken; False when there will be none any more."""

    def take(self) -> Frame:
        """The next frame (file) or the newest (live). Call only after `ready` said True."""


class Sink(Protocol):
    """Where frames go."""

    async def send(self, frame: Frame) -> None:
        """Accept one stylized frame; returning late is how a sink slows its pipeline down."""
