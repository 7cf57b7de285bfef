"""What has to be known of an ONNX file before an engine may open it, read from its bytes.

ONNX is Protocol Buffers; the few fields needed here do not justify the `onnx` package.
Numbers are those of onnx.proto.
"""

from collections.abc import Iterator

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
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def refuse_external_data(data: bytes) -> None:
    """Raise ModelError when a tensor's values lie in another file, whose path anyone may choose.

    Also when the bytes are no ONNX file.
    """
    _refuse(memoryview(data), "model", _MAX_DEPTH)


def _refuse(data: memoryview, message: str, depth: int) -> None:
    if depth == 0:
        raise ModelError("not an ONNX file: its graphs are nested too deeply")
    for number, value in fields(data):
        if message == "tensor" and (
            number == _EXTERNAL_DATA or (number, value) == (_DATA_LOCATION, 1)
        ):
            raise ModelError("an ONNX file with its weights in other files is refused")
        held = _HOLDS[message].get(number)
        if held is not None and isinstance(value, memoryview):
            _refuse(value, held, depth - 1)


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of one message: numbers, or bytes. Raises ModelError."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ModelError("not an ONNX file")
        if at + length > len(data):
            raise ModelError("not an ONNX file, or one that ends too early")
        yield key >> 3, data[at : at + length]
        at += length


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
