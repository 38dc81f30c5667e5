"""Generated bodies, parameters and live messages: each is answered, or refused in one line, and the server goes on."""

from __future__ import annotations

import io
import json
import struct
import time
from collections import Counter
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from structures import NUMBERS, TEXTS, edited, mostly
from web_server import Server

SRT = "1\n00:00:00,000 --> 00:00:03,000\nhello there my friend\n"
REQUESTS = pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.slow)])
SESSIONS = pytest.mark.parametrize("count", [6, pytest.param(60, marks=pytest.mark.slow)])


def tried(count: int) -> settings:
    """The same examples in every run, as in `properties`; each may be slow."""
    return settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )


@pytest.fixture(scope="module")
def job(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    return server.finished_transcript(tmp_path_factory.mktemp("messages"), SRT)


def ask(server: Server, method: str, path: str, body: bytes) -> tuple[int, Any]:
    """Send a request with the token; the status, and the JSON that comes back, or None."""
    status, content = server.send(method, path, body, {}, timeout=60)
    return status, json.loads(content) if content else None


PART = {"dimension": "valence", "samples": [[0, 0.5], [0.1, 0.4], [2.9, 0.1]], "source": "", "bounded": True}
GAP = {"column": "valence", "start": 0.5}
OPTIONS = {
    "name": "a.srt",
    "people": "main",
    "modalities": "words",
    "language": "en",
    "rate": 10,
    "time": 1.0,
    "x": 0.5,
    "y": 0.5,
}


@st.composite
def requests(draw: st.DrawFn, job: str) -> tuple[str, str, bytes]:
    """Method, path and body of a request that changes something."""
    name = mostly(draw, job, ["..", "none", "%2e%2e", job + "x"])
    annotator = quote(mostly(draw, "anna", draw(st.lists(TEXTS.filter(bool), min_size=1, max_size=3))), safe="")
    what = draw(st.sampled_from(["add", "add", "fill", "upload", "again"]))
    if what == "add":
        return "POST", f"jobs/{name}/annotations/{annotator}", json.dumps(draw(edited(PART))).encode()
    if what == "fill":
        return "POST", f"jobs/{name}/annotations/{annotator}/fill", json.dumps(draw(edited(GAP))).encode()
    options = {str(key): str(value) for key, value in draw(edited(OPTIONS)).items()}
    if what == "upload":
        return "POST", f"jobs?{urlencode(options)}", draw(st.sampled_from([b"", b"x", SRT.encode()]))
    return "POST", f"jobs/{name}/again?{urlencode({key: value for key, value in options.items() if key != 'name'})}", b""


@REQUESTS
def test_requests_are_answered_or_refused_in_one_line(server: Server, job: str, count: int) -> None:
    statuses: Counter[int] = Counter()

    @tried(count)
    @given(request=requests(job))
    def check(request: tuple[str, str, bytes]) -> None:
        status, answer = ask(server, *request)
        statuses[status] += 1
        assert status in {201, 204, 400, 404, 405, 409, 422}, (request, status, answer)
        if status >= 400:
            assert isinstance(answer["detail"], str) and "\n" not in answer["detail"], (request, answer)
        if status == 201:
            assert ask(server, "DELETE", f"jobs/{answer['id']}", b"")[0] == 204

    check()
    assert statuses[422] and statuses[400] and (statuses[204] or count < 100), statuses
    assert [one["id"] for one in server.jobs()] == [job]
    assert ask(server, "GET", f"jobs/{job}/annotations", b"")[0] == 200


def jpeg() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 48), "grey").save(content, "JPEG")
    return content.getvalue()


@st.composite
def messages(draw: st.DrawFn) -> list[str | bytes]:
    """The first message of a session and some more."""
    first = draw(edited({"rate": 16_000, "absent": ["face"]})) if draw(st.booleans()) else {"rate": 16_000, "absent": []}
    found: list[str | bytes] = [json.dumps(first)]
    for _ in range(draw(st.integers(1, 8))):
        what = draw(st.sampled_from(["frame", "audio", "text", "other"]))
        if what == "frame":
            moment, picture = float(min(draw(st.one_of(st.just(0), NUMBERS)), 1e300)), bytearray(jpeg())
            for _ in range(draw(st.integers(0, 3))):
                picture[draw(st.integers(0, len(picture) - 1))] = draw(st.integers(0, 255))
            found.append(b"\1" + struct.pack("<d", moment) + bytes(picture[: mostly(draw, len(picture), [0, 1, 20, 300])]))
        elif what == "audio":
            values = draw(st.lists(st.floats(width=32), max_size=50)) * draw(st.sampled_from([1, 1, 200]))
            found.append(b"\2" + struct.pack(f"<{len(values)}f", *values) + draw(st.sampled_from([b"", b"", b"\0"])))
        elif what == "text":
            found.append(json.dumps(draw(edited({"end": [0.5], "more": [1]}))))
        else:
            found.append(draw(st.one_of(st.binary(max_size=20), TEXTS)))
    return found


LAST = "a binary message must start with 1"
"""In the answer to a message of another kind."""


def talk(server: Server, sent: list[str | bytes]) -> list[dict[str, Any]]:
    """Send messages in a session of their own; all answers."""
    for _ in range(100):
        with connect(server.address.replace("http", "ws") + "live/stream") as session:
            answers = [json.loads(session.recv(60))]
            if answers == [{"ready": True}]:
                try:
                    for message in [*sent, b"\7the last"]:
                        session.send(message)
                    while (
                        "done" not in answers[-1] and "error" not in answers[-1] and LAST not in answers[-1].get("problem", "")
                    ):
                        answers.append(json.loads(session.recv(60)))
                except ConnectionClosed as error:
                    assert error.rcvd is not None and error.rcvd.code == 1000, error
                return answers
        time.sleep(0.1)
    raise TimeoutError("the session before does not end")


@SESSIONS
def test_live_messages_are_used_or_answered_in_one_line(server: Server, count: int) -> None:
    kinds: Counter[str] = Counter()

    @tried(count)
    @given(sent=messages())
    def check(sent: list[str | bytes]) -> None:
        for answer in talk(server, sent):
            kinds.update(list(answer))
            text = answer.get("problem", answer.get("error", "live: "))
            assert text.startswith("live: ") and "\n" not in text and len(text) < 300, (sent, text)

    check()
    assert kinds["problem"] > count, kinds
    assert server.get("jobs")[0] == 200
