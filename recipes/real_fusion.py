"""Train every fusion on recordings of real people, and compare each with the best single modality.

    python recipes/real_fusion.py DATA --out REAL
    python recipes/real_fusion.py DATA --out REAL --table

DATA contains mosi/, mmmo/ (needs h5py), ravdess/ and ravdess_au/. Features and the result of each trained model are written to
REAL and used again if they exist: the same command continues after an interruption. No video and no actor is in two of train,
dev and test. Weights are selected on dev; the table is about test.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from vatrace.evaluation.bootstrap import ccc_of_moments, interval, moments, nan_mean, resample_counts, resampled_ccc
from vatrace.models.affect import AffectModel, ModelConfig, Output
from vatrace.names import DIMENSIONS
from vatrace.training.checkpoint import Model
from vatrace.training.data import Batch, Sample, collate
from vatrace.training.loop import TrainConfig, fit

SEEDS = (0, 1, 2, 3, 4)
EXTREMES = (1, 99)
"""Percentiles of the training features to which all features are clipped: features of other tools contain gross errors."""
NUM_DEV_VIDEOS = 12
"""Of the 62 training videos of CMU-MOSI; drawn for each seed."""
NUM_TEST_ACTORS, NUM_DEV_ACTORS = 4, 2
"""Of the twelve actors of a half of RAVDESS."""

SURE = 0.9
"""How sure a gain on dev must be for a residual model to keep what it has learned after its beginning."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """One recording: a video, a review or an utterance.

    Attributes:
        unit: the video or the actor. The recordings of a unit are in the same split, and are resampled together.
        features: (T, D_m) by modality.
        valid: (T,) bool by modality.
        target: (T, K) in -1..1.
    """

    unit: str
    features: dict[str, Floats]
    valid: dict[str, NDArray[np.bool_]]
    target: Floats


@dataclass(frozen=True)
class Fold:
    """The recordings to train on, to select weights on, and to test on."""

    train: list[Piece]
    dev: list[Piece]
    test: list[Piece]


@dataclass(frozen=True)
class RealSet:
    """A data set, and what all its models have in common.

    Attributes:
        folds: returns the folds of a seed; their test recordings are different.
        outputs: the labelled dimensions.
        per_step: whether each step has its own label; otherwise the predictions are averaged over a recording.
        model: options of `ModelConfig`.
        train: how the models are trained.
        reach: steps within which the default fusion attends, as in its preset unless recordings are shorter.
    """

    folds: Callable[[int], list[Fold]]
    outputs: tuple[Output, ...]
    per_step: bool
    model: Mapping[str, Any]
    train: TrainConfig
    reach: int = 50


def piece(unit: str, features: Mapping[str, NDArray[Any]], target: NDArray[Any]) -> Piece:
    """A recording whose missing steps have zeros in all channels of a modality."""
    values = {name: np.asarray(x, np.float32) for name, x in features.items()}
    return Piece(unit, values, {name: np.abs(x).sum(axis=1) > 0 for name, x in values.items()}, np.asarray(target, np.float32))


def mosi(data: Path, cache: Path) -> RealSet:
    """CMU-MOSI: the words of our encoder and acoustic features of other authors, at each utterance of a video."""
    with np.load(data / "mosi" / "mosi.npz") as file:
        table = {name: file[name] for name in ("video", "segment", "text", "sentiment", "split", "bc_audio")}
    words = cached(cache / "mosi-words.npy", lambda: encoded_texts([str(text) for text in table["text"]]))
    pieces: dict[str, list[Piece]] = {"train": [], "test": []}
    for video in np.unique(table["video"]):
        rows = np.flatnonzero(table["video"] == video)
        rows = rows[np.argsort(table["segment"][rows])]
        features = {"voice": table["bc_audio"][rows], "words": words[rows]}
        pieces[table["split"][rows[0]]].append(piece(str(video), features, table["sentiment"][rows, None] / 3))

    def folds(seed: int) -> list[Fold]:
        order = np.random.default_rng(seed).permutation(len(pieces["train"]))
        dev, train = ([pieces["train"][i] for i in part] for part in (order[:NUM_DEV_VIDEOS], order[NUM_DEV_VIDEOS:]))
        return [Fold(train, dev, pieces["test"])]

    model = {"num_levels": 1, "kernel_size": 3}
    return RealSet(folds, ("valence",), True, model, TrainConfig(num_epochs=30, early_stop=10, batch_size=8, weight_decay=0.01))


def encoded_texts(texts: Sequence[str]) -> Floats:
    """The mean vector (N, 384) of the words of each text, by the package's encoder."""
    from vatrace.encoders.words import MiniLMEncoder

    encoder = MiniLMEncoder()
    return np.stack([encoder(text.lower().split()).mean(axis=0) for text in texts])


