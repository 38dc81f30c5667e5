"""Live in a browser with a fake camera and microphone, and what the server makes of other messages."""

from __future__ import annotations

import gc
import io
import json
import math
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakSet

import numpy as np
import pandas as pd
import pytest
from fastapi import FastAPI, WebSocket
from PIL import Image
from starlette.testclient import TestClient
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from browser import Opened, fake_devices, open_page
from vatrace.inference.follower import MAX_WAIT
from vatrace.inference.streamer import Streamer
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.samples import BlockResampler
from vatrace.output.writers import read_json
from vatrace.web.live import MAX_PROBLEMS, serve_live
from web_server import Server


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_blocks_of_the_browser_s_sound_become_one_sound_of_16_khz(rate: int) -> None:
    resample = BlockResampler(rate)
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate).astype(np.float32)
    found = np.concatenate([resample(tone[start : start + 4096]) for start in range(0, len(tone), 4096)])
    assert len(found) == pytest.approx(2 * SAMPLING_RATE, abs=100)
    expected = np.sin(2 * np.pi * 440 * np.arange(len(found)) / SAMPLING_RATE)
    assert np.abs(found - expected)[1000:-1000].max() < 0.02


@contextmanager
def connected(server: Server) -> Iterator[ClientConnection]:
    """A live session, once the one before has ended."""
    for _ in range(50):
        with connect(server.address.replace("http", "ws") + "live/stream") as socket:
            answer = json.loads(socket.recv(30))
            if answer == {"ready": True}:
                yield socket
                return
            assert answer == {"error": "live is already open in another page"}
        time.sleep(0.2)
    raise TimeoutError("the session before does not end")


def test_without_a_microphone_nothing_is_waited_for(server: Server) -> None:
    with connected(server) as socket:
        start = time.monotonic()
        socket.send(json.dumps({"rate": 48_000, "absent": ["face", "voice"]}))
        assert json.loads(socket.recv(30))["values"][0]["time"] == 0 and time.monotonic() - start < MAX_WAIT


def test_at_the_end_all_values_come(server: Server, speech: np.ndarray) -> None:
    with connected(server) as socket:
        start, values, message = time.monotonic(), [], {}
        socket.send(json.dumps({"rate": SAMPLING_RATE, "absent": ["face"]}))
        for block in np.split(speech[: 2 * SAMPLING_RATE], 20):
            socket.send(b"\2" + block.astype("<f4").tobytes())
        time.sleep(max(start + 2.1 - time.monotonic(), 0))
        socket.send(json.dumps({"end": 2.0}))
        while not message.get("done"):
            message = json.loads(socket.recv(30))
            values += message["values"]
    assert [value["time"] for value in values] == pytest.approx(np.arange(20) / 10)
    assert any(value["presence"]["voice"] for value in values)


def test_empty_and_strange_messages_end_nothing(server: Server) -> None:
    with connected(server) as socket:
        socket.send(json.dumps({"rate": 48_000}))
        wrong = {
            b"\7abc": "a binary message must start with 1",
            b"": "a binary message must start with 1",
            "text": 'a text message must be {"end": seconds}',
            "[" * 10_000: "a text message must be",
            '{"end": NaN}': "the end must be a number of seconds",
            f'{{"end": {"9" * 400}}}': "the end must be a number of seconds",  # more than any float
            '{"end": [1]}': "the end must be a number",
            b"\2abcde": "audio must be samples of four bytes",
            b"\1": "a frame must have at most 2 MB",
            b"\1" + struct.pack("<d", 0.0) + b"no picture": "isn't a readable JPEG",
            b"\1" + struct.pack("<d", math.nan) + jpeg(8): "the time of a frame must be in seconds",
            b"\1" + struct.pack("<d", 1e300) + jpeg(8): "the time of a frame must be in seconds",
            b"\1" + struct.pack("<d", 0.0) + jpeg(8)[:200]: "isn't a readable JPEG",
            b"\1" + struct.pack("<d", 0.0) + huge(jpeg(8)): "a frame of 4000 x 4000 pixels",
            b"\2" + bytes(4 * 400_000): None,
            b"\2" + bytes(4 * 400_001): "more than 10 s of audio ahead of time",
        }
        for message in (b"\2", b"\2" + np.full(400, np.nan, "<f4").tobytes(), b"\2" + np.full(400, 1e38, "<f4").tobytes()):
            socket.send(message)
        for message, answer in wrong.items():
            socket.send(message)
            while answer is not None:
                found = json.loads(socket.recv(30))
                if "problem" in found:
                    assert answer in found["problem"] and found["problem"].startswith("live: ")
                    break
        while not json.loads(socket.recv(30)).get("values"):
            pass


def jpeg(side: int) -> bytes:
    """A small picture."""
    content = io.BytesIO()
    Image.new("RGB", (side, side)).save(content, "JPEG")
    return content.getvalue()


def huge(picture: bytes) -> bytes:
    """The same JPEG, which claims to be of 4000 x 4000 pixels."""
    place = picture.index(b"\xff\xc0") + 5
    return picture[:place] + struct.pack(">HH", 4000, 4000) + picture[place + 4 :]


def test_the_place_of_the_face_comes_before_the_first_value(server: Server, face_images: list[Image.Image]) -> None:
    with connected(server) as socket:
        socket.send(json.dumps({"rate": 48_000}))
        content = io.BytesIO()
        face_images[0].save(content, "JPEG")
        socket.send(b"\1" + struct.pack("<d", 0.0) + content.getvalue())
        found = json.loads(socket.recv(30))["face"]
    (left, upper), (right, lower) = np.min(found["corners"], axis=0), np.max(found["corners"], axis=0)
    (first, second) = found["eyes"]
    assert left < first[0] < second[0] < right and upper < first[1] < (upper + lower) / 2  # the eyes are in the upper half


