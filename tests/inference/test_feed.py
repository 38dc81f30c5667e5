"""Live, as a user would: in the terminal on a file that stands for camera and microphone, and in a browser with fake ones."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from browser import Opened, open_page
from conftest import write_movie
from vatrace import Model
from vatrace.inference.feed import MAX_BACKLOG, Feed
from vatrace.inference.streamer import MAX_WAIT, Value
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.web.live import make_resampler
from web_server import Server


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory, face_images: list[Image.Image]) -> Path:
    """A video without sound."""
    return write_movie(tmp_path_factory.mktemp("silent") / "silent.mp4", face_images[:60], frame_rate=30)


def live(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vatrace.cli", "live", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_file_is_followed_at_its_pace_into_a_pipe_and_a_file(talking: Path, tmp_path: Path, model: Model) -> None:
    result = live("--camera", talking, "--out", tmp_path / "live.csv")
    assert result.returncode == 0, result.stderr
    piped, kept = pd.read_csv(io.StringIO(result.stdout)), pd.read_csv(tmp_path / "live.csv")
    pd.testing.assert_frame_equal(piped, kept)
    np.testing.assert_allclose(kept["time"], np.arange(len(kept)) / 10)
    assert len(kept) >= 40 and kept["face"][5:38].mean() > 0.9 and kept["voice"].any()
    assert (kept["valence_low"] <= kept["valence"]).all() and (kept["arousal"] <= kept["arousal_high"]).all()
    assert len(kept) == len(model.predict(talking).times) and kept["late"].isin(["face", "voice", "face+voice", np.nan]).all()
    assert "median delay" in result.stderr and b"\r" not in (tmp_path / "live.csv").read_bytes()
    again = live("--camera", talking, "--out", tmp_path / "live.csv")
    assert again.returncode == 1 and "already there" in again.stderr


def test_sound_that_ends_before_the_pictures_is_not_late(
    tmp_path: Path, face_images: list[Image.Image], speech: np.ndarray
) -> None:
    video = write_movie(tmp_path / "short.mp4", face_images[:120], sound=speech[:SAMPLING_RATE], frame_rate=30)
    result = live("--camera", video)
    table = pd.read_csv(io.StringIO(result.stdout))
    assert result.returncode == 0 and len(table) == 40
    assert table["late"].isna()[:10].all() and table["late"].isna()[-10:].all()


def test_a_video_without_sound_is_followed(silent: Path) -> None:
    result = live("--camera", silent)
    table = pd.read_csv(io.StringIO(result.stdout))
    assert result.returncode == 0 and table["face"].mean() > 0.9 and table["late"].isna().all(), result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--camera", "none", "--microphone", "none"], "nothing to follow"),
        (["--camera", "97", "--microphone", "none"], "camera 97: can't be opened"),
        (["--camera", "none", "--microphone", "no-such-device"], "microphone no-such-device: can't be opened"),
        (["--camera", "no.mp4"], "no.mp4: no such file"),
        (["--camera", "none", "--microphone", "no.wav"], "no.wav: no such file"),
        (["--camera", "none", "--microphone", "{silent}"], "silent.mp4: no sound in it"),
        (["--out", "/proc/none/live.csv"], "/proc/none: can't write there"),
        (["--model", "no.onnx"], "no.onnx: no such model file"),
    ],
)
def test_what_is_not_there_is_named(arguments: list[str], message: str, silent: Path) -> None:
    result = live(*(argument.format(silent=silent) for argument in arguments))
    assert result.returncode == 1 and message in result.stderr and "Traceback" not in result.stderr


class SlowStreamer:
    """Takes a long time over everything."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.seen, self.heard, self.skipped = seconds, [], 0, 0.0
        self.ended: list[str] = []

    def add_frame(self, picture: Image.Image, moment: float) -> None:
        time.sleep(self.seconds)
        self.seen.append(moment)

    def add_audio(self, sound: np.ndarray) -> None:
        time.sleep(self.seconds)
        self.heard += len(sound)

    def skip_audio(self, seconds: float) -> None:
        self.skipped += seconds

    def end(self, modality: str) -> None:
        self.ended.append(modality)

    def values(self, now: float) -> list[Value]:
        return [Value(now, 0.0, 0.0, {}, late=("voice",))]


def test_a_machine_that_can_not_keep_up_leaves_out_and_says_so() -> None:
    streamer = SlowStreamer(0.25)
    feed = Feed(streamer)  # type: ignore[arg-type]
    notes = set()
    for index in range(60):
        feed.add_frame(Image.new("RGB", (8, 8)), index / 20)
        feed.add_audio(np.ones(SAMPLING_RATE, np.float32), index + 1)  # twenty times faster than it is recorded
        notes.add(feed.poll(index / 20)[1].note)
        time.sleep(0.05)
    assert feed._waiting() <= MAX_BACKLOG
    feed.end("voice")
    feed.end("face")
    for thread in feed._threads:
        thread.join(5)
    feed.close()
    assert sorted(streamer.ended) == ["face", "voice"]
    assert streamer.skipped > MAX_BACKLOG and streamer.heard / SAMPLING_RATE + streamer.skipped == 60  # all is accounted for
    assert len(streamer.seen) < 20 and streamer.seen == sorted(streamer.seen)
    assert any("keeps up with" in note for note in notes)
    assert any("the voice comes too late for 100%" in note for note in notes)


