"""What the addresses of the server have in common: pages, their files, downloads, and finding a job."""

from __future__ import annotations

from functools import cache
from html import escape
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import quote

from fastapi import HTTPException, Response
from fastapi.responses import FileResponse

from vatrace import output
from vatrace.languages import LANGUAGES
from vatrace.output.look import mark_image, masthead, style
from vatrace.web.job import Job
from vatrace.web.jobs import Jobs

ASSETS = (Path(__file__).parent, Path(output.__file__).parent)
"""Folders of the files that browsers get; the reports use some of them as well."""
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def find_job(jobs: Jobs, name: str, finished: bool = False) -> Job:
    """Find a job by its id.

    Raises:
        HTTPException: if there is none, or it has to be finished and isn't.
    """
    try:
        job = jobs.get(name)
    except KeyError as error:
        raise HTTPException(404, "this recording has been deleted") from error
    if finished and job.state != "done":
        raise HTTPException(409, f"{job.name} is not finished")
    return job


def attachment(content: bytes, name: str) -> Response:
    """A file that the browser saves."""
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return Response(content, media_type=guess_type(name)[0] or "application/octet-stream", headers=headers)


def asset_file(name: str) -> Response:
    """A script, a style or the mark.

    Raises:
        HTTPException: if there is no such file.
    """
    made = {"look.css": (style, "text/css"), "mark.svg": (mark_image, "image/svg+xml")}
    if name in made:
        make, kind = made[name]
        return Response(make(), media_type=kind)
    path = next((folder / name for folder in ASSETS if (folder / name).is_file()), Path(name))
    if path.suffix not in KINDS or not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, media_type=KINDS[path.suffix])


def filled_page(name: str, root: str, here: str = "", rater: str = "") -> Response:
    """A page with the style and the bar of all pages.

    Args:
        name: the file.
        root: the way from the page to the first one.
        here: what the bar calls the page.
        rater: the name of the invited rater for whom it is; "" for the owner of the recordings.
    """
    links = {"Recordings": ("recordings", root)} | ({} if rater else {"Live": ("live", f"{root}live")})
    styles = f'<link rel="icon" href="{root}assets/mark.svg"><link rel="stylesheet" href="{root}assets/look.css">'
    if rater:
        styles += f'<meta name="rater" content="{escape(rater)}">'
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
