"""The paper's face network, IR-ResNet-50, from the user's file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vatrace.encoders.state_dict import read_state_dict, set_torch_threads

if TYPE_CHECKING:
    from vatrace.encoders.networks.ir_resnet import IRResNet50

BATCH = 64


def load_ir50(path: Path) -> IRResNet50:
    """Load weights such as `res50_ir_0.887.pth` (MS-Celeb-1M, then FER+) without their classifier.

    Raises:
        CheckpointError: if the weights don't fit the network; the message names the first that don't.
    """
    from vatrace.encoders.networks.ir_resnet import IRResNet50

    network = IRResNet50()
    network.load_state_dict(read_state_dict(path, network, ignore=("logits.",)))
    return network.eval()


class IR50Encoder:
    """Turns face crops into embeddings.

    Args:
        path: file of the weights.
        threads: CPU threads.

    Raises:
        CheckpointError: if the weights don't fit the network.
        MissingExtraError: if PyTorch is not installed.
    """

    dim, crop_size = 512, 48

    def __init__(self, path: Path, threads: int = 1) -> None:
        set_torch_threads(threads)
        self._network = load_ir50(path)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 48, 48, 3) RGB 0..255 -> (N, 512), from the centre 40 x 40 of each crop, as in the paper's evaluation."""
        import torch

        margin = (crops.shape[1] - self._network.size) // 2
        centres = crops[:, margin : margin + self._network.size, margin : margin + self._network.size]
        faces = torch.from_numpy(np.ascontiguousarray(centres)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return torch.cat([self._network(part.float() / 127.5 - 1) for part in faces.split(BATCH)]).numpy()
