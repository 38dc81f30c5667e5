"""Transcripts that name their speakers decide whose turns and words are."""

from vatrace.features.named_speakers import by_labels, turns_of
from vatrace.features.turns import Turn
from vatrace.media.transcripts import Word


def words(*spans: tuple[float, float, str | None]) -> list[Word]:
    """Words of half a second over spans of (start, end, speaker)."""
    return [
        Word("word", start + step / 2, start + step / 2 + 0.5, speaker)
        for start, end, speaker in spans
        for step in range(round(2 * (end - start)))
    ]


TURNS = [Turn(0, 4, 0, 0), Turn(5, 9, 1, 1), Turn(10, 14, 0, 0), Turn(15, 19, 1, 1), Turn(20, 24, 2, None)]
SAID = [(0.0, 4.0, "Anna"), (5.0, 9.0, "Ben"), (10.0, 14.0, "Anna"), (15.0, 19.0, "Ben"), (20.0, 24.0, "MAN")]


def test_labels_that_agree_change_nothing() -> None:
    assert by_labels(TURNS, words(*SAID)) == (TURNS, {"Anna": 0, "Ben": 1, "MAN": None}, [])
    assert by_labels(TURNS, words((0.0, 24.0, None))) == (TURNS, {}, [])
    assert by_labels([], words(*SAID)) == ([], {}, [])


def test_a_turn_that_was_given_to_somebody_else_is_whose_the_transcript_says() -> None:
    wrong = [*TURNS[:3], Turn(15, 19, 1, 0), TURNS[4]]
    said = [*SAID, (30.0, 34.0, "Ben")]
    turns, _, notes = by_labels([*wrong, Turn(30, 34, 1, 1)], words(*said))
    assert [turn.person for turn in turns] == [0, 1, 0, 1, None, 1]
    assert notes == ["the transcript and the voices disagree on the speaker of 4.0 s of words: the transcript is used"]


def test_a_turn_of_two_speakers_is_cut_between_their_words() -> None:
    turns, _, _ = by_labels([*TURNS[:3], Turn(15, 23, 1, 1)], words(*SAID[:3], (15.0, 20.0, "Ben"), (20.5, 23.0, "Anna")))
    assert turns[3:] == [Turn(15, 20.25, 1, 1), Turn(20.25, 23, 1, 0)]


def test_words_that_are_timed_loosely_belong_to_their_speakers_turn_next_to_them() -> None:
    said = words(*[(start - 1.0, end - 1.0, name) for start, end, name in SAID[1:]])  # all captions a second early
    turns, owners, notes = by_labels([Turn(0, 5, 0, 0), Turn(5, 10, 1, 1), Turn(10, 15, 0, 0), *TURNS[3:]], said)
    assert [turn.person for turn in turns] == [0, 1, 0, 1, None] and not notes
    whose = [turns[place].person for place in turns_of(said, turns, owners)]
    assert whose == [owners[word.speaker] for word in said]


def test_labels_that_fit_nobody_decide_nothing_and_that_is_said() -> None:
    said = words((0.0, 2.0, "Anna"), (2.0, 4.0, "Ben"), (5.0, 7.0, "Anna"), (7.0, 9.0, "Ben"))
    turns, owners, notes = by_labels(TURNS[:2], said)
    assert turns == TURNS[:2] and owners == {}
    assert notes == [
        f"{name} in the transcript can't be matched to one person: voices and mouths decide who said these words"
        for name in ("Anna", "Ben")
    ]
