"""Small corpora with real encoded media, in the layouts that the readers know, and with known values in them.

Valence and arousal are known functions of time. The brightness of a face follows its valence, and the loudness of the sound
follows arousal, at the same moment: so a test can tell whether label, face and sound still meet after they were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from conftest import write_movie
from vatrace.media.demo import FACE, packaged_file
from vatrace.media.reading import SAMPLING_RATE, VideoReader

SIZE = (192, 144)
FACE_BOX = (54, 20, 130, 96)
CROP_SIZE = (112, 112)


@dataclass(frozen=True)
class Planted:
    """What was written of one recording.

    Attributes:
        name: of the recording.
        video: the video's file, below the root.
        frame_rate: of the video, a second.
        num_frames: F.
        split: None where nothing is said.
        side: where the person is in a picture of two.
        rows: (N, 2) the annotations as written, NaN for not annotated; None without.
        pictures: numbers from 1 of the face pictures; None without a folder.
        phase: of valence.
        sound_phase: of arousal; the same for two people in a video.
        annotators: lag in seconds by annotator.
    """

    name: str
    video: str
    frame_rate: int
    num_frames: int
    split: str | None
    side: str | None = None
    rows: NDArray[np.float64] | None = None
    pictures: tuple[int, ...] | None = None
    phase: float = 0.0
    sound_phase: float = 0.0
    annotators: Mapping[str, float] | None = None

    def labels(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) valence and arousal at `times` in seconds."""
        return np.stack([wave(times, self.phase), wave(times, self.sound_phase + 2)], axis=1)

    @property
    def frame_times(self) -> NDArray[np.float64]:
        return np.arange(self.num_frames) / self.frame_rate


def wave(times: NDArray[np.float64], phase: float) -> NDArray[np.float64]:
    """A smooth curve within -0.8..0.8 that doesn't repeat for minutes."""
    return 0.5 * np.sin(2 * np.pi * 0.37 * times + phase) + 0.3 * np.sin(2 * np.pi * 0.83 * times + 2 * phase + 1)


