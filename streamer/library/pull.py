"""published → **pull** → download → store: networks that others publish."""

import contextlib

from streamer.engine.onnx_file import make_size_dynamic, parse
from streamer.errors import ModelError, UsageError
from streamer.library import store
from streamer.library.download import DownloadError, Progress, download
from streamer.library.read import steady_of
from streamer.paths import user_models
from streamer.styles.model import StyleEntry
from streamer.styles.published import Published, find_published, published, titled


def find(name: str) -> Published:
    """By the name of the network or of its style. Raises UsageError."""
    model = find_published(name)
    if model is None:
        raise UsageError(f"{name} is not published; there are: {', '.join(published())}")
    return model


def pull(model: Published, name: str | None = None, progress: Progress = lambda _: None) -> str:
    """Fetch a network and add it; returns the name of its style.

    Raises UsageError when the name is taken and ModelError when no mirror has it; then nothing
    is left behind but what a download that broke off can resume.
    """
    style = store.to_name(name or model.style)
    store.check_free(style)
    part = user_models() / f"{model.sha256}.part"
    try:
        download(model.urls, part, model.bytes, model.sha256, progress)
        data = part.read_bytes()
        part.unlink()
    except DownloadError as error:
        hint = "; pull it again to resume" if part.exists() else ""
        raise ModelError(f"cannot fetch {model.name}: {error}{hint}") from None
    finally:
        with contextlib.suppress(OSError):  # it is not there, or not empty
            part.parent.rmdir()
    parsed = parse(data, model.name)
    make_size_dynamic(parsed)
    entry = StyleEntry(style, titled(style), model.description)
    network = parsed.SerializeToString()
    statistics = b""
    with contextlib.suppress(ModelError):  # it runs as it was published
        statistics = steady_of(network, model.layout)
    new = store.NewModel(
        style,
        network,
        model.layout,
        (entry,),
        model.license,
        model.urls[0],
        statistics=statistics,
    )
    return store.add(new)[0]
