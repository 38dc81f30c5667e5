from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vatrace.encoders import ENCODERS
from vatrace.features.speech import MAX_WINDOW_DUR, Listener, SpeechWindow, batches, pack
from vatrace.media.reading import SAMPLING_RATE, AudioReader
from vatrace.weights import find_whisper

TEXT = (
    "it was the best of times it was the worst of times it was the age of wisdom it was the age of foolishness "
    "it was the epoch of belief it was the epoch of incredulity"
)


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener(find_whisper(), threads=2)


def blocks(sound: NDArray[np.float32], block_dur: float) -> list[NDArray[np.float32]]:
    size = round(block_dur * SAMPLING_RATE)
    return [sound[start : start + size] for start in range(0, len(sound), size)]


def plain(windows: list[SpeechWindow]) -> list[str]:
    return [word.text.lower().strip(".,;!?") for window in windows for word in window.words]


def test_pack_keeps_windows_short_enough() -> None:
    spans = [(0.0, 5.0), (6.0, 11.0), (12.0, 20.0), (25.0, 27.0)]
    assert pack(spans, 20) == [spans[:3], spans[3:]]
    assert pack([], 20) == []


def test_words_are_those_that_are_read_at_their_times(listener: Listener, speech: NDArray[np.float32]) -> None:
    windows = list(listener.listen(blocks(speech[: 18 * SAMPLING_RATE], 60)))
    words = plain(windows)
    assert words[:20] == TEXT.split()[:20]
    times = [(word.start, word.end) for window in windows for word in window.words]
    assert all(0 <= start <= end <= 18.1 for start, end in times)
    assert all(a[0] <= b[0] for a, b in pairwise(times))
    # the two "times" lie on both sides of the pause after the first sentence
    first, second = (index for index, word in enumerate(words[:13]) if word == "times")
    assert times[first][0] < 3.2 < times[second][0]


def test_figures_of_speech_are_no_loops(listener: Listener, speech: NDArray[np.float32]) -> None:
    for dur in (
        27.5,
        28.0,
    ):  # "we had everything before us, we had nothing before us, we were all going direct to heaven, we were all ..."
        windows = list(listener.listen([speech[: round(dur * SAMPLING_RATE)]]))
        assert len(plain(windows)) > 78
        assert not any(window.num_doubtful for window in windows)


