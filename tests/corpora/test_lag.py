from pathlib import Path

import numpy as np
import pytest

from made_stores import make_store
from vatrace.corpora.lag import reaction_lag
from vatrace.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("store") / "s", dict.fromkeys("abcdef", "train"), steps=400)


@pytest.mark.parametrize(("lag", "unsaid"), [(0.0, []), (1.5, []), (3.2, []), (1.5, [0]), (1.5, [1])])
def test_a_planted_lag_is_found(store: Store, lag: float, unsaid: list[int]) -> None:
    shift = round(lag * 10)
    labels = {}
    for recording in store.split("train"):
        late = np.full((recording.num_steps, 2), np.nan)
        late[shift:] = recording.labels()[: recording.num_steps - shift]
        late[:, unsaid] = np.nan
        labels[recording.name] = late
    found = reaction_lag(store.split("train"), labels)
    assert found is not None
    assert found.lags[np.argmax(found.correlations)] == pytest.approx(lag, abs=0.15)
    assert (found.lag, found.clear) == pytest.approx((lag, lag > 0), abs=0.15)


def test_labels_that_the_features_do_not_explain_have_no_lag(store: Store) -> None:
    rng = np.random.default_rng(0)
    labels = {recording.name: rng.normal(size=(recording.num_steps, 2)) for recording in store.split("train")}
    found = reaction_lag(store.split("train"), labels)
    assert found is not None and not found.clear and found.lag == 0


def test_one_recording_or_short_ones_say_nothing(store: Store, tmp_path: Path) -> None:
    unsaid = {recording.name: np.full((recording.num_steps, 2), np.nan) for recording in store.split("train")}
    assert reaction_lag(store.split("train"), unsaid) is None
    first = store.split("train")[:1]
    assert reaction_lag(first, {first[0].name: first[0].labels()}) is None
    short = make_store(tmp_path / "s", dict.fromkeys("ab", "train"), steps=40)
    assert reaction_lag(short.split("train"), {r.name: r.labels() for r in short.split("train")}) is None
