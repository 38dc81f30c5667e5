"""Export a trained model to ONNX; the file is kept only if it agrees with PyTorch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from vatrace.errors import ModelError, missing
from vatrace.files import written_whole
from vatrace.models.affect import AffectModel
from vatrace.models.memory import Memory
from vatrace.weights import onnx_session

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
TOLERANCE = 1e-4
"""The largest difference between ONNX Runtime and PyTorch that is accepted."""
LENGTHS = (1, 17, 300, 1000)
"""Numbers of steps for which a whole-recording model is compared."""
CHUNKS = (1, 7, 64)
"""Numbers of steps per call for which a streaming model is compared."""


class _Whole(nn.Module):
    def __init__(self, model: AffectModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        results = self.model.recursions(*_by_name(self.model, inputs))
        return results[-1], torch.stack(results)


class _Stream(nn.Module):
    def __init__(self, model: AffectModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        num = len(self.model.modalities) + 1
        memory = Memory(inputs[num:])
        values = self.model(*_by_name(self.model, inputs[:num]), memory)
        return (values, *memory.tensors)


def _by_name(model: AffectModel, inputs: tuple[Tensor, ...]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    *features, valid = inputs
    names = model.modalities
    return dict(zip(names, features, strict=True)), {name: valid[:, :, i] for i, name in enumerate(names)}


def export_onnx(
    model: AffectModel, path: str | Path, *, streaming: bool = False, metadata: Mapping[str, object] | None = None
) -> None:
    """Write a model as ONNX, with any batch size and any number of steps.

    Inputs: features (B, T, D_m) float32 by the modalities' names, and `valid` (B, T, M) bool in the order of
    `model.modalities`. Outputs: `values` (B, T, K), and `recursions` (R + 1, B, T, K), the values after 0, 1, ..., R
    recursions.

    A streaming file has further inputs `state_0`, `state_1`, ...: zeros at first, then the outputs `next_state_0`, ... of the
    previous call. It has no `recursions`.

    The file's metadata contains `config` (JSON), `outputs` (comma-separated) and `metadata`. A fusion from outside the package
    is named in `config`; its code isn't needed to run the file.

    Args:
        model: the model; it is not changed.
        path: the file to write; replaced if it exists.
        streaming: whether to export the model with a memory, for streams.
        metadata: names and values to store in the file.

    Raises:
        ImportError: if onnx is not installed.
        ValueError: if streaming and the model is not causal.
        ModelError: if the values of ONNX Runtime differ from those of PyTorch by more than TOLERANCE.
    """
    try:
        import onnx
    except ImportError as error:
        raise missing("ONNX export needs onnx", "train") from error
    model = _plain_copy(model)
    state = _zero_state(model, 2) if streaming else []
    inputs = [*model.modalities, "valid", *(f"state_{i}" for i in range(len(state)))]
    outputs = ["values", *(f"next_state_{i}" for i in range(len(state)))] if streaming else ["values", "recursions"]
    axes = {name: {0: "batch"} if "state" in name else {0: "batch", 1: "steps"} for name in [*inputs, *outputs]}
    axes |= {"recursions": {1: "batch", 2: "steps"}} if not streaming else {}
    wrapped = (_Stream(model) if streaming else _Whole(model)).eval()  # the exporter restores the mode
    with written_whole(Path(path)) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the tracing exporter is deprecated
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            warnings.filterwarnings("ignore", "Constant folding|Exporting a model to ONNX with a batch_size")
            torch.onnx.export(
                wrapped,
                (*_inputs(model, 50), *state),
                str(temporary),
                input_names=inputs,
                output_names=outputs,
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
        proto = onnx.load(temporary)
        _keep_one_of_each(proto)
        facts = {**(metadata or {}), "config": json.dumps(asdict(model.config)), "outputs": ",".join(model.config.outputs)}
        onnx.helper.set_model_props(proto, {key: str(value) for key, value in facts.items()})
        onnx.save(proto, temporary)
        difference = _stream_difference(model, temporary) if streaming else _difference(model, temporary)
        if not difference <= TOLERANCE:
            raise ModelError(f"{path}: not written, because ONNX Runtime differs from PyTorch by {difference:.2g}")


def add_metadata(path: Path, metadata: Mapping[str, object]) -> None:
    """Add names and values to the metadata of an exported file; existing names are replaced."""
    import onnx

    proto = onnx.load(path)
    known = {prop.key: prop.value for prop in proto.metadata_props}
    onnx.helper.set_model_props(proto, known | {key: str(value) for key, value in metadata.items()})
    with written_whole(path) as temporary:
        onnx.save(proto, temporary)


def _keep_one_of_each(proto: ModelProto) -> None:
    """Keep one copy of weights that recursions share: the exporter writes one for each use."""
    from onnx import TensorProto

    graph, first, same = proto.graph, dict[bytes, str](), dict[str, str]()
    for node in graph.node:
        if node.op_type == "Constant":
            assert node.attribute[0].name == "value", node.attribute[0].name
            graph.initializer.append(node.attribute[0].t)
            graph.initializer[-1].name = node.output[0]
    constants = list(graph.initializer)
    del graph.initializer[:]
    for tensor in constants:
        content = TensorProto()
        content.CopyFrom(tensor)
        content.ClearField("name")
        kept = first.setdefault(content.SerializeToString(deterministic=True), tensor.name)
        same[tensor.name] = kept
        if kept == tensor.name:
            graph.initializer.append(tensor)
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    del graph.node[:]
    for node in nodes:
        node.input[:] = [same.get(name, name) for name in node.input]
        graph.node.append(node)


def _zero_state(model: AffectModel, batch_size: int) -> list[Tensor]:
    """The memory of a stream before its first step."""
    memory = model.new_memory()
    with torch.no_grad():
        model(*_by_name(model, _inputs(model, 1, batch_size)), memory)
    return [torch.zeros_like(tensor) for tensor in memory.tensors]


def _plain_copy(model: AffectModel) -> AffectModel:
    """A copy of the model with plain convolution weights, without weight normalisation."""
    with torch.random.fork_rng():  # the initial weights are not used and must not change the random state
        plain = AffectModel(model.config)  # copy.deepcopy would share the parametrizations that are removed below
    plain.load_state_dict(model.state_dict())
    for module in plain.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    return plain.eval()


def _inputs(model: AffectModel, steps: int, batch: int = 2) -> tuple[Tensor, ...]:
    """Random features with the mean and scale of the training features, and random validity."""
    generator = torch.Generator().manual_seed(steps)
    features = []
    for name in model.modalities:
        mean, scale = model.get_buffer(f"{name}_mean"), model.get_buffer(f"{name}_scale")
        features.append(mean + torch.randn(batch, steps, len(mean), generator=generator) / scale)
    return (*features, torch.rand(batch, steps, len(features), generator=generator) > 0.3)


def _difference(model: AffectModel, path: Path) -> float:
    """The largest difference between ONNX Runtime and PyTorch over LENGTHS."""
    session = onnx_session(path)
    names = [value.name for value in session.get_inputs()]
    differences = []
    for steps in LENGTHS:
        inputs = _inputs(model, steps, batch=1)
        with torch.inference_mode():
            expected = [value.numpy() for value in _Whole(model)(*inputs)]
        actual = session.run(["values", "recursions"], {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
        differences += [float(np.abs(a - b).max()) for a, b in zip(expected, actual, strict=True)]
    return max(differences)


def _stream_difference(model: AffectModel, path: Path) -> float:
    """The largest difference over CHUNKS between a stream in ONNX Runtime and the whole sequence in PyTorch."""
    session = onnx_session(path)
    names = [value.name for value in session.get_inputs()]
    inputs = _inputs(model, 200, batch=1)
    with torch.inference_mode():
        expected = model(*_by_name(model, inputs)).numpy()
    differences = []
    for chunk in CHUNKS:
        state = [tensor.numpy() for tensor in _zero_state(model, 1)]
        for start in range(0, expected.shape[1], chunk):
            parts = [x[:, start : start + chunk].numpy() for x in inputs]
            found, *state = session.run(None, dict(zip(names, [*parts, *state], strict=True)))
            differences.append(float(np.abs(found - expected[:, start : start + chunk]).max()))
    return max(differences)
