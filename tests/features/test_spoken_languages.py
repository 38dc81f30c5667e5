from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vatrace.features.hearing import language_notes
from vatrace.features.speech import Listener
from vatrace.features.spoken_languages import CODES, SpokenLanguages, Stretch, languages_at, merged, most_likely, shares
from vatrace.media.reading import SAMPLING_RATE, AudioReader
from vatrace.weights import find_whisper, has_languages, multilingual_whisper

NONE = np.zeros(len(CODES))


def probabilities(*rows: dict[str, float]) -> NDArray[np.float64]:
    found = np.full((len(rows), len(CODES)), 1e-3)
    for row, known in zip(found, rows, strict=True):
        row[[CODES.index(code) for code in known]] = list(known.values())
    return found


def path(found: NDArray[np.float64], durs: Sequence[float], before: NDArray[np.float64] = NONE) -> list[str]:
    return [CODES[place] for place in most_likely(found, np.array(durs), before)]


def test_a_short_piece_has_the_language_of_the_others() -> None:
    german, mistaken = {"de": 0.95}, {"la": 0.6, "de": 0.2}
    assert path(probabilities(german, mistaken, german), [5, 1, 5]) == ["de"] * 3
    assert path(probabilities(mistaken), [1]) == ["la"]
    before = NONE.copy()
    before[CODES.index("de")] = 0.9
    assert path(probabilities(mistaken), [1], before) == ["de"]


def test_a_language_that_changes_for_long_is_found() -> None:
    german, english = {"de": 0.98}, {"en": 0.98}
    assert path(probabilities(german, german, english, english, german), [6] * 5) == ["de", "de", "en", "en", "de"]


def test_stretches_are_merged_in_order_of_time() -> None:
    stretches = [Stretch(4, 6, "en", 0.9), Stretch(0, 1, "de", 0.6), Stretch(2, 4, "de", 0.9)]
    first, second = merged(stretches)
    assert (first.start, first.end, first.language, second.language) == (0, 4, "de", "en")
    assert first.probability == pytest.approx(0.8)  # (1 * 0.6 + 2 * 0.9) / 3
    assert shares(stretches) == {"de": 3, "en": 2}


def test_each_time_has_the_language_of_the_stretch_before() -> None:
    stretches = [Stretch(4, 6, "en", 0.9), Stretch(1, 2, "de", 0.6)]
    assert languages_at(stretches, np.array([0, 1.5, 3, 4, 9])).tolist() == ["de", "de", "de", "en", "en"]
    assert languages_at([], np.zeros(2)).tolist() == ["en", "en"]


def test_notes_name_other_languages_and_doubts() -> None:
    assert list(language_notes([Stretch(0, 9, "en", 0.98)])) == [] and list(language_notes([])) == []
    german = [Stretch(0, 9, "de", 0.98), Stretch(9, 12, "en", 0.9)]
    assert list(language_notes(german)) == [
        "the speech is in German (probability 0.98)",
        "3.0 s of speech (25%) are in English, the first at 9.0 s",
    ]
    (unsure,) = language_notes([Stretch(0, 2, "la", 0.3)])
    assert unsure.startswith("the language is uncertain: it may be Latin (probability 0.30)")


def test_a_language_that_is_named_is_not_searched_for() -> None:
    spoken = SpokenLanguages("de")
    assert spoken.add([(0.0, 2.0), (3.0, 4.0)], 10.0, lambda piece: NONE, lambda piece: False) == ["de", "de"]
    assert spoken.stretches == [Stretch(10, 12, "de"), Stretch(13, 14, "de")]


@pytest.fixture(scope="module")
def listener() -> Listener:
    if not has_languages():
        pytest.skip("the extra `languages` is not installed")
    return Listener(find_whisper(), 2, multilingual_whisper)


def test_english_is_heard_as_without_the_other_model(listener: Listener, speech: NDArray[np.float32]) -> None:
    audio = speech[: 12 * SAMPLING_RATE]
    spoken = SpokenLanguages("auto", listener.multilingual)
    (found,), (alone,) = listener.listen([audio], spoken=spoken), Listener(find_whisper(), 2).listen([audio])
    assert found.words == alone.words and [stretch.language for stretch in merged(spoken.stretches)] == ["en"]


def test_each_stretch_is_understood_in_its_own_language(listener: Listener, speech: NDArray[np.float32], shared: Path) -> None:
    real = shared / "real"
    german, chinese = (np.concatenate(list(AudioReader(real / f"speech_{name}.flac", 60))) for name in ("de", "zh"))
    pause = np.zeros(2 * SAMPLING_RATE, np.float32)
    spoken = SpokenLanguages("auto", listener.multilingual)
    audio = np.concatenate([german, pause, speech[: 8 * SAMPLING_RATE], pause, chinese])
    words = [word for window in listener.listen([audio], spoken=spoken) for word in window.words]
    assert [stretch.language for stretch in merged(spoken.stretches)] == ["de", "en", "zh"]
    texts = {code: "".join(word.text for word in words if word.language == code) for code in ("de", None, "zh")}
    assert "rechtsverbindlichen" in texts["de"] and "bestoftimes" in texts[None] and "车站" in texts["zh"]
    assert all(before.start <= after.start for before, after in pairwise(words))
