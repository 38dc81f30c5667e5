"""Whether there is enough memory, where others don't say that there isn't."""

from __future__ import annotations

import mmap

THREAD = 16_000_000
"""Bytes of address space that a thread takes when it begins: its stack of 8 MB, and what Python allocates for it."""
DECODER = 100_000_000
"""Bytes of address space that a decoder may take at once: a few large pictures, and its threads."""


def check_memory(size: int = THREAD) -> None:
    """Make sure that so much memory can still be reserved.

    Just before a thread is started: Python waits for ever in `Thread.start` for one that lacks the memory to begin (CPython
    issue 140746). Just after a decoder has failed: FFmpeg often reports a lack of memory as damage of the file.

    Args:
        size: bytes of address space; that of a thread by default.

    Raises:
        MemoryError: if it can't.
    """
    try:
        mmap.mmap(-1, size).close()  # from the system: what this process has reserved already may not do for a thread
    except OSError as error:
        raise MemoryError(f"less than {size / 1e6:.0f} MB are left") from error
