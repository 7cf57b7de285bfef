"""What has to be known of an ONNX file before an engine may open it, and small changes to it.

ONNX is Protocol Buffers; the few fields needed here do not justify the `onnx` package, which
is larger than all of streamer. Numbers are those of onnx.proto.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from streamer.errors import ModelError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 32

# message → {field number: message it holds}; only the ways that lead to a TensorProto.
_HOLDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION, _TENSOR_NAME = 13, 14, 8
_GRAPH, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 7, 5, 11, 12, 13
_NAME, _TYPE, _TENSOR_TYPE, _SHAPE, _DIM, _DIM_VALUE, _DIM_PARAM = 1, 2, 1, 2, 1, 1, 2
_SIDES = {2: b"height", 3: b"width"}


class Field(NamedTuple):
    """One field of a message; `whole` is the field with its key, as it stands in the file."""

    number: int
    value: int | memoryview
    whole: memoryview


def refuse_external_data(data: bytes) -> None:
    """Raise ModelError when a tensor's values lie in another file, whose path anyone may choose.

    Also when the bytes are no ONNX file.
    """
    _refuse(memoryview(data), "model", _MAX_DEPTH)


def free_sides(data: bytes) -> bytes:
    """The same network for pictures of any height and width, be they fixed in the file or not.

    Changes inputs and outputs of four dimensions, and drops the sizes noted in between. Whether
    the network itself can do it shows when it runs.
    """
    return _replaced(data, _GRAPH, _free_graph)


def _refuse(data: memoryview, message: str, depth: int) -> None:
    if depth == 0:
        raise ModelError("not an ONNX file: its graphs are nested too deeply")
    for number, value, _ in fields(data):
        outside = number == _EXTERNAL_DATA or (number, value) == (_DATA_LOCATION, 1)
        if message == "tensor" and outside:
            raise ModelError("an ONNX file with its weights in other files is refused")
        held = _HOLDS[message].get(number)
        if held is not None and isinstance(value, memoryview):
            _refuse(value, held, depth - 1)


def _free_graph(graph: memoryview) -> bytes:
    weights = {_first(f.value, _TENSOR_NAME) for f in fields(graph) if f.number == _INITIALIZER}
    parts: list[bytes | memoryview] = []
    for number, value, whole in fields(graph):
        if number in (_INPUT, _OUTPUT) and _first(value, _NAME) not in weights:
            parts.append(_field(number, _free_value(value)))
        elif number != _VALUE_INFO:
            parts.append(whole)
    return b"".join(parts)


def _free_value(value: int | memoryview) -> bytes:
    return _replaced(
        value, _TYPE, lambda t: _replaced(t, _TENSOR_TYPE, lambda x: _replaced(x, _SHAPE, _free))
    )


def _free(shape: memoryview) -> bytes:
    dims = [f for f in fields(shape) if f.number == _DIM]
    if len(dims) != 4:
        return bytes(shape)
    return b"".join(
        _field(_DIM, _field(_DIM_PARAM, _SIDES[i])) if i in _SIDES else bytes(dim.whole)
        for i, dim in enumerate(dims)
    )


def fields(data: int | bytes | memoryview) -> Iterator[Field]:
    """The fields of one message. Raises ModelError."""
    if isinstance(data, int):
        raise ModelError("not an ONNX file")
    data, at = memoryview(data), 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        if key & 7 == _VARINT:
            number, at = _varint(data, at)
            yield Field(key >> 3, number, data[start:at])
            continue
        length, at = _length(key & 7, data, at)
        if at + length > len(data):
            raise ModelError("not an ONNX file, or one that ends too early")
        at += length
        yield Field(key >> 3, data[at - length : at], data[start:at])


def _length(kind: int, data: memoryview, at: int) -> tuple[int, int]:
    if kind == _BYTES:
        return _varint(data, at)
    if kind in (_FIXED32, _FIXED64):
        return (4 if kind == _FIXED32 else 8), at
    raise ModelError("not an ONNX file")


def _first(message: int | memoryview, number: int) -> bytes:
    for field in fields(message):
        if field.number == number and isinstance(field.value, memoryview):
            return bytes(field.value)
    return b""


def _replaced(
    message: int | bytes | memoryview, number: int, change: Callable[[memoryview], bytes]
) -> bytes:
    """The message with every field of this number changed."""
    return b"".join(
        _field(number, change(f.value))
        if f.number == number and isinstance(f.value, memoryview)
        else bytes(f.whole)
        for f in fields(message)
    )


def _field(number: int, content: bytes) -> bytes:
    return _encoded(number << 3 | _BYTES) + _encoded(len(content)) + content


def _encoded(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ModelError("not an ONNX file, or one that ends too early")
