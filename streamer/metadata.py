"""photo → **metadata**: what a picture file says beside its pixels, as far as it stays true.

It comes from strangers, and goes into files that other programs read: all of it is bounded, and
what is damaged is left out with a note.
"""

import re
from typing import Any, Final

from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

ORIENTATION, GPS, XMP = 0x0112, 0x8825, 700  # EXIF tags
MAX_XMP_BYTES: Final = 1 << 20
MAX_TEXT_BYTES: Final = 1 << 20  # of all texts of a PNG
JPEG_EXIF_BYTES: Final = 65_533  # a segment of a JPEG holds no more
JPEG_XMP_BYTES: Final = JPEG_EXIF_BYTES - 29
# Tags of TIFF, and the profile, that say how the pixels of the original are written, and two of
# Photoshop's that hold its thumbnail and layers.
_OF_PIXELS = frozenset({*range(254, 350), *range(512, 533), 34377, 34675, 37724}).difference(
    (269, 270, 271, 272, 282, 283, 285, 296, 297, 305, 306, 315, 316)  # texts and the resolution
)
_LOCATION = re.compile(r"(?:^|[:<])(?:gps|latitude|longitude)|wgs84_pos", re.IGNORECASE)
_TURN = re.compile(r"""tiff:Orientation=(["'])\d\1|<tiff:Orientation>\s*\d\s*</tiff:Orientation>""")
# Namespaces of what lies elsewhere in the file (more XMP, a film, depths, the gains of HDR), and of
# thumbnails: all of the original.
_OF_ORIGINAL = re.compile(
    r"http://ns\.(?:google\.com/photos/(?:1\.0/(?:camera|container|image|depthmap)|dd)"
    r"|adobe\.com/(?:xmp/note|hdr-gain-map|xap/1\.0/g/img)|apple\.com/(?:HDRGainMap|pixeldatainfo))/"
)
_NO_TEXT: Final = ("XML:com.adobe.xmp", "Raw profile type")  # keys of XMP, and of old programs
_LEFT_OUT: Final = "the location is left out; --keep-location keeps it"
_DAMAGED: Final = "its metadata ({}) is damaged and left out"


def exif_of(picture: Pillow.Image) -> Pillow.Exif | None:
    """None when it makes no sense; the picture may be whole all the same."""
    try:
        return picture.getexif()
    except Exception:  # whatever Pillow raises
        return None


def carried(
    picture: Pillow.Image, exif: Pillow.Exif | None, *, keep_location: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What is true of the result, too, once it is upright and sRGB, and notes on the rest."""
    dpi = picture.info.get("dpi")
    found: dict[str, Any] = {"dpi": dpi} if isinstance(dpi, tuple) else {}
    notes: list[str] = []
    for name, (value, note) in {
        "exif": _exif(exif, keep_location),
        "xmp": _xmp(picture.info.get("xmp"), keep_location),
        "texts": _texts(picture, keep_location),
    }.items():
        found |= {name: value} if value else {}
        notes += [note] if note and note not in notes else []
    return found, tuple(notes)


def saved(extra: dict[str, Any], kind: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What `carried` gave as Pillow's options to save in this format; notes on what it cannot
    hold."""
    options, notes = dict(extra), []
    xmp, texts = options.pop("xmp", None), options.pop("texts", None)
    if kind == "JPEG" and len(options.get("exif", b"")) > JPEG_EXIF_BYTES:
        del options["exif"]
        notes.append("its metadata (EXIF) is too long for a JPEG, and left out")
    if kind == "JPEG" and xmp and len(xmp) > JPEG_XMP_BYTES:
        xmp = None
        notes.append("its metadata (XMP) is too long for a JPEG, and left out")
    if texts and kind != "PNG":
        notes.append(f"the texts of the PNG are left out: {kind} has no place for them")
    if kind == "PNG":
        options["pnginfo"] = _png_info(xmp, texts or {})
    elif kind == "TIFF" and xmp:
        tags = Pillow.Exif()
        tags.load(options.get("exif", b""))
        tags[XMP] = xmp
        options["exif"] = tags
    elif xmp:
        options["xmp"] = xmp
    return options, tuple(notes)


def _exif(exif: Pillow.Exif | None, keep_location: bool) -> tuple[bytes, str]:
    if exif is None:
        return b"", _DAMAGED.format("EXIF")
    for tag in {*_OF_PIXELS, XMP}.intersection(exif):
        del exif[tag]
    located = not keep_location and exif.pop(GPS, None) is not None
    try:
        return exif.tobytes() if len(exif) else b"", _LEFT_OUT if located else ""
    except Exception:  # whatever Pillow raises for values it cannot write
        return b"", _DAMAGED.format("EXIF")


def _xmp(packet: Any, keep_location: bool) -> tuple[bytes, str]:
    """As it was, but for the turn, or nothing: it is not parsed, for it may be made to harm."""
    if not packet:
        return b"", ""
    try:
        text = (packet if isinstance(packet, str) else bytes(packet).decode()).rstrip("\0 \n")
    except (TypeError, ValueError):
        return b"", _DAMAGED.format("XMP")
    why = _unfit(text, keep_location)
    return (b"", f"its metadata (XMP) {why}") if why else (_TURN.sub("", text).encode(), "")


def _unfit(text: str, keep_location: bool) -> str:
    """Why a packet of XMP cannot be kept; empty when it can."""
    if "\0" in text:  # UTF-16, which no format but TIFF allows
        return "is damaged and left out"
    if len(text) > MAX_XMP_BYTES:
        return f"is longer than {MAX_XMP_BYTES >> 10} KiB, and left out"
    if _OF_ORIGINAL.search(text):
        return "is of parts that are not kept, and left out"
    if not keep_location and _LOCATION.search(text):
        return "holds the location and is left out; --keep-location keeps it"
    return ""


def _texts(picture: Pillow.Image, keep_location: bool) -> tuple[dict[str, str], str]:
    """Of a PNG."""
    if picture.format != "PNG":
        return {}, ""
    texts = {
        key: value
        for key, value in picture.info.items()
        if isinstance(key, str) and isinstance(value, str) and not key.startswith(_NO_TEXT)
    }
    if sum(map(len, (*texts, *texts.values()))) > MAX_TEXT_BYTES:
        return {}, f"its texts are longer than {MAX_TEXT_BYTES >> 10} KiB, and left out"
    located = [] if keep_location else [key for key in texts if _LOCATION.search(key)]
    for key in located:
        del texts[key]
    return texts, _LEFT_OUT if located else ""


def _png_info(xmp: bytes | None, texts: dict[str, str]) -> PngInfo:
    info = PngInfo()
    for key, value in texts.items():
        info.add_text(key, value)
    if xmp:
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return info
