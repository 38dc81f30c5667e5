import shutil
from pathlib import Path

import numpy as np
import pytest

from command import run as run_command
from made_pairs import made_pairs
from vatrace.errors import RunError
from vatrace.evaluation.compare import compare
from vatrace.store import Store
from vatrace.training.run import Run


def test_a_better_run_is_found_to_be_better(run: Run, store: Store, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = {f"r{i}": pair for i, pair in enumerate(made_pairs(20))}
    worse = {name: (truth, prediction + rng.normal(0, 1, truth.shape)) for name, (truth, prediction) in pairs.items()}
    found = compare([pairs, pairs, worse], ["a", "same", "worse"], {})
    assert (found["same"]["mean"].difference, found["same"]["mean"].low, found["same"]["mean"].high) == (0, 0, 0)
    assert found["worse"]["valence"].high < 0 and found["worse"]["valence"].better == 0
    assert found["a"]["valence"].ccc - found["worse"]["valence"].ccc == pytest.approx(-found["worse"]["valence"].difference)
    with pytest.raises(RunError, match=r"b: not evaluated on the same recordings as a \(such as r0\)"):
        compare([pairs, {name: pair for name, pair in pairs.items() if name != "r0"}], ["a", "b"], {})
    shutil.copytree(run.folder, tmp_path / "copy")
    result = run_command("compare", run.folder, tmp_path / "copy", "--store", store.path)
    assert result.status == 0 and "+0.000 [+0.000, +0.000]" in result.out
    assert result.out.endswith("are rough and too narrow.\n")
    for named_wrong in ([run.folder], [run.folder, run.folder]):
        assert "at least two runs, each once" in run_command("compare", *named_wrong, "--store", store.path).err


def test_runs_are_compared_by_the_same_steps_and_outputs_only() -> None:
    pairs = {f"r{i}": pair for i, pair in enumerate(made_pairs(4))}
    elsewhere = {name: (truth, prediction * (np.nan if name == "r2" else 1)) for name, (truth, prediction) in pairs.items()}
    with pytest.raises(RunError, match=r"b: not evaluated on the same recordings as a \(such as r2\)"):
        compare([pairs, elsewhere], ["a", "b"], {})
    only_valence = {name: (truth, prediction * [1, np.nan]) for name, (truth, prediction) in pairs.items()}
    found = compare([pairs, only_valence], ["a", "b"], {})["b"]
    assert found["valence"].difference == 0
    for column in ("arousal", "mean"):
        assert np.isnan([found[column].ccc, found[column].difference, found[column].low, found[column].better]).all()