def mmmo(data: Path, cache: Path) -> RealSet:
    """ICT-MMMO: face and voice in 20 parts of a review. Its words were not given out for the training reviews."""
    import h5py

    def read(name: str) -> NDArray[np.float64]:
        with h5py.File(data / "mmmo" / f"{name}.h5") as file:
            return np.asarray(file["d1"])

    parts = []
    for split in ("train", "valid", "test"):
        face, voice, rating = read(f"video_{split}"), read(f"audio_{split}"), read(f"y_{split}")
        parts.append(
            [
                piece(
                    f"{split}-{index}", {"face": face[index], "voice": voice[index]}, np.full((20, 1), (rating[index] - 3) / 2)
                )
                for index in range(len(rating))
            ]
        )
    model = {"num_levels": 1, "kernel_size": 3}
    train = TrainConfig(num_epochs=30, early_stop=10, batch_size=24, weight_decay=0.01)
    return RealSet(lambda seed: [Fold(*parts)], ("valence",), False, model, train, reach=20)


def ravdess(data: Path, cache: Path) -> RealSet:
    """RAVDESS: the voice and the action units of the face in the same clip.

    The voice network is ours, trained on the other half of the actors. It has heard none of the actors that a fusion is trained
    or tested on, and is therefore equally accurate on both.
    """
    from speech_corpora import corpus_utterances

    said = corpus_utterances(data, "ravdess")
    table = pd.read_csv(data / "ravdess_au" / "df_average_AUs_total.csv", sep=";").set_index("name")
    units = table[[column for column in table.columns if column.startswith("AU")]]
    voice = cached(cache / "ravdess-voice.npy", lambda: cross_fitted_voice(data, cache))
    halves: list[dict[int, list[Piece]]] = [{}, {}]
    for utterance, embedding in zip(said, voice, strict=True):
        face = units.loc["01" + utterance.path.stem[2:]].to_numpy(np.float32)
        found = piece(utterance.speaker, {"face": face[None], "voice": embedding[None]}, np.array([utterance.valence_arousal]))
        halves[half_of(int(utterance.speaker))].setdefault(int(utterance.speaker), []).append(found)

    def folds(seed: int) -> list[Fold]:
        result = []
        for half in halves:
            actors = np.random.default_rng(seed).permutation(sorted(half))
            for start in range(0, len(actors), NUM_TEST_ACTORS):
                turned = np.roll(actors, -start)
                parts = np.split(turned, [NUM_TEST_ACTORS, NUM_TEST_ACTORS + NUM_DEV_ACTORS])
                test, dev, train = ([found for actor in part for found in half[actor]] for part in parts)
                result.append(Fold(train, dev, test))
        return result

    train = TrainConfig(num_epochs=12, early_stop=5, batch_size=64, learning_rate=2e-3, weight_decay=0.01)
    return RealSet(folds, ("valence", "arousal"), False, {"num_levels": 1, "kernel_size": 1}, train, reach=1)


def half_of(actor: int) -> int:
    """The half of RAVDESS that an actor is in; each has six men and six women."""
    return (actor - 1) // 12


