"""The model: a TCN for each modality, a fusion, and a head that gives valence and arousal at each step."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Literal, get_type_hints

import torch
from pydantic import Field, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from vatrace.encoders import FEATURE_DIMS
from vatrace.models.fusions import FUSIONS, Fusion
from vatrace.models.norm import MaskedBatchNorm
from vatrace.models.tcn import TCN
from vatrace.names import MODALITIES

Output = Literal["valence", "arousal"]
Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config={"extra": "forbid"})
class ModelConfig:
    """Sizes of the model. Unknown names and impossible values are refused.

    Attributes:
        feature_dims: channels of the encoder's features by modality; which modalities there are.
        widths: channels after the TCN by modality.
        num_levels: levels of each TCN.
        kernel_size: steps in each convolution of a TCN.
        fusion: name in `vatrace.models.fusions.FUSIONS`.
        fusion_options: what the fusion's class takes beside channels and dropout.
        head_dim: hidden channels of the head.
        dropout: dropout in the TCNs.
        fusion_dropout: dropout in the fusion and before the head's last layer.
        outputs: what comes out; the paper trains one model for each.
    """

    feature_dims: dict[str, PositiveInt] = field(default_factory=lambda: dict(FEATURE_DIMS))
    widths: dict[str, PositiveInt] = field(default_factory=lambda: dict.fromkeys(MODALITIES, 64))
    num_levels: PositiveInt = 4
    kernel_size: PositiveInt = 5
    fusion: str = "recursive_cross_attention"
    fusion_options: dict[str, bool | int | float | str] = field(default_factory=dict)
    head_dim: PositiveInt = 256
    dropout: Share = 0.1
    fusion_dropout: Share = 0.3
    outputs: tuple[Output, ...] = ("valence", "arousal")

    def __post_init__(self) -> None:
        if not self.feature_dims or not set(self.feature_dims) <= set(MODALITIES):
            raise ValueError(
                f"feature_dims is for some of {', '.join(MODALITIES)}, not {', '.join(self.feature_dims) or 'none'}"
            )
        if set(self.widths) != set(self.feature_dims):
            raise ValueError(
                f"widths must be for {', '.join(self.feature_dims)}, as feature_dims is, not {', '.join(self.widths)}"
            )
        if not self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"outputs must be valence, arousal, or both, each once, not {list(self.outputs)}")
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion must be one of {', '.join(FUSIONS)}, not {self.fusion!r}")
        fusion = FUSIONS[self.fusion]
        hints, options = get_type_hints(fusion.__init__), list(inspect.signature(fusion).parameters)[2:]
        for name, value in self.fusion_options.items():
            if name not in options:
                raise ValueError(f"fusion {self.fusion} has no option {name!r}; it has {', '.join(options) or 'none'}")
            try:
                TypeAdapter(hints[name]).validate_python(value, strict=True)
            except ValidationError as error:
                raise ValueError(f"{name}: {error.errors()[0]['msg']}, not {value!r}") from error
        with torch.device("meta"):  # it knows best which values go together
            fusion(self.widths, self.fusion_dropout, **self.fusion_options)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities, always in the same order."""
        return tuple(name for name in MODALITIES if name in self.feature_dims)