@pytest.mark.parametrize(("stall", "lost"), [(1.0, False), (2.5, False), (2.5, True)])
def test_sound_that_is_lost_on_the_way_is_told_from_sound_that_is_held_up(stall: float, lost: bool) -> None:
    streamer = SlowStreamer(0)
    feed = Feed(streamer)  # type: ignore[arg-type]
    for step in range(1, 200):  # 20 s in blocks of 0.1 s
        moment = step / 10
        held_up = 6 < moment <= 6 + stall
        if not (lost and held_up):
            feed.add_audio(np.ones(SAMPLING_RATE // 10, np.float32), 6 + stall if held_up else moment)
        time.sleep(0.002)
    feed.end("voice")
    feed._threads[1].join(5)
    feed.close()
    assert streamer.heard / SAMPLING_RATE + streamer.skipped == pytest.approx(19.9, abs=0.1)


def test_an_error_in_its_threads_is_raised_where_values_are_asked_for() -> None:
    class Broken(SlowStreamer):
        def add_frame(self, picture: Image.Image, moment: float) -> None:
            raise ValueError("no eyes")

    feed = Feed(Broken(0))  # type: ignore[arg-type]
    feed.add_frame(Image.new("RGB", (8, 8)), 0.0)
    time.sleep(0.2)
    with pytest.raises(ValueError, match="no eyes"):
        feed.poll(1.0)
    feed.close()


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_blocks_of_the_browser_s_sound_become_one_sound_of_16_khz(rate: int) -> None:
    resample = make_resampler()
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate).astype(np.float32)
    found = np.concatenate([resample(tone[start : start + 4096], rate) for start in range(0, len(tone), 4096)])
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
            assert answer == {"error": "another page is live already"}
        time.sleep(0.2)
    raise TimeoutError("the session before does not end")


def test_without_a_microphone_nothing_is_waited_for(server: Server) -> None:
    with connected(server) as socket:
        start = time.monotonic()
        socket.send(json.dumps({"rate": 48_000, "absent": ["face", "voice"]}))
        assert json.loads(socket.recv(30))["values"][0]["time"] == 0 and time.monotonic() - start < MAX_WAIT


def test_empty_and_strange_messages_end_nothing(server: Server) -> None:
    with connected(server) as socket:
        socket.send(json.dumps({"rate": 48_000}))
        for message in (b"\2", b"\7abc", b"\2" + bytes(4 * 48_000), b"\1"):
            socket.send(message)
        assert json.loads(socket.recv(30))["values"]


@pytest.fixture(scope="module")
def fake_devices(talking: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A real clip in the forms that Chromium takes for a camera and a microphone."""
    folder = tmp_path_factory.mktemp("devices")
    with (folder / "camera.mjpeg").open("wb") as file:
        for frame in VideoReader(talking, 10):
            frame.image.save(file, "JPEG", quality=90)
    with wave.open(str(folder / "microphone.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLING_RATE, 0, "NONE", ""))
        sound = np.concatenate(list(AudioReader(talking, 1.0)))
        file.writeframes((sound.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={folder}/camera.mjpeg",
        f"--use-file-for-fake-audio-capture={folder}/microphone.wav",
        "--autoplay-policy=no-user-gesture-required",
    )


@pytest.fixture
def opened(server: Server, fake_devices: tuple[str, ...]) -> Iterator[Opened]:
    with open_page(f"{server.address}live", fake_devices, viewport={"width": 1200, "height": 800}) as opened:
        yield opened
        assert not opened.complaints
        assert all(request.startswith((server.address, "data:", "blob:")) for request in opened.requests)


def test_the_browser_s_camera_and_microphone_are_followed(opened: Opened, tmp_path: Path) -> None:
    page = opened.page
    page.click("#start")
    opened.wait("values.length > 60", 60)
    assert "delay" in page.inner_text("#values") and "face" in page.inner_text("#values")
    assert page.evaluate("charts.every(chart => chart.data[0].length > 30)")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "live.csv")
    table = pd.read_csv(tmp_path / "live.csv")
    assert table["face"].mean() > 0.8 and table["valence"].between(-1, 1).all()
    assert table["voice"].any() or table["late"].str.contains("voice", na=False).mean() > 0.5  # a busy machine says so
    np.testing.assert_allclose(np.diff(table["time"]), 0.1, atol=1e-6)
    page.click("#stop")
    opened.wait("!document.querySelector('#start').disabled")
    assert page.evaluate("session === null && document.querySelector('video').srcObject === null")


def test_without_leave_to_use_the_camera_it_says_so(server: Server) -> None:
    with open_page(f"{server.address}live", ("--deny-permission-prompts",)) as opened:
        opened.page.click("#start")
        opened.wait("document.querySelector('#complaints li') !== null")
        assert "can't be used" in opened.page.inner_text("#complaints")
        assert opened.page.is_enabled("#start")
