import hashlib
import pickle
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vatrace.encoders import (
    DEFAULT_ENCODERS,
    ENCODERS,
    FEATURE_DIMS,
    EncoderSpec,
    own_encoder,
    parse_encoders,
)
from vatrace.errors import MissingExtraError, MissingWeightsError, PluginError, UsageError
from vatrace.names import MODALITIES

DOCS = Path(__file__).parents[2] / "docs" / "encoders.md"
SAMPLES = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)

VERSIONS = {
    "ferplus": "ferplus-c0670c1148b6",
    "ravdess": "ravdess-cc4c6b6faf44",
    "whisper": "whisper-c9b28f07ff64",
    "minilm": "minilm-bbcbeb0756c2",
}
"""As in released models and stores."""

FAULTY = """
class Nothing:
    pass

class NoArguments:
    dim = 3
    def __init__(self): pass
    def __call__(self, words): return words

class NoDim:
    crop_size = 48
    def __init__(self, path=None, threads=1): pass
    def __call__(self, crops): return crops

class NoCropSize(NoDim):
    dim = 3
    crop_size = "48"

function = print
"""


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to import from, with the module of the documentation, and one with faulty classes."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "my_encoders.py").write_text(next(code for code in SAMPLES if "class" in code))
    (folder / "faulty_encoders.py").write_text(FAULTY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    for name in ("my_encoders", "faulty_encoders"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", VERSIONS)
def test_versions_of_the_packages_encoders_are_those_that_models_carry(name: str) -> None:
    modality = ENCODERS[name].modality
    assert EncoderSpec(modality, name).version == VERSIONS[name]
    assert own_encoder(modality, VERSIONS[name]) == EncoderSpec(modality, name)
    assert all(own_encoder(other, VERSIONS[name]) is None for other in MODALITIES if other != modality)


def test_the_table_agrees_with_the_classes() -> None:
    for name, entry in ENCODERS.items():
        found = EncoderSpec(entry.modality, name, Path("weights")).find_class()
        assert getattr(found, "dim", None) == entry.dim, name
        assert EncoderSpec(entry.modality, name, Path("weights")).on_whisper == (name in {"ravdess", "whisper"}), name
    assert [spec.name for spec in DEFAULT_ENCODERS.values()] == ["ferplus", "ravdess", "minilm"]
    assert FEATURE_DIMS == {"face": 128, "voice": 128, "words": 384}


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_built_encoder_has_the_width_in_the_table(modality: str) -> None:
    given: dict[str, Any] = {
        "face": np.zeros((2, 48, 48, 3), np.uint8),
        "voice": np.zeros((2, 384), np.float32),
        "words": ["well", "well"],
    }
    spec = pickle.loads(pickle.dumps(DEFAULT_ENCODERS[modality]))
    vectors = spec.build(threads=1)(given[modality])
    assert vectors.shape == (2, spec.dim) and vectors.dtype == np.float32


def test_encoders_are_chosen_by_name(tmp_path: Path) -> None:
    weights = tmp_path / "ir50.pth"
    weights.write_bytes(b"weights")
    chosen = parse_encoders(f"face=ir50:{weights}, words=none")
    assert list(chosen) == ["face", "voice"]
    assert chosen == {"face": EncoderSpec("face", "ir50", weights), "voice": DEFAULT_ENCODERS["voice"]}
    assert chosen["face"].dim == 512
    assert chosen["face"].version == f"ir50-{hashlib.sha256(b'weights').hexdigest()[:12]}"
    assert parse_encoders("") == DEFAULT_ENCODERS
    assert parse_encoders("voice=whisper")["voice"].dim == 384


def test_the_version_of_a_folder_is_that_of_its_files_in_order(tmp_path: Path) -> None:
    for name, content in (("b.bin", b"2"), ("a.json", b"1")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "sub").mkdir()
    assert EncoderSpec("words", "bert", tmp_path).version == f"bert-{hashlib.sha256(b'12').hexdigest()[:12]}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("face", "face=NAME"),
        ("face=", "face=NAME"),
        ("hands=ir50:x", "face=NAME"),
        ("face=resnet", "face has the encoders ferplus, ir50, onnx, package.module:Class and none, not 'resnet'"),
        ("face=resnet:x.pth", "not 'resnet:x.pth'"),
        ("face=bert:x", "not 'bert:x'"),
        ("face=a-b:C", "not 'a-b:C'"),
        ("face=ir50", "name its weights: face=ir50:FILE"),
        ("voice=whisper:x", "it has its own weights: give no file"),
        ("face=none,voice=none,words=none", "no encoder is left"),
    ],
)
def test_a_wrong_choice_is_refused_with_the_possible_ones(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_encoders(text)


@pytest.mark.parametrize("name", ["ir50", "my_encoders:MeanColour"])
def test_a_file_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(MissingWeightsError, match=rf"nowhere\.pth: no such file, for face={name}"):
        parse_encoders(f"face={name}:nowhere.pth")


def test_missing_weights_in_a_spec_are_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="ir50 has no weights of its own"):
        EncoderSpec("face", "ir50").build(1)


