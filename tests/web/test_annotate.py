"""Annotations in a real browser: traced, saved, shown beside the model's trace, and read as a corpus."""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from browser import Opened, open_page
from vatrace.corpora import open_corpus
from web_server import Server

FLAGS = ("--autoplay-policy=no-user-gesture-required", "--mute-audio")


@pytest.fixture(scope="module")
def job(server: Server, talking: Path) -> str:
    name = server.upload(talking)
    assert server.wait(name)["state"] == "done"
    return name


@pytest.fixture
def opened(server: Server, job: str) -> Iterator[Opened]:
    with open_page(f"{server.address}jobs/{job}/annotate", FLAGS, viewport={"width": 1200, "height": 1000}) as opened:
        opened.wait("document.querySelector('video')?.readyState >= 2")
        yield opened
        assert not opened.complaints
        assert all(request.startswith((server.address, "data:")) for request in opened.requests)


def trace(server: Server, job: str, annotator: str) -> pd.DataFrame:
    return pd.DataFrame(json.loads(server.get(f"jobs/{job}/annotations")[2])["traces"][annotator], dtype=float).set_index(
        "time"
    )


def start(opened: Opened) -> None:
    """Click the button as a user does: the pointer rests on it, and it has the focus."""
    opened.page.click("#play")
    opened.wait("phase === 'waiting'")


def time(opened: Opened) -> float:
    return opened.page.evaluate("document.querySelector('video').currentTime")


def test_a_trace_by_mouse_begins_on_the_bar_is_saved_as_it_comes_and_read_as_a_corpus(
    server: Server, job: str, opened: Opened, talking: Path, tmp_path: Path
) -> None:
    page = opened.page
    page.fill("#annotator", "ada")
    page.click("#play")
    shown = [opened.wait(f"document.querySelector('#prompt').textContent === '{number}'") for number in "321"]
    assert len(shown) == 3
    opened.wait("phase === 'waiting'")
    page.wait_for_timeout(500)
    assert time(opened) == 0 and "pointer onto the bar" in page.inner_text("#prompt")  # nothing runs, nothing is recorded
    box = page.locator("#bar").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 0.25 * box["height"])  # half-way up: +0.5
    opened.wait("document.querySelector('video').currentTime > 2")
    assert trace(server, job, "ada")["valence"].notna().sum() >= 5  # while it plays
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] - 0.5)
    opened.wait("document.querySelector('video').ended")
    opened.wait("document.querySelector('#agreement tbody tr') !== null")
    found = trace(server, job, "ada")["valence"]
    assert found.index[0] <= 0.1 and found.loc[0.1:1.8].to_numpy() == pytest.approx(0.5, abs=0.02)  # from its first row
    assert found.iloc[-5:].to_numpy() == pytest.approx(-1, abs=0.02)
    assert "model" in page.inner_text("#agreement") and "model" in page.inner_text("#charts")
    with zipfile.ZipFile(io.BytesIO(server.get("annotations.zip")[2])) as file:  # of all recordings
        assert file.namelist() == [f"annotations/{talking.stem}.ada.csv"]
    with zipfile.ZipFile(io.BytesIO(server.get(f"jobs/{job}/annotations.zip")[2])) as file:
        assert file.namelist() == [f"annotations/{talking.stem}.ada.csv"]
        file.extractall(tmp_path)
    (tmp_path / talking.name).write_bytes(talking.read_bytes())
    corpus = open_corpus(tmp_path)
    (annotation,) = corpus.annotations(corpus.sources[0], np.empty(0))
    assert annotation.annotator == "ada" and np.nanmax(annotation.values[:, 0]) == pytest.approx(0.5, abs=0.02)


