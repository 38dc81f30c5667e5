"""Compute the intervals of a fusion model from its errors on composed recordings of the dev banks.

    python recipes/calibrate.py BANKS src/vatrace/weights/fusion.onnx

They are stored in the file, without those that `calibrate_languages.py` adds. About 3 minutes on two CPU cores.
`recipes/evaluate.py` measures how often they contain the true value.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from composed import RATE
from composed_fusion import STEPS, fixed_recordings, load
from evaluate import Fusion, without
from vatrace.inference.intervals import ANOTHER, COVERAGE, IN, NEAR, NOTHING, HalfWidths, half_widths, metadata, situations
from vatrace.training.export import add_metadata

NUM_RECORDINGS, SEED = 4000, 2
"""The seed differs from those for model selection (0) and evaluation (1). Many recordings are needed: only one in thirteen,
for instance, has voice alone, and a quantile estimated from fifty recordings is itself off by 2 or 3 %."""

UNHEARD = 1.4
"""How much wider the intervals are where nothing but a voice is known. On corpora left out of the training of the voice network
(`across_corpora.py`), the 90 % quantile of its errors is 1.42 times as large for valence, and 1.45 times for arousal, as on
unheard speakers of corpora that it knows: 0.75 instead of 0.53, and 0.42 instead of 0.29."""

HEARD = ("de", "it", "ko", "pl", "ur")
"""Languages other than English in which the voice network was trained."""
UNKNOWN_LANGUAGE = (1.82, 1.92)
"""How much wider the intervals are where nothing but a voice is known, in a language that the voice network was not trained on.
UNHEARD is the mean over the six corpora left out in turn; this is the largest. The factors of the English, German, Polish,
Korean, Italian and Urdu corpus are 1.82, 1.14, 1.12, 1.51, 1.57 and 1.37 for valence, and 1.48, 0.93, 1.92, 1.20, 1.53 and 1.64
for arousal. They don't tell languages from other differences between corpora."""
RATED = ("de", "zh", "ru", "uk")
"""Languages with enough rated texts in which Whisper and E5 both work."""
VOICE_ALONE = ("voice", NOTHING + NEAR + "voice")


def widened(widths: HalfWidths) -> HalfWidths:
    """Half-widths for voices unlike those of the training corpora."""
    return {
        name: (valence * UNHEARD, arousal * UNHEARD) if name in VOICE_ALONE else (valence, arousal)
        for name, (valence, arousal) in widths.items()
    }


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
    """Measure the errors in each situation, and write their quantiles into the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banks", type=Path)
    parser.add_argument("fusion", type=Path)
    args = parser.parse_args()
    fusion, found = Fusion(args.fusion), []
    banks = load(args.banks, "dev")
    unsupported = fusion(without(next(fixed_recordings(banks, 1, SEED)), ()))
    for recording in fixed_recordings(banks, NUM_RECORDINGS, SEED):
        where = situations(recording.valid, RATE, ahead=not fusion.streams)
        errors = (recording.target - fusion(recording)).astype(np.float64)
        errors[where == NOTHING] = np.nan  # too few steps: estimated below, with no modality present throughout
        found.append((errors, where))
        found.append(((recording.target - unsupported).astype(np.float64), np.full(STEPS, NOTHING)))
    widths = widened(half_widths(found))
    for name, (valence, arousal) in sorted(widths.items()):
        print(f"{name:18} valence ± {valence:.3f}   arousal ± {arousal:.3f}")
    add_metadata(args.fusion, metadata(widths))


if __name__ == "__main__":
    main()
