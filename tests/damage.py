"""Damage to files, for the tests. Of JSON files, each value in turn is removed, or replaced by one of another kind."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

OTHERS: tuple[Any, ...] = (None, [], {}, "x", -1, 1e300, 10**400, [1], {"a": 1}, True)
BYTES = (b"", b"{", b"[1, 2]", b"\xff\xfe\x00", b"null", b'"text"', b"[" * 100_000, b"NaN", b"{}", b'{"format": NaN}')
"""What a whole file may be instead."""


HEADERS = {
    "claims": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 512), }",
    "brackets": "(" * 5000,
}
"""Headers of NumPy arrays: of two petabytes, and one that Python's own parser gives up on."""


def npy(header: str) -> bytes:
    """A file of NumPy with this header and almost no content."""
    return b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header.encode() + b"\n" + bytes(100)


def damaged(content: Any, most: int = 12) -> Iterator[tuple[str, Any]]:
    """Yield descriptions and damaged copies of a JSON value; of long lists and mappings, only the first items are changed."""
    for place in _places(content, (), most):
        *parents, last = place
        for other in OTHERS:
            result = copy.deepcopy(content)
            _at(result, parents)[last] = other
            yield f"{'.'.join(map(str, place))} = {json.dumps(other)}", result
        result = copy.deepcopy(content)
        del _at(result, parents)[last]
        yield f"no {'.'.join(map(str, place))}", result


def _places(value: Any, before: tuple[Any, ...], most: int) -> Iterator[tuple[Any, ...]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys)[:most]:
        yield (*before, key)
        yield from _places(value[key], (*before, key), most)


def _at(value: Any, place: list[Any]) -> Any:
    for key in place:
        value = value[key]
    return value