class AffectModel(nn.Module):
    """Features of face, voice and words on one grid to valence and arousal at each step.

    Where a modality is missing, a learned vector stands for it, and the step counts neither in attention nor in batch norm.
    Padding at the end of a recording is missing in all modalities, and changes nothing before it.

    Args:
        config: sizes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = config.modalities
        dims = config.feature_dims
        for name in self.modalities:  # standardisation with the statistics of the training data, set by `standardise_by`
            self.register_buffer(f"{name}_mean", torch.zeros(dims[name]))
            self.register_buffer(f"{name}_scale", torch.ones(dims[name]))
        widths = {name: config.widths[name] for name in self.modalities}
        self.missing = nn.ParameterDict({name: nn.Parameter(torch.zeros(dims[name])) for name in self.modalities})
        self.tcn = nn.ModuleDict(
            {
                name: TCN(dims[name], width, config.num_levels, config.kernel_size, config.dropout)
                for name, width in widths.items()
            }
        )
        self.fusion: Fusion = FUSIONS[config.fusion](widths, config.fusion_dropout, **config.fusion_options)
        self.hidden = nn.Linear(self.fusion.out_dim, config.head_dim)
        self.norm = MaskedBatchNorm(config.head_dim)
        self.dropout = nn.Dropout(config.fusion_dropout)
        self.output = nn.Linear(config.head_dim, len(config.outputs))

    @property
    def causal(self) -> bool:
        """Whether no output depends on a later step, so that `step` can be used."""
        return self.fusion.causal

    def standardise_by(self, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Set mean and standard deviation (D,) of each modality's valid training features."""
        for name, (mean, deviation) in statistics.items():
            self.get_buffer(f"{name}_mean").copy_(mean)
            self.get_buffer(f"{name}_scale").copy_(1 / deviation.clamp(min=1e-3))

    def forward(self, features: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        """Predict whole recordings, or padded batches of them.

        Args:
            features: (B, T, D_m) by modality, T >= 1; the values at missing steps don't matter.
            valid: (B, T) bool by modality.

        Returns:
            (B, T, K) in -1..1, the K of `config.outputs`.
        """
        encoded = {name: self.tcn[name](x, valid[name]) for name, x in self._standardised(features, valid).items()}
        return self._head(self.fusion(encoded, valid), valid)

    def recursions(self, features: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> list[Tensor]:
        """What the head makes of the features after 0, 1, 2, ... recursions, each (B, T, K); the last is that of `forward`."""
        encoded = {name: self.tcn[name](x, valid[name]) for name, x in self._standardised(features, valid).items()}
        return [self._head(fused, valid) for fused in self.fusion.recursions(encoded, valid)]

    def initial_state(self, batch_size: int) -> list[Tensor]:
        """What `step` remembers before the first step: zeros, of sizes that don't depend on how long a stream runs.

        Raises:
            ValueError: if the model is not causal.
        """
        if not self.causal:
            raise ValueError(f"{self.config.fusion} is not causal here: it can't stream (see its option `causal`)")
        state = [tensor for name in self.modalities for tensor in self.tcn[name].initial_state(batch_size)]
        return state + self.fusion.initial_state(batch_size)

    def step(
        self, features: Mapping[str, Tensor], valid: Mapping[str, Tensor], state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Predict the next T steps of a stream; in evaluation mode, the same values as `forward` gives for the whole.

        Args:
            features: (B, T, D_m) by modality, T >= 1.
            valid: (B, T) bool by modality.
            state: what the call before returned, or `initial_state`.

        Returns:
            (B, T, K) in -1..1, and the state for the next call.
        """
        parts, encoded, remembered = iter(state), {}, []
        for name, x in self._standardised(features, valid).items():
            encoded[name], new = self.tcn[name].step(x, valid[name], parts)
            remembered += new
        fused, new = self.fusion.step(encoded, valid, parts)
        return self._head(fused, valid), remembered + new

    def _standardised(self, features: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Standardised features, with the learned vector where there are none."""
        standardised = {}
        for name in self.modalities:
            x = (features[name] - self.get_buffer(f"{name}_mean")) * self.get_buffer(f"{name}_scale")
            standardised[name] = torch.where(valid[name][:, :, None], x, self.missing[name])
        return standardised

    def _head(self, fused: Tensor, valid: Mapping[str, Tensor]) -> Tensor:
        anything = torch.stack([valid[name] for name in self.modalities]).any(dim=0)
        hidden = nn.functional.leaky_relu(self.norm(self.hidden(fused), anything))
        return torch.tanh(self.output(self.dropout(hidden)))
