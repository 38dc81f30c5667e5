"""Writes the files of an analysis: the page, figures, tables, the R script, and how they were made."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from vatrace import __version__
from vatrace.analysis.analyse import UNCERTAINTY, Analysis
from vatrace.analysis.drawings import drawings
from vatrace.analysis.findings_page import png, write_findings
from vatrace.analysis.tables import CODEBOOK, tables
from vatrace.files import sha256, shown, write_json, written_whole
from vatrace.output.cells import harmless_table
from vatrace.output.colours import LIGHT
from vatrace.output.provenance import SCHEMA, command_line, library_versions, now
from vatrace.output.study_tables import write_codebook

PAGE, SCRIPT, SIDE, BOOK = "analysis.html", "analysis.R", "analysis.json", "codebook.csv"
FIGURES = ("conditions.png", "events.png", "synchrony.png", "agreement.png")
COMPUTING = ("scipy", "statsmodels")
"""Libraries that compute findings, besides those of vatrace."""


def names() -> list[str]:
    """The names of all files that an analysis may have."""
    return [PAGE, SCRIPT, SIDE, BOOK, *FIGURES, *(f"{name}.csv" for name in CODEBOOK)]


def write_analysis(found: Analysis, out: Path, given: Sequence[Path]) -> None:
    """Write everything. Files of an earlier analysis that this one doesn't have are deleted.

    Args:
        found: the analysis.
        out: an existing folder.
        given: the files that it was made from, the table of the study first.
    """
    for name in names():
        (out / name).unlink(missing_ok=True)  # the R script reads what is there: nothing of an earlier analysis may remain
    made = tables(found)
    for name, rows in made.items():
        with written_whole(out / f"{name}.csv") as temporary:
            harmless_table(rows).to_csv(temporary, index=False, float_format="%.10g")
    write_codebook(out / BOOK, {name: CODEBOOK[name] for name in made})
    for name, draw in drawings(found).items():
        with written_whole(out / f"{name}.png") as temporary:
            temporary.write_bytes(png(draw, LIGHT))
    script = files("vatrace.analysis").joinpath(SCRIPT).read_text(encoding="utf-8")
    head = f"# Repeats the analysis of {shown(given[0].name)} by vatrace {__version__}.\n"
    with written_whole(out / SCRIPT) as temporary:
        temporary.write_text(head.replace("\r", " ") + script, encoding="utf-8")
    study = found.study
    facts = [f"{len(study.traces)} traces of {len(study.participants)} participants from {given[0].name}."]
    if study.baseline:
        facts.append(f"All values are differences from a baseline: {study.baseline}.")
    with written_whole(out / PAGE) as temporary:
        write_findings(found, temporary, f"Analysis of {given[0].stem}", facts)
    inputs = {shown(path): sha256(path) for path in given}
    content = {"vatrace": __version__, "schema": SCHEMA, "created": now(), "command": command_line(), "inputs": inputs}
    content |= {"libraries": library_versions() | {name: version(name) for name in COMPUTING}}
    write_json(out / SIDE, content | {"notes": list(found.notes), "uncertainty": UNCERTAINTY, "baseline": study.baseline})
