from dataclasses import replace
from fractions import Fraction

import numpy as np

from streamer.frame import Frame, Image, Style, i420_size
from streamer.pipeline.change import Change
from streamer.pipeline.governor import Costs
from streamer.pipeline.style_control import StyleControl
from streamer.statistics import Measurement, Statistics

MOSAIC = frozenset({"mosaic"})


def frame(width: int = 1280, height: int = 720) -> Frame:
    data = np.full(i420_size(width, height), 128, np.uint8)
    return Frame(Image(width, height, data), 0, Fraction(1, 90000), 0.0)


def control(costs: Costs | None = None) -> StyleControl:
    style = Style((("mosaic", 1.0),))
    return StyleControl(lambda name: ((str(name), 1.0),), style, "auto", 30.0, costs=costs)


def stylized(frame: Frame, seconds: float, *, measured: bool = False) -> Frame:
    one = Statistics(np.zeros(2, np.float32), np.zeros(2, np.float32))
    found = {"mosaic": Measurement(one, one, frame.height_px or 0)} if measured else {}
    return replace(frame, service_s=seconds, measured=found)


def test_the_brush_is_the_height_and_the_camera_is_not_exceeded() -> None:
    look = control()
    assert look.apply(frame(), 0).height_px == 540
    assert look.apply(frame(640, 360), 0).height_px == 360
    assert look.apply(frame(720, 1280), 0).height_px == 540  # an upright one is no coarser
    assert look.apply(frame(360, 640), 0).height_px == 360
    look.change(Change(brush="fine"), 0)
    assert look.apply(frame(), 0).height_px == 720
    look.change(Change(brush="bold"), 0)
    assert look.apply(frame(), 0).height_px == 360
    assert look.brush == "bold"


def test_a_height_of_its_own_takes_the_place_of_the_brush_until_the_next_one() -> None:
    look = control()
    look.change(Change(height_px=400), 0)
    assert look.apply(frame(), 0).height_px == 400 and not look.height_auto
    look.change(Change(brush="medium"), 0)
    assert look.apply(frame(), 0).height_px == 540 and look.height_auto


def test_costs_are_of_frames_that_were_only_stylized() -> None:
    costs = Costs()
    look = control(costs)
    first = look.apply(frame(), 0)
    look.on_stylized(stylized(first, 0.3, measured=True), 0.1)
    assert costs.of(MOSAIC, 540, 0) is None
    look.on_stylized(stylized(look.apply(frame(), 0.2), 0.03), 0.3)
    assert costs.of(MOSAIC, 540, 0) == 0.03
    assert look.stylized_px == 540


def test_the_height_falls_when_the_ring_is_slow() -> None:
    look = control()
    busy_s, frames = 0.0, 0
    for second in range(5):
        done = look.apply(frame(), second)
        look.on_stylized(stylized(done, 0.1), second)
        look.update(float(second), frames, 20.0, busy_s, 2)
        busy_s, frames = busy_s + 2.0, frames + 30
    assert look.apply(frame(), 6).height_px == 360


def test_a_measurement_once_a_scene_is_not_taken_for_others_load() -> None:
    look, busy_s = control(), 0.0
    look.apply(frame(), 0)
    look.update(0.0, 0, 0.0, busy_s, 2)
    look.on_stylized(stylized(look.apply(frame(), 0.1), 1.4, measured=True), 0.9)
    look.on_stylized(stylized(look.apply(frame(), 0.95), 0.03), 1.0)
    look.update(1.0, 30, 30.0, 1.43, 2)  # of 2 s; 30 fps take 0.9
    assert look.apply(frame(), 1.1).height_px == 540


def test_what_a_worker_measured_is_used_for_the_next_frame() -> None:
    look = control()
    first = look.apply(frame(), 0)
    assert first.orders is not None and first.orders.exact == MOSAIC
    look.on_stylized(stylized(first, 0.1, measured=True), 0.1)
    second = look.apply(frame(), 0.2)
    assert second.orders is not None and not second.orders.measure
    assert second.orders.stream == first.orders.stream is not None
    assert control().apply(frame(), 0).orders.stream != first.orders.stream  # type: ignore[union-attr]


def blend(look: StyleControl, now: float) -> tuple[tuple[str, float], ...]:
    return look.apply(frame(), now).style.blend


def answered(look: StyleControl, now: float, *, ready: bool) -> None:
    look.on_stylized(replace(look.apply(frame(), now), upcoming_ready=ready), now)


def test_a_new_style_begins_once_every_worker_has_prepared_for_it() -> None:
    look = StyleControl(
        lambda name: ((str(name), 1.0),), Style((("mosaic", 1.0),)), 360, 30, workers=2
    )
    look.change(Change(style="starry", strength=0.5), 1.0)
    asked = look.apply(frame(), 1.1)
    assert asked.style.blend == (("mosaic", 1.0),) and asked.style.strength == 1.0
    assert asked.upcoming == look.target == Style((("starry", 1.0),), 0.5)
    for ready in (False, True, False, True):  # of two workers one is not
        answered(look, 1.2, ready=ready)
    assert blend(look, 1.3) == (("mosaic", 1.0),)
    answered(look, 1.4, ready=True)
    begun = look.apply(frame(), 1.5)
    assert begun.style == look.target and begun.upcoming is None
    look.change(Change(style="mosaic"), 1.6)  # it is prepared for this one still
    assert blend(look, 1.7) == (("mosaic", 1.0),)


def test_what_nobody_prepares_begins_all_the_same() -> None:
    look = control()
    look.change(Change(style="starry"), 1.0)
    answered(look, 5.0, ready=False)
    assert blend(look, 10.9) == (("mosaic", 1.0),)
    assert blend(look, 11.1) == (("starry", 1.0),)


def test_the_newest_of_two_changes_counts() -> None:
    look = control()
    look.change(Change(style="starry"), 1.0)
    first = look.apply(frame(), 1.1)
    look.change(Change(style="ember", transition_s=1.0), 1.2)
    look.on_stylized(first, 1.3)  # says that it is prepared for the first
    assert blend(look, 1.4) == (("mosaic", 1.0),)
    answered(look, 2.0, ready=True)
    assert dict(blend(look, 2.5)) == {"mosaic": 0.5, "ember": 0.5}  # the fade is whole
    look.change(Change(style="starry"), 3.5)
    look.change(Change(style="ember"), 3.6)  # back
    assert look.apply(frame(), 3.7).upcoming is None


def test_tone_goes_with_the_frames() -> None:
    look = control()
    look.change(Change(tone=1.0), 0)
    assert look.apply(frame(), 0).style.tone == 1.0