def cross_fitted_voice(data: Path, cache: Path) -> Floats:
    """The mean embedding (N, 128) of each utterance, by a voice network that was trained on the other half of the actors."""
    from speech_corpora import corpus_utterances
    from voice import Heard, train

    said = corpus_utterances(data, "ravdess")
    frames = whisper_frames(data, cache)
    embeddings = np.zeros((len(said), 128), np.float32)
    for half in (0, 1):
        known = [index for index, utterance in enumerate(said) if half_of(int(utterance.speaker)) != half]
        heard = [Heard(frames[index], place) for place, index in enumerate(known)]
        network = train([said[index] for index in known], heard, seed=0)
        with torch.inference_mode():
            for index, utterance in enumerate(said):
                if half_of(int(utterance.speaker)) == half:
                    given = torch.from_numpy(frames[index].astype(np.float32))[None]
                    embeddings[index] = network(given, torch.ones(given.shape[:2], dtype=torch.bool))[0][0].mean(dim=0)
    return embeddings


def whisper_frames(data: Path, cache: Path) -> list[NDArray[np.float16]]:
    """Whisper's frames (n, 384) of each utterance of RAVDESS, encoded alone or among others of the actor."""
    from speech_corpora import corpus_utterances
    from vatrace.features.speech import Listener
    from vatrace.weights import find_whisper
    from voice import hear, speech

    path = cache / "ravdess-whisper.npz"
    if not path.is_file():
        listener = Listener(find_whisper())
        said = corpus_utterances(data, "ravdess")
        sounds = [speech(listener, utterance.path) for utterance in said]
        heard = sorted(hear(listener, sounds, said, True, np.random.default_rng(0)), key=lambda heard: heard.utterance)
        frames, ends = np.concatenate([one.frames for one in heard]), np.cumsum([len(one.frames) for one in heard])
        np.savez(path, frames=frames, ends=ends)
    with np.load(path) as file:
        return np.split(file["frames"], file["ends"][:-1])


def cached(path: Path, make: Callable[[], Floats]) -> Floats:
    """Read an array, or make and write it."""
    if not path.is_file():
        np.save(path, make())
    return np.asarray(np.load(path))


SETS: dict[str, Callable[[Path, Path], RealSet]] = {"mosi": mosi, "ravdess": ravdess, "mmmo": mmmo}

SMALL: dict[str, dict[str, Any]] = {
    "lstm": {"hidden_dim": 32},
    "gated": {"gated_dim": 32},
    "leader_follower": {"attention_dim": 16},
    "transformer": {"token_dim": 32, "num_layers": 1, "num_heads": 2},
    "jca": {"hidden_dim": 32},
    "rcma": {"joint_dim": 32},
    "rjcma": {"joint_dim": 32},
    "cross_attention": {"attention_dim": 32, "num_heads": 2},
    "recursive_cross_attention": {"attention_dim": 32, "num_heads": 2},
}
"""Options that fit the width of the models for these small sets."""
WIDTH = 32
"""Channels of the TCNs and of the head."""


@dataclass(frozen=True)
class Variant:
    """A model to be compared.

    Attributes:
        fusion: the name of the fusion.
        modalities: the modalities; all if empty.
        modality_dropout: probability that a modality is removed from a training recording; one is always kept.
        residual: whether it is a residual model that starts from models of each modality (`train_residual`).
    """

    fusion: str
    modalities: tuple[str, ...] = ()
    modality_dropout: float = 0.0
    residual: bool = False


