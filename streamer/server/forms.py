"""Multipart bodies, read by a route itself, once it knows that it wants them.

FastAPI's own `UploadFile` parameters are read before the route is called, so 32 MiB would come
in for a style that does not exist.
"""

import logging
from typing import Any

from fastapi.exceptions import HTTPException
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.requests import Request

# It logs a warning, or several, for each malformed form, and so would fill the log.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


async def read_image(request: Request) -> tuple[bytes, str, str | None]:
    """The field `image`: its bytes and file name; and the field `name`, if any.

    Raises HTTPException 422 without `image`, 400 for a body that is no form.
    """
    try:
        async with request.form(max_files=1, max_fields=8) as form:
            image, name = form.get("image"), form.get("name")
            if not isinstance(image, UploadFile):
                raise HTTPException(422, "send the picture as the multipart field 'image'")
            return await image.read(), image.filename or "", name if isinstance(name, str) else None
    except (FormParserError, LookupError, ValueError) as failure:
        raise HTTPException(400, f"the body is not a multipart form: {failure}") from None


def form_schema(**fields: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI of a body with `image` and `fields`."""
    properties = {"image": {"type": "string", "format": "binary"}, **fields}
    schema = {"type": "object", "required": ["image"], "properties": properties}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }
