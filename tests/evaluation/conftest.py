"""A store and a run that the tests of evaluation share."""

import pytest

from made_stores import CONFIG, make_store
from vatrace.store import Store
from vatrace.training.config import read_config
from vatrace.training.run import Run
from vatrace.training.train import train_run


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("store") / "s", subjects={"e": "x", "f": "y"})


@pytest.fixture(scope="package")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    (folder / "run.toml").write_text(CONFIG.replace("num_epochs = 4", "num_epochs = 10") + "modality_dropout = 0.2\n")
    run = train_run(read_config(folder / "run.toml"), store, folder / "r")
    assert run is not None
    return run
