from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageColor

from made_people import composed
from vatrace.errors import MediaError
from vatrace.inference.prediction import Prediction
from vatrace.media.reading import VideoReader
from vatrace.media.recording import open_recording
from vatrace.media.transcripts import Word
from vatrace.output.colours import DARK
from vatrace.output.naming import speakers
from vatrace.output.overlay import LOW_STRIP, SPAN, STRIP, TURNS, WORDS, draw_strip, draw_turns, draw_words, write_overlay


def made(source: Path) -> Prediction:
    """4 s with a valence of 1 in the last two, and a face from 1 s on."""
    times = np.arange(40) / 10
    presence = {name: (times >= 1) & (name == "face") for name in ("face", "voice", "words")}
    return Prediction(source, 10.0, times, np.where(times < 2, 0.0, 1.0), np.full(40, -0.5), presence)


def test_the_overlay_shows_the_recording_above_its_trace(talking: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.overlay.mp4"
    write_overlay(made(talking), open_recording(talking), path)
    with av.open(str(path)) as film, av.open(str(talking)) as original:
        width, height = original.streams.video[0].width, original.streams.video[0].height
        assert film.streams.video[0].width == width // 2 * 2
        assert film.streams.video[0].height == pytest.approx(height + STRIP * width, abs=2)
        assert float(film.duration / 1e6) == pytest.approx(float(original.duration / 1e6), abs=0.2)
        assert film.streams.audio
    above = np.asarray(next(iter(VideoReader(path, 1))).image, np.float64)[:height, :width]
    assert abs(above - np.asarray(next(iter(VideoReader(talking, 1))).image)[:, : above.shape[1]]).mean() < 6


def test_the_face_that_is_followed_has_a_box(talking: Path, tmp_path: Path) -> None:
    boxes = np.full((40, 4), np.nan)
    boxes[20:] = [0.25, 0.25, 0.75, 0.75]
    path = tmp_path / "a.overlay.mp4"
    write_overlay(replace(made(talking), boxes=boxes), open_recording(talking), path)
    frames = {frame.time: np.asarray(frame.image, np.float64) for frame in VideoReader(path, 2)}
    edges = {time: image[40:104, 45:52].mean(axis=0) for time, image in frames.items()}  # around x = 48 of 192
    greenish = {time: (edge[:, 1] - edge[:, 0]).max() > 32 for time, edge in edges.items()}  # 19 without a box, 44 with it
    assert greenish == {time: time >= 2 for time in frames}


def test_the_strip_is_empty_where_nothing_supports_the_values() -> None:
    strip = np.asarray(draw_strip(made(Path("talk.mp4")), time=3.5, width=800), np.float64)
    blue = (strip[:, :, 2] > 150) & (strip[:, :, 0] < 130)
    place = {time: 400 + round((time - 3.5) * 800 / SPAN) for time in (0.5, 1.5, 3.0)}
    assert not blue[:, place[0.5]].any()
    rows = [np.flatnonzero(blue[:, place[time]]).mean() / len(strip) for time in (1.5, 3.0)]
    assert rows == pytest.approx([0.5, 0.03], abs=0.02)  # 0 is in the middle, 1 at the top


def test_an_overlay_needs_video_or_audio(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "still.png")
    (tmp_path / "talk.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    for name in ("still.png", "talk.srt"):
        with pytest.raises(MediaError, match=f"{name}: an overlay needs a video or audio file"):
            write_overlay(made(tmp_path / name), open_recording(tmp_path / name), tmp_path / "a.mp4")


def near(image: np.ndarray, name: str) -> np.ndarray:
    """Which pixels have a colour of the overlay, after compression."""
    return np.asarray(abs(image.astype(float) - ImageColor.getrgb(DARK[name])).max(axis=-1) < 45)


def test_every_face_has_a_box_in_its_colour_and_that_of_the_speaker_is_thicker(talking: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.overlay.mp4"
    write_overlay(composed(3, talking, 40), open_recording(talking), path)
    frames = {round(frame.time, 1): np.asarray(frame.image) for frame in VideoReader(path, 2)}
    height, width = 144, 192
    assert len(frames[0.5]) == pytest.approx(
        height + 3 * round(width * LOW_STRIP) + round(width * TURNS) + round(width * WORDS), abs=1
    )
    for time, speaker in ((0.5, 1), (1.5, 2), (2.5, 3)):
        found = [int(near(frames[time][:height], f"person-{number}").sum()) for number in (1, 2, 3)]
        assert min(found) > 20 and int(np.argmax(found)) + 1 == speaker


def test_more_people_than_fit_leave_the_strip_to_the_first(talking: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.overlay.mp4"
    write_overlay(composed(5, talking, 20), open_recording(talking), path)
    height = next(iter(VideoReader(path, 1))).image.height
    assert height == pytest.approx(144 + round(192 * LOW_STRIP) + round(192 * TURNS) + round(192 * WORDS), abs=1)


def test_the_strip_shows_what_is_detected() -> None:
    for time in (0.5, 3.0):
        corner = np.asarray(draw_strip(made(Path("talk.mp4")), time, width=800))[:30, 500:]
        shown = {name: bool(near(corner, name).sum() > 50) for name in ("face", "voice", "words")}
        assert shown == {"face": time >= 1, "voice": False, "words": False}


def test_the_row_of_words_emphasises_the_one_that_is_spoken() -> None:
    words = [Word("It", 0.0, 0.5), Word("was", 0.5, 1.0), Word("good.", 1.0, 1.5), Word("Then", 8.0, 9.0)]
    drawn = {time: np.asarray(draw_words(words, time, width=800)) for time in (0.2, 1.2, 5.0, 8.5)}
    bright = {time: np.flatnonzero(near(row, "ink").any(axis=0)) for time, row in drawn.items()}
    assert bright[0.2].max() < bright[1.2].min()  # from left to right
    assert not bright[5.0].size and len(bright[8.5]) > 20
    long = [Word("endless", second, second + 1) for second in range(60)]
    assert near(np.asarray(draw_words(long, 40.5, width=800)), "ink").any()  # the word that is spoken is always visible


def test_the_row_of_turns_shows_who_speaks_when() -> None:
    made = composed(3)
    row = np.asarray(draw_turns(made, speakers(made), time=2.5, width=800))
    for turn in made.turns[:3]:
        place = 400 + round((turn.start + 0.1 - 2.5) * 800 / SPAN)
        assert near(row[:, place], f"person-{turn.person}").all()
    off_screen, several = (row[:, 400 + round((start + 0.1 - 2.5) * 800 / SPAN) :][:, :20] for start in (3, 4))
    assert near(off_screen, "soft").mean() > 0.6 > near(several, "soft").mean() > 0
    assert near(row[:, 600:], "panel").all()  # nobody speaks
