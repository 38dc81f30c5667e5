"""A queue of recordings, which are predicted one after the other, in a process of its own.

Each has a folder with its results:

    FOLDER/20260131-142501-3f9a0c12/job.json       its name and state
                                    upload.mp4     the recording, until the server ends
                                    transcript.srt its transcript, if it came with one
                                    person.jpg     a picture of the person to follow, if it came with one
                                    copy           a small copy of it
                                    thumb          a small picture of it, if it has any
                                    page.html      the report, which shows the copy
                                    result.json    the trace, written last
                                    annotations/   a CSV per annotator
    FOLDER/finished.json            how many have ended so far, including those since removed

Results stay until they are removed. Recordings are deleted when the server ends. After a crash, unfinished ones are predicted
again.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from functools import lru_cache
from math import isfinite
from pathlib import Path
from queue import SimpleQueue
from secrets import token_hex
from threading import Lock, Thread
from time import time
from typing import Any, Literal

from vatrace.errors import VatraceError, described, report_bug
from vatrace.files import read_json as read_json_file
from vatrace.files import write_json, written_whole
from vatrace.inference.model import load_model
from vatrace.inference.prediction import Prediction
from vatrace.names import People
from vatrace.output.writers import read_json
from vatrace.records import record, typed
from vatrace.web.job import Job
from vatrace.web.predicting import MakeModel, Predicting, Start, Task
from vatrace.workers import Worker, WorkerLostError

logger = logging.getLogger(__name__)

RESULT = ("state", "message", "notes", "kind", "duration", "num_people", "facts", "flags", "sketch", "has_thumb")
"""Fields of a job that its prediction sets."""


MAX_KEPT = 200
"""Results whose values are kept in memory: those of an hour have 3 MB."""


COUNTER = "finished.json"
"""The file with the number of jobs that have ended."""

Repeated = Literal["keep", "none", "other"]
"""What becomes of the transcript of a recording that is predicted again."""


class _RemovedError(Exception):
    """The job was removed while it was running."""


class Jobs:
    """The queue and its thread.

    Args:
        folder: where recordings and results are kept; those of an earlier server are taken over.
        make_model: makes the models that predict them.
        start: begins the provenance of results; None to leave it out of downloads.

    Attributes:
        on_finish: called with each job that has ended, in the thread of the queue.
    """

    def __init__(self, folder: Path, make_model: MakeModel = load_model, start: Start | None = None) -> None:
        self.folder = folder
        self.on_finish: Callable[[Job], object] = lambda job: None
        self._worker = Worker(Predicting(make_model, start))
        self._lock = Lock()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._jobs: dict[str, Job] = {}
        for path in sorted(folder.glob("*/job.json")):
            try:
                self._take_over(path)
            except Exception as error:  # one damaged folder must not stop the server
                logger.warning("%s: damaged, so it isn't shown (%s); delete its folder", path, error)
        self._num_finished = max([_counted(folder), *(job.order for job in self._jobs.values())])
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
        if job.state == "done" and not {"notes", "sketch"} <= content.keys():  # of an older version
            result = self.result(job)
            job.notes = content.get("notes", result.notes)
            job.describe(result)
        job.can_repeat = self._source(job).is_file()
        self._jobs[job.id] = job
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

    def add(self, name: str, people: People = "main", **fields: Any) -> tuple[Job, Path]:
        """Add a job.

        Args:
            name: the recording's file name.
            people: whose traces to make.
            **fields: other fields of `Job`: `person`, `options`, `transcript`, `picture`, `path` and `webhook`.

        Returns:
            The job, and the path to write the recording to before the job is started.
        """
        number = f"{datetime.now():%Y%m%d-%H%M%S-%f}-{token_hex(4)}"
        job = Job(number, Path(name).name or "recording", people=people, added=time(), **fields)
        (self.folder / job.id).mkdir(parents=True, mode=0o700)  # recordings of people are private
        self._note(job)
        with self._lock:
            self._jobs[job.id] = job
        return job, self._upload(job)

    def start(self, job: Job) -> None:
        """Put a job at the end of the queue; its recording has been written."""
        job.state, job.stages, job.can_repeat = "waiting", {}, True
        self._note(job)
        self._queue.put(job)

    def again(self, job: Job, people: People = "main", transcript: Repeated = "keep", **fields: Any) -> Job:
        """Predict a recording once more, with other options, as another job.

        Args:
            job: the earlier one.
            people: whose traces to make. "main", without a click on a face, is the person in the picture that came with it.
            transcript: whether to keep the one that came with it; "other" if another one is written before the job is started.
            **fields: other fields of `Job`.

        Raises:
            VatraceError: if the recording or the picture has been deleted.
            OSError: if its files can't be copied.
        """
        if not self._source(job).is_file():
            raise VatraceError(f"{job.name}: the recording itself has been deleted; add it again")
        kept = job.transcript if transcript == "keep" else ""
        picture = job.picture if people == "main" and fields.get("person") is None else ""
        if picture and not self.picture(job).is_file():
            raise VatraceError(f"{job.name}: the picture of the person to follow has been deleted; add the recording again")
        other, path = self.add(job.name, people, transcript=kept, picture=picture, path=job.path, **fields)
        try:
            if not job.path:
                shutil.copyfile(self._upload(job), path)
            for file, name in ((self.transcript, kept), (self.picture, picture)):
                if name:
                    shutil.copyfile(file(job), file(other))
        except BaseException:
            self.remove(other.id)
            raise
        if transcript != "other":
            self.start(other)
        return other

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

    def transcript(self, job: Job) -> Path:
        """The file for the transcript that comes with a recording."""
        return self.folder / job.id / f"transcript{Path(job.transcript).suffix.lower()}"

    def picture(self, job: Job) -> Path:
        """The file for the picture of the person that comes with a recording."""
        return self.folder / job.id / f"person{Path(job.picture).suffix.lower()}"

    def file(self, job: Job, name: Literal["copy", "page.html", "thumb"]) -> Path:
        """A file of a finished job."""
        return self.folder / job.id / name

    def annotations(self, job: Job) -> Path:
        """The folder of a job's annotations, which may not exist yet."""
        return self.folder / job.id / "annotations"

    def result(self, job: Job) -> Prediction:
        """The trace of a finished job."""
        return read_json(self.folder / job.id / "result.json")

    def trace(self, job: Job) -> Prediction:
        """The values of the first person of a finished job, without the rest; they are kept in memory."""
        return _trace(self.folder / job.id / "result.json")

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
            if job.transcript:
                self.transcript(job).unlink(missing_ok=True)
            if job.picture:
                self.picture(job).unlink(missing_ok=True)

    def _upload(self, job: Job) -> Path:
        return self.folder / job.id / f"upload{Path(job.name).suffix.lower()}"

    def _source(self, job: Job) -> Path:
        """The recording: a file of the user's, or the upload."""
        return Path(job.path) if job.path else self._upload(job)

    def _note(self, job: Job) -> None:
        with written_whole(self.folder / job.id / "job.json") as path:
            path.write_text(json.dumps(asdict(job), ensure_ascii=False), encoding="utf-8")

    def _count(self) -> None:
        """Keep the number, so that no later job gets the order of a removed one, which clients take for seen."""
        try:
            write_json(self.folder / COUNTER, {"finished": self._num_finished})
        except OSError as error:  # a full disk; the jobs have it as well
            logger.warning("%s", described(error, self.folder / COUNTER))

    def _work(self) -> None:
        try:
            self._work_off()
        finally:
            self._worker.end()

    def _work_off(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                if job.id not in self._jobs:
                    continue
                job.state, job.started = "running", time()
            logger.info("%s: %s started", job.id, job.name)
            try:
                self._run(job)
            except _RemovedError:
                shutil.rmtree(self.folder / job.id, ignore_errors=True)
                continue
            except WorkerLostError as error:
                job.state, job.message = "failed", f"{job.name}: {error}"
            except Exception as error:  # it must not stop the other recordings
                job.state, job.message = "failed", report_bug(error, job.name)
            try:
                self._finish(job)
            except OSError as error:  # a full disk, or the job has just been removed
                logger.warning("%s: %s", job.name, error)

    def _run(self, job: Job) -> None:
        """Have it predicted."""

        def progress(stage: str, share: float) -> None:
            if job.id not in self._jobs:
                raise _RemovedError
            job.stages = job.stages | {stage: share}  # a new dict, since another thread may be reading the old one

        try:
            self._worker.begin(self._task(job))
            while (end := self._worker.answer(progress)) is None:
                pass
        except BaseException:
            self._worker.end(now=True)
            raise
        for name in RESULT:
            setattr(job, name, getattr(end, name))

    def _task(self, job: Job) -> Task:
        """What the process needs to know."""
        transcript = Path(job.options.transcript) if job.options.transcript else None
        picture = Path(job.options.person) if job.options.person else None
        transcript = self.transcript(job) if job.transcript else transcript
        picture = self.picture(job) if job.picture else picture
        return Task(job, self.folder / job.id, self._source(job), transcript, picture)

    def _finish(self, job: Job) -> None:
        with self._lock:
            removed = job.id not in self._jobs
            if not removed:
                self._num_finished += 1
                self._count()
                logger.info("%s: %s %s", job.id, job.name, job.state)
                job.order = self._num_finished
        if removed:
            shutil.rmtree(self.folder / job.id, ignore_errors=True)
            return
        self._note(job)
        self.on_finish(job)


def _counted(folder: Path) -> int:
    """How many jobs have ended by the file of an earlier server; 0 without one, as before 0.2.0, or if it is damaged."""
    file = folder / COUNTER
    if not file.exists():
        return 0
    try:
        return int(typed(int, read_json_file(file, VatraceError)["finished"]))
    except (VatraceError, OSError, KeyError, TypeError, ValueError) as error:
        logger.warning("%s: damaged, so orders go on from the latest job that is left (%s)", file, error)
        return 0


@lru_cache(maxsize=MAX_KEPT)
def _trace(path: Path) -> Prediction:
    """The values of the first person in a result, which is written only once."""
    return replace(read_json(path), others=(), words=[], turns=[], boxes=None, explanation=None, also={}, provenance={})
