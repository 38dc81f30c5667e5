import os
import re
import sys
from pathlib import Path

import numpy as np
import pympi
import pytest

from layouts import LAGS, Planted, make_folder_corpus
from vatrace.corpora import open_corpus
from vatrace.corpora.corpus import Corpus, Source
from vatrace.errors import CorpusError
from vatrace.inference.prediction import Prediction
from vatrace.output.writers import write_elan

NO_TIMES = np.empty(0)
"""Annotations of this kind of corpus have times of their own."""


def names(corpus: Corpus) -> list[str]:
    return [source.name for source in corpus.sources]


def source_of(corpus: Corpus, name: str) -> Source:
    return next(source for source in corpus.sources if source.name == name)


def errors(corpus: Corpus, name: str) -> list[str]:
    return [finding.what for finding in corpus.findings if (finding.severity, finding.recording) == ("error", name)]


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def check_against(corpus: Corpus, planted: dict[str, Planted], noise: float) -> None:
    for source in corpus.sources:
        truth = planted[source.name]
        annotations = corpus.annotations(source, NO_TIMES)
        assert [annotation.annotator for annotation in annotations] == sorted(LAGS)
        for annotation in annotations:
            error = annotation.values - truth.labels(annotation.times - LAGS[annotation.annotator])
            assert np.abs(error).max() < 6 * noise
            assert error.std() == pytest.approx(noise, rel=0.25)


@pytest.mark.parametrize("long", [False, True])
def test_several_annotators_in_files_or_in_one_table(tmp_path: Path, long: bool) -> None:
    planted = make_folder_corpus(tmp_path, duration=8, noise=0.01, long=long)
    corpus = open_corpus(tmp_path)
    assert corpus.kind == "folder"
    assert names(corpus) == sorted(planted)
    assert [source.split for source in corpus.sources] == [planted[name].split for name in sorted(planted)]
    assert [source.subject for source in corpus.sources] == ["ada", "bob", "cy", "dee", "eve"]
    assert [source.media for source in corpus.sources] == [tmp_path / planted[name].video for name in sorted(planted)]
    check_against(corpus, planted, noise=0.01)


def test_videos_without_any_table_are_a_corpus(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.WAV", "sub/c.mkv", ".hidden.mp4", "notes.txt", "photo.jpg"):
        touch(tmp_path / name)
    corpus = open_corpus(tmp_path)
    assert names(corpus) == ["a", "b", "c"]
    assert all(source.split is None and corpus.annotations(source, NO_TIMES) == [] for source in corpus.sources)


def test_a_transcript_beside_its_recording_is_found(tmp_path: Path) -> None:
    touch(tmp_path / "day1/a.mp4")
    touch(tmp_path / "b.mp4")
    transcript = touch(tmp_path / "day1/a.vtt")
    touch(tmp_path / "day1/b.srt")  # not beside b
    corpus = open_corpus(tmp_path)
    assert source_of(corpus, "a").transcript == transcript
    assert source_of(corpus, "b").transcript is None


def test_a_transcript_that_is_a_link_to_nothing_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "a.srt").symlink_to("nowhere.srt")
    corpus = open_corpus(tmp_path)
    assert source_of(corpus, "a").transcript is None
    assert errors(corpus, "") == [f"{tmp_path / 'a.srt'}: a link to nowhere.srt, which doesn't exist"]


