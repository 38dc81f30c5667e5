"""How long `vatrace predict` takes for a short clip, in a process of its own, next to what can't be avoided.

    python benchmarks/start.py
    python benchmarks/start.py --video talk.mp4

What can't be avoided is a process that imports ONNX Runtime and CTranslate2 and loads the models that such a clip needs. Both
are run alternately, the disk cache is warm, and the last line is the ratio of the medians. The default clip is 3 s of
that of end_to_end.py. The language is given: otherwise, with the extra `languages`, another Whisper model would be loaded.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from end_to_end import make_clip
from vatrace.weights import find_whisper

SECONDS = 3
REPEATS = 5
MODELS = (
    "fusion.onnx",
    "face_detector.onnx",
    "face_landmarks.onnx",
    "identity.onnx",
    "face.onnx",
    "voice_frames.onnx",
    "speaker_turns.onnx",
    "speaker_embedding.onnx",
    "voice.onnx",
    "words.onnx",
)
LEAST = """
import ctranslate2
from vatrace.weights import onnx_session
for name in {models!r}:
    onnx_session(name)
ctranslate2.models.Whisper({whisper!r}, device="cpu", compute_type={kind!r})
"""
"""The program that only imports and loads."""
KIND = "float32"
"""Type of the weights of Whisper, as in `vatrace.features.speech`."""


def timed(command: list[str]) -> float:
    """Seconds that a process takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="the clip (default: made of the demo's face and speech)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = args.video or Path(folder) / "demo.mp4"
        if args.video is None:
            make_clip(video, SECONDS)
        out = ["--out", folder, "--overwrite", "--transcript", "none", "--language", "en"]
        commands = {
            "import and load": [sys.executable, "-c", LEAST.format(models=MODELS, whisper=str(find_whisper()), kind=KIND)],
            "vatrace predict": [sys.executable, "-m", "vatrace.cli", "predict", str(video), *out],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for repeat in range(REPEATS + 1):
            for name, command in commands.items():
                found = timed(command)
                if repeat:  # the first fills the disk cache
                    seconds[name].append(found)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"{name:<18}{value:6.2f} s")
    print(f"ratio to importing and loading: {medians['vatrace predict'] / medians['import and load']:.2f}")


if __name__ == "__main__":
    main()
