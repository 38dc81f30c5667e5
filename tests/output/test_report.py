import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import Opened, open_page
from vatrace.inference.explain import Explanation
from vatrace.inference.prediction import NOBODY, Prediction
from vatrace.media.recording import open_recording
from vatrace.media.transcripts import Word
from vatrace.output.figure import figure
from vatrace.output.report import embedded, summary, write_page


def prediction(steps: int = 30, source: Path = Path("<b>talk.srt")) -> Prediction:
    presence = {name: np.zeros(steps, bool) for name in ("face", "voice", "words")}
    presence["face"][steps // 3 :] = True
    times = np.arange(steps) / 10
    words = [Word("<script>", 0, 1), Word("end.", 1.5, 2)]
    return Prediction(source, 10.0, times, np.sin(times), np.cos(times), presence, words, ["a & b"])


def test_the_figure_draws_both_traces_and_the_presence_under_them() -> None:
    above, below = figure(prediction()).axes
    drawn = {line.get_label(): line.get_ydata() for line in above.lines}
    np.testing.assert_allclose(drawn["valence"][10:], np.sin(np.arange(10, 30) / 10))
    assert np.isnan(drawn["valence"][:10]).all()  # strong only where something was there
    (span,) = below.collections[0].get_paths()
    assert (span.vertices[:, 0].min(), span.vertices[:, 0].max()) == (1.0, 3.0)


def test_bands_are_said_to_be_intervals_and_faint_where_nothing_was_there() -> None:
    made = prediction()
    ends = np.stack([made.valence, made.arousal], axis=-1)
    above = figure(replace(made, bounds=(ends - 0.1, ends + 0.1))).axes[0]
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["valence", "arousal", "90 % interval"]
    strong, faint = (collection.get_alpha() for collection in above.collections[:2])
    assert strong > 3 * faint > 0
    assert [text.get_text() for text in figure(made).axes[0].get_legend().get_texts()] == ["valence", "arousal"]


def test_a_page_says_of_intervals_and_what_made_it_only_where_they_are_known(tmp_path: Path) -> None:
    made = prediction()
    ends = np.stack([made.valence, made.arousal], axis=-1)
    full = replace(made, bounds=(ends - 0.1, ends + 0.1), made_by={"vatrace": "1.0", "model": "a<b"})
    texts = []
    for one in (made, full):
        write_page(one, tmp_path / "a.html", "")
        texts.append((tmp_path / "a.html").read_text())
    assert ["Bands are 90 % intervals" in text for text in texts] == [False, True]
    assert ["Made by vatrace 1.0, model a&lt;b." in text for text in texts] == [False, True] and "Made by" not in texts[0]


def test_one_row_and_no_support_can_be_drawn_too(tmp_path: Path) -> None:
    single = prediction(1)
    figure(single).canvas.draw()
    single.presence["face"][:] = False
    nobody = figure(single)
    nobody.canvas.draw()
    assert [text.get_text() for text in nobody.axes[1].texts] == [NOBODY]
    assert summary(single).startswith("0.1 s")
    write_page(single, tmp_path / "a.html", "")
    with open_page(f"file://{tmp_path}/a.html") as opened:
        assert opened.page.locator("canvas").count() == 3 and not opened.complaints
        assert "no face, voice or words" in opened.page.inner_text("#values")


@pytest.fixture(scope="module")
def page(talking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 4 s of a real video, with a made-up trace."""
    rng = np.random.default_rng(0)
    shares = dict(zip(("face", "voice", "words"), rng.dirichlet([1, 1, 1], 40).T, strict=True))
    made = prediction(40, talking)
    ends = np.stack([made.valence, made.arousal], axis=-1)
    shares["voice"][20:] = np.nan
    boxes = np.tile([0.25, 0.5, 0.5, 0.75], (40, 1))
    boxes[30:] = np.nan
    made = replace(made, explanation=Explanation(shares, np.zeros((0, 40))), bounds=(ends - 0.2, ends + 0.2), boxes=boxes)
    path = tmp_path_factory.mktemp("page") / "talk.html"
    write_page(made, path, embedded(open_recording(talking)))
    return path


@pytest.fixture
def opened(page: Path) -> Iterator[Opened]:
    with open_page(f"file://{page}", viewport={"width": 1200, "height": 900}) as opened:
        yield opened
        assert not opened.complaints
        assert {request.partition(":")[0] for request in opened.requests} <= {"file", "data"}  # nothing leaves the machine
        assert len([request for request in opened.requests if request.startswith("file:")]) == 1


def values(opened: Opened) -> str:
    return opened.page.inner_text("#values")


def test_the_video_plays_in_the_page_and_the_traces_follow_it(opened: Opened) -> None:
    opened.wait("document.querySelector('video').readyState >= 2")
    assert opened.page.evaluate("document.querySelector('video').duration") > 3
    before = opened.page.evaluate("document.querySelector('.at').style.left")
    opened.page.evaluate("document.querySelector('video').muted = true")
    opened.page.keyboard.press("Space")
    opened.wait("document.querySelector('video').currentTime > 0.5")
    opened.page.keyboard.press("Space")
    assert opened.page.evaluate("document.querySelector('video').paused")
    assert opened.page.evaluate("document.querySelector('.at').style.left") != before
    time = opened.page.evaluate("document.querySelector('video').currentTime")
    assert f"{np.sin(np.floor(time * 10) / 10):+.2f}" in values(opened)


def test_a_click_on_a_trace_jumps_there(opened: Opened) -> None:
    box = opened.page.locator(".u-over").first.bounding_box()
    opened.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    assert opened.page.evaluate("document.querySelector('video').currentTime") == pytest.approx(2.0, abs=0.02)
    expected = [f"{np.sin(2.0):+.2f}", f"{np.cos(2.0):+.2f}".replace("-", "−"), f"{np.sin(2.0) - 0.2:+.2f}"]
    assert all(text in values(opened) for text in expected)


def test_the_face_has_a_box_while_it_is_seen(opened: Opened) -> None:
    page = opened.page
    assert "The box shows the face" in page.inner_text("body") and "A contribution is given only" in page.inner_text("body")
    video, box = page.locator("video").bounding_box(), page.locator("#face").bounding_box()
    shares = [(box["x"] - video["x"]) / video["width"], (box["y"] - video["y"]) / video["height"]]
    shares += [box["width"] / video["width"], box["height"] / video["height"]]
    assert shares == pytest.approx([0.25, 0.5, 0.25, 0.25], abs=0.02)
    page.evaluate("seek(3.5)")
    assert not page.is_visible("#face")


def test_shares_that_are_not_given_leave_the_others_in_their_place(opened: Opened) -> None:
    top = opened.page.evaluate("charts[3].data.slice(1).map(layer => layer[30])")  # words on top, then voice, then face
    shares = opened.page.evaluate("person.shares")
    assert shares["voice"][30] is None
    assert top == pytest.approx([shares["face"][30] + shares["words"][30], shares["face"][30], shares["face"][30]])


def test_keys_words_and_the_slider_move_in_time(opened: Opened) -> None:
    time = "document.querySelector('video').currentTime"
    opened.page.keyboard.press("ArrowRight")
    assert opened.page.evaluate(time) == pytest.approx(1.0, abs=0.01)
    assert opened.page.locator(".said").count() == 0  # it has just ended
    opened.page.get_by_text("end.").click()
    assert opened.page.evaluate(time) == pytest.approx(1.5, abs=0.01)
    assert opened.page.inner_text(".said") == "end."
    opened.page.focus("#time")
    opened.page.keyboard.press("Home")
    assert opened.page.evaluate(time) == 0


def test_dragging_zooms_all_charts(opened: Opened) -> None:
    box = opened.page.locator(".u-over").first.bounding_box()
    opened.page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 50)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 50, steps=5)
    opened.page.mouse.up()
    ranges = opened.page.evaluate("charts.map(chart => [chart.scales.x.min, chart.scales.x.max])")
    np.testing.assert_allclose(ranges, [[1, 2]] * 4, atol=0.02)
    assert opened.page.evaluate("document.querySelector('video').currentTime") == 0
    opened.page.mouse.dblclick(box["x"] + box["width"] * 0.5, box["y"] + 50)
    assert opened.page.evaluate("charts[3].scales.x.max") == pytest.approx(4)


def test_names_and_words_are_shown_as_they_are(tmp_path: Path) -> None:
    write_page(prediction(), tmp_path / "a.html", "")
    with open_page(f"file://{tmp_path}/a.html") as opened:
        assert opened.page.inner_text("h1") == "<b>talk.srt"
        assert "<script>" in opened.page.inner_text(".transcript")
        assert "a & b" in opened.page.inner_text("body") and not opened.complaints
        assert opened.page.locator("video, audio").count() == 0
        opened.page.focus("#time")
        opened.page.keyboard.press("End")
        assert "0:03.0" in values(opened)


def test_a_word_that_would_end_the_script_does_not(tmp_path: Path) -> None:
    ended = replace(prediction(), notes=["</script><script>alert(1)</script>"], words=[Word("</script>", 0, 1)])
    write_page(ended, tmp_path / "a.html", "")
    with open_page(f"file://{tmp_path}/a.html") as opened:
        assert "</script>" in opened.page.inner_text(".transcript") and not opened.complaints


def test_long_traces_are_thinned_for_drawing_and_load_at_once(tmp_path: Path) -> None:
    write_page(prediction(18_000), tmp_path / "a.html", "")
    with open_page(f"file://{tmp_path}/a.html") as opened:
        view = json.loads(opened.page.inner_text("#view") or opened.page.text_content("#view"))
        (drawn,) = (person["trace"] for person in view["people"])
        assert 1000 < len(view["time"]) <= 4000
        np.testing.assert_allclose(drawn["valence"], np.sin(np.arange(18_000) / 10).reshape(-1, 5).mean(axis=1), atol=6e-4)
        assert not opened.complaints


def test_on_paper_the_picture_stands_for_the_charts(page: Path) -> None:
    with open_page(f"file://{page}") as opened:
        assert not opened.page.is_visible(".picture") and opened.page.is_visible("#charts")
        opened.page.emulate_media(media="print")
        assert opened.page.is_visible(".picture") and not opened.page.is_visible("#charts")
        assert not opened.page.is_visible("video")


def test_it_is_dark_where_the_system_is(page: Path) -> None:
    with open_page(f"file://{page}", color_scheme="dark") as opened:
        dark = np.asarray(Image.open(io.BytesIO(opened.page.screenshot()))).mean()
        opened.page.emulate_media(color_scheme="light")
        light = np.asarray(Image.open(io.BytesIO(opened.page.screenshot()))).mean()
        assert dark < 90 and light > 160 and not opened.complaints
