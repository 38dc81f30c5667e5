"""Speed of the whole pipeline and of its stages, and whether memory stays bounded.

    python benchmarks/end_to_end.py               real-time factor and stages on 60 s, 640 x 360, 25 fps, with audio
    python benchmarks/end_to_end.py --memory      peak memory for 5 and for 30 minutes, each in its own process

The clip is made from the demo's face and speech. Times are medians of interleaved repeats, with the models loaded. CPU seconds
are those of all threads. The last line is the time of the whole job divided by that of decoding alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from vatrace import load_model
from vatrace.encoders.face import FerPlusEncoder
from vatrace.encoders.words import MiniLMEncoder, words_on_grid
from vatrace.features.faces import FaceTracker, face_crop
from vatrace.features.landmarker import Landmarker
from vatrace.features.speech import BLOCK_DUR, Listener
from vatrace.media.demo import FACE, SPEECH, packaged_file
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.weights import find_whisper

DURATION, FRAME_RATE, SIZE = 60, 25, (640, 360)
REPEATS = 3
LEAST, TOTAL = "decoding alone (the lower limit)", "total, stages in parallel"
"""The stages whose ratio is printed last. On a busy machine, that of their CPU times depends less on what else is running."""


def make_clip(path: Path, duration: int) -> None:
    """Write a clip of the face, moving and with grain so that the codec has work to do, and the speech, both repeated."""
    faces = [
        frame.image.resize((440, 360), Image.Resampling.BICUBIC) for frame in VideoReader(packaged_file(*FACE), FRAME_RATE)
    ]
    faces += faces[-2:0:-1]
    speech = np.concatenate(list(AudioReader(packaged_file(*SPEECH), 60)))
    grain = np.random.default_rng(0).normal(0, 4, (8, SIZE[1], SIZE[0], 1))
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLING_RATE, layout="mono")
        for index in range(duration * FRAME_RATE):
            scene = Image.new("RGB", SIZE, (70, 80, 90))
            scene.paste(faces[index % len(faces)], (100 + round(60 * np.sin(index / 40)), 0))
            pixels = np.clip(np.asarray(scene) + grain[index % len(grain)], 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(video.encode(frame))
        for start in range(0, duration * SAMPLING_RATE, 1024):
            block = np.take(speech, range(start, start + 1024), mode="wrap")[None]
            part = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            part.sample_rate, part.pts, part.time_base = SAMPLING_RATE, start, Fraction(1, SAMPLING_RATE)
            container.mux(audio.encode(part))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def print_progress(text: str) -> None:
    """Print progress to stderr, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def timed(function: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def decode_all(path: Path) -> None:
    """The lower limit: decode all frames and audio, and do nothing with them."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for _ in container.decode(video=0, audio=0):
            pass


def speed(folder: Path) -> None:
    """Print the table of stages and the real-time factor."""
    clip = folder / "clip.mp4"
    print_progress(f"making a clip of {DURATION} s")
    make_clip(clip, DURATION)
    model = load_model()
    landmarker, face_encoder, listener, words = Landmarker(), FerPlusEncoder(), Listener(find_whisper()), MiniLMEncoder()
    frames = list(VideoReader(clip, model.rate))
    audio = list(AudioReader(clip, BLOCK_DUR))
    spoken = [word for window in listener.listen(audio) for word in window.words]
    transcript = short_transcript(folder)
    crops = np.zeros((1, face_encoder.crop_size, face_encoder.crop_size, 3), np.uint8)

    def find_faces() -> None:
        tracker = FaceTracker(landmarker)
        for frame in frames:
            for found in tracker.update(frame.image, frame.time):
                face_crop(frame.image, found.square, face_encoder.crop_size)

    def encode_faces() -> None:
        for _ in frames:
            face_encoder(crops)

    stages: dict[str, Callable[[], object]] = {
        LEAST: lambda: decode_all(clip),
        "frames at the steps of the grid": lambda: list(VideoReader(clip, model.rate)),
        "audio at 16 kHz": lambda: list(AudioReader(clip, BLOCK_DUR)),
        "faces: detect, track, crop": find_faces,
        "faces: encode": encode_faces,
        "voice alone, one pass of Whisper": lambda: list(listener.listen(audio, transcribe=False)),
        "voice and words, one pass of Whisper": lambda: list(listener.listen(audio)),
        "words: encode": lambda: list(words_on_grid(spoken, words, model.rate)),
        "fusion": lambda: model.predict(transcript),
        TOTAL: lambda: model.predict(clip),
    }
    print_progress("running each stage once before it is measured")
    for stage in stages.values():
        stage()
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    cpu: dict[str, list[float]] = {name: [] for name in stages}
    for repeat in range(REPEATS):
        print_progress(f"repeat {repeat + 1} of {REPEATS}")
        for name, stage in stages.items():
            used = time.process_time()
            seconds[name].append(timed(stage))
            cpu[name].append(time.process_time() - used)
    print(f"{DURATION} s, {SIZE[0]} x {SIZE[1]}, {FRAME_RATE} fps; {os.cpu_count()} cores; median of {REPEATS}\n")
    print(f"{'stage':<36}{'seconds':>9}{'x real time':>13}{'CPU seconds':>13}")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:<36}{median:9.2f}{median / DURATION:13.3f}{statistics.median(cpu[name]):13.2f}")
    total, least = (statistics.median(seconds[name]) for name in (TOTAL, LEAST))
    print(f"\nreal-time factor: {total / DURATION:.3f}")
    print(f"CPU time, ratio to decoding: {statistics.median(cpu[TOTAL]) / statistics.median(cpu[LEAST]):.1f}")
    print(f"ratio to decoding: {total / least:.1f}")


def short_transcript(folder: Path) -> Path:
    """Write a transcript of one word that lasts as long as the clip."""
    path = folder / "one.srt"
    minutes, seconds = divmod(DURATION, 60)
    path.write_text(f"1\n00:00:00,000 --> 00:{minutes:02d}:{seconds:02d},000\nwell\n")
    return path


def memory(folder: Path) -> None:
    """Print the peak memory of a process that predicts 5 minutes, and of one that predicts 30."""
    code = "import sys, resource, vatrace; vatrace.predict(sys.argv[1]); "
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    for minutes in (5, 30):
        clip = folder / f"{minutes}.mp4"
        print_progress(f"making and predicting {minutes} minutes")
        subprocess.run([sys.executable, __file__, "--make", str(clip), str(minutes * 60)], check=True)
        started = time.perf_counter()
        peak = subprocess.run([sys.executable, "-c", code, str(clip)], check=True, capture_output=True, text=True).stdout
        print(f"{minutes:2d} min: peak {peak.strip()} MB, {(time.perf_counter() - started) / 60 / minutes:.3f} x real time")


def main() -> None:
    """Run the benchmark that the arguments choose."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--make", nargs=2, metavar=("PATH", "SECONDS"), help="only make a clip")
    args = parser.parse_args()
    if args.make:
        make_clip(Path(args.make[0]), int(args.make[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        (memory if args.memory else speed)(Path(folder))


if __name__ == "__main__":
    main()
