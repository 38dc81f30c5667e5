from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vatrace.features.speakers import HOP, MARGIN, NUM_FRAMES, WINDOW, Diarizer, Stitcher, Voices, windows
from vatrace.features.turns import Turn
from vatrace.media.reading import AudioReader

RATE = 16_000


@pytest.fixture(scope="module")
def diarizer() -> Diarizer:
    return Diarizer()


def higher(audio: NDArray[np.float32], times: float) -> NDArray[np.float32]:
    """Played faster: another, higher voice."""
    return np.interp(np.arange(0, len(audio) - 1, times), np.arange(len(audio)), audio).astype(np.float32)


def shares(turns: list[Turn], start: float, end: float) -> dict[int | None, float]:
    """How long each voice speaks between two times."""
    found: dict[int | None, float] = {}
    for turn in turns:
        both = min(turn.end, end) - max(turn.start, start)
        if both > 0:
            found[turn.voice] = found.get(turn.voice, 0.0) + both
    return found


def check_order(voices: Voices) -> None:
    assert all(turn.end - turn.start >= 0.2 and turn.person is None for turn in voices.turns)
    assert all(one.end <= two.start for one, two in pairwise(voices.turns))


def test_one_reader_is_one_voice(diarizer: Diarizer, speech: NDArray[np.float32]) -> None:
    voices = diarizer([speech])
    check_order(voices)
    assert {turn.voice for turn in voices.turns} == {0}
    assert voices.embeddings.shape == (1, 256) and np.linalg.norm(voices.embeddings) == pytest.approx(1)
    assert len(voices.turns) > 5  # she pauses
    assert voices.envelope.shape == (3000,)
    assert voices.envelope[1234] == pytest.approx(np.sqrt(np.mean(speech[123_400 // 100 * 160 : 1235 * 160] ** 2)), rel=1e-4)


def test_two_who_alternate_are_two_voices(diarizer: Diarizer, speech: NDArray[np.float32]) -> None:
    part = 6 * RATE
    low = [speech[k * part : (k + 1) * part] for k in range(4)]
    high = [higher(each, 1.5) for each in low]
    pieces = [piece for pair in zip(low, high, strict=True) for piece in pair]
    borders = np.cumsum([0, *(len(piece) / RATE for piece in pieces)])
    voices = diarizer([np.concatenate(pieces)])
    check_order(voices)
    assert len(voices.embeddings) == 2
    heard = [shares(voices.turns, start, end) for start, end in pairwise(borders)]
    right = sum(found.get(index % 2, 0.0) for index, found in enumerate(heard))  # the slower one speaks longer: voice 0
    assert right > 0.9 * sum(sum(found.values()) for found in heard)


def test_blocks_of_any_size_give_the_same(diarizer: Diarizer, speech: NDArray[np.float32]) -> None:
    audio = speech[: 27 * RATE + 77]
    whole = diarizer([audio])
    for size in (1000, 160_000, 333_333):
        parts = diarizer(audio[start : start + size] for start in range(0, len(audio), size))
        assert parts.turns == whole.turns
        np.testing.assert_allclose(parts.embeddings, whole.embeddings)
        np.testing.assert_allclose(parts.envelope, whole.envelope, rtol=1e-5)


def test_a_turn_is_where_the_speech_is(diarizer: Diarizer, speech: NDArray[np.float32]) -> None:
    """The same word at several places, also where windows meet."""
    word = speech[round(1.2 * RATE) : round(4.5 * RATE)]
    for start in (0.5, 5.0, 6.7, 9.9, 17.2):
        audio = np.zeros(23 * RATE, np.float32)
        audio[round(start * RATE) : round(start * RATE) + len(word)] = word
        voices = diarizer([audio])
        assert voices.turns[0].start == pytest.approx(start, abs=0.15)
        assert voices.turns[-1].end == pytest.approx(start + len(word) / RATE, abs=0.15)


@pytest.mark.parametrize("dur", [0.0, 0.001, 0.01, 0.3, 10.0, 12.0])
def test_silence_has_no_voice(diarizer: Diarizer, dur: float) -> None:
    voices = diarizer([np.zeros(round(dur * RATE), np.float32)] if dur else [])
    assert voices.turns == [] and voices.embeddings.shape == (0, 256)
    assert len(voices.envelope) == np.ceil(dur * 100) and not voices.envelope.any()


def test_noise_has_no_voice(diarizer: Diarizer) -> None:
    noise = np.random.default_rng(0).standard_normal(15 * RATE).astype(np.float32)
    assert diarizer([noise * np.float32(0.04)]).turns == []


def test_a_moment_of_speech_is_a_turn(diarizer: Diarizer, speech: NDArray[np.float32]) -> None:
    voices = diarizer([speech[2 * RATE : round(2.6 * RATE)]])
    assert [turn.voice for turn in voices.turns] == [0] and voices.turns[0].end <= 0.61


@pytest.mark.parametrize("num", [1, WINDOW - 1, WINDOW, WINDOW + 1, 400_000])
def test_windows_cover_everything(num: int) -> None:
    found = list(windows([np.arange(num, dtype=np.float32)]))
    assert [last for _, _, last in found] == [False] * (len(found) - 1) + [True]
    assert all(window[0] == start and len(window) <= WINDOW for start, window, _ in found)
    assert found[-1][0] + len(found[-1][1]) == num


def activity(*spans: tuple[int, int, int]) -> NDArray[np.bool_]:
    """A window in which speakers are active: speaker, first frame, end frame."""
    active = np.zeros((NUM_FRAMES, 3), bool)
    for speaker, first, end in spans:
        active[first:end, speaker] = True
    return active


def test_a_turn_ends_at_a_pause_and_where_another_speaks() -> None:
    active = activity((0, 10, 50), (0, 60, 90), (0, 110, 150), (1, 150, 200), (0, 190, 210))
    turns = list(Stitcher().add(active, is_last=True))
    # 10 frames of silence (0.17 s) are no pause, 20 are one; at 190 both speak
    assert turns == [(10, 90, (0,)), (110, 150, (0,)), (150, 190, (1,)), (190, 200, (0, 1)), (200, 210, (0,))]


def test_speakers_go_on_in_the_next_window_under_other_numbers() -> None:
    stitcher = Stitcher()
    shared = NUM_FRAMES - HOP
    first = list(stitcher.add(activity((0, 0, 300), (2, 400, NUM_FRAMES)), is_last=False))
    assert first == [(0, 300, (0,))] and stitcher.open_from == 400
    second = list(stitcher.add(activity((0, 400 - HOP, shared + 50), (1, 400, 500)), is_last=True))
    assert second[0] == (400, HOP + shared + 50, (2,))  # one turn
    assert 400 < MARGIN + HOP < HOP + shared + 50  # over the frame from which the second window decides
    assert second[1][2][0] > 2  # nobody of the first window


@pytest.mark.parametrize(
    ("one", "other"), [("01-01-01-01", "02-01-02-02"), ("05-02-02-01", "06-01-01-02"), ("03-02-01-02", "04-01-02-01")]
)
def test_two_actors_are_two_voices(diarizer: Diarizer, shared: Path, one: str, other: str) -> None:
    pieces = []
    for take in (one, other):
        for actor in ("01", "02"):
            path = shared / "ravdess" / f"03-01-{take}-{actor}.flac"
            pieces.append(np.concatenate(list(AudioReader(path, 60))))
    audio = np.concatenate(pieces)
    audio *= np.float32(0.04 / np.sqrt(np.mean(audio[np.abs(audio) > 0.1 * np.abs(audio).max()] ** 2)))
    voices = diarizer([audio])
    borders = np.cumsum([0, *(len(piece) / RATE for piece in pieces)])
    owners = []
    for start, end in pairwise(borders):
        heard = shares(voices.turns, start, end)
        owners.append(max(heard, key=lambda voice: heard[voice]))
    assert len(voices.embeddings) == 2 and owners[0] == owners[2] != owners[1] == owners[3]


def excerpt(speech: NDArray[np.float32], start: float, end: float) -> NDArray[np.float32]:
    """Part of the reading, without clicks at its ends."""
    part = speech[round(start * RATE) : round(end * RATE)].copy()
    ramp = np.minimum(np.arange(len(part)) / 320, 1).astype(np.float32)
    return part * ramp * ramp[::-1]


def test_a_pause_is_no_speech(diarizer: Diarizer, speech: NDArray[np.float32]) -> None:
    """Noise at -50 dBFS, in which the first network takes nearly all of these pauses for speech."""
    said, pauses = excerpt(speech, 3.3, 4.9), [0.5, 0.6, 0.7, 0.8, 0.9, 0.5, 0.6, 0.7]
    audio = np.concatenate([part for pause in pauses for part in (np.zeros(round(pause * RATE), np.float32), said)])
    audio += 3e-3 * np.random.default_rng(0).standard_normal(len(audio)).astype(np.float32)
    voices = diarizer([audio])
    check_order(voices)
    assert {turn.voice for turn in voices.turns} == {0}
    end = 0.0
    for pause in pauses:
        start = end + pause
        assert sum(shares(voices.turns, end, start).values()) < 0.3 * pause
        end = start + len(said) / RATE
        assert shares(voices.turns, start, end)[0] > 0.75 * len(said) / RATE  # she pauses herself
