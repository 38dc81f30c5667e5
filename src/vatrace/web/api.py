"""The interface for programs, `/v1`: recordings in, results out. It uses the queue of the pages.

Every request needs the token. Errors are problem documents (RFC 9457). `/v1/openapi.json` describes it, `/v1/docs` shows that.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import urllib.request
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
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
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Mount

from vatrace import __version__
from vatrace.errors import VatraceError, report_bug
from vatrace.files import shown
from vatrace.inference.model import Model
from vatrace.web.api_models import MAX_NAME, NAME, About, JobList, JobState, Named, Problem, Submission, Upload
from vatrace.web.api_page import api_page
from vatrace.web.downloads import possible_downloads, result_in
from vatrace.web.job import Job
from vatrace.web.jobs import Jobs
from vatrace.web.options import Options
from vatrace.web.parameters import known_only
from vatrace.web.server import received, write_body

PREFIX = "/v1"
PROBLEM = "application/problem+json"
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
        """Submit a recording, as the body, or as the part `file` of a form.

        A form may also have the parts `transcript` (SRT, WebVTT and others) and `person` (a picture of the person to follow).
        """
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
PARTS = ("file", "transcript", "person")
"""The parts of a form: the recording, and files that may come with it."""
MAX_SIDE_FILE = 50_000_000
"""Bytes of the largest transcript or picture that is accepted: those of cameras are smaller."""
BODY = {
    "description": "The recording, or a form with the part `file` and, if you like, `transcript` and `person`.",
    "required": True,
    "content": {
        "application/octet-stream": {"schema": CONTENT},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "additionalProperties": False,
                "properties": dict.fromkeys(PARTS, CONTENT),
            }
        },
    },
}


def _options(wanted: Submission, model: Model, allowed: Sequence[Path]) -> Options:
    """The options of a job, checked before anything is uploaded."""
    _check_person(wanted, wanted.person is not None)
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
        str(_below(wanted.person, allowed)) if wanted.person else "",
        str(_below(wanted.model, allowed)) if wanted.model else "",
    )


def _check_person(wanted: Submission, has_picture: bool) -> None:
    if has_picture and wanted.people != "main":
        raise HTTPException(409, "people and person: a picture already says whose trace to make")
    if has_picture and "face" not in wanted.modalities:
        raise HTTPException(409, "person: a picture needs the face, which is not among the modalities")


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
    parts = await _parts(request, content) if form else {}
    _check_parts(parts, wanted)
    names = {part: _file_name(file) or part for part, file in parts.items()}
    job, path = jobs.add(
        wanted.name or names.get("file", "recording"),
        wanted.people,
        options=options,
        transcript=names.get("transcript", ""),
        picture=names.get("person", ""),
        webhook=wanted.webhook or "",
    )
    places = {"file": path, "transcript": jobs.transcript(job), "person": jobs.picture(job)}
    try:
        for part, file in parts.items():
            await write_body(_pieces(file), places[part])
        if not form:
            await write_body(content, path)
        if not path.stat().st_size:
            raise HTTPException(400, "no recording: give it as the body, or as the part `file` of a form")
    except BaseException:
        jobs.remove(job.id)
        raise
    return job


async def _parts(request: Request, content: AsyncGenerator[bytes, None]) -> dict[str, UploadFile]:
    """The files in a form, by the names of their parts.

    Raises:
        HTTPException: if it can't be read, has other parts, or several of one name, or no recording.
    """
    try:
        form = await MultiPartParser(request.headers, content, max_files=len(PARTS), max_fields=len(PARTS)).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise HTTPException(400, f"the form can't be read: {getattr(error, 'message', error)}") from error
    found: dict[str, UploadFile] = {}
    for name, file in form.multi_items():
        if name not in PARTS:
            raise HTTPException(422, f"{shown(name)}: no such part of the form; known: {', '.join(PARTS)}")
        if isinstance(file, str):
            raise HTTPException(422, f"{name}: this part of the form must be a file, with a file name")
        if name in found:
            raise HTTPException(422, f"{name}: several parts of the form have this name")
        found[name] = file
    if "file" not in found:
        raise HTTPException(422, "file: the form has no such part with a file")
    return found


def _check_parts(parts: Mapping[str, UploadFile], wanted: Submission) -> None:
    """Check the files that come with a recording.

    Raises:
        HTTPException: if one is given twice, doesn't fit the options, is empty or too large.
    """
    _check_person(wanted, "person" in parts)
    for name in parts.keys() - {"file"}:
        if getattr(wanted, name) is not None:
            raise HTTPException(409, f"{name}: given as a part of the form and as a path; choose one")
        size = parts[name].size or 0
        if not size:
            raise HTTPException(400, f"{name}: this part of the form is empty")
        if size > MAX_SIDE_FILE:
            raise HTTPException(413, f"{name}: larger than {MAX_SIDE_FILE / 1e6:g} MB")


def _file_name(file: UploadFile) -> str:
    """The file's name without a folder; "" if it can't be used."""
    name = Path((file.filename or "").replace("\\", "/")).name
    return name if re.search(NAME, name) and len(name) <= MAX_NAME else ""


async def _pieces(file: UploadFile) -> AsyncGenerator[bytes, None]:
    while piece := await file.read(1 << 20):
        yield piece


def _state(job: Job) -> JobState:
    own = {"transcript": job.transcript, "person": job.picture, "model": ""}
    named = {name: uploaded or Path(getattr(job.options, name)).name for name, uploaded in own.items()}
    content = {name: value for name, value in asdict(job).items() if name in JobState.model_fields}
    return JobState(**content | {"options": asdict(job.options) | named})


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
