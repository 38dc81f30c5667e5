import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import praatio.textgrid
import pyarrow.parquet
import pympi
import pysubs2
import pytest
import webvtt

from vatrace.inference.explain import Explanation
from vatrace.inference.prediction import Prediction, Turn, renamed, within
from vatrace.media.folders import find_transcripts
from vatrace.media.transcripts import Word
from vatrace.output.provenance import starting
from vatrace.output.writers import (
    SUMMARY_COLUMNS,
    read_json,
    summary_rows,
    summary_table,
    tiers,
    write_csv,
    write_elan,
    write_json,
    write_parquet,
    write_subtitles,
    write_textgrid,
    write_turns,
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
    assert text[0] == "time,valence,arousal,face,voice,words,supported,person,speaking"
    assert text[2].startswith("0.1000,") and text[2].endswith(",1,")
    read = pd.read_csv(tmp_path / "a.csv", dtype={"person": str})
    pd.testing.assert_frame_equal(read, prediction.to_pandas(), check_dtype=False, atol=5.1e-5)


def test_csv_is_what_pandas_writes(prediction: Prediction, tmp_path: Path) -> None:
    bounds = (np.stack([prediction.valence, prediction.arousal], axis=1) - 0.1, np.full((20, 2), np.nan))
    other = replace(prediction, person='a "b", c', speaking=prediction.valence > 0, bounds=bounds)
    several = replace(prediction, bounds=bounds, others=(other,))
    for number, found in enumerate((prediction, other, several)):
        write_csv(found, tmp_path / f"{number}.csv")
        found.to_pandas().to_csv(tmp_path / "pandas.csv", index=False, float_format="%.4f")
        assert (tmp_path / f"{number}.csv").read_bytes() == (tmp_path / "pandas.csv").read_bytes()


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


OLD_JSON = {
    **{"source": "talk.mp4", "rate": 10.0, "time": [0.0, 0.1], "valence": [0.5, 0.25], "arousal": [-0.5, 0.0]},
    **{"face": [1, 1], "voice": [0, 1], "words": [0, 0], "supported": [1, 1]},
    **{"transcript": [{"text": "So", "start": 0.0, "end": 0.1}], "words_left_out": 2, "notes": ["no face found"]},
    **{"made_by": {"vatrace": "0.1.0", "side": "left"}, "boxes": [None, [0.1, 0.2, 0.3, 0.4]]},
}
"""A file of version 0.1."""


def test_json_of_earlier_versions_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(OLD_JSON))
    read = read_json(tmp_path / "a.json")
    assert (read.person, read.speaking, read.turns, read.others) == ("1", None, [], ())
    assert read.valence.tolist() == [0.5, 0.25] and read.presence["voice"].tolist() == [False, True]
    assert read.words == [Word("So", 0.0, 0.1)] and read.words_left_out == 2 and read.made_by["side"] == "left"
    assert np.isnan(read.boxes[0]).all() and read.boxes[1].tolist() == [0.1, 0.2, 0.3, 0.4]


@pytest.fixture
def three(prediction: Prediction) -> Prediction:
    """Persons 1, 2 and 3, of whom 1 and 2 speak; and others who speak."""
    rng = np.random.default_rng(1)
    turns = [
        Turn(0.0, 0.5, "1", (Word("Grüß", 0.1, 0.4), Word("Gott.", 0.4, 0.5))),
        Turn(0.5, 1.0, "2", (Word("Hello!", 0.5, 1.0),)),
        Turn(1.0, 1.2, "several"),
        Turn(1.2, 1.5, "off screen", (Word("Silence.", 1.25, 1.5),)),
        Turn(1.5, 1.52, "1", (Word("So.", 1.5, 1.52),)),
        Turn(1.6, 2.0, "4", (Word("Pardon?", 1.6, 1.9),)),
    ]
    people = []
    for name in ("1", "2", "3"):
        valence, arousal = rng.uniform(-0.8, 0.8, (2, 20))
        middle = np.stack([valence, arousal], axis=-1)
        width = rng.uniform(0, 0.2, (20, 2))
        speaking = np.zeros(20, dtype=bool)
        for turn in turns:
            speaking[round(10 * turn.start) : round(10 * turn.end)] |= turn.person == name
        people.append(
            replace(
                prediction,
                valence=valence,
                arousal=arousal,
                presence={"face": rng.random(20) < 0.7, "voice": speaking, "words": speaking},
                bounds=(middle - width, middle + width),
                words=[word for turn in turns if turn.person == name for word in turn.words],
                notes=[f"about {name}"],
                made_by={"vatrace": "0.2.0", "people": "3"},
                person=name,
                speaking=speaking,
                turns=turns,
                boxes=None if name == "3" else rng.uniform(0, 1, (20, 4)),
                words_left_out=int(name),
            )
        )
    return replace(people[0], others=tuple(people[1:]))


