"""Time of the package's own networks on one core, compared with the step before them, interleaved in one process.

    python benchmarks/encoders.py

For a face, the expression network against the landmark network. For ten seconds of speech, the voice network against Whisper's
encoder. For a sentence of 15 words, the word encoder alone. Medians of many calls, one thread.
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
    """Median milliseconds of each call, interleaved."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(NUM_CALLS + 5):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if turn >= 5:
                found[name].append(1e3 * (time.perf_counter() - started))
    return {name: float(np.median(values)) for name, values in found.items()}


def main() -> None:
    """Measure, and print the table."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (360, 640, 3), dtype=np.uint8))
    crop = rng.integers(0, 256, (1, 48, 48, 3), dtype=np.uint8)
    audio = rng.normal(0, 0.05, 10 * SAMPLING_RATE).astype(np.float32)
    landmarker, listener = Landmarker(), Listener(find_whisper(), threads=1)
    roi = Roi(320, 180, 200, 0)
    face, voice, words = FerPlusEncoder(), RavdessEncoder(), MiniLMEncoder()
    frames = listener.encode(audio).frames
    rows = {
        "face": medians(network=lambda: face(crop), before=lambda: landmarker.landmarks(image, roi)),
        "voice, 10 s": medians(network=lambda: voice(frames), before=lambda: listener.encode(audio)),
        "words, a sentence of 15": medians(network=lambda: words(SENTENCE)),
    }
    print(f"{'':<26}{'network':>10}   step before")
    for name, row in rows.items():
        before = f"{row['before']:.1f} ms, ratio {row['network'] / row['before']:.2f}" if "before" in row else ""
        print(f"{name:<26}{row['network']:>7.1f} ms   {before}".rstrip())


if __name__ == "__main__":
    main()
