"""A style that a user adds has steady statistics, too, so that --tone is of use to it."""

from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from streamer.engine.stylizer import StylizerSpec, Task
from streamer.frame import Style
from streamer.library import store
from streamer.library.add import import_model
from streamer.statistics import Orders
from streamer.styles.catalogue import Catalogue
from tests.support.pictures import picture


def test_a_picture_that_is_added_has_a_steady_tone_until_it_is_removed(
    tmp_path: Path, models_dir: Path
) -> None:
    painting = tmp_path / "stripes.png"
    rows = np.arange(96)[:, None, None]
    pixels = np.where(rows // 8 % 2, (200, 40, 30), (20, 60, 160)) + np.zeros((1, 96, 1))
    Pillow.fromarray(pixels.astype(np.uint8)).save(painting)
    import_model(painting)
    model, _ = Catalogue.load().find("stripes")
    assert model.statistics is not None and model.statistics.is_file()
    stylizer = StylizerSpec("auto", models=(model,)).load()
    image, first = picture(96, 64), Orders(0, {}, frozenset())
    own, between, steady = (
        stylizer.stylize_all([Task(image, Style((("stripes", 1.0),), tone=tone), first)])[0]
        for tone in (0.0, 0.5, 1.0)
    )
    far, near = (
        np.abs(one.image.data.astype(int) - own.image.data).mean() for one in (steady, between)
    )
    assert 0 < near < far
    assert not steady.measured  # nothing of the picture is needed
    store.remove("stripes")
    assert list(models_dir.glob("stripes*")) == []
