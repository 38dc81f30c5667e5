"""Fusion models in ONNX files: which are refused, and how those that are not are run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from vatrace.encoders import DEFAULT_ENCODERS, EncoderSpec
from vatrace.errors import CheckpointError, ModelError
from vatrace.inference.fusion import FusionModel, open_fusion
from vatrace.models.affect import AffectModel, ModelConfig
from vatrace.training.export import add_metadata, export_onnx
from vatrace.weights import onnx_session, package_file
from vatrace.weights.external import external_files

DIMS = {"face": 128, "voice": 128, "words": 384}
FACTS = {"rate": 10, "win_len": 300}


@pytest.fixture(scope="module")
def concat(tmp_path_factory: pytest.TempPathFactory) -> tuple[AffectModel, Path, Path]:
    """An untrained model, its file for whole recordings, and that for a stream."""
    torch.manual_seed(0)
    model = AffectModel(ModelConfig(fusion="concat", feature_dims=DIMS, widths=dict.fromkeys(DIMS, 8))).eval()
    folder = tmp_path_factory.mktemp("concat")
    export_onnx(model, folder / "whole.onnx", metadata=FACTS)
    export_onnx(model, folder / "stream.onnx", streaming=True, metadata=FACTS)
    return model, folder / "whole.onnx", folder / "stream.onnx"


Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Write a small untrained model; the options are those of `ModelConfig`, `facts` its metadata."""

    def write(facts: dict[str, Any], **options: Any) -> Path:
        model = AffectModel(ModelConfig(**{"fusion": "concat"} | options))
        export_onnx(model, tmp_path / "model.onnx", metadata=facts)
        return tmp_path / "model.onnx"

    return write


def features(steps: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    vectors = {name: rng.normal(size=(steps, dim)).astype(np.float32) for name, dim in DIMS.items()}
    return vectors, {name: rng.random(steps) < 0.7 for name in DIMS}


def test_run_gives_what_the_network_gives(concat: tuple[AffectModel, Path, Path]) -> None:
    model, path, _ = concat
    vectors, valid = features(40)
    with torch.no_grad():
        expected = model(
            {name: torch.from_numpy(vector)[None] for name, vector in vectors.items()},
            {name: torch.from_numpy(mask)[None] for name, mask in valid.items()},
        )[0]
    found = open_fusion(path, streams=False, threads=1).run(vectors, valid)
    assert found.shape[1:] == (40, 2) and found.dtype == np.float64
    np.testing.assert_allclose(found[-1], expected.numpy(), atol=1e-5)


def test_a_stream_in_pieces_is_the_whole(concat: tuple[AffectModel, Path, Path]) -> None:
    _, whole, stream = concat
    vectors, valid = features(40)
    live = open_fusion(stream, streams=True, threads=1)
    parts = [
        live.step(*({name: values[start:stop] for name, values in given.items()} for given in (vectors, valid)))
        for start, stop in ((0, 1), (1, 13), (13, 40))
    ]
    found = open_fusion(whole, streams=False, threads=1).run(vectors, valid)[-1]
    np.testing.assert_allclose(np.concatenate(parts), found, atol=1e-5)


def test_a_modality_without_features_is_missing(concat: tuple[AffectModel, Path, Path]) -> None:
    fusion = open_fusion(concat[1], streams=False, threads=1)
    vectors, valid = features(20)
    masked = fusion.run(vectors, valid | {"voice": np.zeros(20, bool)})
    without = {name: values for name, values in vectors.items() if name != "voice"}
    unnamed = {name: mask for name, mask in valid.items() if name != "voice"}
    np.testing.assert_array_equal(fusion.run(without, unnamed), masked)
    assert np.abs(masked - fusion.run(vectors, valid)).max() > 1e-4


def test_the_packages_own_models_are_calibrated() -> None:
    for streams in (False, True):
        fusion = open_fusion(None, streams=streams, threads=1)
        assert fusion.streams == streams and fusion.rate == 10 and tuple(fusion.dims) == ("face", "voice", "words")
        assert fusion.half_widths and fusion.encoders == dict(DEFAULT_ENCODERS)
        assert fusion.name.startswith("streaming.onnx " if streams else "fusion.onnx ")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"model\.onnx: not a vatrace fusion model"):
        open_fusion(path, streams=False, threads=1)
    with pytest.raises(ModelError, match=r"none\.onnx: no such model file"):
        open_fusion(tmp_path / "none.onnx", streams=False, threads=1)


def test_a_model_without_its_facts_is_refused(export: Export) -> None:
    with pytest.raises(ModelError, match=r"model\.onnx: not a vatrace fusion model: its metadata has no win_len"):
        open_fusion(export({"rate": 10}), streams=False, threads=1)


def test_a_model_of_one_output_is_refused(export: Export) -> None:
    with pytest.raises(ModelError, match=r"model\.onnx: predicts valence, but valence,arousal is needed"):
        open_fusion(export(FACTS, outputs=("valence",)), streams=False, threads=1)


def test_a_model_of_the_other_kind_is_refused(concat: tuple[AffectModel, Path, Path]) -> None:
    _, whole, stream = concat
    with pytest.raises(ModelError, match=r"whole\.onnx: is for whole recordings, but one for a live stream is needed"):
        open_fusion(whole, streams=True, threads=1)
    with pytest.raises(ModelError, match=r"stream\.onnx: is for a live stream, but one for whole recordings is needed"):
        open_fusion(stream, streams=False, threads=1)


def test_a_model_that_was_trained_on_other_features_is_refused(export: Export) -> None:
    path = export(FACTS | {"encoders": '{"face": "ferplus-0123456789ab"}'})
    with pytest.raises(ModelError, match=r"trained on face features of ferplus-0123456789ab, .* the encoder here is ferplus-"):
        open_fusion(path, streams=False, threads=1)


