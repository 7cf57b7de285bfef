"""Stylize pictures, videos, cameras and live streams with neural styles.

    import streamer

    streamer.stylize("photo.jpg", "mosaic").save("out.jpg")

Everything in `__all__` is the public interface; docs/library.md says how it may change. Other
modules are no promise.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.api.camera import Camera, open_camera
    from streamer.api.look import Look, StyleInfo, list_styles
    from streamer.api.ring import Ring
    from streamer.api.stylizer import Stream, Stylizer, stylize
    from streamer.api.video import stylize_video, stylize_video_async
    from streamer.errors import StreamerError

__version__ = "0.1.0"
__all__ = [
    "Camera",
    "Look",
    "Ring",
    "Stream",
    "StreamerError",
    "StyleInfo",
    "Stylizer",
    "__version__",
    "list_styles",
    "open_camera",
    "stylize",
    "stylize_video",
    "stylize_video_async",
]
_HOMES = {
    "Camera": "api.camera",
    "Look": "api.look",
    "Ring": "api.ring",
    "Stream": "api.stylizer",
    "StreamerError": "errors",
    "StyleInfo": "api.look",
    "Stylizer": "api.stylizer",
    "list_styles": "api.look",
    "open_camera": "api.camera",
    "stylize": "api.stylizer",
    "stylize_video": "api.video",
    "stylize_video_async": "api.video",
}


def __getattr__(name: str) -> object:
    """Imported when it is used: `import streamer` takes a millisecond, NumPy and Ray do not."""
    if name not in _HOMES:
        raise AttributeError(f"module 'streamer' has no attribute {name!r}")
    return getattr(import_module(f"streamer.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
