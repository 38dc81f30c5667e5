"""How far harmless changes of a recording move its mean valence and arousal.

    python benchmarks/robustness.py clips/                                    ten clips of a folder, all changes: half an hour
    python benchmarks/robustness.py clips/ --clips 1 --changes avi,level-20   a quick look
    python benchmarks/robustness.py clips/ --jobs 4 --out robustness.csv      with more processes, and a row for each prediction

Each clip is decoded, changed, encoded again (PyAV; no FFmpeg program is needed) and predicted. The table has one row a change:
the largest and the median absolute change of the mean valence and arousal over the clips, the worst change first. A change that
ought to change nothing should stay within 0.05. The clips should be clean recordings of one talking person.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vatrace import Model, load_model
from vatrace.errors import VatraceError
from vatrace.media.folders import MEDIA_SUFFIXES
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.media.recording import open_recording

BAR = 0.05
"""The largest change of a mean that is let pass."""
MAX_DUR = 20.0
"""Seconds of each clip that are used."""
SUFFIX = ".mp4"
MATRICES = {  # of a track's header in MP4: how the stored picture is turned to be shown; a row is a, b, u; the last one x, y, w
    90: (0, 1, -1, 0),
    180: (-1, 0, 0, -1),
    270: (0, -1, 1, 0),
    "mirror": (-1, 0, 0, 1),
}


@dataclass(frozen=True)
class Clip:
    """A recording in memory, and how it will be encoded.

    Attributes:
        images: (H, W, 3) RGB.
        times: seconds of each of them.
        audio: (C, N) at SAMPLING_RATE, -1..1.
        frame_rate: of the file that is written.
        suffix: of that file.
        codecs: of video and audio.
        pix_fmt: pixel format.
        options: of the video encoder.
        layout: of the audio's channels.
        sampling_rate: of the file, Hz.
        offset: seconds at which its time stamps begin.
        matrix: how the picture is to be turned, a key of MATRICES; None for not at all.
        constant: whether the frames are evenly spaced.
    """

    images: list[NDArray[np.uint8]]
    times: list[float]
    audio: NDArray[np.float32]
    frame_rate: int
    suffix: str = SUFFIX
    codecs: tuple[str, str] = ("libx264", "aac")
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: {"crf": "16", "preset": "veryfast"})
    layout: str = "mono"
    sampling_rate: int = 48_000
    offset: float = 0.0
    matrix: int | str | None = None
    constant: bool = True


Change = Callable[[Clip], Clip]


@lru_cache(maxsize=1)  # a process gets the changes of one clip one after the other
def read_clip(path: Path) -> Clip:
    """Decode the first MAX_DUR of a recording."""
    with av.open(str(path)) as container:
        rate = max(round(float(container.streams.video[0].average_rate or 25)), 1)
    images: list[NDArray[np.uint8]] = []
    for frame in VideoReader(path, rate):
        if frame.time >= MAX_DUR:
            break
        images += [np.asarray(frame.image)] * len(frame.steps)
    images = [image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2] for image in images]
    audio = np.concatenate(list(AudioReader(path, 1.0)))[: round(MAX_DUR * SAMPLING_RATE)]
    return Clip(images, [index / rate for index in range(len(images))], audio[None], rate)


def write_clip(clip: Clip, path: Path) -> None:
    """Encode it."""
    with av.open(str(path), "w") as container:
        options = clip.options if clip.codecs[0].startswith("libx26") else {"b": "4000000", "qmin": "2"}
        if clip.codecs[0] == "libvpx-vp9":
            options = {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8"}
        video: Any = container.add_stream(clip.codecs[0], rate=clip.frame_rate, options=options)
        video.height, video.width = clip.images[0].shape[:2]
        video.pix_fmt = clip.pix_fmt
        unit = Fraction(1, clip.frame_rate) if clip.constant and not clip.offset else Fraction(1, 1000)
        video.codec_context.time_base = unit
        sound: Any = container.add_stream(clip.codecs[1], rate=clip.sampling_rate, layout=clip.layout)
        for image, moment in zip(clip.images, clip.times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = round((moment + clip.offset) / unit), unit
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(np.ascontiguousarray(clip.audio), format="fltp", layout=clip.layout)
        block.sample_rate, block.time_base = SAMPLING_RATE, Fraction(1, SAMPLING_RATE)
        block.pts = round(clip.offset * SAMPLING_RATE)
        context = sound.codec_context
        resampler = av.AudioResampler(context.format, clip.layout, clip.sampling_rate, context.frame_size or 1024)
        for part in [*resampler.resample(block), *resampler.resample(None)]:
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))
    if clip.matrix is not None:
        _turn(path, clip.matrix)


def _turn(path: Path, matrix: int | str) -> None:
    """Write the matrix into the header of the first track, which is the video."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    a, b, c, d = MATRICES[matrix]
    rows = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    content[place : place + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in rows)
    path.write_bytes(content)


