"""The interface for programs, `/v1`: recordings in, results out. It uses the queue of the pages.

Every request needs the token. Errors are problem documents (RFC 9457). `/v1/openapi.json` describes it, `/v1/docs` shows that.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import urllib.request
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Mount

from vatrace import __version__
from vatrace.errors import VatraceError, report_bug
from vatrace.inference.model import Model
from vatrace.languages import AUTO, LANGUAGES
from vatrace.names import DEFAULT_RATE, MAX_PEOPLE, MAX_RATE
from vatrace.web.api_page import api_page
from vatrace.web.downloads import possible_downloads, result_in
from vatrace.web.job import Job, State
from vatrace.web.jobs import Jobs
from vatrace.web.options import Options
from vatrace.web.parameters import known_only
from vatrace.web.server import received, write_body

PREFIX = "/v1"
PROBLEM = "application/problem+json"
NAME = r"^[^/\\\x00-\x1f]+$"
"""File names without a folder."""
LOCAL = r"^http://(127\.0\.0\.1|localhost|\[::1\])(:[1-9][0-9]{0,4})?(/[!-~]*)?$"
"""Addresses that may be told about the end of a job: on this machine."""
WEBHOOK_TIMEOUT = 5.0
"""Seconds after which a webhook is given up."""
MAX_WAIT, POLL = 60, 0.1
"""Seconds that a request may wait for finished jobs, and between two looks for them."""
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
STATUSES = {
    400: "The body or the result can't be used.",
    401: "The token is missing or wrong.",
    403: "The path isn't below a folder that the server allows.",
    404: "There is no such job, file or address.",
    405: "The address doesn't support this method.",
    408: "Nothing more arrived for a minute.",
    409: "The job isn't finished, or options contradict each other or can't be used here.",
    413: "The recording is too large.",
    422: "A parameter is unknown, missing or not possible.",
    507: "The disk is too full for the recording.",
}

BEARER = HTTPBearer(auto_error=False, description="The token of `vatrace serve --api`.")
KINDS = possible_downloads()
"""The formats of results."""

logger = logging.getLogger(__name__)


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class JobState(BaseModel):
    """A recording that was submitted."""

    id: str
    name: str = Field(description="File name of the recording.")
    state: State
    message: str = Field(description="The trace in one line once done; the cause once failed.")
    stages: dict[str, float] = Field(description="Progress: the share of each stage that is done, 0 to 1.")
    notes: list[str] = Field(description="What users should know about the trace.")
    people: str | int
    options: dict[str, Any]
    duration: float = Field(description="Seconds of the trace once done.")
    order: int = Field(description="Place in the order of completion, from 1; 0 until then.")


class JobList(BaseModel):
    """Several jobs."""

    jobs: list[JobState]


class About(BaseModel):
    """What this server offers."""

    version: str
    model: str
    formats: list[str]


class Submission(BaseModel):
    """The options of a new job."""

    model_config = ConfigDict(extra="forbid")

    people: Literal["main", "all", "left", "right"] | Annotated[int, Field(ge=1, le=MAX_PEOPLE)] = Field(
        "main", description="Whose traces to make; a number for that many of the most prominent people."
    )
    modalities: list[Literal["face", "voice", "words"]] = Field(
        ["face", "voice", "words"], min_length=1, max_length=3, description="Which modalities to use."
    )
    language: Literal[(AUTO, *LANGUAGES)] = Field(AUTO, description="Language of the speech and the transcript.")  # type: ignore[valid-type]
    rate: float = Field(DEFAULT_RATE, gt=0, le=MAX_RATE, description="Rows a second.")
    also: list[Literal["emotions", "face", "voice"]] = Field([], max_length=3, description="What else to measure.")
    transcript: str | None = Field(None, min_length=1, max_length=4096, description="A transcript below an allowed folder.")
    model: str | None = Field(
        None, min_length=1, max_length=4096, description="A fusion model in ONNX below an allowed folder."
    )
    webhook: str | None = Field(
        None, max_length=1000, pattern=LOCAL, description="Address on this machine to which the job is posted when it ends."
    )


class Upload(Submission):
    """The parameters of an upload."""

    name: str | None = Field(None, min_length=1, max_length=255, pattern=NAME, description="File name of the recording.")


class Named(Submission):
    """The parameters of a recording that isn't uploaded."""

    path: str = Field(min_length=1, max_length=4096, description="Of the recording, below a folder that the server allows.")


def make_api(jobs: Jobs, model: Model, token: str, max_upload: int, allowed: Sequence[Path] = ()) -> FastAPI:
    """Make the application, to be mounted at `/v1`.

    Args:
        jobs: the queue.
        model: the server's model.
        token: that every request must have.
        max_upload: bytes of the largest recording that is accepted.
        allowed: folders whose files may be named.
    """
    app = FastAPI(
        title="vatrace",
        version="1",
        summary="Valence and arousal over time from recordings of people.",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        dependencies=[Depends(known_only)],
    )
    app.middleware("http")(_guarded)
    app.add_exception_handler(AnyHTTPException, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    routes = _jobs(jobs, model, max_upload, [folder.resolve() for folder in allowed])
    app.include_router(routes, dependencies=[Depends(_check(token))])
    app.state.routes = routes.routes
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()), headers={"Content-Security-Policy": PAGE_POLICY})

    return app


