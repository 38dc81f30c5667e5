from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from conftest import write_movie
from signals import grey, level, onset, tone
from vatrace.media.reading import AudioReader, VideoReader
from vatrace.media.recording import open_recording
from vatrace.media.writing import PREVIEW_SIDE, images_at, preview_type, write_preview, write_video


def heard(path: Path) -> NDArray[np.float32]:
    return np.concatenate(list(AudioReader(path, 1.0)))


def test_a_video_has_its_frames_and_its_audio_at_their_times(tmp_path: Path) -> None:
    audio = tone(1.0, 3.0)
    images = [grey(40 if index < 15 else 200, (65, 49)) for index in range(45)]
    write_video(tmp_path / "a.mp4", iter(images), 15, np.split(audio, 6))
    levels = [(frame.time, level(frame.image)) for frame in VideoReader(tmp_path / "a.mp4", 15)]
    assert len(levels) == 45
    assert next(time for time, value in levels if value > 120) == pytest.approx(1.0, abs=1e-3)
    assert onset(heard(tmp_path / "a.mp4")) == pytest.approx(1.0, abs=0.02)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (64, 48)


def test_frames_and_audio_lie_side_by_side_in_the_file(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", (grey(index * 2) for index in range(120)), 10, [tone(0, 12)])
    with av.open(str(tmp_path / "a.mp4")) as container:
        order = [(packet.stream.type, float(packet.pts * packet.time_base)) for packet in container.demux() if packet.size]
    assert {kind for kind, _ in order} == {"video", "audio"}
    latest = {"video": 0.0, "audio": 0.0}
    for kind, time in order:
        latest[kind] = max(latest[kind], time)
        assert abs(latest["video"] - latest["audio"]) < 5


@pytest.mark.parametrize("suffix", ["mp4", "avi", "webm"])
def test_a_preview_is_small_plays_anywhere_and_keeps_time(tmp_path: Path, suffix: str) -> None:
    images = [grey(40 if index < 25 else 200, (800, 400)) for index in range(50)]
    source = write_movie(tmp_path / f"a.{suffix}", images, sound=tone(1.0, 2.0))
    write_preview(open_recording(source), tmp_path / "preview.mp4")
    with av.open(str(tmp_path / "preview.mp4")) as container:
        picture = container.streams.video[0]
        assert picture.codec_context.name == "h264" and max(picture.width, picture.height) == PREVIEW_SIDE
        assert container.streams.audio[0].codec_context.name == "aac"
    first = next(frame for frame in VideoReader(tmp_path / "preview.mp4", 15) if level(frame.image) > 120)
    assert first.time == pytest.approx(1.0, abs=1 / 15)
    assert onset(heard(tmp_path / "preview.mp4")) == pytest.approx(onset(heard(source)), abs=0.03)


def test_frames_that_start_late_are_black_until_then(tmp_path: Path) -> None:
    source = write_movie(tmp_path / "a.mkv", [grey(200)] * 10, times=[2 + index / 10 for index in range(10)], sound=tone(0, 3))
    write_preview(open_recording(source), tmp_path / "preview.mp4")
    levels = {round(frame.time, 2): level(frame.image) for frame in VideoReader(tmp_path / "preview.mp4", 5)}
    assert levels[1.0] < 40 and levels[2.4] > 150


def test_audio_and_frames_alone_have_previews_too(tmp_path: Path) -> None:
    info = open_recording(write_movie(tmp_path / "audio.mp4", sound=tone(0.5, 1)))
    write_preview(info, tmp_path / "copy")
    assert preview_type(info) == "audio/mp4" and (tmp_path / "copy").read_bytes()[4:8] == b"ftyp"
    grey(200, (1000, 500)).save(tmp_path / "still.png")
    write_preview(open_recording(tmp_path / "still.png"), tmp_path / "copy")
    with Image.open(tmp_path / "copy") as copy:
        assert preview_type(open_recording(tmp_path / "still.png")) == "image/jpeg" == copy.get_format_mimetype()
        assert copy.size == (PREVIEW_SIDE, PREVIEW_SIDE // 2)


def test_a_preview_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[float] = []
    write_preview(open_recording(write_movie(tmp_path / "a.mp4", [grey(100)] * 50)), tmp_path / "b.mp4", told.append)
    assert told == sorted(told) and told[0] < 0.1 and told[-1] > 0.9


def test_images_at_a_rate_show_each_step_once_and_change_no_size(tmp_path: Path) -> None:
    times = [0.5, 0.6, 1.0]
    recording = open_recording(write_movie(tmp_path / "a.mkv", [grey(60), grey(120), grey(200)], times, sound=tone(0, 2)))
    images = list(images_at(recording, 10, 64, lambda share: None))
    assert [level(image) for image in images[:11]] == pytest.approx([0] * 5 + [60] + [120] * 4 + [200], abs=4)
    assert {image.size for image in images} == {(64, 48)}
