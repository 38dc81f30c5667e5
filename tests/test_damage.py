"""Our own files, damaged in every place: one line that names the file, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from damage import BYTES, HEADERS, damaged, npy
from made_stores import CONFIG, make_store, use_all
from vatrace.errors import VatraceError
from vatrace.store import Store
from vatrace.training.checkpoint import load_model, load_tensors
from vatrace.training.config import read_config
from vatrace.training.run import Run
from vatrace.training.train import train_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("damage") / "store")


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("damage")
    (folder / "run.toml").write_text(CONFIG.replace("num_epochs = 4", "num_epochs = 1"))
    run = train_run(read_config(folder / "run.toml"), store, folder / "r")
    assert run is not None
    return run


def attack(path: Path, use: Callable[[], object], name: str) -> int:
    """Damage a JSON file in every place, and use it; the number of times that it was refused."""
    good, refused = path.read_bytes(), 0
    cases = [(what, json.dumps(content).encode()) for what, content in damaged(json.loads(good))]
    try:
        for what, content in [*cases, *((repr(content[:20]), content) for content in BYTES)]:
            path.write_bytes(content)
            try:
                use()
            except VatraceError as error:
                refused += 1
                assert name in str(error) and "\n" not in str(error), what
            except Exception as error:
                raise AssertionError(f"{path.name}: {what}: {error!r}") from error
    finally:
        path.write_bytes(good)
    use()
    return refused


@pytest.mark.parametrize(("file", "least"), [("store.json", 150), ("corpus.json", 150), ("recordings/a/meta.json", 50)])
def test_a_damaged_store_is_named(store: Store, file: str, least: int) -> None:
    def use() -> None:
        use_all(store.path)

    assert attack(store.path / file, use, str(store.path)) >= least


def test_a_damaged_run_is_named(store: Store, run: Run) -> None:
    def use() -> None:
        opened = Run.open(run.folder)
        opened.check_fits(store)
        opened.check_held_out(["e"], "dev")

    assert attack(run.folder / "run.json", use, str(run.folder)) > 200


@pytest.mark.parametrize("file", ["features", "valid", "labels", "frame times"])
@pytest.mark.parametrize("how", ["cut", "no header", "pickled", "shape", "claims", "brackets", "empty", "missing"])
def test_a_damaged_array_is_named(store: Store, file: str, how: str) -> None:
    recording = store.split("train")[0]
    folder = recording.folder
    path = {
        "features": folder / "face.npy",
        "valid": folder / "valid.npy",
        "labels": store.path / "labels" / f"{recording.name}.npy",
        "frame times": folder / "frame_times.npy",
    }[file]
    if how == "missing" and file == "labels":
        return  # not labelled
    good = path.read_bytes()
    try:
        if how == "cut":
            path.write_bytes(good[: len(good) // 2])
        elif how == "no header":
            path.write_bytes(bytes(200))
        elif how == "pickled":
            np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        elif how == "shape":
            np.save(path, np.zeros((3, 3, 3)))
        elif how in HEADERS:
            path.write_bytes(npy(HEADERS[how]))
        elif how == "empty":
            path.write_bytes(b"")
        else:
            path.unlink()
        uses = {
            "features": lambda: recording.features("face"),
            "valid": recording.valid,
            "labels": recording.labels,
            "frame times": lambda: store.split("train")[0].frame_times,
        }
        with pytest.raises(VatraceError, match=path.name) as error:
            uses[file]()
        assert "\n" not in str(error.value)
    finally:
        path.write_bytes(good)


def header_of(content: bytes) -> tuple[dict[str, object], bytes]:
    """The header of a safetensors file, and the rest."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def test_a_damaged_checkpoint_is_named(run: Run, tmp_path: Path) -> None:
    good = run.members[0].weights.read_bytes()
    path = tmp_path / "model.safetensors"
    header, rest = header_of(good)
    rng = np.random.default_rng(7)
    cases = [good[:size] for size in (0, 7, 8, 100, len(good) // 2, len(good) - 1)]
    for what in (
        json.dumps([1]),
        json.dumps({}),
        "[" * 100_000,
        "{",
        json.dumps({"format": 1}),
        json.dumps({"format": 1, "model": 3}),
    ):
        text = json.dumps(header | {"__metadata__": {"vatrace": what}}).encode()
        cases.append(len(text).to_bytes(8, "little") + text + rest)
    for metadata in ([1], 5, None, {"vatrace": [1]}):
        text = json.dumps(header | {"__metadata__": metadata}).encode()
        cases.append(len(text).to_bytes(8, "little") + text + rest)
    cases.append((2**62).to_bytes(8, "little") + good[8:])
    for _ in range(100):  # bytes in the header
        changed = bytearray(good)
        changed[int(rng.integers(8, 8 + 3000))] = int(rng.integers(256))
        cases.append(bytes(changed))
    refused = 0
    for content in cases:
        path.write_bytes(content)
        try:
            load_model(path)
        except VatraceError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 60


def test_weights_that_are_not_numbers_are_refused(run: Run, tmp_path: Path) -> None:
    from vatrace.training.checkpoint import save_tensors

    tensors, facts = load_tensors(run.members[0].weights)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_tensors(tmp_path / "model.safetensors", tensors, facts)
    with pytest.raises(VatraceError, match=r"model\.safetensors: .* contains values that are not numbers"):
        load_model(tmp_path / "model.safetensors")
