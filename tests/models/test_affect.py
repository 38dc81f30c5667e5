import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from vatrace.models.affect import LEAD, AffectModel, ModelConfig
from vatrace.models.losses import ccc_loss

CONFIG = ModelConfig(feature_dims={"face": 6, "voice": 10}, widths={"face": 16, "voice": 8}, head_dim=32, fusion="concat")


def test_standardisation_takes_the_given_statistics_out() -> None:
    torch.manual_seed(0)
    model = AffectModel(CONFIG).eval()
    features = {name: torch.randn(2, 30, dim) for name, dim in CONFIG.feature_dims.items()}
    valid = {name: torch.rand(2, 30) < 0.7 for name in features}
    with torch.inference_mode():
        before = model(features, valid)
        statistics = {name: (torch.full((dim,), 3.0), torch.full((dim,), 2.0)) for name, dim in CONFIG.feature_dims.items()}
        model.standardise_by(statistics)
        after = model({name: value * 2 + 3 for name, value in features.items()}, valid)
    torch.testing.assert_close(before, after, rtol=0, atol=1e-5)


def test_the_head_counts_steps_with_any_modality() -> None:
    torch.manual_seed(0)
    model = AffectModel(CONFIG).train()
    features = {name: torch.randn(2, 40, dim) for name, dim in CONFIG.feature_dims.items()}
    valid = {"face": torch.arange(40).expand(2, 40) < 10, "voice": (torch.arange(40) >= 20).expand(2, 40)}
    seen = []
    model.norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    model(features, valid)
    assert torch.equal(seen[0], valid["face"] | valid["voice"])


def test_one_output_for_models_of_valence_or_arousal_alone() -> None:
    model = AffectModel(ModelConfig(outputs=("arousal",))).eval()
    features = {name: torch.randn(1, 5, dim) for name, dim in model.config.feature_dims.items()}
    assert model(features, {name: torch.ones(1, 5, dtype=torch.bool) for name in features}).shape == (1, 5, 1)


def test_the_learned_vector_replaces_a_missing_modality() -> None:
    torch.manual_seed(0)
    model = AffectModel(CONFIG).eval()
    features = {name: torch.randn(1, 20, dim) for name, dim in CONFIG.feature_dims.items()}
    valid = {"face": torch.ones(1, 20, dtype=torch.bool), "voice": torch.zeros(1, 20, dtype=torch.bool)}
    with torch.inference_mode():
        before = model(features, valid)
        model.missing["voice"] += 1
        assert not torch.allclose(before, model(features, valid), atol=math.ulp(1.0))


def test_a_modality_of_any_name_streams_like_the_whole() -> None:
    torch.manual_seed(0)
    options = {"causal": True, "reach": 9}
    config = ModelConfig(feature_dims={"physiology": 5, "eye_2": 3, "face": 6}, fusion_options=options)
    assert config.widths == {"physiology": 64, "eye_2": 64, "face": 64}
    model = AffectModel(config).eval()
    assert model.modalities == ("face", "eye_2", "physiology")
    features = {name: torch.randn(2, 40, dim) for name, dim in config.feature_dims.items()}
    valid = {name: torch.rand(2, 40) < 0.7 for name in features}
    memory, parts = model.new_memory(), []
    with torch.inference_mode():
        whole = model(features, valid)
        for span in (slice(0, 1), slice(1, 15), slice(15, 40)):
            parts.append(model(*({name: x[:, span] for name, x in given.items()} for given in (features, valid)), memory))
        changed = model(features | {"physiology": features["physiology"] + 1}, valid)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-5)
    assert not torch.allclose(changed, whole, atol=1e-3)


RESIDUAL = replace(CONFIG, residual=True)


def alone(name: str, seed: int) -> AffectModel:
    """A model of one modality as if trained: no weight has its initial value."""
    torch.manual_seed(seed)
    config = replace(CONFIG, feature_dims={name: CONFIG.feature_dims[name]}, widths={name: CONFIG.widths[name]})
    model = AffectModel(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn_like(value))
        for value in model.buffers():
            value.add_(0.1 * torch.rand_like(value))
    return model


