"""The server of the local pages: a queue of recordings, their reports and annotation, and a live camera.

It answers only this machine, and only requests with the token in its address; raters have tokens of their own. Errors are
JSON: `{"detail": "one line"}`.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from shutil import disk_usage
from threading import Lock
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, Field, FiniteFloat
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from vatrace.errors import VatraceError, report_bug
from vatrace.inference.streamer import Streamer
from vatrace.languages import AUTO, LANGUAGES
from vatrace.names import DEFAULT_RATE, MAX_RATE, MODALITIES, whole_number
from vatrace.web.annotating import Tracing, annotation_routes
from vatrace.web.archive import different, write_archive
from vatrace.web.downloads import possible_downloads, result_in
from vatrace.web.gate import RATING, Gate, Network
from vatrace.web.invitations import Invitations
from vatrace.web.job import Wanted
from vatrace.web.jobs import Jobs, Repeated
from vatrace.web.live import serve_live
from vatrace.web.options import Options
from vatrace.web.pages import asset_file, attachment, filled_page, find_job
from vatrace.web.parameters import known_only
from vatrace.web.rating import invitation_routes, rating_routes

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
"""Reports contain their own policy for what they load."""

CHUNK_TIMEOUT = 60.0
"""Seconds after which an upload of which nothing more arrives is given up."""
SPARE = 1 << 30
"""Bytes that an upload must leave free on the disk."""
MAX_TRANSCRIPT = 10_000_000
"""Bytes of the largest transcript that is accepted: subtitles of a day are smaller."""

FileName = Annotated[str, Query(min_length=1, max_length=255)]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]


class How(BaseModel):
    """How a recording is to be predicted; see `Job`."""

    people: Wanted = "main"
    modalities: str = ",".join(MODALITIES)
    language: str = AUTO
    rate: Annotated[FiniteFloat, Field(gt=0, le=MAX_RATE)] = DEFAULT_RATE
    model: str = ""
    time: Annotated[FiniteFloat, Field(ge=0)] | None = None
    x: Share = 0.5
    y: Share = 0.5

    def checked(self, models: Mapping[str, Path]) -> dict[str, Any]:
        """As arguments of `Jobs.add`.

        Args:
            models: the fusion models that can be chosen, by name.

        Raises:
            HTTPException: if a modality, the language or the model doesn't exist.
        """
        modalities = self.modalities.split(",")
        if not set(modalities) <= set(MODALITIES):
            raise HTTPException(422, f"modalities: {self.modalities!r}; choose from {', '.join(MODALITIES)}")
        if self.language not in {AUTO, *LANGUAGES}:
            raise HTTPException(422, f"language: {self.language!r} is not the code of a language that vatrace knows")
        if self.model and self.model not in models:
            raise HTTPException(422, f"model: {self.model!r}; choose from {', '.join(models) or 'none: see --other-model'}")
        path = str(models[self.model]) if self.model else ""
        person = None if self.time is None else [self.time, self.x, self.y]
        options = Options(modalities=modalities, language=self.language, rate=self.rate, model=path)  # type: ignore[arg-type]
        return {"people": self.people, "person": person, "options": options}


def make_app(
    jobs: Jobs,
    make_streamer: Callable[[], Streamer],
    token: str,
    max_upload: int,
    network: Network | None = None,
    models: Mapping[str, Path] | None = None,
) -> FastAPI:
    """Make the application.

    Args:
        jobs: the queue, which is closed when the application ends.
        make_streamer: makes the streamer for a live camera.
        token: first part of every path.
        max_upload: bytes of the largest recording that is accepted.
        network: where raters can reach this machine from its network; None if only from this machine.
        models: other fusion models that can be chosen, by name.

    Raises:
        VatraceError: if the file of invitations is damaged.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(jobs.close)

    known = [Depends(known_only)]
    app = FastAPI(title="vatrace", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan, dependencies=known)
    app.add_middleware(Gate, network=network)
    app.middleware("http")(_guarded)
    app.add_exception_handler(RequestValidationError, _refused)
    invitations, tracing = Invitations(jobs.folder / "invitations.json"), Tracing(jobs)
    app.state.invitations = invitations
    app.include_router(rating_routes(jobs, tracing))
    for routes in (
        _queue(jobs, max_upload, models or {}),
        _results(jobs),
        annotation_routes(jobs, tracing),
        invitation_routes(jobs, invitations, tracing, network),
        _live(make_streamer),
    ):
        app.include_router(routes, prefix=f"/{token}")
    return app


