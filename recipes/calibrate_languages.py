"""Add half-widths for languages other than English to the intervals of a fusion model.

    python recipes/calibrate_languages.py DATA src/vatrace/weights/fusion.onnx --store STORE
    python recipes/calibrate_languages.py DATA src/vatrace/weights/fusion.onnx --store STORE --test

Run it after `calibrate.py`. Two errors are larger in other languages. **Words:** the whole model rates each text of DimABSA's
dev part from its words alone (see `multilingual.py`, whose STORE is used). A language gets the 90 % quantile of the errors in
valence, and languages without such texts get the largest of these quantiles. **Voice:** `across_corpora.py` has measured how
much larger the errors are in languages that the voice network was not trained on.

It also prints r of valence with the ratings: from words alone, and with the voice of actors of RAVDESS's dev split who speak
neutrally, from which alone nothing could be told. `--test` only measures a file, on DimABSA's test part; do that once. About 5
minutes on one CPU core.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from banks import WORDS_GAIN
from calibrate import RATED, by_language
from composed import RATE, Composed
from evaluate import Fusion, alone
from multilingual import CODES, means, rates, read_corpus, ridge, targets_of, teach
from speech_corpora import train_utterances
from vatrace.encoders.e5 import E5Encoder
from vatrace.encoders.voice import RavdessEncoder
from vatrace.encoders.words import MiniLMEncoder
from vatrace.features.speech import Listener
from vatrace.inference.intervals import COVERAGE, IN, half_widths_at, metadata, situations
from vatrace.languages import ENGLISH
from vatrace.timeline import frames_on_grid
from vatrace.training.export import add_metadata
from voice import at_usual_level, speech

NUM_TEXTS = 250
"""Of each language at most; drawn with seed 0."""


def neutral_voices(data: Path) -> list[NDArray[np.float32]]:
    """Features (T, 128) of neutral utterances of RAVDESS's dev actors."""
    listener, encoder = Listener(threads=2), RavdessEncoder(threads=2)
    said = [one for one in train_utterances(data, "dev") if one.corpus == "ravdess" and one.emotion == "neutral"]
    sounds = [speech(listener, utterance.path) for utterance in said]
    return [frames_on_grid(0.0, encoder(listener.encode(at_usual_level(one, one)).frames), RATE)[1] for one in sounds]


def spoken_by(voice: NDArray[np.float32], recording: Composed) -> Composed:
    """A recording of words with a voice, which is repeated as long as the words last."""
    steps = len(recording.target)
    features = recording.features | {"voice": np.resize(voice, (steps, voice.shape[1]))}
    return replace(recording, features=features, valid=recording.valid | {"voice": np.ones(steps, bool)})


def rated_texts(data: Path, store: Path, test: bool) -> pd.DataFrame:
    """Texts of DimABSA: `text`, `language`, and `target`, valence on the scale of the recordings that train the fusion."""
    corpus = read_corpus(data)
    taught = means(*teach(corpus, store / "teacher.npz"))
    known = ~corpus.dev & (corpus.source == "emobank")
    targets = targets_of(corpus, rates(taught, ridge(taught[known], corpus.ratings[known])))[:, 0]
    dimabsa = corpus.source == "dimabsa"
    if test:
        slope, offset = np.polyfit(corpus.ratings[dimabsa, 0], targets[dimabsa], 1)  # they are proportional
        table = pd.read_csv(data / "words_multilingual" / "dimabsa.csv")
        table = table[table["split"] == "test"].assign(language=lambda rows: rows["language"].map(CODES))
        table["target"] = offset + slope * table["valence"]
    else:
        rows = np.flatnonzero(dimabsa & corpus.dev)
        texts = [corpus.texts[row] for row in rows]
        table = pd.DataFrame({"text": texts, "language": corpus.language[rows], "target": targets[rows]})
    table["target"] = (table["target"] * WORDS_GAIN).clip(-1, 1)
    return table


def errors(data: Path, texts: pd.DataFrame, fusion: Fusion) -> dict[str, NDArray[np.float64]]:
    """Absolute errors of valence (N,) in texts of each language, from their words alone; of English by both encoders."""
    voices, found = neutral_voices(data), dict[str, NDArray[np.float64]]()
    encoders: dict[str, MiniLMEncoder | E5Encoder] = {ENGLISH: MiniLMEncoder(), "English by E5": E5Encoder()}
    for name in (*encoders, *RATED):
        language = name if name in RATED else ENGLISH
        rated = texts[texts["language"] == language]
        rated = rated.iloc[np.random.default_rng(0).permutation(len(rated))[:NUM_TEXTS]]
        encoder, missed, covered, values = encoders.get(name, encoders["English by E5"]), [], [], []
        for number, (text, target) in enumerate(zip(rated["text"], rated["target"], strict=True)):
            vectors, label = encoder(text.split()), np.array([target, 0], np.float32)
            recording = alone("words", np.repeat(vectors, 3, axis=0), label)
            languages, valence = np.full(len(recording.target), language), fusion(recording)[:, 0]
            where = situations(recording.valid, RATE, languages=languages)
            error = np.abs(valence - label[0])
            missed.append(error.mean())
            covered.append((error <= half_widths_at(where, fusion.half_widths)[:, 0]).mean())
            said = fusion(spoken_by(voices[number % len(voices)], recording))
            values.append((valence.mean(), said[:, 0].mean()))
        found[name] = np.array(missed)
        quantile, share = np.quantile(missed, COVERAGE), np.mean(covered)
        alone_r, voice_r = (np.corrcoef(column, rated["target"])[0, 1] for column in np.array(values).T)
        print(
            f"{name:14} {len(missed):4} texts: r {alone_r:.2f}, with a neutral voice {voice_r:.2f}; "
            f"{share:.1%} inside, 90 % of errors below {quantile:.3f}",
            flush=True,
        )
    return found


def main() -> None:
    """Measure, and write the half-widths into the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("fusion", type=Path)
    parser.add_argument("--store", type=Path, required=True, help="folder of multilingual.py")
    parser.add_argument("--test", action="store_true", help="only measure, on texts that nothing was chosen by")
    args = parser.parse_args()
    fusion = Fusion(args.fusion)
    missed = errors(args.data, rated_texts(args.data, args.store, args.test), fusion)
    if args.test:
        return
    widths = by_language(fusion.half_widths, missed)
    for name, (valence, arousal) in sorted(widths.items()):
        if IN in name:
            print(f"{name:45} valence ± {valence:.3f}   arousal ± {arousal:.3f}")
    add_metadata(args.fusion, metadata(widths))


if __name__ == "__main__":
    main()