def same(read: Prediction, written: Prediction) -> None:
    pd.testing.assert_frame_equal(read.to_pandas(), written.to_pandas(), atol=5.1e-5)
    assert list(read.people) == list(written.people)
    for found, expected in zip(read.people.values(), written.people.values(), strict=True):
        about = [(p.words, p.notes, p.words_left_out, p.turns, p.made_by, p.source, p.rate) for p in (found, expected)]
        assert about[0] == about[1]
        assert (found.boxes is None) == (expected.boxes is None)
        if found.boxes is not None:
            np.testing.assert_allclose(found.boxes, expected.boxes, atol=5.1e-5)


def test_json_of_several_people_is_read_back(three: Prediction, tmp_path: Path) -> None:
    write_json(three, tmp_path / "a.json")
    same(read_json(tmp_path / "a.json"), three)
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert [person["person"] for person in content["people"]] == ["1", "2", "3"] and "valence" not in content
    assert content["people"][1]["speaking"] == three.others[0].speaking.astype(int).tolist()
    assert content["turns"][1] == {
        **{"start": 0.5, "end": 1.0, "person": "2"},
        "words": [{"text": "Hello!", "start": 0.5, "end": 1.0}],
    }
    named = renamed(three, {"1": "P01", "2": "Zoë"})
    write_json(named, tmp_path / "a.json")
    same(read_json(tmp_path / "a.json"), named)


def test_json_of_one_person_keeps_its_layout(three: Prediction, tmp_path: Path) -> None:
    alone = three.people["2"]
    write_json(alone, tmp_path / "a.json")
    same(read_json(tmp_path / "a.json"), alone)
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert content["person"] == "2" and len(content["valence"]) == 20 and len(content["turns"]) == 6 and "people" not in content


def test_tables_have_everyone_s_rows(three: Prediction, tmp_path: Path) -> None:
    named = renamed(three, {"1": "P01"})
    write_csv(named, tmp_path / "a.csv")
    write_parquet(named, tmp_path / "a.parquet")
    for table in (pd.read_csv(tmp_path / "a.csv", dtype={"person": str}), pd.read_parquet(tmp_path / "a.parquet")):
        assert table["person"].tolist() == ["P01"] * 20 + ["2"] * 20 + ["3"] * 20
        assert table.loc[table["person"] == "2", "valence"].to_numpy() == pytest.approx(three.others[0].valence, abs=5.1e-5)
        assert table.loc[table["speaking"] == 1, "person"].unique().tolist() == ["P01", "2"]


def test_turns_have_the_means_of_the_speaker(three: Prediction, tmp_path: Path) -> None:
    write_turns(three, tmp_path / "a.turns.csv")
    table = pd.read_csv(tmp_path / "a.turns.csv", dtype={"person": str}, keep_default_na=False)
    ends = ["valence", "valence_low", "valence_high", "arousal", "arousal_low", "arousal_high"]
    assert list(table.columns) == ["start", "end", "person", "words", *ends]
    assert table["person"].tolist() == ["1", "2", "several", "off screen", "1", "4"]
    assert table["words"].tolist() == ["Grüß Gott.", "Hello!", "", "Silence.", "So.", "Pardon?"]
    assert table["start"].tolist() == [0.0, 0.5, 1.0, 1.2, 1.5, 1.6] and table["end"].tolist()[-2:] == [1.52, 2.0]
    second = three.others[0]
    supported = [step for step in range(5, 10) if second.supported[step]]
    low, high = second.bounds
    expected = [second.valence[supported], low[supported, 0], high[supported, 0]]
    expected += [second.arousal[supported], low[supported, 1], high[supported, 1]]
    assert [float(table[name][1]) for name in ends] == pytest.approx([values.mean() for values in expected], abs=5.1e-5)
    assert float(table["valence"][4]) == pytest.approx(three.valence[15], abs=5.1e-5)  # shorter than a row
    for row in (2, 3, 5):  # nobody's trace
        assert [table[name][row] for name in ends] == [""] * 6


