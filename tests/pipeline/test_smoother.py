from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.frame import Image, i420_size
from streamer.pipeline.smoother import Smoother

WIDTH, HEIGHT = 64, 48


def image(data: NDArray[Any]) -> Image:
    return Image(WIDTH, HEIGHT, data.astype(np.uint8))


def flat(value: int) -> NDArray[np.uint8]:
    return np.full(i420_size(WIDTH, HEIGHT), value, np.uint8)


def test_noise_is_calmed() -> None:
    noise = np.random.default_rng(1)
    size = i420_size(WIDTH, HEIGHT)
    frames = [image(128 + noise.normal(0, 4, size)) for _ in range(20)]
    smoother = Smoother()
    shown = [smoother(frame, 0.7) for frame in frames]

    def sway(pictures: list[Image]) -> float:
        steps = np.diff([p.data.astype(float) for p in pictures], axis=0)
        return float(np.abs(steps).mean())

    assert sway(shown) < 0.6 * sway(frames)


def test_motion_leaves_no_ghost() -> None:
    smoother = Smoother()
    smoother(image(flat(30)), 0.9)
    assert (smoother(image(flat(200)), 0.9).data == 200).all()


def test_what_stands_still_arrives_where_it_should() -> None:
    smoother = Smoother()
    smoother(image(flat(100)), 0.9)
    shown = [smoother(image(flat(110)), 0.9).data[0] for _ in range(60)]
    assert shown[0] < 103
    assert shown == sorted(shown)
    assert shown[-1] == 110


def test_another_size_and_a_new_start_are_shown_as_they_are() -> None:
    smoother = Smoother()
    smoother(image(flat(100)), 0.9)
    other = Image(32, 32, np.full(i420_size(32, 32), 104, np.uint8))
    assert (smoother(other, 0.9).data == 104).all()
    smoother.forget()
    again = Image(32, 32, np.full(i420_size(32, 32), 108, np.uint8))
    assert (smoother(again, 0.9).data == 108).all()


def test_it_goes_on_from_its_state() -> None:
    one = Smoother()
    one(image(flat(100)), 0.5)
    two = Smoother(one.state)
    assert (one(image(flat(108)), 0.5).data == two(image(flat(108)), 0.5).data).all()
    assert Smoother().state == b""
