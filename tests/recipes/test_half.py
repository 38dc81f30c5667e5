"""Weights in 16 bits: which are stored so, and how little the outputs change."""

import numpy as np
import onnx
import onnxruntime

from half import FEW, halve


def network() -> onnx.ModelProto:
    """A matrix that 16 bits can't represent, one that they can, and a bias."""
    rng = np.random.default_rng(0)
    weights = {
        "first": rng.normal(size=(32, 32)).astype(np.float32),
        "bias": rng.normal(size=32).astype(np.float32),
        "second": rng.normal(size=(32, 4)).astype(np.float16).astype(np.float32),
    }
    make_node, value, kind = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    nodes = [
        make_node("MatMul", ["x", "first"], ["a"]),
        make_node("Add", ["a", "bias"], ["b"]),
        make_node("MatMul", ["b", "second"], ["y"]),
    ]
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = onnx.helper.make_graph(nodes, "g", [value("x", kind, ["n", 32])], [value("y", kind, ["n", 4])], stored)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def outputs(model: onnx.ModelProto) -> np.ndarray:
    onnx.checker.check_model(model)
    inputs = np.random.default_rng(1).normal(size=(100, 32)).astype(np.float32)
    return np.asarray(onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": inputs})[0])


def kinds(model: onnx.ModelProto) -> dict[str, type]:
    return {
        weight.name.removesuffix("_half"): onnx.numpy_helper.to_array(weight).dtype.type for weight in model.graph.initializer
    }


def test_exact_weights_change_nothing() -> None:
    model = network()
    before = outputs(model)
    halve(model, exact=True)
    assert kinds(model) == {"first": np.float32, "bias": np.float32, "second": np.float16}
    np.testing.assert_array_equal(outputs(model), before)


def test_other_weights_change_outputs_by_their_rounding() -> None:
    model = network()
    before, size = outputs(model), model.ByteSize()
    halve(model, exact=False)
    assert FEW > 128 and kinds(model) == {"first": np.float16, "bias": np.float32, "second": np.float32}
    assert 0.4 * size < model.ByteSize() < 0.7 * size
    change = np.abs(outputs(model) - before)
    assert 0 < change.max() < 2**-11 * 32 * np.abs(before).max()
