"""The model: a TCN for each modality, recursive cross-modal attention, and a head that gives valence and arousal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vatrace.encoders import FEATURE_DIMS
from vatrace.models.rcma import RCMA
from vatrace.models.tcn import TCN
from vatrace.prediction import MODALITIES


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the model.

    Attributes:
        feature_dims: channels of the encoder's features by modality.
        dim: channels after each TCN.
        num_levels: levels of each TCN.
        kernel_size: steps in each convolution of a TCN.
        num_recursions: recursions of the cross-modal attention (printed best: 3).
        head_dim: hidden channels of the head.
        dropout: dropout in the TCNs.
        attention_dropout: dropout on each recursion's update and before the head.
    """

    feature_dims: dict[str, int] = field(default_factory=lambda: dict(FEATURE_DIMS))
    dim: int = 64
    num_levels: int = 4
    kernel_size: int = 5
    num_recursions: int = 3
    head_dim: int = 256
    dropout: float = 0.1
    attention_dropout: float = 0.3

    def __post_init__(self) -> None:
        if sorted(self.feature_dims) != sorted(MODALITIES):
            raise ValueError(f"feature_dims must name {', '.join(MODALITIES)}, not {', '.join(self.feature_dims)}")


class AffectModel(nn.Module):
    """Features of face, voice and words on one grid to valence and arousal at each step.

    Missing steps carry a learned token into the TCN, and are left out of the attention's sums.

    Args:
        config: sizes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dims = config.feature_dims
        for name in MODALITIES:  # standardisation with the statistics of the training data, set by `standardise_by`
            self.register_buffer(f"{name}_mean", torch.zeros(dims[name]))
            self.register_buffer(f"{name}_scale", torch.ones(dims[name]))
        self.missing = nn.ParameterDict({name: nn.Parameter(torch.zeros(dims[name])) for name in MODALITIES})
        self.tcn = nn.ModuleDict(
            {name: TCN(dims[name], config.dim, config.num_levels, config.kernel_size, config.dropout) for name in MODALITIES}
        )
        self.fusion = RCMA(MODALITIES, config.dim, config.num_recursions, config.attention_dropout)
        self.hidden = nn.Linear(config.dim * len(MODALITIES), config.head_dim)
        self.norm = nn.BatchNorm1d(config.head_dim)
        self.dropout = nn.Dropout(config.attention_dropout)
        self.output = nn.Linear(config.head_dim, 2)

    def standardise_by(self, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Set mean and standard deviation (D,) of each modality's valid training features."""
        for name, (mean, deviation) in statistics.items():
            self.get_buffer(f"{name}_mean").copy_(mean)
            self.get_buffer(f"{name}_scale").copy_(1 / deviation.clamp(min=1e-3))

    def forward(self, features: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        """Predict.

        Args:
            features: (B, T, D_m) by modality; the values at missing steps don't matter.
            valid: (B, T) bool by modality.

        Returns:
            (B, T, 2) valence and arousal in -1..1.
        """
        encoded, weights = {}, {}
        for name in MODALITIES:
            x = (features[name] - self.get_buffer(f"{name}_mean")) * self.get_buffer(f"{name}_scale")
            x = torch.where(valid[name][:, :, None], x, self.missing[name])
            encoded[name], weights[name] = self.tcn[name](x), valid[name].to(x.dtype)
        fused = self.fusion(encoded, weights)
        hidden = self.hidden(torch.cat([fused[name] for name in MODALITIES], dim=-1))
        hidden = nn.functional.leaky_relu(self.norm(hidden.transpose(1, 2)).transpose(1, 2))
        return torch.tanh(self.output(self.dropout(hidden)))
