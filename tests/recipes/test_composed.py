from dataclasses import replace

import numpy as np
import pytest

from composed import (
    FADING,
    LEAST_WORDS,
    RATE,
    WEIGHTS,
    Bank,
    Composition,
    compose,
    latent_path,
    own_paths,
    rated,
    weighted_path,
)


def bank(seed: int, length: int, groups: int = 1) -> Bank:
    """3,000 samples all over the circumplex, whose features are their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.uniform(-1, 1, (3000, 2)).astype(np.float32)
    offsets = np.arange(0, 3001 * length, length)
    return Bank(labels, offsets, np.repeat(labels, length, axis=0).astype(np.float16), rng.integers(groups, size=3000))


BANKS = {"face": bank(0, 3), "voice": bank(1, 15, groups=2), "words": bank(2, 8)}
NO_SPREAD = dict.fromkeys(BANKS, (0.0, 0.0))


def test_the_same_seed_gives_the_same_recording() -> None:
    first, again, other = (compose(BANKS, 200, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.target, again.target)
    for name in BANKS:
        np.testing.assert_array_equal(first.features[name], again.features[name])
        np.testing.assert_array_equal(first.valid[name], again.valid[name])
    assert not np.array_equal(first.target, other.target)


def test_where_all_agree_samples_lie_near_the_target() -> None:
    agreeing = Composition(NO_SPREAD, NO_SPREAD, disagreeing=0)
    for name in BANKS:
        missed = []
        for seed in range(60):
            recording = compose(BANKS, 300, np.random.default_rng(seed), agreeing)
            there = recording.valid[name]
            missed.append(np.abs(recording.features[name] - recording.target)[there])
            assert (recording.features[name][~there] == 0).all()
        # a sample is chosen of 100, by where the path is when it begins: most lie within their mean distance of 1 / sqrt(100)
        assert np.median(np.concatenate(missed)) < 0.1


def test_the_spread_is_between_the_path_and_the_labels() -> None:
    spread = dict.fromkeys(BANKS, (0.3, 0.05))
    missed = []
    for seed in range(60):
        recording = compose(BANKS, 300, np.random.default_rng(seed), Composition(spread, NO_SPREAD, 0.0))
        there = recording.valid["face"]
        missed.append((recording.features["face"] - recording.target)[there & (np.abs(recording.target) < 0.3).all(axis=1)])
    valence, arousal = np.concatenate(missed).std(axis=0)
    assert valence == pytest.approx(0.3, rel=0.15) and arousal < 0.16


def test_voices_of_a_recording_are_one_persons() -> None:
    voice = BANKS["voice"]
    marked = Bank(voice.labels, voice.offsets, np.repeat(voice.groups[:, None], 15, axis=0).astype(np.float16), voice.groups)
    for seed in range(20):
        recording = compose(BANKS | {"voice": marked}, 300, np.random.default_rng(seed))
        assert len(np.unique(recording.features["voice"][recording.valid["voice"]])) <= 1


def test_the_path_rests_moves_and_jumps_within_the_scale() -> None:
    paths = [latent_path(600, np.random.default_rng(seed)) for seed in range(50)]
    changes = np.concatenate([np.abs(np.diff(path, axis=0)).max(axis=1) for path in paths])
    assert np.abs(np.concatenate(paths)).max() <= 1
    assert 0.4 < np.mean(changes == 0) < 0.9 and (changes > 0.5).any()


def test_one_of_several_leaves_the_path_and_one_alone_never() -> None:
    path = latent_path(600, np.random.default_rng(0))
    own = own_paths(path, ("face", "voice"), np.random.default_rng(1), disagreeing=1.0)
    apart = np.stack([(own[name] != path).any(axis=1) for name in own])
    assert apart.any(axis=1).all() and not apart.all(axis=0).any()
    assert (own_paths(path, ("voice",), np.random.default_rng(1), disagreeing=1.0)["voice"] == path).all()
    assert (own_paths(path, ("face", "voice"), np.random.default_rng(1), disagreeing=0.0)["voice"] == path).all()


def test_raters_weigh_face_and_voice_as_people_do_and_forget() -> None:
    path, ones = np.zeros((100, 2)), np.ones((100, 2))
    own = {"face": 0.8 * ones, "voice": -0.5 * ones}
    seen = np.ones(100, bool)
    heard = np.arange(100) < 50
    found = weighted_path(path, own, {"face": seen, "voice": heard, "words": np.zeros(100, bool)})
    together = [
        (face * 0.8 - voice * 0.5) / (face + voice) for face, voice in zip(WEIGHTS["face"], WEIGHTS["voice"], strict=True)
    ]
    np.testing.assert_allclose(found[:50], np.tile(together, (50, 1)), atol=0.002)
    after = round(FADING * RATE)
    faded = np.array(WEIGHTS["voice"]) / np.e
    face = np.array(WEIGHTS["face"])
    np.testing.assert_allclose(found[49 + after], (face * 0.8 - faded * 0.5) / (face + faded), atol=0.002)
    nothing = weighted_path(path + 0.3, own, dict.fromkeys(("face", "voice"), np.zeros(100, bool)))
    np.testing.assert_allclose(nothing, 0.3 * ones)


def test_raters_are_late_and_drift() -> None:
    truth = latent_path(3000, np.random.default_rng(0)) * 0.3
    late = rated(truth, np.random.default_rng(0), Composition(rating_lag=(2.0, 2.0)))
    np.testing.assert_array_equal(late[20:], truth[:-20])
    assert (late[:20] == truth[0]).all()
    wandering = rated(truth, np.random.default_rng(0), Composition(rating_noise=0.1)) - truth
    assert wandering.std() == pytest.approx(0.1, rel=0.25)
    assert np.corrcoef(wandering[:-1, 0], wandering[1:, 0])[0, 1] > 0.9


def test_neutral_words_leave_the_rating_to_the_face() -> None:
    path, present = np.zeros((50, 2)), np.ones(50, bool)
    unhappy = np.full((50, 2), -0.6)
    valid = {"face": present, "words": present}
    face, words = np.array(WEIGHTS["face"]), np.array(WEIGHTS["words"])
    harmless = weighted_path(path, {"face": unhappy, "words": np.zeros((50, 2))}, valid)
    np.testing.assert_allclose(harmless[0], -0.6 * face / (face + LEAST_WORDS * words), atol=0.002)
    strong = weighted_path(path, {"face": unhappy, "words": -unhappy}, valid)
    np.testing.assert_allclose(strong[0], 0.6 * (words - face) / (words + face), atol=0.002)


def test_an_offset_moves_all_samples_of_a_recording_alike() -> None:
    shifted = Composition(NO_SPREAD, dict.fromkeys(BANKS, (0.3, 0.0)), disagreeing=0)
    means, within = [], []
    for seed in range(80):
        recording = compose(BANKS, 300, np.random.default_rng(seed), shifted)
        near = recording.valid["voice"] & (np.abs(recording.target) < 0.4).all(axis=1)
        if near.sum() > 50:
            missed = (recording.features["voice"] - recording.target)[near]
            means.append(missed.mean(axis=0))
            within.append(missed.std(axis=0))
    valence, arousal = np.std(means, axis=0)
    assert valence == pytest.approx(0.3, rel=0.25) and arousal < 0.1
    assert np.median(within, axis=0)[0] < 0.2


def test_a_face_moves_while_somebody_talks() -> None:
    still = bank(0, 1)
    moving = replace(still, wander=np.stack([np.full((30, 2), 0.5), np.full((30, 2), -0.5)]).astype(np.float16))
    options = Composition(NO_SPREAD, NO_SPREAD, disagreeing=0)
    for seed in range(20):
        before, after = (
            compose(BANKS | {"face": one}, 300, np.random.default_rng(seed), options).features["face"]
            for one in (still, moving)
        )
        recording = compose(BANKS | {"face": moving}, 300, np.random.default_rng(seed), options)
        moved = np.abs(after - before).max(axis=1) > 0.4
        assert not moved[~recording.valid["face"]].any()
        if recording.valid["face"].any() and recording.valid["voice"].any():
            assert moved[recording.valid["face"] & recording.valid["voice"]].all()
            assert not moved.all()
