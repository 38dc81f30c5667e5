from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from layouts import Planted, brightness, loudness, make_affwild2
from vatrace.corpora import affwild2_files, open_corpus
from vatrace.corpora.corpus import Corpus, Source
from vatrace.errors import CorpusError
from vatrace.features.cropped_faces import numbered_images
from vatrace.media.reading import SAMPLING_RATE, AudioReader, VideoReader
from vatrace.media.recording import frame_times

Made = tuple[Path, dict[str, Planted]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("affwild2")
    return root, make_affwild2(root)


@pytest.fixture(scope="module")
def uncropped(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("uncropped")
    return root, make_affwild2(root, cropped=False)


def by_name(corpus: Corpus) -> dict[str, Source]:
    return {source.name: source for source in corpus.sources}


def write_rows(path: Path, rows: str = "0.1,0.2\n-5,-5\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("valence,arousal\n" + rows)
    return path


def level(image: Image.Image) -> float:
    return float(np.asarray(image.convert("L"), float).mean())


def loudness_at(sound: NDArray[np.float32], moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square of 40 ms around each of `moments` in seconds."""
    half = SAMPLING_RATE // 50
    middles = np.clip((moments * SAMPLING_RATE).astype(int), half, len(sound) - half)
    return np.array([np.sqrt(np.mean(sound[middle - half : middle + half] ** 2)) for middle in middles])


def best_lag(
    values: NDArray[np.float64], signal: Callable[[NDArray[np.float64]], NDArray[np.float64]], times: NDArray
) -> float:
    """The shift in seconds at which `signal` follows `values` best, to 10 ms."""
    shifts = np.arange(-20, 21) / 100
    scores = [np.corrcoef(values, signal(times + shift))[0, 1] for shift in shifts]
    assert max(scores) > 0.99
    return float(shifts[int(np.argmax(scores))])


def test_every_recording_is_found_with_its_video_split_subject_and_faces(made: Made) -> None:
    root, planted = made
    corpus = open_corpus(root)
    assert corpus.kind == "affwild2"
    assert [source.name for source in corpus.sources] == sorted(planted)
    for source in corpus.sources:
        truth = planted[source.name]
        assert source.media == root / truth.video
        assert source.split == truth.split
        assert source.subject == Path(truth.video).stem
        assert (source.face_folder is None) == (truth.pictures is None)
        if source.face_folder:
            assert tuple(sorted(numbered_images(source.face_folder))) == truth.pictures


def test_where_faces_are_to_be_found_in_the_video_the_side_says_whose(uncropped: Made) -> None:
    root, planted = uncropped
    assert {source.name: source.person for source in open_corpus(root).sources} == {
        name: one.side for name, one in planted.items()
    }
    assert planted["video5"].side == "right" and planted["video5_left"].side == "left" and planted["dark_left"].side is None


def test_a_row_is_a_frame_through_gaps_and_where_files_are_longer_or_shorter_than_the_video(made: Made) -> None:
    root, planted = made
    corpus = open_corpus(root)
    lengths = set()
    for source in corpus.sources:
        truth = planted[source.name]
        times = frame_times(source.media)
        assert len(times) == truth.num_frames
        if truth.rows is None:
            assert corpus.annotations(source, times) == []
            continue
        (annotation,) = corpus.annotations(source, times)
        lengths.add(np.sign(len(truth.rows) - len(times)))
        np.testing.assert_array_equal(annotation.times, times)
        expected = np.full((len(times), 2), np.nan)
        for frame in range(min(len(times), len(truth.rows))):
            expected[frame] = truth.rows[frame]
        np.testing.assert_array_equal(annotation.values, expected)
        assert 0 < np.isnan(annotation.values).mean() < 0.5
    assert lengths == {-1, 0, 1}  # all three cases were there


def test_label_face_and_sound_meet_at_the_same_moment(made: Made) -> None:
    root, planted = made
    corpus = open_corpus(root)
    for source in corpus.sources:
        times = frame_times(source.media)
        annotation = next(iter(corpus.annotations(source, times)), None)
        if annotation is None or source.face_folder is None:
            continue
        valence, arousal = annotation.values.T
        numbers = np.array(sorted(numbered_images(source.face_folder)))
        light = np.full(len(times), np.nan)
        for number in numbers:
            light[number - 1] = level(Image.open(source.face_folder / f"{number:05d}.jpg"))
        seen = ~np.isnan(valence) & ~np.isnan(light)
        assert np.corrcoef(light[seen], brightness(valence[seen]))[0, 1] > 0.999
        fits = []  # one frame too early or too late fits worse
        for shift in (-1, 0, 1):
            both = seen & np.roll(seen, shift)
            fits.append(np.corrcoef(np.roll(light, shift)[both], valence[both])[0, 1])
        assert int(np.argmax(fits)) == 1

        sound = np.concatenate(list(AudioReader(source.media, 60)))
        heard = ~np.isnan(arousal) & (times > 0.3) & (times < times[-1] - 0.3)
        lag = best_lag(loudness(arousal[heard]), partial(loudness_at, sound), times[heard])
        assert abs(lag) < 0.5 / planted[source.name].frame_rate + 0.02


def test_the_two_people_of_a_video_are_where_their_side_says(uncropped: Made) -> None:
    root, planted = uncropped
    sources = by_name(open_corpus(root))
    for name in ("video3_left", "video3_right", "video5", "video5_left"):
        source, truth = sources[name], planted[name]
        halves = {}
        for frame in VideoReader(source.media, truth.frame_rate):
            left = {"left": True, "right": False}[source.person]
            width = frame.image.width // 2
            part = frame.image.crop((0, 0, width, frame.image.height) if left else (width, 0, 2 * width, frame.image.height))
            for step in frame.steps:
                halves[step] = level(part)
        steps = np.array(sorted(halves))
        expected = brightness(truth.labels(steps / truth.frame_rate)[:, 0])
        assert np.corrcoef([halves[step] for step in steps], expected)[0, 1] > 0.99


@pytest.mark.parametrize(
    "folders",
    [
        ("VA_Estimation_Challenge/Train_Set", "VA_Estimation_Challenge/Validation_Set"),
        ("annotations/VA_Set/Training_Set", "annotations/VA_Set/Validation_Set"),
        ("Third ABAW Annotations/VA_Estimation_Challenge/train_set", "VA_Estimation_Challenge/Val_Set"),
        ("Train_Set", "Validation_Set"),
    ],
)
def test_annotations_are_found_under_the_names_of_all_years(tmp_path: Path, folders: tuple[str, str]) -> None:
    write_rows(tmp_path / folders[0] / "a.txt")
    write_rows(tmp_path / folders[1] / "b.txt")
    other = tmp_path / "EXPR_Classification_Challenge" / "Train_Set" / "b.txt"
    other.parent.mkdir(parents=True)
    other.write_text("Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n0\n1\n")
    assert {source.name: source.split for source in open_corpus(tmp_path).sources} == {"a": "train", "b": "dev"}


def test_a_missing_video_and_people_without_one_are_kept_apart(tmp_path: Path) -> None:
    write_rows(tmp_path / "VA_Set/Train_Set/x_left.txt")
    write_rows(tmp_path / "VA_Set/Train_Set/x_right.txt")
    sources = by_name(open_corpus(tmp_path))
    assert sources["x_left"].media is None
    assert {source.subject for source in sources.values()} == {"x"}
    assert (sources["x_left"].person, sources["x_right"].person) == ("left", "right")


def test_a_recording_in_two_splits_is_given_to_none(tmp_path: Path) -> None:
    write_rows(tmp_path / "VA_Set/Train_Set/a.txt")
    write_rows(tmp_path / "VA_Set/Validation_Set/a.txt")
    write_rows(tmp_path / "VA_Set/Train_Set/b.txt")
    (tmp_path / "VA_test_set_release.txt").write_text("b\n")
    write_rows(tmp_path / "VA_Set/Train_Set/c.txt")
    assert {source.name: source.split for source in open_corpus(tmp_path).sources} == {"a": None, "b": None, "c": "train"}


def test_two_releases_of_the_annotations_are_an_error_of_that_recording(tmp_path: Path) -> None:
    write_rows(tmp_path / "3rd/VA_Estimation_Challenge/Train_Set/a.txt")
    write_rows(tmp_path / "6th/VA_Estimation_Challenge/Train_Set/a.txt")
    write_rows(tmp_path / "6th/VA_Estimation_Challenge/Train_Set/b.txt")
    corpus = open_corpus(tmp_path)
    a, b = corpus.sources
    with pytest.raises(CorpusError, match="keep one release"):
        corpus.annotations(a, np.arange(5) / 25)
    assert len(corpus.annotations(b, np.arange(5) / 25)) == 1


def test_bad_files_cost_only_their_recording(tmp_path: Path) -> None:
    folder = tmp_path / "VA_Set/Train_Set"
    write_rows(folder / "good.txt")
    for name, content in (
        ("empty", b""),
        ("header", b"valence,arousal\n"),
        ("latin", b"valence,arousal\n\xe9,0\n"),
        ("other", b"x\n"),
    ):
        (folder / f"{name}.txt").write_bytes(content)
    (folder / "link.txt").symlink_to("nowhere.txt")
    (folder / "folder.txt").mkdir()
    (folder / "self").symlink_to("self")
    (tmp_path / "subjects.csv").write_bytes("recording,subject\ngood,Jos\u00e9\n".encode("latin-1"))
    (tmp_path / "va_test_set_release.txt").write_bytes(b"")
    corpus = open_corpus(tmp_path)
    assert [source.name for source in corpus.sources] == ["empty", "good", "header", "latin", "link", "other"]
    for source in corpus.sources:
        if source.name == "good":
            assert len(corpus.annotations(source, np.arange(5) / 25)) == 1
        elif source.name != "header":
            with pytest.raises(CorpusError, match=source.name):
                corpus.annotations(source, np.arange(5) / 25)
    errors = [finding.what for finding in corpus.findings if finding.severity == "error"]
    assert len(errors) == 2 and "this list isn't used" in errors[0] and "none of its subjects is used" in errors[1]


def test_subjects_can_be_given(tmp_path: Path) -> None:
    for name in ("x_left", "x_right", "y", "z"):
        write_rows(tmp_path / f"VA_Set/Train_Set/{name}.txt")
    (tmp_path / "subjects.csv").write_text("\ufeffRecording;Subject\nx_right;ann\nx;bea\ny;ann\n", encoding="utf-8")
    subjects = {source.name: source.subject for source in open_corpus(tmp_path).sources}
    assert subjects == {"x_left": "bea", "x_right": "ann", "y": "ann", "z": "z"}


def test_aligned_faces_are_preferred_and_whole_frames_are_not_faces(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_rows(tmp_path / f"VA_Set/Train_Set/{name}.txt")
    for picture in ("cropped/a", "cropped_aligned/a", "frames/b"):
        (tmp_path / picture).mkdir(parents=True)
        (tmp_path / picture / "00001.jpg").touch()
    (tmp_path / "cropped_aligned/c").mkdir()
    sources = by_name(open_corpus(tmp_path))
    assert sources["a"].face_folder == tmp_path / "cropped_aligned/a"
    assert sources["b"].face_folder is None
    assert sources["c"].face_folder == tmp_path / "cropped_aligned/c"  # empty: no face was found in that video


def test_links_that_go_round_end(tmp_path: Path) -> None:
    write_rows(tmp_path / "VA_Set/Train_Set/a.txt")
    (tmp_path / "VA_Set/again").symlink_to(tmp_path)
    assert [source.name for source in open_corpus(tmp_path).sources] == ["a"]


def test_rows_keep_their_places(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfValence, Arousal\r\n0.5,-0.25\r\n-5,-5\r\n-5.0,1\r\n-1,0\r\n\r\n")
    expected = [[0.5, -0.25], [np.nan, np.nan], [np.nan, 1], [-1, 0]]
    np.testing.assert_array_equal(affwild2_files.read_rows(path), expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: must be 'valence,arousal'"),
        ("arousal,valence\n0,0\n", "line 1"),
        ("valence,arousal\n0,0\n\n0,0\n", "line 3: must be two numbers"),
        ("valence,arousal\n0,0\n0\n", "line 3: must be two numbers"),
        ("valence,arousal\n0,0,0\n", "line 2: must be two numbers"),
        ("valence,arousal\n0,x\n", "line 2.*'0,x'"),
        ("valence,arousal\n0.5,0.1\n0,120\n", "line 3: 120 is neither in -1..1 nor -5; rescale"),
        ("valence,arousal\n0,-2\n", "line 2: -2 "),
        ("valence,arousal\n0,inf\n", "line 2: inf "),
    ],
)
def test_rows_that_are_not_two_numbers_in_range_are_refused_by_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(content)
    with pytest.raises(CorpusError, match=message) as error:
        affwild2_files.read_rows(path)
    assert str(path) in str(error.value)


def test_a_listing_is_names_or_frames_in_order(made: Made, tmp_path: Path) -> None:
    root, planted = made
    listing = affwild2_files.read_listing(root / "prediction_files_format/CVPR_6th_ABAW_VA_test_set_sample.txt")
    assert listing.names == ("video7",)
    np.testing.assert_array_equal(listing.picture, np.arange(planted["video7"].num_frames) + 1)
    path = tmp_path / "sample.txt"
    path.write_text("image_location,valence,arousal\nb_left/00002.jpg,,\na/00010.jpg,,\nb_left/00001.jpg,,\n")
    listing = affwild2_files.read_listing(path)
    asked = [(listing.names[place], number) for place, number in zip(listing.recording, listing.picture, strict=True)]
    assert asked == [("b_left", 2), ("a", 10), ("b_left", 1)]
    path.write_text("b_left\n\na\n")
    listing = affwild2_files.read_listing(path)
    assert listing.names == ("b_left", "a") and len(listing.picture) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty; it should"),
        ("image_location,valence,arousal\na/00001.jpg,0,0\nfrom a\n", "line 3: must start like 'NAME/00001.jpg'"),
        ("name,frames\na,3\n", "is not a recording's name"),
    ],
)
def test_what_is_no_listing_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(content)
    with pytest.raises(CorpusError, match=message):
        affwild2_files.read_listing(path)
