import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import praatio.textgrid
import pympi
import pysubs2
import pytest

from vatrace.inference.explain import Explanation
from vatrace.inference.prediction import Prediction
from vatrace.media.folders import find_transcripts
from vatrace.media.transcripts import Word
from vatrace.output.writers import (
    read_json,
    summary_row,
    tiers,
    write_csv,
    write_elan,
    write_json,
    write_parquet,
    write_subtitles,
    write_summary,
    write_textgrid,
)


@pytest.fixture
def prediction() -> Prediction:
    rng = np.random.default_rng(0)
    return Prediction(
        source=Path("talk.mp4"),
        rate=10.0,
        times=np.arange(20) / 10,
        valence=rng.uniform(-1, 1, 20),
        arousal=rng.uniform(-1, 1, 20),
        presence={name: rng.random(20) < 0.5 for name in ("face", "voice", "words")},
        words=[Word("Grüß", 0.1, 0.4)],
        notes=["no sound in it"],
        words_left_out=3,
    )


def test_csv_has_the_values_to_four_decimals(prediction: Prediction, tmp_path: Path) -> None:
    write_csv(prediction, tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_text().splitlines()
    assert text[0] == "time,valence,arousal,face,voice,words,supported"
    assert text[2].startswith("0.1000,")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a.csv"), prediction.to_pandas(), check_dtype=False, atol=5.1e-5)


def test_parquet_has_the_values_exactly(prediction: Prediction, tmp_path: Path) -> None:
    write_parquet(prediction, tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), prediction.to_pandas())


