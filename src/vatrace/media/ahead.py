"""Work that is done ahead of its use, in another thread."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

from vatrace.free_memory import check_memory

T = TypeVar("T")

PATIENCE = 0.1
"""Seconds between looks whether the items are still wanted."""


def ahead(items: Iterable[T], size: int) -> Generator[T]:
    """Yield items that another thread takes from an iterable, up to `size` of them before they are asked for.

    An error in that thread is raised here, after the items before it. The thread ends with the iteration, however that ends.

    Args:
        items: iterated by the other thread alone.
        size: items that may wait, at least 1.

    Raises:
        MemoryError: if there isn't enough for the thread.
    """
    waiting: Queue[tuple[T] | BaseException | None] = Queue(size)
    stopped = Event()

    def put(item: tuple[T] | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=PATIENCE)
                return True
            except Full:
                pass
        return False

    def take() -> None:
        try:
            for item in items:
                if not put((item,)):
                    return
            put(None)
        except BaseException as error:
            put(error)

    check_memory()
    thread = Thread(target=take, daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = waiting.get(timeout=PATIENCE)  # in short waits, so that ctrl-C is noticed
            except Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                try:
                    raise item
                finally:
                    del item  # it refers to this frame, and that to the files of `items`: nothing would close them
            yield item[0]
    finally:
        stopped.set()
        thread.join()
