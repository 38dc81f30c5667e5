import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from made_plugins import MINE, add_module
from vatrace.errors import ModelError
from vatrace.models.affect import AffectModel, ModelConfig
from vatrace.training import export
from vatrace.training.export import add_metadata, export_onnx
from vatrace.weights import onnx_session

DIMS = {"physiology": 5, "face": 6}
CAUSAL = ModelConfig(feature_dims=DIMS, num_levels=2, fusion_options={"causal": True, "reach": 9})


def names(path: Path) -> tuple[list[str], list[str]]:
    session = onnx_session(path)
    return [value.name for value in session.get_inputs()], [value.name for value in session.get_outputs()]


def test_inputs_and_outputs_of_a_whole_recording(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = AffectModel(CAUSAL).eval()
    export_onnx(model, tmp_path / "model.onnx")
    assert names(tmp_path / "model.onnx") == (["face", "physiology", "valid"], ["values", "recursions"])
    features = {name: torch.randn(3, 23, dim) for name, dim in DIMS.items()}
    valid = torch.rand(3, 23, 2) < 0.7
    with torch.inference_mode():
        expected = model(features, {"face": valid[:, :, 0], "physiology": valid[:, :, 1]})
    inputs = {name: x.numpy() for name, x in features.items()} | {"valid": valid.numpy()}
    values, recursions = onnx_session(tmp_path / "model.onnx").run(None, inputs)
    np.testing.assert_allclose(values, expected, atol=1e-5)
    np.testing.assert_allclose(recursions[-1], expected, atol=1e-5)
    assert recursions.shape == (3, 3, 23, 2)


def test_inputs_and_outputs_of_a_stream(tmp_path: Path) -> None:
    export_onnx(AffectModel(CAUSAL), tmp_path / "stream.onnx", streaming=True)
    inputs, outputs = names(tmp_path / "stream.onnx")
    # 2 modalities x 4 convolutions; 2 recursions x 2 pairs x keys, values and validity
    assert inputs == ["face", "physiology", "valid", *(f"state_{i}" for i in range(20))]
    assert outputs == ["values", *(f"next_state_{i}" for i in range(20))]


def test_a_model_that_is_not_causal_has_no_streaming_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not causal"):
        export_onnx(AffectModel(ModelConfig()), tmp_path / "stream.onnx", streaming=True)
    assert list(tmp_path.iterdir()) == []


def test_metadata_is_kept_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(AffectModel(CAUSAL), path, metadata={"rate": 10})
    add_metadata(path, {"rate": 25, "name": "a"})
    facts = onnx_session(path).get_modelmeta().custom_metadata_map
    assert (facts["rate"], facts["name"], facts["outputs"]) == ("25", "a", "valence,arousal")
    config = json.loads(facts["config"])
    assert ModelConfig(**config | {"outputs": tuple(config["outputs"])}) == CAUSAL


@pytest.mark.parametrize("streaming", [False, True])
def test_a_file_that_differs_from_pytorch_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool) -> None:
    keep = export._keep_one_of_each

    def spoil(proto: onnx.ModelProto) -> None:
        keep(proto)
        for tensor in proto.graph.initializer:
            if tensor.dims == [2] and tensor.data_type == onnx.TensorProto.FLOAT:  # the bias of the output
                tensor.raw_data = np.float32([0.5, 0.5]).tobytes()

    monkeypatch.setattr(export, "_keep_one_of_each", spoil)
    with pytest.raises(ModelError, match=r"model\.onnx: not written, because ONNX Runtime differs from PyTorch by 0\."):
        export_onnx(AffectModel(CAUSAL), tmp_path / "model.onnx", streaming=streaming)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("streaming", [False, True])
def test_a_fusion_from_outside_is_named_in_the_file_and_not_needed_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    add_module(tmp_path, monkeypatch)
    path = tmp_path / "model.onnx"
    export_onnx(AffectModel(ModelConfig(feature_dims={"face": 6}, fusion=MINE)), path, streaming=streaming)
    run = (
        "import json, sys; from pathlib import Path; from vatrace.weights import onnx_session; import numpy as np\n"
        "session = onnx_session(Path(sys.argv[1]))\n"
        "state = {x.name: np.zeros((1, *x.shape[1:]), np.float32) for x in session.get_inputs() if x.name[:6] == 'state_'}\n"
        "inputs = {'face': np.ones((1, 4, 6), np.float32), 'valid': np.ones((1, 4, 1), bool)}\n"
        "assert np.isfinite(session.run(['values'], inputs | state)[0]).all()\n"
        "assert 'torch' not in sys.modules\n"
        "print(json.loads(session.get_modelmeta().custom_metadata_map['config'])['fusion'])\n"
    )
    result = subprocess.run([sys.executable, "-c", run, str(path)], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == MINE, result.stderr
