"""The addresses of invited raters: the recordings they were invited to rate, and their own traces. Nothing else is here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from vatrace.web import annotations as traces  # the name `annotations` is taken by __future__
from vatrace.web.annotating import Gap, Samples, Tracing, playable, seen
from vatrace.web.gate import LOOPBACK, RATING, Network
from vatrace.web.invitations import Invitation, Invitations
from vatrace.web.job import Job
from vatrace.web.jobs import Jobs
from vatrace.web.pages import asset_file, filled_page, find_job


def invited(request: Request, token: str) -> Invitation:
    """The invitation whose token a path contains.

    Raises:
        HTTPException: if there is none.
    """
    found: Invitation | None = request.app.state.invitations.find(token)
    if found is None:
        raise HTTPException(404, "this invitation has been withdrawn")
    return found


Rater = Annotated[Invitation, Depends(invited)]


class Invited(BaseModel):
    """A rater to invite."""

    annotator: Annotated[str, Field(min_length=1, max_length=40)]
    recordings: Annotated[list[str], Field(min_length=1, max_length=10_000)]


def invitation_routes(jobs: Jobs, invitations: Invitations, tracing: Tracing, network: Network | None) -> APIRouter:
    """The addresses at which the owner of the recordings invites raters."""
    routes = APIRouter(prefix="/invitations")

    def described(invitation: Invitation, port: int) -> dict[str, Any]:
        host = LOOPBACK if network is None else network.name
        found = {job.id: job.name for job in jobs.all()}
        return {
            "annotator": invitation.annotator,
            "recordings": [found[name] for name in invitation.recordings if name in found],
            "address": f"http://{host}:{port}{RATING}{quote(invitation.token)}/",
        }

    @routes.get("")
    def show(request: Request) -> dict[str, Any]:
        port = request.scope["server"][1]
        return {
            "network": "" if network is None else network.name,
            "recordings": [{"id": job.id, "name": job.name} for job in playable(jobs)],
            "invitations": [described(one, port) for one in invitations.all()],
        }

    @routes.post("", status_code=201)
    def invite(request: Request, wanted: Invited) -> dict[str, Any]:
        tracing.check_name(wanted.annotator)
        known = {job.id for job in playable(jobs)}
        if not set(wanted.recordings) <= known:
            raise HTTPException(404, "a recording has been deleted, or can't be played")
        return described(invitations.add(wanted.annotator, list(dict.fromkeys(wanted.recordings))), request.scope["server"][1])

    @routes.delete("/{annotator}", status_code=204)
    def withdraw(annotator: str) -> None:
        if not invitations.remove(annotator):
            raise HTTPException(404, f"{annotator} is not invited")

    return routes


def rating_routes(jobs: Jobs, tracing: Tracing) -> APIRouter:  # a short function for each address
    """The addresses of the raters themselves; the application's state has the invitations."""
    routes = APIRouter(prefix=f"{RATING}{{token}}")

    def own(invitation: Invitation, name: str) -> Job:
        if name not in invitation.recordings:
            raise HTTPException(404, "this recording is not part of the invitation")
        return find_job(jobs, name, finished=True)

    def own_path(invitation: Invitation, job: Job) -> Path:
        return jobs.annotations(job) / f"{invitation.annotator}.csv"

    @routes.get("/")
    def index(rater: Rater) -> Response:
        return filled_page("rater.html", "./", "Recordings", rater.annotator)

    @routes.get("/assets/{name}")
    def asset(rater: Rater, name: str) -> Response:
        return asset_file(name)

    @routes.get("/recordings")
    def recordings(rater: Rater) -> list[dict[str, Any]]:
        found = [job for job in playable(jobs) if job.id in rater.recordings]
        return [
            {
                "id": job.id,
                "name": job.name,
                "duration": jobs.duration(job),
                "traced": traces.shares(traces.read(own_path(rater, job)), jobs.duration(job)),
            }
            for job in found
        ]

    @routes.get("/jobs/{name}/annotate")
    def page(rater: Rater, name: str) -> Response:
        own(rater, name)
        return filled_page("annotate.html", "../../", rater=rater.annotator)

    @routes.get("/jobs/{name}/about")
    def about(rater: Rater, name: str) -> dict[str, str]:
        job = own(rater, name)
        return {"name": job.name, "kind": job.kind}

    @routes.get("/jobs/{name}/copy")
    def copy(rater: Rater, name: str) -> FileResponse:
        job = own(rater, name)
        return FileResponse(jobs.file(job, "copy"), media_type=job.kind)

    @routes.get("/jobs/{name}/annotations")
    def show(rater: Rater, name: str) -> dict[str, Any]:
        job = own(rater, name)
        table = traces.read(own_path(rater, job))
        return seen({rater.annotator: table} if len(table) else {}, jobs.duration(job))

    @routes.post("/jobs/{name}/annotations/{annotator}", status_code=204)
    def add(rater: Rater, name: str, annotator: str, part: Samples) -> None:
        check_own(rater, annotator)
        if part.source:
            raise HTTPException(400, "raters don't see the model's trace")
        tracing.add(own(rater, name), annotator, part)

    @routes.post("/jobs/{name}/annotations/{annotator}/fill", status_code=204)
    def fill(rater: Rater, name: str, annotator: str, wanted: Gap) -> None:
        check_own(rater, annotator)
        tracing.fill(own(rater, name), annotator, wanted)

    def check_own(invitation: Invitation, annotator: str) -> None:
        if annotator != invitation.annotator:
            raise HTTPException(403, f"you are invited as {invitation.annotator}")

    return routes
