import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vatrace.explain import Explanation
from vatrace.prediction import Prediction
from vatrace.transcripts import Word
from vatrace.writers import check_formats, write_csv, write_json, write_parquet, written_whole


@pytest.fixture
def prediction() -> Prediction:
    rng = np.random.default_rng(0)
    return Prediction(
        source=Path("talk.mp4"),
        times=np.arange(20) / 10,
        valence=rng.uniform(-1, 1, 20),
        arousal=rng.uniform(-1, 1, 20),
        presence={name: rng.random(20) < 0.5 for name in ("face", "voice", "words")},
        words=[Word("Grüß", 0.1, 0.4)],
        notes=["no sound in it"],
    )


def test_csv_has_the_values_to_four_decimals(prediction: Prediction, tmp_path: Path) -> None:
    write_csv(prediction, tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_text().splitlines()
    assert text[0] == "time,valence,arousal,face,voice,words,reliable"
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
    assert content["notes"] == ["no sound in it"]


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


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    def fail() -> None:
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"] and path.read_text() == "old"


def test_formats_are_checked_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    check_formats(["csv", "json", "parquet"])
    monkeypatch.setattr("vatrace.writers.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        check_formats(["parquet"])
