import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from conftest import write_movie
from networks import Brightness, MovesWhileLoud, Scaled, move_weights, write_speaker
from vatrace.errors import CheckpointError
from vatrace.features.active_speaker import ActiveSpeaker, Judgement, face_square, watch_speakers
from vatrace.features.mfcc import mfcc
from vatrace.features.people import Person, Track
from vatrace.media.reading import VideoReader

BOX = (0.3, 0.3, 0.7, 0.7)


class Lambda(nn.Module):
    """A network of one function."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, faces: Tensor, sound: Tensor) -> Tensor:
        return self.function(faces, sound)  # type: ignore[operator]


def grey_at(time: float) -> int:
    return round(20 + 20 * time)


def ramp(path: Path, seconds: float, frame_rate: int) -> Path:
    """A video that becomes brighter, so that its grey tells the time."""
    times = np.arange(round(seconds * frame_rate)) / frame_rate
    return write_movie(path, [Image.new("RGB", (64, 64), (grey_at(time),) * 3) for time in times], frame_rate=frame_rate)


def rising(seconds: float, block: int = 7001) -> list[NDArray[np.float32]]:
    """Audio whose samples tell the time, in blocks of an odd length."""
    audio = (np.arange(round(seconds * 16000)) / 16000 / 100).astype(np.float32)
    return [audio[start : start + block] for start in range(0, len(audio), block)]


def somebody(steps: range) -> Person:
    return Person([Track(steps=list(steps), rows=list(steps))], set(steps))


def watched(
    network: ActiveSpeaker, video: Path, people: list[Person], spans: list[tuple[float, float]], seconds: float = 10
) -> list[Judgement]:
    boxes, shares = [BOX] * 1000, list[float]()
    found = watch_speakers(network, VideoReader(video, 10), rising(seconds), people, boxes, spans, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1
    return found


@pytest.mark.parametrize("frame_rate", [10, 24, 25, 30, 50, 60])
def test_faces_and_audio_are_those_of_the_frame_s_time(tmp_path: Path, frame_rate: int) -> None:
    network = ActiveSpeaker(write_speaker(tmp_path / "net.onnx", Brightness("audio")))
    (judged,) = watched(network, ramp(tmp_path / "ramp.mp4", 10, frame_rate), [somebody(range(100))], [(2.0, 9.0)])
    np.testing.assert_array_equal(judged.frames, np.arange(42, 233))  # with a margin of 0.3 s
    times = judged.frames / 25
    greys = judged.scores - 10 * (times + 0.02)  # the audio of a frame is in the middle of it
    error = (greys - 20) / 20 - times
    assert np.abs(error).max() < 0.5 / frame_rate + 0.07  # a grey level is 0.05 s
    assert abs(error.mean()) < 0.03


def test_the_coefficients_are_those_of_the_same_time(tmp_path: Path) -> None:
    network = ActiveSpeaker(write_speaker(tmp_path / "net.onnx", Brightness("mfcc"), "mfcc"))
    audio = np.random.default_rng(0).normal(size=640 * 30).astype(np.float32) / 10
    scores = network(np.full((30, 32, 32), 7, np.uint8), audio)
    np.testing.assert_allclose(scores, 7 + mfcc(audio)[::4, 0], rtol=1e-5)


def test_long_speech_is_cut_and_only_those_in_sight_are_judged(tmp_path: Path) -> None:
    class Length(nn.Module):
        """The number of frames, for each of them."""

        def forward(self, faces: Tensor, audio: Tensor) -> Tensor:
            return faces.mean((2, 3)) * 0 + faces.shape[1] + audio[:, :1] * 0

    network = ActiveSpeaker(write_speaker(tmp_path / "net.onnx", Length()))
    people = [somebody(range(200)), somebody(range(30, 50)), somebody(range(150, 152))]
    one, other, passing = watched(network, ramp(tmp_path / "ramp.mp4", 20, 25), people, [(1.0, 14.0), (14.2, 19.0)], 12)
    np.testing.assert_array_equal(one.frames, np.arange(17, 483))  # from 0.7 to 19.3 s, although the audio ends at 12 s
    assert set(one.scores.tolist()) == {116.0, 117.0}  # in four parts
    assert other.frames[[0, -1]] == pytest.approx([30 * 2.5, 49 * 2.5], abs=2)
    assert len(passing.frames) == 5 and set(passing.scores.tolist()) == {5.0}
    assert np.isnan(one.mean(0.0, 0.7)) and np.isnan(other.mean(1.0, 4.0)) and np.isfinite(other.mean(2.5, 4.0))


def test_the_square_is_that_of_talknets_demonstration() -> None:
    """1.4 times the face's box, whose upper edge it shares; grey outside the picture."""
    x, y = np.meshgrid(np.arange(400), np.arange(400))
    image = Image.fromarray(np.stack([x // 2, x // 2, x // 2], axis=-1).astype(np.uint8))
    square = face_square(image, (0.25, 0.25, 0.75, 0.75), 140)  # 200 pixels, from 100 to 300
    assert square.shape == (140, 140)
    assert square[70, [0, 139]] == pytest.approx([30, 170], abs=2)  # x from 60 to 340
    image = Image.fromarray(np.stack([y // 2, y // 2, y // 2], axis=-1).astype(np.uint8))
    square = face_square(image, (0.25, 0.25, 0.75, 0.75), 140)
    assert square[[0, 139], 70] == pytest.approx([56, 195], abs=2)  # y from 112, 0.06 of the box below its edge
    assert set(face_square(Image.new("RGB", (400, 400)), (0.0, 0.2, 0.5, 0.7), 28)[:, 0].tolist()) == {110}


@pytest.mark.parametrize(
    ("function", "sound", "message"),
    [
        (lambda faces, sound: faces.mean((2, 3)) + sound.mean() + torch.log(sound[:, :1] * 0 - 1), "audio", "not finite"),
        (lambda faces, sound: faces.mean((1, 2)) + sound.mean(), "audio", r"its scores are float32 of shape \(1, 32\) for 25"),
        (
            lambda faces, sound: faces.mean((2, 3)) + sound.mean() + torch.zeros(25),
            "audio",
            "it fails on 33 frames .*; expected float32 inputs faces",
        ),
        (lambda faces, sound: (faces.mean((2, 3)) + sound.mean()).double(), "audio", "its scores are float64"),
        (lambda faces, sound: faces.mean((2, 3)) + sound.mean(), "waves", r"its inputs are faces .* waves tensor\(float\)"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, function: object, sound: str, message: str) -> None:
    path = write_speaker(tmp_path / "net.onnx", Lambda(function), sound)
    with pytest.raises(CheckpointError, match=f"net.onnx: .*{message}") as raised:
        ActiveSpeaker(path)
    assert "\n" not in str(raised.value)


def test_a_fixed_number_of_frames_is_refused(tmp_path: Path) -> None:
    path = write_speaker(tmp_path / "net.onnx", MovesWhileLoud(), frames=25)
    with pytest.raises(CheckpointError, match=re.escape("its input faces is [1, 25, 32, 32]; expected float32 inputs faces")):
        ActiveSpeaker(path)


def test_the_name_has_the_digest_of_weights_next_to_the_file(tmp_path: Path) -> None:
    path = write_speaker(tmp_path / "net.onnx", Scaled())
    names = [ActiveSpeaker(path).name]
    for factor in (1.0, 2.0):
        move_weights(path, factor)
        names.append(ActiveSpeaker(path).name)
    assert len(set(names)) == 3 and all(re.fullmatch("net.onnx [0-9a-f]{12}", name) for name in names)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_text("not a network")
    with pytest.raises(CheckpointError, match=r"net\.onnx: can't be opened as an ONNX model"):
        ActiveSpeaker(tmp_path / "net.onnx")


def test_scores_that_are_not_finite_are_not_used(tmp_path: Path) -> None:
    """A file that passes when it is loaded, with silence, and fails on sound."""
    path = write_speaker(tmp_path / "net.onnx", Lambda(lambda faces, sound: faces.mean((2, 3)) + torch.sqrt(-sound[:, ::640])))
    with pytest.raises(CheckpointError, match=r"net\.onnx: this active-speaker network returns scores that are not finite"):
        watched(ActiveSpeaker(path), ramp(tmp_path / "ramp.mp4", 2, 25), [somebody(range(20))], [(0.5, 1.5)])
