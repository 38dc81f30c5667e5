"""Convert the first layers of Whisper tiny.en's encoder to ONNX: the frames that the voice network hears.

    python recipes/voice_frames.py --out src/vatrace/weights/voice_frames.onnx

The later layers turn sound into text, and how something is said fades (docs/model-card.md has the figures). The weights are
read from the package or folder in which Whisper is found, and stored in 8 bits. Less than a minute.
"""

from __future__ import annotations

import argparse
import struct
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from vatrace.weights import find_whisper

NUM_LAYERS = 2
NUM_HEADS, WIDTH = 6, 384
NUM_MELS, NUM_POSITIONS = 80, 1500
DTYPES = {0: np.float32, 4: np.float16}
"""CTranslate2's numbers for the types in this file."""


def tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """The floating-point tensors of a CTranslate2 model.bin by name (its format: `ctranslate2/specs/model_spec.py`)."""
    content, position = path.read_bytes(), 0

    def number(code: str) -> int:
        nonlocal position
        (value,) = struct.unpack_from("<" + code, content, position)
        position += struct.calcsize(code)
        return int(value)

    def text() -> str:
        nonlocal position
        length = number("H")
        position += length
        return content[position - length : position].rstrip(b"\0").decode()

    number("I"), text(), number("I")  # the versions and the name of the specification
    found = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        if kind in DTYPES:
            found[name] = np.frombuffer(content[position : position + size], DTYPES[kind]).reshape(shape).astype(np.float32)
        position += size
    return found


class FirstLayers(nn.Module):
    """The convolutions and the first layers of Whisper's encoder (Radford et al. 2022), on sound of any length up to 30 s.

    Args:
        weights: tensors of the model by CTranslate2's names.
        num_layers: number of layers that are kept.
    """

    def __init__(self, weights: dict[str, NDArray[np.float32]], num_layers: int = NUM_LAYERS) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.values = nn.ParameterDict()
        kept = ("conv", "position_encodings", *(f"layer_{index}/" for index in range(num_layers)))
        for name, value in weights.items():
            if (short := name.removeprefix("encoder/")).startswith(kept) and name != short and value.ndim:
                self.values[_key(short)] = nn.Parameter(torch.from_numpy(value.copy()), requires_grad=False)

    def forward(self, mels: Tensor) -> Tensor:
        """Log-mel frames (1, 80, 2 N), 100 a second -> (N, 384), 50 a second."""
        hidden = F.gelu(F.conv1d(mels, self._of("conv1/weight"), self._of("conv1/bias"), padding=1))
        hidden = F.gelu(F.conv1d(hidden, self._of("conv2/weight"), self._of("conv2/bias"), stride=2, padding=1))
        hidden = hidden.transpose(1, 2)
        hidden = hidden + self._of("position_encodings/encodings")[: hidden.shape[1]]
        for index in range(self.num_layers):
            hidden = hidden + self._attended(f"layer_{index}/self_attention/", hidden)
            name = f"layer_{index}/ffn/"
            inner = F.gelu(self._linear(name + "linear_0", self._normed(name, hidden)))
            hidden = hidden + self._linear(name + "linear_1", inner)
        return hidden[0]

    def _attended(self, name: str, hidden: Tensor) -> Tensor:
        whole = self._linear(name + "linear_0", self._normed(name, hidden))
        size = WIDTH // NUM_HEADS
        query, key, value = (part.unflatten(2, (NUM_HEADS, size)).transpose(1, 2) for part in whole.chunk(3, dim=-1))
        weight = (query @ key.transpose(2, 3) * size**-0.5).softmax(dim=-1)
        return self._linear(name + "linear_1", (weight @ value).transpose(1, 2).flatten(2))

    def _normed(self, name: str, hidden: Tensor) -> Tensor:
        gamma, beta = self._of(name + "layer_norm/gamma"), self._of(name + "layer_norm/beta")
        return F.layer_norm(hidden, (WIDTH,), gamma, beta)

    def _linear(self, name: str, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self._of(name + "/weight"), self._of(name + "/bias"))

    def _of(self, name: str) -> Tensor:
        return self.values[_key(name)]


def _key(name: str) -> str:
    """A parameter's name may contain no dots or slashes."""
    return name.replace("/", "__")


def in_few_bits(path: Path) -> None:
    """Store the weights of an ONNX file in 8 bits with one scale for each output, and the encodings of positions in 16."""
    model = onnx.load(str(path))
    graph, readers = model.graph, []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim < 2 or values.dtype != np.float32:
            continue
        name, stored = tensor.name, tensor.name + "_stored"
        if values.shape[0] == NUM_POSITIONS:
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
            readers.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
            continue
        outputs = 1 if values.ndim == 2 else 0  # (inputs, outputs) of a matrix, (outputs, inputs, kernel) of a convolution
        scales = np.abs(values).max(axis=tuple(axis for axis in range(values.ndim) if axis != outputs), keepdims=True) / 127
        tensor.CopyFrom(numpy_helper.from_array(np.round(values / scales).astype(np.int8), stored))
        graph.initializer.append(numpy_helper.from_array(scales.ravel().astype(np.float32), name + "_scales"))
        readers.append(helper.make_node("DequantizeLinear", [stored, name + "_scales"], [name], axis=outputs))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*readers, *nodes])
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def main() -> None:
    """Convert and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    layers = FirstLayers(tensors(find_whisper() / "model.bin")).eval()
    torch.onnx.export(
        layers,
        (torch.zeros(1, NUM_MELS, 400),),
        str(args.out),
        input_names=["mels"],
        output_names=["frames"],
        dynamic_axes={"mels": {2: "mels"}, "frames": {0: "frames"}},
        opset_version=20,
        dynamo=False,
    )
    in_few_bits(args.out)


if __name__ == "__main__":
    main()
