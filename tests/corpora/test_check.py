import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import write_movie
from layouts import make_affwild2, make_folder_corpus
from properties import searched
from vatrace.corpora import open_corpus
from vatrace.corpora.check import check
from vatrace.corpora.corpus import Finding
from vatrace.errors import CorpusError
from vatrace.media.reading import SAMPLING_RATE


def said(findings: list[Finding], recording: str) -> dict[str, str]:
    """What was found of a recording, with its severity."""
    return {finding.what: finding.severity for finding in findings if finding.recording == recording}


def says(findings: list[Finding], recording: str, part: str, severity: str) -> bool:
    return any(part in what and how == severity for what, how in said(findings, recording).items())


def grey(count: int) -> list[Image.Image]:
    return [Image.new("L", (64, 48), 40 + index).convert("RGB") for index in range(count)]


def sound(duration: float) -> np.ndarray:
    return (0.2 * np.sin(np.arange(round(duration * SAMPLING_RATE)) / 10)).astype(np.float32)


def write_rows(root: Path, name: str, values: list[float] | np.ndarray, split: str = "Train_Set") -> None:
    path = root / "VA_Estimation_Challenge" / split / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("valence,arousal\n" + "".join(f"{value:g},{value:g}\n" for value in values))


def curve(count: int) -> np.ndarray:
    return np.linspace(-0.5, 0.5, count)


@pytest.fixture(scope="module")
def affwild2_findings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Finding]]:
    """A whole corpus, then harmed in many ways."""
    root = tmp_path_factory.mktemp("affwild2")
    make_affwild2(root, duration=2)
    faces = root / "cropped_aligned"
    write_rows(root, "ghost", [0.1, 0.2])
    write_rows(root, "percent", [0.1, 40])
    shutil.copy(root / "batch1/video1.mp4", root / "batch1/percent.mp4")
    write_rows(root, "twice", curve(50))
    write_rows(root, "twice", curve(50), "Validation_Set")
    shutil.copy(root / "batch1/video1.mp4", root / "batch1/twice.mp4")
    write_rows(root, "constant", [0.25] * 50)
    write_movie(root / "batch1/constant.mp4", grey(50))
    write_rows(root, "hidden", [-5] * 40 + [0.1, 0.2] * 5)
    write_movie(root / "batch1/hidden.mp4", grey(50), sound=sound(3.5))
    write_rows(root, "broken", curve(50))
    (root / "batch1/broken.mp4").write_bytes(b"not a film at all " * 100)
    times = np.cumsum([0.02, 0.06] * 25) - 0.02
    write_rows(root, "uneven", curve(50))
    write_movie(root / "batch1/uneven.mkv", grey(50), list(times), sound=sound(2), sound_start=0)
    write_rows(root, "late", curve(75))
    write_movie(root / "batch1/late.mkv", grey(75), sound=sound(2), sound_start=1.0)
    write_movie(root / "batch1/spare.mp4", grey(10))
    write_rows(root, "short", curve(20))
    write_movie(root / "batch1/short.mp4", grey(50), sound=sound(2))
    for name, numbers in (("short", range(1, 61)), ("late", range(0, 30)), ("uneven", ())):
        (faces / name).mkdir()
        for number in numbers:
            Image.new("RGB", (8, 8)).save(faces / name / f"{number:05d}.jpg")
    (faces / "hidden").mkdir()
    (faces / "hidden/00001.jpg").write_bytes(b"torn")
    sample = root / "prediction_files_format/CVPR_6th_ABAW_VA_test_set_sample.txt"
    sample.write_text(sample.read_text() + "video7/00051.jpg,0,0\n")
    (root / "subjects.csv").write_text("recording,subject\nvideo1,ann\n30-30-640x360,ann\nvideo3_left,bob\nnobody,cy\n")
    return root, check(open_corpus(root))


