from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from damage import HEADERS, npy
from vatrace.corpora import open_corpus
from vatrace.corpora.check import check
from vatrace.corpora.feature_files import read_features
from vatrace.errors import CorpusError, MissingExtraError

VALUES = np.array([[1.0, -2.5], [np.nan, 0.25], [3.0, 4.0]])
TIMES = np.array([0.5, 1.0, 1.75])


def write_npy(path: Path, values: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.asarray(values))
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def as_csv(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False)


def as_parquet(path: Path, table: pd.DataFrame) -> None:
    table.to_parquet(path, index=False)


@pytest.mark.parametrize(("suffix", "save"), [("csv", as_csv), ("parquet", as_parquet)])
def test_tables_are_read_with_and_without_times(tmp_path: Path, suffix: str, save: Callable[..., None]) -> None:
    plain = pd.DataFrame(VALUES, columns=["a", "b"])
    save(tmp_path / f"plain.{suffix}", plain)
    save(tmp_path / f"timed.{suffix}", plain.assign(Time=TIMES)[["a", "Time", "b"]])
    rows = read_features(tmp_path / f"plain.{suffix}")
    assert rows.times is None
    np.testing.assert_array_equal(rows.values, VALUES)
    rows = read_features(tmp_path / f"timed.{suffix}")
    np.testing.assert_array_equal(rows.times, TIMES)
    np.testing.assert_array_equal(rows.values, VALUES)


def test_csv_as_people_write_it(tmp_path: Path) -> None:
    rows = read_features(write(tmp_path / "a.csv", "\ufeffTIME;hr\n0,5;71,5\n\n1;NA\n"))
    assert rows.times is not None
    np.testing.assert_array_equal(rows.times, [0.5, 1.0])
    np.testing.assert_array_equal(rows.values, [[71.5], [np.nan]])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32])
def test_arrays_of_numbers_are_read(tmp_path: Path, dtype: type) -> None:
    values = np.arange(6).astype(dtype)
    np.testing.assert_array_equal(read_features(write_npy(tmp_path / "a.npy", values)).values, values[:, None])
    np.testing.assert_array_equal(
        read_features(write_npy(tmp_path / "b.npy", values.reshape(3, 2))).values, values.reshape(3, 2)
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "time,x\n0,1\n0.5,high\n", "line 3: 'high' is not a number"),
        ("a.csv", "time,x\n", "contains no rows"),
        ("a.csv", "time\n0\n", "no columns of features"),
        ("a.csv", "time,x\n0,1\n1,2\n1,3\n", "row 3: times must ascend, not 1"),
        ("a.csv", "time,x\n-1,1\n", "row 1: a time in seconds, 0 or later, is needed, not -1"),
        ("a.csv", "time,x\n,1\n", "row 1: a time in seconds, 0 or later, is needed, not nan"),
        ("a.csv", "0.1,0.2\n0.3,0.4\n", "the first line has numbers; it must name the columns"),
        ("a.csv", "x,x\n1,2\n", "two columns are named 'x'"),
        ("a.csv", "x,y\n1,1e6\n", "contains 1e[+]06, but a store takes numbers up to 65504; rescale"),
        ("a.csv", "x,y\n1,inf\n", "contains inf"),
        ("a.csv", "x,y\n1,2,3\n", "line 2: 3 cells, but 2 columns"),
        ("a.npy", "no array", "can't be read as an array of numbers"),
        ("a.parquet", "no table", "can't be read as Parquet"),
        ("a.mat", "x", "unknown suffix; features are .npy, .csv, .parquet files"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_file(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(CorpusError, match=message) as error:
        read_features(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_arrays_and_columns_of_something_else_are_refused(tmp_path: Path) -> None:
    for values in (np.zeros((2, 3, 4)), np.array(["a", "b"])):
        with pytest.raises(CorpusError, match="must be numbers"):
            read_features(write_npy(tmp_path / "a.npy", values))
    np.save(tmp_path / "b.npy", np.array([{}, {}]), allow_pickle=True)
    with pytest.raises(CorpusError, match="can't be read as an array"):
        read_features(tmp_path / "b.npy")
    for header in HEADERS.values():
        (tmp_path / "h.npy").write_bytes(npy(header))
        with pytest.raises(CorpusError, match=r"h\.npy: can't be read as an array"):
            read_features(tmp_path / "h.npy")
    with pytest.raises(CorpusError, match="contains no rows"):
        read_features(write_npy(tmp_path / "c.npy", np.zeros((0, 3))))
    pd.DataFrame({"x": [1.0], "mood": ["good"]}).to_parquet(tmp_path / "d.parquet")
    with pytest.raises(CorpusError, match=r"d\.parquet: column 'mood': not numbers but"):
        read_features(tmp_path / "d.parquet")


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"a\.parquet: Parquet files need pyarrow.*formats"):
        read_features(write(tmp_path / "a.parquet", ""))


def test_recordings_are_the_names_of_the_files_with_their_tables(tmp_path: Path) -> None:
    for name in ("voice/a.npy", "voice/b.npy", "heart_rate/a.npy", "face/c.npy"):
        write_npy(tmp_path / name, np.zeros((4, 2)))
    write(tmp_path / "voice/.DS_Store", "")
    write(tmp_path / "notes/readme.txt", "")
    write(tmp_path / "annotations/a.ann.csv", "time,valence,arousal\n0,0.5,0\n")
    write(tmp_path / "annotations/d.csv", "time,valence,arousal\n0,0.5,0\n")
    write(tmp_path / "splits.csv", "recording,split,subject\na,train,x\nb.npy,dev,\n")
    corpus = open_corpus(tmp_path)
    assert (corpus.kind, corpus.lag) == ("features", None)
    found = {source.name: (list(source.features), source.split, source.subject) for source in corpus.sources}
    assert found == {
        "a": (["voice", "heart_rate"], "train", "x"),
        "b": (["voice"], "dev", ""),
        "c": (["face"], None, ""),
        "d": ([], None, ""),
    }
    (annotation,) = corpus.annotations(corpus.sources[0], np.empty(0))
    assert annotation.annotator == "ann" and annotation.values.tolist() == [[0.5, 0.0]]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("voice/a.npy", "voice/a.csv"), r"a\.npy: .*a\.csv is of the same recording and modality; remove one"),
        (("Heart Rate/a.npy",), "Heart Rate: contains features, but a modality's name must be lower-case letters"),
        (("valid/a.npy",), "valid: contains features, but 'valid' is reserved"),
    ],
)
def test_what_can_not_be_told_apart_or_named_is_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    for name in names:
        write(tmp_path / name, "x\n1\n")
    with pytest.raises(CorpusError, match=message):
        open_corpus(tmp_path)