def test_on_its_way_to_the_button_the_pointer_leaves_the_value_as_it_was(server: Server, job: str, opened: Opened) -> None:
    page = opened.page
    page.fill("#annotator", "dan")
    start(opened)
    box = page.locator("#bar").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 0.75 * box["height"])
    opened.wait("document.querySelector('video').currentTime > 1")
    page.mouse.move(box["x"] - 50, box["y"] + 0.75 * box["height"])  # out at the side, then up to the button
    page.click("#play")
    opened.wait("phase === 'idle'")
    opened.wait("document.querySelector('#charts').innerText.includes('dan')")
    assert trace(server, job, "dan")["valence"].to_numpy() == pytest.approx(-0.5, abs=0.02)


@pytest.mark.parametrize("clicked", ["#play", "#device", "#speed", "video", "#reveal"])
def test_arrow_keys_move_the_value_whatever_was_clicked(opened: Opened, server: Server, job: str, clicked: str) -> None:
    page, name = opened.page, f"keys-{clicked.strip('#')}"
    page.fill("#annotator", name)
    page.select_option("#device", "keys")
    start(opened)
    page.evaluate(f"document.querySelector('{clicked}').focus()")
    page.wait_for_timeout(300)
    assert time(opened) == 0
    page.keyboard.down("ArrowUp")
    opened.wait("value > 0.8")
    page.keyboard.up("ArrowUp")
    page.keyboard.press("Space")
    opened.wait("phase === 'idle'")
    assert page.input_value("#device") == "keys" and page.input_value("#speed") == "1"
    opened.wait(f"document.querySelector('#charts').innerText.includes('{name}')")
    found = trace(server, job, name)["valence"]
    assert found.iloc[0] < 0.5 and found.iloc[-1] > 0.7 and found.is_monotonic_increasing


def test_a_key_that_is_held_at_the_end_of_the_countdown_is_the_first_input(opened: Opened) -> None:
    page = opened.page
    page.fill("#annotator", "fay")
    page.select_option("#device", "keys")
    page.click("#play")
    page.keyboard.down("ArrowDown")
    page.wait_for_timeout(500)
    assert time(opened) == 0 and opened.page.evaluate("value") == 0  # the countdown hasn't ended
    opened.wait("value < -0.3")
    page.keyboard.up("ArrowDown")


def test_the_model_is_hidden_until_then_and_the_player_s_own_button_traces_nothing(
    opened: Opened, server: Server, job: str
) -> None:
    page = opened.page
    page.fill("#annotator", "bob")
    page.select_option("#dimension", "arousal")
    page.evaluate("draw()")
    assert page.inner_text("#bar .top") == "excited" and "model" not in page.inner_text("#charts")
    page.evaluate("document.querySelector('video').play()")
    opened.wait("document.querySelector('video').currentTime > 1.5")
    page.evaluate("document.querySelector('video').pause()")
    page.wait_for_timeout(300)
    assert "bob" not in json.loads(server.get(f"jobs/{job}/annotations")[2])["traces"]
    page.click("#reveal")
    assert "model" in page.inner_text("#charts")


def test_what_is_changed_while_it_plays_stops_it_and_keeps_the_trace_where_it_belongs(
    opened: Opened, server: Server, job: str
) -> None:
    page = opened.page
    page.fill("#annotator", "eve")
    page.select_option("#device", "keys")
    start(opened)
    page.keyboard.press("ArrowUp")
    opened.wait("document.querySelector('video').currentTime > 0.5")
    page.select_option("#dimension", "arousal")
    opened.wait("phase === 'idle'")
    opened.wait("document.querySelector('#charts').innerText.includes('eve')")
    found = trace(server, job, "eve")
    assert found["valence"].notna().any() and found["arousal"].isna().all()


def test_both_dimensions_are_traced_at_once_on_a_square(opened: Opened, server: Server, job: str) -> None:
    page = opened.page
    page.fill("#annotator", "gil")
    page.select_option("#dimension", "both")
    start(opened)
    box = page.locator("#bar").bounding_box()
    assert box["width"] == pytest.approx(box["height"], abs=2)
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    opened.wait("document.querySelector('video').currentTime > 1")
    page.keyboard.press("Space")
    opened.wait("document.querySelector('#charts').innerText.includes('gil')")
    found = trace(server, job, "gil")
    assert found[["valence", "arousal"]].to_numpy() == pytest.approx(0.5, abs=0.02)


