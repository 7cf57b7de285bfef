import json
from pathlib import Path

import numpy as np
import pytest

from streamer.engine import probe as probing
from streamer.engine.folded_network import Engine, FoldedNetwork
from streamer.engine.probe import Probe, machine, measured, probe
from streamer.errors import ModelError
from tests.engine import small_networks as small


def only(*engines: Engine) -> "probing.Open":
    """Opens a small network by these engines; the others refuse."""

    def open_network(engine: Engine) -> FoldedNetwork:
        if engine not in engines:
            raise ModelError(f"no {engine} here")
        return FoldedNetwork(small.network(), 0, 1, engine)

    return open_network


def test_the_most_exact_of_about_the_fastest_is_the_best() -> None:
    amx: dict[Engine, float] = {"openvino-bf16": 11.4, "openvino-int8": 12.4, "openvino-f32": 63}
    assert Probe(amx).best == "openvino-bf16"
    assert Probe(amx | {"openvino-int8": 10.0}).best == "openvino-bf16"
    assert Probe(amx | {"openvino-bf16": 291.0}).best == "openvino-int8"
    assert Probe(amx | {"openvino-f32": 13}).best == "openvino-f32"
    assert Probe({"onnxruntime": 110}).best == "onnxruntime"


def test_a_machine_is_measured_once(tmp_path: Path) -> None:
    first = probe(only("onnxruntime"), tmp_path / "new", threads=1)
    assert list(first.milliseconds) == ["onnxruntime"] and first.milliseconds["onnxruntime"] > 0
    again = probe(only(), tmp_path / "new", threads=1)  # nothing could be measured now
    assert again == first
    assert len(list((tmp_path / "new").glob("*.json"))) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"openvino-bf16": null}', '"x"'])
def test_a_damaged_memory_is_measured_anew(tmp_path: Path, text: str) -> None:
    file = tmp_path / f"engines-{machine(1)}.json"
    file.write_text(text)
    found = probe(only("onnxruntime"), tmp_path, threads=1)
    assert json.loads(file.read_text()) == dict(found.milliseconds)


def test_no_engine_at_all_is_an_error() -> None:
    with pytest.raises(ModelError):
        measured(only())


def test_threads_and_limits_of_the_processor_have_numbers_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = machine(1)
    assert machine(1) == plain != machine(2)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert machine(1) != plain


def test_what_is_hopeless_is_run_no_more_often_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(np.arange(100) * 1.0)
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    network = FoldedNetwork(small.network(), 0, 1, "onnxruntime")
    assert probing._milliseconds(network, best=1) == 1000
    assert next(ticks) == 4  # two runs, each between two looks at the clock
