import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import UsageError
from streamer.look import DEFAULT_TONE, TONES
from streamer.pipeline.change import MAX_MESSAGE_CHARACTERS, Change, read_change, read_id


def message(**wanted: object) -> str:
    return json.dumps({"id": 7, "set": wanted})


@pytest.mark.parametrize(
    ("wanted", "change"),
    [
        ({"style": "mosaic"}, Change(style="mosaic")),
        ({"style": {"a": 0.7, "b": 0.3}}, Change(style={"a": 0.7, "b": 0.3})),
        ({"strength": 0}, Change(strength=0.0)),
        ({"preserve_color": True}, Change(preserve_color=True)),
        ({"smooth": 0.5}, Change(smooth=0.5)),
        ({"tone": 0.25}, Change(tone=0.25)),
        ({"tone": "own"}, Change(tone=0.0)),
        ({"tone": "calm"}, Change(tone=TONES[DEFAULT_TONE])),
        ({"tone": "half"}, Change(tone=0.5)),
        ({"tone": "steady"}, Change(tone=1.0)),
        ({"brush": "bold"}, Change(brush="bold")),
        ({"height_px": "auto"}, Change(height_px="auto")),
        (
            {"height_px": 360, "style": "a", "transition_s": 1.5},
            Change(style="a", height_px=360, transition_s=1.5),
        ),
    ],
)
def test_what_can_be_set(wanted: dict[str, object], change: Change) -> None:
    assert read_change(message(**wanted)) == change


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "looks like"),
        ('{"id": 1}', "looks like"),
        ('{"set": {}}', "looks like"),
        (message(colour="red"), "cannot set colour"),
        (message(style=3), "blend"),
        (message(style={"a": "much"}), "blend"),
        (message(style={"a": True}), "blend"),
        (message(strength=1.1), "0 to 1"),
        (message(strength=-0.1), "0 to 1"),
        (message(strength="0.5"), "0 to 1"),
        ('{"set": {"strength": 1' + "0" * 400 + "}}", "0 to 1"),
        ('{"set": {"strength": NaN}}', "0 to 1"),
        (message(smooth=0.96), "0 to 0.95"),
        (message(transition_s=61), "0 to 60"),
        (message(preserve_color=1), "true or false"),
        (message(height_px=8), "16 to 4320"),
        (message(tone="loud"), "own, calm, half, steady or a number"),
        (message(tone=1.5), "0 to 1"),
        (message(tone="nan"), "0 to 1"),
        (message(tone=True), "0 to 1"),
        (message(brush="thin"), "fine, medium, bold"),
        (message(brush=["fine"]), "fine, medium, bold"),
        (message(height_px=True), "16 to 4320"),
        (message(height_px="high"), "16 to 4320"),
        (message(style="x" * MAX_MESSAGE_CHARACTERS), "characters"),
    ],
)
def test_what_cannot_be_set_is_said_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        read_change(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [('{"id": 7}', 7), ('{"id": "a"}', "a"), ('{"id": {}}', None), ("[]", None), ("{", None)],
)
def test_read_id(text: str, found: object) -> None:
    assert read_id(text) == found


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KNOWN = st.sampled_from(
    ["style", "strength", "transition_s", "height_px", "preserve_color", "smooth", "tone", "brush"]
)


@given(st.dictionaries(KNOWN, JSON))
def test_whatever_comes_is_a_fit_change_or_a_usage_error(wanted: dict[str, object]) -> None:
    text = json.dumps({"id": 1, "set": wanted})
    read_id(text)
    try:
        change = read_change(text)
    except UsageError:
        return
    assert change.strength is None or 0 <= change.strength <= 1
    assert math.isfinite(change.transition_s)


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    read_id(text)
    with pytest.raises(UsageError):
        read_change(text)
