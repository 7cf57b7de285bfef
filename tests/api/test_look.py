"""What a look may say, and what becomes of it."""

from typing import Any

import pytest

from streamer.api.look import Look, lines_of, list_styles, look_of, style_of
from streamer.errors import UnknownStyleError, UsageError
from streamer.styles.catalogue import Catalogue


def test_a_look_becomes_a_style() -> None:
    look = Look({"mosaic": 3, "ember": 1}, 0.5, True, 0.25, "steady", "bold")
    style = style_of(look, Catalogue.load())
    assert dict(style.blend) == {"mosaic": 0.75, "ember": 0.25}
    assert (style.strength, style.preserve_color, style.smooth) == (0.5, True, 0.25)
    assert style.tone == 1.0 and lines_of(look) == 360


def test_a_name_alone_is_a_look_and_nothing_is_the_default() -> None:
    catalogue = Catalogue.load()
    assert look_of("mosaic") == Look("mosaic")
    assert style_of(look_of(None), catalogue).blend == ((catalogue.default, 1.0),)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"strength": 1.5}, "strength is a number from 0 to 1"),
        ({"smooth": 1}, "smooth is a number from 0 to 0.95"),
        ({"tone": "loud"}, "tone 'loud' is not own, calm, half, steady"),
        ({"tone": 7}, "tone '7' is not"),
        ({"brush": "huge"}, "brush is fine, medium, bold, not 'huge'"),
    ],
)
def test_what_is_out_of_range_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Look("mosaic", **given)


def test_unknown_styles_are_refused_where_they_are_used() -> None:
    with pytest.raises(UnknownStyleError, match="nosuch"):
        style_of(Look("nosuch"), Catalogue.load())


def test_styles_are_listed() -> None:
    styles = list_styles()
    assert [styles[0].name, styles[0].title] == ["none", "Camera"]
    assert {"mosaic", "ember"} <= {style.name for style in styles}