def test_recordings_of_the_same_stem_are_told_by_file_name_or_path(tmp_path: Path) -> None:
    for name in ("s1/cam.mp4", "s2/cam.mp4", "s2/x.mp4", "s2/x.wav"):
        touch(tmp_path / name)
    write(tmp_path / "splits.csv", "recording,split\ns1/cam,train\ns2/cam.mp4,dev\nx.wav,test\n")
    write(tmp_path / "annotations/s1/cam.csv", "time,valence,arousal\n0,0.1,0\n")
    write(tmp_path / "annotations/s2/cam.csv", "time,valence,arousal\n0,0.2,0\n")
    corpus = open_corpus(tmp_path)
    assert {source.name: source.split for source in corpus.sources} == {
        "s1__cam": "train",
        "s2__cam": "dev",
        "x.mp4": None,
        "x.wav": "test",
    }
    for name, value in (("s1__cam", 0.1), ("s2__cam", 0.2)):
        (annotation,) = corpus.annotations(source_of(corpus, name), NO_TIMES)
        assert annotation.annotator == "" and annotation.values[0, 0] == value
    write(tmp_path / "splits.csv", "recording,split\ncam,train\nx.mp4,dev\n")
    corpus = open_corpus(tmp_path)
    assert errors(corpus, "") == [
        f"{tmp_path / 'splits.csv'}: line 2: 'cam' could be any of s1__cam, s2__cam; write one of these"
    ]
    assert source_of(corpus, "x.mp4").split == "dev"


def test_annotators_are_read_from_endings_or_folders(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "b.v2.mp4")  # a point in a name is not an annotator's
    for name in ("a.ann", "bea/a", "b.v2", "b.v2.ann"):
        write(tmp_path / f"annotations/{name}.csv", "time,valence,arousal\n0,0.5,0.5\n")
    corpus = open_corpus(tmp_path)
    who = {source.name: [one.annotator for one in corpus.annotations(source, NO_TIMES)] for source in corpus.sources}
    assert who == {"a": ["ann", "bea"], "b.v2": ["", "ann"]}