def mount(app: FastAPI, api: FastAPI) -> None:
    """Serve the interface at PREFIX, whatever characters follow; `FastAPI.mount` passes over line feeds."""
    route = Mount(PREFIX, app=api)
    route.path_regex = re.compile(route.path_regex.pattern, re.DOTALL)
    app.router.routes.append(route)


def _check(token: str) -> Callable[..., None]:
    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> None:
        if given is None or not hmac.compare_digest(given.credentials.encode(), token.encode()):
            raise HTTPException(
                401, "the header Authorization: Bearer TOKEN is missing or wrong", {"WWW-Authenticate": "Bearer"}
            )

    return check


def _jobs(jobs: Jobs, model: Model, max_upload: int, allowed: Sequence[Path]) -> APIRouter:  # a short function for each address
    routes = APIRouter()
    tells_end = jobs.on_finish

    def on_finish(job: Job) -> None:
        tells_end(job)
        if job.webhook:
            Thread(target=_tell, args=(job.webhook, _state(job)), daemon=True).start()

    jobs.on_finish = on_finish

    def find(job: str) -> Job:
        try:
            return jobs.get(job)
        except KeyError as error:
            raise HTTPException(404, f"{job}: no such job; it may have been deleted") from error

    @routes.get("/about", responses=_problems(401, 422))
    def about() -> About:
        """What this server offers."""
        return About(version=__version__, model=model.name, formats=list(KINDS))

    @routes.get("/jobs", responses=_problems(401, 422))
    def list_jobs() -> JobList:
        """All jobs, the latest first."""
        return JobList(jobs=[_state(job) for job in jobs.all()])

    @routes.post(
        "/jobs",
        status_code=201,
        responses=SUBMITTED | _problems(400, 401, 403, 404, 408, 409, 413, 422, 507),
        openapi_extra={"requestBody": BODY},
    )
    async def submit(request: Request, wanted: Annotated[Upload, Query()]) -> JobState:
        """Submit a recording, as the body, or as the part `file` of a form."""
        options = await run_in_threadpool(_options, wanted, model, allowed)
        job = await _upload(request, wanted, jobs, options, max_upload)
        jobs.start(job)
        return _state(job)

    @routes.post("/paths", status_code=201, responses=SUBMITTED | _problems(401, 403, 404, 409, 422))
    def submit_path(wanted: Annotated[Named, Query()]) -> JobState:
        """Submit a recording that is a file below a folder that the server allows."""
        path, options = _below(wanted.path, allowed), _options(wanted, model, allowed)
        job, _ = jobs.add(path.name, wanted.people, options=options, path=str(path), webhook=wanted.webhook or "")
        jobs.start(job)
        return _state(job)

    @routes.get("/jobs/{job}", responses=_problems(401, 404, 422))
    def show(job: str) -> JobState:
        """The state and the progress of a job."""
        return _state(find(job))

    @routes.delete("/jobs/{job}", status_code=204, response_class=Response, responses=_problems(401, 404, 422))
    def remove(job: str) -> None:
        """Delete a job and its results, and stop it if it is running. A file of yours is not deleted."""
        try:
            jobs.remove(find(job).id)
        except KeyError as error:  # deleted by another request
            raise HTTPException(404, f"{job}: no such job") from error

    @routes.get(
        "/jobs/{job}/result/{format}",
        response_class=Response,
        responses=_problems(400, 401, 404, 409, 422) | {200: {"description": "The file.", "content": {"*/*": {}}}},
    )
    def result(job: str, format: Literal[KINDS]) -> Response:  # type: ignore[valid-type]
        """The result of a finished job in a format."""
        found = find(job)
        if found.state != "done":
            raise HTTPException(409, f"{found.name}: {found.message or f'not finished, but {found.state}'}")
        return result_in(jobs, found, format)

    @routes.get("/finished", responses=_problems(401, 422))
    async def finished(
        after: Annotated[int, Query(ge=0, le=2**53)] = 0, wait: Annotated[float, Query(ge=0, le=MAX_WAIT)] = 0
    ) -> JobList:
        """The jobs that have ended, in the order of completion.

        Only those after the place `after` are returned. If there are none, the answer waits for one for up to `wait` seconds.
        """
        end = monotonic() + wait
        while not (found := jobs.finished(after)) and monotonic() < end:
            await asyncio.sleep(POLL)
        return JobList(jobs=[_state(job) for job in found])

    return routes


CONTENT = {"type": "string", "format": "binary", "minLength": 1}
BODY = {
    "description": "The recording.",
    "required": True,
    "content": {
        "application/octet-stream": {"schema": CONTENT},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "additionalProperties": False,
                "properties": {"file": CONTENT},
            }
        },
    },
}


