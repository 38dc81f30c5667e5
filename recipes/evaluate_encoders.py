"""Evaluate face, voice and word encoders, each alone, on held-out faces, speakers and texts.

    python recipes/evaluate_encoders.py DATA --split dev
    python recipes/evaluate_encoders.py DATA --split test --weights SEED1 SEED2

The 95 % intervals are by bootstrap over faces, utterances and sentences. `--weights` takes folders with the face.onnx,
voice.onnx and words.onnx of other seeds, and adds the mean and the standard deviation over all seeds, including the package's
own. Words are also evaluated as if they were spoken and, with `--split test`, on the test videos of CMU-MOSI and on Facebook
posts, which are for testing only; DATA then also contains mosi/ and fb_va/. The test split is for the figures in
docs/model-card.md: evaluate on it once, after all choices have been made.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from face import TABLE
from face import load as load_faces
from speech_corpora import Utterance, train_utterances
from spoken_words import spoken
from vatrace.encoders.face import EXPRESSIONS, FerPlusEncoder
from vatrace.encoders.networks.voice import VOICE_EMOTIONS
from vatrace.encoders.voice import RavdessEncoder
from vatrace.encoders.words import MiniLMEncoder
from vatrace.features.speech import Listener
from vatrace.metrics import concordance_cc, pearson_cc
from vatrace.names import DIMENSIONS
from vatrace.weights import find_whisper, package_file
from voice import at_usual_level, emotion_numbers, speech
from words import load as load_sentences

NUM_RESAMPLES = 1000


class Figure(NamedTuple):
    """A number to report.

    Attributes:
        part: the encoder and the data to evaluate.
        name: name of the measure.
        truth: (N,) or (N, ...), one for each sample.
        prediction: predictions of the same shape.
        measure: (truth, prediction) -> number.
    """

    part: str
    name: str
    truth: NDArray[np.generic]
    prediction: NDArray[np.generic]
    measure: Callable[[NDArray[np.generic], NDArray[np.generic]], float]


def accuracy(truth: NDArray[np.generic], prediction: NDArray[np.generic]) -> float:
    """Share of correct classes."""
    return float(np.mean(truth == prediction))


def average_recall(truth: NDArray[np.generic], prediction: NDArray[np.generic]) -> float:
    """Unweighted mean recall over classes."""
    return float(np.mean([np.mean(prediction[truth == label] == label) for label in np.unique(truth)]))


def agreement(
    part: str, truth: NDArray[np.generic], prediction: NDArray[np.generic], **measures: Callable[..., float]
) -> Iterator[Figure]:
    """Measures of valence and arousal (N, 2)."""
    for name, measure in measures.items():
        for column, dimension in enumerate(DIMENSIONS):
            yield Figure(part, f"{name} {dimension}", truth[:, column], prediction[:, column], measure)


def faces(file: Path, data: Path, split: str) -> Iterator[Figure]:
    """The expression network on FER+."""
    found, encoder = load_faces(data, split), FerPlusEncoder(file, threads=2)
    batches = [batch[:, 0].byte().numpy() for batch in found.images.split(512)]
    truth, agreed = found.votes.numpy().argmax(axis=1), found.agreed.numpy()
    predicted = np.concatenate([encoder.expressions(batch) for batch in batches]).argmax(axis=1)
    yield Figure("face, FER+", "accuracy, one majority label", truth[agreed], predicted[agreed], accuracy)
    yield Figure("face, FER+", "accuracy, all faces", truth, predicted, accuracy)
    values = np.concatenate([encoder.valence_arousal(batch) for batch in batches])
    yield from agreement("face, FER+", (found.votes @ TABLE).numpy(), values, CCC=concordance_cc)
    for index, name in enumerate(EXPRESSIONS):
        chosen = agreed & (truth == index)
        yield Figure("face, FER+", f"recall of {name}", truth[chosen], predicted[chosen], accuracy)


def ravdess(data: Path, split: str) -> list[Utterance]:
    """The utterances of RAVDESS of one split."""
    return [utterance for utterance in train_utterances(data, split) if utterance.corpus == "ravdess"]


def voices(file: Path, data: Path, split: str, frames: list[NDArray[np.float32]]) -> Iterator[Figure]:
    """The voice network on RAVDESS, each utterance alone."""
    said, encoder = ravdess(data, split), RavdessEncoder(file, threads=2)
    truth = emotion_numbers(said)
    predicted = np.array([encoder.emotions(heard).mean(axis=0).argmax() for heard in frames])
    proxy = np.array([utterance.valence_arousal for utterance in said])
    values = np.array([encoder.valence_arousal(heard).mean(axis=0) for heard in frames])
    female = np.array([utterance.sex == "f" for utterance in said])
    for part, chosen in (("", np.full(len(said), True)), (", women", female), (", men", ~female)):
        yield Figure(f"voice, RAVDESS{part}", "average recall", truth[chosen], predicted[chosen], average_recall)
        yield from agreement(f"voice, RAVDESS{part}", proxy[chosen], values[chosen], CCC=concordance_cc)
    for index, name in enumerate(VOICE_EMOTIONS):
        chosen = truth == index
        yield Figure("voice, RAVDESS", f"recall of {name}", truth[chosen], predicted[chosen], accuracy)


def words(file: Path, data: Path, split: str) -> Iterator[Figure]:
    """The word encoder on EmoBank, as written and as if spoken; for the test split also on CMU-MOSI and Facebook posts."""
    encoder = MiniLMEncoder(file, threads=2)

    def rated(texts: list[str]) -> NDArray[np.generic]:
        return np.array([encoder.valence_arousal(text) for text in texts])

    texts, truth = load_sentences(data, split)
    yield from agreement("words, EmoBank", truth.numpy(), rated(texts), CCC=concordance_cc, r=pearson_cc)
    rng = np.random.default_rng(0)
    heard = [spoken(text, rng) for text in texts]
    yield from agreement("words, EmoBank, spoken", truth.numpy(), rated(heard), CCC=concordance_cc, r=pearson_cc)
    if split == "test":
        with np.load(data / "mosi" / "mosi.npz") as table:
            chosen = table["split"] == "test"
            said, sentiment = [str(text).lower() for text in table["text"][chosen]], table["sentiment"][chosen]
        yield Figure("words, MOSI", "r valence, sentiment", sentiment, rated(said)[:, 0], pearson_cc)
        posts = pd.read_csv(data / "fb_va" / "dataset-fb-valence-arousal-anon.csv", keep_default_na=False)
        raters = [posts[[f"{dimension.capitalize()}{rater}" for dimension in DIMENSIONS]].to_numpy(float) for rater in (1, 2)]
        mean = np.mean(raters, axis=0)
        yield from agreement("words, Facebook posts", mean, rated(posts["Anonymized Message"].tolist()), r=pearson_cc)


def interval(figure: Figure) -> tuple[float, float]:
    """The 95 % percentile interval over resamples."""
    rng = np.random.default_rng(0)
    values = []
    for _ in range(NUM_RESAMPLES):
        chosen = rng.integers(len(figure.truth), size=len(figure.truth))
        values.append(figure.measure(figure.truth[chosen], figure.prediction[chosen]))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", choices=["dev", "test"], default="dev")
    parser.add_argument("--weights", type=Path, nargs="+", default=[], help="folders with the networks of other seeds")
    args = parser.parse_args()
    listener = Listener(find_whisper(), threads=2)
    sounds = [speech(listener, utterance.path) for utterance in ravdess(args.data, args.split)]
    heard = [listener.encode(at_usual_level(sound, sound)).frames for sound in sounds]
    parts: dict[str, Callable[..., Iterator[Figure]]] = {
        "face": faces,
        "voice": partial(voices, frames=heard),
        "words": words,
    }
    print(f"{args.split + ' split':<24}{'measure':<30}{'n':>6}   value [95 %]            seeds: mean ± SD")
    for name, figures in parts.items():
        files = [path for path in (folder / f"{name}.onnx" for folder in args.weights) if path.is_file()]
        found = [list(figures(file, args.data, args.split)) for file in [package_file(f"{name}.onnx"), *files]]
        for same in zip(*found, strict=True):
            values = [figure.measure(figure.truth, figure.prediction) for figure in same]
            low, high = interval(same[0])
            spread = f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} ({len(values)})" if len(values) > 1 else ""
            label = f"{same[0].part:<24}{same[0].name:<30}{len(same[0].truth):>6}"
            print(f"{label}   {values[0]:.3f} [{low:.3f}, {high:.3f}]    {spread}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
