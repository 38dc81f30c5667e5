"""What the package's own networks cost on one core, beside what they work on top of, measured in turn in the same process.

    python benchmarks/encoders.py

A face: the expression network against finding the face's landmarks. Ten seconds of speech: the voice network against Whisper's
encoder. A sentence of 15 words: the word encoder. Medians of many calls, one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from vatrace.encoders.face import FerPlusEncoder
from vatrace.encoders.voice import RavdessEncoder
from vatrace.encoders.words import MiniLMEncoder
from vatrace.features.landmarker import Landmarker, Roi
from vatrace.features.speech import Listener
from vatrace.media.reading import SAMPLING_RATE
from vatrace.weights import find_whisper

NUM_CALLS = 100
SENTENCE = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "then", "it", "goes", "to", "sleep"]


def medians(**calls: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of each call, the calls taken in turn."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(NUM_CALLS + 5):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if turn >= 5:
                found[name].append(1e3 * (time.perf_counter() - started))
    return {name: float(np.median(values)) for name, values in found.items()}


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (360, 640, 3), dtype=np.uint8))
    crop = rng.integers(0, 256, (1, 48, 48, 3), dtype=np.uint8)
    sound = rng.normal(0, 0.05, 10 * SAMPLING_RATE).astype(np.float32)
    landmarker, listener = Landmarker(), Listener(find_whisper(), threads=1)
    roi = Roi(320, 180, 200, 0)
    face, voice, words = FerPlusEncoder(), RavdessEncoder(), MiniLMEncoder()
    frames, _, _ = listener.encode(sound)
    rows = {
        "face": medians(network=lambda: face(crop), beside=lambda: landmarker.landmarks(picture, roi)),
        "voice, 10 s": medians(network=lambda: voice(frames), beside=lambda: listener.encode(sound)),
        "words, a sentence of 15": medians(network=lambda: words(SENTENCE)),
    }
    print(f"{'':<26}{'network':>10}   beside")
    for name, row in rows.items():
        beside = f"{row['beside']:.1f} ms: {row['network'] / row['beside']:.2f} of it" if "beside" in row else ""
        print(f"{name:<26}{row['network']:>7.1f} ms   {beside}".rstrip())


if __name__ == "__main__":
    main()
