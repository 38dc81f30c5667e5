"""Invitations of further raters: each has a name, a token of its own, and the recordings that its holder may rate.

They are kept in `invitations.json` in the folder of the results until they are withdrawn.
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from vatrace.errors import VatraceError
from vatrace.files import read_json, written_whole
from vatrace.records import record


@dataclass(frozen=True)
class Invitation:
    """What a rater may do.

    Attributes:
        token: that the rater's address contains.
        annotator: the name under which the rater's traces are saved.
        recordings: ids of the recordings that the rater may see and rate.
    """

    token: str
    annotator: str
    recordings: list[str]


class Invitations:
    """All invitations.

    Args:
        path: their file, which need not exist.

    Raises:
        VatraceError: if it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._all: list[Invitation] = []
        if path.exists():
            try:
                self._all = [record(Invitation, entry) for entry in read_json(path, VatraceError)["invitations"]]
            except (KeyError, TypeError) as error:
                raise VatraceError(f"{path}: damaged ({error}); delete it, and invite again") from error

    def all(self) -> list[Invitation]:
        """The invitations, the latest last."""
        return list(self._all)

    def find(self, token: str) -> Invitation | None:
        """The invitation with this token."""
        return next((one for one in self._all if hmac.compare_digest(one.token.encode(), token.encode())), None)

    def add(self, annotator: str, recordings: list[str]) -> Invitation:
        """Invite a rater.

        Raises:
            VatraceError: if somebody has been invited under this name.
        """
        with self._lock:
            if any(one.annotator.lower() == annotator.lower() for one in self._all):
                raise VatraceError(f"{annotator} has already been invited; withdraw that invitation first")
            made = Invitation(secrets.token_urlsafe(16), annotator, recordings)
            self._keep([*self._all, made])
            return made

    def remove(self, annotator: str) -> bool:
        """Withdraw the invitation of a rater; whether there was one."""
        with self._lock:
            left = [one for one in self._all if one.annotator != annotator]
            found = len(left) < len(self._all)
            if found:
                self._keep(left)
            return found

    def _keep(self, invitations: list[Invitation]) -> None:
        with written_whole(self._path) as path:
            path.write_text(json.dumps({"invitations": [asdict(one) for one in invitations]}), encoding="utf-8")
        self._all = invitations