def _options(wanted: Submission, model: Model, allowed: Sequence[Path]) -> Options:
    """The options of a job, checked before anything is uploaded."""
    if wanted.model is None:
        try:
            model.check_also(wanted.also, wanted.modalities)
        except VatraceError as error:
            raise HTTPException(409, str(error)) from error
    return Options(
        list(dict.fromkeys(wanted.modalities)),
        wanted.language,
        wanted.rate,
        list(dict.fromkeys(wanted.also)),
        str(_below(wanted.transcript, allowed)) if wanted.transcript else "",
        str(_below(wanted.model, allowed)) if wanted.model else "",
    )


def _below(name: str, allowed: Sequence[Path]) -> Path:
    """The file with this path below one of the allowed folders, links followed.

    Raises:
        HTTPException: if it is elsewhere, or doesn't exist.
    """
    inside = False
    for folder in allowed:
        try:
            path = (folder / name).resolve()
            if path.is_relative_to(folder):
                inside = True
                if path.is_file():
                    return path
        except (OSError, ValueError, RuntimeError):  # characters or links that are not possible
            continue
    if inside:
        raise HTTPException(404, f"{name}: no such file")
    raise HTTPException(403, f"{name}: not below a folder that the server allows (vatrace serve --allow DIR)")


async def _upload(request: Request, wanted: Upload, jobs: Jobs, options: Options, max_upload: int) -> Job:
    """Add a job for the recording in the body of a request.

    Raises:
        HTTPException: if there is none, or it can't be taken.
    """
    content = received(request, wanted.name or "upload", jobs.folder, max_upload)
    form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data"
    name = wanted.name
    if form:
        try:
            parts = await MultiPartParser(request.headers, content, max_files=1, max_fields=0).parse()
        except (MultiPartException, KeyError, ValueError) as error:
            raise HTTPException(400, f"the form can't be read: {getattr(error, 'message', error)}") from error
        file = parts.get("file")
        if file is None or isinstance(file, str):
            raise HTTPException(422, "file: the form has no such part with a file")
        name = name or Path((file.filename or "").replace("\\", "/")).name
        content = _pieces(file)
    job, path = jobs.add(name or "recording", wanted.people, options=options, webhook=wanted.webhook or "")
    try:
        await write_body(content, path)
        if not path.stat().st_size:
            raise HTTPException(400, "no recording: give it as the body, or as the part `file` of a form")
    except BaseException:
        jobs.remove(job.id)
        raise
    return job


async def _pieces(file: Any) -> AsyncGenerator[bytes, None]:
    while piece := await file.read(1 << 20):
        yield piece


def _state(job: Job) -> JobState:
    options = {name: value for name, value in asdict(job.options).items() if name not in {"model", "transcript"}}
    named = {name: Path(value).name for name, value in (("model", job.options.model), ("transcript", job.options.transcript))}
    content = {name: value for name, value in asdict(job).items() if name in JobState.model_fields}
    return JobState(**content | {"options": options | named})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook can't send the job to another machine."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _tell(address: str, job: JobState) -> None:
    request = urllib.request.Request(address, job.model_dump_json().encode(), {"Content-Type": "application/json"})
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
        opener.open(request, timeout=WEBHOOK_TIMEOUT).close()
    except (OSError, ValueError) as error:
        logger.warning("%s: the webhook %s failed (%s)", job.name, address, error)


def _problem_of(status: int, detail: str, headers: Any = None) -> Response:
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(problem.model_dump(), status, headers, PROBLEM)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    headers = error.headers
    if error.status_code == 405:  # Starlette names the methods of the first address that fits
        fitting = [route for route in request.app.state.routes if route.matches(request.scope)[0] != Match.NONE]
        headers = {"Allow": ", ".join(sorted({method for route in fitting for method in route.methods}))}
    return _problem_of(error.status_code, str(error.detail), headers)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:2])
    return _problem_of(422, f"{where}: {first['msg']}")


async def _guarded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer unexpected errors with a problem document as well."""
    try:
        return await call_next(request)
    except (VatraceError, OSError) as error:
        return _problem_of(400, str(error))
    except Exception as error:
        if isinstance(error, ClientDisconnect) or await request.is_disconnected():
            return Response(status_code=400)  # to nobody
        return _problem_of(500, report_bug(error, "vatrace serve --api"))


SUBMITTED: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "The job, which is waiting.",
        "links": {
            name: {"operationId": name, "parameters": {"job": "$response.body#/id"}} for name in ("show", "result", "remove")
        },
    }
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {status: {"description": STATUSES[status], "content": {PROBLEM: {"schema": schema}}} for status in statuses}


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description; FastAPI doesn't know the problem documents."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes, servers=[{"url": PREFIX}]
        )
        found["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        app.openapi_schema = found
    return app.openapi_schema
