"""Take the two networks of pyannote's speaker-diarization-community-1 (CC BY 4.0) as ONNX, their weights in 8 bits.

    pip install pyelftools
    pip download --no-deps moonshine-voice==0.0.73
    unzip moonshine_voice-0.0.73-*.whl moonshine_voice/libmoonshine.so
    python recipes/speakers.py moonshine_voice/libmoonshine.so --out src/vatrace/weights

The library of moonshine-voice (MIT) for x86-64 Linux contains both networks in ONNX Runtime's own format. `speaker_turns.onnx`
finds up to three speakers in 10 s of audio, without knowing whether it heard them before. `speaker_embedding.onnx`, WeSpeaker's
ResNet34, maps speech to a vector; its pooling over time is replaced here by one that takes several sets of weights, so that one
pass over 10 s gives a vector for each speaker in them. The result is compared with the original on noise.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TURNS = ("segmentation_ort_data", "9715e3996ef181252aa1cc0c9398060f42b2c984c2fb65e3604262555e2efb1a")
EMBEDDING = ("embedding_ort_data", "6e4af7d49562e6e7042672e444d6394935cb2c23c3a7dd4919da45922b91735b")
"""The end of the symbol's name in the library, and the SHA-256 of its bytes."""
OPSET = 17
FEATURES = "/resnet/layer4/layer4.2/Relu_1_output_0"
"""The last features before the pooling: (1, 256, 10, F)."""
POOLED = "/resnet/pool/stats_pool/Squeeze_output_0"
"""The mean and the standard deviation of the features over time: (1, 2 * 2560)."""
NUM_FEATURES = 2560
STRIDE = 8
"""Frames of the input in one of the features."""
MIN_AGREEMENT = 0.99
"""Share of the decisions about a speaker and a frame that must be the original's."""
MAX_DIFFERENCE = 1e-3
"""By how much a value of the embedding may differ from the original's; they are between about -0.5 and 0.5."""


def networks(library: Path) -> dict[str, bytes]:
    """The two networks in a shared library, by the end of their symbol's name."""
    from elftools.elf.elffile import ELFFile

    found: dict[str, bytes] = {}
    with library.open("rb") as file:
        elf = ELFFile(file)
        symbols: Any = elf.get_section_by_name(".dynsym")
        for symbol in symbols.iter_symbols():
            for name, sha256 in (TURNS, EMBEDDING):
                if "embedded_community1" in symbol.name and symbol.name.endswith(f"{name}E"):
                    file.seek(next(iter(elf.address_offsets(symbol["st_value"]))))
                    found[name] = file.read(symbol["st_size"])
                    if hashlib.sha256(found[name]).hexdigest() != sha256:
                        raise SystemExit(f"{library}: {name} is not the network that was tested")
    if len(found) != 2:
        raise SystemExit(f"{library} doesn't contain the two networks")
    return found


def from_ort(data: bytes, name: str) -> onnx.ModelProto:
    """ONNX Runtime's own format as plain ONNX, with the operators of ONNX itself."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(target)
        options.add_session_config_entry("session.save_model_format", "ONNX")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        onnxruntime.InferenceSession(data, options)
        model = onnx.load(target)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    model.graph.name = name
    for node in model.graph.node:  # the checker wants names for the branches as well
        for attribute in node.attribute:
            if attribute.HasField("g"):
                attribute.g.name = attribute.name
    return model


def with_several_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace the pooling: inputs `fbank` (1, N, 80) and `weights` (S, F), F = ceil(N / 8); output `embedding` (S, 256).

    As in the original, the mean is weighted, and the variance is the unbiased one for such weights: the weighted squares
    over v1 - v2 / v1, where v1 is the sum of the weights and v2 the sum of their squares.
    """
    nodes = list(model.graph.node)
    start = next(index for index, node in enumerate(nodes) if FEATURES in node.output) + 1
    end = next(index for index, node in enumerate(nodes) if POOLED in node.output) + 1
    for name, values in {"flat_shape": [NUM_FEATURES, -1], "over_time": [1]}.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    for name, value in {"tiny": 1e-8, "zero": 0.0}.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    pooling = [
        helper.make_node("Reshape", [FEATURES, "flat_shape"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["values"], perm=[1, 0]),
        helper.make_node("ReduceSum", ["weights", "over_time"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "tiny"], ["v1"]),
        helper.make_node("MatMul", ["weights", "values"], ["total"]),
        helper.make_node("Div", ["total", "v1"], ["mean"]),
        helper.make_node("Mul", ["values", "values"], ["squares"]),
        helper.make_node("MatMul", ["weights", "squares"], ["total_squares"]),
        helper.make_node("Mul", ["mean", "total"], ["of_mean"]),
        helper.make_node("Sub", ["total_squares", "of_mean"], ["difference"]),
        helper.make_node("Max", ["difference", "zero"], ["spread"]),
        helper.make_node("Mul", ["weights", "weights"], ["squared_weights"]),
        helper.make_node("ReduceSum", ["squared_weights", "over_time"], ["v2"], keepdims=1),
        helper.make_node("Div", ["v2", "v1"], ["taken"]),
        helper.make_node("Sub", ["v1", "taken"], ["freedom"]),
        helper.make_node("Add", ["freedom", "tiny"], ["degrees"]),
        helper.make_node("Div", ["spread", "degrees"], ["variance"]),
        helper.make_node("Sqrt", ["variance"], ["deviation"]),
        helper.make_node("Concat", ["mean", "deviation"], [POOLED], axis=1),
    ]
    used = {name for node in nodes[:start] + nodes[end:] for name in node.input}
    used |= {name for node in pooling for name in node.input}
    weights = [tensor for tensor in model.graph.initializer if tensor.name in used]
    graph = helper.make_graph(
        [*nodes[:start], *pooling, *nodes[end:]],
        model.graph.name,
        [
            helper.make_tensor_value_info("fbank", TensorProto.FLOAT, [1, "frames", 80]),
            helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["speakers", "features"]),
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["speakers", 256])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=model.ir_version)


