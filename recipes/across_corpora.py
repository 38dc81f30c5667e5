"""How well the voice network does on a corpus and a language that it has not heard.

    python recipes/across_corpora.py DATA --frames FRAMES
    python recipes/across_corpora.py DATA --test

FRAMES is the folder that `recipes/voice.py` fills. By default, the network is trained once without each corpus and rated on it,
as recorded (the actors of RAVDESS's test split are left out throughout). `--test` rates the package's own network on the
corpora that are for testing only, each utterance alone, and the whole model from the voice alone, with the share of true values
in its 90 % intervals: do that once, after all choices have been made.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from composed import RATE
from evaluate import Fusion, alone
from speech_corpora import TEST_CORPORA, TRAIN_CORPORA, Utterance, corpus_utterances, train_utterances
from vatrace.encoders.voice import RavdessEncoder
from vatrace.features.speech import MAX_WINDOW_DUR, Listener
from vatrace.inference.intervals import bounds, situations
from vatrace.media.reading import SAMPLING_RATE
from vatrace.metrics import concordance_cc, pearson_cc
from vatrace.names import DIMENSIONS
from vatrace.timeline import frames_on_grid
from vatrace.weights import find_whisper
from voice import Heard, all_heard, at_usual_level, rate, speech, train


def row(said: list[Utterance], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """CCC of valence and arousal, and r of both."""
    truth = np.array([utterance.valence_arousal for utterance in said])
    found = [measure(truth[:, k], values[:, k]) for measure in (concordance_cc, pearson_cc) for k in range(len(DIMENSIONS))]
    return np.array(found)


def line(label: str, count: int, values: NDArray[np.float64]) -> None:
    """Print one row of the table."""
    print(f"{label:<12}{count:>6}" + "".join(f"{value:>10.3f}" for value in values), flush=True)


def left_out(data: Path, folder: Path, seed: int) -> None:
    """Train without each corpus, and rate it."""
    said: list[Utterance] = []
    heard: list[Heard] = []
    studio: list[Heard] = []
    for split in ("train", "dev"):
        of_split, found = train_utterances(data, split), all_heard(data, split, folder)
        moved = [Heard(part.frames, part.utterance + len(said)) for part in found]
        studio += moved[: len(of_split)]  # the first variant is as recorded
        heard += moved
        said += of_split
    rows = []
    for corpus in TRAIN_CORPORA:
        model = train(said, [part for part in heard if said[part.utterance].corpus != corpus], seed)
        tested = [part for part in studio if said[part.utterance].corpus == corpus]
        _, values = rate(model, tested)
        rows.append(row([said[part.utterance] for part in tested], values))
        line(corpus, len(tested), rows[-1])
    line("mean", len(studio), np.mean(rows, axis=0))


def test(data: Path) -> None:
    """Rate the corpora that are for testing only: by the voice network, and by the whole model from the voice alone."""
    listener, encoder, fusion = Listener(find_whisper(), threads=2), RavdessEncoder(threads=2), Fusion("fusion.onnx")
    for corpus in TEST_CORPORA:
        said, by_voice, whole, inside = corpus_utterances(data, corpus), [], [], []
        for utterance in said:
            sound = speech(listener, utterance.path)[: round(MAX_WINDOW_DUR * SAMPLING_RATE)]
            frames = listener.encode(at_usual_level(sound, sound)).frames
            by_voice.append(encoder.valence_arousal(frames).mean(axis=0))
            _, steps = frames_on_grid(0.0, encoder(frames), RATE)
            recording = alone("voice", steps, np.array(utterance.valence_arousal, np.float32))
            values = fusion(recording)
            low, high = bounds(values.astype(np.float64), situations(recording.valid, RATE), fusion.half_widths)
            whole.append(values.mean(axis=0))
            inside.append(((low <= recording.target) & (recording.target <= high)).mean(axis=0))
        line(corpus, len(said), row(said, np.array(by_voice)))
        line("  whole", len(said), np.concatenate([row(said, np.array(whole)), np.mean(inside, axis=0)]))


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--frames", type=Path, help="leave each corpus out in turn")
    what.add_argument("--test", action="store_true", help="rate the corpora that are for testing only")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    heading = f"{'corpus':<12}{'n':>6}{'CCC val.':>10}{'CCC ar.':>10}{'r val.':>10}{'r ar.':>10}"
    print(heading + (f"{'in v.':>10}{'in ar.':>10}" if args.test else ""))
    if args.test:
        test(args.data)
    else:
        left_out(args.data, args.frames, args.seed)


if __name__ == "__main__":
    main()
