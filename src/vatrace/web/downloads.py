"""Results of the queue as files to download, in all formats."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from fastapi import HTTPException, Response

from vatrace.errors import MediaError, MissingExtraError, VatraceError, described
from vatrace.inference.prediction import Prediction
from vatrace.media.recording import open_recording
from vatrace.names import Progress
from vatrace.output.figure import write_picture
from vatrace.output.formats import FORMATS, check_formats
from vatrace.output.overlay import write_overlay
from vatrace.output.report import embedded_copy, write_page
from vatrace.web.job import Job
from vatrace.web.jobs import Jobs
from vatrace.web.pages import attachment
from vatrace.workers import in_processes


@cache
def possible_downloads() -> tuple[str, ...]:
    """The formats in which results can be downloaded here."""
    return (*(name for name in FORMATS if _possible(name)), "png", "html", "overlay")


def result_in(jobs: Jobs, job: Job, kind: str) -> Response:
    """The result of a finished job in a format, as a file.

    Raises:
        HTTPException: if it can't be written.
    """
    suffix = FORMATS[kind].suffix if kind in FORMATS else {"overlay": "overlay.mp4"}.get(kind, kind)
    with tempfile.TemporaryDirectory(dir=jobs.folder / job.id) as folder:
        path = Path(folder) / f"download.{suffix}"
        try:
            _write(jobs, job, kind, path)
            content = path.read_bytes()
        except (VatraceError, OSError) as error:
            raise HTTPException(400, str(error).replace(str(jobs.recording(job)), job.name)) from error
    return attachment(content, f"{Path(job.name).stem}.{suffix}")


def _possible(name: str) -> bool:
    try:
        check_formats([name])
    except MissingExtraError:
        return False
    return True


def _write(jobs: Jobs, job: Job, kind: str, path: Path) -> None:
    """Write a download of this kind."""
    prediction = jobs.result(job)
    if kind == "png":
        write_picture(prediction, path)
    elif kind == "html":
        write_page(prediction, path, embedded_copy(job.kind, jobs.file(job, "copy")) if job.kind else "")
    elif kind == "overlay":
        (problem,) = in_processes([(prediction, jobs.recording(job), path)], 1, _overlay, lambda _, why: f"{job.name}: {why}")
        if problem:
            raise MediaError(problem)
    else:
        FORMATS[kind].write(prediction, path)


def _overlay(task: tuple[Prediction, Path, Path], progress: Progress) -> str:
    """Write a video with the trace in it, in a process of its own, since it decodes the recording; what is wrong, or ""."""
    prediction, recording, path = task
    try:
        write_overlay(prediction, open_recording(recording), path)
    except (VatraceError, OSError) as error:
        return described(error, recording)
    return ""
