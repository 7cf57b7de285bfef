"""An address as a QR code, so that nobody types a token into a phone."""

import io

import segno


def terminal(text: str) -> str:
    """For a dark or light terminal; two rows of the code in each line."""
    out = io.StringIO()
    segno.make(text, error="l").terminal(out, border=2, compact=True)
    return out.getvalue()


def svg(text: str) -> str:
    """As a picture of its own."""
    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind="svg", scale=4, border=1)
    return out.getvalue().decode()
