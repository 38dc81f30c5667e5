"""vatrace analyse: what it writes, and what it says about tables and designs that don't fit."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from command import run
from conftest import write_movie
from made_studies import MadeStudy, conditions_study, events_study, pairs_study, wandering


def write(study: MadeStudy, folder: Path) -> None:
    study.table.to_csv(folder / "study.csv", index=False)
    study.design_table.to_csv(folder / "design.csv", index=False)


@pytest.fixture(scope="module")
def conditions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of three conditions, and its analysis."""
    folder = tmp_path_factory.mktemp("conditions")
    write(conditions_study(np.random.default_rng(3), effect=0.4, seconds=5), folder)
    done = run("analyse", "study.csv", "--design", "design.csv", cwd=folder)
    assert done.status == 0, done.err
    return folder


def test_means_by_condition_are_those_of_the_rows(conditions: Path) -> None:
    results = pd.read_csv(conditions / "analysis" / "results.csv").set_index(["dimension", "term"])
    rows = pd.read_csv(conditions / "study.csv").merge(pd.read_csv(conditions / "design.csv"), on="recording")
    by_person = rows.groupby(["participant", "condition"])["valence"].mean().unstack()
    complete = by_person.dropna()
    assert results.loc[("valence", "talk - rest"), "p_holm"] < 0.05
    assert results.loc[("arousal", "talk - rest"), "p_holm"] > 0.05
    wanted = (complete["talk"] - complete["rest"]).mean()
    assert results.loc[("valence", "talk - rest"), "estimate"] == pytest.approx(wanted, abs=0.05)
    assert results.loc[("valence", "rest"), "clusters"] == by_person["rest"].notna().sum()
    cells = pd.read_csv(conditions / "analysis" / "participants.csv").set_index(["participant", "condition"])
    for key, value in by_person.stack().dropna().items():
        assert cells.loc[key, "valence"] == pytest.approx(value)
    assert (cells["valence"] - cells["valence_low"]).to_numpy() == pytest.approx(0.3)


def test_every_column_is_in_the_codebook_and_nothing_is_replaced(conditions: Path) -> None:
    out = conditions / "analysis"
    book = pd.read_csv(out / "codebook.csv").groupby("table")["column"].apply(list)
    for table, columns in book.items():
        assert list(pd.read_csv(out / f"{table}.csv").columns) == columns
    assert {"analysis.html", "analysis.R", "analysis.json", "conditions.png"} <= {path.name for path in out.iterdir()}
    page = (out / "analysis.html").read_text(encoding="utf-8")
    assert "talk - rest" in page and "prefers-color-scheme: dark" in page and "are left out of them" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    made = json.loads((out / "analysis.json").read_text(encoding="utf-8"))
    assert set(made["inputs"]) == {"study.csv", "design.csv"} and "errors" in made["uncertainty"]
    again = run("analyse", "study.csv", "--design", "design.csv", cwd=conditions)
    assert again.status == 1 and "already exists" in again.err


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="needs R")
def test_the_r_script_gives_the_same_figures(conditions: Path) -> None:
    needed = 'stopifnot(requireNamespace("lmerTest"), requireNamespace("clubSandwich"))'
    if subprocess.run(["Rscript", "-e", needed], capture_output=True, check=False).returncode:
        pytest.skip("needs the R packages lmerTest and clubSandwich")
    done = subprocess.run(["Rscript", "analysis.R"], cwd=conditions / "analysis", capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("talk - rest"))
    row = pd.read_csv(conditions / "analysis" / "results.csv").set_index(["dimension", "term"]).loc[("valence", "talk - rest")]
    wanted = f"talk - rest: {row['estimate']:.4f}, se {row['se']:.4f}, df {row['df']:.2f}"
    assert line.startswith(wanted), (line, wanted)


def test_a_response_is_found_when_it_happens_and_ratings_are_compared(tmp_path: Path) -> None:
    study, events = events_study(np.random.default_rng(1), effect=0.2)
    write(study, tmp_path)
    events.to_csv(tmp_path / "events.csv", index=False)
    rated = study.table.iloc[::5]
    ratings = rated[["recording", "time", "valence"]].assign(valence=rated["valence"].clip(-1, 1).round(4))
    ratings["time"] += 1.0
    ratings.to_csv(tmp_path / "ratings.csv", index=False)
    options = ["--design", "design.csv", "--events", "events.csv", "--ratings", "ratings.csv"]
    done = run("analyse", "study.csv", *options, cwd=tmp_path)
    assert done.status == 0, done.err
    results = pd.read_csv(tmp_path / "analysis" / "results.csv").set_index(["analysis", "dimension", "term"])
    found = results.loc[("events", "valence", "joke")]
    assert found["p"] < 0.01 and 0.3 <= found["at"] <= 3
    assert results.loc[("events", "arousal", "joke"), "p"] > 0.05
    assert results.loc[("agreement", "valence", "CCC"), "estimate"] > 0.97  # without its lag of 1 s, it is the trace itself
    assert ("agreement", "arousal", "CCC") not in results.index
    assert "the rater 1.0 s" in done.err
    bands = pd.read_csv(tmp_path / "analysis" / "bands.csv")
    before = bands[(bands["dimension"] == "valence") & (bands["at"] < 0)]
    assert before["mean"].mean() == pytest.approx(0, abs=1e-6) and before["low_all"].isna().all()


def test_the_second_person_follows_at_the_planted_lag(tmp_path: Path) -> None:
    write(pairs_study(np.random.default_rng(0), coupling=0.7, pairs=8, seconds=160), tmp_path)
    done = run("analyse", "study.csv", "--design", "design.csv", cwd=tmp_path)
    assert done.status == 0, done.err
    results = pd.read_csv(tmp_path / "analysis" / "results.csv").set_index("dimension")
    assert results.loc["valence", "at"] == pytest.approx(1.0, abs=0.2) and results.loc["valence", "p"] < 0.05
    assert len(pd.read_csv(tmp_path / "analysis" / "pairs.csv")) == 16


