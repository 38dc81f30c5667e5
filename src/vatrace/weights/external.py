"""Which other files an ONNX file refers to, found without loading it: ONNX Runtime would read them."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

GRAPH, NODES, INITIALIZERS, FUNCTIONS = 7, 1, 5, 25
"""Numbers of fields in onnx.proto: of ModelProto, of its graph, and of its functions (whose nodes are field 7)."""
FUNCTION_NODES, ATTRIBUTES = 7, 5
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 5, 6, 10, 11
EXTERNAL_DATA, LOCATION = 13, b"location"
MAX_DEPTH = 30
"""Levels of graphs within graphs."""


def external_files(path: Path) -> list[str]:
    """The files in which the tensors of an ONNX file are stored; [] if they are all in it, or it is not such a file."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            return []
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # closed when nothing refers to it
    if mapped.find(LOCATION) < 0:  # the most frequent case, and quicker than to read all its messages
        return []
    content = memoryview(mapped)
    try:
        return list(dict.fromkeys(_of_model(content)))
    except (IndexError, RecursionError):  # not ONNX, or damaged
        return []


def with_external(path: Path) -> list[Path]:
    """An ONNX file, and the files next to it in which its tensors are stored."""
    return [path, *(path.parent / name for name in sorted(external_files(path)))]


def _of_model(model: memoryview) -> Iterator[str]:
    for number, part in _fields(model):
        if number == GRAPH:
            yield from _of_graph(part, 0)
        elif number == FUNCTIONS:
            for inner, node in _fields(part):
                if inner == FUNCTION_NODES:
                    yield from _of_node(node, 0)


def _of_graph(graph: memoryview, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise RecursionError
    for number, part in _fields(graph):
        if number == NODES:
            yield from _of_node(part, depth)
        elif number == INITIALIZERS:
            yield from _of_tensor(part)


def _of_node(node: memoryview, depth: int) -> Iterator[str]:
    for number, attribute in _fields(node):
        for inner, part in _fields(attribute) if number == ATTRIBUTES else ():
            if inner in {ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS}:
                yield from _of_tensor(part)
            elif inner in {ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS}:
                yield from _of_graph(part, depth + 1)


def _of_tensor(tensor: memoryview) -> Iterator[str]:
    for number, entry in _fields(tensor):
        if number == EXTERNAL_DATA:
            pair = {inner: bytes(part) for inner, part in _fields(entry)}
            if pair.get(1) == LOCATION:
                yield pair.get(2, b"").decode("utf-8", "replace")


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The number and the content of the fields of a message that have a length (protobuf's wire type 2).

    Raises:
        IndexError: if it is damaged.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            _, place = _varint(message, place)
        elif kind == 2:
            size, place = _varint(message, place)
            if place + size > len(message):
                raise IndexError
            yield key >> 3, message[place : place + size]
            place += size
        elif kind in {1, 5}:
            place += 8 if kind == 1 else 4
        else:
            raise IndexError


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise IndexError
