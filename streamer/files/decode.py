"""container → **decode** → color → ring: every frame of a video, in display order."""

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamer.errors import MediaError
from streamer.files.color import ToImage
from streamer.files.container import VideoInfo, decoded_frames, main_video, open_video, reason
from streamer.files.trim import TimeRange
from streamer.frame import Image


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """An image and its place in the new video; pts and duration in the video's time_base."""

    image: Image
    pts: int
    duration: int  # 0: unknown


class Decoder:
    """Iterate to decode. `damaged` counts what could not be decoded so far.

    `after` continues a run that got as far as this pts (of the new video).
    """

    def __init__(
        self,
        video: VideoInfo,
        trim: TimeRange,
        *,
        deinterlace: bool = True,
        after: int | None = None,
    ) -> None:
        self.damaged = 0
        self._video = video
        self._trim = trim
        self._shift = trim.shift(video.time_base)
        self._after = after
        self._deinterlacer = Deinterlacer() if deinterlace else None
        self._to_image = ToImage(video)

    @property
    def deinterlaced(self) -> bool:
        """Whether interlaced frames were met and made whole."""
        return self._deinterlacer is not None and self._deinterlacer.at_work

    def __iter__(self) -> Iterator[DecodedFrame]:
        try:
            yield from self._pictures()
        except (av.FFmpegError, ValueError) as error:  # what no skipping helps against
            raise MediaError(f"{self._video.path}: {reason(error)}") from error

    def _pictures(self) -> Iterator[DecodedFrame]:
        for frame, pts, duration in self._timed():
            if self._trim.is_after(pts, self._video.time_base):
                return
            if not self._is_skipped(pts):
                yield DecodedFrame(self._to_image(frame), pts - self._shift, duration)

    def _is_skipped(self, pts: int) -> bool:
        if self._after is not None:
            return pts - self._shift <= self._after
        return self._trim.is_before(pts, self._video.time_base)

    def _timed(self) -> Iterator[tuple[VideoFrame, int, int]]:
        """Decoded frames with pts that always grow, whatever the file says."""
        step = max(1, round(1 / (self._video.rate * self._video.time_base)))
        least, usual = None, 0
        for frame, said, duration in self._whole():
            pts = usual if said is None else said
            pts = pts if least is None else max(pts, least)
            least, usual = pts + 1, pts + (duration or step)
            yield frame, pts, duration

    def _whole(self) -> Iterator[tuple[VideoFrame, int | None, int]]:
        for frame in self._decoded():
            if self._deinterlacer is None:
                yield frame, frame.pts, frame.duration
            else:
                yield from self._deinterlacer.push(frame)
        if self._deinterlacer is not None:
            yield from self._deinterlacer.flush()

    def _decoded(self) -> Iterator[VideoFrame]:
        wanted = self._first_wanted()
        for seek_to in (wanted, None) if wanted is not None else (None,):
            with open_video(self._video.path) as container:
                frames = self._from(container, seek_to)
                first = next(frames, None)
                landed_late = first is None or first.pts is None or first.pts > (seek_to or 0)
                if seek_to is not None and landed_late:
                    continue  # a poor index: decode from the beginning instead
                yield from itertools.chain([first] if first else [], frames)
                return

    def _first_wanted(self) -> int | None:
        """The pts in the file to seek to: there, or at a keyframe before, decoding begins."""
        if self._after is not None:
            return self._after + self._shift
        return self._shift if self._trim.start_s is not None else None

    def _from(self, container: InputContainer, seek_to: int | None) -> Iterator[VideoFrame]:
        self.damaged = 0
        stream = self._stream(container)
        if seek_to is not None:
            try:
                container.seek(seek_to, stream=stream)
            except av.FFmpegError:
                return  # no index at all
        for frame in decoded_frames(container, stream):
            if frame is None:
                self.damaged += 1
            else:
                yield frame

    def _stream(self, container: InputContainer) -> VideoStream:
        return main_video(container, self._video.path)


class Deinterlacer:
    """One whole picture for each frame of two fields; progressive frames pass untouched.

    bwdif looks one frame ahead, and doubles the time base: pts and durations are kept aside.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._times: deque[tuple[int | None, int]] = deque()

    @property
    def at_work(self) -> bool:
        """Whether an interlaced frame was met."""
        return self._graph is not None

    def push(self, frame: VideoFrame) -> Iterator[tuple[VideoFrame, int | None, int]]:
        """Frames that are ready once this one is known, with their pts and durations."""
        if self._graph is None:
            if not frame.interlaced_frame:
                yield frame, frame.pts, frame.duration
                return
            self._graph = self._build(frame)
        self._times.append((frame.pts, frame.duration))
        self._graph.vpush(frame)
        yield from self._pull()

    def flush(self) -> Iterator[tuple[VideoFrame, int | None, int]]:
        """What is left when the video is over."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._pull()

    def _pull(self) -> Iterator[tuple[VideoFrame, int | None, int]]:
        assert self._graph is not None
        while self._times:
            try:
                frame = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield frame, *self._times.popleft()

    def _build(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        size = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
        nodes = (
            graph.add("buffer", f"{size}:time_base=1/90000"),
            graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced"),
            graph.add("buffersink"),
        )
        graph.link_nodes(*nodes)
        graph.configure()
        return graph