def test_a_study_goes_from_recordings_to_findings(tmp_path: Path, face_images: list[Image.Image]) -> None:
    lines = ["recording,participant,condition"]
    for number in range(6):
        name = f"P{number // 2}/{('rest', 'film')[number % 2]}.mp4"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_movie(tmp_path / name, face_images[15 * number : 15 * number + 15])
        lines.append(f"{name},P{number // 2},{('rest', 'film')[number % 2]}")
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "events.csv").write_text("time,event\n0.2,cue\n")
    options = ("--modalities", "face", "--also", "face,emotions", "--out", "traces", "--table", "study.parquet")
    made = run("predict", "--list", "list.csv", *options, cwd=tmp_path)
    assert (made.status, made.err) == (0, "")
    done = run("analyse", "study.parquet", "--events", "events.csv", "--before", "0.1", "--after", "0.1", cwd=tmp_path)
    assert done.status == 0, done.err
    results = pd.read_csv(tmp_path / "analysis" / "results.csv").set_index(["analysis", "dimension", "term"])
    rows = pd.read_parquet(tmp_path / "study.parquet")
    means = rows[rows["supported"] == 1].groupby("condition", observed=True)["valence"].mean()
    for condition in ("rest", "film"):
        found = results.loc[("conditions", "valence", condition)]
        assert found["estimate"] == pytest.approx(means[condition], abs=1e-6) and found["clusters"] == 3
    assert "3 participants" in done.out and (tmp_path / "analysis" / "analysis.html").exists()


def small(condition: tuple[str, ...] = ("a", "a", "b", "b")) -> MadeStudy:
    study = MadeStudy(np.random.default_rng(0))
    for number, name in enumerate(condition):
        study.add(f"R{number}", wandering(study.rng, 3), participant=f"P{number}", condition=name)
    return study


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ("participant,condition\nP0,a\n", "design.csv: line 1: no column 'recording'"),
        ("recording,condition\nR0,a\n", "no column 'participant', and the study has none either"),
        ("recording,participant\nR0,\n", "design.csv: line 2, column participant: is empty"),
        (
            "recording,participant\nR9,P0\n",
            "line 2, column recording: R9 is not in the study, which has R0, R1, R2, R3",
        ),
        ("recording,participant\nR0,P0\nR0,P1\n", "design.csv: line 3: R0 is already in line 2"),
        ("recording,participant,person\nR0,P0,2\n", "design.csv: line 2, column person: R0 has no person 2, only 1"),
        ("recording,participant\nR0,P0\nR1,P1\n", "there is nothing to analyse: add a column condition or pair"),
        ("recording,participant,condition\nR0,P0,a\nR1,P1,a\nR2,P2,b\n", "the condition b has only one participant (P2)"),
        ("recording,participant,pair\nR0,P0,x\nR1,P1,y\n", "the pair x has 1 traces, not 2"),
    ],
)
def test_a_design_that_does_not_fit_is_one_line(tmp_path: Path, design: str, message: str) -> None:
    write(small(), tmp_path)
    (tmp_path / "design.csv").write_text(design, encoding="utf-8")
    done = run("analyse", "study.csv", "--design", "design.csv", cwd=tmp_path)
    assert done.status == 1 and message in done.err and done.err.count("\n") == 1
    assert not (tmp_path / "analysis").exists()


def test_tables_and_events_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    write(small(), tmp_path)

    def message(*options: object) -> str:
        done = run("analyse", *options, cwd=tmp_path)
        assert done.status == 1 and done.err.count("\n") == 1
        return done.err

    assert "name a design" in message("study.csv")
    (tmp_path / "by.csv").write_text("recording,stretch,valence_mean\nR0,1,0.2\n", encoding="utf-8")
    assert "make the table again without --by" in message("by.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert "no column 'recording'" in message("other.csv")
    assert "must end in .csv or .parquet" in message("design.txt" if (tmp_path / "design.txt").write_text("x") else "")
    (tmp_path / "events.csv").write_text("recording,time\nR0,99\n", encoding="utf-8")
    assert "events.csv: line 2: 99 s lies outside of R0 (0 to 3 s)" in message(
        "study.csv", "--design", "design.csv", "--events", "events.csv"
    )
    for option in ("--before", "--after"):
        assert f"{option} is around the events of --events" in message("study.csv", "--design", "design.csv", option, "2")
    for cell in ("", ".", "..", "R9.mp4"):
        (tmp_path / "ratings.csv").write_text(f"recording,time,valence\n{cell},1,0\n", encoding="utf-8")
        assert f"line 2, column recording: {cell}" in message("study.csv", "--design", "design.csv", "--ratings", "ratings.csv")
    (tmp_path / "ratings.csv").write_text("recording,time,valence\nR0,1,7\n", encoding="utf-8")
    assert "line 2, column valence: must be from -1 to 1, not 7" in message(
        "study.csv", "--design", "design.csv", "--ratings", "ratings.csv"
    )


def test_a_dimension_without_variance_is_left_out_with_a_note(tmp_path: Path) -> None:
    study = small()
    for trace in study.traces:
        trace.values[:, 1] = 0.25
    write(study, tmp_path)
    done = run("analyse", "study.csv", "--design", "design.csv", cwd=tmp_path)
    assert done.status == 0, done.err
    assert "arousal is left out, because it is the same for all participants in a" in done.err
    assert set(pd.read_csv(tmp_path / "analysis" / "results.csv")["dimension"]) == {"valence"}
