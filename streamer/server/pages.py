"""Pages: the web page built into the package, Swagger UI at /docs, one stream at /watch/NAME.

They load nothing from other servers.
"""

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from streamer.server import qr

HTML = "text/html"
PAGE = Path(__file__).parents[1] / "web"

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
    for path in sorted(PAGE.glob("*")):
        if path.is_dir():
            app.mount(f"/{path.name}", StaticFiles(directory=path), path.name)
        else:
            _add_file(app, f"/{path.name}", path)


def add_phone(app: FastAPI, url: str | None) -> None:
    """The address for a phone on the same network, as text and as a QR code.

    None: a phone's browser would not give its camera there. The address contains the token, which
    a client that gets this far has sent already.
    """

    async def phone() -> Response:
        return JSONResponse({"url": url})

    app.add_api_route("/phone", phone, include_in_schema=False)
    if url is not None:
        _add_text(app, "/phone.svg", qr.svg(url), "image/svg+xml")


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
    if (PAGE / name).is_file() and not root_path:
        _add_file(app, route, PAGE / name)
    elif (PAGE / name).is_file():
        _add_text(app, route, _moved((PAGE / name).read_text(encoding="utf-8"), root_path), HTML)
    else:
        _add_text(app, route, _NOT_BUILT, HTML)


def _moved(page: str, root_path: str) -> str:
    """A built page for --root-path: its scripts read `data-root` and put it before every route."""
    page = page.replace('="/', f'="{root_path}/')
    return page.replace("<html ", f'<html data-root="{root_path}" ', 1)


def _add_file(app: FastAPI, route: str, path: Path) -> None:
    async def file() -> Response:
        return FileResponse(path)

    app.add_api_route(route, file, methods=["GET", "HEAD"], include_in_schema=False)


def _add_text(app: FastAPI, route: str, text: str, media_type: str) -> None:
    async def page() -> Response:
        return Response(text, media_type=media_type)

    app.add_api_route(route, page, methods=["GET", "HEAD"], include_in_schema=False)
