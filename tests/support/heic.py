"""HEIC files as phones write them: one image of HEVC, or a grid of tiles (ISO/IEC 23008-12)."""

import io
import struct
from collections.abc import Sequence

import av
import numpy as np
from av.video.stream import VideoStream

from streamer.i420 import Pixels

FULL, INFE = 0, 2


def heic(rgb: Pixels, *, tile_px: int | None = None, turns: int = 0, exif: bytes = b"") -> bytes:
    """The picture (height, width, 3), in tiles when asked for, to be turned by 90° `turns` times.

    Tiles have to fill the picture. `turns` are anticlockwise, as the `irot` property has it.
    """
    height, width = rgb.shape[:2]
    side = tile_px or 0
    tiles = [
        np.ascontiguousarray(rgb[y : y + (side or height), x : x + (side or width)])
        for y in range(0, height, side or height)
        for x in range(0, width, side or width)
    ]
    coded = [_hevc(tile) for tile in tiles]
    bodies = [data for _, data in coded]
    kinds = [b"hvc1"] * len(bodies)
    primary = 1
    if tile_px:
        rows, columns = height // side, width // side
        bodies.append(struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height))
        kinds.append(b"grid")
        primary = len(bodies)
    if exif:
        bodies.append(struct.pack(">I", 0) + exif)
        kinds.append(b"Exif")
    sizes = tiles[0].shape[1::-1], (width, height)
    ispe = [_box(b"ispe", struct.pack(">II", *size), 0) for size in sizes]
    properties = [_box(b"hvcC", coded[0][0]), *ispe, _box(b"irot", bytes([turns]))]
    return _file(list(zip(kinds, bodies, strict=True)), primary, len(tiles), b"".join(properties))


def _file(
    items: Sequence[tuple[bytes, bytes]], primary: int, tiles: int, properties: bytes
) -> bytes:
    kinds, bodies = [kind for kind, _ in items], [body for _, body in items]
    used = {number: [0x81, 2] for number in range(1, tiles + 1)}
    used.setdefault(primary, [])
    used[primary] = [*used[primary][:1], 3, 0x84] if primary <= tiles else [3, 0x84]
    links = b"".join(
        struct.pack(">HB", item, len(found)) + bytes(found) for item, found in used.items()
    )
    infe = [
        _box(b"infe", struct.pack(">HH4sB", n, 0, kind, 0), INFE) for n, kind in enumerate(kinds, 1)
    ]
    refs = b""
    if primary > tiles:
        to = struct.pack(f">HH{tiles}H", primary, tiles, *range(1, tiles + 1))
        refs += _box(b"dimg", to)
    if kinds[-1] == b"Exif":
        refs += _box(b"cdsc", struct.pack(">HHH", len(kinds), 1, primary))

    def meta(start: int) -> bytes:
        places, at = b"", start
        for number, body in enumerate(bodies, 1):
            places += struct.pack(">HHHII", number, 0, 1, at, len(body))
            at += len(body)
        return _box(
            b"meta",
            _box(b"hdlr", struct.pack(">I4s12xB", 0, b"pict", 0), 0)
            + _box(b"pitm", struct.pack(">H", primary), 0)
            + _box(b"iloc", struct.pack(">BBH", 0x44, 0, len(bodies)) + places, 0)
            + _box(b"iinf", struct.pack(">H", len(infe)) + b"".join(infe), 0)
            + _box(
                b"iprp",
                _box(b"ipco", properties) + _box(b"ipma", struct.pack(">I", len(used)) + links, 0),
            )
            + (_box(b"iref", refs, 0) if refs else b""),
            0,
        )

    kind = _box(b"ftyp", b"heic\0\0\0\0mif1heic")
    start = len(kind) + len(meta(0)) + 8
    return kind + meta(start) + _box(b"mdat", b"".join(bodies))


def _box(name: bytes, body: bytes, version: int | None = None) -> bytes:
    head = b"" if version is None else bytes([version, 0, 0, 0])
    return struct.pack(">I4s", 8 + len(head) + len(body), name) + head + body


def _hevc(rgb: Pixels) -> tuple[bytes, bytes]:
    """The decoder configuration (hvcC) and the coded image."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        options = {"preset": "fast", "crf": "8", "x265-params": "log-level=none:keyint=1"}
        stream = out.add_stream("libx265", 25, options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = rgb.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.codec_tag = "hvc1"
        frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
        out.mux([*stream.encode(frame), *stream.encode(None)])
    with av.open(io.BytesIO(file.getvalue()), "r") as container:
        extradata = container.streams.video[0].codec_context.extradata
        assert extradata is not None
        return bytes(extradata), bytes(next(container.demux(video=0)))