@pytest.mark.parametrize(
    ("recording", "severity", "part"),
    [
        ("ghost", "error", "there is no video or audio of this name"),
        ("percent", "error", "line 3: 40 is neither in -1..1 nor -5"),
        ("twice", "error", "in 2 splits (dev, train)"),
        ("broken", "error", "broken.mp4: not a readable video"),
        ("late", "error", "counted from 0"),
        ("constant", "warning", "valence is 0.25 throughout"),
        ("constant", "warning", "no audio"),
        ("hidden", "warning", "80.0% of the rows are not annotated"),
        ("hidden", "warning", "the audio ends 1.5 s after the video"),
        ("hidden", "warning", "00001.jpg can't be read"),
        ("hidden", "warning", "98.0% of the frames have no cropped face"),
        ("uneven", "info", "variable frame rate (20..60 ms"),
        ("uneven", "warning", "no images named like 00001.jpg"),
        ("late", "info", "the audio starts at 1.0 s"),
        ("short", "warning", "20 rows of annotations for 50 frames; the last 30 frames (1.20 s) count as not annotated"),
        ("short", "warning", "the last cropped face is of frame 60, but the video has 50"),
        ("spare", "info", "neither annotated nor in a list of the test set"),
        ("video7", "warning", "a submission must have frames up to 51, but the video has 50"),
        ("10-60-640x480", "info", "37 rows of annotations for 30 frames; the last 7 rows (0.47 s) are left out"),
        ("10-60-640x480", "info", "15 frames a second; most have 25"),
        ("dark_left", "info", "no folder of cropped faces; faces will be detected in the video"),
        ("nobody", "info", "there is no such recording"),
        ("", "error", "subject ann is in 2 splits (dev: 30-30-640x360; train: video1)"),
        ("", "warning", "video3.mp4 has several subjects (bob, video3)"),
    ],
)
def test_what_is_wrong_with_affwild2_is_said(
    affwild2_findings: tuple[Path, list[Finding]], recording: str, severity: str, part: str
) -> None:
    findings = affwild2_findings[1]
    assert says(findings, recording, part, severity), said(findings, recording)


def test_errors_come_first(affwild2_findings: tuple[Path, list[Finding]]) -> None:
    order = ["error", "warning", "info"]
    ranks = [order.index(finding.severity) for finding in affwild2_findings[1]]
    assert ranks == sorted(ranks)


def test_a_sound_corpus_has_no_errors_or_warnings_and_its_gaps_are_counted(tmp_path: Path) -> None:
    planted = make_affwild2(tmp_path, duration=2)
    shares: list[float] = []
    findings = check(open_corpus(tmp_path), shares.append)
    assert {finding.severity for finding in findings} == {"info"}
    for name, truth in planted.items():
        if truth.pictures is not None:
            missing = 1 - len(truth.pictures) / truth.num_frames
            assert says(findings, name, f"{missing:.1%} of the frames have no cropped face", "info")
        if truth.rows is not None:
            hidden = np.isnan(truth.rows).any(axis=1).mean()
            assert says(findings, name, f"{hidden:.1%} of the rows are not annotated", "info")
    assert shares == sorted(shares) and shares[-1] == 1


def test_a_sound_folder_is_quiet(tmp_path: Path) -> None:
    make_folder_corpus(tmp_path, duration=2)
    assert {finding.severity for finding in check(open_corpus(tmp_path))} == {"info"}  # frame rates differ


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        write_movie(tmp_path / f"{name}.mp4", grey(50), sound=sound(2))
    header = "time,valence,arousal\n"
    rows = [f"{step / 10},{step / 100},0.{step}\n" for step in range(1, 20)]
    tables = {
        "a.ann": rows,
        "a.bea": rows[:5],
        "b": [f"{step * 100},0.{step},0.{step}\n" for step in range(1, 21)],
        "c": ["0,0.5,50\n"],
        "d": [f"{step / 10},,0.{step}\n" for step in range(1, 20)],
        "ghost": rows,
    }
    for name, lines in tables.items():
        path = tmp_path / "annotations" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(header + "".join(lines))
    (tmp_path / "splits.csv").write_text(
        "recording,split,subject\na,train,s1\nb,test,s1\nc,train,s2\nc,dev,s2\nd,,\nzoe,dev,\n"
    )
    findings = check(open_corpus(tmp_path))
    for recording, severity, part in [
        ("a", "warning", "annotators end at different times: ann at 1.9 s, bea at 0.5 s"),
        ("a", "warning", "bea: annotated up to 0.5 s only; the recording ends at 2.0 s"),
        (
            "b",
            "error",
            "the recording ends at 2.0 s; most of it lies after that; are the times milliseconds? They should be seconds",
        ),
        ("c", "error", "line 2: 50 is not in -1..1; rescale"),
        ("c", "error", "in 2 splits (dev, train)"),
        ("d", "warning", "valence is not annotated at all"),
        ("e", "warning", "not annotated"),
        ("e", "warning", "not in splits.csv"),
        ("ghost", "error", "there is no video or audio of this name"),
        ("zoe", "warning", "in splits.csv, but there is no recording of this name"),
        ("", "error", "subject s1 is in 2 splits (train: a; test: b)"),
        ("", "warning", "no recording is in dev"),
    ]:
        assert says(findings, recording, part, severity), (part, said(findings, recording))
    assert not any("rows are not annotated" in what for what in said(findings, "d"))  # the one dimension that is has no gap