def test_too_many_wrong_messages_end_the_session(server: Server) -> None:
    with connected(server) as socket:
        socket.send(json.dumps({"rate": 48_000}))
        for _ in range(MAX_PROBLEMS + 1):
            socket.send("x")
        answers = []
        with suppress(ConnectionClosed):
            while True:
                answers.append(json.loads(socket.recv(30)))
        assert answers[-1]["error"].endswith(f"ended after {MAX_PROBLEMS} such messages")


@pytest.mark.parametrize(
    "message",
    ["no JSON", '["rate"]', '{"rate": 0}', '{"rate": 1e999}', '{"rate": true}', '{"rate": "8000"}', b"1", "[" * 10_000, "NaN"],
)
def test_a_wrong_first_message_is_refused(server: Server, message: str | bytes) -> None:
    with connected(server) as socket:
        socket.send(message)
        assert json.loads(socket.recv(30)) == {
            "error": "live: the first message must be JSON with the sampling rate of the audio"
        }


@pytest.mark.parametrize("last", ['{"end": 0.1}', '{"end": "never"}', None], ids=["ended", "wrong", "left"])
def test_the_networks_go_with_their_session(last: str | None) -> None:
    app, streamers = FastAPI(), WeakSet[Streamer]()

    def make_streamer() -> Streamer:
        streamers.add(streamer := Streamer(has_audio=False))
        return streamer

    @app.websocket("/")
    async def stream(socket: WebSocket) -> None:
        await serve_live(socket, make_streamer)

    gc.disable()  # it would find them some time later
    try:
        with TestClient(app) as client, client.websocket_connect("/") as socket:
            assert socket.receive_json() == {"ready": True} and streamers
            socket.send_json({"rate": 48_000})
            while last is not None and not {"done", "error"} & {*socket.receive_json()}:
                socket.send_text(last)
        end = time.monotonic() + 10
        while streamers and time.monotonic() < end:  # its threads end a moment later
            time.sleep(0.05)
        assert not streamers
    finally:
        gc.enable()


@pytest.fixture(scope="module")
def devices(talking: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return fake_devices(talking, tmp_path_factory.mktemp("devices"))


@pytest.fixture
def opened(server: Server, devices: tuple[str, ...]) -> Iterator[Opened]:
    with open_page(f"{server.address}live", devices, viewport={"width": 1200, "height": 800}) as opened:
        yield opened
        assert not opened.complaints
        assert all(request.startswith((server.address, "data:", "blob:")) for request in opened.requests)


def test_the_browser_s_camera_and_microphone_are_followed(opened: Opened, tmp_path: Path) -> None:
    page = opened.page
    page.click("#start")
    opened.wait("values.length > 60 && values.some(value => value.presence.face)", 60)
    opened.wait("values.some(value => value.presence.voice || value.late.includes('voice'))", 60)  # a busy machine is late
    assert "delay" in page.inner_text("#delay")
    opened.wait("(window.seen = face) !== null", 20)
    corners, eyes = map(np.array, page.evaluate("[window.seen.corners, window.seen.eyes]"))
    assert (corners.min(axis=0) < eyes.min(axis=0)).all() and (eyes.max(axis=0) < corners.max(axis=0)).all()
    opened.wait("document.querySelector('#level').value > 0", 20)  # there are silent moments
    assert page.evaluate("document.querySelectorAll('#camera option').length") >= 3
    assert page.evaluate("charts.every(chart => chart.data[0].length > 30)")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "live.csv")
    with page.expect_download() as download:
        page.click("#save-json")
    download.value.save_as(tmp_path / "live.json")
    prediction = read_json(tmp_path / "live.json")
    assert prediction.bounds is not None and prediction.presence["face"].mean() > 0.3
    table = pd.read_csv(tmp_path / "live.csv")
    assert table["face"].mean() > 0.3 and table["valence"].between(-1, 1).all()
    assert table["voice"].any() or table["late"].str.contains("voice", na=False).any()
    np.testing.assert_allclose(np.diff(table["time"]), 0.1, atol=1e-6)
    page.evaluate("window.stopped = (performance.now() - session.began) / 1000")
    page.click("#stop")
    opened.wait("!document.querySelector('#start').disabled", 20)
    assert page.evaluate("values.at(-1).time - window.stopped") == pytest.approx(0, abs=0.3)  # the last ones as well
    assert page.evaluate("session === null && document.querySelector('video').srcObject === null")


def test_a_film_of_the_session_becomes_a_recording_on_request(opened: Opened, server: Server) -> None:
    page = opened.page
    page.click("#test")
    opened.wait("document.querySelector('#level').value > 0 && mirror.videoWidth > 0", 20)  # before the start
    page.check("#filming")
    page.click("#start")
    opened.wait("values.length > 20", 60)
    page.click("#stop")
    opened.wait("film !== null && session === null", 20)
    page.click("#add-film")
    opened.wait("document.querySelector('#said').textContent.includes('is in Recordings now')", 20)
    (job,) = [job for job in server.jobs() if job["name"].startswith("live-")]
    assert server.wait(job["id"])["state"] == "done"


def test_without_leave_to_use_the_camera_it_says_so(server: Server) -> None:
    with open_page(f"{server.address}live", ("--deny-permission-prompts",)) as opened:
        opened.page.click("#start")
        opened.wait("document.querySelector('#complaints li') !== null")
        assert "Can't use the camera or microphone" in opened.page.inner_text("#complaints")
        assert opened.page.is_enabled("#start")
