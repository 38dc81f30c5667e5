"""A store, a config and a run that the tests of training share."""

from dataclasses import replace

import pytest

from made_stores import CONFIG, make_store
from vatrace.store import Store
from vatrace.training.config import RunConfig, read_config
from vatrace.training.run import Run
from vatrace.training.train import train_run


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("store") / "s")


@pytest.fixture(scope="package")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    path = tmp_path_factory.mktemp("config") / "run.toml"
    path.write_text(CONFIG)
    return read_config(path)


@pytest.fixture(scope="package")
def run(store: Store, config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    longer = replace(config, train=replace(config.train, num_epochs=12))
    run = train_run(longer, store, tmp_path_factory.mktemp("run") / "r")
    assert run is not None
    return run
