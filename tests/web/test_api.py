"""The interface for programs, against a real server."""

from __future__ import annotations

import io
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image

from web_server import Server, serve

TOKEN = "a-token-that-only-tests-use"
SECRET = "not for programs"


@pytest.fixture(scope="module")
def allowed(tmp_path_factory: pytest.TempPathFactory, talking: Path) -> Path:
    """A folder with a recording in it, and links to the outside."""
    folder = tmp_path_factory.mktemp("allowed")
    (folder / "study").mkdir()
    (folder / "study" / "talk.mp4").write_bytes(talking.read_bytes())
    (folder / "study" / "talk.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nWonderful day.\n")
    (folder.parent / "secret.mp4").write_text(SECRET)
    (folder / "link.mp4").symlink_to(folder.parent / "secret.mp4")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, allowed: Path) -> Iterator[Server]:
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(f"{TOKEN}\n")
    server = serve(tmp_path_factory.mktemp("results"), "--api", "--allow", str(allowed), "--token-file", str(file))
    yield server
    assert server.end() == 0


def ask(
    server: Server, path: str, method: str = "GET", body: bytes | None = None, token: str | None = TOKEN, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """Status, content (parsed if it is JSON) and headers of an answer."""
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    address = f"{server.address.rsplit('/', 2)[0]}/v1/{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body, headers, method=method)) as response:
            status, content, found = response.status, response.read(), dict(response.headers)
    except urllib.error.HTTPError as error:
        status, content, found = error.code, error.read(), dict(error.headers)
    if content and "json" in found.get("content-type", ""):
        content = json.loads(content)
    if status >= 400:
        assert found["content-type"] == "application/problem+json"
        assert content["status"] == status and content["title"] and content["detail"] and content["type"] == "about:blank"
    return status, content, found


def end_of(server: Server, job: dict[str, Any]) -> dict[str, Any]:
    after, end = 0, time.monotonic() + 120
    while time.monotonic() < end:
        for other in ask(server, f"finished?after={after}&wait=10")[1]["jobs"]:
            if other["id"] == job["id"]:
                return other
            after = other["order"]
    raise AssertionError(job)


@pytest.mark.parametrize("token", [None, "wrong", "", TOKEN + "x", "\xe9" * 27])
def test_without_the_token_nothing_is_answered(server: Server, token: str | None) -> None:
    for method, path in (("GET", "jobs"), ("POST", "jobs"), ("DELETE", "jobs/1"), ("GET", "finished"), ("GET", "about")):
        status, content, headers = ask(server, path, method, token=token)
        assert status == 401 and "Authorization" in content["detail"] and headers["www-authenticate"] == "Bearer"


def test_a_path_is_predicted_with_its_options_and_left_as_it_is(server: Server, allowed: Path) -> None:
    before = (allowed / "study" / "talk.mp4").read_bytes()
    status, job, _ = ask(server, "paths?path=study/talk.mp4&rate=5&modalities=words&transcript=study/talk.srt", "POST")
    assert status == 201 and job["state"] == "waiting" and job["options"]["transcript"] == "talk.srt"
    status, content, _ = ask(server, f"jobs/{job['id']}/result/csv")
    assert status == 409 and "not finished" in content["detail"]
    done = end_of(server, job)
    assert done["state"] == "done" and done["order"] > 0 and set(done["stages"].values()) == {1.0}
    status, content, headers = ask(server, f"jobs/{job['id']}/result/csv")
    rows = content.decode().splitlines()
    assert status == 200 and len(rows) in {21, 22} and "talk.csv" in headers["content-disposition"]
    assert "Wonderful" in json.dumps(ask(server, f"jobs/{job['id']}/result/json")[1])
    assert ask(server, f"jobs/{job['id']}", "DELETE")[0] == 204
    assert ask(server, f"jobs/{job['id']}")[0] == 404 == ask(server, f"jobs/{job['id']}", "DELETE")[0]
    assert (allowed / "study" / "talk.mp4").read_bytes() == before


def test_bytes_and_forms_are_submitted_and_ended_in_order(server: Server, talking: Path) -> None:
    status, first, _ = ask(server, "jobs?name=one.mp4&people=1&modalities=face", "POST", talking.read_bytes())
    assert status == 201 and first["name"] == "one.mp4" and first["people"] == 1
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="../two.mp4"\r\n\r\nno video\r\n--x--\r\n'
    status, second, _ = ask(server, "jobs", "POST", form, **{"Content-Type": "multipart/form-data; boundary=x"})
    assert status == 201 and second["name"] == "two.mp4"
    ended = [end_of(server, job) for job in (second, first)]
    assert [job["state"] for job in ended] == ["failed", "done"] and ended[0]["order"] > ended[1]["order"]
    assert ended[0]["message"].startswith("two.mp4: not a readable video")
    assert ask(server, f"jobs/{second['id']}/result/csv")[0] == 409
    orders = [job["order"] for job in ask(server, "finished")[1]["jobs"]]
    assert orders == sorted(orders) and ask(server, f"finished?after={orders[-1]}")[1] == {"jobs": []}
    for job in (first, second):
        assert ask(server, f"jobs/{job['id']}", "DELETE")[0] == 204


def form(**files: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A form with a file in each part, and its header."""
    head = 'Content-Disposition: form-data; name="{}"; filename="{}"\r\n\r\n'
    parts = [b"--x\r\n" + head.format(part, name).encode() + content for part, (name, content) in files.items()]
    return b"\r\n".join([*parts, b"--x--\r\n"]), {"Content-Type": "multipart/form-data; boundary=x"}


def as_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_a_transcript_and_a_picture_come_with_a_recording(
    server: Server, talking: Path, face_images: list[Image.Image], allowed: Path
) -> None:
    talk, srt = ("talk.mp4", talking.read_bytes()), ("talk.srt", (allowed / "study" / "talk.srt").read_bytes())
    his, hers = as_jpeg(face_images[10]), Path(get_sample_data("grace_hopper.jpg", asfileobj=False)).read_bytes()
    (allowed / "her.jpg").write_bytes(hers)
    jobs = []
    for query, parts in (
        ("", {"transcript": srt, "person": ("he.jpg", his)}),
        ("&modalities=face", {"person": ("..\\she.jpg", hers)}),
        ("&modalities=face", {"person": ("none.png", b"no picture")}),
        ("&person=her.jpg", {}),
    ):
        body, headers = form(file=talk, **parts)
        status, job, _ = ask(server, f"jobs?rate=5{query}", "POST", body, **headers)
        assert status == 201 and job["name"] == "talk.mp4"
        jobs.append(job)
    assert jobs[0]["options"]["transcript"] == "talk.srt" and jobs[0]["options"]["person"] == "he.jpg"
    assert [job["options"]["person"] for job in jobs[1:]] == ["she.jpg", "none.png", "her.jpg"]
    ended = [end_of(server, job) for job in jobs]
    assert [job["state"] for job in ended] == ["done", "failed", "failed", "failed"]
    assert [job["message"].partition(" (")[0] for job in ended[1:3]] == [
        "talk.mp4: the person in person.jpg was not found in it",
        "person.png: none of its frames can be decoded",
    ]
    assert ended[3]["message"] == "talk.mp4: the person in her.jpg was not found in it"
    result = ask(server, f"jobs/{jobs[0]['id']}/result/json")[1]
    assert [word["text"] for word in result["transcript"]] == ["Wonderful", "day."]
    assert result["provenance"]["inputs"].keys() >= {"transcript", "person"}
    for job in jobs:
        assert ask(server, f"jobs/{job['id']}", "DELETE")[0] == 204


@pytest.mark.parametrize(
    ("query", "part", "status", "detail"),
    [
        ("people=all", "person", 409, "people and person"),
        ("modalities=voice", "person", 409, "needs the face"),
        ("transcript=study/talk.srt", "transcript", 409, "choose one"),
        ("person=study/talk.srt", "person", 409, "choose one"),
        ("", "side", 422, "side: no such part"),
    ],
)
def test_files_that_contradict_options_are_refused_and_leave_nothing(
    server: Server, query: str, part: str, status: int, detail: str
) -> None:
    before = ask(server, "jobs")[1], sorted(server.folder.iterdir())
    body, headers = form(file=("a.mp4", b"no video"), **{part: ("b", b"content")})
    found, content, _ = ask(server, f"jobs?{query}", "POST", body, **headers)
    assert found == status and detail in content["detail"]
    body, headers = form(file=("a.mp4", b"no video"), transcript=("b.srt", b""))
    assert ask(server, "jobs", "POST", body, **headers)[0] == 400
    assert (ask(server, "jobs")[1], sorted(server.folder.iterdir())) == before


def test_a_webhook_on_this_machine_is_told(server: Server) -> None:
    told: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    hook = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{hook.server_port}/done"
    _, job, _ = ask(server, f"jobs?webhook={address}", "POST", b"no video")
    for _ in range(100):
        if told:
            break
        time.sleep(0.1)
    hook.shutdown()
    assert [other["id"] for other in told] == [job["id"]] and told[0]["state"] == "failed"


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("paths?path=../secret.mp4", 403, "not below"),
        ("paths?path=/etc/passwd", 403, "not below"),
        ("paths?path=link.mp4", 403, "not below"),
        ("paths?path=study", 404, "no such file"),
        ("paths?path=none.mp4", 404, "no such file"),
        ("paths?path=a%00b", 403, "not below"),
        ("paths?path=study/talk.mp4&model=../secret.mp4", 403, "not below"),
        ("paths", 422, "path"),
        ("paths?path=study/talk.mp4&side=left", 422, "side: no such parameter"),
        ("paths?path=study/talk.mp4&people=0", 422, "people"),
        ("paths?path=study/talk.mp4&modalities=smell", 422, "modalities"),
        ("paths?path=study/talk.mp4&language=xx", 422, "language"),
        ("paths?path=study/talk.mp4&rate=nan", 422, "rate"),
        ("paths?path=study/talk.mp4&also=emotions&modalities=voice", 409, "needs the face"),
        ("paths?path=study/talk.mp4&person=../secret.mp4", 403, "not below"),
        ("paths?path=study/talk.mp4&person=study/talk.srt&people=2", 409, "people and person"),
        ("paths?path=study/talk.mp4&webhook=http://example.org/", 422, "webhook"),
        ("paths?path=study/talk.mp4&webhook=http://127.0.0.1.example.org/", 422, "webhook"),
        ("paths?path=study/talk.mp4&webhook=http://localhost@example.org/", 422, "webhook"),
        ("jobs?name=a/b.mp4", 422, "name"),
        ("jobs", 400, "no recording"),
        ("nothing", 404, "Not Found"),
        ("jobs/%0A", 405, "Method Not Allowed"),
    ],
)
def test_what_is_not_possible_is_a_problem_and_leaves_nothing(server: Server, path: str, status: int, detail: str) -> None:
    before = ask(server, "jobs")[1]
    found, content, _ = ask(server, path, "POST")
    assert found == status and detail in content["detail"] and SECRET not in content["detail"]
    assert ask(server, "jobs")[1] == before


def test_broken_forms_are_refused(server: Server) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert ask(server, "jobs", "POST", b"--y\r\n", **kind)[0] in {400, 422}
    for head in (b'name="other"; filename="a"', b'name="file"', b'name="transcript"; filename="a"'):
        other = b"--x\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n1\r\n--x--\r\n"
        assert ask(server, "jobs", "POST", other, **kind)[0] == 422
    twice = form(file=("a", b"1"))[0].replace(b"--x--\r\n", b"") + form(file=("b", b"2"))[0]
    assert "several" in ask(server, "jobs", "POST", twice, **kind)[1]["detail"]


@pytest.mark.parametrize("path", ["?side=left", "jobs?side=left", "assets/index.js?v=1"])
def test_the_pages_refuse_unknown_parameters_too(server: Server, path: str) -> None:
    status, _, content = server.get(path)
    assert status == 422 and "no such parameter" in json.loads(content)["detail"]


def test_its_description_needs_nothing_from_elsewhere(server: Server) -> None:
    status, content, _ = ask(server, "docs", token=None)
    text = content.decode()
    assert status == 200 and "src=" not in text and "//" not in text.replace("<!doctype", "")
    description = ask(server, "openapi.json", token=None)[1]
    assert description["openapi"].startswith("3.1") and set(description["paths"]) == {
        *("/about", "/jobs", "/paths", "/jobs/{job}", "/jobs/{job}/result/{format}", "/finished")
    }
    for path in description["paths"]:
        assert f"<code>/v1{path}</code>" in text


def test_a_token_that_is_made_stays_and_is_private(tmp_path: Path) -> None:
    tokens = []
    for _ in range(2):
        server = serve(tmp_path, "--api")
        tokens.append((tmp_path / "api-token").read_text().strip())
        assert ask(server, "about", token=tokens[-1])[0] == 200
        assert server.end() == 0
    assert tokens[0] == tokens[1] and len(tokens[0]) > 30
    assert os.name == "nt" or (tmp_path / "api-token").stat().st_mode & 0o077 == 0


def test_without_api_nothing_is_at_its_address(tmp_path: Path) -> None:
    server = serve(tmp_path)
    address = server.address.rsplit("/", 2)[0]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{address}/v1/about")
    assert server.end() == 0


def test_generated_requests_find_no_fault(server: Server) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings

    found = schemathesis.openapi.from_url(f"{server.address.rsplit('/', 2)[0]}/v1/openapi.json")
    for operation in found.get_all_operations():
        strategy = operation.ok().as_strategy()

        @settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=strategy)
        def check(case: Any) -> None:
            if "wait" in (case.query or {}):
                case.query["wait"] = 0
            case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})

        check()