@pytest.mark.parametrize(
    "text",
    [
        "time,valence,arousal\n0,0.5,-1\n0.5,,0.25\n",
        "\ufeffTime;Valence;Arousal\n0;0,5;-1\n0,5;;0,25\n",
        "AROUSAL\tcomment\tVALENCE\tTIME\n-1\t\t0.5\t0\n0.25\tbored\tNA\t0.5\n",
        '"time","valence","arousal"\r\n\r\n"0.5","nan","0.25"\r\n"0.0","0.5","-1"\r\n',  # and not in order
        "time, valence, arousal\n0.0, 0.5, -1.0000000001\n0.5, , 0.25",
    ],
)
def test_tables_as_people_write_them(tmp_path: Path, text: str) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/a.csv").write_bytes(text.encode())
    corpus = open_corpus(tmp_path)
    (annotation,) = corpus.annotations(corpus.sources[0], NO_TIMES)
    np.testing.assert_array_equal(annotation.times, [0, 0.5])
    np.testing.assert_array_equal(annotation.values, [[0.5, -1], [np.nan, 0.25]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column 'time'.*found: nothing"),
        ("time,valenz,arousal\n0,0,0\n", "line 1: no column 'valence'.*found: time, valenz, arousal"),
        ("time,valence,arousal\n0,0,0\n1,40,-20\n", "line 3: 40 is not in -1..1; rescale"),
        ("time,valence,arousal\n0,0,-1.2\n", "line 2: -1.2 is not in -1..1"),
        ("time,valence,arousal\n0,inf,0\n", "line 2: inf is not in -1..1"),
        ("time,valence,arousal\n0,happy,0\n", "line 2: 'happy' is not a number"),
        ("time,valence,arousal\n,0,0\n", "line 2: no time"),
        ("time,valence,arousal\n0,5,0,3,0,1\n", "line 2: 6 cells, but 3 columns; decimals need a point"),
        ("time,valence,arousal\n", "contains no rows"),
        ("time,valence,arousal\n0,0,0\n0,1,1\n", "time 0 appears twice; give several annotators a name each"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path / "a.mp4")
    path = write(tmp_path / "annotations/a.csv", text)
    corpus = open_corpus(tmp_path)
    with pytest.raises(CorpusError, match=message) as error:
        corpus.annotations(corpus.sources[0], NO_TIMES)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_bad_row_of_a_long_table_costs_only_its_recording(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "b.mp4")
    write(tmp_path / "annotations.csv", "recording,time,valence,arousal\na,0,0.5,0\nb,0,7,0\na,1,0.6,0\n")
    corpus = open_corpus(tmp_path)
    (annotation,) = corpus.annotations(source_of(corpus, "a"), NO_TIMES)
    np.testing.assert_array_equal(annotation.values[:, 0], [0.5, 0.6])
    with pytest.raises(CorpusError, match="line 3: 7 is not in"):
        corpus.annotations(source_of(corpus, "b"), NO_TIMES)


@pytest.mark.parametrize(
    ("name", "text", "recording", "message"),
    [
        ("splits.csv", b"recording,split\na,evaluation\nb,dev\n", "a", "line 2: 'evaluation' is not a split, so it is in none"),
        ("splits.csv", b"recording\na\n", "", "no column 'split'"),
        ("splits.csv", "recording,split\nä,train\n".encode("latin-1"), "", "not UTF-8"),
        ("splits.csv", None, "", "splits.csv: a folder, not a table"),
        ("splits.csv", b"", "", "no column 'recording'"),
        ("annotations.csv", b"time,valence,arousal\n0,0,0\n", "", "no column 'recording'"),
        ("annotations.csv", "recording,time,valence,arousal\nä,0,0,0\n".encode("latin-1"), "", "not UTF-8"),
        ("annotations.csv", b"", "", "no column 'recording'"),
        ("annotations.csv", b"recording,time,valence,arousal\na,0,5,0,3,0,1\n", "", "line 2: 7 cells, but 4 columns"),
        ("annotations.csv", None, "", "annotations.csv: a folder, not a table"),
        ("annotations.csv", "nowhere.csv", "", "annotations.csv: no such file"),
        ("annotations.xlsx", b"PK", "", "annotations.xlsx: not used: save it as annotations.csv"),
    ],
)
def test_a_table_of_the_whole_corpus_that_cant_be_read_ends_nothing(
    tmp_path: Path, name: str, text: bytes | str | None, recording: str, message: str
) -> None:
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "b.mp4")
    if text is None:
        (tmp_path / name).mkdir()
    elif isinstance(text, str):
        (tmp_path / name).symlink_to(text)
    else:
        (tmp_path / name).write_bytes(text)
    corpus = open_corpus(tmp_path)
    assert names(corpus) == ["a", "b"]
    (what,) = errors(corpus, recording)
    assert message in what
    assert all(corpus.annotations(source, NO_TIMES) == [] for source in corpus.sources)


BAD_FILES = {
    "empty": b"",
    "header": b"time,valence,arousal\n",
    "latin": "time,valence,arousal,Ärger\n0,0,0,0\n".encode("latin-1"),
    "binary": bytes(range(256)) * 10,
    "folder": None,
    "link": "nowhere.csv",
}


def test_a_bad_annotation_file_costs_only_its_recording(tmp_path: Path) -> None:
    header = "time,valence,arousal\n0,0.5,0.5\n"
    for name in ("good", *BAD_FILES):
        touch(tmp_path / f"{name}.mp4")
    write(tmp_path / "annotations/good.csv", header)
    for name, content in BAD_FILES.items():
        path = tmp_path / f"annotations/{name}.csv"
        if content is None:
            write(path / "inside.csv", header)
        elif isinstance(content, str):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
    corpus = open_corpus(tmp_path)
    assert len(corpus.annotations(source_of(corpus, "good"), NO_TIMES)) == 1
    for name in BAD_FILES:
        if name != "folder":
            with pytest.raises(CorpusError, match=rf"{name}\.csv"):
                corpus.annotations(source_of(corpus, name), NO_TIMES)


def test_two_places_for_one_annotation_are_an_error_of_that_recording(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "b.mp4")
    header = "time,valence,arousal\n0,0,0\n"
    write(tmp_path / "annotations/a.ann.csv", header)
    write(tmp_path / "annotations/ann/a.csv", header)
    write(tmp_path / "annotations/b.csv", header)
    corpus = open_corpus(tmp_path)
    with pytest.raises(CorpusError, match="same recording and annotator"):
        corpus.annotations(source_of(corpus, "a"), NO_TIMES)
    assert len(corpus.annotations(source_of(corpus, "b"), NO_TIMES)) == 1
    (tmp_path / "annotations/ann/a.csv").unlink()
    write(tmp_path / "annotations.csv", "recording,time,valence,arousal\na,0,0,0\n")
    corpus = open_corpus(tmp_path)
    with pytest.raises(CorpusError, match="keep one of them"):
        corpus.annotations(source_of(corpus, "a"), NO_TIMES)
    assert len(corpus.annotations(source_of(corpus, "b"), NO_TIMES)) == 1


@pytest.mark.parametrize("folder", ["annotations", "Annotations", "ANNOTATIONS"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"time,valence,arousal\n0,0.5,-1\n"),
        ("a.tsv", b"time\tvalence\tarousal\n0\t0.5\t-1\n"),
        ("a.txt", b"time,valence,arousal\n0,0.5,-1\n"),
        ("a.TXT", b"time  valence arousal\n 0  0.5  -1\n"),
        ("a.txt", "time\tvalence\tarousal\r\n0\t0,5\t-1\r\n".encode("utf-16")),  # as Excel's "Unicode text"
    ],
)
def test_tables_with_other_endings_are_read(tmp_path: Path, folder: str, name: str, content: bytes) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / folder).mkdir()
    (tmp_path / folder / name).write_bytes(content)
    corpus = open_corpus(tmp_path)
    (annotation,) = corpus.annotations(corpus.sources[0], NO_TIMES)
    np.testing.assert_array_equal(annotation.values, [[0.5, -1]])
    assert corpus.findings == ()


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "b.csv", "labels/a.csv", "notes.docx", "a.en.srt", "a.de.srt", "c.srt"):
        touch(tmp_path / name)
    for name in ("a.xlsx", "readme.txt", "b.json"):
        touch(tmp_path / "annotations" / name)
    corpus = open_corpus(tmp_path)
    what = {finding.what: finding.severity for finding in corpus.findings}
    assert [text.split(";")[0].split(": ", 1)[1] for text, severity in what.items() if severity == "warning"] == [
        "c.srt",
        "b.csv, labels/a.csv",
        "not read: readme.txt",
    ]
    assert [text for text, severity in what.items() if severity == "info"] == ["ignored (neither video nor audio): notes.docx"]
    for name, message in (
        ("a", r"a\.xlsx: not read; save it as CSV"),
        ("b", r"b\.json: not read; annotations are CSV or ELAN"),
    ):
        with pytest.raises(CorpusError, match=message):
            corpus.annotations(source_of(corpus, name), NO_TIMES)
    assert source_of(corpus, "a").transcript == tmp_path / "a.en.srt"


