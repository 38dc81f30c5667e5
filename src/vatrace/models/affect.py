"""The model: a TCN for each modality, a fusion, and a head that gives valence and arousal at each step."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import torch
from pydantic import Field, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from vatrace.encoders import FEATURE_DIMS
from vatrace.models.fusions import Fusion, fusion_class, make_fusion
from vatrace.models.memory import Memory
from vatrace.models.norm import MaskedBatchNorm
from vatrace.models.tcn import TCN
from vatrace.names import check_modality, in_order

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Output = Literal["valence", "arousal"]
Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config={"extra": "forbid"})
class ModelConfig:
    """The config of a model. Unknown names and impossible values are refused.

    Attributes:
        feature_dims: channels of the features by modality. Modalities may have any name that `check_modality` accepts.
        widths: channels after the TCN by modality; 64 each by default.
        num_levels: number of levels of each TCN.
        kernel_size: steps in each convolution of a TCN.
        fusion: a name in `vatrace.models.fusions.FUSIONS`, or `package.module:Class`, which is imported.
        fusion_options: keyword arguments of the fusion's class, besides channels and dropout.
        head_dim: hidden channels of the head.
        dropout: dropout in the TCNs.
        fusion_dropout: dropout in the fusion and before the head's last layer.
        outputs: the predicted dimensions; the paper trains a separate model for each.
        residual: whether the prediction is a gated mean of predictions from each modality alone, plus a correction from the
            fusion, instead of coming from the fusion alone.

    Raises:
        ValueError: if a name is unknown or a value impossible.
        PluginError: if a fusion from outside can't be used.
    """

    feature_dims: dict[str, PositiveInt] = field(default_factory=lambda: dict(FEATURE_DIMS))
    widths: dict[str, PositiveInt] = field(default_factory=dict)
    num_levels: PositiveInt = 4
    kernel_size: PositiveInt = 5
    fusion: str = "recursive_cross_attention"
    fusion_options: dict[str, bool | int | float | str] = field(default_factory=dict)
    head_dim: PositiveInt = 256
    dropout: Share = 0.1
    fusion_dropout: Share = 0.3
    outputs: tuple[Output, ...] = ("valence", "arousal")
    residual: bool = False

    def __post_init__(self) -> None:
        if not self.feature_dims:
            raise ValueError("feature_dims must name at least one modality with its channels")
        for name in self.feature_dims:
            check_modality(name)
            if hasattr(nn.ModuleDict(), name) or hasattr(nn.ParameterDict(), name):
                raise ValueError(f"modality {name!r} has a name that PyTorch uses itself: rename it")
        if not self.widths:
            object.__setattr__(self, "widths", dict.fromkeys(self.feature_dims, 64))
        if set(self.widths) != set(self.feature_dims):
            raise ValueError(
                f"widths must be for {', '.join(self.feature_dims)}, like feature_dims, not {', '.join(self.widths)}"
            )
        if not self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"outputs must be valence, arousal, or both, each once, not {list(self.outputs)}")
        self._check_fusion_options()
        with torch.device("meta"):  # the fusion itself checks its options
            make_fusion(self.fusion, self.widths, self.fusion_dropout, self.fusion_options)

    def _check_fusion_options(self) -> None:
        fusion = fusion_class(self.fusion)
        hints, parameters = get_type_hints(fusion.__init__), dict(list(inspect.signature(fusion).parameters.items())[2:])
        any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        for name, value in self.fusion_options.items():
            if name not in parameters and not any_name:
                raise ValueError(f"fusion {self.fusion} has no option {name!r}; it has {', '.join(parameters) or 'none'}")
            try:
                TypeAdapter(hints.get(name, Any)).validate_python(value, strict=True)
            except ValidationError as error:
                raise ValueError(f"fusion_options.{name} {fault_text(error.errors()[0])}") from error

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities, always in the same order."""
        return in_order(self.feature_dims)


def fault_text(fault: ErrorDetails) -> str:
    """Describe a fault that Pydantic found, to follow the name of the value."""
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    if fault["type"] == "missing":
        return "is missing"
    message = fault["msg"].replace("Input should be", "must be").split(", unable")[0].split(", got")[0]
    return f"{message}, not {fault['input']!r}"


LEAD = 4.0
"""How far the gate's logit of the leading modality is above the others when a residual model starts from models of each
modality. Its weight is then 0.98 of two modalities and 0.96 of three, so that the others still have a gradient."""


class SingleHead(nn.Module):
    """The prediction of a residual model from one modality alone, before the tanh.

    Args:
        dim: channels of the modality's TCN.
        hidden_dim: hidden channels.
        num_outputs: number K of outputs.
        dropout: dropout before both layers.
    """

    def __init__(self, dim: int, hidden_dim: int, num_outputs: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, hidden_dim)
        self.norm = MaskedBatchNorm(hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_dim, num_outputs)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """X (B, T, D), valid (B, T) bool -> (B, T, K)."""
        hidden = nn.functional.leaky_relu(self.norm(self.hidden(self.dropout(x)), valid))
        return self.output(self.dropout(hidden))


