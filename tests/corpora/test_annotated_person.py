"""The annotated person of a recording with several people, whom the corpus names."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from command import run
from conftest import side_by_side, write_movie
from vatrace.corpora import open_corpus
from vatrace.corpora.annotated_person import choose_annotated, choose_cropped
from vatrace.corpora.check import check
from vatrace.corpora.corpus import Source
from vatrace.corpora.extract import Outcome, Setting, _perceiver, extract, open_tasks
from vatrace.encoders import parse_encoders
from vatrace.errors import MediaError
from vatrace.features.attribution import Attribution
from vatrace.features.perceived import Perceived
from vatrace.features.perceiver import Perceiver
from vatrace.features.turns import Turn
from vatrace.media.reading import AudioReader, VideoReader
from vatrace.media.recording import open_recording
from vatrace.store import Store

FACES = Setting(tuple(parse_encoders("voice=none,words=none").values()), None, 1, crops=True)
MAN, WOMAN, OTHER = "bbaf2n", "lbbc2a", "pwij3p"


@pytest.fixture(scope="module")
def images(shared: Path) -> dict[str, list[Image.Image]]:
    """Three seconds of three speakers, 25 images a second."""
    return {name: [frame.image for frame in VideoReader(shared / "clips" / f"{name}.mpg", 25)] for name in (MAN, WOMAN, OTHER)}


@pytest.fixture(scope="module")
def pair(images: dict[str, list[Image.Image]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of the man on the left and the woman on the right."""
    both = [side_by_side(pictures) for pictures in zip(images[MAN], images[WOMAN], strict=True)]
    return write_movie(tmp_path_factory.mktemp("pair") / "pair.mp4", both)


@pytest.fixture(scope="module")
def perceiver() -> Perceiver:
    return Perceiver({spec.modality: spec for spec in FACES.encoders})


@pytest.fixture(scope="module")
def perceived(pair: Path, perceiver: Perceiver) -> Perceived:
    return perceiver.perceive(open_recording(pair), 10.0, {"face"})


def index_of(source: Source, perceived: Perceived, perceiver: Perceiver) -> tuple[int | None, list[str]]:
    assert source.media is not None
    _, index, notes = choose_annotated(source, open_recording(source.media), perceived, perceiver)
    return index, notes


def test_people_are_chosen_by_side_number_or_picture(
    pair: Path, perceived: Perceived, perceiver: Perceiver, images: dict[str, list[Image.Image]], tmp_path: Path
) -> None:
    source = Source("pair", pair)
    left = min(range(2), key=lambda index: perceived.people[index].centre)
    assert index_of(source, perceived, perceiver)[0] == 0
    for number in (1, 2):
        assert index_of(replace(source, person=number), perceived, perceiver) == (number - 1, [])
    assert index_of(replace(source, person="left"), perceived, perceiver) == (left, [])
    assert index_of(replace(source, person="right"), perceived, perceiver) == (1 - left, [])
    for name, index in ((MAN, left), (WOMAN, 1 - left)):
        images[name][40].transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / f"{name}.png")
        assert index_of(replace(source, person=tmp_path / f"{name}.png"), perceived, perceiver) == (index, [])


def test_who_is_not_there_is_an_error_and_who_is_doubtful_is_noted(
    pair: Path, perceived: Perceived, perceiver: Perceiver, images: dict[str, list[Image.Image]], tmp_path: Path
) -> None:
    images[OTHER][0].save(tmp_path / "other.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    for person, message in (
        (3, "there is no person 3 in it; 2 were found"),
        (tmp_path / "other.png", "nobody in it looks like other.png"),
        (tmp_path / "black.png", "no face was found"),
    ):
        with pytest.raises(MediaError, match=message):
            index_of(Source("pair", pair, person=person), perceived, perceiver)
    alone, nobody = replace(perceived, people=perceived.people[:1]), replace(perceived, people=[])
    index, notes = index_of(Source("pair", pair, person="right"), alone, perceiver)
    assert index == 0 and notes == ["only one person was seen, who is taken for the one on the right"]
    with pytest.raises(MediaError, match="nobody was seen"):
        index_of(Source("pair", pair, person="right"), nobody, perceiver)


def test_without_faces_the_speech_of_several_is_everybodys_and_that_is_noted(
    pair: Path, perceived: Perceived, perceiver: Perceiver
) -> None:
    heard = replace(perceived, modalities=frozenset({"voice"}), attribution=Attribution([Turn(0, 1, 0, 0), Turn(1, 2, 1, 1)]))
    found, index, notes = choose_annotated(Source("pair", pair, person="left"), open_recording(pair), heard, perceiver)
    assert index is None and found.is_theirs(None, np.array([0.5, 1.5])).all()
    assert notes == ["several people speak, but faces are not used, so voice and words include everyone's speech"]


