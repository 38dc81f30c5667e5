import pytest

from vatrace.models.affect import AffectModel, ModelConfig
from vatrace.models.backbone import BackboneConfig, EndToEndModel


def test_the_groups_are_released_at_their_epochs() -> None:
    affect = AffectModel(ModelConfig(feature_dims={"face": 512}, widths={"face": 8}, fusion="concat"))
    model = EndToEndModel(affect, BackboneConfig("ir50", "x", (2, 4)))
    sizes = [sum(value.numel() for module in group for value in module.parameters()) for group in model.backbone.groups()]
    for epochs, expected in ((0, 0), (1, 0), (2, sizes[0]), (3, sizes[0]), (4, sizes[0] + sizes[1]), (99, sizes[0] + sizes[1])):
        model.release(epochs)
        assert sum(value.numel() for value in model.backbone.parameters() if value.requires_grad) == expected
    model.train()
    assert not any(module.training for module in model.backbone.modules()) and model.affect.training
    with pytest.raises(ValueError, match=r"feature_dims\.face"):
        EndToEndModel(
            AffectModel(ModelConfig(feature_dims={"face": 9}, widths={"face": 8}, fusion="concat")), model.backbone_config
        )