class AffectModel(nn.Module):
    """Predicts valence and arousal at each step from features of several modalities on one grid.

    Where a modality is missing, a learned vector replaces it, and the step counts neither in attention nor in batch norm.
    Padding at the end of a recording is missing in all modalities, and doesn't change earlier steps.

    Args:
        config: the config.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = config.modalities
        dims = config.feature_dims
        for name in self.modalities:  # statistics of the training data, set by `standardise_by`
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
        self.fusion: Fusion = make_fusion(config.fusion, widths, config.fusion_dropout, config.fusion_options)
        self.hidden = nn.Linear(self.fusion.out_dim, config.head_dim)
        self.norm = MaskedBatchNorm(config.head_dim)
        self.dropout = nn.Dropout(config.fusion_dropout)
        self.output = nn.Linear(config.head_dim, len(config.outputs))
        if config.residual:
            num_outputs = len(config.outputs)
            self.single = nn.ModuleDict(
                {name: SingleHead(width, config.head_dim, num_outputs, config.fusion_dropout) for name, width in widths.items()}
            )
            self.gate = nn.Linear(config.head_dim, len(widths) * num_outputs)
            for layer in (self.gate, self.output):  # at first, the mean of the modalities present, and no correction
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    @property
    def causal(self) -> bool:
        """Whether no output depends on a later step, so that the model can stream."""
        return self.fusion.causal

    def standardise_by(self, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Set the mean and standard deviation (D,) of each modality's valid training features."""
        for name, (mean, deviation) in statistics.items():
            self.get_buffer(f"{name}_mean").copy_(mean)
            self.get_buffer(f"{name}_scale").copy_(1 / deviation.clamp(min=1e-3))

    def start_from(self, alone: Mapping[str, AffectModel], leaders: Sequence[str]) -> None:
        """Let a residual model start as the models of each modality alone. The correction is not changed.

        Args:
            alone: for each modality, a model of it alone with the fusion `concat` and otherwise the same config.
            leaders: for each output, the modality that the prediction follows at first wherever it is present.

        Raises:
            ValueError: if this model is not residual.
        """
        if not self.config.residual:
            raise ValueError("only a model with residual = true can start from models of one modality")
        for name, model in alone.items():
            self.tcn[name].load_state_dict(model.tcn[name].state_dict())
            self.single[name].hidden.load_state_dict(model.hidden.state_dict())
            self.single[name].norm.load_state_dict(model.norm.state_dict())
            self.single[name].output.load_state_dict(model.output.state_dict())
            for part in (f"{name}_mean", f"{name}_scale"):
                self.get_buffer(part).copy_(model.get_buffer(part))
            self.missing[name].data.copy_(model.missing[name].data)
        with torch.no_grad():
            leading = torch.tensor([[name == leader for leader in leaders] for name in self.modalities])
            self.gate.bias.copy_(LEAD * leading.flatten())

    def forward(self, features: Mapping[str, Tensor], valid: Mapping[str, Tensor], memory: Memory | None = None) -> Tensor:
        """Predict whole recordings or padded batches of them, or with a memory the next steps of a stream.

        In evaluation mode, a stream gives the same values as the whole recording, however it is cut.

        Args:
            features: (B, T, D_m) by modality, T >= 1; the values at missing steps don't matter.
            valid: (B, T) bool by modality.
            memory: the stream's memory, from `new_memory`; each call updates it for the next one.

        Returns:
            (B, T, K) in -1..1, in the order of `config.outputs`.

        Raises:
            ValueError: if a memory is given and the model is not causal.
        """
        if memory is not None:
            self._check_causal()
        encoded = self._encode(features, valid, memory)
        values = self._head(encoded, self.fusion(encoded, valid, memory), valid)
        if memory is not None:
            memory.end_call()
        return values

    def new_memory(self) -> Memory:
        """Make the memory of a new stream.

        Raises:
            ValueError: if the model is not causal.
        """
        self._check_causal()
        return Memory()

    def recursions(self, features: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> list[Tensor]:
        """The predictions after 0, 1, 2, ... recursions of the fusion, each (B, T, K); the last equals that of `forward`."""
        encoded = self._encode(features, valid)
        return [self._head(encoded, fused, valid) for fused in self.fusion.recursions(encoded, valid)]

    def _check_causal(self) -> None:
        if not self.causal:
            raise ValueError(f"fusion {self.config.fusion} is not causal with these options: it can't stream")

    def _encode(
        self, features: Mapping[str, Tensor], valid: Mapping[str, Tensor], memory: Memory | None = None
    ) -> dict[str, Tensor]:
        """The TCNs' features (B, T, D) by modality; the input of missing steps is the modality's learned vector."""
        encoded = {}
        for name in self.modalities:
            x = (features[name] - self.get_buffer(f"{name}_mean")) * self.get_buffer(f"{name}_scale")
            encoded[name] = self.tcn[name](torch.where(valid[name][:, :, None], x, self.missing[name]), valid[name], memory)
        return encoded

    def _head(self, encoded: Mapping[str, Tensor], fused: Tensor, valid: Mapping[str, Tensor]) -> Tensor:
        supported = torch.stack([valid[name] for name in self.modalities]).any(dim=0)
        hidden = self.dropout(nn.functional.leaky_relu(self.norm(self.hidden(fused), supported)))
        values = self.output(hidden)
        if self.config.residual:
            values = values + self._gated(encoded, hidden, valid)
        return torch.tanh(values)

    def _gated(self, encoded: Mapping[str, Tensor], hidden: Tensor, valid: Mapping[str, Tensor]) -> Tensor:
        """The gated mean (B, T, K) over the modalities present of the predictions from each alone; 0 without any."""
        alone = torch.stack([self.single[name](encoded[name], valid[name]) for name in self.modalities], dim=2)  # (B, T, M, K)
        present = torch.stack([valid[name] for name in self.modalities], dim=2)[..., None]
        logits = self.gate(hidden).unflatten(-1, (len(self.modalities), -1))
        weights = torch.softmax(logits.masked_fill(~present, -1e4), dim=2)  # finite, for steps without any modality
        return (weights * present.to(weights.dtype) * alone).sum(dim=2)
