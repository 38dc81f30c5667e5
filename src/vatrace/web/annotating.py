"""The addresses of annotation: the page, its traces, what annotators add to them, and what concerns all recordings."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Response
from pydantic import AfterValidator, BaseModel, Field, FiniteFloat

from vatrace.web import annotations as traces  # the name `annotations` is taken by __future__
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


def annotation_routes(jobs: Jobs) -> APIRouter:
    """The addresses of annotation for the owner of the recordings."""
    routes = APIRouter()
    for part in (_annotations(jobs), _tracing(jobs), _project(jobs)):
        routes.include_router(part)
    return routes


def _annotations(jobs: Jobs) -> APIRouter:
    """The page of annotation, and what it shows of one recording."""
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
        prediction, found = jobs.result(job), traces.read_all(jobs.annotations(job))
        model = replace(prediction, others=()).to_pandas()  # annotators trace one person, the first
        columns = traces.dimensions(found.values())
        return {
            "duration": prediction.duration,
            "dimensions": columns,
            "traces": {name: traces.as_lists(table) for name, table in {**found, traces.MODEL: model}.items()},
            "gaps": {
                name: {column: traces.gaps(table, column, prediction.duration) for column in columns}
                for name, table in found.items()
            },
            "sources": {name: traces.sources(table) for name, table in found.items()},
            "agreement": traces.agreement([(found, prediction)]),
            "overall": traces.overall([(found, prediction)]),
        }

    @routes.get("/annotations.zip")
    def download(name: str) -> Response:
        job = find_job(jobs, name, finished=True)
        stem = Path(job.name).stem
        return attachment(traces.archive([(stem, jobs.annotations(job))]), f"{stem}-annotations.zip")

    return routes


def _tracing(jobs: Jobs) -> APIRouter:
    """What annotators add to their traces."""
    routes, writing = APIRouter(prefix="/jobs/{name}"), Lock()

    def file(job: Job, annotator: str) -> Path:
        if not traces.NAME.fullmatch(annotator) or annotator == traces.MODEL:
            raise HTTPException(400, f"{annotator!r} can't be an annotator's name: use letters, digits, - and _")
        return jobs.annotations(job) / f"{annotator}.csv"

    @routes.post("/annotations/{annotator}", status_code=204)
    def add(name: str, annotator: str, part: Samples) -> None:
        job = find_job(jobs, name, finished=True)
        path = file(job, annotator)
        times = [time for time, _ in part.samples]
        if times != sorted(times):
            raise HTTPException(400, "times must ascend")
        end = jobs.duration(job)
        if times[-1] > end + AFTER_END:
            raise HTTPException(400, f"{job.name} ends at {end:.1f} s, before {times[-1]:.1f} s")
        with writing:
            traces.add(path, part.dimension, part.samples, part.source, part.bounded)

    @routes.post("/annotations/{annotator}/fill", status_code=204)
    def fill(name: str, annotator: str, wanted: Gap) -> None:
        job = find_job(jobs, name, finished=True)
        path = file(job, annotator)
        with writing:
            found = traces.gaps(traces.read(path), wanted.column, jobs.duration(job))
            gap = next((gap for gap in found if abs(gap.start - wanted.start) < 0.5 / traces.RATE), None)
            if gap is None:
                raise HTTPException(404, f"{annotator} has no gap in {wanted.column} at {wanted.start:.1f} s")
            if gap.end - gap.start > traces.MAX_FILL:
                raise HTTPException(400, f"only gaps up to {traces.MAX_FILL:g} s can be filled; trace longer ones")
            traces.fill(path, wanted.column, gap)

    return routes


def _project(jobs: Jobs) -> APIRouter:
    """What concerns all recordings together."""
    routes = APIRouter()

    def playable() -> list[Job]:
        return [job for job in reversed(jobs.all()) if job.state == "done" and job.kind.startswith(("audio", "video"))]

    @routes.get("/agreement")
    def agreement() -> dict[str, Any]:
        found = [(job, traces.read_all(jobs.annotations(job))) for job in playable()]
        recordings = [(tables, jobs.result(job)) for job, tables in found if tables]
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
            for job in playable()
            for part in traces.widest(jobs.result(job), traces.read(jobs.annotations(job) / f"{annotator}.csv"), dimension)[
                :NUM_PARTS
            ]
        ]
        return sorted(found, key=lambda part: -part["half_width"])[:NUM_PARTS]

    return routes
