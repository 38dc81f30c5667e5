import numpy as np
import pytest
import torch

from vatrace.metrics import concordance_cc
from vatrace.models.losses import ccc_loss


def test_ccc_loss_is_one_minus_the_metric_over_valid_values() -> None:
    rng = np.random.default_rng(0)
    truth, prediction = rng.uniform(-1, 1, (2, 4, 50, 2))
    valid = rng.random((4, 50)) < 0.6
    prediction[~valid] = 1e3  # must not matter
    expected = np.mean([1 - concordance_cc(truth[valid][:, k], prediction[valid][:, k]) for k in range(2)])
    loss = ccc_loss(torch.tensor(truth), torch.tensor(prediction), torch.tensor(valid))
    assert loss.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("num_valid", [0, 1, 10])
def test_ccc_loss_of_constant_labels_is_finite_with_a_finite_gradient(num_valid: int) -> None:
    prediction = torch.zeros(1, 10, 2, requires_grad=True)
    valid = torch.arange(10)[None] < num_valid
    loss = ccc_loss(torch.zeros(1, 10, 2), prediction, valid)
    loss.backward()
    assert torch.isfinite(loss)
    assert prediction.grad is not None and torch.isfinite(prediction.grad).all()
