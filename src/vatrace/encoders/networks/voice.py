"""The voice network: attentive pooling over Whisper's encoder frames (PyTorch, for training and export)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VOICE_EMOTIONS = ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
"""RAVDESS's eight emotions, in the order of its file names and of the network's outputs."""

MAX_LOGIT = 4.0
"""Bound of the attention's logits: a frame has at most e^8 times the weight of another, so that sums over windows are exact."""


class AttentiveStatistics(nn.Module):
    """Weighted mean and standard deviation of the frames around each frame (Okabe et al. 2018).

    The weights are a softmax over the window of `reach` frames before and after. Since each logit depends on one frame only,
    the sums over all windows are moving averages.

    Args:
        channels: D, a multiple of `heads`.
        heads: number of groups of channels, each with its own weights.
        reach: number of frames before and after.
    """

    def __init__(self, channels: int, heads: int, reach: int) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.score = nn.Sequential(nn.Linear(channels, 64), nn.Tanh(), nn.Linear(64, heads))

    def forward(self, frames: Tensor, valid: Tensor, whole: bool = False) -> Tensor:
        """Frames (B, N, D) and their validity (B, N) bool -> (B, N, 2 D); if `whole`, (B, 1, 2 D) over all frames."""
        weight = torch.exp(MAX_LOGIT * torch.tanh(self.score(frames))) * valid[:, :, None].to(frames.dtype)
        weight = weight.repeat_interleave(frames.shape[-1] // self.heads, dim=-1)  # (B, N, D)
        total = self._mean(weight, whole).clamp_min(1e-6)
        mean = self._mean(weight * frames, whole) / total
        square = self._mean(weight * frames.square(), whole) / total
        return torch.cat([mean, (square - mean.square()).clamp_min(1e-4).sqrt()], dim=-1)

    def _mean(self, values: Tensor, whole: bool) -> Tensor:
        if whole:
            return values.mean(dim=1, keepdim=True)
        width = 2 * self.reach + 1
        return F.avg_pool1d(values.transpose(1, 2), width, stride=1, padding=self.reach).transpose(1, 2)


class VoiceNet(nn.Module):
    """Turns Whisper's frames into an embedding, eight emotion logits, and valence and arousal, at each frame.

    Args:
        in_channels: channels of the frames.
        channels: hidden channels.
        embedding_dim: size of the embedding, the input of the fusion.
        heads: number of heads of the attention.
        reach: number of frames before and after that are pooled; 75 are 1.5 s.
        dropout: dropout on frames, and on the embedding before the outputs.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        in_channels: int = 384,
        channels: int = 192,
        embedding_dim: int = 128,
        heads: int = 4,
        reach: int = 75,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(in_channels))
        self.register_buffer("scale", torch.ones(in_channels))
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(in_channels, channels), nn.LayerNorm(channels), nn.GELU())
        self.pool = AttentiveStatistics(channels, heads, reach)
        self.embed = nn.Sequential(nn.Linear(2 * channels, embedding_dim), nn.LayerNorm(embedding_dim), nn.GELU())
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(embedding_dim, len(VOICE_EMOTIONS))
        self.regressor = nn.Linear(embedding_dim, 2)

    def forward(self, frames: Tensor, valid: Tensor, whole: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Encode the frames of a stretch of speech.

        Args:
            frames: (B, N, 384), 50 a second.
            valid: (B, N) bool; False in padding.
            whole: whether all frames are pooled together, for training on stretches no longer than the window.

        Returns:
            The embedding (B, N, embedding_dim), emotion logits (B, N, 8), and valence and arousal (B, N, 2) in -1..1 at each
            frame, from the frames around it; if `whole`, N is 1.
        """
        embedding = self.embed(self.pool(self.project((frames - self.mean) / self.scale), valid, whole))
        dropped = self.dropout(embedding)
        return embedding, self.classifier(dropped), torch.tanh(self.regressor(dropped))
