"""stylizer → **i420** → network: I420 ↔ RGB, sizes, mixing.

RGB is 8 bits, BT.601 video range on the I420 side. Chroma is averaged down and interpolated
up, centred on its 2x2 luma pixels; OpenCV's own I420 conversion keeps one pixel in four,
which makes fine strokes flicker in colour.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.frame import Image, Plane, Size, i420_size

Pixels = NDArray[np.uint8]  # (height, width, 3) RGB
Weights = NDArray[np.float32]  # one for each style of a network; their sum is 1

# Down to this scale, interpolating is nearer to a Lanczos filter than averaging areas (RMS 1.75 to
# 2.02 of 255 at 3/4, 1.80 to 2.04 at 2/3), and takes a fifth of the time.
_INTERPOLATED = 0.6

_KR, _KB = 0.299, 0.114  # ITU-R BT.601
_KG = 1 - _KR - _KB
_LUMA = np.array([[_KR * 219 / 255, _KG * 219 / 255, _KB * 219 / 255, 16]])
_BLUE = np.array([-_KR, -_KG, 1 - _KB]) / (1 - _KB) * 112 / 255
_RED = np.array([1 - _KR, -_KG, -_KB]) / (1 - _KR) * 112 / 255
_CHROMA = np.array([[*_BLUE, 128], [*_RED, 128]])
_TO_YUV = np.vstack([_LUMA, _CHROMA])
_INVERSE = np.linalg.inv(_TO_YUV[:, :3])
_TO_RGB = np.hstack([_INVERSE, -_INVERSE @ _TO_YUV[:, 3:]])


def blank(width: int, height: int) -> Image:
    """An image to be written to; its content is whatever memory held."""
    return Image(width, height, np.empty(i420_size(width, height), np.uint8))


def to_rgb(image: Image) -> Pixels:
    """The image as (height, width, 3) RGB."""
    y, u, v = image.planes
    rows, columns = u.shape
    size = (2 * columns, 2 * rows)
    planes = [y, *(cv2.resize(p, size)[: image.height, : image.width] for p in (u, v))]
    return np.asarray(cv2.transform(cv2.merge(planes), _TO_RGB), np.uint8)


def from_rgb(rgb: Pixels) -> Image:
    """(height, width, 3) RGB as an image."""
    height, width = rgb.shape[:2]
    image = blank(width, height)
    y, u, v = image.planes
    cv2.transform(rgb, _LUMA, dst=y)
    even = _extend(rgb, width + width % 2, height + height % 2)
    small = cv2.resize(even, u.shape[::-1], interpolation=cv2.INTER_AREA)
    u[:], v[:] = cv2.split(cv2.transform(small, _CHROMA))
    return image


def resize(image: Image, width: int, height: int) -> Image:
    """The image at another size."""
    if image.size == (width, height):
        return image
    scale = (width * height / (image.width * image.height)) ** 0.5
    method = cv2.INTER_AREA if scale < _INTERPOLATED else cv2.INTER_LINEAR
    if scale >= 1:
        method = cv2.INTER_CUBIC
    resized = blank(width, height)
    for source, target in zip(image.planes, resized.planes, strict=True):
        cv2.resize(source, target.shape[::-1], dst=target, interpolation=method)
    return resized


def size_at(image: Image, height_px: int | None) -> Size:
    """An image's size with so many lines: of the same shape, never above its own."""
    if height_px is None or height_px >= image.lines:
        return image.size
    long_px = round(max(image.size) * height_px / image.lines)
    return (long_px, height_px) if image.width >= image.height else (height_px, long_px)


def pad(image: Image, multiple: int, least: int) -> Image:
    """The image with its edge repeated right and below: sides of k x `multiple`, >= `least`.

    `multiple` and `least` are even.
    """
    width, height = (max(least, -(-side // multiple) * multiple) for side in image.size)
    if (width, height) == (image.width, image.height):
        return image
    padded = blank(width, height)
    for source, target in zip(image.planes, padded.planes, strict=True):
        target[:] = _extend(source, target.shape[1], target.shape[0])
    return padded


def crop(image: Image, width: int, height: int) -> Image:
    """The top left `width` x `height` pixels."""
    if (width, height) == (image.width, image.height):
        return image
    cropped = blank(width, height)
    for source, target in zip(image.planes, cropped.planes, strict=True):
        target[:] = source[: target.shape[0], : target.shape[1]]
    return cropped


def surround(image: Image, margin: int) -> Image:
    """The image mirrored beyond its border; `margin` pixels on each side, even."""
    wide = blank(image.width + 2 * margin, image.height + 2 * margin)
    for source, target, width in zip(
        image.planes, wide.planes, (margin, margin // 2, margin // 2), strict=True
    ):
        edged = cv2.copyMakeBorder(source, width, width, width, width, cv2.BORDER_REFLECT)
        target[:] = edged
    return wide


def cut(image: Image, margin: int) -> Image:
    """Without `margin` pixels at the top and on the left, which are even."""
    rest = blank(image.width - margin, image.height - margin)
    for source, target, width in zip(
        image.planes, rest.planes, (margin, margin // 2, margin // 2), strict=True
    ):
        target[:] = source[width:, width:]
    return rest


def mix(parts: Sequence[tuple[float, Image]]) -> Image:
    """The weighted sum of images of one size; weights are positive and sum to 1."""
    (total, image), *others = parts
    data = image.data
    for share, other in others:
        total += share
        data = cv2.addWeighted(data, 1 - share / total, other.data, share / total, 0).ravel()
    return Image(image.width, image.height, data)


def recolor(image: Image, chroma_of: Image) -> Image:
    """The luma of one image with the chroma of another of the same size."""
    luma = image.width * image.height
    data = np.concatenate([image.data[:luma], chroma_of.data[luma:]])
    return Image(image.width, image.height, data)


def _extend(plane: Plane, width: int, height: int) -> Plane:
    bottom, right = height - plane.shape[0], width - plane.shape[1]
    if not (bottom or right):
        return plane
    return np.asarray(cv2.copyMakeBorder(plane, 0, bottom, 0, right, cv2.BORDER_REPLICATE))
