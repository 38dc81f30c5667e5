"""How a result was made: everything that is needed to make it again, and to tell whether it is still current."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vatrace import __version__
from vatrace.encoders import EncoderSpec
from vatrace.features.active_speaker import network_sha256
from vatrace.files import sha256, sha256_once, shown
from vatrace.records import record, typed
from vatrace.weights import BASE_SHA256, found_whisper, has_languages, package_file

SCHEMA = 1
"""Version of the provenance in files. It is raised when a field changes its meaning."""

LIBRARIES = ("av", "budoux", "charset-normalizer", "ctranslate2", "faster-whisper", "numpy", "onnxruntime", "pandas", "pillow")
"""Libraries that decode recordings or compute values."""

FOR_ALSO = {"voice": "praat-parselmouth"}
"""Libraries that only a choice of `--also` needs."""

HEAD = 1 << 16
"""Bytes at the start of a side file that nearly always contain its provenance, so that the rest needn't be read."""


@dataclass(frozen=True)
class FileFacts:
    """A file that a result was made from.

    Attributes:
        path: from the folder of the side file if possible, so that both can be moved together.
        sha256: of its content.
        size: bytes.
        modified_ns: time of its last change. While size and time are the same, the content is not read again.
    """

    path: str
    sha256: str
    size: int
    modified_ns: int


@dataclass(frozen=True)
class Provenance:
    """How the results of one recording were made.

    Attributes:
        recording: the recording.
        inputs: other files by their role: transcript, person, adapt, model, active_speaker.
        options: what else the values and tables depend on, as JSON has it.
        models: SHA-256 of all weights by role, or the name and version of an encoder.
        libraries: versions of the libraries that took part.
        command: as it was typed.
        created: when, ISO 8601 in UTC.
        people: the people with a trace, as in the tables.
        rate: rows a second.
        trace: SHA-256 of the table with four decimals, which `vatrace again` compares.
        results: the other files that were written: for each name, its kind, person, size and SHA-256.
        vatrace: the version.
        schema: SCHEMA.
    """

    recording: FileFacts
    inputs: Mapping[str, FileFacts]
    options: Mapping[str, Any]
    models: Mapping[str, str]
    libraries: Mapping[str, str]
    command: str = ""
    created: str = ""
    people: Sequence[str] = ()
    rate: float = 0.0
    trace: str = ""
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    vatrace: str = ""
    schema: int = SCHEMA

    def outdated(self, loaded: Mapping[str, str]) -> list[str]:
        """The files that are no longer what a model has loaded (`Model.loaded`): a long command, and others write them."""
        return [self.inputs[role].path for role, digest in loaded.items() if self.inputs[role].sha256 != digest]

    def changes(self, wanted: Provenance) -> list[str]:
        """What differs between these results and those that would be made now, in words; none if they are current."""
        found = ["the recording"] if self.recording.sha256 != wanted.recording.sha256 else []
        found += _differences(_hashes(self.inputs), _hashes(wanted.inputs), values=False)
        found += _differences(self.options, wanted.options)
        found += _differences(self.models, wanted.models, values=False)
        found += _differences({"vatrace": self.vatrace, **self.libraries}, {"vatrace": wanted.vatrace, **wanted.libraries})
        return found + (["the format of the side file"] if self.schema != wanted.schema else [])

    def as_dict(self) -> dict[str, Any]:
        """For JSON, the general facts first."""
        content = asdict(self)
        first = ("schema", "vatrace", "created", "command", "rate", "people")
        return {name: content[name] for name in first} | {name: value for name, value in content.items() if name not in first}


