import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.frame import Style
from streamer.pipeline.fade import Fade, mix

A, B = Style((("a", 1.0),), 1.0), Style((("b", 1.0),), 0.5)


def test_a_change_without_length_is_immediate() -> None:
    fade = Fade(A)
    fade.to(B, 0.0, now=10.0)
    assert fade.at(10.0) == B


def test_a_cross_fade_passes_the_middle_and_ends_at_the_target() -> None:
    fade = Fade(A)
    fade.to(B, 2.0, now=10.0)
    assert fade.at(10.0).blend == (("a", 1.0),)
    middle = fade.at(11.0)
    assert dict(middle.blend) == pytest.approx({"a": 0.5, "b": 0.5})
    assert middle.strength == pytest.approx(0.75)
    assert fade.at(12.0) == B


def test_a_change_on_the_way_starts_from_what_shows() -> None:
    fade = Fade(A)
    fade.to(B, 2.0, now=0.0)
    fade.to(A, 2.0, now=1.0)
    assert dict(fade.at(1.0).blend) == pytest.approx({"a": 0.5, "b": 0.5})
    assert dict(fade.at(2.0).blend) == pytest.approx({"a": 0.75, "b": 0.25})


def test_tone_and_smoothing_go_along() -> None:
    middle = mix(Style(tone=0.0, smooth=0.5), Style(tone=1.0, smooth=0.25), 0.75)
    assert (middle.tone, middle.smooth) == (0.75, 0.25)


@given(st.floats(0, 1), st.floats(0.05, 0.95))
def test_weights_always_sum_to_one(share: float, weight: float) -> None:
    blend = Style((("a", weight), ("c", 1 - weight)))
    assert sum(dict(mix(blend, B, share).blend).values()) == pytest.approx(1.0)