def test_features_alone_need_no_annotations(tmp_path: Path) -> None:
    write_movie(tmp_path / "a.mp4", grey(50), sound=sound(2))
    write_movie(tmp_path / "b.mp4", sound=sound(2))
    findings = check(open_corpus(tmp_path))
    assert {finding.severity for finding in findings} == {"info"}
    assert says(findings, "", "no recording is in a split", "info")


def test_what_the_doctor_calls_an_error_is_refused_by_the_reader(affwild2_findings: tuple[Path, list[Finding]]) -> None:
    corpus = open_corpus(affwild2_findings[0])
    source = next(source for source in corpus.sources if source.name == "percent")
    with pytest.raises(CorpusError, match="40 is neither"):
        corpus.annotations(source, np.arange(50) / 25)
    assert next(source for source in corpus.sources if source.name == "twice").split is None


PIECES = st.sampled_from(
    [
        *("recording", "time", "valence", "arousal", "split", "annotator", "a", "b", "train", "nan", "1e999", "-5", "0.5", "7"),
        *(",", ";", "\t", " ", "\n", "\r\n", '"', "\0", "\ufeff", "\u2028", "é", "valence,arousal\n", "recording,split\n"),
        *(
            "time,valence,arousal\n",
            "recording,time,valence,arousal\n",
            "<ANNOTATION_DOCUMENT>",
            "</ANNOTATION_DOCUMENT>",
            "-->",
        ),
    ]
)
CONTENT = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=30).map(lambda parts: "".join(parts).encode()))
NAMES = st.sampled_from(
    [
        "annotations.csv",
        "splits.csv",
        "Annotations.TXT",
        "annotations/a.csv",
        "annotations/a.eaf",
        "annotations/b.x.tsv",
        "a.srt",
    ]
)


@searched
@given(files=st.dictionaries(NAMES, CONTENT, min_size=1, max_size=4))
def test_no_content_of_any_file_ends_a_check(tmp_path: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(tmp_path)
    (tmp_path / "annotations").mkdir(parents=True)
    write_movie(tmp_path / "a.mp4", sound=sound(0.2))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    findings = check(open_corpus(tmp_path))
    assert not any("a bug in vatrace" in finding.what for finding in findings)


@searched
@given(files=st.dictionaries(st.sampled_from(["a", "b", "c"]), CONTENT, max_size=3), listing=CONTENT, subjects=CONTENT)
def test_no_content_of_any_file_ends_a_check_of_affwild2(
    tmp_path: Path, files: dict[str, bytes], listing: bytes, subjects: bytes
) -> None:
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    write_rows(tmp_path, "good", [0.1, 0.2])
    for name, content in files.items():
        (tmp_path / "VA_Estimation_Challenge" / "Train_Set" / f"{name}.txt").write_bytes(content)
    (tmp_path / "va_test_set_release.txt").write_bytes(listing)
    (tmp_path / "subjects.csv").write_bytes(subjects)
    findings = check(open_corpus(tmp_path))
    assert not any("a bug in vatrace" in finding.what for finding in findings)
