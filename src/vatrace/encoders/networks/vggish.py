"""VGGish, the voice network of the paper (PyTorch): Hershey et al. 2017, arXiv 1609.09430."""

from __future__ import annotations

from torch import Tensor, nn

STAGES: tuple[tuple[int, ...], ...] = ((64,), (128,), (256, 256), (512, 512))
"""Channels of the convolutions before each pooling."""


class VGGish(nn.Module):
    """Turns log-mel patches into embeddings. Names and shapes of its weights are those of the public PyTorch conversion."""

    dim = 128

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for stage in STAGES:
            for width in stage:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(channels * 6 * 4, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, self.dim),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """(B, 96, 64) log-mel -> (B, 128).

        This is the output of the last layer, as the paper's authors use it; the published network applies a ReLU, then rotates
        and quantises.
        """
        maps = self.features(patches[:, None])  # (B, 512, 6, 4)
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))  # TensorFlow's order: channels last
