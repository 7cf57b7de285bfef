"""receiver → **codecs** → intake, pacer → **codecs** → sender: encoded frames ↔ frames.

libvpx, libx264 and FFmpeg's decoders, run in threads. aiortc's encoders limit VP8 to 1.5 Mbps,
denoise (brush strokes are not noise), and restart with a keyframe whenever the target changes by
more than 10 %.
"""

from fractions import Fraction
from typing import Any, Literal, cast

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from streamer.avframe import I420, to_frame, to_image
from streamer.colorimetry import IN_RING, MATRICES, Colorimetry, recoded
from streamer.frame import VIDEO_CLOCK_HZ, VIDEO_TIME_BASE, Frame, Image
from streamer.ring.setup import cores
from streamer.webrtc.congestion import Bitrate
from streamer.webrtc.depayload import VideoCodec
from streamer.webrtc.jitter_buffer import EncodedFrame
from streamer.webrtc.quality_scaler import QualityScaler

Codec = Literal["VP8", "H264"]
DECODERS: dict[VideoCodec, str] = {
    "VP8": "vp8",
    "H264": "h264",
    "VP9": "vp9",
    "AV1": "libdav1d",
    "H265": "hevc",
}
FRAME = VIDEO_CLOCK_HZ // 30  # how long one lasts to an encoder
FRAME_MAX, FOLLOWED = VIDEO_CLOCK_HZ // 5, 0.1  # a gap says little of how often frames come
WORKED_PIXELS = 1920 * 1200  # more is scaled down on arrival
USUAL_BPS = 8_000_000  # above it, H.264 needs a larger buffer
FINEST = {"VP8": 16, "H264": 20}  # quantizers of 40 dB and more: nobody sees what more bits add
PAINTED = "deblock=0,0:subme=1"  # what `superfast` would add of use, at four fifths of its price
CORES = cores()
BT601 = 6  # matrix coefficients of ITU-T H.273
EXACT = 4 | 0x2000 | 0x4000 | 0x40000  # bicubic, whole chroma in and out, accurate rounding
IN_DECODER_MAX = 64  # frames a decoder may hold back before their arrival is forgotten


class Decoder:
    """Decodes one codec; survives damaged data and changes of size."""

    def __init__(self, codec: VideoCodec, max_pixels: int) -> None:
        self.codec = codec
        name = DECODERS[codec]
        self._context = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
        self._context.options = {"max_pixels": str(max_pixels)}
        self._context.thread_count = 1
        self._arrived: dict[int, float] = {}

    def decode(self, encoded: EncodedFrame) -> list[Frame]:
        """Blocking. Raises av.FFmpegError for damaged data and for a frame above `max_pixels`."""
        packet = av.Packet(encoded.data)
        packet.pts, packet.time_base = encoded.pts, VIDEO_TIME_BASE
        if len(self._arrived) > IN_DECODER_MAX:
            self._arrived.clear()
        self._arrived[encoded.pts] = encoded.arrived_at
        return [self._frame(av_frame, encoded) for av_frame in self._context.decode(packet)]

    def _frame(self, av_frame: av.VideoFrame, encoded: EncodedFrame) -> Frame:
        pts = encoded.pts if av_frame.pts is None else av_frame.pts
        arrived_at = self._arrived.pop(pts, encoded.arrived_at)
        return Frame(to_bt601(av_frame), pts, VIDEO_TIME_BASE, arrived_at)


def worked_size(width: int, height: int) -> tuple[int, int]:
    """The size at which a picture that large goes on: at most `WORKED_PIXELS`, its shape kept."""
    if width * height <= WORKED_PIXELS:
        return width, height
    scale = (WORKED_PIXELS / (width * height)) ** 0.5
    return int(width * scale) // 2 * 2, int(height * scale) // 2 * 2


def to_bt601(frame: av.VideoFrame) -> Image:
    """The frame with the matrix of BT.601 and in video range, to 1/255, in `worked_size`.

    WebRTC has no colour tags but those in the stream; without one, this is what browsers mean.
    """
    size = worked_size(frame.width, frame.height)
    if frame.format.is_rgb:
        to = Colorspace.ITU601
        return to_image(frame.reformat(*size, "yuv420p", None, to, interpolation=EXACT))
    is_full = frame.color_range == ColorRange.JPEG
    if frame.format.name not in I420 or size != (frame.width, frame.height):
        matrix, span = frame.colorspace, ColorRange.JPEG if is_full else ColorRange.MPEG
        frame = frame.reformat(
            *size, "yuv420p", src_color_range=span, dst_color_range=span, interpolation=EXACT
        )
        frame.colorspace = matrix
    source = Colorimetry(MATRICES.get(frame.colorspace, "bt601"), is_full)
    return recoded(to_image(frame), source, IN_RING)