def write_crops(folder: Path, images: list[Image.Image]) -> Path:
    """Cropped faces of a person as a corpus provides them."""
    folder.mkdir()
    for number, image in enumerate(images, 1):
        image.crop((100, 60, 260, 250)).resize((112, 112)).save(folder / f"{number:05d}.jpg", quality=90)
    return folder


@pytest.mark.parametrize("name", [MAN, WOMAN])
def test_cropped_faces_have_the_turns_of_the_same_person_in_the_video(
    name: str, pair: Path, perceived: Perceived, perceiver: Perceiver, images: dict[str, list[Image.Image]], tmp_path: Path
) -> None:
    source = Source("pair", pair, face_folder=write_crops(tmp_path / "crops", images[name]))
    left = min(range(2), key=lambda index: perceived.people[index].centre)
    index = left if name == MAN else 1 - left
    two = replace(perceived, attribution=Attribution([Turn(0, 1, 0, index), Turn(1, 3, 1, 1 - index)]))
    assert source.face_folder is not None
    sight = perceiver.see_crops(source.face_folder, perceived.sight.frame_times, 10.0, 3.0)
    seen, chosen, notes = choose_cropped(source, two, sight, perceiver)
    assert notes == [] and chosen is not None
    np.testing.assert_array_equal(seen.is_theirs(chosen, np.array([0.5, 1.5, 2.5])), [True, False, False])
    percept = perceiver.percept(seen, chosen)
    (cropped,) = sight.people
    assert percept.valid["face"].sum() == len(cropped.steps) == 30
    row = cropped.tracks[0].rows[5]
    np.testing.assert_array_equal(percept.features(5, 6)["face"][0], sight.embeddings.read(row, row + 1)[0])
    # one voice is the person's, as before
    one = replace(perceived, attribution=Attribution([Turn(0, 3, 0, None)]))
    seen, chosen, _ = choose_cropped(source, one, sight, perceiver)
    assert chosen == 0 and seen.is_theirs(0, np.array([0.5, 2.5])).all()


def test_cropped_faces_of_nobody_in_the_video_are_noted(
    pair: Path, perceived: Perceived, perceiver: Perceiver, images: dict[str, list[Image.Image]], tmp_path: Path
) -> None:
    folder = write_crops(tmp_path / "crops", images[OTHER])
    two = replace(perceived, attribution=Attribution([Turn(0, 1, 0, 0), Turn(1, 3, 1, 1)]))
    sight = perceiver.see_crops(folder, perceived.sight.frame_times, 10.0, 3.0)
    seen, chosen, notes = choose_cropped(Source("pair", pair, face_folder=folder), two, sight, perceiver)
    assert chosen == 0 and seen.is_theirs(0, np.array([0.5, 2.5])).all()
    assert notes == [
        "several people speak, but the cropped face was not found in the video, so voice and words include everyone's speech"
    ]
    # if the corpus says on which side it is, that decides
    left = min(range(2), key=lambda index: perceived.people[index].centre)
    seen, chosen, notes = choose_cropped(Source("pair", pair, face_folder=folder, person="left"), two, sight, perceiver)
    assert (chosen, notes) == (left, [])


@pytest.fixture
def corpus(pair: Path, images: dict[str, list[Image.Image]], tmp_path: Path) -> Path:
    """The video under several names, with a different person each."""
    root = tmp_path / "corpus"
    (root / "pictures").mkdir(parents=True)
    for name in (MAN, OTHER):
        images[name][30].save(root / "pictures" / f"{name}.png")
    people = {"a": "Left", "b": "right", "c": f"pictures/{MAN}.png", "d": f"pictures/{OTHER}.png"}
    people |= {"e": "5", "f": "middle", "g": ""}
    for name in people:
        (root / f"{name}.mp4").write_bytes(pair.read_bytes())
    rows = [f"{name},train,{person}" for name, person in people.items()]
    (root / "splits.csv").write_text("\n".join(["recording,split,person", *rows]) + "\n")
    return root


def extracted(root: Path, store: Store) -> dict[str, Outcome]:
    tasks, outcomes = open_tasks(open_corpus(root).sources, store, FACES)
    return {outcome.name: outcome for outcome in outcomes + [outcome for task in tasks for outcome in extract(task)]}


