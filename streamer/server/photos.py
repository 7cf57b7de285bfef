"""browser, curl → **photos** → ring: one photo in, the stylized JPEG out."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from streamer.bounded import EndedError, Limits, Pool
from streamer.errors import MediaError
from streamer.frame import Image, Style
from streamer.look import BRUSHES, Brush
from streamer.photo import decode_photo, encode_jpeg
from streamer.pipeline.run import ungrouped
from streamer.server.admission import AdmissionLimit
from streamer.server.forms import form_schema, read_image
from streamer.server.interfaces import Catalogue, Ring, require

T = TypeVar("T")

PHOTOS_AT_ONCE = 2
PHOTOS_WAITING = 8
CLIENT_LEFT = 499  # as nginx logs it; nobody reads it
# Of 50 megapixels HEIC takes most: 6 s and 1.2 GiB.
LIMITS: Final = Limits(cpu_s=15.0, memory_bytes=2 << 30, wall_s=60.0)

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}}},
    404: {"description": "unknown style; the message lists the known ones"},
    413: {"description": "too many bytes or pixels"},
    415: {"description": "not an image"},
}


class PhotoFiles:
    """Reads and writes photos of strangers in processes that can be ended, one of them kept warm.

    No pixel is touched in this process, nor copied: that would hold up live streams.
    """

    def __init__(self) -> None:
        self._pool = Pool(PHOTOS_AT_ONCE, LIMITS, "streamer.photo")

    def start(self) -> None:
        """Have a process that is warm."""
        self._pool.start()

    async def decode(self, data: bytes, max_pixels: int) -> Image:
        """As decode_photo; also raises MediaError for what takes too much time or memory."""
        return await self._call(decode_photo, data, max_pixels)

    async def encode(self, image: Image) -> bytes:
        """As encode_jpeg; raises MediaError as `decode` does."""
        return await self._call(encode_jpeg, image)

    async def _call(self, work: Callable[..., T], *args: object) -> T:
        try:
            return await asyncio.to_thread(lambda: self._pool.call(work, *args))
        except EndedError as error:
            raise MediaError(f"the picture is refused: {error}") from None

    async def aclose(self) -> None:
        """Reads and writes nothing more."""
        await asyncio.to_thread(self._pool.close)


def photo_routes(
    max_pixels: int,
    files: PhotoFiles,
    ring: Ring,
    catalogue: Catalogue,
    observe_s: Callable[[float], object],
) -> APIRouter:
    """`observe_s` gets the seconds that each photo took, from its last byte to its answer."""
    routes = APIRouter(tags=["photos"])
    limit = AdmissionLimit(PHOTOS_AT_ONCE, PHOTOS_WAITING, "photos")

    @routes.post(
        "/stylize/{style}",
        response_class=Response,
        responses=_RESPONSES,
        openapi_extra=form_schema(),
    )
    async def stylize(
        style: str,
        request: Request,
        strength: Annotated[float, Query(ge=0, le=1)] = 1.0,
        preserve_color: bool = False,
        brush: Brush | None = None,
    ) -> Response:
        """Stylize one photo; `style` may be a blend, `a:0.7,b:0.3`.

        The answer has the photo's size. Without `brush` the strokes are as fine as the photo;
        `fine`, `medium` and `bold` stylize at 720, 540 and 360 lines.
        """
        look = Style(catalogue.parse(style), strength, preserve_color)
        height_px = None if brush is None else BRUSHES[brush]
        require(ring)
        async with limit.place() as slot:
            data, _, _ = await read_image(request)
            began_at = time.monotonic()
            async with slot:
                photo = await files.decode(data, max_pixels)
                stylized = await while_connected(request, ring.stylize(photo, look, height_px))
                if stylized is None:
                    return Response(status_code=CLIENT_LEFT)
                jpeg = await files.encode(stylized)
        observe_s(time.monotonic() - began_at)
        return Response(jpeg, media_type="image/jpeg")

    return routes


async def _left(request: Request) -> None:
    """Return when the client has; what may come before is the end of a body that was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def while_connected(request: Request, work: Coroutine[None, None, T]) -> T | None:
    """What `work` returns; None, and it is cancelled, when the client leaves first."""
    with ungrouped():
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(work)
            leaving = tasks.create_task(_left(request))
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            working.cancel()
    return None if working.cancelled() else working.result()