def test_json_has_columns_words_and_notes(prediction: Prediction, tmp_path: Path) -> None:
    write_json(prediction, tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    np.testing.assert_allclose(content["arousal"], prediction.arousal, atol=5.1e-5)
    assert content["face"] == prediction.presence["face"].astype(int).tolist()
    assert content["transcript"] == [{"text": "Grüß", "start": 0.1, "end": 0.4}]
    assert content["notes"] == ["no sound in it"] and content["words_left_out"] == 3


def test_an_explanation_adds_columns_and_undefined_shares_are_null(prediction: Prediction, tmp_path: Path) -> None:
    shares = {name: np.full(20, share) for name, share in {"face": 0.5, "voice": 0.25, "words": 0.25}.items()}
    shares["face"][3] = np.nan
    explained = replace(prediction, explanation=Explanation(shares, changes=np.arange(40.0).reshape(2, 20)))
    write_json(explained, tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert content["face_share"][2:4] == [0.5, None]
    assert content["recursion_2"][0] == 20
    write_csv(explained, tmp_path / "a.csv")
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert rows[0].endswith(",face_share,voice_share,words_share,recursion_1,recursion_2")
    assert rows[4].endswith(",,0.2500,0.2500,3.0000,23.0000")


def test_json_is_read_back(prediction: Prediction, tmp_path: Path) -> None:
    shares = {name: np.full(20, share) for name, share in {"face": 0.5, "voice": 0.25, "words": np.nan}.items()}
    ends = np.stack([prediction.valence, prediction.arousal], axis=-1)
    explanation = Explanation(shares, changes=np.arange(40.0).reshape(2, 20))
    for written in (prediction, replace(prediction, explanation=explanation, bounds=(ends - 0.1, ends + 0.1))):
        write_json(written, tmp_path / "a.json")
        read = read_json(tmp_path / "a.json")
        pd.testing.assert_frame_equal(read.to_pandas(), written.to_pandas(), atol=5.1e-5)
        assert (read.source, read.words, read.notes) == (written.source, written.words, written.notes)
        assert read.boxes is None
        assert read.words_left_out == 3
    boxes = np.tile([0.1, 0.2, 0.3, 0.40001], (20, 1))
    boxes[3] = np.nan
    write_json(replace(prediction, boxes=boxes), tmp_path / "a.json")
    np.testing.assert_allclose(read_json(tmp_path / "a.json").boxes, boxes, atol=1e-4)


def seconds_of(prediction: Prediction) -> list[tuple[int, int, str]]:
    """Mean valence of each second with supported rows, in milliseconds, computed here."""
    rows = []
    for start in (0, 10):
        supported = [index for index in range(start, start + 10) if prediction.supported[index]]
        rows.append((100 * start, 100 * start + 1000, f"{np.mean(prediction.valence[supported]):+.2f}"))
    return rows


def test_elan_reads_words_and_means_of_seconds(prediction: Prediction, tmp_path: Path) -> None:
    overlapping = replace(prediction, words=[Word("so", 0.1, 0.4), Word("äh", 0.3, 0.9), Word("<b>", 0.9, 0.9)])
    path = tmp_path / "a.eaf"
    path.write_text("old")
    write_elan(overlapping, path)
    document = pympi.Eaf(str(path))
    assert list(document.get_tier_names()) == ["words", "valence", "arousal", "face", "voice"]
    assert sorted(document.get_annotation_data_for_tier("words")) == [(100, 300, "so"), (300, 900, "äh")]
    assert sorted(document.get_annotation_data_for_tier("valence")) == seconds_of(prediction)
    steps = {
        step for start, end, _ in document.get_annotation_data_for_tier("face") for step in range(start // 100, end // 100)
    }
    assert steps == set(np.flatnonzero(prediction.presence["face"]).tolist())
    (media,) = document.get_linked_files()
    assert (media["MEDIA_URL"], media["RELATIVE_MEDIA_URL"], media["MIME_TYPE"]) == ("talk.mp4", "./talk.mp4", "video/mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.eaf"]


def test_praat_reads_the_same(prediction: Prediction, tmp_path: Path) -> None:
    write_textgrid(prediction, tmp_path / "a.TextGrid")
    grid = praatio.textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=False)
    assert grid.tierNames == ("words", "valence", "arousal", "face", "voice")
    assert [tuple(entry) for entry in grid.getTier("words").entries] == [(0.1, 0.4, "Grüß")]
    found = [(round(1000 * start), round(1000 * end), text) for start, end, text in grid.getTier("valence").entries]
    assert found == seconds_of(prediction)
    assert grid.maxTimestamp == prediction.duration == 2.0


def test_a_grid_without_words_or_faces_is_read_too(prediction: Prediction, tmp_path: Path) -> None:
    absent = {name: np.zeros(20, bool) for name in ("face", "voice", "words")}
    write_textgrid(replace(prediction, words=[], presence=absent), tmp_path / "a.TextGrid")
    grid = praatio.textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=False)
    assert [len(grid.getTier(name).entries) for name in grid.tierNames] == [0] * 5
    write_elan(replace(prediction, words=[], presence=absent), tmp_path / "a.eaf")
    assert pympi.Eaf(str(tmp_path / "a.eaf")).get_annotation_data_for_tier("valence") == []


def test_subtitles_say_words_and_values(prediction: Prediction, tmp_path: Path) -> None:
    words = [Word("Good", 0.0, 0.4), Word("day.", 0.4, 1.0), Word("Well", 1.5, 1.51)]
    write_subtitles(replace(prediction, words=words), tmp_path / "a.vtt")
    first, second = pysubs2.load(str(tmp_path / "a.vtt"))
    assert (first.start, first.end) == (0, 1000)
    valence, arousal = prediction.valence[:10].mean(), prediction.arousal[:10].mean()
    assert first.plaintext == f"Good day.\n(valence {valence:+.2f}, arousal {arousal:+.2f})"
    assert f"valence {prediction.valence[15]:+.2f}" in second.plaintext


def test_speakers_are_in_every_format_that_has_words(prediction: Prediction, tmp_path: Path) -> None:
    words = [Word("Why?", 0.0, 0.4, "ANNA"), Word("Well", 0.5, 0.8), Word("no", 1.0, 1.5, "BEN")]
    spoken = replace(prediction, words=words)
    write_json(spoken, tmp_path / "a.json")
    transcript = json.loads((tmp_path / "a.json").read_text())["transcript"]
    assert [word.get("speaker") for word in transcript] == ["ANNA", None, "BEN"]
    assert read_json(tmp_path / "a.json").words == words
    assert tiers(spoken)["speaker"] == [(0.0, 0.4, "ANNA"), (1.0, 1.5, "BEN")]
    write_elan(spoken, tmp_path / "a.eaf")
    assert sorted(pympi.Eaf(str(tmp_path / "a.eaf")).get_annotation_data_for_tier("speaker")) == [
        (0, 400, "ANNA"),
        (1000, 1500, "BEN"),
    ]
    write_subtitles(spoken, tmp_path / "a.vtt")
    assert [line.plaintext.split("\n")[0] for line in pysubs2.load(str(tmp_path / "a.vtt"))] == [
        "ANNA: Why?",
        "Well",
        "BEN: no",
    ]


def test_subtitles_say_that_they_are_no_transcript(prediction: Prediction, tmp_path: Path) -> None:
    write_subtitles(prediction, tmp_path / "talk.vtt")
    assert (tmp_path / "talk.vtt").read_text(encoding="utf-8").startswith("WEBVTT\n\nNOTE vatrace")
    assert find_transcripts(tmp_path / "talk.mp4", tmp_path.iterdir()).path is None


def test_names_that_are_not_utf8_are_written_with_replacement_characters(prediction: Prediction, tmp_path: Path) -> None:
    named = replace(prediction, source=Path(os.fsdecode(b"caf\xe9.mp4")), notes=[os.fsdecode(b"caf\xe9.srt: mended")])
    for write in (write_json, write_elan, write_csv, write_subtitles, write_textgrid):
        write(named, tmp_path / "a.x")
    write_json(named, tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert (content["source"], content["notes"]) == ("caf\ufffd.mp4", ["caf\ufffd.srt: mended"])
    rows = [
        {"recording": os.fsdecode(b"caf\xe9")} | summary_row(named),
        {"recording": "ok", "error": os.fsdecode(b"\xe9: bad")},
    ]
    write_summary(rows, tmp_path / "all.csv")
    table = pd.read_csv(tmp_path / "all.csv", encoding="utf-8")
    assert table["recording"].tolist() == ["caf\ufffd", "ok"] and table["error"].tolist()[1] == "\ufffd: bad"