async def _refused(_: Request, error: Exception) -> Response:
    """One line about what is wrong with a request; without its values, which JSON may not be able to express."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    return JSONResponse({"detail": f"{where}: {first['msg']}"}, 422)


async def _guarded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer errors with one line, and add the headers that isolate the pages from other sites."""
    try:
        response = await call_next(request)
    except (VatraceError, OSError) as error:
        rating = request.url.path.startswith(RATING)  # raters don't get to know the paths of this machine
        response = JSONResponse({"detail": "not possible now; ask who invited you" if rating else str(error)}, 400)
    except Exception as error:
        if isinstance(error, ClientDisconnect) or await request.is_disconnected():
            return Response(status_code=400)  # to nobody
        response = JSONResponse({"detail": report_bug(error, "vatrace serve")}, 500)
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"  # it would contain the token
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


def _queue(jobs: Jobs, max_upload: int, models: Mapping[str, Path]) -> APIRouter:  # a short function for each address
    routes = APIRouter()

    @routes.get("/")
    def index() -> Response:
        return filled_page("index.html", "./", "Recordings")

    @routes.get("/assets/{name}")
    def asset(name: str) -> Response:
        return asset_file(name)

    @routes.get("/jobs")
    def list_jobs(request: Request) -> Response:
        paths = {name: str(path) for name, path in models.items()}
        listed = {"jobs": [asdict(job) for job in jobs.all()], "downloads": possible_downloads(), "models": paths}
        content = json.dumps(listed, ensure_ascii=False).encode()
        tag = f'"{sha256(content).hexdigest()}"'  # the page asks often, and mostly nothing has changed
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(content, media_type="application/json", headers={"ETag": tag})

    @routes.post("/jobs", status_code=201)
    async def upload(request: Request, name: FileName, how: Annotated[How, Query()], transcript: str = "") -> dict[str, Any]:
        content = received(request, name, jobs.folder, max_upload)
        job, path = jobs.add(name, **how.checked(models))
        try:
            await write_body(content, path)
        except BaseException:
            jobs.remove(job.id)
            raise
        if not transcript:
            jobs.start(job)
        return asdict(job)

    @routes.post("/jobs/{name}/transcript")
    async def add_transcript(request: Request, name: str, file: FileName) -> dict[str, Any]:
        job = find_job(jobs, name)
        if job.state != "uploading":
            raise HTTPException(409, f"{job.name}: has been started without a transcript")
        job.transcript = Path(file).name
        try:
            await write_body(_chunks(request, file, MAX_TRANSCRIPT), jobs.transcript(job))
        except BaseException:
            jobs.remove(job.id)
            raise
        jobs.start(job)
        return asdict(job)

    @routes.post("/jobs/{name}/again", status_code=201)
    def again(name: str, how: Annotated[How, Query()], transcript: Repeated = "keep") -> dict[str, Any]:
        job, wanted = find_job(jobs, name), how.checked(models)
        named = job.options.transcript if transcript == "keep" else ""
        same = wanted["people"] == "main" and wanted["person"] is None
        picture = job.options.person if same else ""
        wanted["options"] = replace(wanted["options"], also=job.options.also, transcript=named, person=picture)
        return asdict(jobs.again(job, transcript=transcript, **wanted))

    @routes.delete("/jobs/{name}", status_code=204)
    def remove(name: str) -> None:
        find_job(jobs, name)
        jobs.remove(name)

    return routes