@pytest.mark.parametrize("name", ["ir50", "vggish", "hf", "bert"])
def test_encoders_in_pytorch_name_the_extra_they_need(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="needs PyTorch; it comes with the `train` extra"):
        EncoderSpec(ENCODERS[name].modality, name, tmp_path).build(1)


@pytest.mark.parametrize("name", ["hf", "bert"])
def test_encoders_of_transformers_name_the_extra_they_need(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="needs PyTorch and transformers; it comes with the `train` extra"):
        EncoderSpec(ENCODERS[name].modality, name, tmp_path).build(1)


def test_the_classes_of_the_documentation_are_used(tmp_path: Path) -> None:
    np.save(tmp_path / "matrix.npy", np.eye(384)[:, :5])
    chosen = parse_encoders(
        f"face=my_encoders:MeanColour,voice=my_encoders:Projection:{tmp_path / 'matrix.npy'},words=my_encoders:WordShape"
    )
    face, voice, words = (chosen[name].build(1) for name in MODALITIES)
    crops = np.full((2, 64, 64, 3), (255, 0, 51), np.uint8)
    np.testing.assert_allclose(face(crops), [[1, 0, 0.2, 0, 0, 0]] * 2, atol=1e-6)
    frames = np.random.default_rng(0).normal(size=(7, 384)).astype(np.float32)
    np.testing.assert_array_equal(voice(frames), frames[:, :5])
    np.testing.assert_array_equal(words(["Well", "done!"]), [[4, 0], [5, 1]])
    assert [chosen[name].dim for name in MODALITIES] == [6, 5, 2]
    assert chosen["voice"].on_whisper and not chosen["face"].on_whisper
    assert pickle.loads(pickle.dumps(chosen)) == chosen


def test_the_python_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(next(code for code in SAMPLES if "parse_encoders" in code), {})
    assert re.fullmatch(r"my_encoders:MeanColour-[0-9a-f]{12} 6\n", capsys.readouterr().out)


def test_a_class_with_steps_takes_audio() -> None:
    spec = parse_encoders("voice=my_encoders:Loudness")["voice"]
    assert not spec.on_whisper
    audio = np.random.default_rng(0).normal(0, 0.1, 16000 + 100).astype(np.float32)
    found = list(spec.build(1).steps([audio[:5000], audio[5000:]], 10))
    assert [step for step, _ in found] == list(range(11))
    level = 10 * np.log10(np.mean(audio[1600:3200] ** 2))
    assert found[1][1] == pytest.approx(level, abs=1e-3)


def test_versions_of_outside_classes_follow_their_file_or_else_their_source(folder: Path, tmp_path: Path) -> None:
    name = "my_encoders:MeanColour"
    source = (folder / "my_encoders.py").read_bytes()
    assert EncoderSpec("face", name).version == f"{name}-{hashlib.sha256(source).hexdigest()[:12]}"
    (tmp_path / "weights").write_bytes(b"1")
    assert EncoderSpec("face", name, tmp_path / "weights").version == f"{name}-{hashlib.sha256(b'1').hexdigest()[:12]}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("face=nowhere_at_all:Face", "nowhere_at_all:Face: can't be imported"),
        ("face=my_encoders:Face", "no such class in my_encoders"),
        ("face=faulty_encoders:function", "no such class in faulty_encoders"),
        ("face=faulty_encoders:Nothing", "lacks __call__, which a FaceEncoder must have"),
        ("voice=faulty_encoders:Nothing", "lacks __call__, which a SpeechEncoder must have"),
        ("words=faulty_encoders:Nothing", "lacks __call__, which a WordEncoder must have"),
        ("words=faulty_encoders:NoArguments", r"must be constructed with \(path, threads\)"),
    ],
)
def test_a_class_that_does_not_fit_is_refused_with_its_missing_parts(text: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        parse_encoders(text)


@pytest.mark.parametrize(
    ("name", "message"), [("NoDim", "its `dim` must be a whole number"), ("NoCropSize", "its `crop_size` must be .* not '48'")]
)
def test_an_object_without_its_sizes_is_refused(name: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        parse_encoders(f"face=faulty_encoders:{name}")["face"].build(1)


def test_a_version_that_names_an_outside_class_imports_nothing(folder: Path) -> None:
    (folder / "trap.py").write_text("raise AssertionError('imported')\n\nclass Face: pass\n")
    assert own_encoder("face", "trap:Face-0123456789ab") is None
    with pytest.raises(AssertionError, match="imported"):  # importing it fails
        import_module("trap")


def test_a_class_without_a_source_file_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Typed:
        path: Path | None
        threads: int
        dim: int = 1

        def __call__(self, words: list[str]) -> list[str]:
            return words

    Typed.__module__ = "typed_at_a_prompt"
    monkeypatch.setitem(sys.modules, "typed_at_a_prompt", SimpleNamespace(Typed=Typed))  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="define the class in a module"):
        _ = EncoderSpec("words", "typed_at_a_prompt:Typed").version
