"""browser → **videos** → files/uploads: video files over HTTP.

POST the file as the body, GET its progress, GET the result, DELETE it at any time. Only the
client that sent a file knows its id.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, Response

from streamer.files.uploads import VideoJobs
from streamer.frame import Style
from streamer.look import BRUSHES, Brush
from streamer.server.error_responses import error
from streamer.server.interfaces import Catalogue, Ring, require

_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def video_routes(ring: Ring, catalogue: Catalogue, jobs: VideoJobs) -> APIRouter:
    routes = APIRouter(prefix="/videos", tags=["videos"])

    @routes.post("", status_code=201, openapi_extra=_BODY)
    async def upload(
        request: Request,
        name: Annotated[str, Query(min_length=1, max_length=200)],
        style: str,
        strength: Annotated[float, Query(ge=0, le=1)] = 1.0,
        preserve_color: bool = False,
        *,
        brush: Brush | None = None,
    ) -> Response:
        """Send a video file to be stylized; `name` is its file name, `style` may be a blend."""
        height_px = None if brush is None else BRUSHES[brush]
        look = Style(catalogue.parse(style), strength, preserve_color)
        require(ring)
        try:
            job = await jobs.upload(name, look, request.stream(), height_px=height_px)
        except ClientDisconnect:  # nobody reads the answer
            return Response(status_code=400)
        location = f"{request.scope['root_path']}/videos/{job.id}"
        return JSONResponse(job.as_dict(), 201, {"Location": location})

    @routes.get("/{job_id}")
    async def progress(job_id: str) -> Any:
        """State, frames done, frames per second, and the estimated time left."""
        job = jobs.find(job_id)
        return _not_found() if job is None else job.as_dict()

    @routes.get("/{job_id}/preview", response_class=FileResponse)
    async def preview(job_id: str) -> Response:
        """The first stylized frame, a JPEG, as soon as there is one."""
        job = jobs.find(job_id)
        if job is None:
            return _not_found()
        if not job.preview.exists():
            return error(409, "not_ready", "no frame is stylized yet; try again in a few seconds")
        return FileResponse(job.preview, media_type="image/jpeg")

    @routes.get("/{job_id}/result", response_class=FileResponse)
    async def result(job_id: str) -> Response:
        """The stylized video: an MP4 with the audio of the original."""
        job = jobs.find(job_id)
        if job is None:
            return _not_found()
        if job.state != "done":
            return error(409, "not_done", job.message or f"it is still {job.state}")
        return FileResponse(job.target, media_type="video/mp4", filename=job.result_name)

    @routes.delete("/{job_id}")
    async def remove(job_id: str) -> Response:
        """Cancel it and delete its files."""
        return Response() if await jobs.remove(job_id) else _not_found()

    return routes


def _not_found() -> Response:
    return error(404, "not_found", "no such video; results are deleted after an hour")