def _results(jobs: Jobs) -> APIRouter:
    routes = APIRouter()

    @routes.get("/jobs/{name}/page")
    def page(name: str) -> FileResponse:
        path = jobs.file(find_job(jobs, name, finished=True), "page.html")
        return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})

    @routes.get("/jobs/{name}/copy")
    def copy(name: str) -> FileResponse:
        job = find_job(jobs, name, finished=True)
        if not job.kind:
            raise HTTPException(404, f"{job.name}: a transcript has no picture and no sound")
        return FileResponse(jobs.file(job, "copy"), media_type=job.kind)

    @routes.get("/jobs/{name}/thumb")
    def thumb(name: str) -> FileResponse:
        job = find_job(jobs, name, finished=True)
        if not job.has_thumb:
            raise HTTPException(404, f"{job.name}: has no picture")
        return FileResponse(jobs.file(job, "thumb"), media_type="image/jpeg")

    @routes.get("/results.zip")
    def archive(ids: Annotated[str, Query(min_length=1)]) -> Response:
        chosen = [find_job(jobs, name, finished=True) for name in ids.split(",")]
        with tempfile.TemporaryDirectory(dir=jobs.folder, prefix=".zip-") as folder:
            path = Path(folder) / "results.zip"
            write_archive(zip(different(Path(job.name).stem for job in chosen), map(jobs.result, chosen), strict=True), path)
            return attachment(path.read_bytes(), "vatrace-results.zip")

    @routes.get("/jobs/{name}/download/{kind}")
    def download(name: str, kind: str) -> Response:
        job = find_job(jobs, name, finished=True)
        if kind not in possible_downloads():
            raise HTTPException(400, f"{kind}: no such format; choose from {', '.join(possible_downloads())}")
        return result_in(jobs, job, kind)

    return routes


def _live(make_streamer: Callable[[], Streamer]) -> APIRouter:
    routes, one = APIRouter(), Lock()

    @routes.get("/live")
    def page() -> Response:
        return filled_page("live.html", "./", "Live")

    @routes.websocket("/live/stream")
    async def stream(socket: WebSocket) -> None:
        if not one.acquire(blocking=False):
            await socket.accept()
            await socket.send_json({"error": "live is already open in another page"})
            await socket.close()
            return
        try:
            await serve_live(socket, make_streamer)
        finally:
            one.release()

    return routes


def received(request: Request, name: str, folder: Path, max_upload: int) -> AsyncGenerator[bytes, None]:
    """The body of a request that is written to a folder, part by part.

    Raises:
        HTTPException: if it is too large, or, in the iteration, larger than announced, or nothing arrives for too long.
    """
    length = request.headers.get("content-length", "0")
    size = whole_number(length) or 0
    free = disk_usage(folder).free - SPARE
    if size > max_upload:
        raise HTTPException(413, f"{name}: larger than {max_upload / 1e9:.3g} GB (see --max-upload)")
    if size > free:
        raise HTTPException(507, f"{name}: too large for the free space on the disk ({max(free, 0) / 1e9:.3g} GB)")
    return _chunks(request, name, min(max_upload, free))


async def write_body(content: AsyncIterator[bytes], path: Path) -> None:
    """Write the body of a request to a file."""
    with path.open("wb") as file:
        async for chunk in content:
            await run_in_threadpool(file.write, chunk)


async def _chunks(request: Request, name: str, limit: int) -> AsyncGenerator[bytes, None]:
    stream, received = request.stream(), 0
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), CHUNK_TIMEOUT)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise HTTPException(408, f"{name}: nothing more arrived for {CHUNK_TIMEOUT:g} s") from error
        received += len(chunk)
        if received > limit:
            raise HTTPException(413, f"{name}: larger than announced")
        yield chunk