SINGLE = {f"{name} only": Variant("concat", (name,)) for name in ("face", "voice", "words")}
DEFAULT = "recursive_cross_attention"
VARIANTS = SINGLE | {
    f"{DEFAULT}, residual": Variant(DEFAULT, residual=True),
    DEFAULT: Variant(DEFAULT),
    "concat": Variant("concat"),
    "concat, residual": Variant("concat", residual=True),
    f"{DEFAULT}, modality dropout": Variant(DEFAULT, modality_dropout=0.3),
    "cross_attention": Variant("cross_attention"),
    "lstm": Variant("lstm"),
    "gated": Variant("gated"),
    "leader_follower": Variant("leader_follower"),
    "transformer": Variant("transformer"),
    "rcma": Variant("rcma"),
    "rjcma": Variant("rjcma"),
    "jca": Variant("jca"),
}


def clipped(fold: Fold) -> Fold:
    """Clip all features to the EXTREMES of the training features."""
    limits = {}
    for name in fold.train[0].features:
        known = np.concatenate([piece.features[name][piece.valid[name]] for piece in fold.train])
        limits[name] = np.percentile(known, EXTREMES, axis=0).astype(np.float32)

    def clip(pieces: list[Piece]) -> list[Piece]:
        return [
            replace(piece, features={name: np.clip(x, *limits[name]) for name, x in piece.features.items()}) for piece in pieces
        ]

    return Fold(clip(fold.train), clip(fold.dev), clip(fold.test))


