"""page → **film_http** → film_jobs: films over HTTP.

POST the file as the body, GET how far it is, GET the result, DELETE it at any time. The id is
only known to who sent the film.
"""

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, Response

from streamer.files.uploads import VideoJobs
from streamer.frame import Style
from streamer.server.error_responses import error
from streamer.server.whip import Readiness, require

_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Names(Protocol):
    """What a film needs of the catalogue."""

    def parse(self, style: str) -> tuple[tuple[str, float], ...]: ...


def films(ring: Readiness, styles: Names, jobs: VideoJobs) -> APIRouter:
    """The routes of films."""
    routes = APIRouter(prefix="/films", tags=["films"])

    @routes.post("", status_code=201, openapi_extra=_BODY)
    async def upload(
        request: Request,
        name: Annotated[str, Query(min_length=1, max_length=200)],
        style: str,
        strength: Annotated[float, Query(ge=0, le=1)] = 1.0,
        preserve_color: bool = False,
    ) -> Response:
        """Send a film to be stylized; `name` is the file's, `style` may be a blend."""
        look = Style(styles.parse(style), strength, preserve_color)
        require(ring)
        try:
            job = await jobs.upload(name, look, request.stream())
        except ClientDisconnect:  # the person changed their mind; nobody reads the answer
            return Response(status_code=400)
        return JSONResponse(job.as_dict(), 201, {"Location": f"/films/{job.id}"})

    @routes.get("/{job_id}")
    async def look(job_id: str) -> Any:
        """How far it is."""
        job = jobs.find(job_id)
        return _gone() if job is None else job.as_dict()

    @routes.get("/{job_id}/result", response_class=FileResponse)
    async def result(job_id: str) -> Response:
        """The stylized film, an MP4 with the sound of the one that was sent."""
        job = jobs.find(job_id)
        if job is None:
            return _gone()
        if job.state != "done":
            return error(409, "not_done", job.message or f"it is still {job.state}")
        return FileResponse(job.target, media_type="video/mp4", filename=job.result_name)

    @routes.delete("/{job_id}")
    async def remove(job_id: str) -> Response:
        """Stop it and delete its files."""
        return Response() if await jobs.remove(job_id) else _gone()

    return routes


def _gone() -> Response:
    message = "there is no such film; results are kept for an hour, and until the server stops"
    return error(404, "not_found", message)