def repeated(said: NDArray[np.float32], dur: float) -> NDArray[np.float32]:
    """The same audio again and again, with pauses of 0.3 s."""
    ramp = np.minimum(np.arange(len(said)) / 320, 1).astype(np.float32)
    once = np.concatenate([said * ramp * ramp[::-1], np.zeros(round(0.3 * SAMPLING_RATE), np.float32)])
    return np.tile(once, round(dur * SAMPLING_RATE) // len(once) + 1)[: round(dur * SAMPLING_RATE)]


def test_a_sentence_that_is_really_repeated_is_kept(listener: Listener, speech: NDArray[np.float32]) -> None:
    said = speech[round(1.2 * SAMPLING_RATE) : round(3.15 * SAMPLING_RATE)]
    windows = list(listener.listen([repeated(said, 8 * 2.25)]))
    words = plain(windows)
    assert sum(window.num_doubtful for window in windows) == 0
    assert words == ["it", "was", "the", "best", "of", "times"] * 8
    spoken = [word for window in windows for word in window.words]
    for number in range(8):
        assert spoken[6 * number].start == pytest.approx(2.25 * number, abs=0.35)


def test_a_loop_is_not_taken_for_a_repetition(listener: Listener, speech: NDArray[np.float32]) -> None:
    """Of speech backwards, the decoder makes one sentence twelve times, and of its parts another."""
    said = speech[round(1.2 * SAMPLING_RATE) : round(3.15 * SAMPLING_RATE)][::-1]
    windows = list(listener.listen([repeated(said, 27)]))
    assert plain(windows) == [] and sum(window.num_doubtful for window in windows) > 40


def test_words_begin_and_end_with_the_sound_of_them(listener: Listener, speech: NDArray[np.float32]) -> None:
    words = [word for window in listener.listen([speech[: 28 * SAMPLING_RATE]]) for word in window.words]
    power = np.convolve(speech[: 28 * SAMPLING_RATE] ** 2, np.ones(160) / 160, "same")[::160]  # every 10 ms
    loud, pause = power > 1.6e-3 * power.max(), 25
    starts = [i / 100 for i in range(pause, len(loud)) if loud[i] and not loud[i - pause : i].any()]
    ends = [i / 100 for i in range(len(loud) - pause) if loud[i] and not loud[i + 1 : i + 1 + pause].any()]
    late = [min((word.start - time for word in words), key=abs) for time in starts]
    late += [min((word.end - time for word in words), key=abs) for time in ends]
    assert len(late) > 20
    assert abs(float(np.median(late))) < 0.06  # Whisper's frames last 0.02 s; single words are off by 0.1 s and more


@pytest.mark.parametrize("block_dur", [5.0, 13.0])
def test_the_length_of_blocks_hardly_matters(listener: Listener, speech: NDArray[np.float32], block_dur: float) -> None:
    whole = plain(list(listener.listen(blocks(speech, 60))))
    in_blocks = plain(list(listener.listen(blocks(speech, block_dur))))
    assert SequenceMatcher(None, whole, in_blocks).ratio() > 0.95


def test_late_speech_has_late_words_and_frames(listener: Listener, speech: NDArray[np.float32]) -> None:
    early = next(iter(listener.listen([speech[: 5 * SAMPLING_RATE]])))
    silence = np.zeros(70 * SAMPLING_RATE, np.float32)
    late = next(iter(listener.listen(blocks(np.concatenate([silence, speech[: 5 * SAMPLING_RATE]]), 60))))
    assert late.start == pytest.approx(early.start + 70, abs=0.3)
    assert late.words[0].start == pytest.approx(early.words[0].start + 70, abs=0.3)


def test_sound_that_is_kept_waiting_does_not_grow(
    listener: Listener, speech: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[float] = []
    search = listener.speech_spans
    monkeypatch.setattr(listener, "speech_spans", lambda audio: lengths.append(len(audio) / SAMPLING_RATE) or search(audio))
    silence = np.zeros(200 * SAMPLING_RATE, np.float32)
    sound = np.concatenate([speech[: 4 * SAMPLING_RATE], silence, speech])
    windows = list(listener.listen(blocks(sound, 20), transcribe=False))
    assert len(windows) >= 3
    assert max(lengths) < 20 + MAX_WINDOW_DUR + 1


def test_no_speech_is_lost_or_heard_twice_where_blocks_meet(listener: Listener, speech: NDArray[np.float32]) -> None:
    sound = np.tile(speech, 3)
    whole, parts = ([*listener.listen(blocks(sound, dur), transcribe=False)] for dur in (90, 17))
    total = [sum(end - start for window in windows for start, end in window.spans) for windows in (whole, parts)]
    assert total[1] == pytest.approx(total[0], rel=0.03)
    spans = [span for window in parts for span in window.spans]
    assert all(a[1] <= b[0] + 0.01 for a, b in pairwise(spans))


@pytest.mark.parametrize("kind", ["silence", "noise", "tone", "nothing"])
def test_where_nobody_speaks_nothing_is_heard(listener: Listener, kind: str) -> None:
    time = np.arange(10 * SAMPLING_RATE) / SAMPLING_RATE
    sounds = {
        "silence": np.zeros_like(time),
        "noise": 0.05 * np.random.default_rng(0).normal(size=len(time)),
        "tone": 0.3 * np.sin(2 * np.pi * 300 * time),
        "nothing": time[:0],
    }
    assert list(listener.listen([sounds[kind].astype(np.float32)])) == []


def test_words_only_on_request(listener: Listener, speech: NDArray[np.float32]) -> None:
    (window,) = listener.listen([speech[: 4 * SAMPLING_RATE]], transcribe=False)
    assert window.words == [] and window.frames.shape[1] == ENCODERS["whisper"].dim


def test_pieces_are_decoded_together_as_far_as_they_fit() -> None:
    pieces = [(0.0, 5.0), (20.0, 25.0), (40.0, 60.0), (70.0, 71.0)]
    assert batches(pieces, 28) == [pieces[:2], pieces[2:]]
    assert batches([], 28) == []


def test_a_short_phrase_after_a_long_pause_is_understood(listener: Listener, speech: NDArray[np.float32]) -> None:
    silence = np.zeros(6 * SAMPLING_RATE, np.float32)
    first, second = speech[: round(3.6 * SAMPLING_RATE)], speech[round(3.6 * SAMPLING_RATE) : round(6.2 * SAMPLING_RATE)]
    windows = list(listener.listen(blocks(np.concatenate([first, silence, second, silence, first]), 60)))
    words = [word for window in windows for word in window.words]
    assert plain(windows).count("worst") == 2 and "wisdom" in plain(windows)
    spans = [span for window in windows for span in window.spans]
    assert all(any(start - 0.3 <= word.start < word.end <= end + 0.3 for start, end in spans) for word in words)


def test_words_of_another_language_are_left_out_and_counted(listener: Listener, shared: Path) -> None:
    (window,) = listener.listen(AudioReader(shared / "real" / "speech_zh.flac", 60))
    assert window.words == [] and window.num_doubtful > 0 and len(window.frames)
