"""The recipes for Aff-Wild2, from raw files to a submission, on a small corpus with its layout."""

import re
from pathlib import Path

import pytest
import torch

from command import run
from layouts import make_affwild2
from vatrace.encoders.networks.ir_resnet import IRResNet50
from vatrace.encoders.networks.vggish import VGGish
from vatrace.store import Store

pytestmark = pytest.mark.slow

RUNS = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    make_affwild2(root)
    return root


def vatrace(*arguments: object, cwd: Path) -> str:
    result = run(*arguments, cwd=cwd)
    assert result.status == 0, result.out + result.err
    return result.out


def small(recipe: str, folder: Path, **values: object) -> Path:
    """The recipe with smaller numbers, so that it takes seconds."""
    text = (RUNS / recipe).read_text()
    for name, value in values.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count >= 1, name
    (folder / recipe).write_text(text)
    return folder / recipe


def see_submission(corpus: Path, folder: Path, run: str, store: str) -> None:
    sample = next(corpus.rglob("*sample.txt"))
    vatrace("submit", run, "--store", store, "--out", "predictions.txt", "--frames", sample, cwd=folder)
    wanted = [line.split(",")[0] for line in sample.read_text().splitlines()]
    assert [line.split(",")[0] for line in (folder / "predictions.txt").read_text().splitlines()] == wanted


def test_the_recipe_of_today(corpus: Path, tmp_path: Path) -> None:
    assert "0 errors" in vatrace("check", corpus, cwd=tmp_path)
    vatrace("extract", corpus, "--store", "store", cwd=tmp_path)
    config = small("affwild2.toml", tmp_path, num_epochs=2, win_len=20, hop_len=10, batch_size=4)
    vatrace("train", config, "--store", "store", "--out", "run", cwd=tmp_path)
    assert "mean" in vatrace("evaluate", "run", "--store", "store", "--out", "report", cwd=tmp_path)
    assert (tmp_path / "report" / "evaluation.html").is_file()
    see_submission(corpus, tmp_path, "run", "store")
    vatrace("predict", corpus / "batch1" / "video1.mp4", "--model", "run/model.onnx", cwd=tmp_path)
    assert (tmp_path / "video1.csv").read_text().startswith("time,valence,arousal")


def test_the_recipe_of_the_paper(corpus: Path, tmp_path: Path) -> None:
    """The paper's networks with random weights; the face network is trained too."""
    torch.manual_seed(0)
    torch.save(IRResNet50().state_dict(), tmp_path / "res50_ir_0.887.pth")
    torch.save(VGGish().state_dict(), tmp_path / "vggish.pth")
    from transformers import BertConfig, BertModel

    bert = tmp_path / "bert-base-uncased"
    config = BertConfig(vocab_size=40, hidden_size=768, num_hidden_layers=4, num_attention_heads=2, intermediate_size=8)
    BertModel(config).save_pretrained(bert)
    (bert / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(91, 126))]) + "\n")
    encoders = "face=ir50:res50_ir_0.887.pth,voice=vggish:vggish.pth,words=bert:bert-base-uncased"
    vatrace("extract", corpus, "--store", "store", "--rate", 2, "--crops", "--encoders", encoders, cwd=tmp_path)
    schema = Store(tmp_path / "store").schema
    assert schema.dims == {"face": 512, "voice": 128, "words": 768} and schema.crops
    assert all(r.valid()["voice"].mean() > 0.9 for r in Store(tmp_path / "store").split("train"))
    recipe = small(
        "affwild2-paper.toml", tmp_path, num_epochs=2, win_len=8, hop_len=4, batch_size=4, release_epochs=[1], warmup_epochs=0
    )
    vatrace("train", recipe, "--store", "store", "--out", "run", cwd=tmp_path)
    from vatrace.training.checkpoint import load_tensors

    before = load_tensors_of(tmp_path / "res50_ir_0.887.pth")
    after, facts = load_tensors(tmp_path / "run" / "valence" / "state.safetensors")
    assert facts["history"][-1]["number"] == 2
    moved = {name for name, value in before.items() if not torch.equal(value, after[f"model/backbone.{name}"])}
    assert {name.split(".")[0] for name in moved} == {"body", "output_layer"}
    assert all(int(name.split(".")[1]) >= 21 for name in moved if name.startswith("body"))  # the last of the four stages
    assert not any("running" in name for name in moved)  # batch norms keep their statistics
    assert "3 recordings" in vatrace("evaluate", "run", "--store", "store", cwd=tmp_path)
    see_submission(corpus, tmp_path, "run", "store")


def load_tensors_of(path: Path) -> dict[str, torch.Tensor]:
    content: dict[str, torch.Tensor] = torch.load(path)
    return content
