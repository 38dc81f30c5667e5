import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from networks import move_weights
from vatrace.encoders import EncoderSpec, parse_encoders
from vatrace.encoders.onnx import OnnxFaceEncoder
from vatrace.errors import CheckpointError

DOCS = Path(__file__).parents[2] / "docs" / "encoders.md"
KERNELS = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)
STATED = {"mean": "127.5", "scale": "0.0078125"}


def write_net(
    path: Path,
    metadata: dict[str, str] | None = None,
    shape: tuple[int | str, ...] = ("n", 3, 20, 20),
    outputs: tuple[str, ...] = ("embedding",),
) -> Path:
    """A convolution averaged over the image, (N, 5); a second output is the maximum, a third the maps (N, 5, H, W)."""
    last = shape[3] == 3
    nodes = [helper.make_node("Transpose", ["image"], ["faces"], perm=[0, 3, 1, 2])] if last else []
    nodes += [
        helper.make_node("Conv", ["faces" if last else "image", "kernels"], ["maps"]),
        helper.make_node("ReduceMean", ["maps", "axes"], ["embedding"], keepdims=0),
        helper.make_node("ReduceMax", ["maps", "axes"], ["maximum"], keepdims=0),
    ]
    constants = [numpy_helper.from_array(KERNELS, "kernels"), numpy_helper.from_array(np.array([2, 3]), "axes")]
    found = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *["x"] * (3 if name == "maps" else 1)]) for name in outputs
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    model = helper.make_model(
        helper.make_graph(nodes, "net", [image], found, constants), opset_imports=[helper.make_opsetid("", 18)]
    )
    model.ir_version = 10
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


def expected(crops: NDArray[np.uint8], mean: object, scale: object) -> NDArray[np.float64]:
    """The network written a second time, from the means of shifted images."""
    images = (crops.astype(np.float64) - np.asarray(mean)) * np.asarray(scale)
    side = crops.shape[1] - 2
    means = [[images[:, i : i + side, j : j + side].mean(axis=(1, 2)) for j in range(3)] for i in range(3)]  # (3, 3, N, 3)
    return np.einsum("ijnc,kcij->nk", np.array(means), KERNELS)


@pytest.fixture
def crops() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (70, 20, 20, 3)).astype(np.uint8)


@pytest.mark.parametrize("shape", [("n", 3, 20, 20), (1, 3, 20, 20), ("n", 20, 20, 3)])
def test_crops_are_prepared_as_the_metadata_states(
    tmp_path: Path, crops: NDArray[np.uint8], shape: tuple[int | str, ...]
) -> None:
    metadata = {"mean": "[120, 110.5, 100]", "scale": "[0.01, 0.02, 0.03]"}
    encoder = OnnxFaceEncoder(write_net(tmp_path / "net.onnx", metadata, shape))
    assert (encoder.crop_size, encoder.dim) == (20, 5)
    found = encoder(crops)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(crops, [120, 110.5, 100], [0.01, 0.02, 0.03]), atol=1e-4)


def test_the_toml_of_the_documentation_is_read(tmp_path: Path) -> None:
    write_net(tmp_path / "affectnet.onnx", STATED, ("n", 3, "s", "s"), ("maximum", "embedding"))
    (toml,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "affectnet.toml").write_text(toml)
    spec = parse_encoders(f"face=onnx:{tmp_path / 'affectnet.toml'}")["face"]
    encoder = spec.build(1)
    assert (encoder.crop_size, spec.dim) == (112, 5)
    crops = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3)).astype(np.uint8)
    np.testing.assert_allclose(encoder(crops), expected(crops, [123.7, 116.3, 103.5], 0.0171), atol=1e-4)


def test_the_metadata_of_the_documentation_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_net(tmp_path / "affectnet.onnx", None, ("n", 3, "s", "s"))
    codes = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(next(code for code in codes if "set_model_props" in code), {})
    encoder = OnnxFaceEncoder(Path("affectnet-112.onnx"))
    assert encoder.crop_size == 112
    crops = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3)).astype(np.uint8)
    np.testing.assert_allclose(encoder(crops), expected(crops, 127.5, 0.0078431), atol=1e-4)


