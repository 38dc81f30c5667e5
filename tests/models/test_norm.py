import pytest
import torch
from torch import nn

from vatrace.models.norm import MaskedBatchNorm


def test_with_all_steps_valid_it_is_batch_norm() -> None:
    torch.manual_seed(0)
    ours, reference = MaskedBatchNorm(5), nn.BatchNorm1d(5)
    everywhere = torch.ones(4, 7, dtype=torch.bool)
    for _ in range(3):
        x = torch.randn(4, 7, 5) * 3 + 1
        torch.testing.assert_close(ours(x, everywhere), reference(x.transpose(1, 2)).transpose(1, 2))
    torch.testing.assert_close(ours.running_mean, reference.running_mean)
    torch.testing.assert_close(ours.running_var, reference.running_var)
    x = torch.randn(2, 3, 5)
    torch.testing.assert_close(ours.eval()(x, everywhere[:2, :3]), reference.eval()(x.transpose(1, 2)).transpose(1, 2))


def test_missing_steps_do_not_count() -> None:
    torch.manual_seed(0)
    x, valid = torch.randn(3, 10, 5), torch.rand(3, 10) < 0.6
    masked, alone = MaskedBatchNorm(5), nn.BatchNorm1d(5)
    torch.testing.assert_close(masked(x, valid)[valid], alone(x[valid]))
    torch.testing.assert_close(masked.running_var, alone.running_var)


@pytest.mark.parametrize("num_valid", [0, 1])
def test_too_few_steps_leave_the_running_statistics(num_valid: int) -> None:
    norm = MaskedBatchNorm(2)
    valid = torch.arange(6).reshape(2, 3) < num_valid
    y = norm(torch.full((2, 3, 2), 4.0), valid)
    assert norm.running_mean.tolist() == [0, 0]
    assert norm.running_var.tolist() == [1, 1]
    torch.testing.assert_close(y, torch.full((2, 3, 2), 4.0), rtol=1e-4, atol=0)