def test_what_a_check_finds(tmp_path: Path) -> None:
    write_npy(tmp_path / "voice/a.npy", np.zeros((40, 3)))
    write_npy(tmp_path / "voice/b.npy", np.zeros((40, 4)))
    write_npy(tmp_path / "voice/c.npy", np.where(np.arange(40)[:, None] < 30, np.nan, np.ones((1, 3))))
    write(tmp_path / "voice/e.txt", "x")
    for name, last in (("a", 20), ("b", 40), ("c", 40)):
        write(tmp_path / f"physiology/{name}.csv", "time,x\n" + "".join(f"{step / 4},1\n" for step in range(last)))
        write(tmp_path / f"eda/{name}.csv", "time,x\n" + "".join(f"{step / 4},1\n" for step in range(40)))
    write(tmp_path / "annotations.csv", "recording,time,valence,arousal\na,0,0.5,0\na,1,0.6,0.1\nghost,0,0,0\nb,0,7,0\n")
    write(tmp_path / "splits.csv", "recording,split\na,train\na,dev\nzoe,dev\n")
    found = {(finding.recording, finding.severity, finding.what) for finding in check(open_corpus(tmp_path))}
    for recording, severity, part in [
        ("a", "error", "in 2 splits"),
        ("a", "warning", "modalities end at different times: eda at 10.0 s, physiology at 5.0 s"),
        ("b", "error", "b.npy: 4 columns of features, but "),
        ("b", "error", "7 is not in -1..1"),
        ("b", "warning", "not in splits.csv"),
        ("c", "warning", "75.0% of the rows of voice are missing"),
        ("c", "warning", "not annotated"),
        ("e", "error", "e.txt: unknown suffix"),
        ("e", "warning", "no file of eda and physiology, which will be missing"),
        ("ghost", "error", "annotated, but there are no features of this name"),
        ("zoe", "warning", "in splits.csv, but there is no recording of this name"),
    ]:
        assert any(r == recording and s == severity and part in what for r, s, what in found), (recording, part, found)
