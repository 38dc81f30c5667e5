import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import Opened, open_page
from made_people import composed
from vatrace.inference.explain import Explanation
from vatrace.inference.prediction import Prediction, Turn, renamed
from vatrace.media.recording import open_recording
from vatrace.media.transcripts import Word
from vatrace.output.report import embedded, summary, write_page


def prediction(steps: int = 30, source: Path = Path("<b>talk.srt")) -> Prediction:
    presence = {name: np.zeros(steps, bool) for name in ("face", "voice", "words")}
    presence["face"][steps // 3 :] = True
    times = np.arange(steps) / 10
    words = [Word("<script>", 0, 1), Word("end.", 1.5, 2)]
    return Prediction(source, 10.0, times, np.sin(times), np.cos(times), presence, words, ["a & b"])


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


def test_one_row_and_no_support_have_a_page_too(tmp_path: Path) -> None:
    single = prediction(1)
    single.presence["face"][:] = False
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


@pytest.fixture(scope="module")
def crowd(talking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 5 s of three people, who were made up."""
    path = tmp_path_factory.mktemp("crowd") / "talk.html"
    write_page(composed(3, talking, 50), path, embedded(open_recording(talking)))
    return path


@pytest.fixture(params=[("light", 1400), ("dark", 420)], ids=["light and wide", "dark and narrow"])
def crowded(crowd: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    scheme, width = request.param
    with open_page(f"file://{crowd}", viewport={"width": width, "height": 900}, color_scheme=scheme) as opened:
        yield opened
        assert not opened.complaints
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def shown(opened: Opened) -> dict[str, object]:
    """Whose trace, numbers and tinted words are shown."""
    page = opened.page
    tinted = """[...document.querySelectorAll(".transcript p")].filter(line => [...line.querySelectorAll("span")].some(
        word => getComputedStyle(word).backgroundColor !== "rgba(0, 0, 0, 0)")
    ).map(line => line.querySelector("b").textContent)"""
    return {
        "pressed": page.locator(".pick[aria-pressed=true]").all_inner_texts(),
        "trace": set(page.evaluate("charts[0].data[1]")),
        "titles": [title.split(" of ")[-1] for title in page.locator(".chart h2").all_inner_texts()[:2]],
        "path": page.evaluate(
            "[...document.querySelectorAll('.circumplex g')].map(path => getComputedStyle(path).display !== 'none')"
        ),
        "numbers": next(title for title in page.locator("h3").all() if title.is_visible()).inner_text(),
        "tinted": page.evaluate(tinted),
        "chosen face": page.locator("button.face.chosen b").all_inner_texts(),
    }


def of_person(number: int) -> dict[str, object]:
    name = f"Person {number}"
    return {
        "pressed": [name],
        "trace": {number / 10},
        "titles": [name, name],
        "path": [number == other for other in (1, 2, 3)],
        "numbers": name,
        "tinted": [name],
        "chosen face": [str(number)],
    }


def test_buttons_faces_and_keys_choose_the_person_who_is_shown(crowded: Opened) -> None:
    page = crowded.page
    crowded.wait("document.querySelector('video').readyState >= 1")
    assert shown(crowded) == of_person(1)
    page.click("button:text-is('Person 2')")
    assert shown(crowded) == of_person(2)
    assert values(crowded).splitlines()[:3] == ["person 2", "time 0:00.0", "valence +0.20"]
    page.locator("button.face").nth(2).click(position={"x": 20, "y": 30})
    assert shown(crowded) == of_person(3)
    page.keyboard.press("1")
    assert shown(crowded) == of_person(1)
    page.keyboard.press("4")  # nobody
    assert shown(crowded) == of_person(1)
    page.focus("button:text-is('Person 1')")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert shown(crowded) == of_person(2)
    page.keyboard.press("ArrowRight")  # from a button too
    assert page.evaluate("now()") == pytest.approx(1, abs=0.01)


def test_a_clicked_button_leaves_the_space_bar_to_the_player(crowded: Opened) -> None:
    crowded.wait("document.querySelector('video').readyState >= 2")
    crowded.page.evaluate("document.querySelector('video').muted = true")
    crowded.page.click("button:text-is('Person 2')")
    crowded.page.keyboard.press("Space")
    crowded.wait("document.querySelector('video').currentTime > 0.1")
    assert shown(crowded) == of_person(2)


def test_another_person_is_shown_at_the_same_time_and_zoom(crowded: Opened) -> None:
    crowded.page.evaluate("charts.forEach(chart => chart.setScale('x', { min: 1, max: 2 }))")
    crowded.page.evaluate("seek(1.5)")
    crowded.page.keyboard.press("3")
    crowded.wait("charts.every(chart => chart.scales.x.min === 1 && chart.scales.x.max === 2)")
    assert crowded.page.evaluate("now()") == pytest.approx(1.5, abs=0.01)


def test_every_face_has_its_box_and_the_one_who_speaks_stands_out(crowded: Opened) -> None:
    page = crowded.page
    video = page.locator("video").bounding_box()
    for index in range(3):
        box = page.locator("button.face").nth(index).bounding_box()
        assert (box["x"] - video["x"]) / video["width"] == pytest.approx(index / 3 + 0.02, abs=0.02)
        assert box["width"] / video["width"] == pytest.approx(0.8 / 3 - 0.02, abs=0.02)
    borders = "[...document.querySelectorAll('.face')].map(face => getComputedStyle(face).borderTopColor)"
    assert len(set(page.evaluate(borders))) == 3
    for time, speaker in ((0.5, "1"), (1.5, "2"), (3.5, None), (4.5, None)):
        page.evaluate(f"seek({time})")
        assert page.locator(".face.speaks b").all_inner_texts() == ([speaker] if speaker else [])
    assert values(crowded).splitlines()[-1] == "speaker several people"


def test_who_speaks_is_drawn_in_the_colours_of_the_people(crowded: Opened) -> None:
    assert crowded.page.locator(".chart h2").all_inner_texts()[2] == "Who speaks"
    pixels = """(() => {
        const u = charts[2], { width, height } = u.ctx.canvas, all = u.ctx.getImageData(0, 0, width, height).data;
        return view.turns.map(([start, end, row]) => {
            const kinds = new Set(), middle = Math.round(u.valToPos((start + end) / 2, "x", true));
            const line = Math.round(u.valToPos(view.speakers.length - 1 - row, "y", true));
            for (let y = line - 3; y < line + 3; y++) for (let x = middle - 8; x < middle + 8; x++) {
                kinds.add(all.slice(4 * (y * width + x), 4 * (y * width + x) + 4).join());
            }
            return [...kinds];
        });
    })()"""
    *plain, hatched = crowded.page.evaluate(pixels)
    assert [len(kinds) for kinds in plain] == [1] * 4 and len({kinds[0] for kinds in plain}) == 4
    assert len(hatched) > 1
    assert crowded.page.evaluate("view.speakers.map(({ title }) => title)") == [
        *("Person 1", "Person 2", "Person 3", "off screen", "several")
    ]


def test_the_transcript_names_who_says_each_sentence(crowded: Opened) -> None:
    lines = crowded.page.locator(".transcript p").all_inner_texts()
    assert lines == [
        *("0:00 Person 1 word 1.", "0:01 Person 2 word 2.", "0:02 Person 3 word 3.", "0:03 off screen word off screen.")
    ]
    crowded.page.get_by_text("2.", exact=True).click()
    assert crowded.page.evaluate("now()") == pytest.approx(1.5, abs=0.01)


def test_words_of_a_person_outside_every_turn_are_kept(tmp_path: Path) -> None:
    made = composed(2)
    write_page(replace(made, words=[*made.words, Word("late.", 3.5, 3.9)]), tmp_path / "a.html", "")
    with open_page(f"file://{tmp_path}/a.html") as opened:
        assert opened.page.locator(".transcript p").all_inner_texts()[-1] == "0:03 Person 1 late."


def test_one_person_whom_nobody_interrupts_has_the_page_of_one(tmp_path: Path) -> None:
    alone = replace(prediction(), turns=[Turn(0, 2, "1", tuple(prediction().words))])
    pages = []
    for made in (replace(alone, turns=[]), alone):
        write_page(made, tmp_path / "a.html", "")
        pages.append((tmp_path / "a.html").read_text())
    assert pages[0] == pages[1] and 'class="pick' not in pages[0]
    write_page(replace(alone, turns=[*alone.turns, Turn(2, 3, "off screen")]), tmp_path / "a.html", "")
    with open_page(f"file://{tmp_path}/a.html") as opened:
        assert opened.page.locator(".chart h2").all_inner_texts() == [
            *("Valence of Person 1", "Arousal of Person 1", "Who speaks", "Detected for Person 1")
        ]
        assert opened.page.locator(".pick").count() == 0
        assert opened.page.locator("#values").inner_text().startswith("person 1\n")


def test_names_of_people_and_notes_of_one_are_shown_as_they_are(tmp_path: Path) -> None:
    made = replace(composed(2), notes=["both", "first"])
    made = replace(made, others=(replace(made.others[0], notes=["both", "second"]),))
    write_page(renamed(made, {"1": "<b>Zoe", "2": "</script>"}), tmp_path / "a.html", "")
    with open_page(f"file://{tmp_path}/a.html") as opened:
        assert opened.page.locator(".pick").all_inner_texts() == ["<b>Zoe", "</script>"]
        opened.page.keyboard.press("2")
        assert "</script>" in values(opened) and "</script>" in opened.page.locator(".chart h2").first.inner_text()
        assert opened.page.locator("ul.notes li").all_inner_texts() == ["both", "<b>Zoe: first", "</script>: second"]
        assert not opened.complaints


def test_the_data_of_eight_people_over_two_hours_stay_small(tmp_path: Path) -> None:
    write_page(composed(8, steps=72_000), tmp_path / "a.html", "")
    with open_page(f"file://{tmp_path}/a.html") as opened:
        text = opened.page.text_content("#view")
        view = json.loads(text)
        assert 900 < len(view["time"]) == len(view["people"][7]["trace"]["valence"]) <= 1000
        assert 15_000 < sum(len(person["boxes"]["rows"]) for person in view["people"]) <= 20_000
        assert len(text) < 1_000_000 and not opened.complaints


def test_the_line_about_several_people_is_about_the_first() -> None:
    assert summary(composed(3)).startswith("5.0 s, 3 people, Person 1, valence +0.10")
