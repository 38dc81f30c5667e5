"""The addresses of annotation: the page, its traces, what annotators add to them, and what concerns all recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

import pandas as pd
from fastapi import APIRouter, HTTPException, Response
from pydantic import AfterValidator, BaseModel, Field, FiniteFloat

from vatrace.web import annotations as traces  # the name `annotations` is taken by __future__
from vatrace.web.archive import different
from vatrace.web.job import Job
from vatrace.web.jobs import Jobs
from vatrace.web.pages import attachment, filled_page, find_job

AFTER_END = 1.0
"""Seconds after the end of a recording up to which annotations are accepted: browsers round its length."""


def _known_name(dimension: str) -> str:
    if not traces.DIMENSION.fullmatch(dimension):
        raise ValueError("a dimension's name has at most 30 small letters, digits and -, and isn't time")
    return dimension


SECONDS = Annotated[FiniteFloat, Field(ge=0)]
VALUE = Annotated[FiniteFloat, Field(ge=-1e6, le=1e6)]
MAX_DIMENSIONS = 30
"""Columns of one annotator's trace of a recording: a rater must not fill the disk with new names."""
NUM_PARTS = 5
"""Parts that are suggested as the next ones to rate."""


class Samples(BaseModel):
    """Part of an annotator's trace: times in seconds, ascending, and values; and where they come from."""

    dimension: Annotated[str, AfterValidator(_known_name)]
    samples: Annotated[list[tuple[SECONDS, VALUE]], Field(min_length=1, max_length=10_000)]
    source: Literal["", "model", "corrected"] = ""
    bounded: bool = True


class Gap(BaseModel):
    """A gap in an annotator's trace that is to be filled."""

    column: Annotated[str, Field(max_length=60)]
    start: SECONDS


