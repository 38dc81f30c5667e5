"""Pictures as real recordings have them, one test for each kind: what a player shows is what counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from conftest import write_movie
from vatrace import Model, Prediction
from vatrace.corpora import open_corpus
from vatrace.media.reading import VideoReader
from vatrace.media.recording import frame_times

RATE = 25
CLOSE = 0.05
"""What valence and arousal may differ by between two files of the same scene."""


def clip(shared: Path, name: str) -> list[Image.Image]:
    """A GRID speaker, 3 s."""
    return [frame.image for frame in VideoReader(shared / "clips" / f"{name}.mpg", RATE)]


def predicted(model: Model, path: Path) -> Prediction:
    return model.predict(path, modalities=["face"])


def assert_alike(one: Prediction, other: Prediction) -> None:
    assert abs(one.valence.mean() - other.valence.mean()) < CLOSE
    assert abs(one.arousal.mean() - other.arousal.mean()) < CLOSE


def has_note(prediction: Prediction, text: str) -> bool:
    return any(text in note for note in prediction.notes)


@pytest.mark.parametrize("names", [("bbaf2n", "sbia1a"), ("lrwp9a", "lbax4n"), ("pwij3p", "brbk7n")])
def test_a_cut_between_two_speakers_of_one_studio(tmp_path: Path, model: Model, shared: Path, names: tuple[str, str]) -> None:
    """Each keeps their own trace: the whole cut film, in which the first is longer, follows the first and leaves the second
    out."""
    first, second = (clip(shared, name) for name in names)
    path = write_movie(tmp_path / "cut.mp4", first + second[:50])
    prediction = predicted(model, path)
    assert has_note(prediction, "2 people seen")
    present = prediction.presence["face"]
    assert present[:30].all() and not present[31:].any()


@pytest.mark.parametrize("away", [10, 40])
def test_a_head_that_turns_and_a_person_who_leaves_and_returns(tmp_path: Path, model: Model, shared: Path, away: int) -> None:
    source = shared / "real" / "closeup_moving_head.mp4"
    images = [frame.image.resize((256, 256)) for frame in VideoReader(source, 10)]
    empty = [Image.new("RGB", (256, 256), (90, 80, 70))] * away
    path = write_movie(tmp_path / "returns.mp4", images[:40] + empty + images[40:], frame_rate=10)
    prediction = predicted(model, path)
    assert not has_note(prediction, "people seen")
    present = prediction.presence["face"]
    assert present[:40].all() and present[40 + away :].all() and not present[41 : 39 + away].any()


Camera = Callable[[int], tuple[float, ...]]
CAMERAS: dict[str, Camera] = {
    "at rest": lambda step: (1, 0, 0, 0, 1, 0),
    "pans": lambda step: (1, 0, 25 * np.sin(step / 12), 0, 1, 8 * np.sin(step / 12)),
    "zooms": lambda step: (1 / (1 + 0.004 * step), 0, step, 0, 1 / (1 + 0.004 * step), step / 2),
}


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("names", [("swiz3n", "bbaf2n"), ("lbbc2a", "lwbsza")])
def test_a_photograph_on_the_wall(tmp_path: Path, model: Model, shared: Path, names: tuple[str, str], camera: str) -> None:
    """A larger face that never moves, or of which that is uncertain, is noted; the trace is that of the speaker alone."""
    photograph, speaker = clip(shared, names[0])[0].resize((480, 384)), clip(shared, names[1])
    alone, both = [], []
    for step, image in enumerate(speaker):
        for images, has_photograph in ((alone, False), (both, True)):
            scene = Image.new("RGB", (840, 400), (120, 110, 100))
            if has_photograph:
                scene.paste(photograph, (0, 8))
            scene.paste(image, (480, 60))
            images.append(scene.transform(scene.size, Image.Transform.AFFINE, CAMERAS[camera](step), Image.Resampling.BICUBIC))
    prediction = predicted(model, write_movie(tmp_path / "both.mp4", both))
    certain = has_note(prediction, "one face was not followed: it never moves")
    assert certain or (camera == "zooms" and has_note(prediction, "person 2 hardly moves"))
    assert_alike(prediction, predicted(model, write_movie(tmp_path / "alone.mp4", alone)))


def test_a_photograph_alone_is_followed_with_a_note_and_a_still_without(tmp_path: Path, model: Model, shared: Path) -> None:
    photograph = clip(shared, "bbaf2n")[0]
    film = predicted(model, write_movie(tmp_path / "still.mp4", [photograph] * 75))
    assert film.presence["face"].all() and has_note(film, "never moves")
    photograph.save(tmp_path / "still.png")
    assert not has_note(predicted(model, tmp_path / "still.png"), "never moves")
    assert not has_note(predicted(model, shared / "real" / "closeup_moving_head.mp4"), "never moves")


ONE, W = 1 << 16, 1 << 30
SIDEWAYS = {  # how a camera stored the picture, and the display matrix that it wrote for it
    "turned": (Image.Transpose.ROTATE_90, (0, ONE, 0, -ONE, 0, 0, 288 * ONE, 0, W)),
    "mirrored": (Image.Transpose.FLIP_LEFT_RIGHT, (-ONE, 0, 0, 0, ONE, 0, 360 * ONE, 0, W)),
    "turned and mirrored": (Image.Transpose.TRANSPOSE, (0, ONE, 0, ONE, 0, 0, 0, 0, W)),
}


@pytest.mark.parametrize("stored", SIDEWAYS)
def test_phones_and_front_cameras(tmp_path: Path, model: Model, shared: Path, stored: str) -> None:
    images = clip(shared, "lrwp9a")
    change, matrix = SIDEWAYS[stored]
    path = write_movie(tmp_path / "phone.mp4", [image.transpose(change) for image in images])
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)
    upright = write_movie(tmp_path / "upright.mp4", images)
    shown, right = (next(iter(VideoReader(name, 10))).image for name in (path, upright))
    assert shown.size == right.size
    assert np.abs(np.asarray(shown, float) - np.asarray(right, float)).mean() < 4
    assert_alike(predicted(model, path), predicted(model, upright))


def pq(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084, for light in shares of a white of 203 cd/m2."""
    power = (light * 203 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """ARIB STD-B67 for a screen of 1000 cd/m2 with white at 203."""
    nits = light * 0.203
    luminance = np.maximum(nits @ np.array([0.2627, 0.6780, 0.0593]), 1e-6)[..., None]
    scene = nits * luminance ** (1 / 1.2 - 1)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    )