def test_a_residual_model_starts_as_its_leaders_and_as_the_others_where_they_are_missing() -> None:
    singles = {name: alone(name, seed) for seed, name in enumerate(CONFIG.feature_dims)}
    model = AffectModel(RESIDUAL).eval()
    model.start_from(singles, ["face", "voice"])
    features = {name: torch.randn(3, 40, dim) for name, dim in CONFIG.feature_dims.items()}
    valid = {name: torch.rand(3, 40) < 0.7 for name in features}
    with torch.inference_mode():
        found = torch.atanh(model(features, valid))
        single = {name: torch.atanh(one(features, valid)) for name, one in singles.items()}
    face, voice = valid["face"], valid["voice"]
    lead = 1 / (1 + math.exp(-LEAD))
    expected = torch.stack(
        [
            lead * single["face"][..., 0] + (1 - lead) * single["voice"][..., 0],
            (1 - lead) * single["face"][..., 1] + lead * single["voice"][..., 1],
        ],
        dim=-1,
    )
    torch.testing.assert_close(found[face & voice], expected[face & voice], rtol=0, atol=1e-4)
    torch.testing.assert_close(found[face & ~voice], single["face"][face & ~voice], rtol=0, atol=1e-4)
    torch.testing.assert_close(found[voice & ~face], single["voice"][voice & ~face], rtol=0, atol=1e-4)
    assert (found[~face & ~voice] == 0).all()


def test_a_residual_model_learns_to_correct_its_leaders() -> None:
    torch.manual_seed(0)
    model = AffectModel(RESIDUAL)
    model.start_from({name: alone(name, 0) for name in CONFIG.feature_dims}, ["face", "face"])
    features = {name: torch.randn(8, 30, dim) for name, dim in CONFIG.feature_dims.items()}
    valid = {name: torch.ones(8, 30, dtype=torch.bool) for name in features}
    target = torch.tanh(torch.stack([features["face"][..., 0] * features["voice"][..., 0], features["voice"][..., 1]], dim=-1))
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-2)
    for _ in range(200):
        loss = ccc_loss(target, model(features, valid))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        assert ccc_loss(target, model.eval()(features, valid)) < 0.1


def test_only_a_residual_model_starts_from_single_modalities() -> None:
    with pytest.raises(ValueError, match="residual = true"):
        AffectModel(CONFIG).start_from({name: alone(name, 0) for name in CONFIG.feature_dims}, ["face", "voice"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"feature_dims": {"face": 1, "Skin": 2}}, "lower-case letters, digits and _, starting with a letter, not 'Skin'"),
        ({"feature_dims": {"state_0": 2}}, "'state_0' is reserved"),
        ({"feature_dims": {"values": 2}}, "'values' is reserved"),
        ({"feature_dims": {"type": 2}}, "'type' has a name that PyTorch uses"),
        ({"feature_dims": {"copy": 2}}, "'copy' has a name that PyTorch uses"),
        ({"feature_dims": {}}, "at least one modality"),
        ({"widths": {"face": 1}}, "widths must be for face, voice, words"),
        ({"fusion": "magic"}, "fusion must be one of recursive_cross_attention, rcma"),
        ({"fusion": "lstm", "fusion_options": {"axis": "time"}}, "lstm has no option 'axis'; it has hidden_dim"),
        ({"outputs": ["dominance"]}, "valence"),
        ({"outputs": []}, "each once"),
        ({"outputs": ["valence", "valence"]}, "each once"),
        (
            {"fusion": "rcma", "fusion_options": {"causal": "false"}},
            "fusion_options.causal must be a valid boolean, not 'false'",
        ),
        ({"fusion": "rcma", "fusion_options": {"num_recursions": 0}}, "num_recursions must be at least 1"),
        ({"fusion_options": {"reach": 50.5}}, "reach must be a valid integer, not 50.5"),
        ({"fusion_options": {"num_heads": 0}}, "num_heads"),
        ({"dropout": 1.5}, "dropout"),
        ({"num_levels": 0}, "num_levels"),
        ({"heads": 3}, "heads"),
    ],
)
def test_config_refuses_unknown_names_and_impossible_values(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig(**wrong)
