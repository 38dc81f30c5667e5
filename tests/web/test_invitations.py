"""Invited raters: what they can do, and all that they must not reach, from this machine and from its network."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from browser import open_page
from vatrace.errors import VatraceError
from vatrace.web.annotating import MAX_DIMENSIONS
from vatrace.web.gate import MAX_RATING
from vatrace.web.invitations import Invitations
from vatrace.web.jobs import Jobs
from vatrace.web.server import make_app
from web_server import Server, serve

NETWORK = "127.0.0.2"
"""Another address of this machine, which stands for the one in its network; only Linux has it from the start."""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 isn't set up here")
PART = {"dimension": "valence", "samples": [[0, 0.5], [0.3, 0.6]]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = serve(tmp_path_factory.mktemp("invitations") / "results", "--host", NETWORK, "--api")
    yield server
    assert server.end() == 0


@pytest.fixture(scope="module")
def jobs(server: Server, talking: Path) -> list[str]:
    """Two recordings: the rater is invited to rate the first."""
    names = [server.upload(talking) for _ in range(2)]
    assert [server.wait(name, seconds=300)["state"] for name in names] == ["done", "done"]
    assert ask(server.address, "POST", f"jobs/{names[0]}/annotations/ben", PART)[0] == 204
    return names


@pytest.fixture(scope="module")
def rater(server: Server, jobs: list[str]) -> str:
    """The address of a rater named ada."""
    status, answer = ask(server.address, "POST", "invitations", {"annotator": "ada", "recordings": jobs[:1]})
    assert status == 201 and str(answer["address"]).startswith(f"http://{NETWORK}:")
    return str(answer["address"])


def ask(address: str, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """Send a request; the status, and the JSON that comes back."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, parts.path + path, content, {"Content-Type": "application/json"} | headers)
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    return answer.status, json.loads(found) if found[:1] in {b"{", b"["} else {}


def test_a_rater_sees_and_adds_only_their_own_traces(server: Server, jobs: list[str], rater: str) -> None:
    (listed,) = ask(rater, "GET", "recordings")[1]
    assert listed["id"] == jobs[0] and listed["traced"] == {}
    assert ask(rater, "POST", f"jobs/{jobs[0]}/annotations/ada", PART)[0] == 204
    status, answer = ask(rater, "GET", f"jobs/{jobs[0]}/annotations")
    assert status == 200 and list(answer["traces"]) == ["ada"]
    assert set(answer) == {"duration", "dimensions", "traces", "gaps", "sources"}  # no agreement, nothing of the model
    assert ask(rater, "GET", "recordings")[1][0]["traced"]["valence"] > 0
    assert sorted(ask(server.address, "GET", f"jobs/{jobs[0]}/annotations")[1]["traces"]) == ["ada", "ben", "model"]
    assert len(pd.read_csv(server.folder / jobs[0] / "annotations" / "ada.csv")) == 4


def test_no_address_of_the_owner_answers_a_rater(server: Server, jobs: list[str], rater: str, tmp_path: Path) -> None:
    network, own = "{0.scheme}://{0.netloc}/".format(urlsplit(rater)), urlsplit(server.address).path.strip("/")
    token = urlsplit(rater).path.split("/")[2]
    queue = Jobs(tmp_path / "none")
    paths = [path for path in make_app(queue, None, "TOKEN", 1).openapi()["paths"] if path.startswith("/TOKEN")]  # type: ignore[arg-type]
    queue.close()
    assert len(paths) > 20
    values = {"name": jobs[0], "kind": "csv", "annotator": "ada"}
    for path in paths:
        filled = path.removeprefix("/TOKEN/").format(**values)
        for method in ("GET", "POST", "DELETE"):
            for start in (token, f"rate/{token}/..", "rate", own):  # the owner's token doesn't help either
                status = ask(network, method, f"{start}/{filled}", b"")[0]
                assert status in {404, 405} or (start, status) == ("rate", 307), (method, start, filled)
        own_of_raters = {
            "",
            "assets/{name}",
            "jobs/{name}/annotate",
            "jobs/{name}/about",
            "jobs/{name}/copy",
            "jobs/{name}/annotations",
        }
        if path.removeprefix("/TOKEN/") not in own_of_raters:
            assert ask(rater, "GET", filled)[0] in {404, 405}, filled
    for path in ("v1/about", "v1/jobs", "v1/docs", "v1/openapi.json", "docs", "openapi.json", ""):
        assert ask(network, "GET", path)[0] == 404, path


@pytest.mark.parametrize(
    "path",
    ["page", "thumb", "download/csv", "download/html", "annotations.zip", "../../results.zip", "../../next", "../../live"],
)
def test_reports_traces_and_downloads_are_not_there_for_raters(jobs: list[str], rater: str, path: str) -> None:
    assert ask(rater, "GET", f"jobs/{jobs[0]}/{path}")[0] == 404


def test_live_is_not_there_for_raters(server: Server, rater: str) -> None:
    own = urlsplit(server.address).path
    network = f"ws://{urlsplit(rater).netloc}"
    for address in (f"{network}{own}live/stream", rater.replace("http", "ws") + "live/stream"):
        with pytest.raises(InvalidStatus, match="403"), connect(address):
            pass


