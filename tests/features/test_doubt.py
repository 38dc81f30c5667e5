from __future__ import annotations

import pytest

from vatrace.features.doubt import MIN_PROBABILITY, MIN_SCORE, Decoded, Guess, agrees, without_doubtful
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