class Encoder:
    """Encodes frames of any size at a bitrate that may change at any time.

    libx264 takes a new bitrate while it runs, up to the one it was opened for. FFmpeg's wrapper of
    libvpx does not. Either is opened again for a bitrate that is too far away, which costs a
    keyframe, so that is done seldom.
    """

    def __init__(self, codec: Codec, bitrate: Bitrate, lines_max: int | None = None) -> None:
        self.codec = codec
        self.keyframes = 0
        self._bitrate = bitrate
        self._open = {"VP8": self._open_vp8, "H264": self._open_h264}[codec]
        self._context: VideoCodecContext | None = None
        self._opened_at = 0  # pts
        self._serves = 0.0, 0.0  # bits per second, from and to
        self._last = -1  # pts
        self._lines_max = lines_max
        self._scaler = QualityScaler()
        self._interval = float(FRAME)  # between frames, of late

    def encode(self, frame: Frame, bps: int, keyframe: bool) -> "list[av.Packet[Any]]":
        """Blocking.

        No packet for a frame that is not later than the one before, nor for one that VP8 leaves
        out because the bitrate is too low for all of them.
        """
        pts = int(frame.pts * frame.time_base / VIDEO_TIME_BASE)
        if pts <= self._last:
            return []
        av_frame = self._av_frame(frame.image, self._scaler.update(frame.image, bps, pts))
        av_frame.pts, av_frame.time_base, av_frame.duration = pts, VIDEO_TIME_BASE, FRAME
        av_frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        packets = self._fit(av_frame, self._counted(bps, pts)).encode(av_frame)
        self._last = pts
        self._scaler.coded(bool(packets))
        self.keyframes += sum(packet.is_keyframe for packet in packets)
        return packets

    def _counted(self, bps: int, pts: int) -> int:
        """The bitrate as the encoder counts it: x264 without delay by frames, 30 to the second."""
        bps = self._bitrate.bound(bps)
        if self.codec != "H264":
            return bps
        if self._last >= 0:
            self._interval += FOLLOWED * (min(pts - self._last, FRAME_MAX) - self._interval)
        return min(round(bps * self._interval / FRAME), self._bitrate.max)

    def _av_frame(self, image: Image, divisor: int) -> av.VideoFrame:
        even = 2 if self.codec == "H264" else 1
        scale = 1 / divisor
        if self._lines_max is not None and image.lines > self._lines_max:
            scale = min(scale, self._lines_max / image.lines)
        if scale == 1:
            return to_frame(
                image, image.width + image.width % even, image.height + image.height % even
            )
        width, height = (max(2, round(side * scale / 2) * 2) for side in image.size)
        return to_frame(image).reformat(width, height, interpolation=Interpolation.AREA)

    def reset(self) -> None:
        """After an error: start again with the next frame."""
        self._context = None

    def _fit(self, av_frame: av.VideoFrame, bps: int) -> VideoCodecContext:
        """The current encoder if it fits this size and bitrate, else a new one."""
        context, pts = self._context, cast(int, av_frame.pts)
        size = av_frame.width, av_frame.height
        if context is None or (context.width, context.height) != size or self._too_far(bps, pts):
            context = self._open(*size, bps)
            self._opened_at = pts
        if self.codec == "H264":
            context.bit_rate = bps
        self._context = context
        return context

    def _too_far(self, bps: int, pts: int) -> bool:
        """Whether the change is worth a keyframe: soon for a lower bitrate, rarely for a higher."""
        (least, most), age_s = self._serves, (pts - self._opened_at) / VIDEO_CLOCK_HZ
        return (bps < least and age_s > 1) or (bps > most and age_s > 3)

    def _open_vp8(self, width: int, height: int, bps: int) -> VideoCodecContext:
        context, self._serves = _context("libvpx", width, height), (0.8 * bps, 1.4 * bps)
        context.bit_rate = bps
        context.qmin, context.qmax = FINEST["VP8"], 63
        context.options = {
            "bufsize": str(bps),
            "minrate": str(bps),  # equal to the maximum: constant bitrate
            "maxrate": str(bps),
            "cpu-used": "-8",
            "deadline": "realtime",
            "lag-in-frames": "0",
            "overshoot-pct": "15",
            "undershoot-pct": "100",
            "static-thresh": "1",
            "drop-threshold": "30",  # at its coarsest, fine strokes take several times the bitrate
        }
        return context

    def _open_h264(self, width: int, height: int, bps: int) -> VideoCodecContext:
        # x264 follows later changes only if it starts with a rate control buffer, and never goes
        # above the rate it starts with: so it is opened for more and then turned down. The
        # buffer keeps its size: the larger it is, the longer a lower rate takes (a second or two
        # for what the highest would fill in an eighth), and the larger keyframes get.
        context = _context("libx264", width, height)
        most = self._bitrate.bound(USUAL_BPS)
        self._serves = 0.0, float(most)
        if bps > most:
            most = self._bitrate.max
            self._serves = USUAL_BPS / 2, float(most)
        buffer = most // (24 if width * height <= 640 * 480 else 16)
        context.bit_rate = most
        context.profile = "Baseline"
        context.options = {
            "preset": "ultrafast",  # without adaptive quantization: paint is fine everywhere
            "tune": "zerolatency",
            "x264-params": PAINTED if width * height <= 1280 * 720 else "",
            "qmin": str(FINEST["H264"]),
            "maxrate": str(most),
            "bufsize": str(buffer),
            "rc_init_occupancy": str(min(buffer, bps // 8)),  # first keyframe: for the path
            "sc_threshold": "0",  # keyframes on request only
            "forced-idr": "1",
        }
        context.open()
        return context


def _context(name: str, width: int, height: int) -> VideoCodecContext:
    context = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
    context.width, context.height = width, height
    context.pix_fmt = "yuv420p"
    context.color_range, context.colorspace = ColorRange.MPEG, BT601
    context.time_base, context.framerate = VIDEO_TIME_BASE, Fraction(30)
    context.gop_size = 1 << 20
    context.thread_count = 1 if width * height <= 640 * 480 or CORES < 4 else 2
    return context
