"""codecs, color, camera → **avframe**: Image ↔ av.VideoFrame."""

from typing import Any, cast

import av
import numpy as np

from streamer.frame import Image, Plane, i420_size

I420 = ("yuv420p", "yuvj420p")  # of any range: samples are copied as they are


def to_image(frame: av.VideoFrame) -> Image:
    """Copy a decoded frame of any pixel format and stride into a flat I420 image."""
    if frame.format.name not in I420:
        frame = frame.reformat(format="yuv420p")
    width, height = frame.width, frame.height
    image = Image(width, height, np.empty(i420_size(width, height), np.uint8))
    for into, plane in zip(image.planes, frame.planes, strict=True):
        into[:] = _view(plane)[: into.shape[0], : into.shape[1]]
    return image


def to_frame(image: Image, width: int | None = None, height: int | None = None) -> av.VideoFrame:
    """A yuv420p frame of the image, its last row and column repeated up to `width` x `height`."""
    frame = av.VideoFrame(width or image.width, height or image.height, "yuv420p")
    for plane, source in zip(frame.planes, image.planes, strict=True):
        into = _view(plane)
        rows, columns = source.shape
        into[:rows, :columns] = source
        into[rows : plane.height, :columns] = source[-1]
        into[: plane.height, columns : plane.width] = into[: plane.height, columns - 1 : columns]
    return frame


def _view(plane: av.video.plane.VideoPlane) -> Plane:
    """The bytes of a plane, writable, with the padding at the end of each row."""
    flat: Plane = np.frombuffer(cast(Any, plane), np.uint8)  # PyAV's buffers lack the annotation
    return flat[: plane.line_size * plane.height].reshape(plane.height, plane.line_size)