def test_a_column_of_the_split_file_names_the_person(corpus: Path, tmp_path: Path) -> None:
    sources = {source.name: source.person for source in open_corpus(corpus).sources}
    picture = corpus / "pictures"
    assert sources == {
        **{"a": "left", "b": "right", "c": picture / f"{MAN}.png", "d": picture / f"{OTHER}.png"},
        **{"e": 5, "f": corpus / "middle", "g": None},
    }
    store = Store.create(tmp_path / "store", FACES.schema(10.0))
    outcomes = extracted(corpus, store)
    errors = {name: outcome.error for name, outcome in outcomes.items() if outcome.error}
    assert sorted(errors) == ["d", "e", "f"] and store.names == ["a", "b", "c", "g"]
    assert f"nobody in it looks like {OTHER}.png" in (errors["d"] or "") and "there is no person 5" in (errors["e"] or "")
    assert (errors["f"] or "").startswith(f"person {corpus / 'middle'}: there is no such picture; write left, right, a number")
    faces = {name: store.recording(name).features("face") for name in store.names}
    np.testing.assert_array_equal(faces["a"], faces["c"])
    assert np.abs(faces["a"] - faces["b"]).max() > 0.1
    # only where the person has changed is it done again
    assert set(extracted(corpus, store)) == {"d", "e", "f"}
    table = (corpus / "splits.csv").read_text().replace("a,train,Left", "a,train,right")
    (corpus / "splits.csv").write_text(table)
    Image.open(picture / f"{MAN}.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(picture / f"{MAN}.png")
    assert set(extracted(corpus, store)) == {"a", "c", "d", "e", "f"}
    np.testing.assert_array_equal(store.recording("a").features("face"), faces["b"])


def test_check_reports_people_that_are_unknown(corpus: Path) -> None:
    (corpus / "pictures" / "no.png").write_text("not an image")
    table = (corpus / "splits.csv").read_text() + "b,train,left\n"
    (corpus / "splits.csv").write_text(table.replace("g,train,", "g,train,pictures/no.png"))
    found = check(open_corpus(corpus))
    errors = {finding.recording: finding.what for finding in found if finding.severity == "error"}
    assert set(errors) == {"b", "f", "g"}
    assert errors["b"] == "splits.csv gives several persons (left, right)" and "no such picture" in errors["f"]
    assert "no.png" in errors["g"]
    assert not any(f"{MAN}.png" in finding.what for finding in found)  # it is used, not ignored
    result = run("check", corpus)
    assert result.status == 1 and "there is no such picture" in result.out


class TrueTurns:
    """Tells the voices of the video below apart, without listening."""

    def __call__(self, blocks: Iterable[NDArray[np.float32]]) -> object:
        from vatrace.features.speakers import Voices

        sound = np.concatenate(list(blocks))
        sound = sound[: len(sound) // 160 * 160].reshape(-1, 160)
        envelope = np.sqrt((sound**2).mean(axis=1))
        return Voices([Turn(0.0, 3.0, 0), Turn(3.0, 6.0, 1)], np.eye(2, 256), envelope)


@pytest.mark.slow
@pytest.mark.parametrize("cropped", [True, False])
def test_each_of_two_people_has_their_own_voice(
    cropped: bool,
    images: dict[str, list[Image.Image]],
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Aff-Wild2's NAME_left and NAME_right: first the man speaks, then the woman, while the other one holds still."""
    monkeypatch.setattr(Perceiver, "_diarizer", TrueTurns())
    man, woman = images[MAN], images[WOMAN]
    frames = []
    for left, right in [*((one, woman[0]) for one in man), *((man[-1], other) for other in woman)]:
        whole = Image.new("RGB", (2 * left.width, left.height))
        whole.paste(left, (0, 0))
        whole.paste(right, (left.width, 0))
        frames.append(whole)
    sounds = [np.concatenate(list(AudioReader(shared / "clips" / f"{name}.mpg", 60))) for name in (MAN, WOMAN)]
    sound = np.concatenate([np.pad(sound, (0, 48000))[:48000] for sound in sounds])
    root = tmp_path / "corpus"
    (root / "videos").mkdir(parents=True)
    write_movie(root / "videos" / "x.mp4", frames, sound=sound)
    for name, place in (("x_left", 0), ("x_right", frames[0].width // 2)):
        labels = root / "VA_Set" / "Train_Set" / f"{name}.txt"
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("valence,arousal\n" + "0,0\n" * len(frames))
        if cropped:
            (root / "cropped_aligned").mkdir(exist_ok=True)
            write_crops(root / "cropped_aligned" / name, [frame.crop((place, 0, frame.width, 288)) for frame in frames])
    setting = Setting(tuple(parse_encoders("words=none").values()), None, 2, crops=False)
    store = Store.create(tmp_path / "store", setting.schema(10.0))
    tasks, outcomes = open_tasks(open_corpus(root).sources, store, setting)
    _perceiver.cache_clear()
    outcomes += [outcome for task in tasks for outcome in extract(task)]
    _perceiver.cache_clear()
    assert [outcome.error for outcome in outcomes] == [None, None]
    for name, first, last in (("x_left", 0, 30), ("x_right", 30, 60)):
        voice = store.recording(name).valid()["voice"]
        assert voice[first:last].sum() >= 10 and voice.sum() == voice[first:last].sum(), name
        assert store.recording(name).valid()["face"].mean() > 0.9
