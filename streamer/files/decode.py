"""container → **decode** → color → ring: every frame of a video, in display order."""

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import av
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame

from streamer.errors import MediaError
from streamer.files.clock import BestEffort, Clock, from_keyframe, growing
from streamer.files.color import Shape, ToImage, graph_of, shape_of, shape_of_result
from streamer.files.container import (
    Colors,
    VideoInfo,
    decoded_frames,
    main_video,
    open_video,
    reason,
)
from streamer.files.trim import TimeRange
from streamer.frame import Image

Timed = tuple[tuple[VideoFrame, Shape], int | None, int]  # with pts and duration
BWDIF = "mode={}:parity=auto:deint=interlaced"


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """An image and its place in the new video; pts and duration in the video's time_base."""

    image: Image
    pts: int
    duration: int  # 0: unknown


class Decoder:
    """Iterate to decode. `damaged` counts what could not be decoded so far.

    `after` continues a run that got as far as this pts (of the new video). `device` is one of
    FFmpeg's that decodes what it can. `colors` are those of the images, if not of the new video.
    """

    def __init__(
        self,
        video: VideoInfo,
        trim: TimeRange,
        *,
        deinterlace: bool = True,
        after: int | None = None,
        device: str | None = None,
        colors: Colors | None = None,
    ) -> None:
        self.damaged = 0
        self._video = video
        self._trim = trim
        self._shift = trim.shift(video.time_base)
        self._step = max(1, round(1 / (video.rate * video.time_base)))
        self._after = after
        self._device = device
        self._deinterlacer = Deinterlacer(fields=video.ticks > 1) if deinterlace else None
        shape = shape_of_result(video)
        canvas = shape if colors is None else replace(shape, colors=colors)
        self._to_image = ToImage(canvas, video.peak_nits)

    @property
    def deinterlaced(self) -> bool:
        """Whether interlaced frames were found and deinterlaced."""
        return self._deinterlacer is not None and self._deinterlacer.at_work

    @property
    def fits(self) -> bool:
        """Whether frames of another shape than the first were found and fitted."""
        return self._to_image.fits

    def __iter__(self) -> Iterator[DecodedFrame]:
        try:
            yield from self._wanted()
        except (av.FFmpegError, ValueError) as error:  # nothing that could be skipped
            raise MediaError(f"{self._video.path}: {reason(error)}") from error

    def _wanted(self) -> Iterator[DecodedFrame]:
        for (frame, shape), pts, duration in growing(self._progressive(), self._step):
            if self._trim.is_after(pts, self._video.time_base):
                return
            if not self._is_skipped(pts):
                yield DecodedFrame(self._to_image(frame, shape), pts - self._shift, duration)

    def _is_skipped(self, pts: int) -> bool:
        if self._after is not None:
            return pts - self._shift <= self._after
        return self._trim.is_before(pts, self._video.time_base)

    def _progressive(self) -> Iterator[Timed]:
        best_effort, ticks = BestEffort(), self._video.ticks
        for frame, shape in self._decoded():
            pts = best_effort(frame.pts, frame.dts)
            pts = None if pts is None else pts * ticks
            duration = frame.duration * ticks or (self._step * ticks if ticks > 1 else 0)
            if self._deinterlacer is None:
                yield (frame, shape), pts, duration
            else:
                yield from self._deinterlacer.push(frame, shape, pts, duration)
        if self._deinterlacer is not None:
            yield from self._deinterlacer.flush()

    def _decoded(self) -> Iterator[tuple[VideoFrame, Shape]]:
        wanted = self._first_wanted()
        for seek_to in (wanted, None) if wanted is not None else (None,):
            with open_video(self._video.path, self._device) as container:
                frames = self._from(container, seek_to)
                first = next(frames, None)
                landed_late = first is None or first[0].pts is None or first[0].pts > (seek_to or 0)
                if seek_to is not None and landed_late:
                    continue  # a poor index: decode from the beginning instead
                yield from itertools.chain([first] if first else [], frames)
                return

    def _first_wanted(self) -> int | None:
        """Decoding begins at this pts of the file, or at a keyframe before it."""
        if self._after is None and self._trim.start_s is None:
            return None
        return ((self._after or 0) + self._shift) // self._video.ticks

    def _from(
        self, container: InputContainer, seek_to: int | None
    ) -> Iterator[tuple[VideoFrame, Shape]]:
        self.damaged = 0
        stream = main_video(container, self._video.path)
        stream.thread_type = "AUTO"
        clock = Clock(container)
        packets = clock.packets([stream])
        if seek_to is not None and clock.jumps:  # no seeking by time in a file whose clock jumps
            packets = from_keyframe(packets, seek_to)
        elif seek_to is not None:
            try:
                start = round(clock.start_s / (self._video.time_base * self._video.ticks))
                container.seek(seek_to + start, stream=stream)
            except av.FFmpegError:
                return  # no index at all
        for frame in decoded_frames(packets, stream):
            if frame is None:
                self.damaged += 1
                continue
            aspect = stream.codec_context.sample_aspect_ratio
            # The container's word counts, as long as the codec's stays what it was.
            is_same = aspect == self._video.stream_aspect
            yield frame, shape_of(frame, self._video.aspect if is_same else aspect)


class Deinterlacer:
    """One progressive frame for each interlaced one, or with `fields` for each of its fields.

    Progressive ones pass untouched.

    bwdif looks one frame ahead and doubles the time base: times and shapes are kept aside.
    """

    def __init__(self, *, fields: bool = False) -> None:
        self._fields = fields
        self.at_work = False  # an interlaced frame was found
        self._graph: Graph | None = None
        self._key: tuple[object, ...] = ()
        self._kept: deque[tuple[Shape, int | None, int]] = deque()

    def push(
        self, frame: VideoFrame, shape: Shape, pts: int | None, duration: int
    ) -> Iterator[Timed]:
        """Frames that are ready once this one is known."""
        key = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if self._graph is not None and key != self._key:
            yield from self.flush()
        if self._graph is None:
            if not frame.interlaced_frame:
                yield (frame, shape), pts, duration
                return
            self.at_work = True
            mode = "send_field" if self._fields else "send_frame"
            self._graph, self._key = graph_of(frame, ("bwdif", BWDIF.format(mode))), key
        if self._fields and frame.interlaced_frame:
            half = duration // 2
            self._kept.append((shape, pts, half))
            pts, duration = None if pts is None else pts + half, duration - half
        self._kept.append((shape, pts, duration))
        self._graph.vpush(frame)
        yield from self._pull()

    def flush(self) -> Iterator[Timed]:
        """What is left when nothing more comes, or frames of another kind."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._pull()
            self._graph = None
            self._kept.clear()

    def _pull(self) -> Iterator[Timed]:
        assert self._graph is not None
        while self._kept:
            try:
                frame = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            shape, pts, duration = self._kept.popleft()
            yield (frame, shape), pts, duration
