import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vatrace.encoders.bert import BertEncoder
from vatrace.errors import CheckpointError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "play", "##ing", "was", "good", ",", ".", "i", "'", "m"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BERT with the layout of bert-base-uncased."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(WORDS), hidden_size=24, num_hidden_layers=5, num_attention_heads=2, intermediate_size=32)
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "tokenizer_class": "BertTokenizer"}))
    return folder


def test_a_word_is_the_mean_of_its_pieces_in_the_sum_of_the_last_four_layers(folder: Path) -> None:
    from transformers import BertModel

    found = BertEncoder(folder)(["The", "playing", "was", "good."])
    assert found.shape == (4, 24) and found.dtype == np.float32
    ids = [WORDS.index(piece) for piece in ("[CLS]", "the", "play", "##ing", "was", "good", ".", "[SEP]")]
    with torch.no_grad():
        hidden = BertModel.from_pretrained(folder).eval()(torch.tensor([ids]), output_hidden_states=True).hidden_states
    assert len(hidden) == 6
    layers = (hidden[2] + hidden[3] + hidden[4] + hidden[5])[0].numpy()
    expected = [layers[1], (layers[2] + layers[3]) / 2, layers[4], (layers[5] + layers[6]) / 2]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_sentences_beyond_the_longest_have_a_vector_for_each_word(folder: Path) -> None:
    found = BertEncoder(folder)(["good"] * 600)
    assert found.shape == (600, 24) and np.isfinite(found).all()
    assert (found[599] == found[550]).all()


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"{tmp_path}: not a BERT folder"):
        BertEncoder(tmp_path)


def test_weights_that_are_used_must_be_present(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, tmp_path / "bert")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("pooler.")}
    save_file(kept, tmp_path / "bert" / "model.safetensors", {"format": "pt"})
    np.testing.assert_array_equal(BertEncoder(tmp_path / "bert")(["good"]), BertEncoder(folder)(["good"]))
    del kept["embeddings.LayerNorm.weight"]
    save_file(kept, tmp_path / "bert" / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"embeddings\.LayerNorm\.weight is missing"):
        BertEncoder(tmp_path / "bert")