def test_names_that_look_the_same_are_the_same(tmp_path: Path) -> None:
    touch(tmp_path / "Mu\u0308ller.mp4")
    write(tmp_path / "annotations/M\u00fcller.csv", "time,valence,arousal\n0,0.5,0.5\n")
    write(tmp_path / "splits.csv", "recording,split\nM\u00fcller,dev\n")
    corpus = open_corpus(tmp_path)
    (source,) = corpus.sources
    assert (source.name, source.split, len(corpus.annotations(source, NO_TIMES))) == ("M\u00fcller", "dev", 1)


def test_names_that_are_not_utf8_have_replacement_characters(tmp_path: Path) -> None:
    touch(tmp_path / os.fsdecode(b"caf\xe9.mp4"))
    assert names(open_corpus(tmp_path)) == ["caf\ufffd"]


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere/a.mp4")
    root = tmp_path / "corpus"
    root.mkdir()
    (root / "videos").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(root)
    (root / "self").symlink_to("self")
    assert names(open_corpus(root)) == ["a"]


def test_recordings_that_cant_be_told_apart_are_left_out_but_for_the_first(tmp_path: Path) -> None:
    touch(tmp_path / "Mu\u0308ller.mp4")
    touch(tmp_path / "M\u00fcller.mp4")
    touch(tmp_path / "b.mp4")
    corpus = open_corpus(tmp_path)
    assert len(corpus.sources) == 2 and source_of(corpus, "b").media is not None
    assert len(errors(corpus, "")) == 1 and "can't be distinguished from" in errors(corpus, "")[0]


