import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from spoken_words import FILLER_SHARE, FILLERS, matched, spoken


def without_fillers(text: str) -> list[str]:
    fillers = {word for filler in FILLERS for word in filler.split()}
    return [word for word in text.split() if word not in fillers]


def test_spoken_text_has_no_capitals_and_no_punctuation() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        said = spoken('"He CAN\'T come," Anna wrote -- (yes; really) at 10:30.', rng)
        assert said == said.lower() and all(symbol.isalnum() or symbol in " '" for symbol in said)
        assert "".join(without_fillers(said)).replace("'", "") == "hecantcomeannawroteyesreallyat1030"


def test_spoken_text_has_as_many_fillers_as_stated() -> None:
    words = ["word"] * 20_000
    said = spoken(" ".join(words), np.random.default_rng(0))
    assert without_fillers(said) == words
    added = sum(said.count(f" {filler} word") for filler in ("um", "uh", "like", "you know", "i mean"))
    assert added == pytest.approx(20_000 * FILLER_SHARE * 5 / len(FILLERS), rel=0.1)


@pytest.mark.parametrize("text", ["...", "?!", "''"])
def test_text_without_words_stays(text: str) -> None:
    assert spoken(text, np.random.default_rng(0)) == text


def test_matched_targets_have_the_order_of_the_labels_and_the_scale_of_the_ratings() -> None:
    rng = torch.Generator().manual_seed(0)
    labels = torch.randn(500, generator=rng) * 2 + 1
    ratings = torch.rand(500, 2, generator=rng) * 0.3
    targets = matched(labels, ratings)
    assert torch.corrcoef(torch.stack([targets[:, 0], labels]))[0, 1].item() == pytest.approx(1)
    assert targets[:, 0].mean().item() == pytest.approx(ratings[:, 0].mean().item(), abs=1e-6)
    assert targets[:, 0].std().item() == pytest.approx(ratings[:, 0].std().item(), rel=1e-5)
    torch.testing.assert_close(targets[:, 1], ratings[:, 1])
