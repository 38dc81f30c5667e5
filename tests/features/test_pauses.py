from __future__ import annotations

import numpy as np
import pytest

from vatrace.features.doubt import Guess
from vatrace.features.pauses import MAX_PAUSE, PAUSE, Cut, cut_pauses, halves, pieces_of
from vatrace.media.transcripts import Word
from vatrace.media.voice_activity import RATE

PIECES = [(1.0, 3.0), (10.0, 12.0), (20.0, 21.0)]
STARTS = (0.0, 2.0 + PAUSE, 4.0 + 2 * PAUSE)


def guess(text: str, start: float, end: float) -> Guess:
    return Guess(Word(text, start, end), 0.9)


def restored(*guesses: Guess) -> list[list[tuple[str, float, float]]]:
    found = Cut(np.zeros(0, np.float32), PIECES).restored(guesses)
    return [[(each.word.text, each.word.start, each.word.end) for each in words] for words in found]


def test_short_pauses_are_kept() -> None:
    spans = [(0.0, 1.0), (0.9 + MAX_PAUSE, 2.0), (2.1 + MAX_PAUSE, 4.0)]
    assert pieces_of(spans) == [(0.0, 2.0), (2.1 + MAX_PAUSE, 4.0)]
    assert pieces_of([]) == []


def test_the_cut_audio_holds_the_pieces_with_a_short_pause_after_each() -> None:
    audio = np.arange(25 * RATE, dtype=np.float32)
    cut = cut_pauses(audio, PIECES)
    np.testing.assert_allclose(cut.starts, STARTS)
    for (start, end), place in zip(PIECES, STARTS, strict=True):
        first, size = round(place * RATE), round((end - start) * RATE)
        np.testing.assert_array_equal(cut.audio[first : first + size], audio[round(start * RATE) :][:size])
        assert not cut.audio[first + size : first + size + round(PAUSE * RATE)].any()


def test_words_come_back_to_their_times() -> None:
    found = restored(
        guess("one", 0.5, 1.0), guess("two", STARTS[1] + 0.5, STARTS[1] + 1.0), guess("three", STARTS[2], STARTS[2] + 1)
    )
    assert found == [[("one", 1.5, 2.0)], [("two", pytest.approx(10.5), pytest.approx(11.0))], [("three", 20.0, 21.0)]]


def test_words_that_reach_into_a_pause_end_with_their_piece() -> None:
    found = restored(guess("one", 1.5, 2.5), guess("Two", 2.5, STARTS[1] + 0.5))
    assert found == [[("one", 2.5, 3.0)], [("Two", 10.0, pytest.approx(10.5))], []]


def test_words_without_duration_share_that_of_their_neighbour() -> None:
    """The aligner lets the last word of a sentence start where the pause after it ends, and last no time."""
    (first, second, _) = restored(
        guess("the", 1.0, STARTS[1]),
        guess("door.", STARTS[1], STARTS[1]),
        guess("It", STARTS[1], STARTS[1]),
        guess("is", STARTS[1], 3.0),
    )
    assert first == [("the", 2.0, pytest.approx(2.375)), ("door.", pytest.approx(2.375), 3.0)]
    assert second == [("It", 10.0, pytest.approx(10.2)), ("is", pytest.approx(10.2), pytest.approx(10.4))]


def test_a_word_that_goes_on_in_the_next_piece_is_not_trusted() -> None:
    cut = Cut(np.zeros(0, np.float32), PIECES)
    assert cut.crossed([guess("one", 0.5, 1.0), guess("two", 1.0, STARTS[1] + 0.1)]) == set()
    assert cut.crossed([guess("one", 1.0, STARTS[1] + 0.5)]) == {0, 1}


def test_a_piece_is_halved_at_the_quietest_moment_of_its_middle() -> None:
    audio = np.full(10 * RATE, 0.1, np.float32)
    audio[round(2.3 * RATE) : round(2.6 * RATE)] = 0.0  # before the middle half of the piece, which is 3 to 7 s
    audio[round(5.9 * RATE) : round(6.0 * RATE)] = 0.01
    (start, border), (other, end) = halves(audio, (1.0, 9.0))
    assert (start, end) == (1.0, 9.0) and border == other == pytest.approx(5.95, abs=1e-3)
    assert halves(audio, (4.0, 4.01)) == [(4.0, pytest.approx(4.005)), (pytest.approx(4.005), 4.01)]
