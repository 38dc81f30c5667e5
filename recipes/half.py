"""Store the weights of a network in 16 bits, in place; Cast nodes, which run once when it is opened, restore 32 bits.

    python recipes/half.py src/vatrace/weights/streaming.onnx

The file becomes half as large, and is as fast as before. Rounding changes the weights by up to 0.05 %. The largest change of
valence and arousal, over random features of 300 steps, is printed; a file whose values change by LIMIT or more is left alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from vatrace.encoders import DEFAULT_ENCODERS
from vatrace.files import written_whole
from vatrace.inference.fusion import FusionModel

FEW = 256
"""Weights of fewer values, such as biases and norms, take hardly any space and stay in 32 bits."""
LIMIT = 0.002
"""A hundredth of the usual half-width of the 90 % intervals of live values."""


def halve(model: onnx.ModelProto, exact: bool) -> None:
    """Store weights in 16 bits.

    Args:
        model: the network, which is changed.
        exact: only those that 16 bits represent exactly, however few; otherwise all of FEW values or more.
    """
    casts = []
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32:
            continue
        half = values.astype(np.float16)
        if not (np.array_equal(half.astype(np.float32), values) if exact else values.size >= FEW):
            continue
        name, stored = weight.name, f"{weight.name}_half"
        weight.CopyFrom(onnx.numpy_helper.from_array(half, stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _values(path: Path, seed: int) -> NDArray[np.float64]:
    """Valence and arousal for random features, a third of which are missing."""
    model, generator = FusionModel(path, DEFAULT_ENCODERS, threads=1), np.random.default_rng(seed)
    features = {name: generator.normal(size=(300, dim)).astype(np.float32) for name, dim in model.dims.items()}
    valid = {name: np.repeat(generator.random(30) < 0.67, 10) for name in model.dims}
    return model.step(features, valid) if model.streams else model.run(features, valid)[-1]


def main() -> None:
    """Halve a file, and compare its values with those of the original."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fusion", type=Path)
    args = parser.parse_args()
    model = onnx.load(args.fusion)
    halve(model, exact=False)
    onnx.checker.check_model(model)
    with written_whole(args.fusion) as temporary:
        onnx.save(model, temporary)
        change = max(float(np.abs(_values(args.fusion, seed) - _values(temporary, seed)).max()) for seed in range(10))
        print(f"{args.fusion}: valence and arousal change by at most {change:.5f}")
        if change >= LIMIT:
            raise SystemExit(f"that is {LIMIT} or more: the file was not changed")


if __name__ == "__main__":
    main()