def test_turns_without_support_or_intervals_have_empty_cells(three: Prediction, tmp_path: Path) -> None:
    absent = {name: np.zeros(20, bool) for name in ("face", "voice", "words")}
    write_turns(replace(three.people["2"], presence=absent), tmp_path / "a.csv")
    assert pd.read_csv(tmp_path / "a.csv")["valence"].isna().all()
    write_turns(replace(three.people["2"], bounds=None), tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["valence"].notna().tolist() == [False, True, False, False, False, False]
    assert table[["valence_low", "arousal_high"]].isna().all(axis=None)
    write_turns(replace(three, turns=[]), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "start,end,person,words,valence,valence_low,valence_high,arousal,arousal_low,arousal_high"
    ]


def test_the_mean_of_intervals_contains_the_mean_of_the_truth_at_least_as_often(tmp_path: Path) -> None:
    """Errors are normal, with a 90 % interval a row; the errors of a turn's rows are correlated by 0, 0.5 or 1."""
    rng = np.random.default_rng(0)
    num_turns, num_rows = 1000, 10
    count = num_turns * num_rows
    turns = [Turn(float(turn), turn + 1.0, "1") for turn in range(num_turns)]
    present = {name: np.ones(count, bool) for name in ("face", "voice", "words")}
    for correlation, expected in ((0.0, 1.0), (0.5, 0.975), (1.0, 0.9)):
        shared, own = rng.normal(size=(num_turns, 1)), rng.normal(size=(num_turns, num_rows))
        error = 0.1 * (np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own).ravel()
        truth = rng.uniform(-0.3, 0.3, count)
        values = np.stack([truth + error] * 2, axis=-1)
        made = Prediction(
            **{"source": Path("a.mp4"), "rate": 10.0, "times": np.arange(count) / 10, "presence": present, "turns": turns},
            **{"valence": values[:, 0], "arousal": values[:, 1], "bounds": (values - 0.16449, values + 0.16449)},
        )
        write_turns(made, tmp_path / "a.csv")
        table, means = pd.read_csv(tmp_path / "a.csv"), truth.reshape(num_turns, num_rows).mean(axis=1)
        covered = ((table["valence_low"] <= means) & (means <= table["valence_high"])).mean()
        assert covered == pytest.approx(expected, abs=0.03)


def test_the_summary_has_a_row_for_each_person(three: Prediction, tmp_path: Path) -> None:
    summary_table([{"recording": "talk"} | row for row in summary_rows(three)]).to_csv(tmp_path / "all.csv", index=False)
    table = pd.read_csv(tmp_path / "all.csv", dtype={"person": str})
    assert list(table.columns) == list(SUMMARY_COLUMNS) and "side" not in SUMMARY_COLUMNS
    assert table["recording"].tolist() == ["talk"] * 3 and table["person"].tolist() == ["1", "2", "3"]
    assert table["speaking"].tolist() == pytest.approx([5 / 20, 5 / 20, 0]) and table["notes"][1] == "about 2"
    assert table["words_left_out"].tolist() == [1, 2, 3] and table["people"].tolist() == [3, 3, 3]
    third = three.others[1]
    assert table["arousal_mean"][2] == pytest.approx(third.arousal[third.supported].mean(), abs=5.1e-5)
    summary_table(summary_rows(replace(three.people["1"], speaking=None))).to_csv(tmp_path / "all.csv", index=False)
    assert pd.read_csv(tmp_path / "all.csv")["speaking"].isna().all()


def test_everyone_has_tiers_and_one_says_who_speaks(three: Prediction, tmp_path: Path) -> None:
    named = renamed(three, {"1": 'Anna "A" & <co>'})
    write_elan(named, tmp_path / "a.eaf")
    document = pympi.Eaf(str(tmp_path / "a.eaf"))
    expected = [f"{name} {tier}" for name in named.people for tier in ("words", "valence", "arousal", "face", "voice")]
    assert list(document.get_tier_names()) == [*expected, "turns"]
    assert sorted(document.get_annotation_data_for_tier("turns"))[:3] == [
        (0, 500, 'Anna "A" & <co>'),
        (500, 1000, "2"),
        (1000, 1200, "several"),
    ]
    assert document.get_annotation_data_for_tier("2 words") == [(500, 1000, "Hello!")]
    assert sorted(document.get_annotation_data_for_tier("3 valence")) == seconds_of(three.others[1])
    write_textgrid(three, tmp_path / "a.TextGrid")
    grid = praatio.textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=False)
    assert grid.tierNames[0] == "1 words" and grid.tierNames[-2:] == ("turns", "vatrace")
    assert [entry.label for entry in grid.getTier("turns").entries] == ["1", "2", "several", "off screen", "1", "4"]
    assert [tuple(entry) for entry in grid.getTier("2 words").entries] == [(0.5, 1.0, "Hello!")]
    write_textgrid(named, tmp_path / "b.TextGrid")
    grid = praatio.textgrid.openTextgrid(str(tmp_path / "b.TextGrid"), includeEmptyIntervals=False)
    assert named.person in {entry.label for entry in grid.getTier("turns").entries}


