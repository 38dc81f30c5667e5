"""From a corpus's recordings to features in a store. Finished work is not repeated; failures are reported and left out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vatrace.accelerator import use_device
from vatrace.corpora.annotated_person import choose_annotated, choose_cropped, has_several_voices
from vatrace.corpora.corpus import NO_PICTURE, Source
from vatrace.encoders import EncoderSpec
from vatrace.errors import MediaError, MissingWeightsError, VatraceError, described, reason, report_bug
from vatrace.features.active_speaker import network_sha256
from vatrace.features.perceiver import PERCEPTION
from vatrace.files import sha256, sha256_once
from vatrace.languages import AUTO
from vatrace.media.recording import Recording, frame_times, open_recording, with_transcript
from vatrace.names import MODALITIES
from vatrace.store import EncoderInfo, Meta, Schema, Store
from vatrace.watcher import working_on
from vatrace.weights import BASE_SHA256, find_whisper, has_languages

if TYPE_CHECKING:
    from vatrace.features.perceiver import Perceiver
    from vatrace.names import Progress


MAX_RATE_ERROR = 0.1
"""Share by which the frame rate that a video states may differ from that of its frames' times."""


@dataclass(frozen=True)
class Setting:
    """How features are extracted.

    Attributes:
        encoders: one for each modality.
        whisper: as in `Perceiver`.
        threads: CPU threads of one worker.
        crops: whether face crops are stored as well.
        active_speaker: an ONNX network that decides who speaks; None for none.
        device: where the networks run (`vatrace.accelerator`).
        language: of the speech and the transcripts, by its code; AUTO to find out.
    """

    encoders: tuple[EncoderSpec, ...]
    whisper: str | Path | None
    threads: int
    crops: bool
    active_speaker: Path | None = None
    device: str = "cpu"
    language: str = AUTO

    @property
    def facts(self) -> dict[str, str]:
        """What else the features of each recording depend on, for `is_done`."""
        found = {} if self.active_speaker is None else {"active_speaker": network_sha256(self.active_speaker)}
        found |= {} if self.language == AUTO else {"language": self.language}
        if self.whisper is not None and any(spec.modality == "words" or spec.on_whisper for spec in self.encoders):
            found["whisper"] = sha256_once(find_whisper(self.whisper) / "model.bin")
        if has_languages() and any(spec.modality == "words" and not spec.foreign for spec in self.encoders):
            found["whisper_base"] = BASE_SHA256  # it recognises other languages; with `foreign`, that says as much
        return found | {f"foreign_{spec.modality}": spec.foreign.version for spec in self.encoders if spec.foreign}

    def schema(self, rate: float | None) -> Schema:
        """The schema of a store for such features, with this many steps a second (None: one for each frame)."""
        return Schema(
            rate, {spec.modality: EncoderInfo(spec.name, spec.version, spec.dim) for spec in self.encoders}, self.crops
        )


@dataclass(frozen=True)
class Task:
    """The recordings that share one video or audio file; one worker extracts them together.

    Attributes:
        store: path of the store that they are written into.
        sources: recordings of one `media`.
        setting: how features are extracted.
    """

    store: Path
    sources: tuple[Source, ...]
    setting: Setting