def _hashes(files: Mapping[str, FileFacts]) -> dict[str, str]:
    return {role: facts.sha256 for role, facts in files.items()}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], values: bool = True) -> list[str]:
    """The names whose values differ, with both values if they are worth reading."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{name} {_brief(old.get(name))} -> {_brief(new.get(name))}" if values else name for name in names]


def _brief(value: object) -> str:
    text = "none" if value is None or value in ({}, [], "") else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def file_facts(path: Path, folder: Path, known: FileFacts | None = None) -> FileFacts:
    """Facts about a file.

    Args:
        path: the file.
        folder: of the side file.
        known: earlier facts; if path, size and time are still the same, the content is not read again.

    Raises:
        OSError: if it can't be read.
    """
    state, place = path.stat(), _relative(path, folder)
    if known is not None and (known.path, known.size, known.modified_ns) == (place, state.st_size, state.st_mtime_ns):
        digest = known.sha256
    else:
        digest = sha256_once(path)
    return FileFacts(place, digest, state.st_size, state.st_mtime_ns)


def _relative(path: Path, folder: Path) -> str:
    """A path from a folder, with slashes; whole if there is no way, as between two drives."""
    try:
        return Path(shown(os.path.relpath(path.absolute(), folder.absolute()))).as_posix()
    except ValueError:
        return shown(path.absolute())


@cache
def library_versions(more: tuple[str, ...] = ()) -> dict[str, str]:
    """The versions of LIBRARIES and of some more, as far as they are installed."""
    found = {}
    for name in (*LIBRARIES, *more):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def model_versions(
    encoders: Mapping[str, EncoderSpec], whisper: str | Path | None, active_speaker: Path | None
) -> dict[str, str]:
    """The weights that predictions depend on, except those in `Provenance.inputs`.

    Args:
        encoders: by modality.
        whisper: a folder or the name of a model, if the user named one.
        active_speaker: a network that decides who speaks, if the user named one; here with all its files.
    """
    weights = sorted(package_file("fusion.onnx").parent.glob("*.onnx"))
    found = {path.name: sha256_once(path) for path in weights if path.name != "streaming.onnx"}
    found |= {f"{modality} encoder": spec.version for modality, spec in encoders.items()}
    found |= {f"foreign {modality} encoder": spec.foreign.version for modality, spec in encoders.items() if spec.foreign}
    found |= {} if active_speaker is None else {"active speaker": network_sha256(active_speaker)}
    folder = found_whisper(whisper)
    found |= {"whisper": sha256_once(folder / "model.bin")} if folder is not None else {}
    return found | ({"whisper base": BASE_SHA256} if has_languages() else {})  # other files would not be loaded


def command_line() -> str:
    """The command that is running, as it could be typed."""
    return shown(shlex.join(["vatrace", *sys.argv[1:]]))


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_provenance(path: Path) -> tuple[Provenance, list[dict[str, Any]]] | None:
    """The provenance in a side file, and the rows of the summary; None if the file isn't one.

    Raises:
        OSError: if it can't be read.
    """
    with path.open("rb") as file:
        start = file.read(HEAD)
        found = _head(start.decode("utf-8", "ignore"))
        return found or _head((start + file.read()).decode("utf-8", "replace"))


def _head(text: str) -> tuple[Provenance, list[dict[str, Any]]] | None:
    """The first two entries of a JSON object, without the rest of it, which may be long."""
    decoder, values, position = json.JSONDecoder(), [], 0
    for name in ("provenance", "summary"):
        before = f'{"{" if name == "provenance" else ","}\n"{name}": '
        if not text.startswith(before, position):
            return None
        try:
            value, position = decoder.raw_decode(text, position + len(before))
        except ValueError:
            return None
        values.append(value)
    try:
        return from_dict(values[0]), typed(list[dict[str, Any]], values[1])
    except TypeError:
        return None


def from_dict(content: object) -> Provenance:
    """The provenance of `Provenance.as_dict`. Entries that aren't known are ignored.

    Raises:
        TypeError: if something is missing, or isn't what it should be.
    """
    known = typed(dict[str, Any], content)
    found = record(Provenance, {name: value for name, value in known.items() if name in Provenance.__dataclass_fields__})
    if not all("kind" in facts for facts in found.results.values()):
        raise TypeError("a result without its kind")
    return found


def located(facts: FileFacts, side: Path) -> Path:
    """Where a file of the provenance in a side file is."""
    return Path(os.path.normpath(side.parent / facts.path))


def moved(made: Provenance, side: Path, folder: Path) -> Provenance:
    """The provenance in a side file, for one in another folder: its paths start from there."""

    def there(facts: FileFacts) -> FileFacts:
        return replace(facts, path=_relative(located(facts, side), folder))

    return replace(made, recording=there(made.recording), inputs={role: there(facts) for role, facts in made.inputs.items()})


def starting(
    recording: Path,
    folder: Path,
    inputs: Mapping[str, Path | None],
    options: Mapping[str, Any],
    models: Mapping[str, str],
    known: Provenance | None = None,
) -> Provenance:
    """The provenance of results before they are made, for `Provenance.changes`.

    Args:
        recording: the recording.
        folder: of the side file.
        inputs: other files by role; None where there is none.
        options: what else the result depends on.
        models: see `model_versions`.
        known: provenance of earlier results, so that unchanged files aren't read again.

    Raises:
        OSError: if a file can't be read.
    """
    before = {} if known is None else dict(known.inputs)
    return Provenance(
        recording=file_facts(recording, folder, None if known is None else known.recording),
        inputs={role: file_facts(path, folder, before.get(role)) for role, path in inputs.items() if path is not None},
        options=json.loads(shown(json.dumps(dict(options)))),  # as it will be read again
        models=dict(models),
        libraries=library_versions(tuple(name for also, name in FOR_ALSO.items() if also in options.get("also", ()))),
        command=command_line(),
        vatrace=__version__,
    )


def check_ours(side: Path, found: Provenance, wanted: Provenance, names: Iterable[str]) -> None:
    """Check that results may be replaced: they are of the same recording, and nobody has edited them.

    Args:
        side: the side file.
        found: its provenance.
        wanted: of the results that replace them.
        names: of the results that replace them, from the folder of the side file.

    Raises:
        FileExistsError: if one is another recording's, or wasn't written by vatrace, or was edited.
        OSError: if one can't be read.
    """
    other = located(found.recording, side)
    if found.recording.sha256 != wanted.recording.sha256 and other != located(wanted.recording, side):
        raise FileExistsError(
            f"{side}: already exists, for another recording ({other}): choose another folder, or replace it with --overwrite"
        )
    for name in names:
        path, known = side.parent / name, found.results.get(name)
        if path == side or not path.exists():
            continue
        if known is None:
            raise FileExistsError(f"{path}: already exists: choose another name or folder, or replace it with --overwrite")
        if path.stat().st_size != known["size"] or sha256(path) != known["sha256"]:
            raise FileExistsError(f"{path}: has been changed since vatrace wrote it: rename it, or replace it with --overwrite")


def all_there(side: Path, found: Provenance, names: Iterable[str]) -> bool:
    """Whether all of these results were written with this side file, and still exist."""
    return all(name in found.results and (side.parent / name).exists() for name in names)