def test_one_person_s_tiers_have_their_plain_names(three: Prediction) -> None:
    alone = three.people["2"]
    assert list(tiers(alone)) == ["words", "valence", "arousal", "face", "voice", "turns"]
    assert tiers(alone)["turns"][1] == (0.5, 1.0, "2")
    silent = replace(alone, turns=[], words=[])
    assert tiers(silent)["turns"] == [] and "turns" not in tiers(replace(silent, speaking=None))


def test_subtitles_name_all_speakers_and_have_their_own_values(three: Prediction, tmp_path: Path) -> None:
    write_subtitles(renamed(three, {"2": "Ben"}), tmp_path / "a.vtt")
    lines = [line.plaintext.split("\n") for line in pysubs2.load(str(tmp_path / "a.vtt"))]
    said = [line[0] for line in lines]
    assert said == ["Person 1: Grüß Gott.", "Ben: Hello!", "Off screen: Silence.", "Person 1: So.", "Person 4: Pardon?"]
    second = three.others[0]
    assert lines[1][1] == f"(valence {second.valence[5:10].mean():+.2f}, arousal {second.arousal[5:10].mean():+.2f})"
    assert [len(line) for line in lines] == [2, 2, 1, 2, 1]  # without a trace, no values
    alone = replace(three.people["1"], turns=[turn for turn in three.turns if turn.person == "1"])
    write_subtitles(alone, tmp_path / "a.vtt")
    assert [line.plaintext.split("\n")[0] for line in pysubs2.load(str(tmp_path / "a.vtt"))] == ["Grüß Gott.", "So."]


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
    assert grid.tierNames == ("words", "valence", "arousal", "face", "voice", "vatrace")
    assert [tuple(entry) for entry in grid.getTier("words").entries] == [(0.1, 0.4, "Grüß")]
    found = [(round(1000 * start), round(1000 * end), text) for start, end, text in grid.getTier("valence").entries]
    assert found == seconds_of(prediction)
    assert grid.maxTimestamp == prediction.duration == 2.0


def test_a_grid_without_words_or_faces_is_read_too(prediction: Prediction, tmp_path: Path) -> None:
    absent = {name: np.zeros(20, bool) for name in ("face", "voice", "words")}
    write_textgrid(replace(prediction, words=[], presence=absent), tmp_path / "a.TextGrid")
    grid = praatio.textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=False)
    assert [len(grid.getTier(name).entries) for name in grid.tierNames] == [0] * 5 + [1]
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
        *({"recording": os.fsdecode(b"caf\xe9")} | row for row in summary_rows(named)),
        {"recording": "ok", "error": os.fsdecode(b"\xe9: bad")},
    ]
    summary_table(rows).to_csv(tmp_path / "all.csv", index=False)
    table = pd.read_csv(tmp_path / "all.csv", encoding="utf-8")
    assert table["recording"].tolist() == ["caf\ufffd", "ok"] and table["error"].tolist()[1] == "\ufffd: bad"


def made(prediction: Prediction, folder: Path) -> Prediction:
    """The prediction with its recording and its provenance."""
    source = folder / "my videos" / "talk.mp4"
    source.parent.mkdir()
    source.touch()
    started = starting(source, folder / "out", {}, {"rate": 10.0}, {"fusion.onnx": "ab" * 32})
    found = replace(started, created="2026-01-31T12:00:00+00:00", command="vatrace predict 'my videos' --> x", people=("1",))
    return replace(prediction, source=source, about={"participant": "P07"}, provenance=found.as_dict())


