import numpy as np
import pytest

from vatrace.features.turns import Turn, borders, by_speaker, labelled_turns, one_voice, same_voices, turn_at
from vatrace.media.reading import SAMPLING_RATE
from vatrace.media.transcripts import Word

DIALOGUE = [Turn(1, 2, 0), Turn(3, 5, 1), Turn(5, 6, None), Turn(8, 9, 0)]


def test_pauses_are_shared_between_the_turns_around_them() -> None:
    assert borders(DIALOGUE).tolist() == [2.5, 5.0, 7.0]
    assert turn_at(DIALOGUE, [0, 2.4, 2.6, 4.9, 5.1, 6.9, 7.1, 100]).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert turn_at(DIALOGUE[:1], [0, 50]).tolist() == [0, 0]


@pytest.mark.parametrize("start", [0.0, 2.25, 4.0])
def test_a_voice_alone_is_heard_in_its_own_turns_only(start: float) -> None:
    audio = np.ones(round(10 * SAMPLING_RATE), np.float32)[round(start * SAMPLING_RATE) :]
    seconds = start + (np.arange(len(audio)) + 0.5) / SAMPLING_RATE
    first, second = (one_voice(audio, start, DIALOGUE, voice) for voice in (0, 1))
    np.testing.assert_array_equal(first > 0, (seconds < 2.5) | (seconds > 7))
    np.testing.assert_array_equal(second > 0, (seconds > 2.5) & (seconds < 5))
    assert audio.all()


def test_voices_are_numbered_by_who_speaks() -> None:
    turns = [Turn(0, 1, 0, 1), Turn(1, 2, 1, 1), Turn(2, 3, 1, 0), Turn(3, 4, 2), Turn(4, 5, None), Turn(5, 6, 3)]
    assert [turn.voice for turn in by_speaker(turns)] == [0, 0, 1, 2, None, 3]
    one = by_speaker([Turn(0, 1, 0, 4), Turn(1, 2, None), Turn(2, 3, 1, 4)])  # two voices of one person don't overlap
    assert [(turn.voice, turn.person) for turn in one] == [(0, 4)] * 3


def test_the_same_voices_may_be_numbered_otherwise() -> None:
    turns = [Turn(0, 1, 0), Turn(1, 3, 1), Turn(3, 4, 0)]
    assert same_voices(turns, [Turn(0, 1, 7), Turn(1, 2, 4), Turn(2, 3, 4), Turn(3, 4, 7)])
    assert not same_voices(turns, [Turn(0, 1, 0), Turn(1, 3, 1), Turn(3, 4, 2)])
    assert not same_voices(turns, [Turn(0, 4, 0)])
    assert same_voices([], []) and same_voices([Turn(0, 1, 3)], [Turn(0, 1, 0)])


def test_a_transcript_that_names_all_speakers_has_turns() -> None:
    words = [Word("a", 0, 1, "Ann"), Word("b", 2, 5, "Ben"), Word("c", 5, 6, "Ben"), Word("d", 7, 8, "Ann")]
    assert labelled_turns(words) == [Turn(0, 1, 1, 1), Turn(2, 6, 0, 0), Turn(7, 8, 1, 1)]
    assert labelled_turns(words[:1]) == [] == labelled_turns([*words, Word("e", 9, 10)])
