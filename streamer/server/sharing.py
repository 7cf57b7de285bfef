"""*Send to* in the page → **sharing** → tokens: an admin lets a phone or viewers in.

Each gets a token of its own that may do less than the admin's, and that can be revoked.
"""

import asyncio
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.exceptions import HTTPException
from pydantic import BaseModel, Field
from starlette.responses import Response

from streamer.errors import UsageError
from streamer.server import qr, tokens

_OPEN = "this server has no token: whoever reaches it may do everything already"
_RESPONSES: dict[int | str, dict[str, Any]] = {400: {"description": "this server has no token"}}


class Wanted(BaseModel):
    """What a new token is for; admins are made by `streamer token` alone."""

    role: Literal["watch", "publish"] = "watch"
    stream: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    note: str = Field("", max_length=100)


def sharing_routes(*, closed: bool, phone_url: str | None) -> APIRouter:
    """`closed`: requests need a token. `phone_url`: the page as a phone reaches it, if one does."""
    routes = APIRouter(tags=["tokens"])
    writing = asyncio.Lock()

    async def make(wanted: Wanted) -> dict[str, str]:
        if not closed:
            raise HTTPException(400, _OPEN)
        async with writing:  # they are in one file
            made, text = await asyncio.to_thread(
                tokens.add, wanted.role, wanted.stream, wanted.note
            )
        return {"id": made.id, "token": text}

    @routes.post("/tokens", status_code=201, responses=_RESPONSES)
    async def add(wanted: Wanted) -> dict[str, str]:
        """Make a token that may watch or publish; it is shown this once."""
        return await make(wanted)

    @routes.delete("/tokens/{id_}", status_code=204, response_class=Response)
    async def revoke(id_: str) -> None:
        """Refuse a token, and end what it opened."""
        async with writing:
            try:
                await asyncio.to_thread(tokens.revoke, id_)
            except UsageError as unknown:
                raise HTTPException(404, str(unknown)) from None

    @routes.get("/phone")
    async def phone() -> dict[str, Any]:
        """Where a phone finds the page, null if nowhere, and whether it needs a token."""
        return {"url": phone_url, "closed": closed}

    @routes.post("/phone", status_code=201, responses=_RESPONSES)
    async def invite() -> dict[str, str]:
        """An address that lets a phone publish, and its QR code as SVG."""
        if phone_url is None:
            raise HTTPException(404, "no phone reaches this server: start it with --https --host")
        made = await make(Wanted(role="publish", stream=None, note="a phone"))
        url = f"{phone_url}?token={made['token']}"
        return {"id": made["id"], "url": url, "qr": qr.svg(url)}

    return routes
