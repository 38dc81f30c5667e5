from pathlib import Path

import numpy as np
import pytest
import torch

from vatrace.encoders.ir50 import IR50Encoder, load_ir50
from vatrace.encoders.networks.ir_resnet import IRResNet50
from vatrace.errors import CheckpointError


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights with the layout of `res50_ir_0.887.pth`."""
    torch.manual_seed(0)
    network = IRResNet50()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    content = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    content |= {"logits.weight": torch.zeros(8, 512), "logits.bias": torch.zeros(8)}
    path = tmp_path_factory.mktemp("ir50") / "res50_ir_0.887.pth"
    torch.save(content, path)
    return path


def test_names_and_shapes_are_those_of_the_files_in_use() -> None:
    shapes = {name: tuple(value.shape) for name, value in IRResNet50().state_dict().items()}
    assert shapes["input_layer.0.weight"] == (64, 3, 3, 3) and shapes["input_layer.2.weight"] == (64,)
    assert shapes["body.0.res_layer.1.weight"] == (64, 64, 3, 3) and "body.0.shortcut_layer.0.weight" not in shapes
    assert shapes["body.3.shortcut_layer.0.weight"] == (128, 64, 1, 1) and shapes["body.3.shortcut_layer.1.bias"] == (128,)
    assert shapes["body.23.res_layer.3.weight"] == (512, 512, 3, 3) and "body.24.res_layer.1.weight" not in shapes
    assert shapes["output_layer.3.weight"] == (512, 512 * 5 * 5) and shapes["output_layer.4.running_var"] == (512,)
    convolutions = sum(len(shape) == 4 for name, shape in shapes.items() if "shortcut" not in name)
    assert convolutions + 1 == 50  # with the linear layer: 50 layers


def test_the_encoder_is_the_network_on_the_centre_of_each_crop(weights: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3)).astype(np.uint8)
    found = IR50Encoder(weights)(crops)
    network = load_ir50(weights)
    with torch.no_grad():
        faces = torch.from_numpy(crops[:, 4:44, 4:44].copy()).permute(0, 3, 1, 2).float()
        expected = network((faces - 127.5) / 127.5)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    edges = crops.copy()
    edges[:, :4] = 0
    np.testing.assert_array_equal(IR50Encoder(weights)(edges), found)


def test_groups_are_all_layers_once_from_the_top() -> None:
    network = IRResNet50()
    groups = network.groups()
    assert len(groups) == 3
    listed = [id(value) for group in groups for module in group for value in module.parameters()]
    assert sorted(listed) == sorted(id(value) for value in network.parameters())
    assert groups[0][0] is network.output_layer and groups[2][0] is network.input_layer


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no weights", r"x\.pth: can't be read as PyTorch weights"),
        ({"state_dict": {"a": torch.zeros(1)}}, r"x\.pth: not the weights of IRResNet50: input_layer\.0\.weight is missing"),
        ([1, 2], r"x\.pth: not weights by name, but list"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "x.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=message):
        load_ir50(path)


def test_a_wrong_shape_is_named(weights: Path, tmp_path: Path) -> None:
    content = torch.load(weights)
    content["backbone.output_layer.3.weight"] = torch.zeros(512, 512 * 49)
    torch.save(content, tmp_path / "arcface.pth")
    with pytest.raises(CheckpointError, match=r"output_layer\.3\.weight has shape \(512, 25088\), not \(512, 12800\)"):
        load_ir50(tmp_path / "arcface.pth")