def check_turns(target: Path, data: bytes) -> None:
    """Compare the converted network with the original on two buzzes of different pitch, which it takes for speech."""
    import onnxruntime

    time = np.arange(160_000) / 16_000
    pitch = np.where(time % 4 < 2, 110, 220)
    buzz = sum(np.sin(2 * np.pi * pitch * k * time + k * np.sin(7 * time)) / k for k in range(1, 20))
    waves = (0.1 * buzz * (np.sin(8 * np.pi * time) > 0) * (time % 2 < 1.5)).astype(np.float32)[None, None]
    (ours,) = onnxruntime.InferenceSession(str(target)).run(None, {"waveforms": waves})
    (theirs,) = onnxruntime.InferenceSession(data).run(None, {"waveforms": waves})
    agree, active = float((ours == theirs).mean()), float(theirs.max(axis=-1).mean())
    print(f"{target.name}: {agree:.4f} of the decisions are the original's, which finds speech in {active:.2f} of the frames")
    if agree < MIN_AGREEMENT or not 0.1 < active < 0.9:
        raise SystemExit("that is too few")


def check_embedding(target: Path, data: bytes) -> None:
    """Compare the converted network, with three sets of weights at once, with the original, with one at a time."""
    import onnxruntime

    rng = np.random.default_rng(0)
    fbank = rng.standard_normal((1, 80 * STRIDE, 80)).astype(np.float32)
    weights = np.stack([np.ones(80), rng.random(80) < 0.5, np.arange(80) < 20]).astype(np.float32)
    (ours,) = onnxruntime.InferenceSession(str(target)).run(None, {"fbank": fbank, "weights": weights})
    original = onnxruntime.InferenceSession(data)
    feeds = [{"fbank": fbank, "weights": row.repeat(STRIDE)[None]} for row in weights]
    theirs = np.concatenate([original.run(None, feed)[0] for feed in feeds])
    difference = float(np.abs(ours - theirs).max())
    print(f"{target.name}: differs from the original by at most {difference:.1e}; the values reach {np.abs(theirs).max():.2f}")
    if difference > MAX_DIFFERENCE:
        raise SystemExit("that is too much")


def main() -> None:
    """Find the networks, check them, convert them, compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="libmoonshine.so from the wheel of moonshine-voice 0.0.73 for x86-64 Linux")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    args = parser.parse_args()
    found = networks(args.library)
    turns, embedding = found[TURNS[0]], found[EMBEDDING[0]]
    models = {
        "speaker_turns.onnx": from_ort(turns, "speaker_turns"),
        "speaker_embedding.onnx": with_several_weights(from_ort(embedding, "speaker_embedding")),
    }
    for name, model in models.items():
        onnx.checker.check_model(model)
        onnx.save(model, args.out / name)
    check_turns(args.out / "speaker_turns.onnx", turns)
    check_embedding(args.out / "speaker_embedding.onnx", embedding)


if __name__ == "__main__":
    main()
