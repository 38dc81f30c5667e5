"""Columns beside valence and arousal (`also`)."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from command import run
from conftest import write_movie
from vatrace import Model
from vatrace.encoders.face import EXPRESSIONS, FerPlusEncoder
from vatrace.errors import MissingExtraError, UsageError
from vatrace.features.face_meter import MEASURES
from vatrace.features.perceiver import Perceiver
from vatrace.media.recording import open_recording
from vatrace.output.columns import TRACE, described
from vatrace.output.writers import read_json

NAMES = [f"expression_{name}" for name in EXPRESSIONS]


@pytest.fixture(scope="module")
def leaving(tmp_path_factory: pytest.TempPathFactory, face_images: list[Image.Image]) -> Path:
    """A face for one second, then nobody for one second."""
    nobody = Image.new("RGB", face_images[0].size)
    return write_movie(tmp_path_factory.mktemp("also") / "leaving.mp4", [*face_images[:30], *[nobody] * 30], frame_rate=30)


def test_expressions_are_those_of_the_face_network_and_empty_without_a_face(leaving: Path, model: Model) -> None:
    found = model.predict(leaving, modalities=["face"], also=["emotions"])
    assert list(found.also) == NAMES
    table = found.to_pandas()[NAMES]
    seen = found.presence["face"]
    assert 8 <= seen.sum() <= 12 and table[~seen].isna().all(axis=None)
    np.testing.assert_allclose(table[seen].sum(axis=1), 1, atol=1e-5)
    perceiver = Perceiver(keep_crops=True)  # the crops, encoded apart
    percept = perceiver.percept(perceiver.perceive(open_recording(leaving), model.rate, {"face"}), 0)
    assert percept.crops is not None and percept.num_steps == len(seen) and percept.also == {}
    np.testing.assert_allclose(
        table[seen], FerPlusEncoder().expressions(percept.crops(0, len(seen))[percept.valid["face"]]), atol=1e-5
    )


def test_expressions_change_nothing_else(leaving: Path, model: Model) -> None:
    plain, more = (model.predict(leaving, modalities=["face"], also=also, rate=25) for also in ([], ["emotions"]))
    pd.testing.assert_frame_equal(more.to_pandas().drop(columns=NAMES), plain.to_pandas())
    assert len(more.also[NAMES[0]]) == 50


HEAD = [*MEASURES, "blink"]


def test_head_and_lids_are_measured_where_the_face_is_visible(leaving: Path, model: Model) -> None:
    found = model.predict(leaving, modalities=["face"], also=["face"])
    table, seen = found.to_pandas()[HEAD], found.presence["face"]
    assert list(found.also) == HEAD and table[~seen].isna().all(axis=None) and table[seen].notna().all(axis=None)
    assert table["head_roll"][seen].between(-20, -5).all()  # he tilts his head to the left of the picture
    assert table[["head_yaw", "head_pitch"]][seen].abs().max(axis=None) < 15
    assert table["eye_openness"][seen].between(0.25, 0.5).all() and (table["blink"][seen] == 0).all()


@pytest.mark.parametrize(("clip", "starts"), [("pwij3p", [34, 47]), ("lbax4n", [27]), ("bbaf2n", [42, 50])])
def test_the_blinks_of_real_people_are_those_counted_by_eye(shared: Path, model: Model, clip: str, starts: list[int]) -> None:
    """Frames, 25 a second, in which the lids begin to fall, found by looking at each of the 75 pictures of a clip."""
    found = model.predict(shared / "clips" / f"{clip}.mpg", modalities=["face"], also=["face"], rate=25)
    rows = np.flatnonzero(found.also["blink"] == 1).tolist()
    assert rows == pytest.approx(starts, abs=1)


def test_the_blinks_of_a_real_person_are_one_row_each_at_any_rate(shared: Path, model: Model) -> None:
    clip = shared / "clips" / "pwij3p.mpg"
    plain = model.predict(clip, modalities=["face"])
    for rate in (5, 10, 25):
        found = model.predict(clip, modalities=["face"], also=["face"], rate=rate)
        times = np.flatnonzero(found.also["blink"] == 1) / rate
        assert times.tolist() == pytest.approx([34 / 25, 48 / 25], abs=1 / rate + 0.01), rate
        if rate == 10:
            np.testing.assert_array_equal(found.valence, plain.valence)
    gaze = found.also["gaze_yaw"]
    assert np.isnan(gaze).any() and (found.also["eye_openness"][np.isnan(gaze)] < 0.2).all()


VOICE = ["voice_pitch", "voice_loudness", "speech_rate", "pause"]


def test_a_voice_is_measured_where_the_person_speaks(talking: Path, model: Model) -> None:
    pytest.importorskip("parselmouth")
    found = model.predict(talking, modalities=["face", "voice"], also=["voice"])
    assert list(found.also) == VOICE
    heard = found.presence["voice"]
    pitch, loudness, spoken, pause = found.also.values()
    assert np.isnan(pitch[~heard]).all() and (np.isnan(loudness) == ~heard).all()
    assert np.isnan(spoken).all() and set(pause) <= {0.0, 1.0}  # words weren't used
    power = np.mean(10 ** (loudness[~np.isnan(loudness)] / 10))
    assert 10 * np.log10(power) == pytest.approx(0, abs=2)
    voiced = pitch[~np.isnan(pitch)]
    assert 5 < len(voiced) < len(loudness) and 12 * np.log2(75 / 100) <= voiced.min() <= voiced.max() < 24


def test_praat_s_version_is_recorded_only_where_it_took_part(leaving: Path, tmp_path: Path) -> None:
    pytest.importorskip("parselmouth")
    for also, known in (("face", False), ("voice", True)):
        out = tmp_path / also
        assert run("predict", leaving, "--modalities", "face,voice", "--also", also, "--out", out).status == 0
        made = json.loads((out / "leaving.json").read_text())["provenance"]
        assert ("praat-parselmouth" in made["libraries"]) == known and made["options"]["also"] == [also]


def test_a_voice_needs_its_library_and_audio(
    leaving: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="needs the voice"):
        model.predict(leaving, modalities=["face"], also=["voice"])
    monkeypatch.setitem(sys.modules, "parselmouth", None)
    with pytest.raises(MissingExtraError, match="prosody"):
        model.predict(leaving, also=["voice"])
    monkeypatch.undo()
    pytest.importorskip("parselmouth")
    silent = model.predict(leaving, modalities=["face", "voice"], also=["voice"])
    assert list(silent.also) == VOICE and all(np.isnan(column).all() for column in silent.also.values())


def test_what_can_t_be_measured_is_refused(leaving: Path, model: Model) -> None:
    with pytest.raises(UsageError, match="needs the face, which is not among"):
        model.predict(leaving, modalities=["voice"], also=["emotions"])
    with pytest.raises(ValueError, match="also must be a list of emotions, face, voice"):
        model.predict(leaving, also=["smell"])


def test_a_recording_without_a_picture_has_empty_columns(tmp_path: Path, model: Model) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    found = model.predict(tmp_path / "a.srt", also=["emotions"])
    assert list(found.also) == NAMES and all(np.isnan(column).all() for column in found.also.values())


def test_the_columns_are_in_every_table_and_explained(leaving: Path, tmp_path: Path) -> None:
    options = ("--modalities", "face", "--also", "emotions", "--out", tmp_path, "--format", "csv,json,parquet")
    result = run("predict", leaving, *options)
    assert (result.status, result.err) == (0, "")
    table = pd.read_csv(tmp_path / "leaving.csv")
    np.testing.assert_allclose(table[NAMES], pd.read_parquet(tmp_path / "leaving.parquet")[NAMES], atol=5.1e-5)
    pd.testing.assert_frame_equal(read_json(tmp_path / "leaving.json").to_pandas()[NAMES], table[NAMES], atol=1e-9)
    meanings = pd.read_csv(tmp_path / "codebook.csv").set_index("column")
    assert set(NAMES) <= set(meanings.index) and meanings["missing"][NAMES[0]] == "the face isn't visible"
    assert all(column.range == "0..1" for column in described(NAMES, TRACE))
    assert "already done" in run("predict", leaving, *options).out
    other = run("predict", leaving, *options[:2], *options[4:])
    assert "because of changes: also ['emotions'] -> none" in other.out
    again = run("predict", leaving, *options)
    assert "because of changes: also none -> ['emotions']" in again.out
    assert "the same result" in run("again", tmp_path / "leaving.json").out
    refused = run("predict", leaving, "--modalities", "voice", "--also", "emotions", "--out", tmp_path / "out")
    assert refused.status != 0 and not (tmp_path / "out").exists()
