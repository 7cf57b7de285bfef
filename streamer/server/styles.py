"""page → **styles_http** → styles_live: the styles there are, and a picture as one more."""

import asyncio
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Form, UploadFile

from streamer.server.admission import AdmissionLimit

ADDED_AT_ONCE = 1
ADDED_WAITING = 4


class Catalogue(Protocol):
    """What HTTP needs of `streamer.library.live.LiveCatalogue`."""

    def listing(self) -> dict[str, Any]: ...
    def parse(self, style: str) -> tuple[tuple[str, float], ...]: ...
    def add(self, picture: bytes, file_name: str, name: str | None) -> dict[str, Any]: ...


def styles(catalogue: Catalogue) -> APIRouter:
    """The routes of styles."""
    routes = APIRouter(prefix="/styles", tags=["styles"])
    turns = AdmissionLimit(ADDED_AT_ONCE, ADDED_WAITING, "new styles")

    @routes.get("")
    async def listing() -> dict[str, Any]:
        """The styles there are, and which one a stream starts with."""
        return catalogue.listing()

    @routes.post("", status_code=201, responses=_REFUSALS)
    async def add(
        image: UploadFile, name: Annotated[str | None, Form(max_length=64)] = None
    ) -> dict[str, Any]:
        """Make a painting a style, from now on; called `name`, else after its file."""
        async with turns.slot():
            data = await image.read()
            return await asyncio.to_thread(catalogue.add, data, image.filename or "", name)

    return routes


_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "the name is taken, or is none"},
    413: {"description": "too many bytes or pixels"},
    415: {"description": "not an image"},
    501: {"description": "the workers are on other machines"},
}
