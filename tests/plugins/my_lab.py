"""What a laboratory might add to vatrace: a face encoder, a fusion and a reader of its own corpora."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vatrace.corpora.corpus import Annotation, Corpus, Source
from vatrace.models.fusions import Fusion


class Brightness:
    """The mean brightness of each colour of a face, and its contrast."""

    dim = 4
    crop_size = 48

    def __init__(self, path: Path | None, threads: int) -> None:
        assert path is None

    def __call__(self, crops: NDArray[np.uint8], /) -> NDArray[np.float32]:
        values = crops.astype(np.float32) / 255
        return np.concatenate([values.mean(axis=(1, 2)), values.std(axis=(1, 2, 3))[:, None]], axis=1)


class Sum(Fusion):
    """The sum of projections of the modalities."""

    def __init__(self, dims: dict[str, int], dropout: float, *, width: int = 6) -> None:
        super().__init__()
        self.out_dim = width
        self.project = nn.ModuleDict({name: nn.Linear(dim, width) for name, dim in dims.items()})

    def forward(self, features: dict[str, Tensor], valid: dict[str, Tensor], memory: Any = None) -> Tensor:
        return torch.stack([layer(features[name]) for name, layer in self.project.items()]).sum(dim=0)


class Sessions:
    """A reader: recordings are SESSION/video.mp4, with one rating of the whole in SESSION/rating.txt."""

    def __call__(self, root: Path, /) -> Corpus | None:
        ratings = {path.parent.name: path for path in sorted(root.glob("*/rating.txt"))}
        if not ratings:
            return None

        def annotations(source: Source, times: NDArray[np.float64]) -> list[Annotation]:
            valence, arousal = map(float, ratings[source.name].read_text().split())
            return [Annotation("", times, np.tile([valence, arousal], (len(times), 1)))]

        sources = tuple(Source(name, path.with_name("video.mp4")) for name, path in ratings.items())
        return Corpus(root, "sessions", sources, annotations, lag=0.0)