def test_the_version_follows_the_toml_and_the_network(tmp_path: Path) -> None:
    net, toml = write_net(tmp_path / "net.onnx"), tmp_path / "net.toml"
    versions = []
    for mean, metadata in ((1, {}), (2, {}), (2, {"changed": "1"})):
        toml.write_text(f'model = "net.onnx"\nmean = {mean}\nscale = 1\n')
        write_net(net, metadata)
        versions.append(EncoderSpec("face", "onnx", toml).version)
    for factor in (1.0, 2.0):
        move_weights(net, factor)
        versions.append(EncoderSpec("face", "onnx", toml).version)
    assert len(set(versions)) == 5 and all(version.startswith("onnx-") for version in versions)


@pytest.mark.parametrize(
    ("metadata", "shape", "outputs", "message"),
    [
        ({}, ("n", 3, 20, 20), ("embedding",), "mean and scale not stated"),
        ({"mean": "0"}, ("n", 3, 20, 20), ("embedding",), "scale not stated"),
        (
            STATED | {"mean": "[1, 2]"},
            ("n", 3, 20, 20),
            ("embedding",),
            r"mean must be a number or a list of three, not \[1, 2\]",
        ),
        (
            STATED | {"scale": "1/255"},
            ("n", 3, 20, 20),
            ("embedding",),
            "scale in the metadata is not a number or a list: '1/255'",
        ),
        (STATED, ("n", 3, "s", "s"), ("embedding",), "crop_size not stated"),
        (STATED | {"crop_size": "48"}, ("n", 3, 20, 20), ("embedding",), "crop_size is 48, but the network takes 20 pixels"),
        (
            STATED | {"crop_size": "2.5"},
            ("n", 3, "s", "s"),
            ("embedding",),
            "crop_size must be a whole number of pixels, not 2.5",
        ),
        (STATED | {"crop_size": "2"}, ("n", 3, "s", "s"), ("embedding",), "the network fails on crops of 2 pixels"),
        (STATED, ("n", 3, 20, 24), ("embedding",), r"must be \(N, 3, S, S\) or \(N, S, S, 3\), not \['n', 3, 20, 24\]"),
        (STATED, ("n", 1, 20, 20), ("embedding",), r"must be \(N, 3, S, S\)"),
        (STATED, (4, 3, 20, 20), ("embedding",), r"must be \(N, 3, S, S\)"),
        (STATED, ("n", 3, 20, 20), ("embedding", "maximum"), "has several outputs: state one of embedding, maximum"),
        (STATED | {"output": "pool"}, ("n", 3, 20, 20), ("embedding",), "has no output 'pool': state one of embedding"),
        (STATED, ("n", 3, 20, 20), ("maps",), r"output maps has shape \(1, 5, 18, 18\), not \(1, channels\)"),
    ],
)
def test_missing_and_impossible_values_are_named(
    tmp_path: Path, metadata: dict[str, str], shape: tuple[int | str, ...], outputs: tuple[str, ...], message: str
) -> None:
    path = write_net(tmp_path / "net.onnx", metadata, shape, outputs)
    with pytest.raises(CheckpointError, match=rf"net\.onnx: .*{message}"):
        OnnxFaceEncoder(path)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("model = ", "not a TOML file"),
        ("mean = 1", "the ONNX file is not stated"),
        ('model = "net.onnx"\nsize = 3', "unknown name size; known names are model, crop_size, mean, scale, output"),
        ('model = "other.onnx"', r"other\.onnx: can't be opened as an ONNX model"),
    ],
)
def test_a_toml_that_does_not_fit_is_refused(tmp_path: Path, toml: str, message: str) -> None:
    (tmp_path / "net.toml").write_text(toml)
    with pytest.raises(CheckpointError, match=message):
        OnnxFaceEncoder(tmp_path / "net.toml")


def test_a_network_with_two_inputs_is_refused(tmp_path: Path) -> None:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, 8, 8]) for name in ("a", "b", "c")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "two", infos[:2], infos[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    helper.set_model_props(model, STATED)
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(CheckpointError, match=r"must have one float32 input \(N, 3, S, S\), not a .*, b "):
        OnnxFaceEncoder(tmp_path / "two.onnx")


def test_a_file_that_is_not_a_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(CheckpointError, match=r"net\.onnx: can't be opened as an ONNX model"):
        OnnxFaceEncoder(tmp_path / "net.onnx")
