"""browser → **styles** → library/live: lists the styles, and makes an uploaded picture a style.

What a user added is renamed, removed and handed out as a file, too.
"""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import HTTPException
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, Response

from streamer.server.admission import AdmissionLimit
from streamer.server.forms import form_schema, read_image
from streamer.server.interfaces import Catalogue

ADDED_AT_ONCE = 1
ADDED_WAITING = 4
NAME_CHARACTERS = 64


class Title(BaseModel):
    """What a style is called where it is listed."""

    title: str = Field(min_length=1, max_length=NAME_CHARACTERS, pattern=r"\S")


_RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"description": "the name is taken or invalid"},
    413: {"description": "too many bytes or pixels"},
    415: {"description": "not an image"},
    501: {"description": "this installation cannot do it; the message says what is missing"},
}


def style_routes(catalogue: Catalogue) -> APIRouter:
    routes = APIRouter(prefix="/styles", tags=["styles"])
    limit = AdmissionLimit(ADDED_AT_ONCE, ADDED_WAITING, "new styles")

    @routes.get("")
    async def listing() -> dict[str, Any]:
        """The styles, and the one a stream starts with."""
        return catalogue.listing()

    name_field = {"type": "string", "maxLength": NAME_CHARACTERS}

    @routes.post(
        "", status_code=201, responses=_RESPONSES, openapi_extra=form_schema(name=name_field)
    )
    async def add(request: Request) -> dict[str, Any]:
        """Make a picture a style; called `name`, or after its file. Streams can use it at once."""
        async with limit.place() as slot:
            data, file_name, name = await read_image(request)
            if name is not None and len(name) > NAME_CHARACTERS:
                raise HTTPException(422, f"name: at most {NAME_CHARACTERS} characters")
            async with slot:
                return await asyncio.to_thread(catalogue.add, data, file_name, name)

    @routes.patch("/{name}")
    async def rename(name: str, wanted: Title) -> dict[str, Any]:
        """Give a style that was added another title; its name stays."""
        return await asyncio.to_thread(catalogue.rename, name, wanted.title.strip())

    @routes.delete("/{name}")
    async def remove(name: str) -> Response:
        """Forget a style that was added, and the other styles of its file."""
        await asyncio.to_thread(catalogue.remove, name)
        return Response()

    @routes.get("/{name}/model", response_class=FileResponse)
    async def export(name: str) -> Response:
        """The ONNX file of a style that was added, for `streamer styles add` elsewhere."""
        path = await asyncio.to_thread(catalogue.file_of, name)
        return FileResponse(path, media_type="application/octet-stream", filename=path.name)

    return routes
