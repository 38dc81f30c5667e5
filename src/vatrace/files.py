"""Files that are written whole or not at all, and names of files in texts."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vatrace.errors import VatraceError


def shown(name: str | Path) -> str:
    """A name for texts and tables: bytes that aren't UTF-8 become replacement characters."""
    return os.fsencode(name).decode("utf-8", "replace")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder. It replaces `path` if the block succeeds, and is deleted if it fails."""
    handle, name = tempfile.mkstemp(prefix=".vatrace-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only the user can read
        try:
            temporary.replace(path)
        except PermissionError as error:  # on Windows, a file that is open elsewhere can't be replaced
            raise PermissionError(f"{path}: can't be replaced; is it open in another program?") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sha256(*paths: Path) -> str:
    """The SHA-256 of the contents of files, one after the other. They are read in blocks: weights may be larger than memory."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a mapping as indented JSON in UTF-8, whole or not at all. Names that aren't UTF-8 get replacement characters."""
    with written_whole(path) as temporary:
        temporary.write_text(shown(json.dumps(content, indent=1, ensure_ascii=False)) + "\n", encoding="utf-8")


def read_json(path: Path, error: type[VatraceError]) -> dict[str, Any]:
    """Read a JSON file that the package wrote.

    Raises:
        VatraceError: of the type `error`, if the file is not a JSON object; the message names the file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:  # JSONDecodeError and UnicodeDecodeError
        raise error(f"{path}: damaged ({problem}); restore or delete it") from problem
    if not isinstance(content, dict):
        raise error(f"{path}: damaged (not a JSON object); restore or delete it")
    return content
