import sys
from pathlib import Path

import pytest

from command import run
from web_server import Server


def test_a_port_that_is_taken_is_named(server: Server, tmp_path: Path) -> None:
    port = server.address.split(":")[2].split("/")[0]
    result = run("serve", "--port", port, "--no-browser", "--folder", tmp_path)
    assert result.status == 1 and f"port {port}: can't be used" in result.err and "Traceback" not in result.err


def test_a_folder_in_use_is_named(server: Server) -> None:
    result = run("serve", "--port", 0, "--no-browser", "--folder", server.folder)
    assert result.status == 1 and "already used by another vatrace serve" in result.err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fastapi", "uvicorn"):
        monkeypatch.setitem(sys.modules, name, None)
    result = run("serve", "--no-browser")
    assert result.status == 1
    assert "the page needs fastapi, uvicorn; it comes with the `web` extra" in result.err


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "nowhere.invalid", "192.0.2.77"])
def test_a_host_that_is_not_this_machine_in_its_network_is_named(host: str, tmp_path: Path) -> None:
    result = run("serve", "--port", 0, "--no-browser", "--folder", tmp_path, "--host", host)
    assert result.status in {1, 2} and f"--host {host}" in result.err and "Traceback" not in result.err


@pytest.mark.parametrize("option", ["--allow", "--token-file"])
def test_options_of_the_interface_need_it(option: str, tmp_path: Path) -> None:
    result = run("serve", "--port", 0, "--no-browser", "--folder", tmp_path / "results", option, tmp_path)
    assert result.status == 1 and result.err == f"error: {option} is for the interface for programs: add --api\n"
    assert not (tmp_path / "results").exists()


def test_another_model_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "wrong.onnx").write_text("no model")
    result = run("serve", "--port", 0, "--no-browser", "--folder", tmp_path, "--other-model", tmp_path / "wrong.onnx")
    assert result.status == 1 and "wrong.onnx: not a vatrace fusion model" in result.err
