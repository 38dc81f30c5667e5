"""IR-ResNet-50, the face network of the paper: ArcFace's residual network on small crops (PyTorch)."""

from __future__ import annotations

from torch import Tensor, nn

STAGES = ((64, 3, 1), (128, 4, 2), (256, 14, 2), (512, 3, 2))
"""Channels, units and stride of the four stages. In ArcFace, the first stride is 2; it is 1 for these small crops."""


class Unit(nn.Module):
    """BN, 3 x 3, PReLU, 3 x 3, BN, and a shortcut: "improved residual" of Deng et al. 2019, arXiv 1801.07698."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if in_channels != out_channels:
            projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(projection, nn.BatchNorm2d(out_channels))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False),
            nn.PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H / stride, W / stride)."""
        return self.res_layer(x) + self.shortcut_layer(x)


class IRResNet50(nn.Module):
    """Turns colour face crops into embeddings.

    The names and shapes of its weights are those of the `res50_ir` files in use (MS-Celeb-1M, then FER+).
    """

    size, dim = 40, 512

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        units, channels = [], 64
        for width, count, stride in STAGES:
            for index in range(count):
                units.append(Unit(channels, width, stride if index == 0 else 1))
                channels = width
        self.body = nn.Sequential(*units)
        side = self.size // 8
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(channels * side * side, self.dim),
            nn.BatchNorm1d(self.dim),
        )

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 40, 40) RGB in -1..1 -> (B, 512) of length 1."""
        return nn.functional.normalize(self.output_layer(self.body(self.input_layer(faces))))

    def groups(self) -> list[list[nn.Module]]:
        """Its layers in three groups from the top: the last stage with the output, the third stage, and the rest."""
        ends = [0]
        for _, count, _ in STAGES:
            ends.append(ends[-1] + count)
        units = list(self.body)
        return [[self.output_layer, *units[ends[3] :]], units[ends[2] : ends[3]], [self.input_layer, *units[: ends[2]]]]