def test_an_unbounded_trace_of_another_dimension_goes_beyond_the_bar(opened: Opened, server: Server, job: str) -> None:
    page = opened.page
    page.fill("#annotator", "hal")
    page.select_option("#dimension", "named")
    page.fill("#other", "tension")
    page.select_option("#scale", "unbounded")
    start(opened)
    box = page.locator("#bar").bounding_box()
    for _ in range(2):  # the way back doesn't count, as when a mouse is lifted
        page.mouse.move(box["x"] + 20, box["y"] + box["height"] - 5)
        page.mouse.move(box["x"] + 20, box["y"] + 5)
        page.mouse.move(box["x"] - 50, box["y"] + 5)
        page.mouse.move(box["x"] - 50, box["y"] + box["height"] - 5)
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] - 5)
    page.mouse.wheel(0, -100)
    opened.wait("value > 3.5")
    opened.wait("document.querySelector('video').currentTime > 1")
    page.keyboard.press("Space")
    opened.wait("document.querySelector('#charts').innerText.includes('hal')")
    found = trace(server, job, "hal")
    assert found["tension_unbounded"].iloc[-1] > 3.5 and found["valence"].isna().all()


def test_the_model_s_trace_is_corrected_on_request_and_marked(opened: Opened, server: Server, job: str) -> None:
    page = opened.page
    page.fill("#annotator", "ida")
    page.check("#assisted")
    start(opened)
    box = page.locator("#bar").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 5)
    opened.wait("document.querySelector('video').currentTime > 1")
    page.mouse.down()
    opened.wait("document.querySelector('video').currentTime > 2")
    page.mouse.up()
    opened.wait("document.querySelector('video').currentTime > 2.5")
    page.keyboard.press("Space")
    opened.wait("document.querySelector('#gaps').innerText.includes('some values come from the model')")
    with zipfile.ZipFile(io.BytesIO(server.get(f"jobs/{job}/annotations.zip")[2])) as file:
        name = next(name for name in file.namelist() if name.endswith(".ida.csv"))
        found = pd.read_csv(file.open(name)).set_index("time")
    model = trace(server, job, "model")["valence"]
    source = found["valence_source"]
    assert (source.loc[0.2:0.8] == "model").all() and (source.loc[1.4:1.8] == "corrected").all()
    assert found.loc[0.2:0.8, "valence"].to_numpy() == pytest.approx(model.loc[0.2:0.8].to_numpy(), abs=0.1)
    assert found.loc[1.4:1.8, "valence"].min() > 0.9
    rows = json.loads(server.get(f"jobs/{job}/annotations")[2])["agreement"]
    assert all(row["valence_seconds"] == 0 for row in rows if "ida" in (row["one"], row["other"]))


def test_practice_saves_nothing_and_says_how_far_and_how_late_the_value_was(opened: Opened, server: Server, job: str) -> None:
    page = opened.page
    page.fill("#annotator", "jo")
    page.click("#practise")
    opened.wait("phase === 'waiting'")
    page.mouse.move(*(page.locator("#bar").bounding_box()[side] + 20 for side in ("x", "y")))
    opened.wait("phase === 'tracing' && samples.length > 3")
    page.evaluate("samples = Array.from({ length: 400 }, (_, k) => [k / 20, target(k / 20 - 0.5)[0], 0]); stop()")
    assert "behind it. Nothing was saved." in page.inner_text("#saved") and "0.5 s" in page.inner_text("#saved")
    assert time(opened) == 0 and "jo" not in json.loads(server.get(f"jobs/{job}/annotations")[2])["traces"]


