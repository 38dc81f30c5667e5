"""What the server refuses: other sites, impossible numbers, connections that never end; and who can read what it writes."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from web_server import Server, serve

SRT = "1\n00:00:00,000 --> 00:00:03,000\nhello there my friend\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = serve(tmp_path_factory.mktemp("security") / "results")
    yield server
    assert server.end() == 0


@pytest.fixture(scope="module")
def job(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    return server.finished_transcript(tmp_path_factory.mktemp("security"), SRT)


def ask(
    server: Server, method: str, path: str, body: str | bytes | None = None, **headers: str
) -> tuple[int, dict[str, object]]:
    """Send a request with the token; the status and the JSON that comes back."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    status, content = server.send(method, path, body, names, timeout=20)
    return status, json.loads(content) if content[:1] in {b"{", b"["} else {}


FOREIGN = ["http://evil.example", "https://127.0.0.1", "null", "http://127.0.0.1:1", "http://localhost.evil.example"]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_site_is_refused_even_with_the_token(server: Server, job: str, origin: str) -> None:
    for method, path in (("GET", "jobs"), ("POST", "jobs?name=a.mp4"), ("DELETE", f"jobs/{job}"), ("GET", f"jobs/{job}/page")):
        assert ask(server, method, path, Origin=origin) == (403, {"detail": "a page of another site may not do this"})
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(server.address.replace("http", "ws") + "live/stream", origin=origin),
    ):  # type: ignore[arg-type]
        pass
    assert ask(server, "GET", "jobs")[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[", ""])
def test_another_host_name_is_refused_even_with_the_token(server: Server, host: str) -> None:
    assert ask(server, "GET", "jobs", Host=host)[0] == 400
    assert ask(server, "GET", "jobs", Host=host, Origin=f"http://{host}")[0] in {400, 403}


def test_without_host_only_this_machine_is_answered(server: Server) -> None:
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", urlsplit(server.address).port or 0), timeout=5)


def test_its_own_pages_are_answered(server: Server) -> None:
    own = f"http://{urlsplit(server.address).netloc}"
    assert ask(server, "GET", "jobs", Origin=own)[0] == 200
    with connect(server.address.replace("http", "ws") + "live/stream", origin=own) as live:  # type: ignore[arg-type]
        assert json.loads(live.recv(60)) == {"ready": True}


@pytest.mark.parametrize(
    "samples",
    [
        "[[NaN, 0.5]]",
        "[[0, NaN]]",
        "[[0, Infinity]]",
        "[[0, 1e999]]",
        "[[1e300, 0.5]]",
        "[[0, 0.1], [86400, 0.1]]",
        "[[-1, 0.1]]",
        "[]",
        "[[0]]",
        "7",
        "[" * 5000,
        '[["a", "b"]]',
    ],
)
def test_numbers_that_cannot_be_are_refused_in_one_line(server: Server, job: str, samples: str) -> None:
    body = f'{{"dimension": "valence", "samples": {samples}}}'
    status, answer = ask(server, "POST", f"jobs/{job}/annotations/anna", body)
    assert status in {400, 422} and isinstance(answer["detail"], str) and "\n" not in answer["detail"]
    status, answer = ask(server, "GET", f"jobs/{job}/annotations")
    assert status == 200 and list(answer["traces"]) == ["model"]  # type: ignore[call-overload]


def test_annotations_inside_the_recording_are_kept(server: Server, job: str) -> None:
    body = json.dumps({"dimension": "arousal", "samples": [[0, 0.5], [0.3, 0.6]]})
    assert ask(server, "POST", f"jobs/{job}/annotations/ben", body)[0] == 204
    assert sorted(ask(server, "GET", f"jobs/{job}/annotations")[1]["traces"]) == ["ben", "model"]  # type: ignore[call-overload]
    (server.folder / job / "annotations" / "ben.csv").unlink()


def test_a_transcript_has_no_copy(server: Server, job: str) -> None:
    assert ask(server, "GET", f"jobs/{job}/copy") == (404, {"detail": "talk.srt: a transcript has no picture and no sound"})


def test_only_the_owner_can_read_the_results(server: Server, job: str) -> None:
    for path in [server.folder, *server.folder.rglob("*")]:
        if path.name != ".lock":
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_length_that_is_no_number_is_not_a_bug(server: Server) -> None:
    parts = urlsplit(server.address)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as raw:
        head = f"POST {parts.path}jobs?name=a.mp4 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: many\r\n\r\n"
        raw.sendall(head.encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 400")


def test_many_clients_at_once_are_answered(server: Server) -> None:
    parts = urlsplit(server.address)
    idle = [socket.create_connection((parts.hostname, parts.port), timeout=20) for _ in range(200)]
    started = time.monotonic()
    assert ask(server, "GET", "jobs")[0] == 200 and time.monotonic() - started < 5
    for one in idle:
        one.close()


def test_a_connection_without_a_request_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    import uvicorn

    from vatrace.web import connections

    monkeypatch.setattr(connections, "REQUEST_TIMEOUT", 0.3)

    async def app(scope: dict, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})  # type: ignore[operator]
        await asyncio.sleep(0.8)  # longer than a connection may be idle
        await send({"type": "http.response.body", "body": b"ok"})  # type: ignore[operator]

    async def scenario() -> tuple[bytes, bytes, bytes]:
        config = uvicorn.Config(app, port=0, lifespan="off", log_level="error", http=connections.patient_protocol())
        listening = uvicorn.Server(config)
        serving = asyncio.create_task(listening.serve())
        while not listening.started:
            await asyncio.sleep(0.02)
        port = listening.servers[0].sockets[0].getsockname()[1]
        found = []
        for sent in (b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            found.append(await asyncio.wait_for(reader.read(-1) if not sent.endswith(b"\n") else reader.readuntil(b"ok"), 5))
            writer.close()
        listening.should_exit = True
        await serving
        return found[0], found[1], found[2]

    silent, partial, whole = asyncio.run(scenario())
    assert silent == b"" and partial == b"" and whole.endswith(b"ok")