def of_images(change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Change:
    """The same change of every image."""
    return lambda clip: replace(clip, images=[np.ascontiguousarray(change(image)) for image in clip.images])


def levels(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Change:
    """A change of brightness, on 0..1."""
    table = np.clip(change(np.arange(256) / 255) * 255, 0, 255).round().astype(np.uint8)
    return of_images(lambda image: table[image])


def louder(decibels: float) -> Change:
    """Another level, clipped at full scale."""
    return lambda clip: replace(clip, audio=np.clip(clip.audio * np.float32(10 ** (decibels / 20)), -1, 1))


def channels(layout: str, *gains: float) -> Change:
    """The voice in every channel, with a gain."""
    return lambda clip: replace(clip, layout=layout, audio=clip.audio[0] * np.array(gains, np.float32)[:, None])


def turned(degrees: int) -> Change:
    """Stored turned, with the matrix that turns it back."""
    return lambda clip: replace(of_images(lambda image: np.rot90(image, degrees // 90))(clip), matrix=degrees)


def at_rate(rate: int) -> Change:
    """Another frame rate: the image shown at each moment."""

    def change(clip: Clip) -> Clip:
        times = np.arange(0, len(clip.images) / clip.frame_rate - 1e-6, 1 / rate)
        rows = np.minimum(np.floor(times * clip.frame_rate + 1e-6).astype(int), len(clip.images) - 1)
        return replace(clip, images=[clip.images[row] for row in rows], times=times.tolist(), frame_rate=rate)

    return change


def variable(clip: Clip) -> Clip:
    """A third of the frames, at random, is left out; the others keep their times."""
    kept = np.flatnonzero(np.random.default_rng(0).random(len(clip.images)) > 1 / 3)
    kept = np.union1d(kept, [0, len(clip.images) - 1])
    return replace(clip, images=[clip.images[row] for row in kept], times=[clip.times[row] for row in kept], constant=False)


def scaled(factor: float) -> Change:
    """Another size."""

    def change(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = (round(side * factor) // 2 * 2 for side in image.shape[:2])
        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))

    return of_images(change)


def barred(across: float, down: float) -> Change:
    """Black bars at the sides, and above and below, as shares of the picture."""

    def change(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        wide, high = round(image.shape[1] * across) // 2 * 2, round(image.shape[0] * down) // 2 * 2
        return np.pad(image, ((high, high), (wide, wide), (0, 0)))

    return of_images(change)


def subtitled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A line of text at the lower end."""
    picture = Image.fromarray(image)
    size = picture.height / 16
    place, font = (picture.width / 2, picture.height - 1.2 * size), ImageFont.load_default(size)
    text = "These words are burnt into the picture"
    ImageDraw.Draw(picture).text(place, text, "white", font, anchor="mm", stroke_width=2, stroke_fill="black")
    return np.asarray(picture)


def after_black(clip: Clip, seconds: float = 2.0) -> Clip:
    """Black and silence first."""
    count = round(seconds * clip.frame_rate)
    images = [np.zeros_like(clip.images[0])] * count + clip.images
    silence = np.zeros((1, round(count / clip.frame_rate * SAMPLING_RATE)), np.float32)
    times = [index / clip.frame_rate for index in range(len(images))]
    return replace(clip, images=images, times=times, audio=np.concatenate([silence, clip.audio], axis=1))


def encoded(**parts: Any) -> Change:
    """Encoded in another way; see `Clip`."""
    return lambda clip: replace(clip, **parts)


MPEG2, X264 = ("mpeg2video", "mp2"), "libx264"
CHANGES: dict[str, Change] = {
    "mp4": encoded(),
    "mkv": encoded(suffix=".mkv"),
    "mov": encoded(suffix=".mov"),
    "webm": encoded(suffix=".webm", codecs=("libvpx-vp9", "libopus")),
    "avi": encoded(suffix=".avi", codecs=("mpeg4", "libmp3lame")),
    "ts": encoded(suffix=".ts"),
    "flv": encoded(suffix=".flv", sampling_rate=44_100),
    "mpg": encoded(suffix=".mpg", codecs=MPEG2),
    "hevc": encoded(codecs=("libx265", "aac"), options={"crf": "18", "preset": "ultrafast", "x265-params": "log-level=none"}),
    "vp9": encoded(suffix=".mkv", codecs=("libvpx-vp9", "aac")),
    "mpeg4": encoded(codecs=("mpeg4", "aac")),
    "mpeg2": encoded(suffix=".ts", codecs=MPEG2),
    "mp3": encoded(suffix=".mkv", codecs=(X264, "libmp3lame")),
    "opus": encoded(suffix=".mkv", codecs=(X264, "libopus")),
    "ac3": encoded(suffix=".mkv", codecs=(X264, "ac3")),
    "pcm": encoded(suffix=".mov", codecs=(X264, "pcm_s16le")),
    "rotated-90": turned(90),
    "rotated-180": turned(180),
    "rotated-270": turned(270),
    "mirrored": of_images(lambda image: image[:, ::-1]),
    "mirrored-stored": lambda clip: replace(of_images(lambda image: image[:, ::-1])(clip), matrix="mirror"),
    "level-20": louder(-20),
    "level-40": louder(-40),
    "level+10": louder(10),
    "stereo": channels("stereo", 1, 1),
    "left-only": channels("stereo", 1, 0),
    "right-only": channels("stereo", 0, 1),
    "inverted": channels("stereo", 1, -1),
    "5.1-centre": lambda clip: replace(channels("5.1", 0, 0, 1, 0, 0, 0)(clip), suffix=".mkv", codecs=(X264, "ac3")),
    "44.1-khz": encoded(sampling_rate=44_100),
    "16-khz": encoded(sampling_rate=16_000),
    "8-khz": encoded(suffix=".mkv", codecs=(X264, "pcm_s16le"), sampling_rate=8_000),
    "15-fps": at_rate(15),
    "30-fps": at_rate(30),
    "50-fps": at_rate(50),
    "variable-fps": variable,
    "darker": levels(lambda x: x - 0.1),
    "brighter": levels(lambda x: x + 0.1),
    "contrast-0.8": levels(lambda x: 0.5 + 0.8 * (x - 0.5)),
    "contrast-1.2": levels(lambda x: 0.5 + 1.2 * (x - 0.5)),
    "gamma-0.8": levels(lambda x: x**0.8),
    "gamma-1.25": levels(lambda x: x**1.25),
    "half-size": scaled(0.5),
    "double-size": scaled(2),
    "pillar-boxes": barred(0.3, 0),
    "letter-boxes": barred(0, 0.2),
    "subtitles": of_images(subtitled),
    "start-offset": encoded(suffix=".mkv", offset=5.0),
    "silence-before": after_black,
    "low-bitrate": encoded(options={"crf": "34", "preset": "veryfast"}),
    "interlaced": encoded(options={"crf": "16", "preset": "veryfast", "x264-params": "tff=1"}),
    "full-range": encoded(pix_fmt="yuvj420p"),
    "10-bit": encoded(pix_fmt="yuv420p10le"),
}
"""By name."""


@dataclass(frozen=True)
class Result:
    """The means of one recording: of the original where `change` is "", else of a changed one.

    Attributes:
        clip: its file's name.
        change: a key of CHANGES.
        means: valence and arousal over the supported rows; NaN if there are none, or it failed.
        error: why it failed; "" if it didn't.
    """

    clip: str
    change: str
    means: tuple[float, float]
    error: str = ""


_model: Model | None = None
"""Loaded once in each process."""


def load(threads: int | None) -> None:
    """Load the model of this process."""
    global _model  # noqa: PLW0603  # a pool's processes have nothing else in common
    _model = load_model(threads=threads)


def predict_means(path: Path) -> tuple[float, float]:
    """Mean valence and arousal over the supported rows."""
    assert _model is not None
    prediction = _model.predict(path)
    if not prediction.supported.any():
        return np.nan, np.nan
    values = np.stack([prediction.valence, prediction.arousal])[:, prediction.supported].mean(axis=1)
    return float(values[0]), float(values[1])


def plain(clip: Clip) -> Clip:
    """The clip as it is, hardly compressed."""
    return replace(clip, suffix=".mkv", codecs=(X264, "pcm_s16le"), options={"crf": "8", "preset": "veryfast"})


def measure(path: Path, change: str) -> Result:
    """Predict a clip after a change; as it is, where `change` is ""."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            changed = (CHANGES[change] if change else plain)(read_clip(path))
            target = Path(folder) / f"changed{changed.suffix}"
            write_clip(changed, target)
            return Result(path.name, change, predict_means(target))
        except (VatraceError, av.FFmpegError, ValueError) as error:
            return Result(path.name, change, (np.nan, np.nan), str(error))


def differences(results: Iterable[Result]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """By change, and clip: how far valence and arousal moved (2,). What is supported on one side only has moved infinitely."""
    results = list(results)
    means = {result.clip: np.array(result.means) for result in results if not result.change}
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for result in results:
        if result.change:
            moved = np.abs(np.array(result.means) - means[result.clip])
            found.setdefault(result.change, {})[result.clip] = np.nan_to_num(moved, nan=np.inf)
    return found


def table(results: Sequence[Result]) -> str:
    """The changes, the worst first, then those beyond the bar."""
    moved = differences(results)
    errors = {(result.change, result.clip): result.error for result in results if result.error}
    order = sorted(moved, key=lambda name: -max(values.max() for values in moved[name].values()))
    lines = [f"{'change':16} {'valence: largest':>17} {'median':>7} {'arousal: largest':>17} {'median':>7}  clip"]
    beyond = []
    for name in order:
        values = np.stack(list(moved[name].values()))
        worst = list(moved[name])[int(values.max(axis=1).argmax())]
        largest, median = values.max(axis=0), np.median(values, axis=0)
        lines.append(f"{name:16} {largest[0]:17.3f} {median[0]:7.3f} {largest[1]:17.3f} {median[1]:7.3f}  {worst}")
        if values.max() > BAR:
            number = int((values.max(axis=1) > BAR).sum())
            reason = errors.get((name, worst), "")
            beyond.append(f"  {name}: {number} of {len(values)} clips" + (f" ({reason})" if reason else ""))
    lines.append(f"{len(order) - len(beyond)} of {len(order)} changes stay within {BAR} on every clip")
    return "\n".join([*lines, *(["beyond it:", *beyond] if beyond else [])])


def write_results(results: Sequence[Result], path: Path) -> None:
    """A CSV with a row for each prediction."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "change", "valence", "arousal", "error"])
        for result in results:
            writer.writerow([result.clip, result.change, *(f"{value:.4f}" for value in result.means), result.error])


def find_clips(folder: Path, number: int) -> list[Path]:
    """The first videos with sound of a folder, by name."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in MEDIA_SUFFIXES]
    found = []
    for path in files:
        recording = open_recording(path)
        if recording.kind == "video" and recording.has_audio:
            found.append(path)
        if len(found) == number:
            break
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of clean recordings of one talking person, with sound")
    parser.add_argument("--clips", type=int, default=10, metavar="N", help="how many of them (default: 10)")
    parser.add_argument("--changes", metavar="NAME,...", help=f"(default: all of {', '.join(CHANGES)})")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes; each loads the model (default: 1)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a CSV with a row for each prediction")
    args = parser.parse_args()
    names = args.changes.split(",") if args.changes else list(CHANGES)
    unknown = [name for name in names if name not in CHANGES]
    if unknown:
        parser.error(f"no such change: {', '.join(unknown)}")
    clips = find_clips(args.folder, args.clips)
    if not clips:
        parser.error(f"{args.folder}: contains no video with sound")
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    started, results = time.monotonic(), list[Result]()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, context, initializer=load, initargs=(threads,)) as pool:
        futures = [pool.submit(measure, clip, name) for clip in clips for name in ("", *names)]
        for number, future in enumerate(as_completed(futures), 1):
            result = future.result()
            results.append(result)
            left = (time.monotonic() - started) / number * (len(futures) - number) / 60
            print(
                f"{number} of {len(futures)}: {result.clip} {result.change}, {left:.0f} min left", file=sys.stderr, flush=True
            )
    if args.out:
        write_results(results, args.out)
    print(table(results))


if __name__ == "__main__":
    main()
