from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from weakref import WeakSet

import pytest

from vatrace.media.ahead import ahead


def test_items_come_in_order_from_another_thread() -> None:
    threads: set[int] = set()

    def numbers() -> Iterator[int]:
        for number in range(50):
            threads.add(threading.get_ident())
            yield number

    assert list(ahead(numbers(), 3)) == list(range(50))
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_no_more_are_taken_than_may_wait() -> None:
    taken: list[int] = []
    items = ahead((taken.append(number) or number for number in range(100)), 4)  # type: ignore[func-returns-value]
    assert next(items) == 0
    time.sleep(0.3)
    assert len(taken) == 1 + 4 + 1  # the one that was given, those that wait, and the one that finds no room
    items.close()


def test_an_error_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    items = ahead(broken(), 2)
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)


def test_nothing_stays_after_an_error() -> None:
    class File:
        """Like one that the iterator has opened."""

    files = WeakSet[File]()

    def broken() -> Iterator[int]:
        files.add(file := File())
        yield 1
        raise ValueError(file)

    gc.disable()  # it would find cycles some time later
    try:
        with suppress(ValueError):
            list(ahead(broken(), 2))
        assert not files
    finally:
        gc.enable()


def test_the_thread_ends_with_the_iteration() -> None:
    before = threading.active_count()
    items = ahead(iter(range(1000)), 2)
    next(items)
    assert threading.active_count() == before + 1
    items.close()
    assert threading.active_count() == before
