"""Whether a network has a part in a style."""

import pytest

from streamer.frame import Style
from streamer.styles.model import is_painted


@pytest.mark.parametrize(
    ("style", "painted"),
    [
        (Style(), False),
        (Style((("mosaic", 1.0),), strength=0), False),
        (Style((("mosaic", 1.0),), strength=0.1), True),
        (Style((("none", 0.5), ("mosaic", 0.5))), True),
    ],
)
def test_only_what_a_network_makes_is_painted(style: Style, painted: bool) -> None:
    assert is_painted(style) is painted