class Tracing:
    """Adds to the traces of annotators, one request at a time.

    Args:
        jobs: the recordings.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._writing = Lock()

    def check_name(self, annotator: str) -> None:
        """Check the name of an annotator, which becomes that of a file.

        Raises:
            HTTPException: if it can't be one.
        """
        if not traces.NAME.fullmatch(annotator) or annotator.lower() == traces.MODEL:
            raise HTTPException(400, f"{annotator!r} can't be an annotator's name: use letters, digits, - and _")

    def add(self, job: Job, annotator: str, part: Samples) -> None:
        """Add part of a trace.

        Raises:
            HTTPException: if it isn't possible in this recording.
        """
        self.check_name(annotator)
        times = [time for time, _ in part.samples]
        if times != sorted(times):
            raise HTTPException(400, "times must ascend")
        end = self._jobs.duration(job)
        if times[-1] > end + AFTER_END:
            raise HTTPException(400, f"{job.name} ends at {end:.1f} s, before {times[-1]:.1f} s")
        path, column = self._path(job, annotator), traces.column_of(part.dimension, part.bounded)
        with self._writing:
            known = traces.dimensions([traces.read(path)])
            if column not in known and len(known) >= MAX_DIMENSIONS:
                raise HTTPException(400, f"{annotator} has traced {len(known)} dimensions, which is the most")
            traces.add(path, part.dimension, part.samples, part.source, part.bounded)

    def fill(self, job: Job, annotator: str, wanted: Gap) -> None:
        """Fill a gap.

        Raises:
            HTTPException: if there is no such gap, or it is too long.
        """
        self.check_name(annotator)
        path = self._path(job, annotator)
        with self._writing:
            found = traces.gaps(traces.read(path), wanted.column, self._jobs.duration(job))
            gap = next((gap for gap in found if abs(gap.start - wanted.start) < 0.5 / traces.RATE), None)
            if gap is None:
                raise HTTPException(404, f"{annotator} has no gap in {wanted.column} at {wanted.start:.1f} s")
            if gap.end - gap.start > traces.MAX_FILL:
                raise HTTPException(400, f"only gaps up to {traces.MAX_FILL:g} s can be filled; trace longer ones")
            traces.fill(path, wanted.column, gap)

    def _path(self, job: Job, annotator: str) -> Path:
        return self._jobs.annotations(job) / f"{annotator}.csv"


def playable(jobs: Jobs) -> list[Job]:
    """The recordings that can be annotated, in the order in which they came."""
    return [job for job in reversed(jobs.all()) if job.state == "done" and job.kind.startswith(("audio", "video"))]


def seen(found: Mapping[str, pd.DataFrame], duration: float) -> dict[str, Any]:
    """What the page shows of the traces of annotators, by name, of a recording of this length."""
    columns = traces.dimensions(found.values())
    return {
        "duration": duration,
        "dimensions": columns,
        "traces": {name: traces.as_lists(table) for name, table in found.items()},
        "gaps": {name: {column: traces.gaps(table, column, duration) for column in columns} for name, table in found.items()},
        "sources": {name: traces.sources(table) for name, table in found.items()},
    }


def annotation_routes(jobs: Jobs, tracing: Tracing) -> APIRouter:
    """The addresses of annotation for the owner of the recordings."""
    routes = APIRouter()
    for part in (_annotations(jobs, tracing), _project(jobs)):
        routes.include_router(part)
    return routes


def _annotations(jobs: Jobs, tracing: Tracing) -> APIRouter:
    """The page of annotation, and what concerns one recording."""
    routes = APIRouter(prefix="/jobs/{name}")

    @routes.get("/annotate")
    def page(name: str) -> Response:
        find_job(jobs, name, finished=True)
        return filled_page("annotate.html", "../../")

    @routes.get("/about")
    def about(name: str) -> dict[str, str]:
        job = find_job(jobs, name, finished=True)
        return {"name": job.name, "kind": job.kind}

    @routes.get("/annotations")
    def show(name: str) -> dict[str, Any]:
        job = find_job(jobs, name, finished=True)
        prediction, found = jobs.trace(job), traces.read_all(jobs.annotations(job))
        shown = seen(found, prediction.duration)
        shown["traces"][traces.MODEL] = traces.as_lists(prediction.to_pandas())
        return {
            **shown,
            "agreement": traces.agreement([(found, prediction)]),
            "overall": traces.overall([(found, prediction)]),
        }

    @routes.get("/annotations.zip")
    def download(name: str) -> Response:
        job = find_job(jobs, name, finished=True)
        stem = Path(job.name).stem
        return attachment(traces.archive([(stem, jobs.annotations(job))]), f"{stem}-annotations.zip")

    @routes.post("/annotations/{annotator}", status_code=204)
    def add(name: str, annotator: str, part: Samples) -> None:
        tracing.add(find_job(jobs, name, finished=True), annotator, part)

    @routes.post("/annotations/{annotator}/fill", status_code=204)
    def fill(name: str, annotator: str, wanted: Gap) -> None:
        tracing.fill(find_job(jobs, name, finished=True), annotator, wanted)

    return routes


def _project(jobs: Jobs) -> APIRouter:
    """What concerns all recordings together."""
    routes = APIRouter()

    @routes.get("/annotations.zip")
    def download() -> Response:
        found = playable(jobs)
        names = different([Path(job.name).stem for job in found])
        folders = zip(names, map(jobs.annotations, found), strict=True)
        return attachment(traces.archive(folders), "vatrace-annotations.zip")

    @routes.get("/agreement")
    def agreement() -> dict[str, Any]:
        found = [(job, traces.read_all(jobs.annotations(job))) for job in playable(jobs)]
        recordings = [(tables, jobs.trace(job)) for job, tables in found if tables]
        return {
            "num_recordings": len(recordings),
            "dimensions": traces.dimensions(table for tables, _ in recordings for table in tables.values()),
            "agreement": traces.agreement(recordings) if recordings else [],
            "overall": traces.overall(recordings) if recordings else None,
        }

    @routes.get("/next")
    def following(annotator: str, dimension: str) -> list[dict[str, Any]]:
        if not traces.NAME.fullmatch(annotator):
            raise HTTPException(400, f"{annotator!r} can't be an annotator's name: use letters, digits, - and _")
        found = [
            {"id": job.id, "name": job.name, **asdict(part)}
            for job in playable(jobs)
            for part in traces.widest(jobs.trace(job), traces.read(jobs.annotations(job) / f"{annotator}.csv"), dimension)[
                :NUM_PARTS
            ]
        ]
        return sorted(found, key=lambda part: -part["half_width"])[:NUM_PARTS]

    return routes
