"""A queue of recordings, which are predicted one after the other. Each has a folder of its own, with its results.

    FOLDER/20260131-142501-3f9a0c12/job.json       its name and state
                                    upload.mp4     the recording, until the server ends
                                    copy           a small copy of it
                                    page.html      the report, which shows the copy
                                    result.json    the trace, written last
                                    annotations/   a CSV per annotator

Results stay until they are removed. Recordings are deleted when the server ends. After a crash, unfinished ones are predicted
again.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from math import isfinite
from pathlib import Path
from queue import SimpleQueue
from secrets import token_hex
from threading import Lock, Thread
from typing import Literal

from vatrace.errors import VatraceError, described, report_bug
from vatrace.files import read_json as read_json_file
from vatrace.files import written_whole
from vatrace.inference.model import Model, load_model
from vatrace.inference.prediction import Prediction
from vatrace.media.recording import open_recording
from vatrace.media.writing import preview_type, write_preview
from vatrace.names import People
from vatrace.output.report import media_element, summary, write_page
from vatrace.output.writers import read_json, write_json
from vatrace.records import record
from vatrace.web.options import Options

logger = logging.getLogger(__name__)

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
        options: how to predict it.
        path: the recording, if it is a file of the user's, which is never deleted; "" if it was uploaded.
        webhook: address that is told about the end; "" for none.
        order: place in the order of completion, from 1; 0 until then.
        duration: seconds of the trace once done; 0 if it isn't known.
    """

    id: str
    name: str
    state: State = "uploading"
    message: str = ""
    stages: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    kind: str = ""
    people: People = "main"
    options: Options = field(default_factory=Options)
    path: str = ""
    webhook: str = ""
    order: int = 0
    duration: float = 0.0


class _RemovedError(Exception):
    """The job was removed while it was running."""


