from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from categories import CATEGORY_VALENCE_AROUSAL
from vatrace.encoders import DEFAULT_ENCODERS, FEATURE_DIMS, parse_encoders
from vatrace.encoders.face import FaceEncoder, luma
from vatrace.encoders.networks.face import EXPRESSIONS
from vatrace.encoders.words import WordEncoder, words_on_grid
from vatrace.media.transcripts import Word


@pytest.fixture(scope="module")
def words() -> WordEncoder:
    return WordEncoder()


@pytest.fixture(scope="module")
def faces() -> FaceEncoder:
    return FaceEncoder()


def test_a_batch_of_faces_equals_each_alone(faces: FaceEncoder) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 48, 48)).astype(np.uint8)
    together = faces(crops)
    assert together.shape == (3, FEATURE_DIMS["face"])
    np.testing.assert_allclose(together[1], faces(crops[1:2])[0], atol=1e-4)
    np.testing.assert_allclose(faces.expressions(crops).sum(axis=1), 1, atol=1e-5)


def test_expressions_agree_with_raters_on_the_dev_split(faces: FaceEncoder, shared: Path) -> None:
    archive = np.load(shared / "ferplus" / "ferplus.npz")
    dev = archive["split"] == "dev"
    images, votes = archive["images"][dev], archive["votes"][dev]
    clear = votes[:, :8].max(axis=1) >= 8  # at least eight of ten agree
    found = faces.expressions(images[clear]).argmax(axis=1)
    assert np.mean(found == votes[clear, :8].argmax(axis=1)) > 0.9


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("this is wonderful", "this is terrible"),
        ("I love you so much.", "I hate everything about this."),
        ("We won the prize!", "He died alone."),
    ],
)
def test_pleasant_texts_score_above_unpleasant_ones(words: WordEncoder, good: str, bad: str) -> None:
    assert words.valence_arousal(good)[0] > words.valence_arousal(bad)[0] + 0.2


def test_exciting_texts_score_above_calm_ones_in_arousal(words: WordEncoder) -> None:
    exciting, calm = words.valence_arousal("Run! The house is on fire!"), words.valence_arousal("The lake was still.")
    assert exciting[1] > calm[1]


def test_each_word_gets_the_mean_of_its_own_tokens(words: WordEncoder) -> None:
    sentence = ["An", "unbelievably", "antidisestablishmentarian", "talk."]
    encoding = words._tokenizer.encode(" ".join(sentence))
    (tokens,) = words._run("tokens", encoding.ids)
    pieces = ["".join(encoding.tokens[1:stop]).replace("##", "") for stop in range(1, len(encoding.tokens))]
    stops = [1 + pieces.index("".join(sentence[:count]).lower()) for count in range(1, 5)]
    expected = [tokens[start:stop].mean(axis=0) for start, stop in pairwise([1, *stops])]
    np.testing.assert_allclose(words(sentence), expected, atol=1e-6)


def test_words_without_tokens_and_very_long_sentences_have_vectors(words: WordEncoder) -> None:
    assert np.isfinite(words(["hello", "\u200b", "there"])).all()
    assert words(["supercalifragilisticexpialidocious"] * 200).shape == (200, FEATURE_DIMS["words"])


def test_words_on_grid_lie_where_they_are_spoken_each_in_its_sentence(words: WordEncoder) -> None:
    spoken = [Word("Hello", 0.5, 0.9), Word("there.", 0.9, 1.0), Word("Bye.", 3.0, 3.02)]
    placed = list(words_on_grid(spoken, words, 10))
    assert [inside for inside, _ in placed] == [range(5, 9), range(9, 10), range(30, 31)]
    np.testing.assert_array_equal(placed[0][1], words(["Hello", "there."])[0])
    np.testing.assert_array_equal(placed[2][1], words(["Bye."])[0])


def test_encoders_are_chosen_by_name(tmp_path: Path) -> None:
    (tmp_path / "ir50.pth").write_bytes(b"weights")
    chosen = parse_encoders(f"face=ir50:{tmp_path / 'ir50.pth'}, words=none")
    assert list(chosen) == ["face", "voice"]
    assert (chosen["face"].name, chosen["face"].dim, chosen["voice"]) == ("ir50", 512, DEFAULT_ENCODERS["voice"])
    before = chosen["face"].version
    (tmp_path / "ir50.pth").write_bytes(b"other weights")
    assert parse_encoders(f"face=ir50:{tmp_path / 'ir50.pth'}")["face"].version != before
    assert parse_encoders("") == DEFAULT_ENCODERS
    assert parse_encoders("voice=whisper")["voice"].dim == 384
    assert {name: spec.dim for name, spec in DEFAULT_ENCODERS.items()} == FEATURE_DIMS
    assert len({spec.version for spec in DEFAULT_ENCODERS.values()}) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("face", "face=NAME"),
        ("hands=ir50:x", "face=NAME"),
        ("face=resnet", "ferplus, ir50 and none, not 'resnet'"),
        ("face=ir50", "name its weights: face=ir50:FILE"),
        ("voice=whisper:x", "its own weights"),
        ("face=none,voice=none,words=none", "no encoder is left"),
    ],
)
def test_a_wrong_choice_is_answered_with_the_right_ones(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_encoders(text)


def test_weights_that_are_not_there_are_said() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth: no such file, for face=ir50"):
        parse_encoders("face=ir50:nowhere.pth")


def test_a_face_and_its_mirror_image_are_the_same(faces: FaceEncoder) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (4, 48, 48)).astype(np.uint8)
    for read in (faces, faces.expressions, faces.valence_arousal):
        np.testing.assert_allclose(read(crops), read(crops[:, :, ::-1]), atol=1e-5)
    table = np.array([CATEGORY_VALENCE_AROUSAL[name] for name in EXPRESSIONS])
    np.testing.assert_allclose(faces.valence_arousal(crops), faces.expressions(crops) @ table, atol=1e-5)


def test_colour_crops_are_seen_as_pillow_makes_them_grey(faces: FaceEncoder) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3)).astype(np.uint8)
    grey = np.stack([np.asarray(Image.fromarray(crop).convert("L")) for crop in crops])
    np.testing.assert_array_equal(luma(crops), grey)
    np.testing.assert_array_equal(faces(crops), faces(grey))
