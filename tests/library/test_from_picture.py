"""Any picture as a style."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image as Pillow

from streamer.errors import MediaError
from streamer.i420 import to_rgb
from streamer.library.add import import_model
from streamer.library.from_picture import picture_to_onnx, pictures_to_onnx
from tests.support.library import stylized
from tests.support.pictures import picture


def test_two_pictures_are_two_styles_with_their_pictures_colours(
    paintings: tuple[Path, Path],
) -> None:
    assert [import_model(file) for file in paintings] == [("stripes",), ("clouds",)]
    image = picture(160, 120)
    red, blue = (to_rgb(stylized(name, image)).mean((0, 1)) for name in ("stripes", "clouds"))
    camera = to_rgb(image).mean((0, 1))
    assert red[0] - red[2] > camera[0] - camera[2] + 30
    assert blue[2] - blue[0] > camera[2] - camera[0] + 30


@pytest.mark.parametrize("size", [(64, 64), (97, 55), (33, 201), (384, 384)])
def test_every_size_comes_back_at_its_size(
    paintings: tuple[Path, Path], size: tuple[int, int]
) -> None:
    import_model(paintings[0])
    for backend in ("onnx", "torch"):
        image = stylized("stripes", picture(*size), backend)
        assert (image.width, image.height) == size


def test_the_engines_agree(paintings: tuple[Path, Path]) -> None:
    import_model(paintings[0])
    image = picture(128, 72)
    one, other = (stylized("stripes", image, b).data.astype(int) for b in ("onnx", "torch"))
    assert np.percentile(np.abs(one - other), 99) <= 2
    assert np.abs(one - image.data).mean() > 10


def test_several_pictures_are_one_network_whose_styles_blend(paintings: tuple[Path, Path]) -> None:
    values = np.random.default_rng(0).random((1, 3, 48, 64), np.float32)

    def run(network: bytes, **more: np.ndarray) -> np.ndarray:
        session = ort.InferenceSession(network, providers=["CPUExecutionProvider"])
        (stylized,) = session.run(None, {"image": values, **more})
        return np.asarray(stylized)

    both = pictures_to_onnx(paintings)
    for weights, painting in zip(np.eye(2, dtype=np.float32), paintings, strict=True):
        alone = run(picture_to_onnx(painting))
        assert np.abs(run(both, style_weights=weights) - alone).max() < 1e-3
    halves, first = (np.array(w, np.float32) for w in ([0.5, 0.5], [1, 0]))
    blend, start = run(both, style_weights=halves), run(both, style_weights=first)
    assert np.abs(blend - start).mean() > 0.01


def test_what_is_no_picture_is_refused(tmp_path: Path, models_dir: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    with pytest.raises(MediaError, match="not a picture"):
        import_model(tmp_path / "letter.jpg")
    Pillow.new("RGB", (8, 8)).save(tmp_path / "dot.png")
    with pytest.raises(MediaError, match="too small"):
        import_model(tmp_path / "dot.png")
    assert not models_dir.exists()
