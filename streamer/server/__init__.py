"""HTTP: the page, WHIP and WHEP, streams, photos, videos, styles and metrics."""
