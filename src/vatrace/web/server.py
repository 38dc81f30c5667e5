"""The server of the local pages: a queue of recordings, their reports and annotation, and a live camera.

It answers only this machine, and only requests with the token in its address. Errors are JSON: `{"detail": "one line"}`.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from functools import cache
from hashlib import sha256
from html import escape
from mimetypes import guess_type
from pathlib import Path
from shutil import disk_usage
from threading import Lock
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from pydantic import AfterValidator, BaseModel, Field, FiniteFloat
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from vatrace import output
from vatrace.errors import MediaError, MissingExtraError, VatraceError, described, report_bug
from vatrace.inference.prediction import Prediction
from vatrace.inference.streamer import Streamer
from vatrace.languages import AUTO, LANGUAGES
from vatrace.media.recording import open_recording
from vatrace.names import DEFAULT_RATE, MAX_RATE, MODALITIES, Progress, whole_number
from vatrace.output.figure import write_picture
from vatrace.output.formats import FORMATS, check_formats
from vatrace.output.look import mark_image, masthead, style
from vatrace.output.overlay import write_overlay
from vatrace.output.report import embedded_copy, write_page
from vatrace.web import annotations as traces  # the name `annotations` is taken by __future__
from vatrace.web.archive import write_archive
from vatrace.web.job import Job, Wanted
from vatrace.web.jobs import Jobs
from vatrace.web.live import serve_live
from vatrace.web.options import Options
from vatrace.web.parameters import known_only
from vatrace.workers import in_processes

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src 'self' data:; "
    "media-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
"""Reports contain their own policy for what they load."""

ASSETS = (Path(__file__).parent, Path(output.__file__).parent)
"""Folders of the files that browsers get; the reports use some of them as well."""
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
CHUNK_TIMEOUT = 60.0
"""Seconds after which an upload of which nothing more arrives is given up."""
AFTER_END = 1.0
"""Seconds after the end of a recording up to which annotations are accepted: browsers round its length."""
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
    time: Annotated[FiniteFloat, Field(ge=0)] | None = None
    x: Share = 0.5
    y: Share = 0.5

    def checked(self) -> dict[str, Any]:
        """As arguments of `Jobs.add`.

        Raises:
            HTTPException: if a modality or the language doesn't exist.
        """
        modalities = self.modalities.split(",")
        if not set(modalities) <= set(MODALITIES):
            raise HTTPException(422, f"modalities: {self.modalities!r}; choose from {', '.join(MODALITIES)}")
        if self.language not in {AUTO, *LANGUAGES}:
            raise HTTPException(422, f"language: {self.language!r} is not the code of a language that vatrace knows")
        person = None if self.time is None else [self.time, self.x, self.y]
        options = Options(modalities=modalities, language=self.language, rate=self.rate)  # type: ignore[arg-type]
        return {"people": self.people, "person": person, "options": options}


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


def make_app(jobs: Jobs, make_streamer: Callable[[], Streamer], token: str, max_upload: int) -> FastAPI:
    """Make the application.

    Args:
        jobs: the queue, which is closed when the application ends.
        make_streamer: makes the streamer for a live camera.
        token: first part of every path.
        max_upload: bytes of the largest recording that is accepted.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(jobs.close)

    known = [Depends(known_only)]
    app = FastAPI(title="vatrace", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan, dependencies=known)
    # a page of another site could reach this server under its own host name, but not under these
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    app.add_middleware(_OwnOrigin)
    app.middleware("http")(_guarded)
    app.add_exception_handler(RequestValidationError, _refused)
    for routes in (
        _queue(jobs, max_upload),
        _results(jobs),
        _annotations(jobs),
        _tracing(jobs),
        _project(jobs),
        _live(make_streamer),
    ):
        app.include_router(routes, prefix=f"/{token}")
    return app


class _OwnOrigin:
    """Refuses requests and web sockets that pages of other sites make, even with the token."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if it has no origin, or that of this server."""
        if scope["type"] in {"http", "websocket"}:
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and origin != f"http://{headers.get('host')}":
                if scope["type"] == "http":
                    await JSONResponse({"detail": "a page of another site may not do this"}, 403)(scope, receive, send)
                else:
                    await receive()
                    await send({"type": "websocket.close", "code": 1008})  # before it is accepted: HTTP 403
                return
        await self._app(scope, receive, send)


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
        response = JSONResponse({"detail": str(error)}, 400)
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


def _find(jobs: Jobs, name: str, finished: bool = False) -> Job:
    try:
        job = jobs.get(name)
    except KeyError as error:
        raise HTTPException(404, "this recording has been deleted") from error
    if finished and job.state != "done":
        raise HTTPException(409, f"{job.name} is not finished")
    return job