def brightness(valence: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the face's pixels are multiplied by."""
    return 0.7 + 0.3 * valence


def loudness(arousal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amplitude of the tone."""
    return 0.3 + 0.25 * arousal


@cache
def _people() -> list[Image.Image]:
    return [frame.image.resize(SIZE) for frame in VideoReader(packaged_file(*FACE), 30)]


def person(index: int) -> Image.Image:
    """One of some pictures of a face, so that the only thing that changes in a recording is its brightness."""
    return _people()[index * 7 % len(_people())]


def lit(image: Image.Image, factor: float) -> Image.Image:
    return Image.fromarray((np.asarray(image) * factor).round().clip(0, 255).astype(np.uint8))


def tone(recording: Planted, duration: float) -> NDArray[np.float32]:
    """16 kHz sound whose loudness follows arousal."""
    time = np.arange(round(duration * SAMPLING_RATE)) / SAMPLING_RATE
    amplitude = loudness(recording.labels(time)[:, 1])
    return (amplitude * (np.sin(2 * np.pi * 220 * time) + 0.4 * np.sin(2 * np.pi * 660 * time)) / 1.4).astype(np.float32)


def _write_video(root: Path, people: Sequence[tuple[int, Planted]]) -> None:
    """A video of one person, or of two beside each other, with the sound of the first."""
    first = people[0][1]
    factors = [brightness(planted.labels(first.frame_times)[:, 0]) for _, planted in people]
    images = []
    for frame in range(first.num_frames):
        image = Image.new("RGB", (SIZE[0] * len(people), SIZE[1]))
        for place, (index, _) in enumerate(people):
            image.paste(lit(person(index), factors[place][frame]), (SIZE[0] * place, 0))
        images.append(image)
    path = root / first.video
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = tone(first, first.num_frames / first.frame_rate)
    write_movie(path, images, sound=sound, frame_rate=first.frame_rate)


def _write_rows(path: Path, rows: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join("-5" if np.isnan(value) else f"{value:.6f}" for value in row) for row in rows]
    path.write_text("\n".join(["valence,arousal", *lines]) + "\n")


def make_affwild2(root: Path, duration: float = 4.0, cropped: bool = True) -> dict[str, Planted]:
    """Write a corpus as the ABAW challenges give out Aff-Wild2.

    Args:
        root: an empty folder.
        duration: seconds of a video.
        cropped: whether there are face pictures.

    Returns:
        What was written, by recording. All faces but that of "dark_left" have pictures.
    """
    annotations = root / "6th ABAW Annotations" / "VA_Estimation_Challenge"
    videos = [  # names of the people from left to right, file, frame rate, split, rows more than frames
        (["video1"], "batch1/video1.mp4", 25, "train", 0),
        (["10-60-640x480"], "batch1/10-60-640x480.avi", 15, "train", 7),
        (["video3_left", "video3_right"], "batch2/video3.mp4", 30, "train", 0),
        (["dark_left"], "batch2/dark_left.mp4", 25, "train", 0),  # a video that is truly called so
        (["video5_left", "video5"], "batch2/video5.mp4", 25, "dev", 0),
        (["30-30-640x360"], "new_vids/30-30-640x360.mp4", 30, "dev", -10),
        (["video7"], "new_vids/video7.mp4", 25, "test", None),
    ]
    found: dict[str, Planted] = {}
    rng = np.random.default_rng(0)
    index = 0
    for names, video, frame_rate, split, more in videos:
        num_frames = round(duration * frame_rate)
        people = []
        for place, name in enumerate(names):
            plain = Planted(name, video, frame_rate, num_frames, split, phase=1.3 * index, sound_phase=1.3 * (index - place))
            rows = None
            if more is not None:
                rows = plain.labels(np.arange(num_frames + more) / frame_rate)
                hidden = num_frames // 5 + 3 * index
                rows[hidden : hidden + num_frames // 8] = np.nan  # -5 in the middle, not only at the ends
                folder = {"train": "Train_Set", "dev": "Validation_Set"}[split]
                _write_rows(annotations / folder / f"{name}.txt", rows)
                rows = rows.round(6)
            pictures = None
            if cropped and name != "dark_left":
                gap = int(rng.integers(num_frames // 3, num_frames // 2))
                seen = [number for number in range(1, num_frames + 1) if not gap <= number < gap + 9 and rng.random() > 0.05]
                pictures = tuple(seen)
                folder = "cropped_aligned_new_50_vids" if "new_vids" in video else "cropped_aligned"
                (root / folder / name).mkdir(parents=True)
                factors = brightness(plain.labels(plain.frame_times)[:, 0])
                crop = person(index).crop(FACE_BOX).resize(CROP_SIZE)
                for number in pictures:
                    lit(crop, factors[number - 1]).save(root / folder / name / f"{number:05d}.jpg", quality=90)
            side = ("left", "right")[place] if len(names) == 2 else None
            planted = replace(plain, rows=rows, pictures=pictures, side=side)
            people.append((index, planted))
            found[name] = planted
            index += 1
        _write_video(root, people)
    lists = root / "names_of_videos_in_each_test_set"
    lists.mkdir()
    (lists / "Valence_Arousal_Estimation_Challenge_test_set_release.txt").write_text("video7\n")
    frames = [f"video7/{number:05d}.jpg,0,0" for number in range(1, found["video7"].num_frames + 1)]
    sample = root / "prediction_files_format" / "CVPR_6th_ABAW_VA_test_set_sample.txt"
    sample.parent.mkdir()
    sample.write_text("\n".join(["image_location,valence,arousal", *frames]) + "\n")
    return found


LAGS = {"anna": 0.4, "ben": 1.0, "cleo": 0.0}


def make_folder_corpus(
    root: Path, duration: float = 4.0, lags: Mapping[str, float] = LAGS, noise: float = 0.05, long: bool = False
) -> dict[str, Planted]:
    """Write a corpus of videos and CSV tables.

    Each annotator follows the truth with a lag and noise of her own, at 10 rows a second.

    Args:
        root: an empty folder.
        duration: seconds of a recording.
        lags: seconds by annotator.
        noise: standard deviation.
        long: whether annotations are in one table.

    Returns:
        What was written, by recording.
    """
    videos = [
        ("p1", "p1.mp4", 25, "train", "ada"),
        ("p2", "p2.avi", 15, "train", "bob"),
        ("p3", "day2/p3.mkv", 30, "train", "cy"),
        ("p4", "day2/p4.mp4", 25, "dev", "dee"),
        ("p5", "day2/p5.webm", 25, "test", "eve"),
    ]
    rng = np.random.default_rng(1)
    found: dict[str, Planted] = {}
    tables: dict[tuple[str, str], list[str]] = {}
    for index, (name, video, frame_rate, split, _) in enumerate(videos):
        planted = Planted(
            name, video, frame_rate, round(duration * frame_rate), split, None, None, None, 1.3 * index, 1.3 * index, lags
        )
        _write_video(root, [(index, planted)])
        times = np.arange(round(duration * 10)) / 10
        for annotator, lag in lags.items():
            values = np.clip(planted.labels(times - lag) + rng.normal(0, noise, (len(times), 2)), -1, 1)
            tables[name, annotator] = [f"{time:.2f},{a:.5f},{b:.5f}" for time, (a, b) in zip(times, values, strict=True)]
        found[name] = planted
    if long:
        rows = [f"{name},{row},{annotator}" for (name, annotator), lines in tables.items() for row in lines]
        (root / "annotations.csv").write_text("\n".join(["recording,time,valence,arousal,annotator", *rows]) + "\n")
    for (name, annotator), rows in ({} if long else tables).items():
        path = root / "annotations" / annotator / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["time,valence,arousal", *rows]) + "\n")
    splits = [f"{name},{split},{subject}" for name, _, _, split, subject in videos]
    (root / "splits.csv").write_text("\n".join(["recording,split,subject", *splits]) + "\n")
    return found