def test_other_recordings_and_other_people_s_traces_are_refused(server: Server, jobs: list[str], rater: str) -> None:
    for path in ("annotate", "about", "copy", "annotations"):
        assert ask(rater, "GET", f"jobs/{jobs[1]}/{path}")[0] == 404
        assert ask(rater, "GET", f"jobs/{jobs[0]}/{path}")[0] == 200
    assert ask(rater, "POST", f"jobs/{jobs[1]}/annotations/ada", PART)[0] == 404
    assert ask(rater, "POST", f"jobs/{jobs[0]}/annotations/ben", PART)[0] == 403
    assert ask(rater, "POST", f"jobs/{jobs[0]}/annotations/ben/fill", {"column": "valence", "start": 0})[0] == 403
    assert ask(rater, "POST", f"jobs/{jobs[0]}/annotations/ada", PART | {"source": "model"})[0] == 400
    assert ask(rater, "DELETE", f"jobs/{jobs[0]}")[0] in {404, 413}
    assert len(pd.read_csv(server.folder / jobs[0] / "annotations" / "ben.csv")) == 4


def test_foreign_names_pages_and_large_messages_are_refused(server: Server, jobs: list[str], rater: str) -> None:
    path = f"jobs/{jobs[0]}/annotations"
    assert ask(rater, "GET", path, Host="evil.example")[0] == 400
    assert ask(rater, "GET", path, Host=urlsplit(server.address).netloc)[0] == 400  # the name of the other address
    assert ask(server.address, "GET", "jobs", Host=urlsplit(rater).netloc)[0] == 400
    assert ask(rater, "GET", path, Origin="http://evil.example")[0] == 403
    assert ask(rater, "GET", path, Origin=f"http://{urlsplit(rater).netloc}")[0] == 200
    assert ask(rater, "POST", f"{path}/ada", b" " * (MAX_RATING + 1))[0] == 413
    assert ask(rater, "POST", f"{path}/ada", None, **{"Transfer-Encoding": "chunked"})[0] == 413
    assert ask(rater.replace("/rate/", "/rate/x"), "GET", "recordings")[0] == 404


def test_a_rater_cannot_fill_the_disk_with_dimensions(jobs: list[str], rater: str) -> None:
    address = f"jobs/{jobs[0]}/annotations/ada"
    statuses = [ask(rater, "POST", address, PART | {"dimension": f"d{number}"})[0] for number in range(MAX_DIMENSIONS)]
    assert statuses[:20] == [204] * 20 and statuses[-1] == 400
    assert ask(rater, "POST", address, PART)[0] == 204  # those that are there go on


def test_a_rater_rates_in_the_browser_and_sees_nothing_else(server: Server, jobs: list[str], rater: str) -> None:
    with open_page(rater, ("--autoplay-policy=no-user-gesture-required", "--mute-audio")) as opened:
        page = opened.page
        page.click("#recordings a")
        opened.wait("document.querySelector('video')?.readyState >= 2")
        assert page.input_value("#annotator") == "ada" and page.locator(".owner:visible").count() == 0
        assert page.locator("nav a").all_inner_texts() == ["Recordings"]
        page.select_option("#device", "keys")
        page.select_option("#dimension", "arousal")
        page.click("#play")
        opened.wait("phase === 'waiting'")
        page.keyboard.press("ArrowUp")
        opened.wait("document.querySelector('video').currentTime > 1")
        page.keyboard.press("Space")
        opened.wait("document.querySelector('#saved').textContent.startsWith('Saved arousal')")
        opened.wait("document.querySelector('#charts .legend')?.innerText.includes('ada')")
        assert "model" not in page.inner_text("#charts") and "ben" not in page.inner_text("body")
        assert not opened.complaints
        assert all(request.startswith((rater, "data:")) for request in opened.requests)


def test_the_owner_invites_copies_and_withdraws_on_the_page(server: Server, jobs: list[str]) -> None:
    with open_page(f"{server.address}jobs/{jobs[1]}/annotate") as opened:
        page = opened.page
        page.fill("#rater", "cleo")
        page.check("[name=which][value=all]")
        page.click("#invite button")
        opened.wait("document.querySelector('#invitations')?.innerText.includes('cleo')")
        assert "2 recordings" in page.inner_text("#invitations li:has-text('cleo')") and NETWORK in page.inner_text("#reach")
        address = page.input_value("[aria-label='Address for cleo']")
        assert len(ask(address, "GET", "recordings")[1]) == 2
        page.fill("#rater", "Cleo")
        page.click("#invite button")
        opened.wait("document.querySelector('#complaints').innerText.includes('already been invited')")
        page.click("[aria-label='Withdraw the invitation of cleo']")
        opened.wait("!document.querySelector('#invitations').innerText.includes('cleo')")
        assert ask(address, "GET", "recordings") == (404, {"detail": "this invitation has been withdrawn"})
        assert opened.complaints == ["Failed to load resource: the server responded with a status of 400 (Bad Request)"]


@pytest.mark.parametrize("name", ["model", "MODEL", "../evil", "a b", ""])
def test_what_is_no_name_is_not_invited(server: Server, jobs: list[str], name: str) -> None:
    assert ask(server.address, "POST", "invitations", {"annotator": name, "recordings": jobs[:1]})[0] in {400, 422}
    assert ask(server.address, "POST", "invitations", {"annotator": "dora", "recordings": ["nothing"]})[0] == 404


def test_invitations_outlast_the_server_and_damage_is_named(tmp_path: Path) -> None:
    made = Invitations(tmp_path / "invitations.json").add("ada", ["a"])
    again = Invitations(tmp_path / "invitations.json")
    assert again.find(made.token) == made and again.find("") is None and again.remove("ada") and not again.all()
    (tmp_path / "invitations.json").write_text('{"invitations": [{"token": 7}]}')
    with pytest.raises(VatraceError, match=r"invitations\.json: damaged"):
        Invitations(tmp_path / "invitations.json")
