from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import real_fusion
from real_fusion import (
    Fold,
    Piece,
    RealSet,
    Variant,
    clipped,
    dropped,
    half_of,
    has_gained,
    model_config,
    mosi,
    piece,
    predictions,
    print_table,
    result_path,
    run,
    scores,
    train_model,
)
from vatrace.training.loop import TrainConfig


def made_pieces(seed: int, count: int, weights: tuple[float, float], prefix: str = "") -> list[Piece]:
    """Recordings of 6 steps whose valence is a mixture of the first channels of both modalities, apart from noise."""
    rng = np.random.default_rng(seed)
    pieces = []
    for index in range(count):
        features = {name: rng.normal(size=(6, 3)) for name in ("face", "voice")}
        mixed = sum(weight * x[:, :1] for weight, x in zip(weights, features.values(), strict=True))
        pieces.append(piece(f"{prefix}{index // 2}", features, np.tanh(0.5 * mixed + 0.1 * rng.normal(size=(6, 1)))))
    return pieces


def made_set(weights: tuple[float, float]) -> RealSet:
    fold = Fold(*(made_pieces(seed, count, weights, f"{seed}-") for seed, count in ((0, 60), (1, 30), (2, 40))))
    train = TrainConfig(num_epochs=12, batch_size=12, learning_rate=5e-3)
    return RealSet(lambda seed: [fold], ("valence",), True, {"num_levels": 1, "kernel_size": 1}, train)


def on_test(real: RealSet, variant: Variant) -> float:
    fold = real.folds(0)[0]
    return float(scores(predictions(train_model(real, variant, fold, 0), fold.test, True))[0])


def test_a_step_of_zeros_is_missing() -> None:
    features = {"face": np.array([[0.0, 1.0], [0.0, 0.0]]), "voice": np.ones((2, 1))}
    made = piece("a", features, np.zeros((2, 1)))
    assert made.valid["face"].tolist() == [True, False] and made.valid["voice"].all()


def test_extremes_are_those_of_the_training_recordings() -> None:
    train, wild = (
        piece("a", {"face": values[:, None]}, np.zeros((101, 1))) for values in (np.arange(1, 102), np.arange(101) * 9.0)
    )
    for part in clipped(Fold([train], [wild], [wild])).test:
        assert part.features["face"].min() == 2 and part.features["face"].max() == 100  # the 1st and 99th percentile of 1..101


def test_one_modality_is_always_kept() -> None:
    rng = np.random.default_rng(0)
    removed = [dropped(["face", "voice", "words"], 0.5, rng) for _ in range(600)]
    assert max(map(len, removed)) == 2
    for name in ("face", "voice", "words"):  # removed if another one is kept, and then half the time
        assert np.mean([name in names for names in removed]) == pytest.approx(2 / 3 * 0.5, abs=0.06)


def test_whole_recordings_have_one_prediction() -> None:
    real = replace(made_set((1, 1)), per_step=False)
    fold = real.folds(0)[0]
    model = train_model(replace(real, train=replace(real.train, num_epochs=1)), Variant("concat"), fold, 0)
    by_step, whole = predictions(model, fold.test, True), predictions(model, fold.test, False)
    for (_, many), (_, one) in zip(by_step, whole, strict=True):
        np.testing.assert_allclose(one, many.mean(axis=0, keepdims=True), atol=1e-6)


def test_a_gain_must_be_sure() -> None:
    rng = np.random.default_rng(0)
    truth = [rng.normal(size=(5, 1)).astype(np.float32) for _ in range(40)]
    noisy, less = ([(x, x + scale * rng.normal(size=x.shape)) for x in truth] for scale in (1.0, 0.3))
    assert has_gained(noisy, less)
    assert not has_gained(less, noisy) and not has_gained(less, less)


def test_a_residual_model_keeps_up_with_the_best_modality_and_uses_both_where_both_count() -> None:
    one = made_set((1, 0))
    assert on_test(one, Variant("concat", residual=True)) > on_test(one, Variant("concat", ("face",))) - 0.02
    both = made_set((1, 1))
    assert on_test(both, Variant("concat", residual=True)) > on_test(both, Variant("concat", ("face",))) + 0.15


def test_the_options_of_all_variants_fit_their_fusions() -> None:
    for variant in real_fusion.VARIANTS.values():
        model_config(made_set((1, 1)), variant, {"face": 3, "voice": 3, "words": 3})


def test_the_table_compares_with_the_best_single_modality(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = made_set((1, 0.5))
    quick = replace(real, train=replace(real.train, num_epochs=3))
    for name in ("face only", "voice only", "concat"):
        for seed in (0, 1):
            run(quick, real_fusion.VARIANTS[name], seed, result_path(tmp_path, "made", name, seed))
    print_table("made", tmp_path, [0, 1])
    rows = [row.split(" | ") for row in capsys.readouterr().out.splitlines() if row.startswith("| ")]
    assert rows[0][3] == "more than face only"
    assert {row[0].strip("| ") for row in rows[2:]} == {"face only", "voice only", "concat"}
    assert [row[3].strip() == "" for row in rows[2:]] == [row[0] == "| face only" for row in rows[2:]]


def test_videos_of_mosi_are_in_order_and_in_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = [f"v{index}" for index in range(40) for _ in range(3)]
    (tmp_path / "mosi").mkdir()
    np.savez(
        tmp_path / "mosi" / "mosi.npz",
        video=videos,
        segment=[10, 2, 1] * 40,
        text=[f"TEXT {index}" for index in range(120)],
        sentiment=np.tile([3.0, -1.5, 0.0], 40),
        split=[("test" if index >= 90 else "train") for index in range(120)],
        bc_audio=np.ones((120, 4)),
    )
    encoded: Callable[[list[str]], np.ndarray] = lambda texts: np.array([[float(text[5:]) + 1] for text in texts])  # noqa: E731
    monkeypatch.setattr(real_fusion, "encoded_texts", encoded)
    real = mosi(tmp_path, tmp_path)
    (first,), (second,) = real.folds(0), real.folds(1)
    parts = [{piece.unit for piece in part} for part in (first.train, first.dev, first.test)]
    assert [len(part) for part in parts] == [18, 12, 10] and len(set.union(*parts)) == 40
    assert {piece.unit for piece in second.dev} != parts[1] and {piece.unit for piece in second.test} == parts[2]
    assert first.train[0].target[:, 0].tolist() == [0.0, -0.5, 1.0]
    assert np.diff(first.train[0].features["words"][:, 0]).tolist() == [-1, -1]


def test_halves_of_ravdess_have_as_many_women_as_men() -> None:
    halves = [half_of(actor) for actor in range(1, 25)]
    assert halves.count(0) == 12 and sum(half for actor, half in enumerate(halves, start=1) if actor % 2) == 6
