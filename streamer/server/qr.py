"""An address as a QR code, so that nobody has to type a token into a phone."""

import io

import segno


def terminal(text: str) -> str:
    """As text for dark and light terminals; a line holds two rows of modules."""
    out = io.StringIO()
    segno.make(text, error="l").terminal(out, border=2, compact=True)
    return out.getvalue()


def svg(text: str) -> str:
    """As an SVG file."""
    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind="svg", scale=4, border=1)
    return out.getvalue().decode()