def test_a_model_of_other_encoders_of_the_package_opens_with_them(export: Export) -> None:
    versions = {"voice": EncoderSpec("voice", "whisper").version}
    fusion = FusionModel(export(FACTS | {"encoders": json.dumps(versions)}, feature_dims=DIMS | {"voice": 384}), {}, 1)
    assert fusion.encoders["voice"] == EncoderSpec("voice", "whisper")
    assert fusion.encoders["face"] == DEFAULT_ENCODERS["face"]


def test_a_model_whose_width_no_encoder_gives_is_refused(export: Export) -> None:
    with pytest.raises(ModelError, match="needs 64 channels of face, but ferplus provides 128"):
        open_fusion(export(FACTS, feature_dims=DIMS | {"face": 64}), streams=False, threads=1)


def test_a_modality_that_cannot_be_perceived_has_no_encoder(export: Export) -> None:
    fusion = open_fusion(export(FACTS, feature_dims={"face": 128, "physiology": 5}), streams=False, threads=1)
    assert fusion.dims == {"face": 128, "physiology": 5} and list(fusion.encoders) == ["face"]


def test_values_that_are_no_numbers_are_refused(concat: tuple[AffectModel, Path, Path], tmp_path: Path) -> None:
    for path, streaming in zip(concat[1:], (False, True), strict=True):
        network = onnx.load(path)
        for weights in network.graph.initializer:  # as of a damaged file
            values = onnx.numpy_helper.to_array(weights)
            if values.dtype == np.float32:
                weights.CopyFrom(onnx.numpy_helper.from_array(np.full_like(values, np.nan), weights.name))
        onnx.save(network, tmp_path / path.name)
        with pytest.raises(ModelError, match=rf"^{path.name} .*: predicts values that are not numbers"):
            open_fusion(tmp_path / path.name, streams=streaming, threads=1)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"rate": 0}, "its rate is 0, but must be from 0.1 to 100 steps a second"),
        ({"rate": -10}, "its rate is -10"),
        ({"rate": 1e6}, "its rate is 1000000.0"),
        ({"rate": "nan"}, "its rate is nan"),
        ({"rate": "fast"}, "its metadata is damaged"),
        ({"win_len": 0}, "its win_len is 0"),
        ({"win_len": 1}, "its win_len is 1, but must be from 2"),
        ({"win_len": 10**12}, "its win_len is"),
        ({"encoders": "[1]"}, r"its encoders must be names by modality, not \[1\]"),
        ({"encoders": '{"face": 1}'}, "its encoders must be names"),
        ({"encoders": "[" * 100_000}, "its metadata is damaged"),
        ({"intervals": '{"face": [1]}'}, "its intervals must be two half-widths"),
        ({"intervals": '{"face": [NaN, 1]}'}, "its intervals must be two half-widths"),
        ({"intervals": '{"face": ["a", "b"]}'}, "its intervals must be two half-widths"),
        ({"intervals": "7"}, "its intervals must be two half-widths"),
    ],
)
def test_metadata_that_is_not_possible_is_refused(
    concat: tuple[AffectModel, Path, Path], tmp_path: Path, facts: dict[str, Any], message: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(concat[1].read_bytes())
    add_metadata(path, facts)
    with pytest.raises(ModelError, match=message) as error:
        open_fusion(path, streams=False, threads=1)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def changed(path: Path, target: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """A copy of an ONNX file with a change."""
    proto = onnx.load(path)
    change(proto)
    target.write_bytes(proto.SerializeToString())
    return target


def nan_weights(proto: onnx.ModelProto) -> None:
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims:
            tensor.raw_data = np.full(list(tensor.dims), np.nan, np.float32).tobytes()


def external(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret.bin")


def external_in_a_graph_of_a_node(proto: onnx.ModelProto) -> None:
    inner = onnx.GraphProto()
    inner.initializer.append(proto.graph.initializer[0])
    tensor = inner.initializer[0]
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="/etc/passwd")
    proto.graph.node[0].attribute.append(onnx.helper.make_attribute("body", inner))


def custom(proto: onnx.ModelProto) -> None:
    proto.opset_import.add(domain="evil", version=1)
    proto.graph.node[0].domain = "evil"


def other_dims(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 999_999_999


def open_dims(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "any"


def other_output(proto: onnx.ModelProto) -> None:
    for value in proto.graph.output:
        if value.name == "recursions":
            value.name = "values"


def claimed(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[:] = [1 << 40]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (nan_weights, "predicts values that are not numbers"),
        (external, r"keeps weights in another file \(\.\./\.\./secret\.bin\)"),
        (external_in_a_graph_of_a_node, "keeps weights in another file"),
        (custom, "not a vatrace fusion model"),
        (other_dims, "not a vatrace fusion model"),
        (open_dims, "not a vatrace fusion model: its inputs are"),
        (other_output, "not a vatrace fusion model|fails on 3 steps"),
        (claimed, "not a vatrace fusion model"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused_when_it_is_opened(
    concat: tuple[AffectModel, Path, Path], tmp_path: Path, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    path = changed(concat[1], tmp_path / "model.onnx", change)
    with pytest.raises(ModelError, match=message) as error:
        open_fusion(path, streams=False, threads=1)
    assert "model.onnx" in str(error.value) and "\n" not in str(error.value)


def test_weights_in_another_folder_are_refused_in_every_network(concat: tuple[AffectModel, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"refers to a file in another folder \('\.\./\.\./secret\.bin'\)"):
        onnx_session(changed(concat[1], tmp_path / "face.onnx", external))


def test_the_networks_of_the_package_are_whole_files() -> None:
    for path in sorted(package_file("fusion.onnx").parent.glob("*.onnx")):
        assert external_files(path) == []