def test_elan_finds_the_recording_wherever_the_document_is(prediction: Prediction, tmp_path: Path) -> None:
    whole = made(prediction, tmp_path)
    (tmp_path / "out" / "deep").mkdir(parents=True)
    path = tmp_path / "out" / "deep" / "a.eaf"
    write_elan(whole, path)
    document = pympi.Eaf(str(path))
    (media,) = document.get_linked_files()
    assert media["MEDIA_URL"] == whole.source.as_uri() and "%20" in media["MEDIA_URL"]
    assert (path.parent / media["RELATIVE_MEDIA_URL"]).resolve() == whole.source
    facts = dict(document.get_properties())
    assert facts["vatrace: participant"] == "P07" and "SHA-256 e3b0c44298fc" in facts["vatrace: recording"]
    assert facts["vatrace: person"] == "1" and facts["vatrace: version"].startswith("vatrace ")
    assert document.tiers["valence"][2]["PARTICIPANT"] == "Person 1"
    write_elan(whole, whole.source.with_suffix(".eaf"))
    (media,) = pympi.Eaf(str(whole.source.with_suffix(".eaf"))).get_linked_files()
    assert media["RELATIVE_MEDIA_URL"] == "./talk.mp4"


def test_praat_subtitles_and_parquet_say_how_they_were_made(prediction: Prediction, tmp_path: Path) -> None:
    whole = made(prediction, tmp_path)
    write_textgrid(whole, tmp_path / "a.TextGrid")
    grid = praatio.textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=False)
    (entry,) = grid.getTier("vatrace").entries
    assert "participant: P07" in entry.label and "SHA-256 e3b0c44298fc" in entry.label and (entry.start, entry.end) == (0, 2)
    write_subtitles(replace(whole, words=[Word("Good", 0.0, 0.4)]), tmp_path / "a.vtt")
    text = (tmp_path / "a.vtt").read_text(encoding="utf-8")
    assert "participant: P07" in text and text.count("-->") == 1 and len(pysubs2.load(str(tmp_path / "a.vtt"))) == 1
    subtitles = webvtt.read(tmp_path / "a.vtt")
    assert [caption.text.split("\n")[0] for caption in subtitles] == ["Good"]
    assert "participant: P07" in subtitles.header_comments[0] and "SHA-256 e3b0c44298fc" in subtitles.header_comments[0]
    write_parquet(whole, tmp_path / "a.parquet")
    metadata = pyarrow.parquet.read_schema(tmp_path / "a.parquet").metadata
    assert json.loads(metadata[b"vatrace"]) == json.loads(json.dumps(whole.provenance))
    assert set(pd.read_parquet(tmp_path / "a.parquet")["participant"]) == {"P07"}


def test_praat_itself_opens_the_grid(prediction: Prediction, tmp_path: Path) -> None:
    parselmouth = pytest.importorskip("parselmouth")
    write_textgrid(made(prediction, tmp_path), tmp_path / "a.TextGrid")
    grid, call = parselmouth.read(str(tmp_path / "a.TextGrid")), parselmouth.praat.call
    names = [call(grid, "Get tier name", number) for number in range(1, call(grid, "Get number of tiers") + 1)]
    assert names == ["words", "valence", "arousal", "face", "voice", "vatrace"] and call(grid, "Get end time") == 2
    assert call(grid, "Get label of interval", 1, 2) == "Grüß"
    assert "participant: P07" in call(grid, "Get label of interval", 6, 1)


def test_spreadsheets_run_no_names(prediction: Prediction, tmp_path: Path) -> None:
    odd = replace(prediction, person="=cmd()", about={"group": "-1.5", "site": "@sum", "=name": "x"})
    write_csv(odd, tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv")
    assert set(table["person"]) == {"'=cmd()"} and set(table["site"]) == {"'@sum"} and set(table["group"]) == {-1.5}
    assert "'=name" in table.columns


def test_values_of_a_part_are_those_of_the_rows_that_count(prediction: Prediction, tmp_path: Path) -> None:
    presence = {name: np.ones(20, bool) for name in prediction.presence}
    part = within(replace(prediction, presence=presence, words=[Word("so", 0.2, 0.7)]), 0.4, 1.2)
    assert [span[:2] for span in tiers(part)["valence"]] == [(0.4, 1.0), (1.0, 1.2)]
    assert tiers(part)["valence"][0][2] == f"{prediction.valence[4:10].mean():+.2f}"
    write_subtitles(part, tmp_path / "a.vtt")
    assert f"(valence {prediction.valence[4:7].mean():+.2f}, arousal" in (tmp_path / "a.vtt").read_text()