class Jobs:
    """The queue and its thread.

    Args:
        folder: where recordings and results are kept; those of an earlier server are taken over.
        model: predicts them.
        load: loads another model that a job asks for, by its path.
        on_finish: called with each job that has ended, in the thread of the queue.
    """

    def __init__(
        self,
        folder: Path,
        model: Model,
        load: Callable[[Path], Model] = load_model,
        on_finish: Callable[[Job], object] = lambda job: None,
    ) -> None:
        self.folder = folder
        self._model = model
        self._load = lru_cache(maxsize=1)(load)
        self.on_finish = on_finish
        self._lock = Lock()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._jobs: dict[str, Job] = {}
        for path in sorted(folder.glob("*/job.json")):
            try:
                self._take_over(path)
            except Exception as error:  # one damaged folder must not stop the server
                logger.warning("%s: damaged, so it isn't shown (%s); delete its folder", path, error)
        self._num_finished = max((job.order for job in self._jobs.values()), default=0)
        self._thread = Thread(target=self._work, name="jobs", daemon=True)
        self._thread.start()

    def _take_over(self, path: Path) -> None:
        content = read_json_file(path, VatraceError)
        job = record(Job, content)
        if job.id != path.parent.name or not all(map(isfinite, job.stages.values())):
            raise VatraceError(f"{path}: the job of another folder")
        if job.state == "uploading" or (job.state in {"waiting", "running"} and not self._source(job).is_file()):
            shutil.rmtree(path.parent)
            return
        self._jobs[job.id] = job
        if job.state == "done" and "notes" not in content:  # written by a version that kept them in the result only
            job.notes = self.result(job).notes
        if job.state in {"waiting", "running"}:
            self.start(job)

    def all(self) -> list[Job]:
        """The jobs, the latest first."""
        with self._lock:
            return sorted(self._jobs.values(), key=lambda job: job.id, reverse=True)

    def get(self, name: str) -> Job:
        """Get a job by its id.

        Raises:
            KeyError: if there is no such job.
        """
        with self._lock:
            return self._jobs[name]

    def finished(self, after: int = 0) -> list[Job]:
        """The jobs that have ended, in the order of completion, from the one after this place."""
        with self._lock:
            return sorted((job for job in self._jobs.values() if job.order > after), key=lambda job: job.order)

    def add(
        self, name: str, people: People = "main", options: Options | None = None, path: Path | None = None, webhook: str = ""
    ) -> tuple[Job, Path]:
        """Add a job.

        Args:
            name: the recording's file name.
            people: whose traces to make.
            options: how to predict it; None for the defaults.
            path: the recording, if it needn't be uploaded; it is never changed or deleted.
            webhook: address that is told about the end.

        Returns:
            The job, and the path to write the recording to before the job is started.
        """
        job = Job(f"{datetime.now():%Y%m%d-%H%M%S-%f}-{token_hex(4)}", Path(name).name or "recording", people=people)
        job.options, job.path, job.webhook = options or Options(), str(path or ""), webhook
        (self.folder / job.id).mkdir(parents=True, mode=0o700)  # recordings of people are private
        self._note(job)
        with self._lock:
            self._jobs[job.id] = job
        return job, self._upload(job)

    def start(self, job: Job) -> None:
        """Put a job at the end of the queue; its recording has been written."""
        job.state, job.stages = "waiting", {}
        self._note(job)
        self._queue.put(job)

    def remove(self, name: str) -> None:
        """Delete a job with all its files; if it is running, it stops.

        Raises:
            KeyError: if there is no such job.
        """
        with self._lock:
            job = self._jobs.pop(name)
            running = job.state == "running"
        if not running:  # otherwise its thread deletes the files
            shutil.rmtree(self.folder / job.id, ignore_errors=True)

    def file(self, job: Job, name: Literal["copy", "page.html"]) -> Path:
        """A file of a finished job."""
        return self.folder / job.id / name

    def annotations(self, job: Job) -> Path:
        """The folder of a job's annotations, which may not exist yet."""
        return self.folder / job.id / "annotations"

    def result(self, job: Job) -> Prediction:
        """The trace of a finished job."""
        return read_json(self.folder / job.id / "result.json")

    def duration(self, job: Job) -> float:
        """The length of a finished job's recording, in seconds."""
        return job.duration or self.result(job).duration

    def recording(self, job: Job) -> Path:
        """The recording itself, or its small copy if it has been deleted."""
        source = self._source(job)
        return source if source.is_file() else self.file(job, "copy")

    def close(self) -> None:
        """End the thread, and delete all recordings and unfinished jobs."""
        with self._lock:
            unfinished = [job.id for job in self._jobs.values() if job.state not in {"done", "failed"}]
        for name in unfinished:
            self.remove(name)
        self._queue.put(None)
        self._thread.join()
        for job in self.all():
            self._upload(job).unlink(missing_ok=True)

    def _upload(self, job: Job) -> Path:
        return self.folder / job.id / f"upload{Path(job.name).suffix.lower()}"

    def _source(self, job: Job) -> Path:
        """The recording: a file of the user's, or the upload."""
        return Path(job.path) if job.path else self._upload(job)

    def _note(self, job: Job) -> None:
        with written_whole(self.folder / job.id / "job.json") as path:
            path.write_text(json.dumps(asdict(job), ensure_ascii=False), encoding="utf-8")

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                if job.id not in self._jobs:
                    continue
                job.state = "running"
            logger.info("%s: %s started", job.id, job.name)
            try:
                self._run(job)
            except _RemovedError:
                shutil.rmtree(self.folder / job.id, ignore_errors=True)
                continue
            except (VatraceError, OSError) as error:
                source = self._source(job)
                job.state, job.message = "failed", described(error, source).replace(str(source), job.name)
            except Exception as error:  # it must not stop the other recordings
                job.state, job.message = "failed", report_bug(error, job.name)
            try:
                self._finish(job)
            except OSError as error:  # a full disk, or the job has just been removed
                logger.warning("%s: %s", job.name, error)

    def _run(self, job: Job) -> None:
        """Predict, and write everything, the result last."""
        folder = self.folder / job.id

        def progress(stage: str, share: float) -> None:
            if job.id not in self._jobs:
                raise _RemovedError
            job.stages = job.stages | {stage: share}  # a new dict, since another thread may be reading the old one

        options = job.options
        recording = open_recording(self._source(job), options.transcript or None, options.language)
        model = self._load(Path(options.model)) if options.model else self._model
        prediction = model.predict(
            recording,
            rate=options.rate,
            modalities=options.modalities,
            people=job.people,
            language=options.language,
            also=options.also,
            explain=True,
            progress=progress,
        )
        others = tuple(replace(other, source=Path(job.name)) for other in prediction.others)
        named = replace(prediction, source=Path(job.name), others=others)
        element = ""
        if recording.kind != "transcript":
            write_preview(recording, folder / "copy", lambda share: progress("report", share))
            job.kind = preview_type(recording)
            element = media_element(job.kind, "copy")
        write_page(named, folder / "page.html", element)
        progress("report", 1.0)
        with written_whole(folder / "result.json") as path:
            write_json(named, path)
        job.notes = [note.replace(str(self._source(job)), job.name) for note in named.notes]
        job.duration = named.duration
        job.state, job.message = "done", summary(named)

    def _finish(self, job: Job) -> None:
        with self._lock:
            removed = job.id not in self._jobs
            if not removed:
                self._num_finished += 1
                logger.info("%s: %s %s", job.id, job.name, job.state)
                job.order = self._num_finished
        if removed:
            shutil.rmtree(self.folder / job.id, ignore_errors=True)
            return
        self._note(job)
        self.on_finish(job)