def test_a_late_start_and_missing_input_are_found_and_repaired(opened: Opened, server: Server, job: str) -> None:
    page = opened.page
    page.fill("#annotator", "kim")
    page.evaluate("document.querySelector('video').currentTime = 1")
    start(opened)
    box = page.locator("#bar").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 0.25 * box["height"])
    opened.wait("phase === 'tracing'")
    page.evaluate("input -= 5000")
    opened.wait("document.querySelector('#prompt').textContent.startsWith('No input for 5 s')")
    opened.wait("document.querySelector('video').currentTime > 1.8")
    page.keyboard.press("Space")
    opened.wait("document.querySelector('#gaps').innerText.includes('late start')")
    assert "no input" in page.inner_text("#gaps")
    page.click("#gaps button:has-text('Fill it')")
    opened.wait("!document.querySelector('#gaps').innerText.includes('late start')")
    found = trace(server, job, "kim")
    assert found.index[0] == 0 and found["valence"].iloc[:9].to_numpy() == pytest.approx(0.5, abs=0.02)
    page.click("#gaps button:has-text('Trace it')")  # the rest, to its end
    opened.wait("phase === 'waiting'")
    assert time(opened) > 1.5
    page.hover("#bar")
    opened.wait("phase === 'idle'", 20)
    opened.wait("!document.querySelector('#gaps').innerText.includes('early end')")


def test_the_part_that_is_suggested_is_rated_up_to_its_end(opened: Opened, server: Server, job: str) -> None:
    page = opened.page
    page.fill("#annotator", "lou")
    page.press("#annotator", "Tab")
    opened.wait("document.querySelector('#parts button') !== null")
    (part, *_) = [part for part in json.loads(server.get("next?annotator=lou&dimension=valence")[2]) if part["id"] == job]
    page.click("#parts button")
    assert page.evaluate("until") == part["end"] and "Ready at" in page.inner_text("#saved")
    assert "All recordings" in page.inner_text("#project")


def test_a_gamepad_moves_the_value(opened: Opened) -> None:
    page = opened.page
    page.fill("#annotator", "cy")
    page.select_option("#device", "gamepad")
    page.evaluate("navigator.getGamepads = () => [null, { axes: [0, 0.05] }]")
    start(opened)
    page.wait_for_timeout(300)
    assert time(opened) == 0
    page.evaluate("navigator.getGamepads = () => [null, { axes: [0, 0.8] }]")
    opened.wait("value < -0.5")


def test_without_a_name_nothing_is_traced(opened: Opened) -> None:
    opened.page.click("#play")
    opened.page.wait_for_timeout(300)
    assert opened.page.evaluate("phase === 'idle' && document.querySelector('video').paused")


@pytest.mark.parametrize(
    ("annotator", "body"),
    [
        ("..%2Fevil", {"dimension": "valence", "samples": [[0, 0], [1, 0]]}),
        ("model", {"dimension": "valence", "samples": [[0, 0], [1, 0]]}),
        ("ada", {"dimension": "joy_source", "samples": [[0, 0], [1, 0]]}),
        ("ada", {"dimension": "valence", "samples": [[0, 0], [1, 0]], "source": "filled"}),
        ("ada", {"dimension": "valence", "samples": [[1, 0], [0, 0]]}),
        ("ada", {"dimension": "valence", "samples": [[-1, 0]]}),
    ],
)
def test_what_is_no_annotation_is_refused(server: Server, job: str, annotator: str, body: dict) -> None:
    address = f"{server.address}jobs/{job}/annotations/{annotator}"
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST")
    before = sorted(server.folder.rglob("*"))
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request)
    assert raised.value.code in {400, 404, 422}
    assert sorted(server.folder.rglob("*")) == before


def test_what_does_not_play_can_not_be_annotated(server: Server, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "face.png")
    name = server.upload(tmp_path / "face.png")
    server.wait(name)
    with open_page(f"{server.address}jobs/{name}/annotate") as opened:
        opened.wait("document.querySelector('#complaints li') !== null")
        assert "Only video and audio" in opened.page.inner_text("#complaints") and not opened.complaints
