"""Add half-widths for languages other than English to the intervals of a fusion model.

    python recipes/calibrate_languages.py DATA src/vatrace/weights/fusion.onnx --store STORE

Run it after `calibrate.py`. Two errors are larger in other languages. **Words:** the whole model rates each text of DimABSA's dev
part from its words alone (see `multilingual.py`, whose STORE is used). A language gets the 90 % quantile of the errors in valence,
and languages without such texts get the largest of these quantiles. **Voice:** `across_corpora.py` has measured how much larger
the errors are in languages that the voice network was not trained on. About 5 minutes on one CPU core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from banks import WORDS_GAIN
from calibrate import UNHEARD
from composed import RATE
from evaluate import Fusion, alone
from multilingual import means, rates, read_corpus, ridge, targets_of, teach
from vatrace.encoders.e5 import E5Encoder
from vatrace.encoders.words import MiniLMEncoder
from vatrace.inference.intervals import ANOTHER, COVERAGE, IN, NEAR, NOTHING, HalfWidths, half_widths_at, metadata, situations
from vatrace.languages import ENGLISH
from vatrace.training.export import add_metadata

RATED = ("de", "zh", "ru", "uk")
"""Languages with enough rated texts in which Whisper and E5 both work."""
NUM_TEXTS = 250
"""Of each language at most; drawn with seed 0."""
HEARD = ("de", "it", "ko", "pl", "ur")
"""Languages other than English in which the voice network was trained."""
UNKNOWN_LANGUAGE = (1.82, 1.92)
"""How much wider the intervals are where nothing but a voice is known, in a language that the voice network was not trained on.
UNHEARD is the mean over the six corpora left out in turn; this is the largest. The factors of the English, German, Polish,
Korean, Italian and Urdu corpus are 1.82, 1.14, 1.12, 1.51, 1.57 and 1.37 for valence, and 1.48, 0.93, 1.92, 1.20, 1.53 and 1.64
for arousal. They don't tell languages from other differences between corpora."""
VOICE_ALONE = ("voice", NOTHING + NEAR + "voice")


def errors(data: Path, store: Path, fusion: Fusion) -> dict[str, NDArray[np.float64]]:
    """Absolute errors of valence (N,) in texts of each language, from their words alone; of English by both encoders."""
    corpus = read_corpus(data)
    taught = means(*teach(corpus, store / "teacher.npz"))
    known = ~corpus.dev & (corpus.source == "emobank")
    targets = targets_of(corpus, rates(taught, ridge(taught[known], corpus.ratings[known])))[:, 0]
    found: dict[str, NDArray[np.float64]] = {}
    encoders = {ENGLISH: MiniLMEncoder(), "English by E5": E5Encoder()}
    for name in (*encoders, *RATED):
        inside = corpus.dev & (corpus.source == "dimabsa") & (corpus.language == (name if name in RATED else ENGLISH))
        chosen = np.random.default_rng(0).permutation(np.flatnonzero(inside))[:NUM_TEXTS]
        encoder, missed, covered = encoders.get(name, encoders["English by E5"]), [], []
        for index in chosen:
            vectors = encoder(corpus.texts[index].split())
            label = np.array([np.clip(targets[index] * WORDS_GAIN, -1, 1), 0], np.float32)
            recording = alone("words", np.repeat(vectors, 3, axis=0), label)
            where = situations(recording.valid, RATE)
            error = np.abs(fusion(recording) - recording.target)[:, 0]
            missed.append(error.mean())
            covered.append((error <= half_widths_at(where, fusion.half_widths)[:, 0]).mean())
        found[name] = np.array(missed)
        quantile = np.quantile(missed, COVERAGE)
        print(
            f"{name:14} {len(missed):4} texts: {np.mean(covered):.1%} inside, 90 % of errors below {quantile:.3f}", flush=True
        )
    return found


def by_language(widths: HalfWidths, missed: dict[str, NDArray[np.float64]]) -> HalfWidths:
    """Half-widths with those of other languages.

    Args:
        widths: in English.
        missed: errors of valence by language, as `errors` returns them.
    """
    result = {name: pair for name, pair in widths.items() if IN not in name}
    quantiles = {language: float(np.quantile(missed[language], COVERAGE)) for language in RATED}
    quantiles[ANOTHER] = max(quantiles.values())
    english = result["words"][0]
    for name, (valence, arousal) in list(result.items()):
        if name in VOICE_ALONE:
            result |= {name + IN + language: (valence, arousal) for language in HEARD}
            first, second = (factor / UNHEARD for factor in UNKNOWN_LANGUAGE)
            result[name + IN + ANOTHER] = (valence * first, arousal * second)
        elif "words" in name and "face" not in name:
            result |= {name + IN + language: (valence * max(x / english, 1), arousal) for language, x in quantiles.items()}
    return result


def main() -> None:
    """Measure, and write the half-widths into the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("fusion", type=Path)
    parser.add_argument("--store", type=Path, required=True, help="folder of multilingual.py")
    args = parser.parse_args()
    fusion = Fusion(args.fusion)
    widths = by_language(fusion.half_widths, errors(args.data, args.store, fusion))
    for name, (valence, arousal) in sorted(widths.items()):
        if IN in name:
            print(f"{name:45} valence ± {valence:.3f}   arousal ± {arousal:.3f}")
    add_metadata(args.fusion, metadata(widths))


if __name__ == "__main__":
    main()
