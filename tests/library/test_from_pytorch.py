"""State dicts of PyTorch become networks; other files are refused, and no code in them runs."""

import contextlib
import pickle
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import ModelError
from streamer.i420 import from_rgb, to_rgb
from streamer.library.add import import_model
from streamer.library.from_pytorch import state_dict_to_onnx
from tests.support.library import nothing_is_left, stylized
from tests.support.pictures import smooth_rgb
from tests.support.transformer_net import random_net, state_dict


@pytest.mark.parametrize("channels", [8, 16])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("ending", [".pth", ".model"])
def test_a_state_dict_paints_what_its_network_paints(
    tmp_path: Path, channels: int, zipped: bool, ending: str
) -> None:
    net = random_net(channels)
    path = tmp_path / f"candy_nc{channels}{ending}"
    torch.save(state_dict(net), path, _use_new_zipfile_serialization=zipped)
    name = f"candy-nc{channels}"
    assert import_model(path) == (name,)
    image = from_rgb(smooth_rgb(104, 60))
    with torch.inference_mode():
        rgb = torch.from_numpy(to_rgb(image)).permute(2, 0, 1)[None].float()
        expected = (255 * net(rgb / 255)[0]).clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
    assert expected.std() > 20
    difference = np.abs(stylized(name, image).data.astype(int) - from_rgb(expected).data)
    assert np.percentile(difference, 99) <= 1


Change = Callable[[dict[str, torch.Tensor]], Mapping[str, torch.Tensor]]


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {
            **state,
            "in1.running_mean": torch.zeros(8),
            "in1.running_var": torch.ones(8),
        },
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {name: value.half() for name, value in state.items()},
    ],
    ids=["of PyTorch 0.3", "of several GPUs", "in half precision"],
)
def test_variants_of_a_state_dict_are_read(tmp_path: Path, change: Change) -> None:
    torch.save(change(state_dict(random_net(8))), tmp_path / "net.pth")
    assert import_model(tmp_path / "net.pth") == ("net",)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda state: {"fc.weight": torch.zeros(2, 2)}, "no conv1.conv2d.weight"),
        (lambda state: {**state, "extra": torch.zeros(1)}, "it has extra as well"),
        (lambda state: {**state, "in1.weight": torch.zeros(5)}, ""),
        (lambda state: torch.zeros(3), "holds no state dict"),
        (lambda state: {"state": state}, "holds no state dict"),
    ],
)
def test_state_dicts_of_other_networks_are_refused(
    tmp_path: Path, models_dir: Path, change: Change, text: str
) -> None:
    torch.save(change(state_dict(random_net(8))), tmp_path / "net.pth")
    with pytest.raises(ModelError, match=f"net.pth .*{text}"):
        import_model(tmp_path / "net.pth")
    assert nothing_is_left(models_dir)


class Bomb:
    """Unpickled, it writes a file: what a stranger's file could do to its reader."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.target)!r}, 'w').close()",)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, models_dir: Path, how: str) -> None:
    bomb, path = Bomb(tmp_path / "exploded"), tmp_path / "gift.pth"
    pickle.loads(pickle.dumps(bomb))
    assert bomb.target.exists()  # it does go off, where it is let
    bomb.target.unlink()
    if how == "pickle":
        path.write_bytes(pickle.dumps({"w": bomb}, protocol=2))
    else:
        torch.save({"w": bomb}, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(ModelError, match=r"gift\.pth is (refused: loading it would run|damaged)"):
        import_model(path)
    assert not bomb.target.exists()
    assert nothing_is_left(models_dir)


@given(st.data())
def test_damaged_checkpoints_are_read_or_refused(
    checkpoints: list[bytes], data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(checkpoints)))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, min(len(content), 4000)))
        start = data.draw(st.sampled_from([start, len(content) - start]))  # pickle, or zip's end
        content[start : start + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(ModelError):
        path = Path(folder, "net.pth")
        path.write_bytes(content)
        onnx.checker.check_model(state_dict_to_onnx(path))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = tmp_path_factory.mktemp("checkpoints") / "net.pth"
    contents = []
    for zipped in (True, False):
        torch.save(state_dict(random_net(2)), path, _use_new_zipfile_serialization=zipped)
        contents.append(path.read_bytes())
    return contents


def test_a_checkpoint_cut_short_is_refused(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.pth", tmp_path / "part.pth"
    for zipped in (True, False):
        torch.save(state_dict(random_net(8)), whole, _use_new_zipfile_serialization=zipped)
        part.write_bytes(whole.read_bytes()[:-5000])
        with pytest.raises(ModelError, match=r"part\.pth is damaged"):
            import_model(part)


def test_without_torch_a_checkpoint_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.pth").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"needs torch; .*pip install '\.\[torch\]'"):
        import_model(tmp_path / "net.pth")
