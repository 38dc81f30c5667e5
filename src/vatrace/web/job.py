"""What is known of one recording of the queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vatrace.inference.prediction import Prediction
from vatrace.names import DIMENSIONS, MODALITIES, People
from vatrace.output.writers import summary_rows
from vatrace.web.options import Options

State = Literal["uploading", "waiting", "running", "done", "failed"]
Wanted = Literal["main", "all", "left", "right"]
"""Whose traces to make: the choices of `Model.predict` that need no number."""


@dataclass
class Job:
    """One recording.

    Attributes:
        id: name of its folder; later ones sort after earlier ones.
        name: the recording's file name.
        state: its progress.
        message: the trace in one line once done, the cause once failed.
        stages: the share of each stage that is done, 0..1.
        notes: what the user should know about the trace.
        kind: media type of the small copy; "" for a transcript, which has no copy.
        people: whose traces to make.
        person: a click on the face to follow instead of `people`: seconds, and shares of the picture's width and height.
        options: how to predict it.
        transcript: file name of the transcript that was uploaded with it; "" for none.
        picture: file name of the picture of the person to follow that was uploaded with it; "" for none.
        path: the recording, if it is a file of the user's, which is never deleted; "" if it was uploaded.
        webhook: address that is told about the end; "" for none.
        order: place in the order of completion, from 1; 0 until then.
        added: when it was added, in seconds since 1970; 0 if it isn't known.
        started: when it was started, likewise.
        duration: seconds of the trace once done; 0 if it isn't known.
        num_people: people whose traces were made.
        facts: of the first: the means of valence and arousal, and the share of the time of each modality.
        flags: of the first, see `vatrace.output.flags`.
        sketch: of the first, see `vatrace.output.sketch`.
        has_thumb: whether it has a small picture.
        can_repeat: whether it can be predicted again, because the recording itself is still kept.
    """

    id: str
    name: str
    state: State = "uploading"
    message: str = ""
    stages: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    kind: str = ""
    people: People = "main"
    person: list[float] | None = None
    options: Options = field(default_factory=Options)
    transcript: str = ""
    picture: str = ""
    path: str = ""
    webhook: str = ""
    order: int = 0
    added: float = 0.0
    started: float = 0.0
    duration: float = 0.0
    num_people: int = 0
    facts: dict[str, float | None] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    sketch: dict[str, list[float | None]] = field(default_factory=dict)
    has_thumb: bool = False
    can_repeat: bool = False

    def describe(self, prediction: Prediction) -> None:
        """Take over what the list shows of a result."""
        row = summary_rows(prediction)[0]
        self.num_people, self.duration = len(prediction.people), prediction.duration
        named = {f"{name}_mean": name for name in DIMENSIONS} | {name: name for name in MODALITIES}
        self.facts = {name: row[column] for column, name in named.items()}  # type: ignore[misc]
        self.flags = [flag for flag in str(row["flags"]).split("; ") if flag]
        self.sketch = row["sketch"]  # type: ignore[assignment]


def options_of(job: Job) -> dict[str, object]:
    """The options of a job as `vatrace predict` would note them."""
    options = job.options
    traces = {"rate": options.rate, "modalities": sorted(options.modalities), "people": job.people, "explain": True}
    transcript = "given" if job.transcript or options.transcript else "none"
    words: dict[str, object] = {
        "language": options.language,
        "encoding": None,
        "transcript": transcript,
        "other transcripts": [],
    }
    also = {"also": list(options.also)} if options.also else {}
    return {**traces, **words, **also, "kept": None, "per_person": False, "names": {}, "about": {}, "span": None}
