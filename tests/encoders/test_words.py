from itertools import pairwise

import numpy as np
import pytest

from vatrace.encoders import FEATURE_DIMS
from vatrace.encoders.words import MiniLMEncoder, words_on_grid
from vatrace.media.transcripts import Word


@pytest.fixture(scope="module")
def words() -> MiniLMEncoder:
    return MiniLMEncoder()


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("this is wonderful", "this is terrible"),
        ("I love you so much.", "I hate everything about this."),
        ("We won the prize!", "He died alone."),
    ],
)
def test_pleasant_texts_score_above_unpleasant_ones(words: MiniLMEncoder, good: str, bad: str) -> None:
    assert words.valence_arousal(good)[0] > words.valence_arousal(bad)[0] + 0.2


def test_exciting_texts_score_above_calm_ones_in_arousal(words: MiniLMEncoder) -> None:
    exciting, calm = words.valence_arousal("Run! The house is on fire!"), words.valence_arousal("The lake was still.")
    assert exciting[1] > calm[1]


def test_each_word_gets_the_mean_of_its_own_tokens(words: MiniLMEncoder) -> None:
    sentence = ["An", "unbelievably", "antidisestablishmentarian", "talk."]
    encoding = words._tokenizer.encode(" ".join(sentence))
    (tokens,) = words._run("tokens", encoding.ids)
    pieces = ["".join(encoding.tokens[1:stop]).replace("##", "") for stop in range(1, len(encoding.tokens))]
    stops = [1 + pieces.index("".join(sentence[:count]).lower()) for count in range(1, 5)]
    expected = [tokens[start:stop].mean(axis=0) for start, stop in pairwise([1, *stops])]
    np.testing.assert_allclose(words(sentence), expected, atol=1e-6)


def test_words_without_tokens_and_very_long_sentences_have_vectors(words: MiniLMEncoder) -> None:
    assert np.isfinite(words(["hello", "\u200b", "there"])).all()
    assert words(["supercalifragilisticexpialidocious"] * 200).shape == (200, FEATURE_DIMS["words"])


def test_words_on_grid_lie_where_they_are_spoken_encoded_by_sentence(words: MiniLMEncoder) -> None:
    spoken = [Word("Hello", 0.5, 0.9), Word("there.", 0.9, 1.0), Word("Bye.", 3.0, 3.02)]
    placed = list(words_on_grid(spoken, words, 10))
    assert [inside for inside, _ in placed] == [range(5, 9), range(9, 10), range(30, 31)]
    np.testing.assert_array_equal(placed[0][1], words(["Hello", "there."])[0])
    np.testing.assert_array_equal(placed[2][1], words(["Bye."])[0])
