import pytest
import torch
import torch.nn.functional as F

from vatrace.models.memory import Memory
from vatrace.models.tcn import TCN, CausalConv


def test_a_convolution_is_the_printed_one() -> None:
    torch.manual_seed(0)
    layer = CausalConv(3, 4, kernel_size=5, dilation=2, dropout=0.0).eval()
    x = torch.randn(2, 20, 3)
    norms = layer.conv.parametrizations.weight
    direction, length = norms.original1, norms.original0  # weight normalisation: w = g v / |v|
    weight = length * direction / direction.flatten(1).norm(dim=1)[:, None, None, None]
    expected = F.leaky_relu(F.conv1d(F.pad(x.transpose(1, 2), (8, 0)), weight[:, :, 0], layer.conv.bias, dilation=2))
    memory = Memory()
    torch.testing.assert_close(layer(x, memory), expected.transpose(1, 2))
    memory.end_call()
    torch.testing.assert_close(memory.tensors, [x[:, -8:]])


def test_dropout_drops_whole_channels() -> None:
    torch.manual_seed(0)
    layer = CausalConv(3, 64, kernel_size=5, dilation=1, dropout=0.5).train()
    silent = (layer(torch.randn(1, 50, 3))[0] == 0).float().mean(dim=0)
    assert set(silent.tolist()) == {0.0, 1.0}
    assert 0.3 < silent.mean() < 0.7


@pytest.mark.parametrize(("num_levels", "kernel_size", "reach"), [(4, 5, 121), (2, 3, 13)])
def test_it_is_causal_with_the_printed_receptive_field(num_levels: int, kernel_size: int, reach: int) -> None:
    torch.manual_seed(0)
    tcn = TCN(3, 8, num_levels, kernel_size).eval()
    x = torch.randn(1, 200, 3, requires_grad=True)
    tcn(x, torch.ones(1, 200, dtype=torch.bool))[0, 150].sum().backward()
    assert x.grad is not None
    touched = torch.nonzero(x.grad[0].abs().sum(dim=1) > 0)[:, 0]
    assert touched.max() == 150
    assert touched.min() == 150 - (reach - 1)  # 2 (k - 1)(2^levels - 1) + 1 steps