def _queue(jobs: Jobs, max_upload: int) -> APIRouter:  # a short function for each address
    routes = APIRouter()
    downloads = possible_downloads()

    @routes.get("/")
    def index() -> Response:
        return _page("index.html", "./", "Recordings")

    @routes.get("/assets/{name}")
    def asset(name: str) -> Response:
        made = {"look.css": (style, "text/css"), "mark.svg": (mark_image, "image/svg+xml")}
        if name in made:
            make, kind = made[name]
            return Response(make(), media_type=kind)
        return _asset(name)

    @routes.get("/jobs")
    def list_jobs(request: Request) -> Response:
        content = json.dumps({"jobs": [asdict(job) for job in jobs.all()], "downloads": downloads}, ensure_ascii=False).encode()
        tag = f'"{sha256(content).hexdigest()}"'  # the page asks often, and mostly nothing has changed
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(content, media_type="application/json", headers={"ETag": tag})

    @routes.post("/jobs", status_code=201)
    async def upload(request: Request, name: FileName, how: Annotated[How, Query()], transcript: str = "") -> dict[str, Any]:
        content = received(request, name, jobs.folder, max_upload)
        job, path = jobs.add(name, **how.checked())
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
        job = _find(jobs, name)
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
    def again(name: str, how: Annotated[How, Query()]) -> dict[str, Any]:
        return asdict(jobs.again(_find(jobs, name), **how.checked()))

    @routes.delete("/jobs/{name}", status_code=204)
    def remove(name: str) -> None:
        _find(jobs, name)
        jobs.remove(name)

    return routes


def _results(jobs: Jobs) -> APIRouter:
    routes = APIRouter()
    downloads = possible_downloads()

    @routes.get("/jobs/{name}/page")
    def page(name: str) -> FileResponse:
        path = jobs.file(_find(jobs, name, finished=True), "page.html")
        return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})

    @routes.get("/jobs/{name}/copy")
    def copy(name: str) -> FileResponse:
        job = _find(jobs, name, finished=True)
        if not job.kind:
            raise HTTPException(404, f"{job.name}: a transcript has no picture and no sound")
        return FileResponse(jobs.file(job, "copy"), media_type=job.kind)

    @routes.get("/jobs/{name}/thumb")
    def thumb(name: str) -> FileResponse:
        job = _find(jobs, name, finished=True)
        if not job.has_thumb:
            raise HTTPException(404, f"{job.name}: has no picture")
        return FileResponse(jobs.file(job, "thumb"), media_type="image/jpeg")

    @routes.get("/results.zip")
    def archive(ids: Annotated[str, Query(min_length=1)]) -> Response:
        chosen = [_find(jobs, name, finished=True) for name in ids.split(",")]
        with tempfile.TemporaryDirectory(dir=jobs.folder, prefix=".zip-") as folder:
            path = Path(folder) / "results.zip"
            write_archive(((job.name, jobs.result(job)) for job in chosen), path)
            return _attachment(path.read_bytes(), "vatrace-results.zip")

    @routes.get("/jobs/{name}/download/{kind}")
    def download(name: str, kind: str) -> Response:
        job = _find(jobs, name, finished=True)
        if kind not in downloads:
            raise HTTPException(400, f"{kind}: no such format; choose from {', '.join(downloads)}")
        return result_in(jobs, job, kind)

    return routes


def possible_downloads() -> list[str]:
    """The formats in which results can be downloaded here."""
    return [*(name for name in FORMATS if _possible(name)), "png", "html", "overlay"]


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
    return _attachment(content, f"{Path(job.name).stem}.{suffix}")


def _annotations(jobs: Jobs) -> APIRouter:
    """The page of annotation, and what it shows of one recording."""
    routes = APIRouter(prefix="/jobs/{name}")

    @routes.get("/annotate")
    def page(name: str) -> Response:
        _find(jobs, name, finished=True)
        return _page("annotate.html", "../../")

    @routes.get("/about")
    def about(name: str) -> dict[str, str]:
        job = _find(jobs, name, finished=True)
        return {"name": job.name, "kind": job.kind}

    @routes.get("/annotations")
    def show(name: str) -> dict[str, Any]:
        job = _find(jobs, name, finished=True)
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
        job = _find(jobs, name, finished=True)
        stem = Path(job.name).stem
        return _attachment(traces.archive([(stem, jobs.annotations(job))]), f"{stem}-annotations.zip")

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
        job = _find(jobs, name, finished=True)
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
        job = _find(jobs, name, finished=True)
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


def _live(make_streamer: Callable[[], Streamer]) -> APIRouter:
    routes, one = APIRouter(), Lock()

    @routes.get("/live")
    def page() -> Response:
        return _page("live.html", "./", "Live")

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


def _attachment(content: bytes, name: str) -> Response:
    """A file that the browser saves."""
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return Response(content, media_type=guess_type(name)[0] or "application/octet-stream", headers=headers)


def _asset(name: str) -> FileResponse:
    path = next((folder / name for folder in ASSETS if (folder / name).is_file()), Path(name))
    if path.suffix not in KINDS or not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, media_type=KINDS[path.suffix])


def _page(name: str, root: str, here: str = "") -> Response:
    """A page with the style and the bar of all pages; `root` is the way from it to the first page."""
    links = {"Recordings": ("recordings", root), "Live": ("live", f"{root}live")}
    styles = f'<link rel="icon" href="{root}assets/mark.svg"><link rel="stylesheet" href="{root}assets/look.css">'
    text = (ASSETS[0] / name).read_text(encoding="utf-8")
    text = (
        text.replace("<!-- languages -->", _languages())
        .replace("<!-- styles -->", styles)
        .replace("<!-- top -->", masthead(links, here, root))
    )
    return Response(text, media_type="text/html")


@cache
def _languages() -> str:
    """The languages to choose from, by name."""
    named = sorted(LANGUAGES.items(), key=lambda item: item[1])
    return "".join(f'<option value="{code}">{escape(name)}</option>' for code, name in named)


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
