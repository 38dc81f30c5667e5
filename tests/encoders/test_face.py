from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from categories import CATEGORY_VALENCE_AROUSAL
from vatrace.encoders import FEATURE_DIMS
from vatrace.encoders.face import BRIGHTEST, EXPRESSIONS, FACE_PART, MIDDLE, FerPlusEncoder, luma, with_usual_brightness


@pytest.fixture(scope="module")
def faces() -> FerPlusEncoder:
    return FerPlusEncoder()


def test_a_batch_of_faces_equals_each_alone(faces: FerPlusEncoder) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 48, 48)).astype(np.uint8)
    together = faces(crops)
    assert together.shape == (3, FEATURE_DIMS["face"])
    np.testing.assert_allclose(together[1], faces(crops[1:2])[0], atol=1e-4)
    np.testing.assert_allclose(faces.expressions(crops).sum(axis=1), 1, atol=1e-5)


def test_expressions_agree_with_raters_on_the_dev_split(faces: FerPlusEncoder, shared: Path) -> None:
    archive = np.load(shared / "ferplus" / "ferplus.npz")
    dev = archive["split"] == "dev"
    images, votes = archive["images"][dev], archive["votes"][dev]
    clear = votes[:, :8].max(axis=1) >= 8  # at least eight of ten agree
    found = faces.expressions(images[clear]).argmax(axis=1)
    assert np.mean(found == votes[clear, :8].argmax(axis=1)) > 0.9


def test_a_face_and_its_mirror_image_are_the_same(faces: FerPlusEncoder) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (4, 48, 48)).astype(np.uint8)
    for read in (faces, faces.expressions, faces.valence_arousal):
        np.testing.assert_allclose(read(crops), read(crops[:, :, ::-1]), atol=1e-5)
    table = np.array([CATEGORY_VALENCE_AROUSAL[name] for name in EXPRESSIONS])
    np.testing.assert_allclose(faces.valence_arousal(crops), faces.expressions(crops) @ table, atol=1e-5)


def test_colour_crops_are_made_grey_as_pillow_does(faces: FerPlusEncoder) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3)).astype(np.uint8)
    grey = np.stack([np.asarray(Image.fromarray(crop).convert("L")) for crop in crops])
    np.testing.assert_array_equal(luma(crops), grey)
    np.testing.assert_array_equal(faces(crops), faces(grey))


def test_light_is_brought_to_that_of_the_training_images() -> None:
    grey = np.random.default_rng(0).normal(120, 30, (5, 48, 48)).clip(0, 255).astype(np.uint8)
    for factor in (0.4, 0.7, 1.0, 1.3):
        light = with_usual_brightness((grey * factor).astype(np.uint8)) / 255
        assert light.min() >= 0 and light.max() <= 1
        np.testing.assert_allclose(light[:, FACE_PART].mean(axis=1), MIDDLE, atol=0.01)
    within = with_usual_brightness(np.full((1, 48, 48), 255 * BRIGHTEST, np.uint8))  # flat: the bounds hold it back
    assert 0 < within.min() == within.max() <= 255
    assert np.isfinite(with_usual_brightness(np.zeros((1, 48, 48), np.uint8))).all()


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.2])
def test_exposure_does_not_change_what_a_face_expresses(faces: FerPlusEncoder, shared: Path, factor: float) -> None:
    archive = np.load(shared / "ferplus" / "ferplus.npz")
    images = archive["images"][archive["split"] == "dev"]
    images = images[(images.reshape(len(images), -1).max(axis=1) < 205)][:200]  # 1.2 times that is not clipped
    assert len(images) > 50
    exposed = np.round(images * factor).astype(np.uint8)
    assert np.abs(faces.valence_arousal(exposed) - faces.valence_arousal(images)).mean() < 0.01
