from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from command import run
from vatrace import accelerator
from vatrace.accelerator import PROVIDERS, Device, onnx_providers, use_device, whisper_device
from vatrace.errors import UsageError


@pytest.fixture(autouse=True)
def afterwards() -> Iterator[None]:
    yield
    use_device("cpu")


def test_the_cpu_is_used_unless_another_device_is_chosen() -> None:
    assert onnx_providers() == ["CPUExecutionProvider"] and whisper_device() == {"device": "cpu"}


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:", "", "CPU"])
def test_an_unknown_device_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match="auto or one of cpu, cuda"):
        use_device(name)


def test_there_is_one_cpu() -> None:
    assert use_device("cpu:0") == (Device(), "")
    with pytest.raises(UsageError, match="only one"):
        use_device("cpu:1")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_device_that_does_not_start_is_an_error_by_name_and_a_note_with_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    without_cuda()
    monkeypatch.setattr(accelerator, "_installed", lambda: [PROVIDERS["cuda"], PROVIDERS["cpu"]])
    with pytest.raises(UsageError, match="device cuda: does not start"):
        use_device("cuda")
    chosen, note = use_device("auto")
    assert chosen == Device() and "cuda: does not start" in note and "the CPU is used" in note
    assert onnx_providers() == ["CPUExecutionProvider"]


def test_auto_is_the_cpu_without_a_note_where_nothing_else_is_installed() -> None:
    without_cuda()
    assert use_device("auto") == (Device(), "")


def test_a_command_names_what_to_install(tmp_path: Path) -> None:
    without_cuda()
    (tmp_path / "talk.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nwell\n")
    result = run("predict", tmp_path / "talk.srt", "--out", tmp_path, "--device", "cuda")
    assert result.status == 1 and result.err.count("\n") == 1
    assert "device cuda: not available; install onnxruntime-gpu" in result.err and "offers cpu" in result.err
    assert not list(tmp_path.glob("*.csv"))


def without_cuda() -> None:
    import onnxruntime

    if PROVIDERS["cuda"] in onnxruntime.get_available_providers():
        pytest.skip("ONNX Runtime here has CUDA")
