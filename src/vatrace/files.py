"""Files that are written whole or not at all, and names of files in texts."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from secrets import token_hex
from typing import Any

from vatrace.errors import VatraceError, reason


def shown(name: str | Path) -> str:
    """A name for texts and tables: bytes that aren't UTF-8 become replacement characters."""
    return os.fsencode(name).decode("utf-8", "replace")


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell starts with that spreadsheets run as a formula."""


def harmless(cell: str) -> str:
    """A text for a CSV cell, after an apostrophe if a spreadsheet would run it as a formula: "=cmd.mp4" becomes "'=cmd.mp4".

    Numbers, such as "-1.5", remain.
    """
    if not cell.startswith(FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def as_meant(cell: str) -> str:
    """The text that `harmless` wrote into a cell."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder. It replaces `path` if the block succeeds, and is deleted if it fails.

    Raises:
        OSError: if it can't be written, for instance because the disk is full; the message names `path`.
    """
    temporary = path.with_name(f".vatrace-{token_hex(8)}{path.suffix}")
    try:
        with unfinished(temporary):
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
            yield temporary
            with _replacing(path):
                temporary.replace(path)
    except OSError as error:
        if error.strerror is None or (error.filename and str(error.filename).removeprefix("file:") != str(temporary)):
            raise  # it names its file, which is another one
        raise unwritable(path, error) from error


@contextmanager
def _replacing(path: Path) -> Iterator[None]:
    """Say what is probably wrong where a file can't be replaced: on Windows, it may be open in another program."""
    try:
        yield
    except PermissionError as error:
        raise PermissionError(f"{path}: can't be replaced; is it open in another program?") from error


def remove_earlier(paths: Iterable[Path]) -> None:
    """Delete results that are about to be replaced. The side file is replaced first, and must never describe older results.

    If the process is killed before all are in place, some are missing, and the same command makes them again.
    """
    for path in paths:
        with _replacing(path):
            path.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> OSError:
    """The error for a file or folder that can't be written, with the number of the system's error."""
    problem = OSError(f"{path}: can't be written ({reason(error)})")
    problem.errno = error.errno
    return problem


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder that only the user can read, outside that of the results. It is deleted at the end of the block."""
    folder = Path(tempfile.gettempdir()) / f"vatrace-{token_hex(8)}"
    with unfinished(folder):
        folder.mkdir(mode=0o700)
        yield folder


_unfinished: set[Path] = set()
"""Temporary files and folders that exist, or are about to."""


Announce = Callable[[Path, bool], None]
"""Called with each temporary file or folder, and whether it is about to exist or has just gone."""
_announcers: list[Announce] = []


def announce_unfinished(announce: Announce) -> None:
    """Tell somebody about all temporary files of this process, who can delete them if it crashes."""
    _announcers.append(announce)


@contextmanager
def unfinished(path: Path) -> Iterator[None]:
    """A block that makes and uses a temporary file or folder, which is deleted at its end, even if the process is killed."""
    _unfinished.add(path)  # first, so that a signal can come at any time
    for announce in _announcers:
        announce(path, True)
    try:
        yield
    finally:
        remove(path)
        _unfinished.discard(path)
        for announce in _announcers:
            announce(path, False)


def remove_unfinished() -> None:
    """Delete the temporary files that an interrupted block may have left. Nothing in this process may be writing any more."""
    for path in list(_unfinished):
        remove(path)
        _unfinished.discard(path)


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there and can be deleted."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""The system's errors for folders that can't be locked."""


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Lock a folder for the block. The system releases the lock when the process ends, however it ends.

    Some network folders have no locks: then nothing is locked.

    Args:
        folder: an existing folder; the file `.lock` in it is used.
        what: who else may have locked it, for the message.

    Raises:
        OSError: if another process has locked it, or the file can't be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=0, mode=0o666)
    try:
        lock.acquire()
    except Timeout as error:
        raise OSError(f"{folder}: {what} is writing into it; wait until it has ended") from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()


def sha256(*paths: Path) -> str:
    """The SHA-256 of the contents of files, one after the other. They are read in blocks: weights may be larger than memory."""
    digest = hashlib.sha256()
    for path in paths:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "not a file", str(path))
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def sha256_once(path: Path) -> str:
    """The SHA-256 of a file, computed once for each size and time of it: weights and transcripts are used many times."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    return sha256(path)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a mapping as indented JSON in UTF-8, whole or not at all. Names that aren't UTF-8 get replacement characters."""
    with written_whole(path) as temporary:
        temporary.write_text(shown(json.dumps(content, indent=1, ensure_ascii=False)) + "\n", encoding="utf-8")


MOST_DIGITS = 20
"""Digits of a whole number of 64 bits, with its sign."""


def read_json(path: Path, error: type[VatraceError]) -> dict[str, Any]:
    """Read a JSON file that the package wrote.

    Raises:
        VatraceError: of the type `error`, if the file is not a JSON object; the message names the file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_int=_whole_number)
    except OSError as problem:
        raise error(f"{path}: {reason(problem)}") from problem
    except (ValueError, RecursionError) as problem:  # JSONDecodeError and UnicodeDecodeError are of the first kind
        raise error(f"{path}: damaged ({problem}); restore or delete it") from problem
    if not isinstance(content, dict):
        raise error(f"{path}: damaged (not a JSON object); restore or delete it")
    return content


def _whole_number(text: str) -> int:
    """A whole number of a JSON file. A damaged one may have hundreds of digits, more than any float can hold."""
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)