def screen(light: NDArray[np.float64]) -> NDArray[np.float64]:
    return light ** (1 / 2.4)


TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


@pytest.mark.parametrize(("transfer", "encode"), [(16, pq), (18, hlg), (14, screen)])
@pytest.mark.parametrize("name", ["lwbsza", "bbaf2n"])
def test_hdr_and_wide_gamut_video(
    tmp_path: Path,
    model: Model,
    shared: Path,
    name: str,
    transfer: int,
    encode: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> None:
    """The same scene in PQ, HLG and BT.2020 of ten bits as in BT.709 of eight (ITU-R BT.2087 and BT.2408)."""
    images = clip(shared, name)[::2]
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "12", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 360, 288, "yuv444p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, transfer, 1
        for index, image in enumerate(images):
            light = (np.asarray(image) / 255) ** 2.4 @ TO_2020.T
            red, green, blue = np.moveaxis(encode(light), -1, 0)
            luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
            planes = (64 + 876 * luma, 512 + 896 * (blue - luma) / 1.8814, 512 + 896 * (red - luma) / 1.4746)
            frame = av.VideoFrame(360, 288, "yuv444p10le")
            for plane, values in zip(frame.planes, planes, strict=True):
                rows = np.zeros((288, plane.line_size // 2), "<u2")
                rows[:, :360] = np.round(values)
                plane.update(rows.tobytes())
            frame.colorspace, frame.color_range = 9, 1
            frame.pts, frame.time_base = 2 * index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    plain = write_movie(tmp_path / "plain.mp4", images, [2 * index / RATE for index in range(len(images))])
    assert_alike(predicted(model, path), predicted(model, plain))


@pytest.mark.parametrize(
    ("other", "size", "other_rate"), [("slides", (640, 360), 1), ("thumbnail", (32, 24), 25), ("preview", (160, 128), 25)]
)
@pytest.mark.parametrize("flagged", [True, False])
def test_a_second_video_track_before_the_camera(
    tmp_path: Path, model: Model, shared: Path, other: str, size: tuple[int, int], other_rate: int, flagged: bool
) -> None:
    images = clip(shared, "bbaf2n")
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for width, height, rate in ((*size, other_rate), (360, 288, RATE)):
            stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        if flagged:
            streams[0].disposition, streams[1].disposition = 0, 1
        for number, stream in enumerate(streams):
            rate = (other_rate, RATE)[number]
            shown = images if number else [Image.new("RGB", size, (128, 128, 128))] * (3 * other_rate)
            for index, image in enumerate(shown):
                frame = av.VideoFrame.from_image(image)
                frame.pts, frame.time_base = index, Fraction(1, rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    prediction = predicted(model, path)
    assert has_note(prediction, "2 video tracks: number 2 was used (360 x 288")
    assert_alike(prediction, predicted(model, write_movie(tmp_path / "one.mkv", images)))


def repeated_stamps(path: Path, images: Sequence[Image.Image]) -> Path:
    """Every tenth frame has the time of the one before."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *images[0].size, "yuvj420p"
        for index, image in enumerate(images):
            packets = stream.encode(av.VideoFrame.from_image(image))
            for packet in packets:
                packet.pts = packet.dts = 40 * (index - (index % 10 == 9))
                packet.time_base = Fraction(1, 1000)
            container.mux(packets)
    return path


def cut_broadcast(path: Path, images: Sequence[Image.Image]) -> Path:
    """A transport stream whose beginning is missing up to the middle of a group of frames."""
    whole = path.with_name("whole.ts")
    with av.open(str(whole), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"x264-params": "keyint=30:scenecut=0"})
        stream.width, stream.height, stream.pix_fmt = *images[0].size, "yuv420p"
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = whole.read_bytes()
    packets = len(data) // 188
    path.write_bytes(data[packets // 6 * 188 :])
    return path


@pytest.mark.parametrize(("make", "name"), [(repeated_stamps, "video1.mkv"), (cut_broadcast, "video1.ts")])
def test_row_k_of_an_annotation_is_of_the_kth_decoded_frame(
    tmp_path: Path, make: Callable[[Path, Sequence[Image.Image]], Path], name: str
) -> None:
    grain = Image.effect_noise((96, 64), 60).convert("RGB").filter(ImageFilter.GaussianBlur(1))
    images = [Image.blend(grain, Image.new("RGB", (96, 64), (index, index, index)), 0.7) for index in range(20, 220, 2)]
    (tmp_path / "batch1").mkdir()
    labels = tmp_path / "VA_Estimation_Challenge" / "Train_Set"
    labels.mkdir(parents=True)
    video = make(tmp_path / "batch1" / name, images)
    with av.open(str(video)) as container:  # as OpenCV and others count
        light = [float(np.asarray(frame.to_image().convert("L")).mean()) for frame in container.decode(video=0)]
    rows = np.array(light) / 255
    labels.joinpath("video1.txt").write_text(
        "valence,arousal\n" + "".join(f"{value:.6f},0.1\n" for value in rows), encoding="utf-8"
    )
    times = frame_times(video)
    assert len(times) == len(light) and (np.diff(times) >= 0).all()
    corpus = open_corpus(tmp_path)
    (source,) = corpus.sources
    (annotation,) = corpus.annotations(source, times)
    frames = [(frame.steps, np.asarray(frame.image.convert("L")).mean() / 255) for frame in VideoReader(video, RATE)]
    shown = {step: level for inside, level in frames for step in inside}
    steps = np.round(annotation.times * RATE).astype(int)
    last = [index for index, (now, then) in enumerate(pairwise([*steps, -1])) if now != then]  # of frames of one time
    assert len(last) > 60
    for index in last:
        assert annotation.values[index, 0] == pytest.approx(shown[steps[index]], abs=0.002)
    reader = VideoReader(video, RATE)
    assert list(reader) and np.array_equal(np.array(reader.times), times)


@pytest.mark.parametrize("change", ["half", "dark", "bright", "gamma"])
@pytest.mark.parametrize("name", ["lwbsza", "swiz3n"])
def test_brightness_alone(tmp_path: Path, model: Model, shared: Path, name: str, change: str) -> None:
    """The two clips that changed most: by 0.21 and 0.14 before the brightness of a face was normalised."""
    gain, gamma = {"half": (0.5, 1), "dark": (0.7, 1), "bright": (1.25, 1), "gamma": (1, 0.6)}[change]
    table = [min(255, round(255 * gain * (value / 255) ** gamma)) for value in range(256)] * 3
    images = clip(shared, name)[::2]
    paths = [
        write_movie(tmp_path / f"{number}.mp4", shown, frame_rate=12)
        for number, shown in enumerate((images, [image.point(table) for image in images]))
    ]
    assert_alike(*(predicted(model, path) for path in paths))


@pytest.mark.parametrize("name", ["bbaf2n", "lrwp9a"])
def test_an_overexposed_face_is_noted(tmp_path: Path, model: Model, shared: Path, name: str) -> None:
    images = clip(shared, name)[::3]
    for gain, noted in ((1.0, False), (1.3, False), (2.2, True)):
        table = [min(255, round(value * gain)) for value in range(256)] * 3
        path = write_movie(tmp_path / f"{gain}.mp4", [image.point(table) for image in images], frame_rate=8)
        assert has_note(predicted(model, path), "overexposed") == noted