def statistics(pieces: Sequence[Piece], names: Sequence[str]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Mean and standard deviation (D,) of each modality's valid features."""
    result = {}
    for name in names:
        known = torch.from_numpy(np.concatenate([piece.features[name][piece.valid[name]] for piece in pieces]))
        result[name] = (known.mean(dim=0), known.std(dim=0))
    return result


def batch_of(pieces: Sequence[Piece], names: Sequence[str], removed: Sequence[Sequence[str]] = ()) -> Batch:
    """Make a batch, in which the modalities `removed` from each recording are missing."""
    samples: list[Sample] = []
    for piece, without in zip(pieces, removed or [()] * len(pieces), strict=True):
        valid = {name: piece.valid[name] & (name not in without) for name in names}
        known = np.any(list(valid.values()), axis=0)
        samples.append(({name: piece.features[name] for name in names}, valid, piece.target, known))
    return collate(samples)


def training_batches(
    pieces: Sequence[Piece], names: Sequence[str], batch_size: int, dropout: float, rng: np.random.Generator
) -> Iterator[Batch]:
    """The batches of an epoch, in random order."""
    order = rng.permutation(len(pieces))
    for start in range(0, len(order) - batch_size + 1, batch_size):
        chosen = [pieces[index] for index in order[start : start + batch_size]]
        yield batch_of(chosen, names, [dropped(names, dropout, rng) for _ in chosen])


def dropped(names: Sequence[str], chance: float, rng: np.random.Generator) -> list[str]:
    """The modalities to remove, each with the same chance; one is always kept."""
    kept = rng.choice(names)
    return [name for name in names if name != kept and rng.random() < chance]


def predictions(model: Model, pieces: Sequence[Piece], per_step: bool) -> list[tuple[Floats, Floats]]:
    """Truth and prediction (T, K) of each recording, at steps with any modality; averaged over them unless `per_step`."""
    pairs = []
    with torch.inference_mode():
        for start in range(0, len(pieces), 256):
            batch = batch_of(pieces[start : start + 256], model.modalities)
            found = model(batch.features, batch.valid)
            for truth, values, known in zip(batch.target, found, batch.labelled, strict=True):
                pair = (truth[known].numpy(), values[known].numpy())
                pairs.append(pair if per_step or not known.any() else (pair[0][:1], pair[1].mean(axis=0, keepdims=True)))
    return pairs


def both_columns(pairs: Sequence[tuple[Floats, Floats]]) -> list[tuple[Floats, Floats]]:
    """Add a column of NaN to pairs with one output, for `moments`."""
    width = len(DIMENSIONS)
    return [
        (
            np.pad(truth, ((0, 0), (0, width - truth.shape[1])), constant_values=np.nan),
            np.pad(values, ((0, 0), (0, width - values.shape[1]))),
        )
        for truth, values in pairs
    ]


def scores(pairs: Sequence[tuple[Floats, Floats]]) -> NDArray[np.float64]:
    """The CCC (K,) over all recordings."""
    found = ccc_of_moments(moments(both_columns(pairs), ["all"] * len(pairs)).sum(axis=0))
    return np.asarray(found[: pairs[0][0].shape[1]])


def model_config(real: RealSet, variant: Variant, dims: Mapping[str, int]) -> ModelConfig:
    """The config of a variant for a data set."""
    names = variant.modalities or tuple(dims)
    return ModelConfig(
        feature_dims={name: dims[name] for name in names},
        widths=dict.fromkeys(names, WIDTH),
        fusion=variant.fusion,
        fusion_options=SMALL.get(variant.fusion, {}) | ({"reach": real.reach} if variant.fusion == DEFAULT else {}),
        head_dim=WIDTH,
        outputs=real.outputs,
        dropout=0.2,
        residual=variant.residual,
        **real.model,
    )


def new_model(real: RealSet, variant: Variant, fold: Fold, seed: int) -> AffectModel:
    """A model before training."""
    torch.manual_seed(seed)
    dims = {name: x.shape[1] for name, x in fold.train[0].features.items()}
    model = AffectModel(model_config(real, variant, dims)).eval()
    model.standardise_by(statistics(fold.train, model.modalities))
    return model


def train_model(real: RealSet, variant: Variant, fold: Fold, seed: int) -> AffectModel:
    """Train a model, and keep the weights that are best on dev."""
    if variant.residual:
        return train_residual(real, variant, fold, seed)
    model = new_model(real, variant, fold, seed)
    train_weights(model, real, variant.modality_dropout, fold, seed)
    return model


def train_weights(model: AffectModel, real: RealSet, modality_dropout: float, fold: Fold, seed: int) -> None:
    """Train a model in place."""
    size = min(real.train.batch_size, len(fold.train))
    rng = np.random.default_rng(seed)

    def evaluate(trained: Model) -> dict[str, float]:
        return dict(zip(real.outputs, scores(predictions(trained, fold.dev, real.per_step)).tolist(), strict=True))

    def batches(number: int) -> Iterator[Batch]:
        return training_batches(fold.train, model.modalities, size, modality_dropout, rng)

    fit(model, batches, len(fold.train) // size, evaluate, real.train, seed=seed)


def train_residual(real: RealSet, variant: Variant, fold: Fold, seed: int) -> AffectModel:
    """Train a residual model that begins as the best single modality, and keep that beginning if nothing is gained on dev.

    The models of each modality are trained first, and the residual model starts from their weights. Something is gained if
    the mean CCC on dev is higher in at least SURE of the resamples of its units.
    """
    names = list(fold.train[0].features)
    alone = {name: train_model(real, Variant("concat", (name,)), fold, seed) for name in names}
    reached = {name: scores(predictions(model, fold.dev, real.per_step)) for name, model in alone.items()}
    leaders = [names[best] for best in np.argmax([reached[name] for name in names], axis=0)]
    model = new_model(real, variant, fold, seed)
    model.start_from(alone, leaders)
    beginning = {name: value.clone() for name, value in model.state_dict().items()}
    before = predictions(model, fold.dev, real.per_step)
    train_weights(model, real, variant.modality_dropout, fold, seed)
    if not has_gained(before, predictions(model, fold.dev, real.per_step)):
        model.load_state_dict(beginning)
    return model


def has_gained(before: Sequence[tuple[Floats, Floats]], after: Sequence[tuple[Floats, Floats]]) -> bool:
    """Whether the mean CCC is higher in at least SURE of the resamples: of recordings, because dev has only a few actors."""
    units = [str(index) for index in range(len(before))]
    counts = resample_counts(len(units), 500)
    first, second = (resampled_ccc(moments(both_columns(pairs), units), counts)[:, 2] for pairs in (before, after))
    return bool(np.mean(second > first) >= SURE)


def run(real: RealSet, variant: Variant, seed: int, path: Path) -> None:
    """Train a variant on all folds of a seed, and write the `moments` of its test recordings (U, 2, 6) and its dev score."""
    pairs, units, dev = [], [], []
    for fold in map(clipped, real.folds(seed)):
        model = train_model(real, variant, fold, seed)
        pairs += predictions(model, fold.test, real.per_step)
        units += [piece.unit for piece in fold.test]
        dev.append(scores(predictions(model, fold.dev, real.per_step)).mean())
    order = np.argsort(units, kind="stable")  # folds, and so the order of units, depend on the seed
    table = moments(both_columns([pairs[index] for index in order]), [units[index] for index in order])
    np.savez(path, moments=table, dev=np.mean(dev))


@dataclass(frozen=True)
class Result:
    """What a variant has reached with several seeds.

    Attributes:
        scores: (S,) CCC on test with each seed, mean over the outputs.
        dev: mean over the seeds of the mean CCC on dev.
        resampled: (R,) mean CCC over the seeds of each resample of the units.
    """

    scores: NDArray[np.float64]
    dev: float
    resampled: NDArray[np.float64]


def read_result(paths: Sequence[Path]) -> Result:
    """Read the results of all seeds of a variant."""
    tables, dev = [], []
    for path in paths:
        with np.load(path) as file:
            tables.append(file["moments"])
            dev.append(float(file["dev"]))
    counts = resample_counts(len(tables[0]))
    found = nan_mean(np.stack([ccc_of_moments(table.sum(axis=0)) for table in tables]))
    return Result(found, float(np.mean(dev)), np.mean([resampled_ccc(table, counts)[:, 2] for table in tables], axis=0))


def print_table(name: str, folder: Path, seeds: Sequence[int]) -> None:
    """Mean and SD over seeds, its interval, and the difference from the best single modality on dev, in Markdown."""
    results = {}
    for variant in VARIANTS:
        paths = [result_path(folder, name, variant, seed) for seed in seeds]
        if all(path.is_file() for path in paths):
            results[variant] = read_result(paths)
    if not results:
        return
    best = max((variant for variant in SINGLE if variant in results), key=lambda variant: results[variant].dev)
    print(f"\n{name}\n\n| model | CCC | 95 % | more than {best} | 95 % |\n| --- | --- | --- | --- | --- |")
    for variant, result in sorted(results.items(), key=lambda item: -item[1].scores.mean()):
        low, high = interval(result.resampled)
        cells = [variant, f"{result.scores.mean():.3f} ± {result.scores.std(ddof=1):.3f}", f"[{low:.3f}, {high:.3f}]"]
        if variant != best:
            low, high = interval(result.resampled - results[best].resampled)
            cells += [f"{result.scores.mean() - results[best].scores.mean():+.3f}", f"[{low:+.3f}, {high:+.3f}]"]
        else:
            cells += ["", ""]
        print(f"| {' | '.join(cells)} |", flush=True)


def result_path(folder: Path, name: str, variant: str, seed: int) -> Path:
    """The file of a result."""
    return folder / f"{name}-{re.sub(r'[^a-z0-9]+', '-', variant.lower()).strip('-')}-{seed}.npz"


def main() -> None:
    """Train the models that don't exist yet, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="a folder for features and results")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS), metavar="NAME")
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--table", action="store_true", help="train nothing; print the table")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # the models are small
    for name in args.sets:
        if args.table:
            print_table(name, args.out, SEEDS)
            continue
        real = SETS[name](args.data, args.out)
        present = real.folds(0)[0].train[0].features
        for seed in SEEDS:
            for variant in args.only:
                path, started = result_path(args.out, name, variant, seed), time.time()
                if not path.is_file() and set(VARIANTS[variant].modalities) <= set(present):
                    run(real, VARIANTS[variant], seed, path)
                    print(f"{name}, {variant}, seed {seed}: {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