@dataclass(frozen=True)
class Outcome:
    """The result for one recording.

    Attributes:
        name: of the recording.
        error: why it is not in the store; None on success.
        notes: what the user should know.
        seconds: its length.
    """

    name: str
    error: str | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def fingerprints(source: Source, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The content of a recording's files: names and sizes for cropped faces, the SHA-256 for other files.

    Args:
        source: the recording.
        known: earlier fingerprints; a file whose size and time are still the same is not read again.

    Raises:
        OSError: if a file can't be read.
    """
    picture = source.person if isinstance(source.person, Path) else None
    prints: dict[str, Any] = {} if source.person is None or picture else {"person": source.person}
    for name, path in {
        "media": source.media,
        "transcript": source.transcript,
        "picture": picture,
        **source.features,
    }.items():
        if path is None:
            continue
        place = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]  # a store doesn't tell where its recordings are
        state = {"place": place, "size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}
        before = (known or {}).get(name, {})
        if state.items() <= before.items():
            prints[name] = before
        else:
            prints[name] = state | {"sha256": sha256(path)}
    if source.face_folder is not None:
        listing = sorted((path.name, path.stat().st_size) for path in source.face_folder.iterdir())
        prints["faces"] = hashlib.sha256(repr(listing).encode()).hexdigest()
    if not source.features:
        prints["perception"] = PERCEPTION
    return prints


def _contents(prints: Mapping[str, Any]) -> dict[str, Any]:
    """Fingerprints without sizes and times, which change when a file is copied."""
    return {name: value["sha256"] if isinstance(value, dict) else value for name, value in prints.items()}


def is_done(source: Source, store: Store, facts: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Whether a recording is in the store, made from files with the same content.

    Args:
        source: the recording.
        store: where to look.
        facts: other inputs that must be the same.

    Raises:
        OSError: if a file can't be read.
    """
    if source.name not in store:
        return False
    known = store.recording(source.name).meta.inputs
    return _contents(known) == _contents({**fingerprints(source, known), **facts})


def open_tasks(sources: Sequence[Source], store: Store, setting: Setting) -> tuple[list[Task], list[Outcome]]:
    """The work that remains, and outcomes for the recordings that can't be extracted."""
    waiting, failures, facts = [], [], setting.facts
    for source in sources:
        try:
            if source.media is None:
                failures.append(Outcome(source.name, "no video or audio of this name"))
            elif isinstance(source.person, Path) and not source.person.is_file():
                failures.append(Outcome(source.name, NO_PICTURE.format(source.person)))
            elif not is_done(source, store, facts):
                waiting.append(source)
        except OSError as error:
            failures.append(Outcome(source.name, f"{error.filename}: {reason(error)}"))
    waiting.sort(key=lambda source: (str(source.media), source.name))
    groups = groupby(waiting, key=lambda source: source.media)
    return [Task(store.path, tuple(group), setting) for _, group in groups], failures


@cache
def _perceiver(setting: Setting) -> Perceiver:
    """One per process, because its models take a while to load."""
    from vatrace.features.perceiver import Perceiver

    use_device(setting.device)
    encoders = {spec.modality: spec for spec in setting.encoders}
    return Perceiver(encoders, setting.whisper, setting.threads, setting.crops, setting.active_speaker)


def extract(task: Task, report: Progress = lambda stage, share: None) -> list[Outcome]:
    """Put the recordings of one task into the store.

    Raises:
        MissingWeightsError: if weights are missing; any other failure is in the outcome of its recording.
    """
    outcomes: list[Outcome] = []
    try:
        with working_on(task.sources[0].media):
            outcomes.extend(_extract(task, _perceiver(task.setting), report))
        return outcomes
    except MissingWeightsError:
        raise
    except (VatraceError, OSError) as error:
        problem = described(error, task.sources[0].media)
    except Exception as error:  # it must not stop the other recordings
        problem = report_bug(error, task.sources[0].media)
    return outcomes + [Outcome(source.name, problem) for source in task.sources[len(outcomes) :]]


def lost(task: Task, reason: str) -> list[Outcome]:
    """The outcomes of a task whose worker was lost."""
    return [Outcome(source.name, reason) for source in task.sources]


def _extract(task: Task, perceiver: Perceiver, report: Progress) -> Iterator[Outcome]:
    store, media = Store(task.store), task.sources[0].media
    assert media is not None
    # first: a file that still grows is extracted again next time
    prints = [fingerprints(source) | task.setting.facts for source in task.sources]
    recording = open_recording(media)
    language = task.setting.language
    transcripts = {source.name: _transcript(recording, source.transcript, language) for source in task.sources}
    times = frame_times(media) if recording.has_frames else np.zeros(0)
    rate = store.schema.rate or _frame_rate(recording, times)
    if rate is None:
        raise MediaError(f"{media}: a single image, or audio alone, has no frame rate: give one with --rate")
    wanted = {name for name in perceiver.encoders if recording.has_frames or name != "face"}
    usable = {name for name in wanted if name == "face" or recording.has_audio}
    transcribe = any(said.words is None for said in transcripts.values())
    tracked = any(source.face_folder is None for source in task.sources)
    perceived = perceiver.perceive(recording, rate, usable if tracked else usable - {"face"}, report, transcribe, language)
    if not tracked and "face" in usable and has_several_voices(perceived):  # whose they are can only be seen in the video
        perceived = perceiver.see_as_well(recording, perceived, report, transcribe, language)
    perceived = replace(perceived, modalities=frozenset(wanted))
    if len(perceived.sight.frame_times):  # the times of the frames that could be decoded
        times = perceived.sight.frame_times
    end = perceived.sight.end or (times[-1] + 1 / rate if len(times) else 0.0)
    for source, known in zip(task.sources, prints, strict=True):
        said = transcripts[source.name]
        try:
            if source.face_folder is not None and "face" in wanted:
                sight = perceiver.see_crops(source.face_folder, times, rate, end)
                seen, person, doubts = choose_cropped(source, perceived, sight, perceiver)
            else:
                seen, person, doubts = choose_annotated(source, recording, perceived, perceiver)
        except MediaError as error:  # somebody else in the same media may be in it
            yield Outcome(source.name, str(error))
            continue
        percept = perceiver.percept(seen, person, said.words)
        notes = [*seen.notes, *said.transcript_notes, *doubts]
        meta = Meta(source.name, rate, percept.num_steps, known, percept.words, notes)
        store.write(meta, percept.valid, percept.features, times, percept.crops)
        absent = [f"no {name}" for name in MODALITIES if name in wanted and not percept.valid[name].any()]
        yield Outcome(source.name, None, (*notes, *absent), percept.duration)


def _transcript(recording: Recording, path: Path | None, language: str) -> Recording:
    """The recording with its transcript. If that can't be used, its speech is recognised, with a note."""
    if path is None:
        return recording
    try:
        return with_transcript(recording, path, language)
    except MediaError as error:
        return replace(recording, transcript_notes=(f"{error}: not used; its speech is recognised instead",))


def _frame_rate(recording: Recording, times: NDArray[np.float64]) -> float | None:
    """The rate that the container states, unless its frames' times contradict it."""
    if len(times) < 2 or times[-1] == times[0]:
        return None
    measured = float((len(times) - 1) / (times[-1] - times[0]))
    consistent = recording.frame_rate is not None and abs(recording.frame_rate / measured - 1) < MAX_RATE_ERROR
    return recording.frame_rate if consistent else measured
