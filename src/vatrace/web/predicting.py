"""Predicts the recordings of the queue, in a process of its own: a crash in a codec costs one recording."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from vatrace.errors import VatraceError, described, report_bug
from vatrace.files import shown, written_whole
from vatrace.inference.model import Model
from vatrace.inference.prediction import for_everyone
from vatrace.media.recording import open_recording
from vatrace.media.writing import preview_type, write_preview
from vatrace.names import Progress
from vatrace.output.look import masthead
from vatrace.output.provenance import Provenance
from vatrace.output.report import media_element, summary, write_page
from vatrace.output.results import completed
from vatrace.output.writers import write_json
from vatrace.web.job import Job
from vatrace.web.pictures import write_clicked_face, write_thumb

LINKS = {
    "Recordings": ("recordings", "../../"),
    "Live": ("live", "../../live"),
    "Annotate": ("annotate", "annotate"),
}
"""Icons and addresses of the pages that a report leads to."""

MakeModel = Callable[[Path | None], Model]
"""Makes a model from the path of another fusion model; None for the server's own. Other processes must be able to import it."""


@dataclass(frozen=True)
class Task:
    """What the process gets to know.

    Attributes:
        job: what is to be done.
        folder: of the job.
        source: the recording.
        transcript: that was uploaded with it, or that its options name; None for none.
        picture: of the person to follow, likewise.
    """

    job: Job
    folder: Path
    source: Path
    transcript: Path | None
    picture: Path | None = None


Start = Callable[[Task, Model], Provenance]
"""Makes the provenance of results before they are made; other processes must be able to import it."""


class Predicting:
    """Predicts one job after the other, and keeps the latest model.

    Args:
        make_model: makes the models.
        start: begins the provenance; None to leave it out of downloads.
    """

    def __init__(self, make_model: MakeModel, start: Start | None = None) -> None:
        self._make_model = make_model
        self._start = start

    def __call__(self, task: Task, progress: Progress) -> Job:
        """Predict a job, write everything, the result last, and return the job as it is then."""
        job = task.job
        try:
            self._predict(task, progress)
        except (VatraceError, OSError) as error:
            message = described(error, task.source).replace(str(task.source), job.name)
            job.state, job.message = "failed", message.replace(f"{task.folder}{os.sep}", "")
        except Exception as error:  # it must not stop the other recordings
            job.state, job.message = "failed", report_bug(error, job.name)
        return job

    def _predict(self, task: Task, progress: Progress) -> None:
        job, folder, options = task.job, task.folder, task.job.options
        recording = open_recording(task.source, task.transcript, options.language)
        picture = task.picture
        if job.person is not None:
            picture = write_clicked_face(recording, job.person, folder / "clicked face.png")
        fusion = Path(options.model) if options.model else None
        model = _model(self._make_model, fusion)
        made = None if self._start is None else self._start(task, model)
        if made is not None and made.outdated(model.loaded):
            _model.cache_clear()
            model = _model(self._make_model, fusion)
        prediction = model.predict(
            recording,
            rate=options.rate,
            modalities=options.modalities,
            people=job.people,
            person=picture,
            language=options.language,
            also=options.also,
            explain=True,
            progress=progress,
        )
        others = tuple(replace(other, source=Path(job.name)) for other in prediction.others)
        named = replace(prediction, source=Path(job.name), others=others)
        if made is not None:
            made = replace(made, recording=replace(made.recording, path=shown(job.name)))
            named = for_everyone(named, provenance=completed(made, named).as_dict())
        element = ""
        if recording.kind != "transcript":
            write_preview(recording, folder / "copy", lambda share: progress("report", share))
            job.kind = preview_type(recording)
            element = media_element(job.kind, "copy")
        job.has_thumb = recording.has_frames and write_thumb(folder / "copy", job.kind, named, folder / "thumb")
        write_page(named, folder / "page.html", element, masthead(LINKS, home="../../"))
        progress("report", 1.0)
        with written_whole(folder / "result.json") as path:
            write_json(named, path)
        job.notes = [note.replace(str(task.source), job.name) for note in named.notes]
        job.describe(named)
        job.state, job.message = "done", summary(named)


@lru_cache(maxsize=2)
def _model(make_model: MakeModel, fusion: Path | None) -> Model:
    return make_model(fusion)
