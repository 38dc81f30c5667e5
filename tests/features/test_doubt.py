from __future__ import annotations

from dataclasses import replace

import pytest

from vatrace.features.doubt import (
    LOOPING,
    MAYBE_LOOPING,
    MIN_PROBABILITY,
    MIN_SCORE,
    Decoded,
    Guess,
    agrees,
    compression,
    without_doubtful,
)
from vatrace.media.transcripts import Word


def decoded(text: str, probability: float = 0.95, score: float = -0.2, no_speech: float = 0.05) -> Decoded:
    guesses = [Guess(Word(word, index / 2, index / 2 + 0.4), probability) for index, word in enumerate(text.split())]
    return Decoded(guesses, score, no_speech)


@pytest.mark.parametrize(
    "found",
    [
        decoded("Kids are talking by the door."),
        decoded("Kids are talking", score=MIN_SCORE + 0.01),
        decoded("Kids are talking", probability=MIN_PROBABILITY + 0.01),
        decoded("Kids are talking", no_speech=0.5, score=-0.1),
        decoded("No, no, no, no."),
        decoded("Thank you for watching my children.", probability=0.9),
        decoded("I thank you for the door.", probability=0.7),
    ],
)
def test_words_that_were_said_are_kept(found: Decoded) -> None:
    text = without_doubtful(found)
    assert [word.text for word in text.words] == [guess.word.text for guess in found.guesses] and text.num_doubtful == 0


@pytest.mark.parametrize(
    "found",
    [
        decoded("Kids are talking", score=MIN_SCORE - 0.01),
        decoded("Kids are talking", probability=MIN_PROBABILITY - 0.01),
        decoded("Kids are talking", no_speech=0.5, score=-0.5),
        decoded("Wasn't it? " * 12),
        decoded("Thanks for watching!", probability=0.7),
        decoded("Please subscribe to my channel.", probability=0.7),
        decoded("Thank you.", probability=0.7),
    ],
)
def test_doubtful_words_are_left_out_and_counted(found: Decoded) -> None:
    text = without_doubtful(found)
    assert text.words == [] and text.num_doubtful == len(found.guesses)


def test_nothing_is_no_doubt() -> None:
    text = without_doubtful(decoded("", score=-5.0))
    assert text.words == [] and text.num_doubtful == 0


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("Lay blue at X4 now.", True),
        ("lay blue attacks four now", True),  # three of five
        ("We play blue tunes now", False),
        ("", True),
    ],
)
def test_a_part_agrees_if_half_of_its_words_are_known(part: str, expected: bool) -> None:
    assert agrees(decoded(part), decoded("Lay blue at X4 now. " * 5)) == expected


LOOP = "Ça m'a fait plaisir" + 6 * " de me dire qu'on va"


def test_in_other_languages_than_english_a_shorter_loop_is_doubtful() -> None:
    assert MAYBE_LOOPING < compression(LOOP) < LOOPING
    french = replace(decoded(LOOP), language="fr")
    assert without_doubtful(french).words == [] and without_doubtful(decoded(LOOP)).words


HINDI = (
    "ट्रेन सुबह सात बजे निकलती है। इतने लंबे समय के बाद अपने पुराने दोस्तों को देखकर मैं बहुत खुश था। कल हम सब मिलकर बाज़ार गए और वहाँ बहुत "
    "सारी चीज़ें खरीदीं। फिर शाम को हमने साथ में खाना खाया और देर रात तक बातें कीं।"
)


@pytest.mark.parametrize("text", [HINDI, "火车早上七点出发。过了这么久又见到老朋友，我非常高兴。今天天气很好，大家都有时间。"])
def test_other_scripts_are_no_loops(text: str) -> None:
    assert compression(text) < 2.4 and compression(text * 8) > LOOPING


@pytest.mark.parametrize(
    "text", ["Untertitel der Amara.org-Community", "ご視聴ありがとうございました", "Субтитры сделал", "谢谢观看"]
)
def test_stock_phrases_of_other_languages_are_doubtful(text: str) -> None:
    assert without_doubtful(decoded(text, probability=0.7)).words == []