def test_split_names_are_taken_kindly(tmp_path: Path) -> None:
    for name in "abcd":
        touch(tmp_path / f"{name}.mp4")
    write(tmp_path / "splits.csv", "Recording;Split\na;Training\nb.mp4;validation\nc;TEST\nd;\n")
    assert [source.split for source in open_corpus(tmp_path).sources] == ["train", "dev", "test", None]


def test_a_folder_without_a_corpus_is_answered_with_both_layouts(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(CorpusError) as error:
        open_corpus(tmp_path)
    assert all(part in str(error.value) for part in (str(tmp_path), "Train_Set", "annotations.csv", "splits.csv"))
    assert "\n" not in str(error.value)
    with pytest.raises(CorpusError, match="not a folder"):
        open_corpus(tmp_path / "notes.txt")


def eaf(path: Path, tiers: dict[str, list[tuple[int, int, str]]]) -> Path:
    document = pympi.Eaf()
    for name, annotations in tiers.items():
        document.add_tier(name)
        for annotation in annotations:
            document.add_annotation(name, *annotation)
    path.parent.mkdir(parents=True, exist_ok=True)
    document.to_file(str(path))
    return path


def test_elan_documents_are_annotations_too(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    valence = [(0, 200, "0.5"), (250, 500, " -0,25 ")]
    eaf(tmp_path / "annotations" / "a.ada.eaf", {"Valence": valence, "arousal": [(0, 400, "1")]})
    corpus = open_corpus(tmp_path)
    (annotation,) = corpus.annotations(corpus.sources[0], NO_TIMES)
    assert annotation.annotator == "ada"
    np.testing.assert_allclose(annotation.times, np.arange(6) / 10)
    expected = [[0.5, 1], [0.5, 1], [np.nan, 1], [-0.25, 1], [-0.25, np.nan], [np.nan, np.nan]]
    np.testing.assert_allclose(annotation.values, expected)


def test_what_reads_elan_documents_is_missed_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "annotations" / "a.eaf")
    monkeypatch.setitem(sys.modules, "pympi", None)
    with pytest.raises(ImportError, match=r"a\.eaf \(an ELAN document\) needs pympi.*formats"):
        open_corpus(tmp_path)


def test_an_annotation_that_ends_in_three_years_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    eaf(tmp_path / "annotations" / "a.eaf", {"valence": [(0, 99_999_999_999, "0.5")], "arousal": []})
    corpus = open_corpus(tmp_path)
    with pytest.raises(
        CorpusError, match=r"a\.eaf: has an annotation that ends at 100000000 s; recordings last 86400 s at most"
    ):
        corpus.annotations(source_of(corpus, "a"), np.empty(0))


@pytest.mark.parametrize("suffix", [".csv", ".eaf", ".tsv"])
def test_a_pipe_among_the_annotations_is_reported(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "annotations").mkdir()
    os.mkfifo(tmp_path / "annotations" / f"a{suffix}")
    corpus = open_corpus(tmp_path)
    with pytest.raises(CorpusError, match="not a file"):
        corpus.annotations(source_of(corpus, "a"), np.empty(0))


def test_the_offset_of_the_linked_recording_is_added(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    path = eaf(tmp_path / "annotations" / "a.eaf", {"valence": [(0, 200, "0.5")], "arousal": [(0, 200, "1")]})
    document = pympi.Eaf(str(path))
    document.add_linked_file("a.mp4", relpath="./a.mp4", time_origin=1500, mimetype="video/mp4")
    document.add_linked_file("other.mp4", relpath="./other.mp4", time_origin=300, mimetype="video/mp4")
    document.to_file(str(path))
    corpus = open_corpus(tmp_path)
    (annotation,) = corpus.annotations(corpus.sources[0], NO_TIMES)
    known = ~np.isnan(annotation.values[:, 0])
    np.testing.assert_allclose(annotation.times[known], [1.5, 1.6])
    (tmp_path / "a.mp4").rename(tmp_path / "b.mp4")
    path.rename(path.with_name("b.eaf"))
    corpus = open_corpus(tmp_path)
    with pytest.raises(CorpusError, match=r"b\.eaf: linked with recordings that start at different times \(a\.mp4 at 1500 ms"):
        corpus.annotations(corpus.sources[0], NO_TIMES)


def test_a_document_of_another_name_is_that_of_its_linked_recording(tmp_path: Path) -> None:
    touch(tmp_path / "a b.mp4")
    path = eaf(tmp_path / "annotations" / "session1.eaf", {"valence": [(0, 200, "0.5")], "arousal": []})
    document = pympi.Eaf(str(path))
    document.add_linked_file("file:///C:/data/a%20b.mp4", mimetype="video/mp4")
    document.to_file(str(path))
    corpus = open_corpus(tmp_path)
    (source,) = corpus.sources
    assert source.name == "a b" and len(corpus.annotations(source, NO_TIMES)) == 1


def test_slots_without_a_time_share_the_time_between_those_that_have_one(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    path = eaf(
        tmp_path / "annotations" / "a.eaf",
        {"valence": [(0, 300, "0.1"), (300, 600, "0.2"), (600, 900, "0.3"), (1000, 1200, "0.4")], "arousal": []},
    )
    text = path.read_text()
    for time in ("300", "600"):
        assert f'TIME_VALUE="{time}"' in text
        text = text.replace(f' TIME_VALUE="{time}"', "")
    slots = re.findall(r'TIME_SLOT_ID="(\w+)" ?/>', text)  # pympi makes two for the same time
    assert len(slots) == 4
    text = text.replace(f'TIME_SLOT_REF1="{slots[1]}"', f'TIME_SLOT_REF1="{slots[0]}"')
    text = text.replace(f'TIME_SLOT_REF1="{slots[3]}"', f'TIME_SLOT_REF1="{slots[2]}"')
    path.write_text(text)
    corpus = open_corpus(tmp_path)
    (annotation,) = corpus.annotations(corpus.sources[0], NO_TIMES)
    np.testing.assert_allclose(annotation.values[:9, 0], np.repeat([0.1, 0.2, 0.3], 3))


def test_a_trace_written_for_elan_is_read_back(tmp_path: Path) -> None:
    times = np.arange(50) / 10
    presence = dict.fromkeys(("face", "voice", "words"), np.ones(50, bool))
    trace = Prediction(Path("a.mp4"), 10.0, times, np.sin(times), np.cos(times), presence)
    touch(tmp_path / "a.mp4")
    (tmp_path / "annotations").mkdir()
    write_elan(trace, tmp_path / "annotations" / "a.eaf")
    corpus = open_corpus(tmp_path)
    (annotation,) = corpus.annotations(corpus.sources[0], NO_TIMES)
    means = np.repeat(np.sin(times).reshape(5, 10).mean(axis=1), 10)
    np.testing.assert_allclose(annotation.values[:50, 0], means, atol=0.0051)


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        ({"valence": []}, r"a\.eaf: no tier 'arousal' \(needed: valence, arousal; found: default, valence\)"),
        ({"valence": [(1000, 2000, "happy")], "arousal": []}, r"a\.eaf: 1 s: 'happy' is not a number"),
        ({"valence": [], "arousal": [(0, 100, "7")]}, r"a\.eaf: 0 s: 7 is not in -1\.\.1"),
    ],
)
def test_elan_documents_of_another_kind_are_named(tmp_path: Path, tiers: dict[str, list], message: str) -> None:
    touch(tmp_path / "a.mp4")
    eaf(tmp_path / "annotations" / "a.eaf", tiers)
    corpus = open_corpus(tmp_path)
    with pytest.raises(CorpusError, match=message):
        corpus.annotations(corpus.sources[0], NO_TIMES)


@pytest.mark.parametrize("text", ["", "no XML", "<html/>"])
def test_what_is_no_elan_document_is_named(tmp_path: Path, text: str) -> None:
    touch(tmp_path / "a.mp4")
    write(tmp_path / "annotations" / "a.eaf", text)
    corpus = open_corpus(tmp_path)
    with pytest.raises(CorpusError, match=r"a\.eaf: "):
        corpus.annotations(corpus.sources[0], NO_TIMES)
