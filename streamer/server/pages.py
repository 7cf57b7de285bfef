"""Pages: the web page built into the package, Swagger UI at /docs, one stream at /watch/NAME.

They load nothing from other servers. Texts are compressed once, when the server starts; what has a
hash in its name is kept by browsers for a year, all else is asked for again by its ETag.
"""

import functools
import gzip
import hashlib
import mimetypes
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import FileResponse, Response

HTML = "text/html"
PAGE = Path(__file__).parents[1] / "web"
HASHED = "assets"  # where Vite puts files that have a hash in their names

_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_TEXTS = {".css", ".html", ".js", ".json", ".svg", ".webmanifest"}

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>streamer</title>
<h1>streamer is running, but its web page is not built</h1>
<p>Run <code>make web</code> in a checkout and start again,
or use the API: <a href="/docs">/docs</a>.</p></html>"""

_DOCS = """<!doctype html><html lang="en"><meta charset="utf-8"><title>streamer API</title>
<link rel="stylesheet" href="docs/swagger-ui.css"><link rel="icon" href="docs/favicon.png">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></html>"""

# Without validatorUrl, Swagger UI shows our API to a validator on the internet.
_START = """SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", validatorUrl: null,
  deepLinking: true, presets: [SwaggerUIBundle.presets.apis]});"""


def add_page(app: FastAPI, root_path: str) -> None:
    """Serve the built page at `/`, or say how to build it.

    One route a file and no catch-all, so that other paths stay a JSON 404.
    """
    _add_built(app, "/", "index.html", root_path)
    for path in sorted(path for path in PAGE.rglob("*") if path.is_file()):
        relative = path.relative_to(PAGE)
        cache = _FOR_EVER if relative.parts[0] == HASHED else _ASK_AGAIN
        _add_file(app, f"/{relative.as_posix()}", path, cache)


def add_docs(app: FastAPI) -> None:
    """Swagger UI at /docs, its files taken from the fastapi-offline package."""
    static = Path(str(files("fastapi_offline"))) / "static"
    _add_text(app, "/docs", _DOCS, HTML)
    _add_text(app, "/docs/start.js", _START, "text/javascript")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        _add_file(app, f"/docs/{name}", static / name)


def add_watch(app: FastAPI, root_path: str) -> None:
    """A page of one stream's video alone, for OBS's browser source or a projector.

    Its scripts are among the files of `add_page`.
    """
    _add_built(app, "/watch/{name}", "watch.html", root_path)


def _add_built(app: FastAPI, route: str, name: str, root_path: str) -> None:
    page = PAGE / name
    built = _moved(page.read_text(encoding="utf-8"), root_path) if page.is_file() else _NOT_BUILT
    _add_text(app, route, built, HTML)


def _moved(page: str, root_path: str) -> str:
    """A built page for --root-path: its scripts read `data-root` and put it before every route."""
    page = page.replace('="/', f'="{root_path}/')
    return page.replace("<html ", f'<html data-root="{root_path}" ', 1)


def _add_file(app: FastAPI, route: str, path: Path, cache: str = _ASK_AGAIN) -> None:
    if path.suffix in _TEXTS:
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        _add_packed(app, route, path.read_bytes(), kind, cache)
        return

    async def file() -> Response:
        return FileResponse(path, headers={"Cache-Control": cache})  # answers ranges as well

    app.add_api_route(route, file, methods=["GET", "HEAD"], include_in_schema=False)


def _add_text(app: FastAPI, route: str, text: str, media_type: str) -> None:
    _add_packed(app, route, text.encode(), media_type, _ASK_AGAIN)


def _add_packed(app: FastAPI, route: str, data: bytes, media_type: str, cache: str) -> None:
    packed = _packed(data)
    tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    headers = {"Cache-Control": cache, "ETag": tag, "Vary": "Accept-Encoding"}

    async def page(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, 200, headers | {"Content-Encoding": "gzip"}, media_type)
        return Response(data, 200, headers, media_type)

    app.add_api_route(route, page, methods=["GET", "HEAD"], include_in_schema=False)


@functools.cache
def _packed(data: bytes) -> bytes:
    """Compressed once, however many applications a process makes: tests make thousands."""
    return gzip.compress(data, mtime=0)
